// Exceptions, destructors of static and thread-local objects, virtual functions.
#include <stdexcept>
#include <string>
struct Base { virtual ~Base() = default; virtual int value() const { return 1; } };
struct Derived : Base { std::string text = "derived"; int value() const override { return (int)text.size(); } };
static Derived derived;
static thread_local Derived local;
extern "C" int caught(int depth) {
    Derived guard;
    if (depth > 1) return caught(depth - 1) + guard.value();
    try { if (depth) throw std::runtime_error("thrown"); } catch (const std::exception &it) { return it.what()[0]; }
    return derived.value() + local.value();
}
