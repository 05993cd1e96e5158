// A cache that forgets what was used longest ago, and a JSON reader and writer: everyday C++.
// Stdin: {"name": "far\u0063all", "list": [1, -2.5e3, true, null, {"deep": [[[]]]}], "text": "line\\nbreak \\"quoted\\""}
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <iterator>
#include <list>
#include <map>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

template <class K, class V> class Cache {
  std::size_t room;
  std::list<std::pair<K, V>> order;
  std::unordered_map<K, typename std::list<std::pair<K, V>>::iterator> where;
public:
  int hits = 0, misses = 0;
  explicit Cache(std::size_t n) : room(n) {}
  template <class F> const V &get(const K &key, F make) {
    if (auto found = where.find(key); found != where.end()) {
      hits++;
      order.splice(order.begin(), order, found->second);
      return found->second->second;
    }
    misses++;
    if (order.size() == room) where.erase(order.back().first), order.pop_back();
    order.emplace_front(key, make(key));
    where[key] = order.begin();
    return order.front().second;
  }
};

struct Value;
using Object = std::map<std::string, Value>;
using Array = std::vector<Value>;
struct Value { std::variant<std::nullptr_t, bool, double, std::string, Array, Object> is; };
class Reader {
  const char *at;
  [[noreturn]] void fail(const char *what) { throw std::runtime_error(std::string(what) + " before <" + at + ">"); }
  void space() { while (*at == ' ' || *at == '\n') at++; }
  void want(char c) { space(); if (*at++ != c) { at--; fail("unexpected"); } }
  std::string text() {
    std::string s;
    want('"');
    while (*at != '"') {
      if (!*at) fail("open text");
      if (*at != '\\') { s += *at++; continue; }
      switch (*++at) {
        case 'n': s += '\n'; at++; break;
        case 'u': s += static_cast<char>(std::stoi(std::string(at + 1, 4), nullptr, 16)); at += 5; break;
        default: s += *at++;
      }
    }
    at++;
    return s;
  }
public:
  explicit Reader(const char *s) : at(s) {}
  Value value() {
    space();
    if (*at == '{') {
      Object o;
      for (want('{'), space(); *at != '}'; space()) { if (!o.empty()) want(','); space(); auto k = text(); want(':'); o[k] = value(); }
      at++;
      return {o};
    }
    if (*at == '[') {
      Array a;
      for (want('['), space(); *at != ']'; space()) { if (!a.empty()) want(','); a.push_back(value()); }
      at++;
      return {a};
    }
    if (*at == '"') return {text()};
    for (auto [word, result] : {std::pair{"true", true}, std::pair{"false", false}}) if (std::strncmp(at, word, 4) == 0) { at += std::string(word).size(); return {result}; }
    if (std::strncmp(at, "null", 4) == 0) { at += 4; return {nullptr}; }
    char *end;
    double d = std::strtod(at, &end);
    if (end == at) fail("no value");
    at = end;
    return {d};
  }
};
static void write(const Value &v) {
  struct {
    void operator()(std::nullptr_t) { std::cout << "null"; }
    void operator()(bool b) { std::cout << (b ? "true" : "false"); }
    void operator()(double d) { std::cout << d; }
    void operator()(const std::string &s) { std::cout << '<' << s << '>'; }
    void operator()(const Array &a) { std::cout << '['; for (auto &v : a) write(v), std::cout << ';'; std::cout << ']'; }
    void operator()(const Object &o) { std::cout << '{'; for (auto &[k, v] : o) std::cout << k << ':', write(v), std::cout << ';'; std::cout << '}'; }
  } writer;
  std::visit(writer, v.is);
}

int main() {
  Cache<int, std::string> cache(100);
  unsigned x = 1;
  std::size_t length = 0;
  for (int i = 0; i < 50000; i++) {
    x = x * 1103515245 + 12345;
    int key = static_cast<int>((x >> 16) % 300 * ((x >> 20) % 3) / 2);
    length += cache.get(key, [](int k) { return std::string(static_cast<std::size_t>(k) % 40, 'c'); }).size();
  }
  std::cout << cache.hits << ' ' << cache.misses << ' ' << length << '\n';
  std::string input(std::istreambuf_iterator<char>(std::cin), {});
  write(Reader(input.c_str()).value());
  std::cout << '\n';
  for (auto bad : {"{\"a\" 1}", "[1, ]", "\"open"}) try { Reader(bad).value(); } catch (const std::exception &e) { std::cout << e.what() << '\n'; }
}
