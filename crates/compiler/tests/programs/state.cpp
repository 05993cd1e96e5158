// What LLVM's code generator keeps state for while it makes an object: debug information, unwinding, thread-local variables,
// sections and comdats, constructors, jump tables, addresses of blocks, assembly, and a variable that linkers must keep.

thread_local int counter = 3;
__attribute__((used, retain)) static int kept = 4;
__attribute__((section("own"))) int placed = 5;

struct Watched {
  int *count;
  explicit Watched(int *count) : count(count) { ++*count; }
  ~Watched() { --*count; }
};
static Watched constructed(&placed);

template <class T> T twice(T x) {
  if (x > T(1000))
    throw 1;
  return x + x;
}

int choose(int x) {
  switch (x) {
  case 0: return 7;
  case 1: return kept;
  case 2: return 11;
  case 3: return 19;
  case 4: return counter;
  case 5: return -4;
  case 6: return 99;
  }
  return 0;
}

__attribute__((target("avx2"))) void add(int *a, const int *b) {
  for (int i = 0; i < 1024; i++)
    a[i] += b[i];
}

int guarded(int x) {
  Watched watched(&counter);
  try {
    return twice(x) + int(twice(2.5));
  } catch (int e) {
    return e;
  }
}

void *label(int x) {
  static void *labels[] = {&&one, &&two};
  goto *labels[x & 1];
one:
  return &placed;
two:
  return &counter;
}

int assembly(int x) {
  int y;
  asm("leal 1(%1), %0" : "=r"(y) : "r"(x));
  return y;
}
