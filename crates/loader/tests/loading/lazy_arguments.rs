//! What a first call passes: all that a later call does.

use farcall_loader::{Definition, LazyScope, Loader};
use farcall_testkit::require_tools;

use crate::common::{call, image_with, load, load_bytes, system_loader};

/// What both sides are compiled with.
const TYPES: &str = r#"
    typedef float vec4 __attribute__((vector_size(16)));
    typedef struct { long a, b; } Pair;
    typedef struct { double x; long n; } Mixed;
    typedef struct { long words[8]; } Large;
"#;

const CALLEES: &str = r#"
    #include <stdarg.h>
    long ints(long a, long b, long c, long d, long e, long f, long g, long h) {
        return a + 10 * b + 100 * c + 1000 * d + 10000 * e + 100000 * f + 1000000 * g + 10000000 * h;
    }
    double doubles(double a, double b, double c, double d, double e, double f, double g, double h, double i) {
        return a + 10 * b + 100 * c + 1000 * d + 10000 * e + 100000 * f + 1000000 * g + 10000000 * h + 100000000 * i;
    }
    float vectors(vec4 a, vec4 b, vec4 c, vec4 d, vec4 e, vec4 f, vec4 g, vec4 h) {
        return a[3] + 10 * b[2] + 100 * c[1] + 1000 * d[0] + 10 * e[3] + 100 * f[2] + 1000 * g[1] + 10 * h[0];
    }
    long double extended(long double a, int b) { return a * b; }
    long pairs(Pair a, Mixed b, Large c) { return a.a + 10 * a.b + 100 * (long)b.x + 1000 * b.n + 10000 * c.words[7]; }
    Large result(long seed) { Large it; for (int i = 0; i < 8; i++) it.words[i] = seed + i; return it; }
    Mixed mixed(double x, long n) { return (Mixed){x, n}; }
    int sum(int count, ...) {
        va_list list; int total = 0; va_start(list, count);
        for (int i = 0; i < count; i++) total += i % 2 ? (int)va_arg(list, double) : va_arg(list, int);
        va_end(list); return total;
    }
"#;

const CALLER: &str = r#"
    TYPE(ints, "i64 (...)") TYPE(doubles, "double (...)") TYPE(vectors, "float (...)")
    TYPE(extended, "x86_fp80 (...)") TYPE(pairs, "i64 (...)") TYPE(result, "void (...)")
    TYPE(mixed, "void (...)") TYPE(sum, "i32 (i32, ...)")
    long ints(long, long, long, long, long, long, long, long);
    double doubles(double, double, double, double, double, double, double, double, double);
    float vectors(vec4, vec4, vec4, vec4, vec4, vec4, vec4, vec4);
    long double extended(long double, int); long pairs(Pair, Mixed, Large);
    Large result(long); Mixed mixed(double, long); int sum(int, ...);
    int call_ints(void) { return ints(1, 2, 3, 4, 5, 6, 7, 8) == 87654321; }
    int call_doubles(void) { return doubles(1, 2, 3, 4, 5, 6, 7, 8, 9) == 987654321; }
    int call_vectors(void) {
        vec4 v = {1, 2, 3, 4};
        return vectors(v, v, v, v, v + 1, v + 1, v + 1, v + 1) == 4 + 30 + 200 + 1000 + 50 + 400 + 3000 + 20;
    }
    int call_extended(void) { return extended(0.1L, 3) == 0.1L * 3; }
    int call_pairs(void) {
        Large large = {{0, 0, 0, 0, 0, 0, 0, 5}};
        return pairs((Pair){1, 2}, (Mixed){3, 4}, large) == 54321;
    }
    int call_result(void) { Large it = result(40); return it.words[0] == 40 && it.words[7] == 47; }
    int call_mixed(void) { Mixed it = mixed(1.5, 6); return it.x == 1.5 && it.n == 6; }
    int call_sum(void) { return sum(10, 1, 2.0, 3, 4.0, 5, 6.0, 7, 8.0, 9, 10.0) == 55; }
    // Values that live in registers over the call.
    int call_between(void) {
        volatile double d = 3; double x = d, y = x * 2;
        long n = ints(1, 0, 0, 0, 0, 0, 0, 0);
        return n == 1 && x == 3 && y == 6;
    }
"#;

const CALLS: [&str; 9] = [
    "call_ints",
    "call_doubles",
    "call_vectors",
    "call_extended",
    "call_pairs",
    "call_result",
    "call_mixed",
    "call_sum",
    "call_between",
];

