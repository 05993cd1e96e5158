// Variadic functions: integers, doubles, structs, long doubles, copies, forwarding to vprintf.
#include <stdarg.h>
#include <stdio.h>
#include <wchar.h>

struct pair { double x; int y; };
struct wide { long a, b, c, d; };

static double mixed(const char *kinds, ...) {
  va_list list, again;
  va_start(list, kinds);
  va_copy(again, list);
  double sum = 0;
  for (const char *k = kinds; *k; k++) switch (*k) {
      case 'i': sum += va_arg(list, int); break;
      case 'l': sum += (double)va_arg(list, long); break;
      case 'd': sum += va_arg(list, double); break;
      case 'D': sum += (double)va_arg(list, long double); break;
      case 'p': { struct pair p = va_arg(list, struct pair); sum += p.x * p.y; break; }
      case 'w': { struct wide w = va_arg(list, struct wide); sum += (double)(w.a + w.b + w.c + w.d); break; }
    }
  if (*kinds == 'i') sum += va_arg(again, int) * 1000;
  va_end(again);
  va_end(list);
  return sum;
}
__attribute__((format(printf, 1, 2))) static int say(const char *format, ...) {
  va_list list;
  va_start(list, format);
  int n = vprintf(format, list);
  va_end(list);
  return n;
}

int main(void) {
  struct pair p = {1.5, 4};
  struct wide w = {1, 2, 3, 4};
  printf("%.2f\n", mixed("iiiiiiiiii", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
  printf("%.2f\n", mixed("dddddddddddd", 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12.5));
  printf("%.2f\n", mixed("ildDpwild", 1, 2L, 3.5, 4.25L, p, w, 5, 6L, 7.0));
  printf("%.2f\n", mixed("ppppppppp", p, p, p, p, p, p, p, p, p));
  int n = say("%d %s %c %5.2f %Lg %p\n", 1, "two", '3', 4.0, 5.5L, (void *)0);
  return say("%d\n", n) != 3;
}
