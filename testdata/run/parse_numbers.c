// strtol and strtod families, sscanf, and their errors.
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

int main(void) {
  const char *integers[] = {"0", "  -12x", "0x7fG", "0777", "99999999999999999999", "-99999999999999999999", "", "zz"};
  for (int i = 0; i < 8; i++) {
    char *end;
    errno = 0;
    long value = strtol(integers[i], &end, i == 7 ? 36 : 0);
    printf("%ld rest <%s> errno %d\n", value, end, errno);
  }
  printf("%llu %d %ld\n", strtoull("18446744073709551615", NULL, 10), atoi("-17abc"), atol("123456789012"));
  const char *reals[] = {"1.5", "-2.5e3rest", "0x1.8p3", "inf", "nan", "1e999", "1e-999", ".5", "1e", "-0", "123456789.123456789"};
  for (int i = 0; i < 11; i++) {
    char *end;
    errno = 0;
    double value = strtod(reals[i], &end);
    printf("%.17g rest <%s> errno %d sign %d\n", isnan(value) ? 0 : value, end, errno, isnan(value) ? 0 : signbit(value) != 0);
  }
  printf("%.20Lg %.9g\n", strtold("3.14159265358979323846264", NULL), strtof("0.1", NULL));
  int a, b;
  float f;
  char set[10], c;
  unsigned char byte;
  long long wide;
  int got = sscanf("12-34:5.5 abcxyz Q 200 123456789012345", "%d-%d:%f %[a-c]%*s %c %hhu %lld", &a, &b, &f, set, &c, &byte, &wide);
  printf("%d: %d %d %g %s %c %d %lld\n", got, a, b, f, set, c, byte, wide);
  printf("%d %d\n", sscanf("x", "%d", &a), sscanf("", "%d", &a));
  return 0;
}
