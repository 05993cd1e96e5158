//! What is inline in C++ exists once in a library, whichever units have it and whenever they are compiled.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]
#![allow(unsafe_code, reason = "calling compiled functions is")]

mod common;

use std::ffi::c_void;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::thread;

use common::run;
use farcall_compiler::{Compiler, OptLevel};
use farcall_loader::Loader;
use farcall_session::{Error, Options, Partition, Session, Unit, When};
use farcall_store::{Limits, Store};
use farcall_testkit::require_tools;

/// What both units include.
const HEADER: &str = r#"
#include <stdexcept>
#include <string>
#include <typeinfo>

struct Counted {
  static inline int made = 0, ended = 0;
  int number;
  Counted() : number(++made) {}
  ~Counted() { ++ended; }
};
inline int variable = 0;
inline Counted counted;
inline thread_local int of_thread = 0;
inline int next() { static int n = 0; return ++n; }
inline Counted &single() { static Counted it; return it; }
template <class T> struct Sum {
  static T value;
  static Counted last;
  [[gnu::noinline]] static T add(T more) { return value += more + 0 * last.number; }
};
template <class T> T Sum<T>::value = 0;
template <class T> Counted Sum<T>::last;
struct Failure : std::runtime_error {
  int code;
  Failure(int code) : runtime_error("failure"), code(code) {}
};
struct Shape {
  virtual int sides() const { return 0; }
  virtual ~Shape() {}
};
struct Square : Shape {
  int sides() const override { return 4; }
};
inline std::string text(int n) { return "a text that is too long to be in place: " + std::to_string(n); }
"#;

/// What each unit does with it; `X` is its name.
const BODY: &str = r#"
extern "C" {
int X_variable() { return ++variable; }
int X_of_thread() { return ++of_thread; }
int X_next() { return next(); }
int X_made() { return Counted::made; }
int X_ended() { return Counted::ended; }
int X_counted() { return counted.number; }
int X_single() { return single().number; }
int X_sum() { return Sum<int>::add(1); }
void *X_variable_address() { return &variable; }
void *X_of_thread_address() { return &of_thread; }
void *X_single_address() { return &single(); }
void *X_next_address() { return (void *)&next; }
const void *X_type_address() { return &typeid(Failure); }
void X_throw() { throw Failure(7); }
int X_catch(void (*thrower)()) {
  try { thrower(); } catch (const Failure &failure) { return failure.code + failure.what()[0]; }
  return 0;
}
void *X_make() { return new Square; }
int X_sides(Shape *shape) { auto square = dynamic_cast<Square *>(shape); return square ? square->sides() : -1; }
void *X_text() { return new std::string(text(17)); }
int X_same(std::string *other) { int same = *other == text(17); delete other; return same; }
}
"#;

/// Bitcode of C++.
fn cxx(source: &str, flags: &[&str]) -> Vec<u8> {
    clang(source, &[flags, &["-emit-llvm"]].concat())
}

