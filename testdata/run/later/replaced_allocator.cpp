// Todo: the program's operator new and malloc answer to the libraries too, as an executable's do
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <new>
#include <sstream>

// What it returns only its own delete can take: memory that libstdc++ allocates and the program frees goes wrong unless
// both see these.
void *operator new(std::size_t n) { return static_cast<char *>(std::malloc(n + 64)) + 64; }
void operator delete(void *p) noexcept { if (p) std::free(static_cast<char *>(p) - 64); }
void operator delete(void *p, std::size_t) noexcept { ::operator delete(p); }

int main() {
  std::ostringstream out;
  for (int i = 0; i < 1000; i++) out << i << ' ';
  std::string text = out.str();
  std::puts(text.substr(0, 30).c_str());
  std::cout << text.size() << '\n';
}
