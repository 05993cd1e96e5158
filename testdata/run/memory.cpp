// Smart pointers, replaced operator new, placement new, aligned new, allocators, destruction order.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <vector>

static long allocations, releases, aligned_allocations;
void *operator new(std::size_t n) {
  allocations++;
  if (void *p = std::malloc(n ? n : 1)) return p;
  throw std::bad_alloc();
}
void operator delete(void *p) noexcept { releases += p != nullptr; std::free(p); }
void operator delete(void *p, std::size_t) noexcept { releases += p != nullptr; std::free(p); }
void *operator new(std::size_t n, std::align_val_t a) {
  aligned_allocations++;
  return std::aligned_alloc(static_cast<std::size_t>(a), (n + static_cast<std::size_t>(a) - 1) / static_cast<std::size_t>(a) * static_cast<std::size_t>(a));
}
void operator delete(void *p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void *p, std::size_t, std::align_val_t) noexcept { std::free(p); }

struct Node : std::enable_shared_from_this<Node> {
  std::shared_ptr<Node> next;
  std::weak_ptr<Node> back;
  int id;
  explicit Node(int i) : id(i) {}
  ~Node() { std::printf("~%d ", id); }
};
struct alignas(128) Wide { char bytes[128]; };
struct Pooled {
  static inline char pool[1024];
  static inline std::size_t used = 0;
  static void *operator new(std::size_t n) { used += n; return pool + used - n; }
  static void operator delete(void *) { std::puts("pooled delete"); }
  int v[4];
};

int main() {
  long before = allocations;
  void *volatile raw = ::operator new(100);
  ::operator delete(raw);
  std::printf("%ld %d\n", allocations - before, releases > 0);
  auto first = std::make_shared<Node>(1);
  first->next = std::make_shared<Node>(2);
  first->next->back = first;
  std::weak_ptr<Node> watch = first->next;
  std::printf("%ld %ld %d\n", first.use_count(), watch.use_count(), first->next->back.lock()->id);
  auto again = first->shared_from_this();
  first.reset();
  std::printf("%d ", watch.expired());
  again.reset();
  std::printf("%d\n", watch.expired());
  std::unique_ptr<std::FILE, int (*)(std::FILE *)> file(std::tmpfile(), std::fclose);
  std::unique_ptr<int[]> array(new int[10]{1, 2, 3});
  std::shared_ptr<void> anything(static_cast<void *>(array.get()), [](void *) { std::printf("deleter "); });
  anything = nullptr;
  Wide *volatile wide = new Wide;
  std::printf("%d %ld\n", static_cast<int>(reinterpret_cast<std::uintptr_t>(wide) % 128), aligned_allocations);
  delete wide;
  alignas(std::string) unsigned char room[sizeof(std::string)];
  auto *text = new (room) std::string("constructed in place, and quite long");
  std::printf("%zu\n", text->size());
  text->~basic_string();
  delete new Pooled{{1, 2, 3, 4}};
  std::printf("%zu\n", Pooled::used);
  std::vector<std::unique_ptr<Node>> nodes;
  for (int i = 10; i < 13; i++) nodes.push_back(std::make_unique<Node>(i));
  nodes.erase(nodes.begin() + 1);
  std::string grown;
  for (int i = 0; i < 1000; i++) grown += std::to_string(i);
  std::printf("%zu\n", grown.size());
}
