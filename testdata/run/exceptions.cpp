// Exceptions: through frames, by base, virtual bases, nested, rethrown, carried between threads, from libstdc++.
// Flags: -pthread
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <iostream>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <typeinfo>
#include <variant>
#include <vector>

struct Base { virtual ~Base() = default; virtual const char *name() const { return "Base"; } };
struct Left : virtual Base { const char *name() const override { return "Left"; } };
struct Right : virtual Base { int pad = 3; };
struct Both : Left, Right { const char *name() const override { return "Both"; } };
struct Trace {
  const char *name;
  explicit Trace(const char *n) : name(n) { std::cout << '+' << name << ' '; }
  ~Trace() { std::cout << '-' << name << ' '; }
};
struct Thrower {
  Trace part{"part"};
  Thrower(int v) try : checked(check(v)) {} catch (int code) { std::cout << "constructor caught " << code << ' '; }
  int checked;
  static int check(int v) { return v ? throw v : v; }
};
struct CountedError : std::runtime_error {
  static inline int alive = 0;
  CountedError(const std::string &s) : runtime_error(s) { alive++; }
  CountedError(const CountedError &o) : runtime_error(o) { alive++; }
  ~CountedError() override { alive--; }
};

__attribute__((noinline)) void deep(int n) {
  Trace t("deep");
  if (n == 0) throw CountedError("from the depth");
  deep(n - 1);
}
__attribute__((noinline)) void kinds(int which) {
  switch (which) {
    case 0: throw 42;
    case 1: throw "text";
    case 2: throw Both();
    case 3: throw std::string("a string");
    case 4: throw static_cast<Base *>(nullptr);
    case 5: throw 2.5L;
    case 6: throw std::vector<int>{1, 2, 3};
    case 7: throw nullptr;
  }
}
int compare(const void *a, const void *b) {
  if (*static_cast<const int *>(a) == 7 || *static_cast<const int *>(b) == 7) throw std::logic_error("seven");
  return *static_cast<const int *>(a) - *static_cast<const int *>(b);
}
void unwrap(const std::exception &e, int level = 0) {
  std::cout << level << ':' << e.what() << ' ';
  try { std::rethrow_if_nested(e); } catch (const std::exception &inner) { unwrap(inner, level + 1); }
}
struct Unwinding {
  int before = std::uncaught_exceptions();
  ~Unwinding() { std::cout << "uncaught " << std::uncaught_exceptions() - before << ' '; }
};

int main() {
  try { deep(3); } catch (const std::exception &e) { std::cout << e.what() << ' ' << CountedError::alive << ' '; }
  std::cout << CountedError::alive << '\n';
  for (int i = 0; i < 8; i++) try { kinds(i); }
    catch (int v) { std::cout << "int " << v << '\n'; }
    catch (const char *s) { std::cout << "text " << (s ? s : "null") << '\n'; }
    catch (const Base &b) { std::cout << "base " << b.name() << ' ' << (typeid(b) == typeid(Both)) << '\n'; }
    catch (std::string s) { std::cout << s << '\n'; }
    catch (const Base *p) { std::cout << "pointer " << (p == nullptr) << '\n'; }
    catch (long double d) { std::cout << d << '\n'; }
    catch (...) { std::cout << "other\n"; }
  try { Thrower t(0); Thrower u(5); } catch (...) { std::cout << "again\n"; }
  int values[] = {5, 3, 7, 1};
  try { std::qsort(values, 4, sizeof *values, compare); } catch (const std::logic_error &e) { std::cout << "qsort " << e.what() << '\n'; }
  try {
    try { try { throw std::runtime_error("inner"); } catch (...) { std::throw_with_nested(std::logic_error("middle")); } }
    catch (...) { std::throw_with_nested(std::invalid_argument("outer")); }
  } catch (const std::exception &e) { unwrap(e); }
  std::exception_ptr carried;
  std::thread([&] { try { deep(0); } catch (...) { carried = std::current_exception(); } }).join();
  try { std::rethrow_exception(carried); } catch (const CountedError &e) { std::cout << e.what() << '\n'; }
  carried = nullptr;
  std::cout << CountedError::alive << '\n';
  try { Unwinding u; throw 1; } catch (int) { Unwinding u; }
  try { try { throw Both(); } catch (Left &l) { throw; } } catch (Right &r) { std::cout << r.name() << r.pad << '\n'; }
  const std::vector<std::function<void()>> library = {
      [] { std::vector<int>().at(1); }, [] { std::string("x").substr(5); }, [] { (void)std::stoi("none"); },
      [] { std::function<void()>()(); }, [] { (void)std::get<1>(std::variant<int, char>(1)); },
      [] { Base b; (void)dynamic_cast<Both &>(b); }, [] { std::thread().join(); },
      [] { throw std::system_error(std::make_error_code(std::errc::no_such_file_or_directory), "path"); },
      [] { Base *volatile p = nullptr; (void)typeid(*p); }, [] { volatile std::size_t n = ~std::size_t{0} / 4; ::operator delete(::operator new(n)); },
      [] { std::vector<int> v; v.reserve(~std::size_t{0}); }};
  for (const auto &f : library) try { f(); } catch (const std::exception &e) { std::cout << typeid(e).name() << ' ' << e.what() << '\n'; }
}
