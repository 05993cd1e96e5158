// Flags: -pthread
#include <pthread.h>
#include <stdio.h>

__attribute__((tls_model("initial-exec"))) _Thread_local int initial = 5;
__attribute__((tls_model("local-exec"))) static _Thread_local int local = 6;
static void *thread(void *unused) {
  initial++, local++;
  printf("%d %d\n", initial, local);
  return unused;
}

int main(void) {
  initial = 50, local = 60;
  pthread_t t;
  pthread_create(&t, NULL, thread, NULL);
  pthread_join(t, NULL);
  printf("%d %d\n", initial, local);
  return 0;
}
