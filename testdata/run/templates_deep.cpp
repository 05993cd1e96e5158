// Templates in depth: long mangled names, thousands of instances, recursion, specialisation.
// Flags: -std=c++20 -ftemplate-depth=2000
#include <array>
#include <iostream>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

template <unsigned N> struct Fibonacci { static constexpr unsigned long value = Fibonacci<N - 1>::value + Fibonacci<N - 2>::value; };
template <> struct Fibonacci<0> { static constexpr unsigned long value = 0; };
template <> struct Fibonacci<1> { static constexpr unsigned long value = 1; };
template <int N> __attribute__((noinline)) int instance(int v) { static int calls = 0; return v * N + ++calls; }
template <int... N> constexpr auto table(std::integer_sequence<int, N...>) { return std::array<int (*)(int), sizeof...(N)>{instance<N>...}; }
template <class T, int Depth> struct Nest { using type = std::tuple<typename Nest<T, Depth - 1>::type, T>; };
template <class T> struct Nest<T, 0> { using type = T; };
template <class T> __attribute__((noinline)) std::size_t name_length(const T &) { return __builtin_strlen(__PRETTY_FUNCTION__); }
template <int N> struct Chain : Chain<N - 1> { virtual int up() { return N + Chain<N - 1>::up(); } };
template <> struct Chain<0> { virtual ~Chain() = default; virtual int up() { return 0; } };

int main() {
  constexpr auto functions = table(std::make_integer_sequence<int, 600>());
  long sum = 0;
  for (int round = 0; round < 2; round++) for (auto f : functions) sum = (sum * 31 + f(round + 1)) % 1000003;
  std::cout << Fibonacci<90>::value << ' ' << sum << '\n';
  Nest<std::string, 40>::type nested;
  std::cout << (name_length(nested) > 500) << ' ' << sizeof nested / sizeof(std::string) << '\n';
  Chain<150> chain;
  Chain<0> &base = chain;
  std::cout << base.up() << '\n';
}
