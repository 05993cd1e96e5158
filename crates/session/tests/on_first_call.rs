//! Units whose functions are compiled when they are called, or again when they have run.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]
#![allow(unsafe_code, reason = "calling compiled functions is")]

mod common;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::{call, caller, constant, run, session};
use farcall_loader::Definition;
use farcall_session::{Error, Options, Partition, Session, When};

/// Two functions that call each other, one that only they see, and a variable of theirs.
const COUNTER: &[u8] = b"
@n = internal global i32 0
@shared = global i32 7
define i32 @next() {
  %v = call i32 @bump(i32 1)
  ret i32 %v
}
define i32 @skip() {
  %a = call i32 @next()
  %b = call i32 @bump(i32 10)
  ret i32 %b
}
define internal i32 @bump(i32 %by) noinline {
  %v = load i32, ptr @n
  %s = add i32 %v, %by
  store i32 %s, ptr @n
  ret i32 %s
}
define i32 @get() {
  %v = load i32, ptr @shared
  ret i32 %v
}
define i32 @never() {
  %v = call i32 @nowhere()
  ret i32 %v
}
declare i32 @nowhere()
";

#[test]
fn functions_are_compiled_when_they_are_called() {
    let session = session();
    let unit = session
        .add("counter.ll", COUNTER, When::OnFirstCall)
        .unwrap();
    assert!(!unit.is_ready());
    let next = session.lookup("next").unwrap();
    assert_eq!(call(&next), 1);
    assert_eq!(run(&session, "skip"), 12);
    assert_eq!(call(&next), 13);
    assert_eq!(run(&session, "get"), 7);
    // What was never called need not work.
    assert!(!unit.is_ready());
    let error = unit.materialize().unwrap_err();
    assert!(
        error.to_string().contains("missing symbol: nowhere"),
        "{error}"
    );
    let before = session.main().address("never").unwrap();
    session
        .add("nowhere.ll", &constant("nowhere", 9), When::OnFirstCall)
        .unwrap();
    assert_eq!(run(&session, "never"), 9);
    assert_eq!(session.main().address("never").unwrap(), before);
    unit.materialize().unwrap();
    assert!(unit.is_ready());
    drop(next);
    unit.remove().unwrap();
    assert!(session.main().address("skip").is_err());
}

#[test]
fn parts_may_be_of_any_size() {
    let by_first = |name: &str| u64::from(name.as_bytes()[0]);
    for partition in [
        Partition::Functions,
        Partition::Whole,
        Partition::By(Arc::new(by_first)),
    ] {
        let session = session();
        session
            .add("nowhere.ll", &constant("nowhere", 9), When::OnFirstCall)
            .unwrap();
        let options = Options::new(When::OnFirstCall).partition(partition);
        session.add("counter.ll", COUNTER, options).unwrap();
        let names = ["skip", "next", "get", "never"];
        assert_eq!(names.map(|name| run(&session, name)), [11, 12, 7, 9]);
    }
}

#[test]
fn an_error_goes_to_the_handler() {
    static ERRORS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    extern "C" fn instead() -> i32 {
        -1
    }
    let handler = |error: &Error| {
        ERRORS.lock().unwrap().push(error.to_string());
        Definition::function(instead as extern "C" fn() -> i32)
    };
    // SAFETY: the test adds what is written in it.
    let session = unsafe { Session::builder().on_first_call_error(handler).build() };
    session
        .add("f.ll", &caller("f", "nowhere", 1), When::OnFirstCall)
        .unwrap();
    assert_eq!(run(&session, "f"), -1);
    let errors = ERRORS.lock().unwrap().clone();
    assert!(
        matches!(&errors[..], [one] if one.contains("missing symbol: nowhere")),
        "{errors:?}"
    );
    // It is bound to that for good.
    session
        .add("nowhere.ll", &constant("nowhere", 1), When::Eager)
        .unwrap();
    assert_eq!(run(&session, "f"), -1);
}

