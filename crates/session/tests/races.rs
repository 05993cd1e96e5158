//! Units that come and go while others are bound to them, are replaced, or stand behind each other.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]
#![allow(unsafe_code, reason = "calling compiled functions is")]

mod common;

use std::sync::{Arc, Barrier, Mutex, OnceLock};
use std::thread;

use common::{call, caller, constant, run, session};
use farcall_loader::Definition;
use farcall_session::{Error, Options, Session, Unit, When};

fn weak(name: &str, value: i32) -> Vec<u8> {
    format!("define weak i32 @{name}() {{ ret i32 {value} }}").into_bytes()
}

/// A module whose constructor calls `callee`.
fn constructor(callee: &str, rest: &str) -> Vec<u8> {
    format!(
        "@llvm.global_ctors = appending global [1 x {{ i32, ptr, ptr }}] [{{ i32, ptr, ptr }} {{ i32 65535, ptr @start, ptr null }}]
         declare void @{callee}()
         define internal void @start() {{ call void @{callee}()
         ret void }}
         {rest}"
    )
    .into_bytes()
}

#[test]
fn a_weak_definition_comes_back_when_the_one_that_is_not_goes() {
    let session = session();
    session.add("1.ll", &weak("w", 1), When::Eager).unwrap();
    let strong = session.add("2.ll", &constant("w", 2), When::Eager).unwrap();
    let third = session.add("3.ll", &weak("w", 3), When::Eager).unwrap();
    assert_eq!(run(&session, "w"), 2);
    strong.remove().unwrap();
    assert_eq!(run(&session, "w"), 1);
    third.remove().unwrap();
    assert_eq!(run(&session, "w"), 1);
}

#[test]
fn a_weak_definition_that_is_replaced_stays_the_one_that_is_meant() {
    let session = session();
    let first = session.add("1.ll", &weak("w", 1), When::Eager).unwrap();
    session.add("2.ll", &weak("w", 2), When::Eager).unwrap();
    for value in 10..13 {
        drop(first.replace("1.ll", &weak("w", value)).unwrap());
        assert_eq!(run(&session, "w"), value);
    }
    first.remove().unwrap();
    assert_eq!(run(&session, "w"), 2);
}

#[test]
fn a_constructor_cannot_remove_what_its_unit_is_bound_to() {
    static USED: OnceLock<Unit> = OnceLock::new();
    static SAID: Mutex<Vec<Error>> = Mutex::new(Vec::new());
    extern "C" fn hook() {
        if let Err(error) = USED.get().unwrap().remove() {
            SAID.lock().unwrap().push(error);
        }
    }
    let session = session();
    session
        .define_function("hook", hook as extern "C" fn())
        .unwrap();
    let options = Options::new(When::Eager).replaceable();
    let used = session.add("f.ll", &constant("f", 1), options).unwrap();
    USED.set(used).unwrap();
    let rest = "declare i32 @f()
        define i32 @u() {
          %v = call i32 @f()
          ret i32 %v
        }";
    session
        .add("u.ll", &constructor("hook", rest), When::Eager)
        .unwrap();
    let said = SAID.lock().unwrap();
    assert!(
        matches!(&said[..], [Error::InUse { users, .. }] if users == &["u.ll"]),
        "{said:?}"
    );
    assert_eq!(run(&session, "u"), 1);
}

#[test]
fn constructors_of_two_threads_may_remove_each_others_units() {
    static UNITS: OnceLock<[Unit; 2]> = OnceLock::new();
    static MEET: Barrier = Barrier::new(2);
    static BUSY: Mutex<usize> = Mutex::new(0);
    fn remove(other: usize) {
        MEET.wait();
        match UNITS.get().unwrap()[other].remove() {
            Err(Error::Busy { .. }) => *BUSY.lock().unwrap() += 1,
            // The other one has given up, and is started.
            Ok(()) => {}
            Err(error) => panic!("{error}"),
        }
    }
    extern "C" fn first() {
        remove(1);
    }
    extern "C" fn second() {
        remove(0);
    }
    let session = session();
    session
        .define_function("first", first as extern "C" fn())
        .unwrap();
    session
        .define_function("second", second as extern "C" fn())
        .unwrap();
    let add = |name: &str| {
        let rest = format!("define i32 @of_{name}() {{ ret i32 0 }}");
        let module = constructor(name, &rest);
        session.add(name, &module, When::OnLookup).unwrap()
    };
    UNITS.set([add("first"), add("second")]).unwrap();
    thread::scope(|scope| {
        for unit in UNITS.get().unwrap() {
            scope.spawn(move || unit.materialize());
        }
    });
    assert!(*BUSY.lock().unwrap() >= 1);
}

