//! Types at load, at lookup and at dynamic calls.

use farcall_loader::invoke::{Argument, Value};
use farcall_loader::{Error, Loader};
use farcall_testkit::require_tools;

use crate::common::load;

const ADD: &str = r#"TYPE(add, "i32 (i32, i32)") TYPE(table, "[4 x i32]")
    int add(int a, int b) { return a + b; } int table[4]; long untyped(long a) { return -a; }
    __thread int mine; int *get_mine(void) { return &mine; }"#;

#[test]
fn a_definition_of_another_type_is_refused() {
    require_tools!("clang-22");
    extern "C" fn log(_: i64) {}
    let mut loader = Loader::new();
    loader.define_function("log", log as extern "C" fn(i64));
    let source = |import_type| {
        format!("TYPE(log, \"{import_type}\") void log(); void f(void) {{ log(1); }}")
    };
    load(&loader, "right.c", &source("void (i64)"), &[]).unwrap();
    load(&loader, "unprototyped.c", &source("void (...)"), &[]).unwrap();
    let error = load(&loader, "wrong.c", &source("void (double)"), &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "wrong.c: log: imported as function void (double), but the host's definition has \
         function void (i64), used by wrong.o: f"
    );
    let error = load(&loader, "variable.c", &source("[4 x i32]"), &[]).unwrap_err();
    assert!(
        error.to_string().contains("imported as a variable"),
        "{error}"
    );
}

#[test]
fn a_module_of_another_type_is_refused() {
    require_tools!("clang-22");
    let provider = load(&Loader::new(), "add.c", ADD, &[]).unwrap();
    let source = r#"TYPE(add, "double (double)") double add(double);
        double f(void) { return add(1); }"#;
    let error = load(&Loader::new(), "user.c", source, &[&provider]).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("but module add.c has function i32 (i32, i32)"),
        "{error}"
    );
    let source = "extern int mine; int f(void) { return mine; }";
    let error = load(&Loader::new(), "user.c", source, &[&provider]).unwrap_err();
    assert!(matches!(error, Error::Mismatched { .. }), "{error}");
}

#[test]
fn lookups_are_typed() {
    require_tools!("clang-22");
    let module = load(&Loader::new(), "add.c", ADD, &[]).unwrap();
    let add = module
        .lookup::<unsafe extern "C" fn(i32, i32) -> i32>("add")
        .unwrap();
    // SAFETY: no contract.
    assert_eq!(unsafe { add(2, 3) }, 5);
    let error = |result: Result<_, Error>| match result {
        Ok(()) => panic!("found"),
        Err(error) => error.to_string(),
    };
    type Wrong = unsafe extern "C" fn(f64) -> i32;
    assert_eq!(
        error(module.lookup::<Wrong>("add").map(|_| ())),
        "add.c: add is i32 (i32, i32), not i32 (double)"
    );
    assert_eq!(
        error(module.lookup::<Wrong>("table").map(|_| ())),
        "add.c: table is [4 x i32], not i32 (double)"
    );
    assert_eq!(
        error(module.lookup::<Wrong>("ad").map(|_| ())),
        "add.c: no export is named ad; similar: add"
    );
    // Without a type the caller vouches for it.
    let untyped = module
        .lookup::<unsafe extern "C" fn(i64) -> i64>("untyped")
        .unwrap();
    // SAFETY: it is of this type.
    assert_eq!(unsafe { untyped(3) }, -3);
    assert!(module.address("table").is_ok());
    assert!(module.address("mine").is_err());
    assert_eq!(
        module.signature("add").unwrap().to_string(),
        "i32 (i32, i32)"
    );
    assert_eq!(module.signature("untyped"), None);
    let names: Vec<_> = module
        .exports()
        .map(|it| String::from_utf8_lossy(it.name))
        .collect();
    assert!(
        ["add", "table", "untyped", "mine"]
            .iter()
            .all(|it| names.contains(&(*it).into()))
    );
}

#[test]
fn dynamic_calls_follow_the_manifest() {
    require_tools!("clang-22");
    let module = load(&Loader::new(), "add.c", ADD, &[]).unwrap();
    let call = |signature: &str, arguments: &mut [Argument<'_>]| {
        // SAFETY: the functions have no contract beyond their type.
        unsafe { module.invoke("add", &signature.parse().unwrap(), arguments) }
    };
    let mut arguments = [Argument::Int(2), Argument::Int(u64::MAX)];
    assert_eq!(
        call("i32 (i32, i32)", &mut arguments).unwrap(),
        Value::Int { bits: 32, value: 1 }
    );
    assert_eq!(
        call("i32 (i32, i32)", &mut []).unwrap_err().to_string(),
        "add.c: add: 0 arguments for a function of 2, which is i32 (i32, i32)"
    );
    assert!(matches!(
        call("i32 (ptr)", &mut [Argument::Pointer(0)]),
        Err(Error::WrongType { .. })
    ));
}
