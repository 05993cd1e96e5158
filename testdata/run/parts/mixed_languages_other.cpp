#include <cstring>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
extern "C" {
int c_callback(int v);
int cpp_ready;
}
static std::map<std::string, int> counts;
static struct Ready { Ready() { cpp_ready = 1 + static_cast<int>(counts.size()); } } ready;
extern "C" int cpp_count(const char *text, char *most, unsigned long room) {
  std::istringstream words(text);
  std::string best;
  for (std::string word; words >> word;) if (++counts[word] > counts[best]) best = word;
  std::strncpy(most, best.c_str(), room);
  return static_cast<int>(counts.size());
}
extern "C" int cpp_fails(int v) {
  try {
    if (v < 0) throw std::domain_error("negative");
    return c_callback(v);
  } catch (const std::domain_error &) { return -100; }
}
