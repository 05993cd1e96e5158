// <string.h>: what the compiler expands, what it turns into other calls, and what it leaves.
#define _GNU_SOURCE
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static char text[256];
int main(int argc, char **argv) {
  (void)argv;
  size_t n = (size_t)argc;
  strcpy(text, "The quick brown fox");
  strcat(text, " jumps");
  strncat(text, " over everything", 5);
  printf("%zu %zu %s\n", strlen(text), strnlen(text, 5), text);
  printf("%s|%s|%s\n", strchr(text, 'q'), strrchr(text, 'o'), strstr(text, "brown"));
  printf("%s %zu %zu\n", strpbrk(text, "xyz"), strspn(text, "The "), strcspn(text, "q"));
  printf("%d %d %d %d\n", strcmp("a", "b") < 0, strncmp("abc", "abd", 2 * n), strcasecmp("HeLLo", "hEllO"), memcmp("abc\0x", "abc\0y", 5) < 0);
  char *save, copy[] = "a,b;;c,d";
  for (char *token = strtok_r(copy, ",;", &save); token; token = strtok_r(NULL, ",;", &save)) printf("<%s>", token);
  char *rest = (char[]){"x:y::z"}, *field;
  while ((field = strsep(&rest, ":"))) printf("{%s}", field);
  putchar('\n');
  memmove(text + 4, text, 10 * n);
  printf("%.14s\n", text);
  memset(text, '-', 10 * n);
  printf("%.20s\n", text);
  char *dup = strdup(text), *part = strndup(text + 8, 6);
  printf("%s %s %zd\n", dup, part, (char *)memchr(text, 'T', 40) == NULL ? -1L : (char *)memchr(text, 'T', 40) - text);
  free(dup), free(part);
  printf("%s %s\n", (char *)memmem("hello world", 11, "o w", 3), stpcpy(text, "end") - 3);
  for (char *p = text; *p; p++) *p = (char)toupper((unsigned char)*p);
  puts(text);
  printf("%s %s\n", strerror(2), strsignal(11));
  char big[1000], other[1000];
  for (int i = 0; i < 1000; i++) big[i] = (char)(i * 7);
  memcpy(other, big, sizeof big);
  printf("%d %s %d\n", memcmp(big, other, sizeof big), basename("/a/b/c"), ffs(48));
  return 0;
}
