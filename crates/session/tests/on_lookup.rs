//! Units that are compiled when they are needed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]
#![allow(unsafe_code, reason = "calling compiled functions is")]

mod common;

use std::sync::Barrier;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;

use common::{caller, constant, run, session};
use farcall_session::{Error, Session, Unit, When};

type Plain = unsafe extern "C" fn() -> i32;

fn add(session: &Session, name: &str, ir: &[u8]) -> Unit {
    session.add(name, ir, When::OnLookup).unwrap()
}

#[test]
fn a_lookup_compiles_what_it_needs_and_no_more() {
    let session = session();
    let a = add(&session, "a.ll", &caller("a", "b", 1));
    let b = add(&session, "b.ll", &caller("b", "c", 10));
    let c = add(&session, "c.ll", &constant("c", 100));
    let d = add(&session, "d.ll", &caller("d", "nowhere", 1));
    assert!([&a, &b, &c, &d].iter().all(|unit| !unit.is_ready()));
    assert_eq!(run(&session, "b"), 110);
    assert_eq!(
        [&a, &b, &c, &d].map(Unit::is_ready),
        [false, true, true, false]
    );
    assert_eq!(run(&session, "a"), 111);
}

#[test]
fn units_that_need_each_other_are_loaded_together() {
    let session = session();
    let module = |name: &str, other: &str| {
        format!(
            "declare i32 @{other}(i32)
             define i32 @{name}(i32 %n) {{
               %end = icmp eq i32 %n, 0
               br i1 %end, label %no, label %more
             no: ret i32 0
             more:
               %less = sub i32 %n, 1
               %rest = call i32 @{other}(i32 %less)
               %sum = add i32 %rest, 1
               ret i32 %sum
             }}"
        )
    };
    for (name, other) in [("x", "y"), ("y", "z"), ("z", "x")] {
        add(&session, name, module(name, other).as_bytes());
    }
    let y = session
        .lookup::<unsafe extern "C" fn(i32) -> i32>("y")
        .unwrap();
    // SAFETY: it wants nothing of its caller.
    assert_eq!(unsafe { y(1000) }, 1000);
}

#[test]
fn invalid_ir_is_an_error_at_once() {
    let session = session();
    let broken = session.add("bad.ll", b"define i32 @f() { ret i64 1 }", When::OnLookup);
    assert!(matches!(broken, Err(Error::Compile(_))));
}

#[test]
fn a_failed_lookup_can_be_tried_again() {
    let session = session();
    let a = add(&session, "a.ll", &caller("a", "b", 1));
    for _ in 0..2 {
        let error = session.lookup::<Plain>("a").unwrap_err();
        assert!(error.to_string().contains("missing symbol: b"), "{error}");
    }
    add(&session, "b.ll", &constant("b", 5));
    assert_eq!(run(&session, "a"), 6);
    a.remove().unwrap();
    // What has failed gives way to a unit with the same names.
    add(&session, "f.ll", &caller("f", "nowhere", 1));
    session.lookup::<Plain>("f").unwrap_err();
    add(&session, "f.ll", &constant("f", 3));
    assert_eq!(run(&session, "f"), 3);
    let error = session
        .add("f.ll", &constant("f", 4), When::OnLookup)
        .unwrap_err();
    assert!(matches!(error, Error::Duplicate { .. }));
}

#[test]
fn what_llvm_cannot_compile_is_an_error_for_all_who_wait() {
    let session = session();
    // An intrinsic of another machine: LLVM notices when it makes code.
    let module = b"declare i64 @llvm.aarch64.crc32b(i32, i32)
        define i64 @f() { %v = call i64 @llvm.aarch64.crc32b(i32 1, i32 2)
        ret i64 %v }";
    if session.add("f.ll", module, When::OnLookup).is_err() {
        return;
    }
    let errors = thread::scope(|scope| {
        let lookup = || session.lookup::<Plain>("f").unwrap_err().to_string();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(lookup)).collect();
        let errors = threads.into_iter().map(|it| it.join().unwrap());
        errors.collect::<Vec<_>>()
    });
    assert!(
        errors.iter().all(|error| error.contains("f.ll")),
        "{errors:?}"
    );
}

