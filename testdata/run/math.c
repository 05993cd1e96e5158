// libm in all three precisions, rounding, classification and the floating-point environment.
#include <fenv.h>
#include <math.h>
#include <stdio.h>

static volatile double x = 0.7, y = 2.5;
static volatile float xf = 0.7f;
static volatile long double xl = 0.7L;
int main(void) {
  double (*const one[])(double) = {sin, cos, tan, asin, acos, atan, sinh, cosh, tanh, asinh, atanh, exp, exp2, expm1,
                                   log, log2, log10, log1p, sqrt, cbrt, floor, ceil, trunc, round, rint, nearbyint,
                                   fabs, erf, erfc, tgamma, lgamma, logb, j0, j1, y0};
  for (size_t i = 0; i < sizeof one / sizeof *one; i++) printf("%.9g ", one[i](x));
  double (*const two[])(double, double) = {pow, atan2, fmod, hypot, remainder, fdim, fmax, fmin, copysign, nextafter};
  putchar('\n');
  for (size_t i = 0; i < sizeof two / sizeof *two; i++) printf("%.9g ", two[i](x, y));
  printf("\n%.6g %.6g %.6g %.6g\n", sinf(xf), powf(xf, 2.5f), expf(xf), fmodf(9.5f, xf));
  printf("%.15Lg %.15Lg %.15Lg %.15Lg\n", sinl(xl), powl(xl, 2.5L), expl(xl), fmodl(9.5L, xl));
  int exponent, quotient;
  double whole, fraction = modf(y * 3, &whole), mantissa = frexp(y, &exponent);
  printf("%g %g %g %d %g %d\n", fraction, whole, mantissa, exponent, remquo(17.0, y, &quotient), quotient);
  printf("%g %ld %lld %ld\n", ldexp(x, 10), lround(y), llrint(y), lrint(-y));
  printf("%g %g %d\n", fma(x, y, 1.0), scalbn(y, 3), ilogb(y * 100));
  volatile double zero = 0;
  printf("%d %d %d %d\n", isinf(1 / zero) != 0, isnan(zero / zero) != 0, fpclassify(1e-310 * x) == FP_SUBNORMAL, signbit(-zero) != 0);
  feclearexcept(FE_ALL_EXCEPT);
  volatile double r = 1 / zero;
  printf("%d %d\n", fetestexcept(FE_DIVBYZERO) != 0, fegetround() == FE_TONEAREST);
  fesetround(FE_UPWARD);
  printf("%.1f\n", rint(y * (r > 0)));
  return 0;
}
