template <class T> struct Box {
    T value;
    T get() const { return value; }
};
struct Pair {
    Box<int> first;
    Box<long> second;
};
inline int shared_inline(int x) {
    Box<int> box{x};
    return box.get() * 2;
}
#define LIMIT 17
