//! Units that are there when adding them returns.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]
#![allow(unsafe_code, reason = "calling compiled functions is")]

mod common;

use common::{call, caller, constant, function, run, session};
use farcall_loader::Definition;
use farcall_session::{Error, Options, Unit, When};

#[test]
fn what_was_added_is_there() {
    let session = session();
    let unit = session
        .add("one.ll", &constant("one", 1), When::Eager)
        .unwrap();
    assert!(unit.is_ready());
    assert_eq!(run(&session, "one"), 1);
}

#[test]
fn units_bind_to_those_before_and_to_the_host() {
    extern "C" fn host() -> i32 {
        30
    }
    let session = session();
    session
        .define_function("host", host as extern "C" fn() -> i32)
        .unwrap();
    session
        .add("a.ll", &caller("a", "host", 1), When::Eager)
        .unwrap();
    session
        .add("b.ll", &caller("b", "a", 100), When::Eager)
        .unwrap();
    assert_eq!(run(&session, "b"), 131);
    let malloc = session.add(
        "m.ll",
        b"declare ptr @malloc(i64)\ndefine ptr @m() { %p = call ptr @malloc(i64 8)\nret ptr %p }",
        When::Eager,
    );
    malloc.unwrap();
}

#[test]
fn units_that_need_each_other_are_added_together() {
    let session = session();
    let even = b"declare i32 @odd(i32)\ndefine i32 @even(i32 %n) {\n%z = icmp eq i32 %n, 0\nbr i1 %z, label %y, label %r\ny:\nret i32 1\nr:\n%m = sub i32 %n, 1\n%v = call i32 @odd(i32 %m)\nret i32 %v\n}";
    let odd = b"declare i32 @even(i32)\ndefine i32 @odd(i32 %n) {\n%z = icmp eq i32 %n, 0\nbr i1 %z, label %y, label %r\ny:\nret i32 0\nr:\n%m = sub i32 %n, 1\n%v = call i32 @even(i32 %m)\nret i32 %v\n}";
    let error = session.add("even.ll", even, When::Eager).unwrap_err();
    assert!(error.to_string().contains("missing symbol: odd"), "{error}");
    let unit = session
        .add_all(&[("even.ll", even), ("odd.ll", odd)], When::Eager)
        .unwrap();
    assert_eq!(unit.name(), "even.ll and 1 more");
    let even = session
        .lookup::<unsafe extern "C" fn(i32) -> i32>("even")
        .unwrap();
    // SAFETY: it wants nothing of its caller.
    assert_eq!(unsafe { (even(10), even(7)) }, (1, 0));
    drop(even);
    unit.remove().unwrap();
    assert!(matches!(
        session.main().address("even"),
        Err(Error::NotFound { .. })
    ));
    assert!(matches!(unit.remove(), Err(Error::Removed { .. })));
    // Or each on its own, when it is needed.
    let even = [caller("even", "odd", 1), constant("two", 2)].concat();
    let even = session.add("even.ll", &even, When::OnLookup).unwrap();
    let odd = session
        .add("odd.ll", &caller("odd", "two", 10), When::OnLookup)
        .unwrap();
    assert_eq!(run(&session, "even"), 13);
    let error = even.remove().unwrap_err();
    assert_eq!(
        error.to_string(),
        "even.ll: in use by odd.ll: remove those first, or all at once"
    );
    Unit::remove_all(&[&even, &odd]).unwrap();
    assert!(matches!(
        session.main().address("odd"),
        Err(Error::NotFound { .. })
    ));
}

#[test]
fn one_that_fails_leaves_nothing_and_its_names_can_be_added_again() {
    let session = session();
    let broken = session.add("f.ll", b"define i32 @f() { ret i64 1 }", When::Eager);
    assert!(matches!(broken, Err(Error::Compile(_))), "{broken:?}");
    let unbound = session.add("f.ll", &caller("f", "nowhere", 1), When::Eager);
    assert!(
        unbound
            .unwrap_err()
            .to_string()
            .contains("missing symbol: nowhere")
    );
    assert!(matches!(
        session.main().address("f"),
        Err(Error::NotFound { .. })
    ));
    session.add("f.ll", &constant("f", 7), When::Eager).unwrap();
    assert_eq!(run(&session, "f"), 7);
    let twice = session
        .add("g.ll", &constant("f", 8), When::Eager)
        .unwrap_err();
    assert_eq!(
        twice.to_string(),
        "g.ll: f is defined by f.ll already, in library main: remove or replace that, or use another library"
    );
    // Of several none is added when one fails.
    let all = [
        ("h.ll", constant("h", 1)),
        ("bad.ll", caller("bad", "nowhere", 1)),
    ];
    let all: Vec<_> = all.iter().map(|(name, ir)| (*name, &**ir)).collect();
    session.add_all(&all, When::Eager).unwrap_err();
    let error = session.main().address("g").unwrap_err();
    assert_eq!(
        error.to_string(),
        "g: not found in library main; did you mean f?"
    );
}

