// Virtual calls by every route: multiple and virtual inheritance, thunks, covariant results, RTTI, member pointers.
#include <cxxabi.h>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <typeinfo>
#include <vector>

struct Animal {
  virtual ~Animal() { std::cout << "~Animal "; }
  virtual std::string sound() const = 0;
  virtual Animal *clone() const = 0;
  int legs = 4;
};
struct Flying { virtual ~Flying() { std::cout << "~Flying "; } virtual int height() const { return 10; } long pad = 1; };
struct Bird : Animal, Flying {
  Bird() { legs = 2; }
  ~Bird() override { std::cout << "~Bird "; }
  std::string sound() const override { return "tweet"; }
  Bird *clone() const override { return new Bird(*this); }
  int height() const override { return 100 + legs; }
};
struct Node { int id; Node(int i) : id(i) {} virtual ~Node() = default; virtual int weight() { return id; } };
struct West : virtual Node { West() : Node(1) {} int weight() override { return 10 + id; } };
struct East : virtual Node { East() : Node(2) {} virtual int east() { return 20 + id; } };
struct Centre final : West, East { Centre() : Node(3) {} int east() override { return West::weight() * 2; } };
template <class Derived> struct Crtp { int twice() { return 2 * static_cast<Derived *>(this)->once(); } };
struct Once : Crtp<Once> { int once() { return 21; } };

static std::string demangled(const std::type_info &type) {
  char *text = abi::__cxa_demangle(type.name(), nullptr, nullptr, nullptr);
  std::string s = text;
  std::free(text);
  return s;
}

int main() {
  std::unique_ptr<Animal> bird = std::make_unique<Bird>();
  std::unique_ptr<Animal> copy(bird->clone());
  Flying *flying = dynamic_cast<Flying *>(copy.get());
  std::cout << bird->sound() << flying->height() << ' ' << demangled(typeid(*flying)) << ' ' << (dynamic_cast<Bird *>(flying) == copy.get()) << '\n';
  bird.reset();
  std::cout << '\n';
  delete dynamic_cast<Flying *>(copy.release());
  std::cout << '\n';
  Centre centre;
  East *east = &centre;
  Node *node = &centre;
  std::cout << centre.weight() << ' ' << node->weight() << ' ' << east->east() << ' ' << node->id << ' ' << dynamic_cast<West *>(east)->weight() << '\n';
  std::cout << (dynamic_cast<void *>(node) == &centre) << (dynamic_cast<Animal *>(reinterpret_cast<Flying *>(0)) == nullptr) << '\n';
  int (Node::*member)() = &Node::weight;
  int (East::*other)() = &East::east;
  int Node::*field = &Node::id;
  std::cout << (node->*member)() << ' ' << (east->*other)() << ' ' << node->*field << ' ' << Once().twice() << '\n';
  std::vector<const std::type_info *> types{&typeid(int), &typeid(std::vector<Bird *>), &typeid(&East::east), &typeid(const char *[3])};
  for (auto type : types) std::cout << demangled(*type) << '\n';
  std::cout << (typeid(int).hash_code() == typeid(int).hash_code()) << typeid(Animal).before(typeid(Animal)) << '\n';
}
