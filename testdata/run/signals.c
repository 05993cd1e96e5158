// Handlers, masks, timers, an alternate stack, a fault that is caught and repaired; death by SIGTERM.
// Signal: SIGTERM
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

static volatile sig_atomic_t count, last;
static void tally(int number) {
  count++;
  last = number;
}

static char *page;
static volatile sig_atomic_t faults, on_alternate;
static char alternate[65536];
static void repair(int number, siginfo_t *info, void *context) {
  (void)number, (void)context;
  char here;
  on_alternate = &here > alternate && &here < alternate + sizeof alternate;
  faults += (char *)info->si_addr == page + 10;
  mprotect(page, 4096, PROT_READ | PROT_WRITE);
}

static sigjmp_buf back;
static void leave(int number) { siglongjmp(back, number); }

int main(void) {
  signal(SIGUSR1, tally);
  raise(SIGUSR1);
  kill(getpid(), SIGUSR1);
  printf("%d %d\n", count, last == SIGUSR1);

  sigset_t block, old, pending;
  sigemptyset(&block);
  sigaddset(&block, SIGUSR1);
  sigprocmask(SIG_BLOCK, &block, &old);
  raise(SIGUSR1);
  sigpending(&pending);
  printf("blocked: %d %d\n", count, sigismember(&pending, SIGUSR1));
  sigprocmask(SIG_SETMASK, &old, NULL);
  printf("delivered: %d\n", count);

  stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
  sigaltstack(&stack, NULL);
  struct sigaction action = {.sa_sigaction = repair, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigaction(SIGSEGV, &action, NULL);
  page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ((volatile char *)page)[10] = 'x';
  printf("repaired: %d %d %c\n", faults, on_alternate, page[10]);

  signal(SIGFPE, leave);
  int number = sigsetjmp(back, 1);
  if (number == 0) raise(SIGFPE);
  printf("came back: %d\n", number == SIGFPE);

  signal(SIGALRM, tally);
  count = 0;
  struct itimerval soon = {.it_value = {.tv_usec = 1000}};
  sigset_t none;
  sigemptyset(&none);
  sigset_t alarm_only = none;
  sigaddset(&alarm_only, SIGALRM);
  sigprocmask(SIG_BLOCK, &alarm_only, NULL);
  setitimer(ITIMER_REAL, &soon, NULL);
  sigsuspend(&none);
  printf("alarm: %d\n", count);
  fflush(stdout);
  raise(SIGTERM);
  return 1;
}
