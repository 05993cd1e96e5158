// Functions by address: to the C library and back, tables of them, tail calls, variadic ones, long double and vectors.
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int descending(const void *a, const void *b) { return *(const int *)b - *(const int *)a; }
static int sum(int n, ...) {
    va_list list;
    va_start(list, n);
    int total = 0;
    while (n--) total += va_arg(list, int);
    va_end(list);
    return total;
}
int (*const compare)(const void *, const void *) = descending;
int (*library)(const char *, const char *) = strcmp;
static double (*const table[])(double) = {sqrt, floor, fabs};
typedef float vector __attribute__((vector_size(16)));
static const vector ones = {1, 1, 1, 1};
int tail(const char *text) { return atoi(text); }

int test(void) {
    int numbers[] = {3, 1, 2};
    qsort(numbers, 3, sizeof *numbers, compare);
    if (numbers[0] != 3 || numbers[2] != 1) return 1;
    if (library("a", "a")) return 2;
    double total = 0;
    for (int i = 0; i < 3; i++) total += table[i](4.0);
    if (total != 10.0) return 3;
    if (sum(3, 1, 2, 3) != 6 || tail("42") != 42) return 4;
    vector v = ones + ones;
    if (v[3] != 2.0f) return 5;
    volatile long double wide = 2.5L;
    return (int)(wide * 4) == 10 && compare == descending ? 0 : 6;
}
