// Thread-local variables as calls of libgcc instead of the ABI's own way.
// Flags: -femulated-tls -pthread
#include <pthread.h>
#include <stdio.h>

static _Thread_local int plain = 5;
_Thread_local long zeroed;
static void *thread(void *result) {
  plain += 10;
  zeroed--;
  *(int *)result = plain + (int)zeroed;
  return NULL;
}

int main(void) {
  int result = 0;
  plain = 100;
  pthread_t t;
  pthread_create(&t, NULL, thread, &result);
  pthread_join(t, NULL);
  printf("%d %d %ld\n", result, plain, zeroed);
  return 0;
}