#[test]
fn threads_that_want_the_same_get_it_once() {
    static STARTS: AtomicI32 = AtomicI32::new(0);
    extern "C" fn count() {
        STARTS.fetch_add(1, Ordering::Relaxed);
    }
    const N: usize = 40;
    let session = session();
    session
        .define_function("count", count as extern "C" fn())
        .unwrap();
    for unit in 0..N {
        let next = (unit + 1) % N;
        let module = format!(
            "declare void @count()
             declare i32 @f{next}(i32)
             @llvm.global_ctors = appending global [1 x {{ i32, ptr, ptr }}] [{{ i32, ptr, ptr }} {{ i32 65535, ptr @count, ptr null }}]
             define i32 @f{unit}(i32 %n) {{
               %end = icmp eq i32 %n, 0
               br i1 %end, label %no, label %more
             no: ret i32 {unit}
             more:
               %less = sub i32 %n, 1
               %v = call i32 @f{next}(i32 %less)
               ret i32 %v
             }}"
        );
        let module = module.replace("ptr @count, ptr null", "ptr @start, ptr null")
            + "\ndefine internal void @start() { call void @count()\nret void }";
        add(&session, &format!("{unit}.ll"), module.as_bytes());
    }
    let barrier = Barrier::new(8);
    thread::scope(|scope| {
        for thread in 0..8 {
            let (session, barrier) = (&session, &barrier);
            scope.spawn(move || {
                barrier.wait();
                for step in 0..N {
                    let unit = (thread * 5 + step) % N;
                    let name = format!("f{unit}");
                    let f = session
                        .lookup::<unsafe extern "C" fn(i32) -> i32>(&name)
                        .unwrap();
                    // SAFETY: it wants nothing of its caller.
                    let value = unsafe { f(3) };
                    assert_eq!(usize::try_from(value).unwrap(), (unit + 3) % N);
                }
            });
        }
    });
    assert_eq!(usize::try_from(STARTS.load(Ordering::Relaxed)).unwrap(), N);
}

#[test]
fn constructors_of_two_threads_may_look_each_others_units_up() {
    use std::sync::OnceLock;
    static SESSION: OnceLock<Session> = OnceLock::new();
    static BARRIER: OnceLock<Barrier> = OnceLock::new();
    extern "C" fn meet(other: i32) -> i32 {
        BARRIER.get().unwrap().wait();
        let name = if other == 0 { "left" } else { "right" };
        let session = SESSION.get().unwrap();
        session.main().address(name).map_or(-1, |_| 1)
    }
    let session = SESSION.get_or_init(session);
    BARRIER.get_or_init(|| Barrier::new(2));
    session
        .define_function("meet", meet as extern "C" fn(i32) -> i32)
        .unwrap();
    for (name, other) in [("left", 1), ("right", 0)] {
        let module = format!(
            "declare i32 @meet(i32)
             @{name}_met = global i32 0
             @llvm.global_ctors = appending global [1 x {{ i32, ptr, ptr }}] [{{ i32, ptr, ptr }} {{ i32 65535, ptr @start, ptr null }}]
             define internal void @start() {{ %v = call i32 @meet(i32 {other})
               store i32 %v, ptr @{name}_met
               ret void }}
             define i32 @{name}() {{ %v = load i32, ptr @{name}_met
               ret i32 %v }}"
        );
        add(session, name, module.as_bytes());
    }
    thread::scope(|scope| {
        for name in ["left", "right"] {
            scope.spawn(move || {
                session.main().address(name).unwrap();
            });
        }
    });
    assert_eq!((run(session, "left"), run(session, "right")), (1, 1));
}

#[test]
fn units_come_and_go_while_others_look_up() {
    let session = session();
    add(&session, "base.ll", &constant("base", 1));
    thread::scope(|scope| {
        for thread in 0..4 {
            let session = &session;
            scope.spawn(move || {
                let ways = [When::Eager, When::OnLookup, When::OnFirstCall];
                for (round, when) in (0..40).zip(ways.into_iter().cycle()) {
                    let name = format!("f{thread}");
                    let unit = session.add(&name, &caller(&name, "base", round), when);
                    let unit = unit.unwrap();
                    assert_eq!(run(session, &name), 1 + round);
                    unit.remove().unwrap();
                }
            });
        }
    });
}