/// What clang makes of C++, by default an object.
fn clang(source: &str, flags: &[&str]) -> Vec<u8> {
    let mut clang = Command::new("clang++-22")
        .args(["-xc++", "-std=c++17", "-", "-o", "-", "-c"])
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = clang.stdin.take().unwrap();
    stdin.write_all(source.as_bytes()).unwrap();
    drop(stdin);
    let output = clang.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

fn unit(name: &str, flags: &[&str]) -> Vec<u8> {
    cxx(&format!("{HEADER}{}", BODY.replace('X', name)), flags)
}

fn session_at(level: OptLevel, store: Store) -> Session {
    let mut loader = Loader::new();
    loader.library("libstdc++.so.6");
    let builder = Session::builder()
        .compiler(Compiler::builder().opt_level(level))
        .loader(loader)
        .store(store);
    // SAFETY: the tests add what is written in them.
    unsafe { builder.build() }
}

fn ways() -> Vec<Options> {
    let first = || Options::new(When::OnFirstCall);
    vec![
        Options::new(When::Eager),
        Options::new(When::OnLookup),
        first(),
        first().partition(Partition::Whole),
        first().tier_up(),
        Options::new(When::Eager).replaceable(),
    ]
}

fn address(session: &Session, name: &str) -> *mut c_void {
    type Address = unsafe extern "C" fn() -> *mut c_void;
    let function = session.lookup::<Address>(name).unwrap();
    // SAFETY: the units' functions of this name are of this type.
    unsafe { function() }
}

/// Checks that two units share everything; `first` is used first.
fn check(session: &Session, first: &str, second: &str) {
    let run = |unit: &str, what: &str| run(session, &format!("{unit}_{what}"));
    let address = |unit: &str, what: &str| address(session, &format!("{unit}_{what}"));
    for what in ["variable", "next", "sum", "of_thread"] {
        let numbers = [first, second, second, first].map(|unit| run(unit, what));
        assert_eq!(numbers, [1, 2, 3, 4], "{what}");
    }
    for what in ["single", "counted", "made"] {
        assert_eq!(run(first, what), run(second, what), "{what}");
    }
    // `counted`, `single` and `last`.
    assert_eq!([run(first, "made"), run(second, "ended")], [3, 0]);
    for what in ["variable", "of_thread", "single", "next", "type"] {
        let what = format!("{what}_address");
        assert_eq!(address(first, &what), address(second, &what), "{what}");
    }
    for (one, other) in [(first, second), (second, first)] {
        type Catch = unsafe extern "C" fn(*mut c_void) -> i32;
        let with = |name: &str, argument| {
            let function = session.lookup::<Catch>(&format!("{other}_{name}")).unwrap();
            // SAFETY: each of them is of this type, but for what the pointer points to, which it gets.
            unsafe { function(argument) }
        };
        let thrower = session.main().address(&format!("{one}_throw")).unwrap();
        assert_eq!(with("catch", thrower), 7 + i32::from(b'f'));
        assert_eq!(with("sides", address(one, "make")), 4);
        assert_eq!(with("same", address(one, "text")), 1);
    }
}

#[test]
fn units_share_what_is_inline_whenever_they_are_compiled() {
    require_tools!("clang++-22");
    let builds = [
        (&["-O1"][..], OptLevel::O0),
        (&["-O0", "-fPIC"], OptLevel::O2),
        (&["-O1", "-fvisibility-inlines-hidden"], OptLevel::O1),
    ];
    for (flags, level) in builds {
        let [a, b] = ["a", "b"].map(|name| unit(name, flags));
        for first in ways() {
            for second in ways() {
                for used in [["a", "b"], ["b", "a"]] {
                    println!("{flags:?} {level:?} {first:?} {second:?} {used:?}");
                    let session = session_at(level, Store::off());
                    session.add("a.cpp", &a, first.clone()).unwrap();
                    session.add("b.cpp", &b, second.clone()).unwrap();
                    check(&session, used[0], used[1]);
                }
            }
        }
    }
}

#[test]
fn objects_share_it_too_and_what_is_kept_is_found_again() {
    require_tools!("clang++-22");
    let folder = tempfile::tempdir().unwrap();
    let open = || Store::open(folder.path(), Limits::default()).unwrap();
    let object = cxx(
        &format!("{HEADER}{}", BODY.replace('X', "o")),
        &["-O1", "-fPIC"],
    );
    let compiler = Compiler::new().unwrap();
    let object = compiler.compile_ir("o.cpp", &object);
    // Made for no scope, as other compilers' are.
    let own = object.unwrap().bytes;
    let [a, b] = ["a", "b"].map(|name| unit(name, &["-O1"]));
    let mut counts = Vec::new();
    for _ in 0..2 {
        for way in ways() {
            let session = session_at(OptLevel::O1, open());
            let unit = session.add("a.cpp", &a, way.clone()).unwrap();
            session.add("b.cpp", &b, way.clone()).unwrap();
            check(&session, "a", "b");
            unit.materialize().unwrap();
            let session = session_at(OptLevel::O1, open());
            // Its code needs its own variables: it is the one that others mean.
            session.add_object("o.o", &own, When::Eager).unwrap();
            session.add("b.cpp", &b, way).unwrap();
            check(&session, "o", "b");
        }
        counts.push(open().entries().unwrap().len());
    }
    assert_eq!(counts[0], counts[1]);
}

#[test]
fn code_that_needs_its_own_has_it() {
    require_tools!("clang++-22");
    let a = unit("a", &["-O1"]);
    let b = clang(
        &format!("{HEADER}{}", BODY.replace('X', "b")),
        &["-O1", "-fPIE"],
    );
    let session = session_at(OptLevel::O1, Store::off());
    session.add("a.cpp", &a, When::Eager).unwrap();
    session.add_object("b.o", &b, When::Eager).unwrap();
    assert_eq!(
        ["a", "a", "b"].map(|it| run(&session, &format!("{it}_variable"))),
        [1, 2, 1]
    );
    // With its guard.
    assert_eq!(
        ["a", "b"].map(|it| run(&session, &format!("{it}_counted"))),
        [1, 1]
    );
}

#[test]
fn position_independent_objects_share_it_in_any_order() {
    require_tools!("clang++-22");
    let [a, b] = ["a", "b"].map(|name| {
        let source = format!("{HEADER}{}", BODY.replace('X', name));
        clang(&source, &["-O1", "-fPIC"])
    });
    for when in [When::Eager, When::OnLookup] {
        let session = session_at(OptLevel::O1, Store::off());
        session.add_object("a.o", &a, when).unwrap();
        session.add_object("b.o", &b, when).unwrap();
        check(&session, "b", "a");
    }
}

const HIDDEN: [&str; 2] = [
    r#"
    #define HIDDEN __attribute__((visibility("hidden")))
    HIDDEN int value = 5;
    HIDDEN int function() { return value; }
    extern "C" int one() { return value; }
    "#,
    r#"
    #define HIDDEN __attribute__((visibility("hidden")))
    extern HIDDEN int value;
    HIDDEN int function();
    extern "C" int two() { return ++value + function(); }
    extern "C" void *address() { return (void *)&function; }
    "#,
];

#[test]
fn hidden_names_are_their_librarys() {
    require_tools!("clang++-22");
    for flags in [["-O1", "-fPIE"], ["-O0", "-fPIC"]] {
        let [one, two] = HIDDEN.map(|source| cxx(source, &flags));
        for first in ways() {
            for second in ways() {
                println!("{flags:?} {first:?} {second:?}");
                let session = session_at(OptLevel::O1, Store::off());
                session.add("one.cpp", &one, first.clone()).unwrap();
                session.add("two.cpp", &two, second).unwrap();
                assert_eq!([run(&session, "two"), run(&session, "one")], [12, 6]);
                assert!(!address(&session, "address").is_null());
                for name in ["value", "_Z8functionv"] {
                    let found = session.main().address(name);
                    assert!(matches!(found, Err(Error::NotFound { .. })), "{found:?}");
                }
                let other = session.library("other");
                other.set_link_order(&[session.main()]);
                let failed = other.add("two.cpp", &two, When::Eager);
                assert!(matches!(failed, Err(Error::Load(_))), "{failed:?}");
                let again = session.add("again.cpp", &one, When::Eager);
                assert!(matches!(again, Err(Error::Duplicate { .. })), "{again:?}");
            }
        }
    }
}

/// A module with an inline function and its variable, as LLVM sees them, and a function of its own.
fn counting(name: &str, step: i32) -> Vec<u8> {
    format!(
        "@count = linkonce_odr global i32 0
         define linkonce_odr i32 @next() noinline {{
           %v = load i32, ptr @count
           %n = add i32 %v, {step}
           store i32 %n, ptr @count
           ret i32 %n
         }}
         define i32 @{name}() {{
           %n = call i32 @next()
           ret i32 %n
         }}"
    )
    .into_bytes()
}

#[test]
fn who_is_loaded_first_is_meant_and_nobody_else_is_compiled() {
    let session = common::session();
    let a = session
        .add("a.ll", &counting("a", 1), When::OnLookup)
        .unwrap();
    // Nobody defines that, so that it can never be loaded.
    let mut broken = counting("broken", 100);
    broken
        .extend(b"declare void @nowhere()\n define void @f() { call void @nowhere()\n ret void }");
    session.add("broken.ll", &broken, When::OnLookup).unwrap();
    session
        .add("b.ll", &counting("b", 10), When::Eager)
        .unwrap();
    assert!(!a.is_ready());
    assert_eq!(run(&session, "b"), 10);
    assert_eq!(run(&session, "a"), 20);
    assert_eq!(run(&session, "next"), 30);
}

#[test]
fn a_function_that_is_inlined_everywhere_is_anothers() {
    let inlined = "define linkonce_odr i32 @small() alwaysinline { ret i32 7 }
        define i32 @a() { %v = call i32 @small()\n ret i32 %v }";
    let defined = "define weak_odr i32 @small() { ret i32 7 }";
    let wanted = "declare i32 @small()\n define i32 @c() { %v = call i32 @small()\n ret i32 %v }";
    let session = common::session();
    for (name, module) in [("a.ll", inlined), ("b.ll", defined), ("c.ll", wanted)] {
        session
            .add(name, module.as_bytes(), When::OnLookup)
            .unwrap();
    }
    assert_eq!([run(&session, "a"), run(&session, "c")], [7, 7]);
}

#[test]
fn one_that_is_not_weak_is_meant_from_then_on() {
    for way in ways() {
        let session = common::session();
        session.add("a.ll", &counting("a", 1), way.clone()).unwrap();
        let strong = session
            .add("s.ll", &common::constant("next", 1000), way.clone())
            .unwrap();
        assert_eq!([run(&session, "next"), run(&session, "next")], [1000, 1000]);
        session.add("b.ll", &counting("b", 10), way).unwrap();
        assert_eq!(run(&session, "b"), 1000);
        // `b` is bound to it.
        strong.remove().unwrap();
        assert_eq!([run(&session, "next"), run(&session, "b")], [1000, 1000]);
        assert!(
            session
                .add("s.ll", &common::constant("next", 7), When::Eager)
                .is_ok()
        );
        assert_eq!(run(&session, "next"), 7);
        // In tiers, what is compiled again is bound again.
        let b = run(&session, "b");
        assert!(b == 1000 || b == 7, "{b}");
    }
}

#[test]
fn a_unit_goes_when_nobody_shares_what_it_defines() {
    for way in ways() {
        let session = common::session();
        let a = session.add("a.ll", &counting("a", 1), way.clone()).unwrap();
        assert_eq!(run(&session, "a"), 1);
        let b = session
            .add("b.ll", &counting("b", 10), way.clone())
            .unwrap();
        assert_eq!(run(&session, "b"), 2);
        a.remove().unwrap();
        assert!(matches!(a.remove(), Err(Error::Removed { .. })));
        assert!(matches!(a.materialize(), Err(Error::Removed { .. })));
        let gone = session.main().address("a");
        assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
        // Its name is free, and there is one `count` still.
        let c = session
            .add("a.ll", &counting("a", 100), way.clone())
            .unwrap();
        assert_eq!(
            ["b", "a", "next"].map(|name| run(&session, name)),
            [3, 4, 5]
        );
        b.remove().unwrap();
        assert_eq!(run(&session, "a"), 6);
        c.remove().unwrap();
        let gone = session.main().address("next");
        assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
        session.add("d.ll", &counting("d", 1000), way).unwrap();
        assert_eq!(run(&session, "d"), 1000);
    }
}

#[test]
fn what_is_removed_and_shared_keeps_what_it_needs() {
    let session = common::session();
    let helper = session
        .add("h.ll", &common::constant("helper", 5), When::OnFirstCall)
        .unwrap();
    let inline = |name: &str| {
        format!(
            "declare i32 @helper()
             define linkonce_odr i32 @shared() noinline {{ %v = call i32 @helper()\n ret i32 %v }}
             define i32 @{name}() {{ %v = call i32 @shared()\n ret i32 %v }}"
        )
    };
    let a = session
        .add("a.ll", inline("a").as_bytes(), When::OnFirstCall)
        .unwrap();
    let b = session
        .add("b.ll", inline("b").as_bytes(), When::Eager)
        .unwrap();
    a.remove().unwrap();
    assert!(matches!(helper.remove(), Err(Error::InUse { .. })));
    // It is compiled now.
    assert_eq!(run(&session, "b"), 5);
    Unit::remove_all(&[&b, &helper]).unwrap();
    assert!(matches!(
        session.main().address("shared"),
        Err(Error::NotFound { .. })
    ));
}

#[test]
fn a_new_version_has_its_own_and_takes_part_in_others() {
    for way in ways() {
        let session = common::session();
        let a = session.add("a.ll", &counting("a", 1), way.clone()).unwrap();
        assert_eq!(run(&session, "a"), 1);
        let b = session
            .add("b.ll", &counting("b", 10), way.clone())
            .unwrap();
        assert_eq!(run(&session, "b"), 2);
        // What `b` means is not its own to change.
        let old = b.replace("b.ll", &counting("b", 100)).unwrap();
        assert_eq!([run(&session, "b"), run(&session, "a")], [3, 4]);
        drop(old);
        let old = a.replace("a.ll", &counting("a", 1000)).unwrap();
        assert_eq!(run(&session, "a"), 1000);
        assert_eq!(run(&session, "next"), 2000);
        drop(old);
    }
}

#[test]
fn of_threads_that_add_at_once_all_share_one() {
    const THREADS: usize = 4;
    for way in ways() {
        for _ in 0..8 {
            let session = common::session();
            let barrier = Barrier::new(THREADS);
            let names: Vec<_> = (0..THREADS).map(|n| format!("f{n}")).collect();
            thread::scope(|scope| {
                for name in &names {
                    let (session, barrier, way) = (&session, &barrier, way.clone());
                    scope.spawn(move || {
                        let module = addresses(name);
                        barrier.wait();
                        session.add(name, &module, way).unwrap();
                        session.main().address(name).unwrap();
                    });
                }
            });
            let variables: Vec<_> = names.iter().map(|name| address(&session, name)).collect();
            assert!(
                variables.iter().all(|it| *it == variables[0]),
                "{variables:?}"
            );
            let functions = names
                .iter()
                .map(|name| address(&session, &format!("{name}_function")));
            let functions: Vec<_> = functions.collect();
            assert!(
                functions.iter().all(|it| *it == functions[0]),
                "{functions:?}"
            );
        }
    }
}

/// A module that gives the addresses of a variable and a function that others have too.
fn addresses(name: &str) -> Vec<u8> {
    format!(
        "@count = linkonce_odr global i32 0
         define linkonce_odr void @shared() {{ ret void }}
         define ptr @{name}() {{ ret ptr @count }}
         define ptr @{name}_function() {{ ret ptr @shared }}"
    )
    .into_bytes()
}
