// Threads that still run when main returns; detached, blocked; static destructors run all the same.
// Flags: -pthread
// Exit: 3
#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>

static std::atomic<bool> running;
struct End { ~End() { std::puts("static destructor"); } } end;

int main() {
  std::thread([] { running = true; for (;;) std::this_thread::sleep_for(std::chrono::milliseconds(1)); }).detach();
  while (!running) std::this_thread::yield();
  std::puts("main returns");
  return 3;
}
