// Everything hidden, main too; exceptions and type identities shared with libstdc++ still work.
// Flags: -fvisibility=hidden -fvisibility-inlines-hidden -fno-threadsafe-statics -mretpoline
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>

struct Mine : std::runtime_error { using runtime_error::runtime_error; };
struct Shape { virtual ~Shape() = default; virtual int area() const { return 0; } };
struct Square : Shape { int side = 4; int area() const override { return side * side; } };
static const Shape &shape() { static Square s; return s; }

int main(int argc, char **) {
  std::map<std::string, const Shape *> shapes{{"square", &shape()}, {"none", nullptr}};
  try {
    for (auto &[name, s] : shapes) {
      std::cout << name << ' ' << (s ? s->area() : -1) << '\n';
      if (s && argc) throw Mine("mine");
    }
  } catch (const std::exception &e) { std::cout << e.what() << '\n'; }
  switch (argc * 3) { case 1: return 5; case 2: return 7; case 3: return 0; case 4: return 9; case 5: return 1; }
  return 99;
}
