// The standard containers, and programs' usual use of them.
#include <algorithm>
#include <array>
#include <deque>
#include <forward_list>
#include <iostream>
#include <list>
#include <map>
#include <memory_resource>
#include <queue>
#include <set>
#include <stack>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

using namespace std::literals;

template <class C> void show(std::string_view name, const C &c) {
  std::cout << name << ':';
  for (const auto &v : c) std::cout << ' ' << v;
  std::cout << '\n';
}

int main() {
  std::vector<std::string> words{"delta", "alpha", "a word too long for the small buffer", "charlie"};
  words.emplace_back(3, 'z');
  words.insert(words.begin() + 1, "inserted");
  words.erase(words.begin());
  show("vector", words);
  std::map<std::string, std::vector<int>> index;
  for (int i = 0; i < 30; i++) index["key" + std::to_string(i * 7 % 10)].push_back(i);
  for (auto &[key, values] : index) std::cout << key << '=' << values.size() << '/' << values.back() << ' ';
  std::unordered_map<std::string, int> counts;
  for (auto word : {"a"s, "b"s, "a"s, "c"s, "a"s}) counts[word]++;
  std::unordered_set<long> large;
  for (long i = 0; i < 20000; i++) large.insert(i * i % 10007);
  std::cout << '\n' << counts["a"] << counts.count("q") << ' ' << large.size() << '\n';
  std::deque<int> deque;
  for (int i = 0; i < 1000; i++) i % 2 ? deque.push_back(i) : deque.push_front(i);
  std::list<int> list{5, 1, 4};
  list.sort();
  list.splice(list.end(), std::list<int>{9, 8});
  show("list", list);
  std::forward_list<char> chain{'x', 'y'};
  chain.push_front('w');
  show("forward_list", chain);
  std::multiset<int, std::greater<>> multi{3, 1, 3, 2};
  show("multiset", multi);
  std::priority_queue<std::pair<int, std::string>> queue;
  queue.push({2, "two"}), queue.push({9, "nine"}), queue.push({5, "five"});
  while (!queue.empty()) std::cout << queue.top().second << ' ', queue.pop();
  std::stack<int> stack(deque);
  std::array<std::array<int, 3>, 2> grid{{{1, 2, 3}, {4, 5, 6}}};
  std::cout << stack.top() << ' ' << deque.front() << ' ' << grid[1][2] << '\n';
  std::string text = "the quick brown fox";
  text.replace(text.find("quick"), 5, "slow").append("!").insert(0, ">> ");
  std::cout << text << ' ' << text.substr(3, 3) << ' ' << text.rfind('o') << ' ' << text.compare("z") / 100 << '\n';
  std::string_view view = text;
  std::cout << view.substr(7, 4) << ' ' << (view.find("fox") != view.npos) << ' ' << std::hash<std::string>{}("x") % 1 << '\n';
  std::vector<bool> bits(100);
  for (int i = 0; i < 100; i += 3) bits[i].flip();
  std::byte arena[4096];
  std::pmr::monotonic_buffer_resource resource(arena, sizeof arena);
  std::pmr::vector<std::pmr::string> pooled(&resource);
  for (int i = 0; i < 10; i++) pooled.emplace_back("a string long enough to be allocated");
  std::cout << std::count(bits.begin(), bits.end(), true) << ' ' << pooled.back().size() << '\n';
  auto node = index.extract("key3");
  node.key() = "renamed";
  index.insert(std::move(node));
  std::cout << index.begin()->first << ' ' << index.rbegin()->first << ' ' << index.lower_bound("key5")->first << '\n';
  try {
    words.at(99);
  } catch (const std::out_of_range &e) {
    std::cout << e.what() << '\n';
  }
}
