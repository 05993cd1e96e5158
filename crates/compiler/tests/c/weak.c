// Definitions of which the linker keeps one.
// # Symbolic: an image binds what it defines to itself, as -Bsymbolic makes other linkers do
__attribute__((weak)) int weak_number = 7;
__attribute__((weak)) int weak_function(int x) { return x + weak_number; }
int strong(int x) { return x; }
int second_name(int) __attribute__((alias("strong")));
int weak_name(int) __attribute__((weak, alias("strong")));
static int (*resolve(void))(int) { return strong; }
int resolved(int) __attribute__((ifunc("resolve")));
int tentative __attribute__((common));

int all(int x) { return weak_function(x) + second_name(x) + weak_name(x) + resolved(x) + tentative; }
int (*any(int x))(int) {
  int (*functions[])(int) = {weak_function, second_name, weak_name, resolved};
  return functions[x & 3];
}
