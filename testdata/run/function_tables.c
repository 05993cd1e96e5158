// Tables of function pointers, callbacks from libc (qsort, bsearch), pointers as data in other data.
#include <ctype.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double add(double a, double b) { return a + b; }
static double sub(double a, double b) { return a - b; }
static double mul(double a, double b) { return a * b; }
static double quo(double a, double b) { return a / b; }
static const struct operation {
  const char *name;
  double (*apply)(double, double);
} operations[] = {{"add", add}, {"sub", sub}, {"mul", mul}, {"div", quo}};
static int (*const classes[])(int) = {isalpha, isdigit, isspace, isupper, ispunct};
static const struct operation *const order[] = {&operations[3], &operations[1], operations, operations + 2};
static const char *const words[] = {"pear", "apple", "fig", "banana", "cherry", "date", "elderberry"};
enum { n_words = sizeof words / sizeof *words };

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }
static int by_length(const void *a, const void *b) {
  size_t x = strlen(*(const char *const *)a), y = strlen(*(const char *const *)b);
  return x != y ? (x > y) - (x < y) : by_text(a, b);
}
typedef int (*comparison)(const void *, const void *);
static comparison choose(int length) { return length ? by_length : by_text; }
static void visit(const void *node, VISIT which, int depth) {
  (void)depth;
  if (which == postorder || which == leaf) printf("%s ", *(const char *const *)node);
}
static int plain(const void *a, const void *b) { return strcmp(a, b); }

int main(void) {
  for (int i = 0; i < 4; i++) printf("%s %.3f\n", order[i]->name, order[i]->apply(7, 2));
  for (const char *p = "aZ5 ;"; *p; p++) {
    for (int i = 0; i < 5; i++) printf("%d", classes[i](*p) != 0);
    putchar(' ');
  }
  putchar('\n');
  for (int length = 0; length < 2; length++) {
    const char *copy[n_words];
    memcpy(copy, words, sizeof words);
    qsort(copy, n_words, sizeof *copy, choose(length));
    for (int i = 0; i < n_words; i++) printf("%s ", copy[i]);
    const char *key = "cherry";
    const char **hit = bsearch(&key, copy, n_words, sizeof *copy, choose(length));
    printf("%d\n", hit ? (int)(hit - copy) : -1);
  }
  void *root = NULL;
  for (int i = 0; i < n_words; i++) tsearch(words[i], &root, plain);
  twalk(root, visit);
  putchar('\n');
  while (root) tdelete(*(const char **)root, &root, plain);
  return 0;
}
