// What a program finds at its start: default dispositions, an empty mask, no alternate stack.
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(void) {
  for (int number = 1; number < 32; number++) {
    struct sigaction old;
    if (sigaction(number, NULL, &old) == 0 && old.sa_handler != SIG_DFL)
      printf("signal %d is %s\n", number, old.sa_handler == SIG_IGN ? "ignored" : "handled");
  }
  sigset_t mask;
  sigprocmask(SIG_SETMASK, NULL, &mask);
  for (int number = 1; number < 32; number++)
    if (sigismember(&mask, number)) printf("signal %d is blocked\n", number);
  stack_t stack;
  sigaltstack(NULL, &stack);
  printf("alternate stack: %d\n", stack.ss_flags != SS_DISABLE);
  printf("main thread: %d\n", getpid() == gettid());
  printf("dumpable: %d\n", prctl(PR_GET_DUMPABLE));
  return 0;
}
