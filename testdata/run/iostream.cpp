// Streams: cin by word, number and line; manipulators; cerr; errors as states and as exceptions.
// Stdin: 42 3.5 word true\nrest of the line\n1 2 3 x 5\n
#include <bitset>
#include <iomanip>
#include <iostream>
#include <limits>
#include <sstream>
#include <string>

struct Point { int x, y; };
std::ostream &operator<<(std::ostream &out, const Point &p) { return out << '(' << p.x << ',' << p.y << ')'; }
std::istream &operator>>(std::istream &in, Point &p) { char c; return in >> c >> p.x >> c >> p.y >> c; }

int main() {
  int i; double d; std::string word, line; bool b;
  std::cin >> i >> d >> word >> std::boolalpha >> b;
  std::cout << i << ' ' << d << ' ' << word << ' ' << std::boolalpha << b << std::noboolalpha << b << '\n';
  std::cin.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  std::getline(std::cin, line);
  std::cout << std::quoted(line) << '\n';
  int sum = 0;
  while (std::cin >> i) sum += i;
  std::cout << sum << " fail " << std::cin.fail() << " eof " << std::cin.eof() << '\n';
  std::cin.clear();
  std::cin >> word >> i;
  std::cout << word << i << std::endl;
  std::cout << std::setw(8) << std::setfill('*') << 42 << std::left << std::setw(6) << 7 << std::right << std::hex
            << std::showbase << 255 << ' ' << std::oct << 8 << std::dec << ' ' << std::uppercase << std::hex << 48879 << '\n';
  std::cout << std::dec << std::fixed << std::setprecision(3) << 3.14159 << ' ' << std::scientific << 12345.678 << ' '
            << std::defaultfloat << 1e-7 << ' ' << std::hexfloat << 1.5 << std::defaultfloat << '\n';
  std::cerr << "to cerr " << Point{1, 2} << '\n';
  std::clog << "to clog\n";
  std::istringstream parse("(3,4)(5,x)");
  Point p{};
  parse >> p;
  std::cout << p << ' ' << static_cast<bool>(parse >> p) << '\n';
  std::stringstream loud;
  loud.exceptions(std::ios::failbit);
  try {
    loud << "text";
    loud >> i;
  } catch (const std::ios_base::failure &failure) {
    std::cout << "failure " << (failure.code() == std::io_errc::stream) << '\n';
  }
  std::cout << std::bitset<12>(1234) << ' ' << std::put_money(1) << '\n' << std::unitbuf << "last" << std::ends << std::flush;
  std::printf("stdio %d\n", 5);
}
