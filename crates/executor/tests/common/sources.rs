//! What is run in every kind of executor.

use std::fs;

use farcall_executor::{Argument, Value};
use farcall_testkit::{Linker, tools};

/// An image of one C source. The test has asked for `clang-22`.
pub fn image(source: &str) -> Vec<u8> {
    let object = object(source);
    Linker::new().add("module.o", &object).link().unwrap()
}

pub fn object(source: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let [c, object] = ["module.c", "module.o"].map(|name| folder.path().join(name));
    fs::write(&c, source).unwrap();
    let [c_arg, object_arg] = [&c, &object].map(|path| path.to_str().unwrap());
    let args = ["-O1", "-fPIC", "-c", c_arg, "-o", object_arg];
    tools::run("clang-22", &[tools::CLANG_TARGET, &args].concat()).unwrap();
    fs::read(object).unwrap()
}

/// An integer result.
pub const fn int(bits: u32, value: u64) -> Value {
    Value::Int { bits, value }
}

/// A function that throws, or gives what it is given when that is positive.
pub const THROWS: &str = "void *__cxa_allocate_exception(unsigned long);
     void __cxa_throw(void *, void *, void *);
     extern void *_ZTIi;
     int f(int x) {
         if (x > 0) return x;
         int *thrown = __cxa_allocate_exception(sizeof *thrown);
         *thrown = x;
         __cxa_throw(thrown, &_ZTIi, 0);
         return 0;
     }";

/// Functions with arguments and results of every kind.
pub const EVERY_KIND: &str = "#include <stdint.h>
         int8_t negate(int8_t x) { return -x; }
         uint64_t wide(uint64_t x) { return x + 1; }
         float half(float x) { return x / 2; }
         double mixed(int a, double b, float c, long d) { return a + b * c - d; }
         void *same(void *p) { return p; }
         void nothing(void) {}
         long sum(const long *p, long n) { long s = 0; while (n--) s += *p++; return s; }
         void fill(char *p, int n) { for (int i = 0; i < n; i++) p[i] = i; }
         void twice(unsigned char *p, int n) { while (n--) *p++ *= 2; }
         int many(int a, int b, int c, int d, int e, int f, int g, int h) { return g * 10 + h; }
         int copy(const char *from, int unused, char *to, double d, char *both)
         { for (int i = 0; i < 3; i++) { to[i] = from[i]; both[i] += from[i]; } return (int) d; }";

/// Calls a function of [`EVERY_KIND`] with a signature.
pub type Calls<'a> = dyn FnMut(&str, &'static str, &mut [Argument<'_>]) -> Value + 'a;

/// Calls the functions of [`EVERY_KIND`] and checks what comes back.
pub fn every_kind(call: &mut Calls<'_>) {
    use Argument::{Double, Float, In, InOut, Int, Out, Pointer};
    let signature = "signext i8 (i8 signext)";
    assert_eq!(call("negate", signature, &mut [Int(5)]), int(8, 0xfb));
    assert_eq!(call("wide", "i64 (i64)", &mut [Int(u64::MAX)]), int(64, 0));
    assert_eq!(
        call("half", "float (float)", &mut [Float(3.0)]),
        Value::Float(1.5)
    );
    let mut arguments = [Int(1), Double(2.0), Float(3.0), Int(4)];
    let signature = "double (i32, double, float, i64)";
    assert_eq!(call("mixed", signature, &mut arguments), Value::Double(3.0));
    let pointer = call("same", "ptr (ptr)", &mut [Pointer(0x1234)]);
    assert_eq!(pointer, Value::Pointer(0x1234));
    assert_eq!(call("nothing", "void ()", &mut []), Value::Void);
    let longs: Vec<u8> = (1..=1000_i64).flat_map(i64::to_le_bytes).collect();
    let mut arguments = [In(&longs), Int(1000)];
    assert_eq!(
        call("sum", "i64 (ptr, i64)", &mut arguments),
        int(64, 500_500)
    );
    let mut out = [9; 4];
    call("fill", "void (ptr, i32)", &mut [Out(&mut out), Int(3)]);
    assert_eq!(out, [0, 1, 2, 0]);
    let mut both = vec![3; 200_000];
    call(
        "twice",
        "void (ptr, i32)",
        &mut [InOut(&mut both), Int(199_999)],
    );
    assert!(both[..199_999].iter().all(|&byte| byte == 6) && both[199_999] == 3);
    let mut arguments: [Argument<'_>; 8] = std::array::from_fn(|n| Int(n as u64));
    let signature = "i32 (i32, i32, i32, i32, i32, i32, i32, i32)";
    assert_eq!(call("many", signature, &mut arguments), int(32, 67));
    let (mut to, mut both) = ([0; 3], *b"\x01\x01\x01");
    let mut arguments = [
        In(b"abc"),
        Int(0),
        Out(&mut to),
        Double(8.5),
        InOut(&mut both),
    ];
    let signature = "i32 (ptr, i32, ptr, double, ptr)";
    assert_eq!(call("copy", signature, &mut arguments), int(32, 8));
    assert_eq!((&to, &both), (b"abc", b"bcd"));
}
