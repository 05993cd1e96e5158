// Arguments and the environment reach main, constructors and `environ` alike.
// Args: one "two words" "" -- --last=1
// Env: FARCALL_TEST=first value
// Exit: 6
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;
static int constructor_argc;
static char **constructor_argv, **constructor_envp;

__attribute__((constructor)) static void remember(int argc, char **argv, char **envp) {
  constructor_argc = argc;
  constructor_argv = argv;
  constructor_envp = envp;
}

int main(int argc, char **argv, char **envp) {
  printf("argc %d, terminated %d\n", argc, argv[argc] == NULL);
  for (int i = 1; i < argc; i++) printf("argv[%d] = <%s>\n", i, argv[i]);
  printf("constructor: %d %d %d\n", constructor_argc == argc, constructor_argv == argv,
         constructor_envp == envp);
  for (char **e = envp; *e; e++) puts(*e);
  printf("same: %d\n", envp == environ);
  printf("getenv: %s\n", getenv("FARCALL_TEST"));
  setenv("FARCALL_TEST", "second", 1);
  setenv("FARCALL_NEW", "x", 0);
  unsetenv("PATH");
  printf("changed: %s %s %d\n", getenv("FARCALL_TEST"), getenv("FARCALL_NEW"), getenv("PATH") == NULL);
  int found = 0;
  for (char **e = environ; *e; e++) found += strcmp(*e, "FARCALL_TEST=second") == 0;
  printf("found %d\n", found);
  argv[1][0] = 'O';
  puts(argv[1]);
  return argc;
}
