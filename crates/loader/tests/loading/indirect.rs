//! Indirect functions.

use std::sync::atomic::{AtomicI32, Ordering};

use farcall_loader::Loader;
use farcall_testkit::require_tools;

#[cfg(target_arch = "x86_64")]
use crate::common::image_with_libgcc;
use crate::common::{
    DESCRIPTORS, INITIAL_EXEC, TRADITIONAL, call, image_with, load, load_bytes, system_loader,
};

static ASKED: AtomicI32 = AtomicI32::new(0);

extern "C" fn asked() {
    ASKED.fetch_add(1, Ordering::Relaxed);
}

#[test]
fn a_function_is_chosen_once_for_everyone() {
    require_tools!("clang-22");
    let mut loader = Loader::new();
    loader.define_function("asked", asked as extern "C" fn());
    let provider = r#"
        void asked(void);
        static int plain(int x) { return x + 1; }
        static int fast(int x) { return x + 2; }
        static int start = 5;
        static int *relocated = &start;
        static int (*resolve(void))(int) { asked(); return *relocated == 5 ? fast : plain; }
        int chosen(int) __attribute__((ifunc("resolve")));
        static int (*const table[])(int) = {chosen, plain};
        int (*variable)(int) = chosen;
        int (*address(void))(int) { return chosen; }
        static int constructed;
        __attribute__((constructor)) static void construct(void) { constructed = chosen(1); }
        int check(void) {
            return table[0](2) == 4 && variable == table[0] && chosen(3) == 5 && constructed == 3;
        }"#;
    let provider = load(&loader, "provider.c", provider, &[]).unwrap();
    assert_eq!(call(&provider, "check"), 1);
    let user = "int chosen(int); int (*address(void))(int); extern int (*variable)(int);
        int use(void) { return chosen(4); }
        int same(void) { return address() == chosen || variable == chosen; }";
    let user = load(&loader, "user.c", user, &[&provider]).unwrap();
    assert_eq!(call(&user, "use"), 6);
    assert_eq!(call(&user, "same"), 1);
    let chosen = provider
        .lookup::<unsafe extern "C" fn(i32) -> i32>("chosen")
        .unwrap();
    // SAFETY: the function has this type.
    assert_eq!(unsafe { chosen(5) }, 7);
    assert_eq!(ASKED.load(Ordering::Relaxed), 1);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn clones_for_processors_are_chosen_by_the_processor() {
    require_tools!("clang-22");
    let source = r#"
        __attribute__((target_clones("avx2", "sse4.2", "default"))) int cloned(int x) { return x * 3; }
        int f(void) { return cloned(5); }"#;
    let bytes = image_with_libgcc("cloned.c", source);
    let module = load_bytes(&system_loader(), "cloned.c", &bytes, &[]).unwrap();
    assert_eq!(call(&module, "f"), 15);
}

#[test]
#[cfg(target_arch = "aarch64")]
fn code_that_chooses_is_told_of_the_processor() {
    require_tools!("clang-22");
    let source = r#"
        #include <sys/auxv.h>
        #include <sys/ifunc.h>
        static int right(void) { return 1; }
        static int wrong(void) { return 0; }
        static int (*resolve(unsigned long hwcap, const __ifunc_arg_t *more))(void) {
            int is_right = hwcap == (getauxval(AT_HWCAP) | _IFUNC_ARG_HWCAP) && more->_size >= 24 &&
                (more->_hwcap | _IFUNC_ARG_HWCAP) == hwcap && more->_hwcap2 == getauxval(AT_HWCAP2);
            return is_right ? right : wrong;
        }
        int f(void) __attribute__((ifunc("resolve")));"#;
    let module = load(&system_loader(), "f.c", source, &[]).unwrap();
    assert_eq!(call(&module, "f"), 1);
}

#[test]
fn code_that_chooses_has_thread_local_variables() {
    require_tools!("clang-22");
    let source = r#"
        static __thread int v = 3;
        static int f3(void) { return 3 + v; }
        static int f4(void) { return 4 + v; }
        static int (*resolve(void))(void) { return v++ == 3 ? f3 : f4; }
        int f(void) __attribute__((ifunc("resolve")));"#;
    let models: [&[&str]; 3] = [TRADITIONAL, DESCRIPTORS, INITIAL_EXEC];
    for options in models {
        let bytes = image_with("f.c", source, options);
        let module = load_bytes(&Loader::new(), "f.c", &bytes, &[]).unwrap();
        assert_eq!(call(&module, "f"), 7);
        std::thread::scope(|scope| {
            scope.spawn(|| assert_eq!(call(&module, "f"), 6));
        });
    }
}

#[test]
fn a_constructor_that_is_indirect_is_refused() {
    require_tools!("clang-22");
    let source = r#"
        static void f(void) {}
        // Else the compiler knows which it is.
        static void (*volatile function)(void) = f;
        static void (*resolve(void))(void) { return function; }
        static void chosen(void) __attribute__((ifunc("resolve")));
        __attribute__((section(".init_array"), used)) static void (*table[])(void) = {chosen};"#;
    let error = load(&Loader::new(), "f.c", source, &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "f.c: a constructor or destructor is an indirect function"
    );
}
