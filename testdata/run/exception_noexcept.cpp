// An exception that meets noexcept: the terminate handler runs while it is current.
// Signal: SIGABRT
#include <cstdlib>
#include <exception>
#include <iostream>

static void handler() {
  try { std::rethrow_exception(std::current_exception()); } catch (int v) { std::cout << "terminated by " << v << std::endl; }
  std::abort();
}
__attribute__((noinline)) static void thrower(int v) { throw v; }
static void firm(int v) noexcept { thrower(v); }

int main() {
  std::set_terminate(handler);
  try { firm(17); } catch (...) { std::cout << "never" << std::endl; }
}
