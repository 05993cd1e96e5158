//! Definitions: the host's functions by a macro, and exports of modules under other names.

use farcall_loader::{Definition, Loader, host_fn};
use farcall_testkit::require_tools;

use crate::common::{call, load};

#[test]
fn functions_of_the_host_by_their_own_names() {
    require_tools!("clang-22");
    extern "C" fn double(value: i32) -> i32 {
        2 * value
    }
    extern "C-unwind" fn seven() -> i32 {
        7
    }
    let mut loader = Loader::new();
    host_fn!(loader, double: extern "C" fn(i32) -> i32, seven: extern "C-unwind" fn() -> i32);
    let by_reference = &mut loader;
    host_fn!(by_reference, double: extern "C" fn(i32) -> i32);
    let source = "TYPE(twice, \"i32 (i32)\") TYPE(seven, \"i32 ()\")
        int twice(int) __asm__(\"double\"), seven(void); int use_them(void) { return twice(4) + seven(); }";
    let module = load(&loader, "uses.c", source, &[]).unwrap();
    assert_eq!(call(&module, "use_them"), 15);
    let source = "TYPE(seven, \"i64 ()\") long seven(void); int use_it(void) { return seven(); }";
    let error = load(&loader, "uses.c", source, &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "uses.c: seven: imported as function i64 (), but the host's definition has function i32 (), used by uses.o: use_it"
    );
}

#[test]
fn exports_of_a_module_under_other_names() {
    require_tools!("clang-22");
    let source = "TYPE(impl, \"i32 ()\") int impl(void) { return 5; }
        int count = 6; __thread int mine = 7; int getpid(void) { return 8; }";
    let provider = load(&Loader::new(), "provider.c", source, &[]).unwrap();
    let mut loader = Loader::new();
    for (name, export) in [
        ("f", "impl"),
        ("getpid", "getpid"),
        ("total", "count"),
        ("own", "mine"),
    ] {
        loader.define(name, Definition::export(&provider, export).unwrap());
    }
    let error = Definition::export(&provider, "imp").unwrap_err();
    assert_eq!(
        error.to_string(),
        "provider.c: no export is named imp; similar: impl"
    );

    let source = "int f(void), getpid(void); extern int total; extern __thread int own;
        int all(void) { return f() * 1000 + getpid() * 100 + total * 10 + own++; }";
    let user = load(&loader, "user.c", source, &[]).unwrap();
    assert_eq!(call(&user, "all"), 5867);
    assert_eq!(call(&user, "all"), 5868);
    let wrong = "TYPE(f, \"i64 ()\") long f(void); long use_it(void) { return f(); }";
    let error = load(&loader, "wrong.c", wrong, &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "wrong.c: f: imported as function i64 (), but the host's definition (an export of provider.c) has function i32 (), used by wrong.o: use_it"
    );

    // Definitions keep what they mean, and so does what is bound to them.
    let refused = provider.unload().unwrap_err();
    assert_eq!(
        refused.to_string(),
        "provider.c: in use: imported by a definition of count, a definition of getpid, a definition of impl, \
         a definition of mine, user.c"
    );
    drop(loader);
    let refused = refused.module.unload().unwrap_err();
    assert_eq!(
        refused.to_string(),
        "provider.c: in use: imported by user.c"
    );
    drop(refused);
    assert_eq!(call(&user, "all"), 5869);
    user.unload().unwrap();
}

#[test]
fn a_name_that_was_defined_again_means_the_last() {
    require_tools!("clang-22");
    let mut loader = Loader::new();
    loader.define("number", Definition::absolute(3));
    let source = "extern char number[]; int value(void) { return (int)(long)number; }";
    let first = load(&loader, "value.c", source, &[]).unwrap();
    loader.define("number", Definition::absolute(4));
    let second = load(&loader, "value.c", source, &[]).unwrap();
    assert_eq!((call(&first, "value"), call(&second, "value")), (3, 4));
}

#[test]
fn a_weak_import_takes_what_is_there() {
    require_tools!("clang-22");
    let provider = "int variable = 5; int function(void) { return 6; }";
    let provider = load(&Loader::new(), "provider.c", provider, &[]).unwrap();
    let mut loader = Loader::new();
    loader.define("number", Definition::absolute(7));
    let source = "__attribute__((weak)) extern int variable, absent; __attribute__((weak)) int function(void);
        __attribute__((weak)) extern char number[];
        int sum(void) { return variable * 100 + function() * 10 + (int)(long)number + (&absent ? 1000 : 0); }";
    let module = load(&loader, "weak.c", source, &[&provider]).unwrap();
    assert_eq!(call(&module, "sum"), 567);
    // It keeps its provider as any other.
    assert!(provider.unload().is_err());
}
