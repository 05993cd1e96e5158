// Inline functions and variables, templates, virtual calls, exceptions, static constructors.
// # Symbolic: an image binds what it defines to itself, as -Bsymbolic makes other linkers do
extern "C" int printf(const char *, ...);
extern "C" int imported(int);

inline int counter = 4;
inline int next() { static int calls = imported(1); return calls++ + counter; }
template <class T> T twice(T x) { return x + x; }

struct Shape {
  virtual ~Shape() = default;
  virtual int area() const = 0;
};
struct Square : Shape {
  int side = twice(next());
  int area() const override { return side * side; }
};
struct Elsewhere : Shape {
  int area() const override;
};

struct Failure { int code; };
thread_local Square of_this_thread;
Square at_start;
int early = imported(2);

int risky(int x) {
  try {
    if (imported(x) > 3) throw Failure{x};
    Elsewhere shape;
    return shape.area();
  } catch (const Failure &failure) {
    return failure.code + of_this_thread.area() + at_start.area() + early;
  }
}
