// Complex arithmetic: multiplication and division call the compiler's runtime (__muldc3, __divdc3, ...).
#include <complex.h>
#include <math.h>
#include <stdio.h>

static volatile double a = 1.5, b = -2.25, zero;
int main(void) {
  double complex z = a + b * I, w = 3.0 - a * I;
  float complex zf = (float)a + (float)b * I;
  long double complex zl = a + (long double)b * I;
#define SHOW(v) printf("%.6g %.6g\n", (double)creal(v), (double)cimag(v))
  SHOW(z * w);
  SHOW(z / w);
  SHOW(zf * zf);
  SHOW(zf / (zf + 1));
  SHOW(zl * zl);
  SHOW(zl / (zl - I));
  SHOW(conj(z));
  SHOW(cexp(z));
  SHOW(csqrt(z));
  SHOW(cpow(z, w));
  SHOW(clog(z));
  printf("%.6g %.6g\n", cabs(z), carg(z));
  double complex huge = INFINITY * a + I * zero;
  double complex product = huge * w;
  printf("%d\n", isinf(creal(product)) || isinf(cimag(product)));
  double complex sum = 0;
  for (int k = 0; k < 8; k++) sum += cexp(2 * 3.14159265358979 * I * k / 8) * k;
  SHOW(sum);
  return 0;
}
