// Algorithms, ranges and views, concepts, spans, the three-way comparison, constant evaluation.
// Flags: -std=c++20
#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <compare>
#include <concepts>
#include <iostream>
#include <iterator>
#include <numeric>
#include <ranges>
#include <span>
#include <string>
#include <vector>

struct Version {
  int major, minor;
  auto operator<=>(const Version &) const = default;
};
template <std::integral T> constexpr T power(T base, unsigned n) { return n == 0 ? 1 : base * power(base, n - 1); }
consteval int primes_below(int n) {
  int count = 0;
  for (int i = 2; i < n; i++) {
    bool prime = true;
    for (int j = 2; j * j <= i; j++) prime &= i % j != 0;
    count += prime;
  }
  return count;
}
constinit int initial = primes_below(1000);
constexpr auto squares = [] {
  std::array<int, 16> a{};
  for (int i = 0; i < 16; i++) a[i] = i * i;
  return a;
}();
static int total(std::span<const int> values) { return std::accumulate(values.begin(), values.end(), 0); }

int main() {
  std::vector<int> v(1000);
  std::iota(v.begin(), v.end(), 0);
  std::ranges::transform(v, v.begin(), [](int i) { return i * 7919 % 1009; });
  auto copy = v;
  std::sort(v.begin(), v.end());
  std::stable_sort(copy.begin(), copy.end(), [](int a, int b) { return a % 10 < b % 10; });
  std::cout << v[500] << ' ' << copy[0] << ' ' << copy[999] << ' ' << std::ranges::is_sorted(v) << '\n';
  std::nth_element(copy.begin(), copy.begin() + 300, copy.end());
  std::partial_sort(copy.begin() + 500, copy.begin() + 510, copy.end(), std::greater{});
  std::cout << copy[300] << ' ' << copy[500] << ' ' << *std::lower_bound(v.begin(), v.end(), 555) << '\n';
  for (int i : v | std::views::filter([](int i) { return i % 97 == 0; }) | std::views::transform([](int i) { return i / 97; }) |
                   std::views::reverse | std::views::take(5))
    std::cout << i << ' ';
  std::string text = "split,these,words";
  for (auto word : text | std::views::split(',')) std::cout << std::string(word.begin(), word.end()) << '|';
  std::string letters = "abcd";
  int permutations = 0;
  do permutations++; while (std::next_permutation(letters.begin(), letters.end()));
  std::cout << permutations << '\n';
  std::vector<int> heap{3, 1, 4, 1, 5, 9, 2, 6}, united;
  std::make_heap(heap.begin(), heap.end());
  std::sort_heap(heap.begin(), heap.end());
  std::ranges::set_union(heap, std::vector{7, 8}, std::back_inserter(united));
  united.erase(std::unique(united.begin(), united.end()), united.end());
  std::ranges::rotate(united, united.begin() + 3);
  std::ranges::copy(united, std::ostream_iterator<int>(std::cout, ","));
  std::cout << total(united) << ' ' << std::inner_product(heap.begin(), heap.end(), united.begin(), 0) << '\n';
  static_assert(power(3, 4) == 81);
  std::cout << initial << ' ' << squares[15] << ' ' << (Version{1, 2} < Version{1, 10}) << (Version{2, 0} == Version{2, 0}) << '\n';
  std::cout << std::popcount(0xf0f0u) << ' ' << std::bit_ceil(100u) << ' ' << std::gcd(84, 36) << ' ' << std::midpoint(1, 8) << ' ' << std::lerp(1.0, 3.0, 0.25) << '\n';
  char buffer[40];
  auto end = std::to_chars(buffer, buffer + 40, 0.1).ptr;
  end = std::to_chars(end, buffer + 40, -255, 16).ptr;
  double parsed = 0;
  std::from_chars(buffer, buffer + 3, parsed);
  std::cout << std::string(buffer, end) << ' ' << parsed << '\n';
}
