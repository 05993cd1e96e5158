//! Constructors, destructors, unloading.

use std::sync::Mutex;

use farcall_loader::Loader;
use farcall_testkit::require_tools;

use crate::common::{call, image, load, load_bytes, system_loader};

/// What images said, by image.
static SAID: Mutex<Vec<(i32, i32)>> = Mutex::new(Vec::new());

extern "C" fn say(image: i32, what: i32) {
    SAID.lock().unwrap().push((image, what));
}

fn said(image: i32) -> Vec<i32> {
    let said = SAID.lock().unwrap();
    said.iter()
        .filter(|it| it.0 == image)
        .map(|it| it.1)
        .collect()
}

fn loader() -> Loader {
    let mut loader = system_loader();
    loader.define_function("say", say as extern "C" fn(i32, i32));
    loader
}

#[test]
fn constructors_and_destructors_run_in_order() {
    require_tools!("clang-22");
    let source = r#"
        #include <cstdlib>
        extern "C" void say(int, int);
        static void handler() { say(1, 10); }
        struct Object { int id; Object(int id) : id(id) { say(1, id); } ~Object() { say(1, -id); } };
        __attribute__((constructor(101))) static void early(int argc, char **argv, char **envp) {
            say(1, argc == 0 && argv[0] == nullptr && envp != nullptr ? 1 : 99);
        }
        static Object first(2), second(3);
        __attribute__((constructor)) static void late() { say(1, 4); std::atexit(handler); }
        __attribute__((destructor)) static void last() { say(1, -5); }
        __attribute__((destructor(101))) static void very_last() { say(1, -6); }
        extern "C" int local() { static Object object(7); return object.id; }
    "#;
    let module = load(&loader(), "order.cpp", source, &[]).unwrap();
    assert_eq!(call(&module, "local"), 7);
    module.unload().unwrap();
    // Natively too, the constructor function comes before the file's static objects.
    assert_eq!(said(1), [1, 4, 2, 3, 7, -7, -3, -2, 10, -5, -6]);
}

#[test]
fn a_module_that_is_imported_from_stays() {
    require_tools!("clang-22");
    let provider = "void say(int, int); int f(void) { return 3; }
        __attribute__((destructor)) static void end(void) { say(2, -1); }";
    let provider = load(&loader(), "provider.c", provider, &[]).unwrap();
    let user = "void say(int, int); int f(void); int g(void) { return f(); }
        __attribute__((destructor)) static void end(void) { say(2, f()); }";
    let user = load(&loader(), "user.c", user, &[&provider]).unwrap();
    let refused = provider.unload().unwrap_err();
    assert_eq!(
        refused.to_string(),
        "provider.c: in use: imported by user.c"
    );
    // Handed back, it goes on; dropped, it waits for the last that needs it.
    assert_eq!(call(&refused.module, "f"), 3);
    drop(refused);
    assert!(said(2).is_empty());
    assert_eq!(call(&user, "g"), 3);
    user.unload().unwrap();
    assert_eq!(said(2), [3, -1]);
}

#[test]
fn a_long_chain_is_dropped_without_recursion() {
    require_tools!("clang-22");
    let images = [
        image("odd.c", "int a(void); int b(void) { return a() + 1; }"),
        image("even.c", "int b(void); int a(void) { return b() + 1; }"),
    ];
    let loader = Loader::new();
    let mut last = load(&loader, "base.c", "int a(void) { return 1; }", &[]).unwrap();
    for index in 0..3000 {
        // Each module is kept by the next one only.
        last = load_bytes(&loader, "link", &images[index % 2], &[&last]).unwrap();
    }
    let dropping = std::thread::Builder::new().stack_size(64 << 10);
    let dropping = dropping.spawn(move || last.unload().unwrap()).unwrap();
    dropping.join().unwrap();
}

#[test]
fn a_thread_local_object_keeps_its_module_until_its_thread_ends() {
    require_tools!("clang-22");
    let source = r#"
        extern "C" void say(int, int);
        struct Object { int value = 6; ~Object() { say(3, value); } };
        static thread_local Object object;
        extern "C" int touch() { return ++object.value; }
        __attribute__((destructor)) static void end() { say(3, -1); }
    "#;
    let module = load(&loader(), "object.cpp", source, &[]).unwrap();
    std::thread::scope(|scope| {
        scope
            .spawn(|| assert_eq!(call(&module, "touch"), 7))
            .join()
            .unwrap();
    });
    // The join waits for the thread's end, and with it for its destructors.
    let module = std::thread::spawn(move || {
        assert_eq!(call(&module, "touch"), 7);
        let refused = module.unload().unwrap_err();
        assert_eq!(
            refused.to_string(),
            "object.cpp: in use: 1 thread-local object has a destructor to run"
        );
        refused.module
    });
    drop(module.join().unwrap());
    for _ in 0..1000 {
        if said(3).len() == 3 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert_eq!(said(3), [7, 7, -1]);
}

#[test]
fn a_module_dropped_on_the_thread_that_has_its_objects_goes_with_the_thread() {
    require_tools!("clang-22");
    let source = r#"
        extern "C" void say(int, int);
        struct Object { int value = 6; ~Object() { say(4, value); } };
        static thread_local Object object;
        extern "C" int touch() { return ++object.value; }
        __attribute__((destructor)) static void end() { say(4, -1); }
    "#;
    let module = load(&loader(), "object.cpp", source, &[]).unwrap();
    let thread = std::thread::spawn(move || {
        call(&module, "touch");
        drop(module);
        assert!(said(4).is_empty());
    });
    thread.join().unwrap();
    assert_eq!(said(4), [7, -1]);
}

#[test]
fn entries_of_the_constructor_table_are_code_or_nothing() {
    require_tools!("clang-22");
    let source = |entry: &str| {
        format!(
            "void say(int, int); static void f(void) {{ say(5, 1); }}
             __attribute__((section(\".init_array\"), used)) static void (*table[])(void) =
                 {{ 0, (void (*)(void))-1L, f, (void (*)(void)){entry} }};"
        )
    };
    load(&loader(), "table.c", &source("f"), &[]).unwrap();
    assert_eq!(said(5), [1, 1]);
    let error = load(&loader(), "table.c", &source("0x1234"), &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "table.c: entry 3 of the constructor table, 0x1234, is not code"
    );
    assert_eq!(said(5), [1, 1]);
}

#[test]
fn fork_handlers_go_with_their_module() {
    require_tools!("clang-22");
    let source = "#include <pthread.h>
        void say(int, int);
        static void prepare(void) { say(6, 1); }
        int set(void) { return pthread_atfork(prepare, 0, 0); }";
    let module = load(&loader(), "fork.c", source, &[]).unwrap();
    assert_eq!(call(&module, "set"), 0);
    let fork = || {
        // SAFETY: the child does nothing but end.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: runs no handlers.
            unsafe { libc::_exit(0) };
        }
        // SAFETY: waits for the child that was made.
        unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    };
    fork();
    assert_eq!(said(6), [1]);
    module.unload().unwrap();
    fork();
    assert_eq!(said(6), [1]);
}
