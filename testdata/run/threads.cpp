// Threads of C++: mutexes, conditions, futures, call_once, thread_local objects, guards of local statics.
// Flags: -std=c++20 -pthread
// Pie-objects: no, their thread-local variables are initial-exec
#include <atomic>
#include <barrier>
#include <condition_variable>
#include <future>
#include <iostream>
#include <latch>
#include <mutex>
#include <numeric>
#include <queue>
#include <semaphore>
#include <shared_mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

static std::atomic<int> made, destroyed, guarded;
struct Tracked {
  std::string name = "a name that needs the heap for itself";
  Tracked() { made++; }
  ~Tracked() { destroyed += static_cast<int>(name.size() > 10); }
};
thread_local Tracked tracked;
thread_local int plain = 3;
inline thread_local std::vector<int> per_thread;
struct Once { Once() { guarded++; std::this_thread::yield(); } int value = 5; };
static Once &once() { static Once o; return o; }
static std::once_flag flag;
static int called;

template <class T> class Channel {
  std::queue<T> items;
  std::mutex mutex;
  std::condition_variable changed;
  bool closed = false;
public:
  void send(T v) { { std::lock_guard lock(mutex); items.push(std::move(v)); } changed.notify_one(); }
  void close() { { std::lock_guard lock(mutex); closed = true; } changed.notify_all(); }
  bool receive(T &v) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return closed || !items.empty(); });
    if (items.empty()) return false;
    v = std::move(items.front());
    items.pop();
    return true;
  }
};

int main() {
  std::vector<std::thread> threads;
  std::atomic<long> sum = 0;
  for (int i = 0; i < 8; i++) threads.emplace_back([i, &sum] {
      std::call_once(flag, [] { called++; });
      per_thread.push_back(i);
      plain += i;
      sum += once().value + plain + static_cast<long>(per_thread.size() * tracked.name.size());
    });
  for (auto &t : threads) t.join();
  std::cout << sum << ' ' << called << ' ' << guarded << ' ' << made << ' ' << destroyed << ' ' << plain << '\n';

  Channel<int> channel;
  auto consumer = std::async(std::launch::async, [&] { long total = 0; for (int v; channel.receive(v);) total += v; return total; });
  for (int i = 0; i < 10000; i++) channel.send(i);
  channel.close();
  std::promise<std::string> promise;
  auto future = promise.get_future();
  std::jthread sender([&](std::stop_token token) { promise.set_value(token.stop_possible() ? "stoppable" : "not"); });
  auto failing = std::async(std::launch::async, []() -> int { throw std::runtime_error("from a task"); });
  std::cout << consumer.get() << ' ' << future.get() << ' ';
  try { failing.get(); } catch (const std::exception &e) { std::cout << e.what() << ' '; }
  auto lazy = std::async(std::launch::deferred, [] { return std::this_thread::get_id() == std::this_thread::get_id(); });
  std::packaged_task<int(int)> task([](int v) { return v * 2; });
  task(21);
  std::cout << lazy.get() << ' ' << task.get_future().get() << '\n';

  std::latch latch(4);
  std::counting_semaphore<4> slots(2);
  std::shared_mutex shared;
  int phases = 0, written = 0;
  std::barrier barrier(4, [&]() noexcept { phases++; });
  {
    std::vector<std::jthread> group;
    for (int i = 0; i < 4; i++) group.emplace_back([&] {
        slots.acquire();
        { std::unique_lock lock(shared); written++; }
        slots.release();
        latch.count_down();
        for (int p = 0; p < 3; p++) barrier.arrive_and_wait();
        std::shared_lock lock(shared);
        if (written != 4) std::terminate();
      });
    latch.wait();
  }
  std::recursive_mutex recursive;
  std::scoped_lock both(recursive, recursive);
  std::atomic<int> word = 1;
  std::jthread waker([&] { word = 2; word.notify_all(); });
  word.wait(1);
  std::cout << phases << ' ' << written << ' ' << word << '\n';
}
