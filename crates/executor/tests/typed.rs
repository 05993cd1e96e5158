//! Calls of functions that know their types.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use common::{assert_fails, image, serve};
use farcall_executor::{
    Connection, ErrorKind, Executor, In, InOut, Order, Out, Pointer, RemoteModule, Service,
};
use farcall_image::Image;
use farcall_testkit::{Linker, require_tools};

const SOURCE: &str = "#include <stdint.h>
     #include <stdbool.h>
     int add(int a, int b) { return a + b; }
     int8_t negate(int8_t x) { return -x; }
     int wide(uint8_t a, int8_t b, uint16_t c, int16_t d) { return a * 8 + b * 4 + c * 2 + d; }
     uint8_t low(uint64_t x) { return x; }
     bool not(bool x) { return !x; }
     float half(float x) { return x / 2; }
     double mixed(int a, double b, float c, long d) { return a + b * c - d; }
     void nothing(void) {}
     long sum(const long *p, long n) { long s = 0; while (n--) s += *p++; return s; }
     void scale(double *p, long n, double by) { while (n--) *p++ *= by; }
     void count(uint32_t *p, unsigned n) { for (unsigned i = 0; i < n; i++) p[i] = i; }
     void *after(void *p) { return (char *) p + 1; }
     long twelve(long a, int b, char c, long d, long e, long f, long g, long h, long i, long j, double k, long l)
     { return a + b + c + d + e + f + g + h + i + j + (long) k + l; }";

fn there() -> (Executor, RemoteModule) {
    let bytes = image(SOURCE);
    let stream = serve(&Service::default()).stream;
    let executor = Executor::speak(Connection::unix(stream)).unwrap();
    let module = executor.load(&Image::parse(&bytes).unwrap()).unwrap();
    (executor, module)
}

#[test]
fn arguments_and_results_of_every_type() {
    require_tools!("clang-22");
    let (executor, module) = there();
    let add = executor
        .typed::<fn(i32, i32) -> i32>(&module, "add")
        .unwrap();
    assert_eq!(add.call(i32::MAX, -1).unwrap(), i32::MAX - 1);
    // A type that is used in process is good here too.
    type Negate = unsafe extern "C" fn(i8) -> i8;
    let negate = executor.typed::<Negate>(&module, "negate").unwrap();
    assert_eq!(negate.call(5).unwrap(), -5);
    assert_eq!(negate.call(-128).unwrap(), -128);
    // Functions rely on their callers' extending what is narrow.
    let wide = executor
        .typed::<fn(u8, i8, u16, i16) -> i32>(&module, "wide")
        .unwrap();
    let sum = wide.call(255, -1, u16::MAX, -1).unwrap();
    assert_eq!(sum, 255 * 8 - 4 + 65535 * 2 - 1);
    let low = executor.typed::<fn(u64) -> u8>(&module, "low").unwrap();
    assert_eq!(low.call(0x1_ff).unwrap(), 0xff);
    let not = executor.typed::<fn(bool) -> bool>(&module, "not").unwrap();
    assert_eq!(
        (not.call(true).unwrap(), not.call(false).unwrap()),
        (false, true)
    );
    let half = executor.typed::<fn(f32) -> f32>(&module, "half").unwrap();
    assert_eq!(half.call(3.0).unwrap(), 1.5);
    let mixed = executor
        .typed::<fn(i32, f64, f32, isize) -> f64>(&module, "mixed")
        .unwrap();
    assert_eq!(mixed.call(1, 2.0, 3.0, 4).unwrap(), 3.0);
    let nothing = executor.typed::<fn()>(&module, "nothing").unwrap();
    nothing.call().unwrap();
    let twelve = executor
        .typed::<fn(i64, i32, i8, i64, i64, i64, i64, i64, i64, i64, f64, i64) -> i64>(
            &module, "twelve",
        );
    let twelve = twelve.unwrap();
    assert_eq!(
        twelve
            .call(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11.5, 12)
            .unwrap(),
        78
    );
}

