// An exception that leaves a thread: terminate, and the process with it.
// Flags: -pthread
// Signal: SIGABRT
#include <iostream>
#include <string>
#include <thread>

struct Oops { virtual ~Oops() = default; };
struct Worse : Oops { std::string text = "worse"; };

int main() {
  std::cout << "before" << std::endl;
  std::thread([] {
    try { throw Worse(); }
    catch (const Oops &o) { std::cout << dynamic_cast<const Worse &>(o).text << std::endl; throw; }
  }).join();
  std::cout << "never" << std::endl;
}