#[test]
fn a_unit_of_which_one_function_has_failed_does_not_give_way_to_another() {
    extern "C" fn instead() -> i32 {
        -1
    }
    let handler = |_: &Error| Definition::function(instead as extern "C" fn() -> i32);
    // SAFETY: the test adds what is written in it.
    let session = unsafe { Session::builder().on_first_call_error(handler).build() };
    let mut both = caller("f", "nowhere", 1);
    both.extend(constant("g", 2));
    session.add("fg.ll", &both, When::OnFirstCall).unwrap();
    session
        .add("u.ll", &caller("u", "g", 10), When::Eager)
        .unwrap();
    assert_eq!(run(&session, "f"), -1);
    let other = session.add("f.ll", &constant("f", 3), When::Eager);
    assert!(matches!(other, Err(Error::Duplicate { .. })), "{other:?}");
    assert_eq!((run(&session, "u"), run(&session, "g")), (12, 2));
}

#[test]
fn units_of_two_sessions_are_not_removed_together() {
    let (one, other) = (session(), session());
    let first = one.add("f.ll", &constant("f", 1), When::Eager).unwrap();
    let bystander = one.add("g.ll", &constant("g", 2), When::Eager).unwrap();
    other.add("a.ll", &constant("a", 3), When::Eager).unwrap();
    let second = other.add("b.ll", &constant("b", 4), When::Eager).unwrap();
    let error = Unit::remove_all(&[&first, &second]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "b.ll: it is of another session: remove it by itself"
    );
    assert_eq!(
        (run(&one, "f"), run(&one, "g"), run(&other, "b")),
        (1, 2, 4)
    );
    Unit::remove_all(&[&bystander, &first, &bystander]).unwrap();
}

#[test]
fn threads_replace_one_unit_and_calls_go_where_its_names_do() {
    let session = session();
    let options = Options::new(When::OnFirstCall).tier_up();
    let unit = session.add("f.ll", &constant("f", 0), options).unwrap();
    session
        .add("u.ll", &caller("u", "f", 1000), When::Eager)
        .unwrap();
    let kept = Arc::new(Mutex::new(Vec::new()));
    for round in 0..20 {
        thread::scope(|scope| {
            for thread in 0..4 {
                let (unit, session, kept) = (&unit, &session, &kept);
                scope.spawn(move || {
                    let version = constant("f", round * 4 + thread);
                    let old = unit.replace("f.ll", &version).unwrap();
                    kept.lock().unwrap().push(old);
                    assert!(run(session, "u") >= 1000);
                });
            }
        });
        let f = session.lookup("f").unwrap();
        assert_eq!(run(&session, "u"), call(&f) + 1000);
        // Who is dropped is what nobody is led to.
        kept.lock().unwrap().clear();
        assert_eq!(run(&session, "u"), call(&f) + 1000);
    }
}

#[test]
fn a_unit_is_replaced_in_the_middle_of_a_first_call() {
    let session = session();
    for version in 100..300 {
        let unit = session
            .add("g.ll", &constant("g", 2), When::OnFirstCall)
            .unwrap();
        let g = session.lookup("g").unwrap();
        let barrier = Barrier::new(2);
        let old = thread::scope(|scope| {
            scope.spawn(|| {
                barrier.wait();
                let value = call(&g);
                assert!(value == 2 || value == version, "{value}");
            });
            barrier.wait();
            unit.replace("g.ll", &constant("g", version)).unwrap()
        });
        assert_eq!(call(&g), version);
        drop(old);
        assert_eq!(call(&g), version);
        drop(g);
        unit.remove().unwrap();
    }
}

#[test]
fn who_is_being_bound_to_a_unit_keeps_it() {
    let session = session();
    let options = || Options::new(When::Eager).replaceable();
    for _ in 0..50 {
        let unit = session.add("f.ll", &constant("f", 7), options()).unwrap();
        let user = thread::scope(|scope| {
            let user = scope.spawn(|| session.add("u.ll", &caller("u", "f", 1), When::Eager));
            let removed = unit.remove();
            (user.join().unwrap(), removed)
        });
        match user {
            (Ok(user), Err(Error::InUse { .. })) => {
                assert_eq!(run(&session, "u"), 8);
                user.remove().unwrap();
                unit.remove().unwrap();
            }
            (Err(Error::Load(_)), Ok(())) => {}
            other => panic!("{other:?}"),
        }
    }
}
