// The heavy parts of the library: regex, locale facets, random, chrono, filesystem, string streams.
// Flags: -std=c++20
#include <algorithm>
#include <chrono>
#include <complex>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <locale>
#include <random>
#include <regex>
#include <sstream>
#include <string>
#include <valarray>
#include <vector>

namespace fs = std::filesystem;
struct Comma : std::numpunct<char> {
  char do_thousands_sep() const override { return '\''; }
  std::string do_grouping() const override { return "\3"; }
};

int main() {
  std::regex pair(R"((\w+)\s*=\s*(\d+|"[^"]*"))");
  std::string text = R"(width = 40; name="far call", depth =7)";
  for (std::sregex_iterator at(text.begin(), text.end(), pair), end; at != end; ++at) std::cout << (*at)[1] << "->" << (*at)[2] << ' ';
  std::cout << std::regex_replace(text, std::regex("[aeiou]"), "_") << '\n';
  try { std::regex bad("(unclosed"); } catch (const std::regex_error &e) { std::cout << (e.code() == std::regex_constants::error_paren) << '\n'; }
  const std::time_t a_day = 86400;
  std::ostringstream grouped;
  grouped.imbue(std::locale(std::locale::classic(), new Comma));
  grouped << 1234567 << ' ' << std::put_time(std::gmtime(&a_day), "%F %T");
  std::cout << grouped.str() << ' ' << std::use_facet<std::ctype<char>>(std::locale()).toupper('q') << '\n';
  std::mt19937_64 engine(12345);
  std::uniform_int_distribution<int> dice(1, 6);
  std::normal_distribution<double> normal(10, 2);
  std::cout << engine() << ' ' << dice(engine) << dice(engine) << ' ' << std::setprecision(6) << normal(engine) << '\n';
  using namespace std::chrono;
  auto day = sys_days{year{2024} / February / 29};
  std::cout << (day + days{366}).time_since_epoch().count() << ' ' << duration_cast<minutes>(hours{5} + 90s).count() << ' ' << (steady_clock::now() >= steady_clock::time_point{}) << '\n';
  fs::path folder = fs::temp_directory_path() / ("farcall-text-" + std::to_string(std::random_device{}()) + std::to_string(steady_clock::now().time_since_epoch().count()));
  fs::create_directories(folder / "a" / "b");
  { std::ofstream(folder / "a" / "file.txt") << "line one\nline two\n"; }
  std::ifstream file(folder / "a" / "file.txt");
  std::string line;
  int lines = 0;
  while (std::getline(file, line)) lines++;
  std::vector<std::string> names;
  for (auto &entry : fs::recursive_directory_iterator(folder)) names.push_back(entry.path().lexically_relative(folder).string());
  std::sort(names.begin(), names.end());
  for (auto &name : names) std::cout << name << ' ';
  std::cout << lines << ' ' << fs::file_size(folder / "a" / "file.txt") << ' ' << fs::remove_all(folder) << '\n';
  std::error_code code;
  fs::file_size("/missing/file", code);
  std::cout << code.message() << ' ' << fs::path("/x/y.tar.gz").stem() << '\n';
  std::valarray<double> v{1, 2, 3};
  std::complex<double> z(1, 2);
  std::cout << (v * v).sum() << ' ' << z * z / std::complex<double>(0, 1) << ' ' << std::abs(z) << '\n';
}
