// Spectral norm, fannkuch, mandelbrot and matrix multiplication, each small.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double element(int i, int j) { return 1.0 / ((i + j) * (i + j + 1) / 2 + i + 1); }
static void times(int n, const double *v, double *out, int transposed) {
  for (int i = 0; i < n; i++) {
    out[i] = 0;
    for (int j = 0; j < n; j++) out[i] += (transposed ? element(j, i) : element(i, j)) * v[j];
  }
}
static double spectral_norm(int n) {
  double u[n], v[n], t[n], uv = 0, vv = 0;
  for (int i = 0; i < n; i++) u[i] = 1;
  for (int k = 0; k < 10; k++) times(n, u, t, 0), times(n, t, v, 1), times(n, v, t, 0), times(n, t, u, 1);
  for (int i = 0; i < n; i++) uv += u[i] * v[i], vv += v[i] * v[i];
  return sqrt(uv / vv);
}
static int fannkuch(int n, int *checksum) {
  int p[16], q[16], count[16], most = 0, r = n, permutation = 0;
  for (int i = 0; i < n; i++) p[i] = i;
  for (;;) {
    for (; r != 1; r--) count[r - 1] = r;
    memcpy(q, p, sizeof(int) * (size_t)n);
    int flips = 0, k;
    while ((k = q[0]) != 0) {
      for (int i = 0, j = k; i < j; i++, j--) { int t = q[i]; q[i] = q[j]; q[j] = t; }
      flips++;
    }
    if (flips > most) most = flips;
    *checksum += permutation++ % 2 ? -flips : flips;
    for (;; r++) {
      if (r == n) return most;
      int first = p[0];
      for (int i = 0; i < r; i++) p[i] = p[i + 1];
      p[r] = first;
      if (--count[r] > 0) break;
    }
  }
}
static void mandelbrot(int n) {
  for (int y = 0; y < n; y++) {
    unsigned char bits = 0;
    for (int x = 0; x < n; x++) {
      double cr = 2.0 * x / n - 1.5, ci = 2.0 * y / n - 1.0, r = 0, i = 0;
      int k = 0;
      for (; k < 50 && r * r + i * i < 4; k++) { double t = r * r - i * i + cr; i = 2 * r * i + ci; r = t; }
      bits = (unsigned char)(bits << 1 | (k == 50));
      if (x % 8 == 7) putchar(bits);
    }
  }
  putchar('\n');
}
static long multiply(int n) {
  long *a = malloc(3 * sizeof(long) * (size_t)(n * n)), *b = a + n * n, *c = b + n * n, sum = 0;
  for (int i = 0; i < n * n; i++) a[i] = i % 13, b[i] = i % 7 - 3, c[i] = 0;
  for (int i = 0; i < n; i++)
    for (int k = 0; k < n; k++)
      for (int j = 0; j < n; j++) c[i * n + j] += a[i * n + k] * b[k * n + j];
  for (int i = 0; i < n * n; i++) sum += c[i] * (i % 5);
  free(a);
  return sum;
}

int main(void) {
  int checksum = 0;
  printf("%.9f\n", spectral_norm(150));
  int most = fannkuch(8, &checksum);
  printf("%d %d\n", checksum, most);
  printf("%ld\n", multiply(160));
  mandelbrot(128);
  return 0;
}
