int c_progress;
void through_c(void (*f)(int), int n) {
  for (int i = 0; i < n; i++) {
    c_progress = i;
    f(i);
  }
}