#[test]
fn slices_of_numbers_go_in_and_come_out() {
    require_tools!("clang-22");
    let (executor, module) = there();
    let sum = executor
        .typed::<fn(In<i64>, usize) -> i64>(&module, "sum")
        .unwrap();
    assert_eq!(sum.call(&[1, 2, -5], 3).unwrap(), -2);
    assert_eq!(sum.call(&[], 0).unwrap(), 0);
    let numbers: Vec<i64> = (1..=1000).collect();
    assert_eq!(sum.call(&numbers, numbers.len()).unwrap(), 500_500);
    let scale = executor
        .typed::<fn(InOut<f64>, i64, f64)>(&module, "scale")
        .unwrap();
    let mut numbers = [1.0, 2.0, 3.0];
    scale.call(&mut numbers, 2, 10.0).unwrap();
    assert_eq!(numbers, [10.0, 20.0, 3.0]);
    let count = executor
        .typed::<fn(Out<u32>, u32)>(&module, "count")
        .unwrap();
    let mut numbers = [9; 4];
    count.call(&mut numbers, 3).unwrap();
    assert_eq!(numbers, [0, 1, 2, 0]);
}

#[test]
fn pointers_are_addresses_there() {
    require_tools!("clang-22");
    let (executor, module) = there();
    let buffer = executor.allocate(24).unwrap();
    buffer.write(8, &7_i64.to_le_bytes()).unwrap();
    let sum = executor
        .typed::<fn(*const i64, i64) -> i64>(&module, "sum")
        .unwrap();
    assert_eq!(sum.call((&buffer).into(), 3).unwrap(), 7);
    assert_eq!(sum.call(Pointer::Buffer(&buffer, 8), 1).unwrap(), 7);
    assert_eq!(
        sum.call(Pointer::Address(buffer.address() + 8), 2).unwrap(),
        7
    );
    let after = executor
        .typed::<fn(*mut u8) -> *mut u8>(&module, "after")
        .unwrap();
    assert_eq!(after.call(Pointer::Address(0x1000)).unwrap(), 0x1001);
    assert_eq!(after.call((&buffer).into()).unwrap(), buffer.address() + 1);
}

#[test]
fn calls_that_are_not_waited_for_know_their_results() {
    require_tools!("clang-22");
    let (executor, module) = there();
    let add = executor
        .typed::<fn(i32, i32) -> i32>(&module, "add")
        .unwrap();
    let calls: Vec<_> = (0..100)
        .map(|n| (n, add.start(Order::InTurn, n, 1).unwrap()))
        .collect();
    for (n, call) in calls.into_iter().rev() {
        assert_eq!(call.wait().unwrap(), n + 1);
    }
}

/// An image that knows the type of its function, as those of IR do.
fn typed_image() -> Vec<u8> {
    let object = common::object(
        "int add(int a, int b) { return a + b; }
         __asm__(\".pushsection .farcall.types,\\\"e\\\",@progbits\\n\"
             \".asciz \\\"add\\\"\\n.asciz \\\"i32 (i32, i32)\\\"\\n.popsection\");",
    );
    Linker::new().add("add.o", &object).link().unwrap()
}

#[test]
fn a_type_that_is_another_is_refused_at_lookup_and_both_are_named() {
    require_tools!("clang-22");
    let bytes = typed_image();
    let executor = Executor::local().unwrap();
    let module = executor.load(&Image::parse(&bytes).unwrap()).unwrap();
    let add = executor
        .typed::<fn(i32, u32) -> i32>(&module, "add")
        .unwrap();
    assert_eq!(add.call(1, 2).unwrap(), 3);
    let wrong = executor.typed::<fn(i32, In<u8>) -> i64>(&module, "add");
    assert_fails(
        wrong,
        ErrorKind::Arguments,
        "add is i32 (i32, i32), not i64 (i32, ptr)",
    );
    let none = executor.typed::<fn()>(&module, "sub");
    assert_fails(none, ErrorKind::UnknownSymbol, "sub");
}
