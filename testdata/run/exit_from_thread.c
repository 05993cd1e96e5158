// exit() called by a thread while main waits for it.
// Flags: -pthread
// Exit: 9
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static void handler(void) { puts("handler"); }
static void *leave(void *unused) {
  puts("thread");
  exit(9);
  return unused;
}

int main(void) {
  atexit(handler);
  pthread_t thread;
  pthread_create(&thread, NULL, leave, NULL);
  pthread_join(thread, NULL);
  puts("never");
  return 0;
}
