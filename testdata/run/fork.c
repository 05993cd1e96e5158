// fork, waitpid, pipes, pthread_atfork, posix_spawn, popen; children that exit, abort and are killed.
// Flags: -pthread
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static int prepared, in_parent, in_child;
static void prepare(void) { prepared++; }
static void parent(void) { in_parent++; }
static void child(void) { in_child++; }
static void handler(void) { printf("handler of %s\n", in_child ? "child" : "parent"); }

static void report(const char *what, pid_t pid) {
  int status;
  if (waitpid(pid, &status, 0) != pid) abort();
  if (WIFEXITED(status)) printf("%s exited %d\n", what, WEXITSTATUS(status));
  else printf("%s signal %d\n", what, WTERMSIG(status));
  fflush(stdout);
}

int main(void) {
  atexit(handler);
  pthread_atfork(prepare, parent, child);
  int down[2], up[2];
  if (pipe(down) || pipe(up)) return 1;
  pid_t pid = fork();
  if (pid == 0) {
    char text[32];
    ssize_t n = read(down[0], text, sizeof text);
    for (ssize_t i = 0; i < n; i++) text[i] ^= 0x20;
    write(up[1], text, (size_t)n);
    _exit(in_child * 10 + prepared);
  }
  write(down[1], "hello", 5);
  char text[6] = {0};
  read(up[0], text, 5);
  puts(text);
  report("child", pid);
  printf("%d %d %d\n", prepared, in_parent, in_child);
  fflush(stdout);
  if ((pid = fork()) == 0) exit(3);
  report("child with handlers", pid);
  if ((pid = fork()) == 0) abort();
  report("aborting child", pid);
  if ((pid = fork()) == 0) for (;;) pause();
  kill(pid, SIGKILL);
  report("killed child", pid);
  char *arguments[] = {"sh", "-c", "echo spawned $0; exit 4", "x", NULL};
  if (posix_spawn(&pid, "/bin/sh", NULL, NULL, arguments, environ)) return 1;
  report("spawned", pid);
  if ((pid = vfork()) == 0) {
    execl("/bin/sh", "sh", "-c", "exit 6", (char *)NULL);
    _exit(127);
  }
  report("vfork and exec", pid);
  FILE *stream = popen("echo popen; exit 2", "r");
  printf("%s", fgets(text, sizeof text, stream));
  printf("/%d %d\n", WEXITSTATUS(pclose(stream)), WEXITSTATUS(system("exit 5")));
  return 0;
}