#[test]
fn libraries_have_names_of_their_own_and_a_link_order() {
    let session = session();
    let [a, b] = ["a", "b"].map(|name| session.library(name));
    a.add("one.ll", &constant("f", 1), When::Eager).unwrap();
    b.add("two.ll", &constant("f", 2), When::Eager).unwrap();
    let user = |name: &str| caller(name, "f", 10);
    assert!(session.add("u.ll", &user("u"), When::Eager).is_err());
    session.main().set_link_order(&[&b, &a]);
    session.add("u.ll", &user("u"), When::Eager).unwrap();
    assert_eq!(run(&session, "u"), 12);
    session.main().set_link_order(&[&a, &b]);
    session.add("v.ll", &user("v"), When::Eager).unwrap();
    assert_eq!(
        (run(&session, "v"), run(&session, "u"), run(&session, "f")),
        (11, 12, 1)
    );
    assert!(
        session
            .library("a")
            .lookup::<unsafe extern "C" fn() -> i32>("v")
            .is_err()
    );
}

#[test]
fn a_type_that_does_not_fit_is_an_error() {
    let session = session();
    session.add("f.ll", &constant("f", 1), When::Eager).unwrap();
    let wrong = session
        .lookup::<unsafe extern "C" fn(f64) -> i32>("f")
        .unwrap_err();
    assert!(matches!(wrong, Error::Load(_)), "{wrong}");
    let user = b"declare void @f(ptr)\ndefine void @g() { call void @f(ptr null)\nret void }";
    let wrong = session.add("g.ll", user, When::Eager).unwrap_err();
    assert!(wrong.to_string().contains("i32 ()"), "{wrong}");
    // SAFETY: nothing follows it.
    let data = unsafe { Definition::data_at(std::ptr::dangling_mut::<u64>().cast()) };
    session.define("data", data).unwrap();
    assert!(session.lookup::<unsafe extern "C" fn()>("data").is_err());
}

#[test]
fn a_unit_that_is_removed_stays_for_functions_that_were_looked_up() {
    let session = session();
    let unit = session.add("f.ll", &constant("f", 5), When::Eager).unwrap();
    let f = session.lookup("f").unwrap();
    unit.remove().unwrap();
    session.add("f.ll", &constant("f", 6), When::Eager).unwrap();
    assert_eq!((call(&f), run(&session, "f")), (5, 6));
    // The session, too.
    drop((session, unit));
    assert_eq!(call(&f), 5);
}

#[test]
fn the_first_of_weak_definitions_is_everyones() {
    let session = session();
    let weak = |value: i32| format!("define weak i32 @w() {{ ret i32 {value} }}").into_bytes();
    let first = session.add("1.ll", &weak(1), When::Eager).unwrap();
    session.add("2.ll", &weak(2), When::Eager).unwrap();
    session
        .add("u.ll", &caller("u", "w", 10), When::Eager)
        .unwrap();
    assert_eq!((run(&session, "w"), run(&session, "u")), (1, 11));
    assert!(matches!(first.remove(), Err(Error::InUse { .. })));
    session.add("3.ll", &constant("w", 3), When::Eager).unwrap();
    assert_eq!((run(&session, "w"), run(&session, "u")), (3, 11));
}

#[test]
fn a_weak_definition_comes_back_when_the_one_before_it_goes() {
    let session = session();
    let weak = |value: i32| format!("define weak i32 @w() {{ ret i32 {value} }}").into_bytes();
    let first = session.add("1.ll", &weak(1), When::Eager).unwrap();
    session.add("2.ll", &weak(2), When::Eager).unwrap();
    first.remove().unwrap();
    assert_eq!(run(&session, "w"), 2);
}

#[test]
fn replacing_re_points_those_who_call_a_replaceable_unit() {
    let session = session();
    let options = Options::new(When::Eager).replaceable();
    let unit = session.add("f.ll", &constant("f", 1), options).unwrap();
    session
        .add("u.ll", &caller("u", "f", 10), When::Eager)
        .unwrap();
    let f = session.lookup("f").unwrap();
    let before = session.main().address("f").unwrap();
    let broken = unit.replace("f2.ll", b"define i32 @f() { ret i64 0 }");
    assert!(broken.is_err());
    let other_type = unit
        .replace("f2.ll", b"define i32 @f(ptr %p) { ret i32 0 }")
        .unwrap_err();
    assert!(other_type.to_string().contains("i32 (ptr)"), "{other_type}");
    let lacking = unit.replace("f2.ll", &constant("g", 2)).unwrap_err();
    assert_eq!(
        lacking.to_string(),
        "f2.ll: the new version does not define f, which u.ll call"
    );
    assert_eq!((call(&f), run(&session, "u")), (1, 11));
    for version in 2..20 {
        drop(unit.replace("f2.ll", &constant("f", version)).unwrap());
        assert_eq!(
            (call(&f), run(&session, "u"), run(&session, "f")),
            (version, version + 10, version)
        );
    }
    assert_eq!(session.main().address("f").unwrap(), before);
    assert!(matches!(unit.remove(), Err(Error::InUse { .. })));
}

