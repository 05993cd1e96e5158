//! What imports are bound to.

use std::ffi::c_void;

use farcall_loader::{Definition, Error, Loader};
use farcall_testkit::require_tools;

use crate::common::{call, load, system_loader};

#[test]
fn functions_variables_and_numbers_of_the_host() {
    require_tools!("clang-22");
    extern "C" fn double(value: i32) -> i32 {
        2 * value
    }
    static NUMBER: i32 = 40;
    let mut loader = Loader::new();
    loader.host_exports(false);
    loader.define_function("twice", double as extern "C" fn(i32) -> i32);
    // SAFETY: images only read it, as the test's does, and it is static.
    let number = unsafe { Definition::data_at((&raw const NUMBER).cast_mut().cast()) };
    loader.define("number", number);
    loader.define("three", Definition::absolute(3));
    let source = "extern int twice(int); extern int number; extern char three[];
        int (*table[])(int) = { twice };
        int answer(void) { return table[0](number) + twice(1) + (int)(long)three; }";
    let module = load(&loader, "answer.c", source, &[]).unwrap();
    assert_eq!(call(&module, "answer"), 85);
}

#[test]
fn data_of_the_c_library() {
    require_tools!("clang-22");
    let source = "#include <stdio.h>
        extern char **environ;
        FILE **where = &stdout;
        int has_stdout(void) { return *where == stdout && fileno(stdout) == 1; }
        char **variables(void) { return environ; }";
    let module = load(&system_loader(), "data.c", source, &[]).unwrap();
    assert_eq!(call(&module, "has_stdout"), 1);
    let variables = module
        .lookup::<unsafe extern "C" fn() -> *mut c_void>("variables")
        .unwrap();
    // SAFETY: no contract.
    assert!(!unsafe { variables() }.is_null());
}

#[test]
fn a_version_is_that_of_a_library_or_of_what_has_no_versions() {
    require_tools!("clang-22");
    let provider = "int impl(void) { return 5; } __asm__(\".symver impl, f@@V2\");";
    let provider = load(&Loader::new(), "provider.c", provider, &[]).unwrap();
    let source = "int f_new(void); void *copy(void *, const void *, long);
        __asm__(\".symver f_new, f@V2\"); __asm__(\".symver copy, memcpy@FIRST_GLIBC\");
        int versioned(void) { int x = 0, y = f_new(); copy(&x, &y, sizeof y); return x; }";
    let first_glibc = match cfg!(target_arch = "aarch64") {
        true => "GLIBC_2.17",
        false => "GLIBC_2.2.5",
    };
    let source = source.replace("FIRST_GLIBC", first_glibc);
    let module = load(&system_loader(), "versions.c", &source, &[&provider]).unwrap();
    assert_eq!(call(&module, "versioned"), 5);
}

#[test]
fn a_weak_import_that_nobody_has_is_null() {
    require_tools!("clang-22");
    let source = "__attribute__((weak)) extern int nobody_has_this(void);
        __attribute__((weak)) extern int nor_this;
        int is_null(void) { return !nobody_has_this && !&nor_this; }";
    let module = load(&Loader::new(), "weak.c", source, &[]).unwrap();
    assert_eq!(call(&module, "is_null"), 1);
}

#[test]
fn places_are_searched_in_order() {
    require_tools!("clang-22");
    extern "C" fn one() -> i32 {
        1
    }
    let provider = |value| {
        let source = format!(
            "int f(void) {{ return {value}; }} int g(void) {{ return {value}; }}
            int getpid(void) {{ return {value}; }}"
        );
        load(&Loader::new(), "provider.c", &source, &[]).unwrap()
    };
    let (two, three) = (provider(2), provider(3));
    let mut loader = Loader::new();
    loader.define_function("f", one as extern "C" fn() -> i32);
    let source = "int f(void), g(void), getpid(void), getuid(void);
        int order(void) { getuid(); return 100 * f() + 10 * g() + getpid(); }";
    let module = load(&loader, "order.c", source, &[&two, &three]).unwrap();
    assert_eq!(call(&module, "order"), 122);
    let module = load(&loader, "order.c", source, &[&three, &two]).unwrap();
    assert_eq!(call(&module, "order"), 133);
}

#[test]
fn a_chain_of_modules_shares_functions_data_and_thread_local_variables() {
    require_tools!("clang-22");
    let loader = system_loader();
    let first = load(
        &loader,
        "first.c",
        "int count = 5; __thread int mine = 7; int next(void) { return ++count; }",
        &[],
    );
    let first = first.unwrap();
    let second = load(
        &loader,
        "second.c",
        "extern int count; extern __thread int mine; int next(void);
         int read(void) { next(); mine++; return 10 * count + mine; }",
        &[&first],
    );
    let second = second.unwrap();
    let third = load(
        &loader,
        "third.c",
        "int next(void); int read(void); extern __thread int mine;
         int both(void) { int value = read(); return 100 * next() + value + 1000 * mine; }",
        &[&first, &second],
    );
    let third = third.unwrap();
    assert_eq!(call(&third, "both"), 700 + 68 + 8000);
    std::thread::scope(|scope| {
        // Another thread has its own `mine`, which starts at 7, and the same `count`.
        scope.spawn(|| assert_eq!(call(&second, "read"), 80 + 8));
    });
}

#[test]
fn one_error_names_every_missing_symbol() {
    require_tools!("clang-22");
    extern "C" fn nothing() {}
    let mut loader = Loader::new();
    loader.define_function("print_row", nothing as extern "C" fn());
    loader.library("libno_such_library.so.9");
    let source = "void print_rwo(void); namespace ns { int missing(int, double); }
        extern \"C\" int present(int);
        int caller() { print_rwo(); return ns::missing(1, 2); }";
    let error = load(&loader, "uses.cpp", source, &[]).unwrap_err();
    let text = error.to_string();
    let Error::Missing {
        symbols, searched, ..
    } = error
    else {
        panic!("{text}");
    };
    assert_eq!(symbols.len(), 2, "{text}");
    let missing = symbols
        .iter()
        .find(|it| it.name == "_ZN2ns7missingEid")
        .unwrap();
    assert_eq!(
        missing.demangled.as_deref(),
        Some("ns::missing(int, double)")
    );
    let referrer = missing.referrer.as_deref().unwrap();
    assert_eq!(referrer, "uses.o: caller()");
    assert_eq!(searched[..2], ["1 definition", "the host's exports"]);
    assert!(
        searched[2].starts_with("libno_such_library.so.9 (not opened: "),
        "{text}"
    );

    // C names are like each other as they stand.
    let error = load(
        &loader,
        "uses.c",
        "void print_rwo(void); void f(void) { print_rwo(); }",
        &[],
    );
    let text = error.unwrap_err().to_string();
    assert!(
        text.starts_with("uses.c: missing symbol: print_rwo, used by uses.o: f; similar: print_row (searched: 1 definition, "),
        "{text}"
    );
}

#[test]
fn after_a_failed_load_the_same_names_load() {
    require_tools!("clang-22");
    extern "C" fn late() -> i32 {
        9
    }
    let mut loader = Loader::new();
    let source = "int late_function(void); int f(void) { return late_function(); }";
    load(&loader, "late.c", source, &[]).unwrap_err();
    loader.define_function("late_function", late as extern "C" fn() -> i32);
    let module = load(&loader, "late.c", source, &[]).unwrap();
    assert_eq!(call(&module, "f"), 9);
}
