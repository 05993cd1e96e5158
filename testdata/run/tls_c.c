// Thread-local variables in C: zeroed, initialised, aligned, static, extern, address differs by thread.
// Files: parts/tls_c_other.c
// Flags: -pthread
// Pie-objects: no, their thread-local variables are initial-exec
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static _Thread_local int zeroed;
_Thread_local int initialised = 42;
static _Thread_local _Alignas(64) char aligned[65] = "aligned";
_Thread_local char large[20000];
extern _Thread_local int there;
extern _Thread_local const char *text_there;
int other_bump(int by);
static int global = 9;
static _Thread_local int *pointer = &global;
static int *of_main;

static void *thread(void *argument) {
  long id = (long)argument;
  for (int i = 0; i < 1000; i++) zeroed++, initialised += (int)id, there++;
  memset(large, (int)id, sizeof large);
  aligned[0] = (char)('A' + id);
  errno = (int)id;
  static _Thread_local int inside = 3;
  inside += (int)id;
  int ok = &zeroed != of_main && (uintptr_t)aligned % 64 == 0 && large[19999] == id && errno == id && *pointer == 9;
  return (void *)(long)(zeroed + initialised + other_bump(1) + inside * 100000 + (aligned[0] == 'A' + id) + ok);
}

int main(void) {
  of_main = &zeroed;
  zeroed = 5;
  printf("%d %d %s %d %s\n", zeroed, initialised, aligned, there, text_there);
  pthread_t threads[4];
  for (long i = 0; i < 4; i++) pthread_create(&threads[i], NULL, thread, (void *)i);
  for (int i = 0; i < 4; i++) {
    void *result;
    pthread_join(threads[i], &result);
    printf("%ld\n", (long)result);
  }
  printf("%d %d %s %d %d\n", zeroed, initialised, aligned, other_bump(10), large[0]);
  return 0;
}
