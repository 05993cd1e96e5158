//! The models of thread-local variables that are not general-dynamic: TLS descriptors and
//! initial-exec.

use std::sync::{Barrier, OnceLock};

use farcall_loader::{Error, Loader};
use farcall_testkit::require_tools;

use crate::common::{
    DESCRIPTORS, INITIAL_EXEC, TRADITIONAL, call, image, image_with, load_bytes, system_loader,
};

/// Values that need each kind of relocation in the initial bytes, and some that are zero.
const COUNTERS: &str = "
    #ifdef __x86_64__
    #define ALIGNMENT 64
    #else
    #define ALIGNMENT 32 // The C library has no more.
    #endif
    static int shared = 100;
    static __thread int zero; static __thread int start = 40;
    __thread int *pointer = &shared;
    __thread char aligned[3] __attribute__((aligned(ALIGNMENT))) = \"ab\";
    int next(void) { zero++; return start++ + zero + *pointer; }
    int is_aligned(void) { return (long)aligned % ALIGNMENT == 0 && aligned[1] == 'b'; }";

/// Uses the image's variables in threads from before the load, from after it, and in this one.
fn check_threads(bytes: &[u8]) {
    let loaded = Barrier::new(3);
    let module = OnceLock::new();
    let uses = || {
        let module: &Result<_, Error> = module.get().unwrap();
        let module = module.as_ref().unwrap();
        assert_eq!([call(module, "next"), call(module, "next")], [141, 143]);
        assert_eq!(call(module, "is_aligned"), 1);
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loaded.wait();
                uses();
            });
        }
        // A failure shows after the barrier, at which the threads wait.
        let _ = module.set(load_bytes(&Loader::new(), "counters", bytes, &[]));
        loaded.wait();
        uses();
        scope.spawn(uses);
    });
    // A new load starts anew, in every thread.
    let again = load_bytes(&Loader::new(), "counters", bytes, &[]).unwrap();
    assert_eq!(call(&again, "next"), 141);
    again.unload().unwrap();
    module.into_inner().unwrap().unwrap().unload().unwrap();
}

#[test]
fn descriptors_serve_every_thread() {
    require_tools!("clang-22");
    check_threads(&image_with("counters.c", COUNTERS, DESCRIPTORS));
}

#[test]
fn initial_exec_serves_every_thread() {
    require_tools!("clang-22");
    let bytes = image_with("counters.c", COUNTERS, INITIAL_EXEC);
    for _ in 0..3 {
        check_threads(&bytes);
    }
}

#[test]
fn descriptors_leave_vector_registers() {
    require_tools!("clang-22");
    // Sums live in registers over the first use of the variable in this thread.
    let source = "
        static __thread double factor = 0.5;
        __thread double *where;
        double sum(const double *values) {
            double a = values[0] * 2, b = values[1] * 3, c = values[2] * 5, d = values[3] * 7;
            where = &factor;
            return (a + b) * factor + (c + d);
        }
        int check(void) {
            double values[] = {1, 2, 3, 4};
            return (int)sum(values);
        }";
    #[cfg(target_arch = "x86_64")]
    let wide = {
        if !std::arch::is_x86_feature_detected!("avx2") {
            return;
        }
        "-mavx2"
    };
    #[cfg(target_arch = "aarch64")]
    let wide = "-march=armv8-a";
    let bytes = image_with("sum.c", source, &[DESCRIPTORS, &["-O2", wide]].concat());
    let module = load_bytes(&Loader::new(), "sum.c", &bytes, &[]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                assert_eq!(call(&module, "check"), 47);
                assert_eq!(call(&module, "check"), 47);
            });
        }
    });
}

#[test]
fn modules_share_variables_in_every_model() {
    require_tools!("clang-22");
    let provider = "__thread int v = 5; int own(void) { return v; }";
    let user = "extern __thread int v; int add(void) { return v += 10; }";
    let models = [TRADITIONAL, DESCRIPTORS, INITIAL_EXEC];
    for (index, provides) in models.iter().enumerate() {
        for uses in models {
            let loader = Loader::new();
            let provider = image_with("provider.c", provider, provides);
            let provider = load_bytes(&loader, "provider.c", &provider, &[]).unwrap();
            let user = image_with("user.c", user, uses);
            let user = load_bytes(&loader, "user.c", &user, &[&provider]);
            if uses == INITIAL_EXEC && index != 2 {
                assert_eq!(
                    user.unwrap_err().to_string(),
                    "user.c: v: used in the initial-exec model, but each thread has this thread-local variable \
                     somewhere else: compile with -fPIC and without -ftls-model"
                );
                continue;
            }
            let user = user.unwrap();
            let test = || {
                assert_eq!(call(&user, "add"), 15);
                assert_eq!(call(&provider, "own"), 15);
            };
            test();
            std::thread::scope(|scope| {
                scope.spawn(test);
            });
        }
    }
}

#[test]
fn descriptors_of_the_hosts_variables() {
    require_tools!("clang-22");
    let source = r#"
        #include <mutex>
        static thread_local std::once_flag flag;
        extern "C" int once() {
            int count = 0;
            for (int i = 0; i < 3; i++) std::call_once(flag, [&] { count++; });
            return count;
        }"#;
    let bytes = image_with("once.cpp", source, DESCRIPTORS);
    let module = load_bytes(&system_loader(), "once.cpp", &bytes, &[]).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(call(&module, "once"), 1));
    });
    assert_eq!(call(&module, "once"), 1);
}

#[test]
fn the_hosts_variables_at_one_distance_are_used_in_every_model() {
    require_tools!("clang-22");
    // The C library's own, in the static block of every process.
    let source = "extern __thread int errno; int close(int);
        int fails(void) { errno = 0; return close(-1) == -1 && errno == 9; }";
    for options in [DESCRIPTORS, INITIAL_EXEC, TRADITIONAL] {
        let bytes = image_with("errno.c", source, options);
        let module = load_bytes(&system_loader(), "errno.c", &bytes, &[]).unwrap();
        assert_eq!(call(&module, "fails"), 1);
        std::thread::scope(|scope| {
            scope.spawn(|| assert_eq!(call(&module, "fails"), 1));
        });
    }
}

#[test]
fn what_finds_no_room_is_refused() {
    require_tools!("clang-22");
    let refused = |declaration: &str, what: &str| {
        let source = format!("__thread char v{declaration}; char *f(void) {{ return v; }}");
        let bytes = image_with("large.c", &source, INITIAL_EXEC);
        let error = load_bytes(&Loader::new(), "large.c", &bytes, &[]).unwrap_err();
        let message = error.to_string();
        let start = format!(
            "large.c: no room for its thread-local variables ({what}), which its code uses in the initial-exec model: "
        );
        assert!(message.starts_with(&start), "{message}");
        assert!(message.contains("optional_static_tls"), "{message}");
    };
    refused(
        "[100000] __attribute__((aligned(16)))",
        "100000 bytes, aligned to 16",
    );
    refused(
        "[1] __attribute__((aligned(4096)))",
        "1 bytes, aligned to 4096",
    );
    // The general model has room for both.
    let source = "__thread char v[100000]; __thread char w __attribute__((aligned(4096)));
        int f(void) { return ((long)&w % 4096 == 0) + v[99999]; }";
    let module = load_bytes(&Loader::new(), "f.c", &image("f.c", source), &[]).unwrap();
    assert_eq!(call(&module, "f"), 1);
}
