//! Exceptions and host frames.

use farcall_loader::invoke::{Argument, Value};
use farcall_testkit::require_tools;

use crate::common::{call, load, system_loader};

#[test]
fn exceptions_are_caught_inside_a_module() {
    require_tools!("clang-22");
    let source = r#"
        #include <stdexcept>
        #include <string>
        struct Guard { int &count; ~Guard() { count++; } };
        static void fail(int depth, int &count) {
            Guard guard{count};
            if (depth == 0) throw std::runtime_error("deep");
            fail(depth - 1, count);
        }
        extern "C" int caught() {
            int count = 0;
            try { fail(9, count); }
            catch (const std::exception &error) { return count + 100 * (error.what() == std::string("deep")); }
            return -1;
        }"#;
    let module = load(&system_loader(), "caught.cpp", source, &[]).unwrap();
    assert_eq!(call(&module, "caught"), 110);
}

#[test]
fn exceptions_pass_through_host_frames_and_from_module_to_module() {
    require_tools!("clang-22");
    struct CountsDrops;
    static DROPS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    impl Drop for CountsDrops {
        fn drop(&mut self) {
            DROPS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
    extern "C-unwind" fn through(function: Option<unsafe extern "C-unwind" fn(i32)>) -> i32 {
        let _guard = CountsDrops;
        // SAFETY: the image passes its own function, which wants nothing of its caller.
        unsafe { function.unwrap()(7) };
        0
    }
    let mut loader = system_loader();
    loader.define_function(
        "through",
        through as extern "C-unwind" fn(Option<unsafe extern "C-unwind" fn(i32)>) -> i32,
    );
    let thrower = load(
        &loader,
        "thrower.cpp",
        "void thrower(int value) { throw value; }",
        &[],
    );
    let thrower = thrower.unwrap();
    let source = r#"
        extern "C" int through(void (*)(int));
        void thrower(int);
        extern "C" int caught() {
            try { return through(thrower); } catch (int value) { return value; }
        }"#;
    let catcher = load(&loader, "catcher.cpp", source, &[&thrower]).unwrap();
    assert_eq!(call(&catcher, "caught"), 7);
    assert_eq!(DROPS.load(std::sync::atomic::Ordering::Relaxed), 1);
    drop(thrower);
    assert_eq!(call(&catcher, "caught"), 7);
}

#[test]
fn an_unloaded_module_leaves_no_unwind_tables() {
    require_tools!("clang-22");
    let source =
        r#"extern "C" int caught() { try { throw 5; } catch (int value) { return value; } }"#;
    for _ in 0..20 {
        let module = load(&system_loader(), "again.cpp", source, &[]).unwrap();
        assert_eq!(call(&module, "caught"), 5);
        module.unload().unwrap();
    }
}

#[test]
fn an_exception_that_leaves_a_called_function_is_an_error() {
    require_tools!("clang-22");
    let source = r#"
        #include <stdexcept>
        extern "C" int throws(int which) {
            if (which == 0) throw std::runtime_error("no");
            if (which == 1) throw 5;
            return which;
        }"#;
    let module = load(&system_loader(), "throws.cpp", source, &[]).unwrap();
    let signature = "i32 (i32)".parse().unwrap();
    // SAFETY: the signature is that of the source.
    let call = |which| unsafe { module.invoke("throws", &signature, &mut [Argument::Int(which)]) };
    for _ in 0..3 {
        let message = call(0).unwrap_err().to_string();
        assert!(
            message.ends_with("throws: threw std::runtime_error, which nothing caught"),
            "{message}"
        );
        assert!(call(1).unwrap_err().to_string().contains("threw int"));
        assert_eq!(call(2).unwrap(), Value::Int { bits: 32, value: 2 });
    }
}

#[test]
fn a_panic_of_the_hosts_leaves_a_called_function_as_what_it_is() {
    require_tools!("clang-22");
    extern "C-unwind" fn fail(value: i32) {
        panic!("fails with {value}");
    }
    let mut loader = system_loader();
    loader.define_function("fail", fail as extern "C-unwind" fn(i32));
    let source = r#"extern "C" void fail(int);
        static int left; struct Guard { ~Guard() { left++; } };
        extern "C" int fails(int value) { Guard guard; fail(value); return 0; }
        extern "C" int leavings() { return left; }"#;
    let module = load(&loader, "fails.cpp", source, &[]).unwrap();
    let signature = "i32 (i32)".parse().unwrap();
    let mut arguments = [Argument::Int(4)];
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        // SAFETY: the signature is that of the source.
        unsafe { module.invoke("fails", &signature, &mut arguments) }
    }));
    let panic = panic.unwrap_err();
    assert_eq!(*panic.downcast_ref::<String>().unwrap(), "fails with 4");
    assert_eq!(call(&module, "leavings"), 1);
}
