// Exceptions, their destructors and types, inline statics, templates, virtual calls, static objects, thread_local ones.
#include <cstdio>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {
int live;
struct Guard {
    Guard() { ++live; }
    ~Guard() { --live; }
};
struct Shape {
    virtual ~Shape() = default;
    virtual int area() const = 0;
};
struct Square : Shape {
    int side;
    explicit Square(int side) : side(side) {}
    int area() const override {
        if (side < 0) throw std::out_of_range("negative");
        return side * side;
    }
};
struct Static {
    std::string text = "static object";
    ~Static() { std::puts("static object ends"); std::fflush(stdout); }
} object;
thread_local std::string per_thread = "thread";
} // namespace

template <typename T> struct Counter { static int count; };
template <typename T> int Counter<T>::count = 3;
inline int next() { static int value; return ++value; }

static int nested(int depth) {
    Guard guard;
    if (depth == 0) throw std::string("deep");
    return nested(depth - 1) + 1;
}

extern "C" int test() {
    std::vector<std::unique_ptr<Shape>> shapes;
    for (int side : {1, 2, -3}) shapes.push_back(std::make_unique<Square>(side));
    int sum = 0, caught = 0;
    for (const auto &shape : shapes) {
        try { sum += shape->area(); }
        catch (const std::logic_error &error) { caught += std::string(error.what()) == "negative"; }
    }
    if (sum != 5 || caught != 1) return 1;
    try { nested(20); return 2; }
    catch (const std::string &text) { if (text != "deep" || live != 0) return 3; }
    try { std::vector<int>().at(1); return 4; }
    catch (const std::exception &) {}
    try { try { throw 7; } catch (...) { throw; } }
    catch (int number) { if (number != 7) return 5; }
    std::map<std::string, int> words;
    for (const char *word : {"a", "b", "a"}) ++words[word];
    if (words["a"] != 2 || object.text.size() != 13 || per_thread != "thread") return 6;
    if (Counter<int>::count + Counter<long>::count != 6) return 7;
    int first = next();
    return next() == first + 1 ? 0 : 8;
}
