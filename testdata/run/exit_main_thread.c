// pthread_exit in main: the process lives until its last thread ends, then exits with 0.
// Flags: -pthread
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static pthread_t main_thread;
static void handler(void) { puts("handler"); }
static void cleanup(void *text) { puts(text); }
static void *outlive(void *unused) {
  void *result;
  pthread_join(main_thread, &result);
  printf("main ended with %s\n", (char *)result);
  return unused;
}

int main(void) {
  atexit(handler);
  main_thread = pthread_self();
  pthread_t thread;
  pthread_create(&thread, NULL, outlive, NULL);
  pthread_cleanup_push(cleanup, "cleanup of main");
  pthread_exit("a result");
  pthread_cleanup_pop(0);
}
