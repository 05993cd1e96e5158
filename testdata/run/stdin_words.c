// Every way of reading standard input, one after the other.
// Stdin: 12 0x1f -7 3.25 word\nsecond line, with commas\n  [bracket] 9\nlast line without newline
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void) {
  int a, b, c, got;
  double d;
  char word[16];
  got = scanf("%d %i %d %lf %15s", &a, &b, &c, &d, word);
  printf("%d: %d %d %d %.3f %s\n", got, a, b, c, d, word);
  int ch = getchar();
  ungetc(ch, stdin);
  printf("newline next: %d\n", ch == '\n');
  char line[64];
  printf("rest <%s>\n", strtok(fgets(line, sizeof line, stdin), "\n") ? "text" : "empty");
  printf("fgets %s", fgets(line, sizeof line, stdin));
  char inside[16];
  int n;
  got = scanf(" [%[^]]] %d%n", inside, &a, &n);
  printf("%d: %s %d %d\n", got, inside, a, n);
  getchar();
  char *text = NULL;
  size_t room = 0;
  ssize_t len;
  while ((len = getline(&text, &room, stdin)) > 0) printf("getline %zd <%s>\n", len, text);
  printf("eof %d error %d\n", feof(stdin) != 0, ferror(stdin) != 0);
  free(text);
  return 0;
}
