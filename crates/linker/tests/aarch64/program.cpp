// C++ in two objects: virtual functions, inline functions in both, exceptions, constructors, local statics.
//# Variants: -O0 | -O1 | -O2 | -O2 -g -ffunction-sections | -Os -fno-exceptions -DQUIET | -O2 -mbranch-protection=standard
//# ExpectSymbol: run type=FUNC section=.text
//# ExpectSymbol: _ZTV5Shape section=.data.rel.ro binding=GLOBAL
//# ExpectDynamic: RELATIVE at _ZTV5Shape+8 = _ZTI5Shape
//# ExpectDynamic: ABSOLUTE _ZTVN10__cxxabiv117__class_type_infoE+16 at _ZTI5Shape
//# ExpectImport: __cxa_guard_acquire
//# ExpectImport: _ZdlPvm
//# ExpectNoSymbol: __dso_handle
//# ExpectSection: .init_array
//# ExpectSection: .eh_frame
//# ExpectValue: twice = once
struct Shape {
    virtual int area() const { return 0; }
    virtual ~Shape();
};
template <int N> struct Square : Shape {
    int area() const override { return N * N; }
};
struct Logger {
    int count;
    Logger();
    ~Logger();
};
inline Logger &logger() {
    static Logger logger;
    return logger;
}
extern "C" void *memcpy(void *, const void *, unsigned long);
int other();
Logger global;
extern "C" int (*const once)(int) __attribute__((weak)) = nullptr;
extern "C" __attribute__((alias("once"))) int (*const twice)(int);
extern "C" int run(int n) {
    Shape *shape = n > 3 ? static_cast<Shape *>(new Square<4>) : new Square<3>;
    int area = shape->area() + logger().count + other();
    delete shape;
#ifndef QUIET
    try {
        if (area > 7)
            throw area;
    } catch (int thrown) {
        return thrown;
    }
#endif
    return area;
}
//# Object: b.o
struct Shape {
    virtual int area() const { return 0; }
    virtual ~Shape();
};
struct Logger {
    int count;
    Logger();
    ~Logger();
};
inline Logger &logger() {
    static Logger logger;
    return logger;
}
Shape::~Shape() {}
Logger::Logger() : count(1) {}
Logger::~Logger() { count = 0; }
int other() {
    Shape shape;
    return shape.area() + logger().count;
}