#[test]
fn replacing_another_unit_gives_its_names_to_the_new_version_only() {
    let session = session();
    let unit = session.add("f.ll", &constant("f", 1), When::Eager).unwrap();
    session
        .add("u.ll", &caller("u", "f", 10), When::Eager)
        .unwrap();
    let old = unit.replace("f2.ll", &constant("f", 2)).unwrap();
    drop(old);
    assert_eq!((run(&session, "f"), run(&session, "u")), (2, 11));
}

#[test]
fn constructors_and_destructors_run_once() {
    static mut LOG: i32 = 0;
    let session = session();
    // SAFETY: this test's own, and used by its thread alone.
    let log = unsafe { Definition::data_at((&raw mut LOG).cast()) };
    session.define("log", log).unwrap();
    let module = b"@log = external global i32
        @llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 65535, ptr @ctor, ptr null }]
        @llvm.global_dtors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 65535, ptr @dtor, ptr null }]
        define internal void @ctor() { %v = load i32, ptr @log\n %n = add i32 %v, 1\n store i32 %n, ptr @log\n ret void }
        define internal void @dtor() { %v = load i32, ptr @log\n %n = add i32 %v, 100\n store i32 %n, ptr @log\n ret void }";
    let read = || {
        // SAFETY: as above.
        unsafe { (&raw const LOG).read() }
    };
    let unit = session.add("log.ll", module, When::Eager).unwrap();
    assert_eq!(read(), 1);
    unit.remove().unwrap();
    assert_eq!(read(), 101);
    session.add("log.ll", module, When::Eager).unwrap();
    assert_eq!(read(), 102);
    drop((session, unit));
    assert_eq!(read(), 202);
}

#[test]
fn objects_and_images_are_added_too() {
    let compiler = farcall_compiler::Compiler::new().unwrap();
    let object = compiler.compile_ir("f.ll", &constant("f", 1)).unwrap();
    let object_g = compiler.compile_ir("g.ll", &caller("g", "f", 1)).unwrap();
    let mut linker = farcall_linker::Linker::new();
    let image = linker.add("g.o", &object_g.bytes).link().unwrap();
    let session = session();
    session
        .add_object("f.o", &object.bytes, When::Eager)
        .unwrap();
    session
        .add_image("g.image", &image, When::OnLookup)
        .unwrap();
    assert_eq!(run(&session, "g"), 2);
    assert!(matches!(
        session.add_image("x", b"no image", When::Eager),
        Err(Error::Image { .. })
    ));
    assert!(matches!(
        session.add_object("x", b"no object", When::Eager),
        Err(Error::Link { .. })
    ));
    let _ = function("unused", "ret i32 0");
}

#[test]
fn what_is_not_divided_is_loaded_on_lookup_when_it_is_to_be_on_first_call() {
    let session = session();
    let modules = [("a.ll", caller("a", "b", 1)), ("b.ll", constant("b", 2))];
    let modules = modules.each_ref().map(|(name, ir)| (*name, &**ir));
    let options = Options::new(When::OnFirstCall).tier_up();
    let unit = session.add_all(&modules, options).unwrap();
    assert!(!unit.is_ready());
    // A lookup, and no call.
    session.main().address("a").unwrap();
    assert!(unit.is_ready());
    assert_eq!(run(&session, "a"), 3);
}

#[test]
fn images_are_kept_by_all_that_decides_them() {
    use farcall_compiler::{Compiler, OptLevel};
    use farcall_session::Session;
    use farcall_store::{Limits, Store};
    let folder = tempfile::tempdir().unwrap();
    let n_entries = || {
        Store::open(folder.path(), Limits::default())
            .unwrap()
            .entries()
            .unwrap()
            .len()
    };
    let ways = [
        Options::new(When::Eager),
        Options::new(When::OnLookup),
        Options::new(When::OnFirstCall),
    ];
    let mut counts = Vec::new();
    for _ in 0..2 {
        for level in [OptLevel::O0, OptLevel::O2] {
            for (value, options) in (0..).zip(&ways) {
                let store = Store::open(folder.path(), Limits::default()).unwrap();
                let compiler = Compiler::builder().opt_level(level);
                let builder = Session::builder().store(store).compiler(compiler);
                // SAFETY: the test adds what is written in it.
                let session = unsafe { builder.build() };
                let unit = session
                    .add("f.ll", &constant("f", value), options.clone())
                    .unwrap();
                assert_eq!(run(&session, "f"), value);
                unit.materialize().unwrap();
            }
        }
        counts.push(n_entries());
    }
    // Nothing is made the second time, and no level is taken for another.
    assert_eq!(counts, [2 * ways.len(); 2]);
}
