_Thread_local int there = 7;
_Thread_local const char *text_there = "text";
static _Thread_local int one = 1, two = 2;
int other_bump(int by) {
  one += by;
  two += 2 * by;
  return there * 10 + one + two;
}
