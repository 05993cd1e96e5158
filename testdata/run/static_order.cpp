// Global objects of two files with priorities, against atexit and destructor attributes: who comes when.
// Files: parts/static_order_other.cpp
// Exit: 4
// Pie-objects: no, their thread-local variables are local-exec
#include "parts/static_order.h"
#include <cstdlib>

Loud first("first of main");
__attribute__((init_priority(200))) Loud soon("priority 200");
__attribute__((init_priority(150))) Loud sooner("priority 150 of main");
static Loud second("second of main");
thread_local Loud of_thread("thread_local of main");
Loud *leaked = new Loud("leaked");
__attribute__((constructor)) static void plain() { std::puts("constructor attribute"); }
__attribute__((destructor)) static void plain_end() { std::puts("destructor attribute"); }
int computed = value_there() + 1;

int main() {
  std::printf("main %d %d\n", computed, value_there());
  std::atexit([] {
    std::puts("atexit of main");
    static Loud late("made in atexit");
  });
  static Loud inside("static inside main");
  of_thread.touch();
  local_there();
  Loud automatic("automatic, not destroyed by exit");
  std::exit(4);
}