#[test]
fn addresses_of_functions_are_the_same_everywhere() {
    let module = b"
        define i32 @f() { ret i32 1 }
        define i32 @g() { ret i32 2 }
        @table = global [2 x ptr] [ptr @f, ptr @g]
        define ptr @own() { ret ptr @f }
        define ptr @of_itself() { ret ptr @of_itself }
        define ptr @from_table() { %p = load ptr, ptr @table
          ret ptr %p }
        define i32 @through_table() { %p = load ptr, ptr @table
          %v = call i32 %p()
          ret i32 %v }";
    let other = b"declare i32 @f()\ndefine ptr @elsewhere() { ret ptr @f }";
    for options in [
        Options::new(When::OnFirstCall),
        Options::new(When::OnFirstCall).partition(Partition::Whole),
        Options::new(When::Eager).tier_up(),
    ] {
        let session = session();
        session.add("f.ll", module, options).unwrap();
        session.add("other.ll", other, When::Eager).unwrap();
        let f = session.main().address("f").unwrap();
        for name in ["own", "from_table", "elsewhere"] {
            let taken = session
                .lookup::<unsafe extern "C" fn() -> *mut u8>(name)
                .unwrap();
            // SAFETY: it wants nothing of its caller.
            assert_eq!(unsafe { taken() }, f.cast(), "{name}");
        }
        let itself = session
            .lookup::<unsafe extern "C" fn() -> *mut u8>("of_itself")
            .unwrap();
        // SAFETY: as above.
        let itself = unsafe { itself() };
        assert_eq!(itself, session.main().address("of_itself").unwrap().cast());
        assert_eq!(run(&session, "through_table"), 1);
    }
}

#[test]
fn constructors_run_before_the_first_call_and_destructors_at_the_end() {
    static LOG: Mutex<Vec<i32>> = Mutex::new(Vec::new());
    extern "C" fn log(value: i32) {
        LOG.lock().unwrap().push(value);
    }
    let module = b"
        declare void @log(i32)
        @ready = global i32 0
        @llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 65535, ptr @start, ptr null }]
        @llvm.global_dtors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 65535, ptr @end, ptr null }]
        define internal void @start() { call void @helper(i32 1)
          store i32 5, ptr @ready
          ret void }
        define internal void @end() { call void @late(i32 3)
          ret void }
        define void @helper(i32 %v) noinline { call void @log(i32 %v)
          ret void }
        define void @late(i32 %v) noinline { call void @log(i32 %v)
          ret void }
        define i32 @f() { call void @log(i32 2)
          %v = load i32, ptr @ready
          ret i32 %v }";
    for is_removed in [true, false] {
        let session = session();
        session
            .define_function("log", log as extern "C" fn(i32))
            .unwrap();
        let unit = session.add("f.ll", module, When::OnFirstCall).unwrap();
        assert!(LOG.lock().unwrap().is_empty());
        assert_eq!(run(&session, "f"), 5);
        assert_eq!(*LOG.lock().unwrap(), [1, 2]);
        if is_removed {
            unit.remove().unwrap();
        }
        drop((session, unit));
        // The function that the destructor calls was never called before.
        assert_eq!(std::mem::take(&mut *LOG.lock().unwrap()), [1, 2, 3]);
    }
}

#[test]
fn threads_that_call_at_the_same_time_run_one_body() {
    static STARTS: AtomicI32 = AtomicI32::new(0);
    extern "C" fn count() {
        STARTS.fetch_add(1, Ordering::Relaxed);
    }
    let module = b"
        declare void @count()
        @n = internal global i32 0
        @llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 65535, ptr @start, ptr null }]
        define internal void @start() { call void @count()
          ret void }
        define i32 @f() { %v = atomicrmw add ptr @n, i32 1 monotonic
          %w = call i32 @g()
          ret i32 %w }
        define i32 @g() { %v = load i32, ptr @n
          ret i32 %v }";
    for round in 0..30 {
        STARTS.store(0, Ordering::Relaxed);
        let session = session();
        session
            .define_function("count", count as extern "C" fn())
            .unwrap();
        let options = Options::new(When::OnFirstCall);
        let options = if round % 2 == 0 {
            options
        } else {
            options.tier_up()
        };
        session.add("f.ll", module, options).unwrap();
        let barrier = Barrier::new(8);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let f = session.lookup("f").unwrap();
                    barrier.wait();
                    assert!(call(&f) >= 1);
                });
            }
        });
        assert_eq!(run(&session, "g"), 8);
        assert_eq!(STARTS.load(Ordering::Relaxed), 1);
    }
}

