// Destructors at the end of a thread, registered with any address of the program's: Rust's standard library does so.
// Flags: -pthread
#include <pthread.h>
#include <stdio.h>

typedef void destructor(void *);
extern char __dso_handle;
extern int __cxa_thread_atexit_impl(destructor *, void *object, void *handle) __attribute__((weak));
static char *pointer_to_handle = &__dso_handle;
static char zeros[100000];

static void say(void *text) { printf("end of %s\n", (char *)text); }
static void *thread(void *unused) {
  (void)unused;
  __cxa_thread_atexit_impl(say, "handle", &__dso_handle);
  __cxa_thread_atexit_impl(say, "pointer to handle", &pointer_to_handle);
  __cxa_thread_atexit_impl(say, "last byte", &zeros[sizeof zeros - 1]);
  __cxa_thread_atexit_impl(say, "null", NULL);
  return NULL;
}

int main(void) {
  pthread_t other;
  pthread_create(&other, NULL, thread, NULL);
  pthread_join(other, NULL);
  printf("joined\n");
  thread(NULL);
  return 0;
}
