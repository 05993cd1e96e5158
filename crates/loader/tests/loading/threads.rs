//! Thread-local variables, and loading from many threads.

use std::sync::Barrier;

use farcall_loader::Loader;
use farcall_testkit::require_tools;

use crate::common::{call, image, load, load_bytes, system_loader};

const COUNTERS: &str = "
    static __thread int zero; static __thread int start = 40;
    __thread char aligned[3] __attribute__((aligned(256))) = \"ab\";
    int next(void) { zero++; return start++ + zero; }
    int is_aligned(void) { return (long)aligned % 256 == 0 && aligned[1] == 'b'; }";

#[test]
fn each_thread_has_its_variables_whenever_it_started() {
    require_tools!("clang-22");
    let bytes = image("counters.c", COUNTERS);
    let loaded = Barrier::new(3);
    let module = std::sync::OnceLock::new();
    std::thread::scope(|scope| {
        // Two threads from before the load.
        for _ in 0..2 {
            scope.spawn(|| {
                loaded.wait();
                let module = module.get().unwrap();
                assert_eq!([call(module, "next"), call(module, "next")], [41, 43]);
                assert_eq!(call(module, "is_aligned"), 1);
            });
        }
        let _ = module.set(load_bytes(&Loader::new(), "counters.c", &bytes, &[]).unwrap());
        loaded.wait();
        let module = module.get().unwrap();
        assert_eq!([call(module, "next"), call(module, "next")], [41, 43]);
        scope.spawn(|| assert_eq!([call(module, "next"), call(module, "next")], [41, 43]));
    });
    // A new load starts anew.
    let again = load_bytes(&Loader::new(), "counters.c", &bytes, &[]).unwrap();
    assert_eq!(call(&again, "next"), 41);
}

#[test]
fn call_once_uses_the_hosts_thread_local_variables() {
    require_tools!("clang-22");
    let source = r#"
        #include <mutex>
        #include <thread>
        static std::once_flag flag;
        static int count;
        extern "C" int once() {
            std::thread other([] { std::call_once(flag, [] { count++; }); });
            std::call_once(flag, [] { count++; });
            other.join();
            return count;
        }"#;
    let module = load(&system_loader(), "once.cpp", source, &[]).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(call(&module, "once"), 1));
    });
    assert_eq!(call(&module, "once"), 1);
}

#[test]
fn errno_of_the_c_library_is_this_threads() {
    require_tools!("clang-22");
    let source = "#include <errno.h>
        #include <unistd.h>
        int fails(void) { errno = 0; return close(-1) == -1 && errno == EBADF; }";
    let module = load(&system_loader(), "errno.c", source, &[]).unwrap();
    assert_eq!(call(&module, "fails"), 1);
}

#[test]
fn eight_threads_load_call_and_unload() {
    require_tools!("clang-22");
    let counters = image("counters.c", COUNTERS);
    let throws = image(
        "throws.cpp",
        r#"extern "C" int caught() { try { throw 5; } catch (int value) { return value; } }"#,
    );
    let loader = system_loader();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let module = load_bytes(&loader, "counters", &counters, &[]).unwrap();
                    assert_eq!(call(&module, "next"), 41);
                    let other = load_bytes(&loader, "throws", &throws, &[]).unwrap();
                    assert_eq!(call(&other, "caught"), 5);
                    module.unload().unwrap();
                    other.unload().unwrap();
                }
            });
        }
    });
}

#[test]
fn threads_end_while_modules_come_and_go() {
    require_tools!("clang-22");
    let bytes = image("counters.c", COUNTERS);
    let loader = Loader::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let module = load_bytes(&loader, "counters", &bytes, &[]).unwrap();
                    let first = || assert_eq!(call(&module, "next"), 41);
                    // A scope does not wait for the ends of its threads, only for their closures,
                    // so that these free their blocks while the module goes.
                    std::thread::scope(|scope| {
                        scope.spawn(first);
                        scope.spawn(first);
                    });
                    first();
                    module.unload().unwrap();
                }
            });
        }
    });
}