/// Waits until a condition holds; false when that takes too long.
fn within(time: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !condition() {
        if start.elapsed() > time {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
    true
}

/// `f` gives the instruction that it is at, the same wherever it is called from.
const WHERE_AM_I: &[u8] = b"
    @n = internal global i32 0
    declare ptr @llvm.returnaddress(i32)
    define internal ptr @return_address() noinline { %p = call ptr @llvm.returnaddress(i32 0)
      ret ptr %p }
    define i64 @f() { %p = call ptr @return_address()
      %v = atomicrmw add ptr @n, i32 1 monotonic
      %i = ptrtoint ptr %p to i64
      ret i64 %i }
    define i32 @g() { %v = load i32, ptr @n
      ret i32 %v }";

#[test]
fn tiering_up_changes_the_code_while_it_is_called_and_keeps_the_variables() {
    // Others are compiled again before `f`, so that it is called before that.
    let others = (0..400).map(|n| format!("define i32 @other{n}() {{ ret i32 {n} }}\n"));
    let module = [others.collect::<String>().as_bytes(), WHERE_AM_I].concat();
    for when in [When::Eager, When::OnLookup, When::OnFirstCall] {
        let has_been_seen = (0..10).any(|_| tiers_up_while_it_is_called(&module, when));
        assert!(has_been_seen, "{when:?}");
    }
}

/// Gives whether that was seen: a machine that does much else may compile `f` again before it is called at all.
fn tiers_up_while_it_is_called(module: &[u8], when: When) -> bool {
    let session = session();
    let options = Options::new(when).tier_up();
    session.add("f.ll", module, options).unwrap();
    let f = session
        .lookup::<unsafe extern "C" fn() -> i64>("f")
        .unwrap();
    let codes = Mutex::new(HashSet::new());
    let calls = AtomicI32::new(0);
    let call = || {
        calls.fetch_add(1, Ordering::Relaxed);
        // SAFETY: it wants nothing of its caller.
        let code = unsafe { f() };
        codes.lock().unwrap().insert(code);
    };
    call();
    let stop = AtomicBool::new(false);
    let has_changed = thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    call();
                }
            });
        }
        let has_changed = within(Duration::from_secs(10), || codes.lock().unwrap().len() > 1);
        thread::sleep(Duration::from_millis(20));
        stop.store(true, Ordering::Relaxed);
        has_changed
    });
    assert_eq!(
        run(&session, "g"),
        calls.load(Ordering::Relaxed),
        "{when:?}"
    );
    let n_codes = codes.lock().unwrap().len();
    assert!(n_codes <= 2, "{when:?}: {n_codes}");
    has_changed
}

#[test]
fn a_unit_that_tiers_up_is_removed_at_any_time() {
    for _ in 0..40 {
        let session = session();
        let unit = session
            .add("f.ll", WHERE_AM_I, Options::new(When::Eager).tier_up())
            .unwrap();
        assert_eq!(run(&session, "g"), 0);
        unit.remove().unwrap();
        session.add("f.ll", &constant("f", 1), When::Eager).unwrap();
        assert_eq!(run(&session, "f"), 1);
    }
}

#[test]
fn replacing_re_points_what_is_compiled_on_first_call() {
    let session = session();
    let unit = session
        .add("f.ll", &constant("f", 1), When::OnFirstCall)
        .unwrap();
    session
        .add("u.ll", &caller("u", "f", 10), When::Eager)
        .unwrap();
    let f = session.lookup("f").unwrap();
    // Also before it was ever called.
    drop(unit.replace("f2.ll", &constant("f", 2)).unwrap());
    assert_eq!((call(&f), run(&session, "u")), (2, 12));
    drop(unit.replace("f3.ll", &constant("f", 3)).unwrap());
    assert_eq!((call(&f), run(&session, "u")), (3, 13));
}

#[test]
fn a_destructor_of_a_part_is_called_with_all_of_it_there() {
    // 10,000 functions, of which a few are ever called.
    use std::fmt::Write as _;
    let mut module = String::from("@sum = internal global i32 0\n");
    for n in 0..10_000 {
        let next = (n * 7 + 1) % 10_000;
        writeln!(
            module,
            "define i32 @f{n}(i32 %d) {{\n%z = icmp eq i32 %d, 0\nbr i1 %z, label %y, label %r\ny:\nret i32 {n}\nr:\n%e = sub i32 %d, 1\n%v = call i32 @f{next}(i32 %e)\nret i32 %v\n}}"
        )
        .unwrap();
    }
    let session = session();
    session
        .add("many.ll", module.as_bytes(), When::OnFirstCall)
        .unwrap();
    let f = session
        .lookup::<unsafe extern "C" fn(i32) -> i32>("f1")
        .unwrap();
    // SAFETY: it wants nothing of its caller.
    assert_eq!(unsafe { (f(0), f(1), f(2)) }, (1, 8, 57));
}
