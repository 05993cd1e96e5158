// Callables, variant, optional, any, tuple, structured bindings, fold expressions, visitors.
// Flags: -std=c++20
#include <any>
#include <array>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <typeindex>
#include <utility>
#include <variant>
#include <vector>

template <class... Fs> struct Overloaded : Fs... { using Fs::operator()...; };
template <class... Fs> Overloaded(Fs...) -> Overloaded<Fs...>;
struct Number; struct Sum; struct Product;
using Expression = std::variant<double, std::unique_ptr<Sum>, std::unique_ptr<Product>>;
struct Sum { std::vector<Expression> terms; };
struct Product { std::vector<Expression> factors; };
static double evaluate(const Expression &e) {
  return std::visit(Overloaded{[](double v) { return v; },
                               [](const std::unique_ptr<Sum> &s) { double r = 0; for (auto &t : s->terms) r += evaluate(t); return r; },
                               [](const std::unique_ptr<Product> &p) { double r = 1; for (auto &f : p->factors) r *= evaluate(f); return r; }}, e);
}
template <class... Ts> static auto sum(Ts... vs) { return (vs + ...); }
template <class... Ts> static void print(const Ts &...vs) { ((std::cout << vs << ' '), ...); std::cout << '\n'; }
static std::optional<int> parse(const std::string &s) { if (s.empty()) return std::nullopt; return static_cast<int>(s.size()); }
static int add(int a, int b, int c) { return a * 100 + b * 10 + c; }
struct Machine { int state = 0; Machine &step(int n) { state += n; return *this; } };

int main() {
  auto product = std::make_unique<Product>();
  product->factors.emplace_back(3.0), product->factors.emplace_back(4.0);
  auto total = std::make_unique<Sum>();
  total->terms.emplace_back(1.5), total->terms.emplace_back(std::move(product));
  print(evaluate(Expression(std::move(total))), sum(1, 2.5, 3L));
  int calls = 0;
  std::function<int(int)> fibonacci = [&](int n) { calls++; return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); };
  print(fibonacci(15), calls);
  using namespace std::placeholders;
  auto bound = std::bind(add, _2, 5, _1);
  auto front = std::bind_front(add, 7);
  print(bound(1, 2), front(8, 9), std::invoke(&Machine::step, Machine{}, 4).state, std::mem_fn(&Machine::state)(Machine{6}));
  std::vector<std::function<std::string(std::string)>> stages{[](std::string s) { return s + "!"; }, [n = 3](std::string s) { std::string r; for (int i = 0; i < n; i++) r += s; return r; }};
  std::string text = "ab";
  for (auto &stage : stages) text = stage(std::move(text));
  print(text, parse("").value_or(-1), parse("four").value());
  std::any any = std::string("in any");
  print(std::any_cast<std::string>(any), any.type() == typeid(std::string));
  any = 5;
  try { (void)std::any_cast<double>(any); } catch (const std::bad_any_cast &e) { print(e.what()); }
  auto [a, b, c] = std::tuple_cat(std::make_tuple(1, 'x'), std::tuple(std::string("tuple")));
  print(a, b, c, std::apply(add, std::array{1, 2, 3}), std::get<1>(std::pair(1, 2)));
  std::map<std::type_index, const char *> names{{typeid(int), "int"}, {typeid(std::string), "string"}};
  print(names.at(typeid(std::string)), names.size());
  auto counter = [n = 0]() mutable { return ++n; };
  counter();
  auto copy = counter;
  print(counter(), copy(), [](auto... vs) { return sizeof...(vs); }(1, 2, 3));
}
