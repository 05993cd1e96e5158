// Runs on any machine: thread-local variables, data of its own and of a library, floating point, variable arguments, atomics.

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

_Thread_local int counter = 3;
static _Thread_local long zeroed[100];
static atomic_int total;
const char *names[] = {"one", "two", "three"};

static double sum(int n, ...) {
  va_list list;
  va_start(list, n);
  double sum = 0;
  for (int i = 0; i < n; i++)
    sum += va_arg(list, double);
  va_end(list);
  return sum;
}

static void *work(void *argument) {
  for (int i = 0; i < 1000; i++) {
    counter++;
    zeroed[i % 100] += i;
    total++;
  }
  *(long *)argument = counter + zeroed[99];
  return 0;
}

int main(void) {
  pthread_t threads[4];
  long results[4];
  for (int i = 0; i < 4; i++)
    pthread_create(&threads[i], 0, work, &results[i]);
  for (int i = 0; i < 4; i++)
    pthread_join(threads[i], 0);
  fprintf(stdout, "%s %s %ld %d %d %.2f\n", names[2], names[0], results[3], total, counter, sum(3, 1.5, 2.25, 3.0));
  return 0;
}
