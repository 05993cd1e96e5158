// thread_local objects with constructors and destructors, across two files, in threads and at exit.
// Files: parts/thread_local_objects_other.cpp
// Flags: -pthread
// Pie-objects: no, their thread-local variables are initial-exec
#include "parts/thread_local_objects.h"
#include <thread>

thread_local Named here("here");
static Named global("global");
static int touch() {
  static thread_local Named inside("inside");
  return ++inside.uses + ++here.uses * 10;
}

int main() {
  std::cout << touch() << ' ' << touch() << '\n';
  std::thread([] { std::cout << touch() << ' ' << use_there() << '\n'; }).join();
  std::cout << "joined\n" << use_there() << ' ' << ++there.uses << ' ' << Shared<int>::value++ << ' ' << shared_there() << '\n';
  std::thread([] { std::cout << Shared<int>::value << ' ' << shared_there() << '\n'; }).join();
  std::cout << "end of main\n";
}
