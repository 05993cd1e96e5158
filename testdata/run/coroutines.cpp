// Coroutines: a generator, a task chain, an exception through one.
// Flags: -std=c++20
#include <coroutine>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>
#include <utility>

template <class T> struct Generator {
  struct promise_type {
    T value;
    std::exception_ptr failure;
    Generator get_return_object() { return Generator(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_always initial_suspend() { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    std::suspend_always yield_value(T v) { value = std::move(v); return {}; }
    void return_void() {}
    void unhandled_exception() { failure = std::current_exception(); }
  };
  std::coroutine_handle<promise_type> handle;
  explicit Generator(std::coroutine_handle<promise_type> h) : handle(h) {}
  Generator(Generator &&o) : handle(std::exchange(o.handle, {})) {}
  ~Generator() { if (handle) handle.destroy(); }
  bool next() {
    handle.resume();
    if (handle.promise().failure) std::rethrow_exception(handle.promise().failure);
    return !handle.done();
  }
};
struct Loud { ~Loud() { std::cout << "frame gone "; } };
Generator<int> primes(int limit) {
  Loud loud;
  for (int i = 2; i < limit; i++) {
    bool prime = true;
    for (int j = 2; j * j <= i; j++) prime = prime && i % j;
    if (prime) co_yield i;
  }
}
Generator<std::string> words() {
  co_yield "first, long enough to be on the heap";
  co_yield "second";
  throw std::runtime_error("third fails");
}
struct Task {
  struct promise_type {
    int result = 0;
    std::coroutine_handle<> waiting = std::noop_coroutine();
    Task get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() { return {}; }
    struct Final {
      bool await_ready() noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> h) noexcept { return h.promise().waiting; }
      void await_resume() noexcept {}
    };
    Final final_suspend() noexcept { return {}; }
    void return_value(int v) { result = v; }
    void unhandled_exception() { std::terminate(); }
  };
  std::coroutine_handle<promise_type> handle;
  bool await_ready() { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> h) { handle.promise().waiting = h; return handle; }
  int await_resume() { int r = handle.promise().result; handle.destroy(); return r; }
};
Task count(int n) {
  if (n == 0) co_return 0;
  int rest = co_await count(n - 1);
  co_return rest + n;
}

int main() {
  {
    auto p = primes(50);
    int sum = 0;
    while (p.next()) sum += p.handle.promise().value;
    std::cout << sum << ' ';
    auto abandoned = primes(100);
    abandoned.next();
  }
  std::cout << '\n';
  auto w = words();
  try { while (w.next()) std::cout << w.handle.promise().value << '\n'; } catch (const std::exception &e) { std::cout << e.what() << '\n'; }
  Task t = count(100);
  t.handle.resume();
  std::cout << t.handle.promise().result << '\n';
  t.handle.destroy();
}
