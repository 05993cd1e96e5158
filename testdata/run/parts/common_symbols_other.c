int shared;
char sized[5000];
char aligned[300];
double defined_there = 2.5;
void fill(void) {
  shared = 41;
  for (int i = 0; i < 5000; i++) sized[i] = (char)(i % 100);
  for (int i = 0; i < 300; i++) aligned[i] = 'c';
}