#[test]
fn arguments_and_results_of_all_kinds_pass() {
    require_tools!("clang-22");
    let callees = load(
        &Loader::new(),
        "callees.c",
        &format!("{TYPES}{CALLEES}"),
        &[],
    )
    .unwrap();
    let scope = LazyScope::new(Loader::new());
    scope.add(&callees);
    let mut loader = Loader::new();
    loader.bind_lazily(&scope);
    let source = format!("{TYPES}{CALLER}");
    for name in CALLS {
        // Each in a module that has called nothing yet.
        let caller = load(&loader, "caller.c", &source, &[]).unwrap();
        // The first call, then one that goes straight there.
        assert_eq!([call(&caller, name), call(&caller, name)], [1, 1], "{name}");
    }
}

/// Arguments as wide as the processor's registers, in all eight of them.
#[cfg(target_arch = "x86_64")]
fn wide_vectors(option: &str, bytes: u32) {
    let types = format!("typedef double wide __attribute__((vector_size({bytes})));");
    let callee = format!(
        "{types} double wide_sum(wide a, wide b, wide c, wide d, wide e, wide f, wide g, wide h) {{
            wide sum = a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h; double total = 0;
            for (int i = 0; i < {bytes} / 8; i++) total += (i + 1) * sum[i];
            return total;
        }}"
    );
    let caller = format!(
        r#"{types} TYPE(wide_sum, "double (...)")
        double wide_sum(wide, wide, wide, wide, wide, wide, wide, wide);
        __attribute__((noinline)) static double once(volatile double *from) {{
            wide v[8];
            for (int k = 0; k < 8; k++) for (int i = 0; i < {bytes} / 8; i++) v[k][i] = *from + k + 10 * i;
            return wide_sum(v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]);
        }}
        int calls_agree(void) {{
            volatile double from = 1;
            double expected = 0;
            for (int k = 0; k < 8; k++) for (int i = 0; i < {bytes} / 8; i++)
                expected += (k + 1) * (i + 1) * (from + k + 10 * i);
            return once(&from) == expected && once(&from) == expected;
        }}"#
    );
    let callee = image_with("callee.c", &callee, &[option]);
    let callee = load_bytes(&Loader::new(), "callee.c", &callee, &[]).unwrap();
    let callee = Definition::export(&callee, "wide_sum").unwrap();
    let scope = LazyScope::with_handler(Loader::new(), move |_| {
        // SAFETY: the processor has the instruction, which leaves nothing in any vector register.
        unsafe { std::arch::asm!("vzeroall", clobber_abi("C")) };
        callee.clone()
    });
    let mut loader = Loader::new();
    loader.bind_lazily(&scope);
    let caller = image_with("caller.c", &caller, &[option]);
    let caller = load_bytes(&loader, "caller.c", &caller, &[]).unwrap();
    assert_eq!(call(&caller, "calls_agree"), 1);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn vectors_of_32_and_64_bytes_pass_where_the_processor_has_them() {
    require_tools!("clang-22");
    if is_x86_feature_detected!("avx") {
        wide_vectors("-mavx", 32);
    }
    if is_x86_feature_detected!("avx512f") {
        wide_vectors("-mavx512f", 64);
    }
}

#[test]
fn a_first_call_leaves_errno() {
    require_tools!("clang-22");
    let source = r#"#include <errno.h>
        TYPE(strlen, "i64 (ptr)") unsigned long strlen(const char *);
        TYPE(no_such_function, "i32 ()") int no_such_function(void);
        int keeps(void) { errno = 77; unsigned long n = strlen("abc" + (errno == 0)); return n == 3 && errno == 77; }
        int keeps_too(void) { errno = 78; no_such_function(); return errno == 78; }"#;
    extern "C" fn nothing() -> i32 {
        0
    }
    let scope = LazyScope::with_handler(system_loader(), |_| {
        // SAFETY: a descriptor that is not open.
        unsafe { libc::close(-1) };
        Definition::function(nothing as extern "C" fn() -> i32)
    });
    let mut loader = system_loader();
    loader.bind_lazily(&scope);
    let user = image_with("user.c", source, &["-fno-builtin"]);
    let user = load_bytes(&loader, "user.c", &user, &[]).unwrap();
    assert_eq!([call(&user, "keeps"), call(&user, "keeps_too")], [1, 1]);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_static_chain_passes() {
    require_tools!("clang-22");
    let callee =
        r#"__attribute__((naked)) long chained(void) { __asm__("mov %r10, %rax\n ret"); }"#;
    let callee = load(&Loader::new(), "callee.c", callee, &[]).unwrap();
    let scope = LazyScope::new(Loader::new());
    scope.add(&callee);
    let mut loader = Loader::new();
    loader.bind_lazily(&scope);
    let caller = r#"TYPE(chained, "i64 ()") long chained(void);
        int chain(void) { return (int)__builtin_call_with_static_chain(chained(), (void *)4321); }"#;
    let caller = load(&loader, "caller.c", caller, &[]).unwrap();
    assert_eq!([call(&caller, "chain"), call(&caller, "chain")], [4321; 2]);
}
