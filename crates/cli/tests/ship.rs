//! IR that is shipped to `farcall executor`, which runs it in workers.

// An emulator starts no template.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]
#![allow(unsafe_code, reason = "a session is made")]

mod common;

use common::{Executor, Folder};
use farcall::executor::{ErrorKind, Failure, LoadOptions, Order, RemoteFunction, Value};
use farcall::ship::{Partition, Shipped, ship};
use farcall::{Image, Session, When};

/// Functions that call each other, a variable of theirs, and two that end badly.
const COUNTER: &[u8] = b"
@n = internal global i32 0
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
  ret i32 7
}
define i32 @crash() {
  %a = call i32 @next()
  %v = call i32 @touch(ptr null)
  ret i32 %v
}
define i32 @touch(ptr %p) noinline {
  %v = load volatile i32, ptr %p
  ret i32 %v
}
define i32 @never() {
  %v = call i32 @nowhere()
  ret i32 %v
}
define i32 @ask_never() {
  %v = call i32 @never()
  ret i32 %v
}
declare i32 @nowhere()
";

/// What a worker is for.
const KEEPS: [&str; 2] = ["session", "call"];

fn session() -> Session {
    // SAFETY: nothing is added to it.
    unsafe { Session::new() }
}

struct There {
    process: Executor,
    _folder: Folder,
}

impl There {
    fn start(keep: &str) -> Self {
        let folder = Folder::new();
        let listen = format!("unix:{}", folder.file("socket").display());
        let process = Executor::start_with(&listen, &["--workers", keep]);
        Self {
            process,
            _folder: folder,
        }
    }

    fn connect(&self) -> farcall::Executor {
        farcall::Executor::connect(&self.process.address.parse().unwrap()).unwrap()
    }
}

fn counter(executor: &farcall::Executor, when: When) -> Shipped {
    ship(&session(), executor, "counter.ll", COUNTER, when).unwrap()
}

fn number(value: Value) -> u64 {
    match value {
        Value::Int { bits: 32, value } => value,
        other => panic!("{other:?}"),
    }
}

fn run(shipped: &Shipped, name: &str) -> u64 {
    number(shipped.function(name).unwrap().call(&mut []).unwrap())
}

#[track_caller]
fn failure<T: std::fmt::Debug>(result: farcall::executor::Result<T>) -> Failure {
    match result {
        Err(farcall::executor::Error::Failed(failure)) => failure,
        other => panic!("not a failure: {other:?}"),
    }
}

#[test]
fn functions_are_compiled_when_a_worker_calls_them() {
    for keep in KEEPS {
        let there = There::start(keep);
        let executor = there.connect();
        let shipped = counter(&executor, When::OnFirstCall);
        let n_modules = || executor.list().unwrap().len();
        // The variable.
        assert_eq!(n_modules(), 1);
        assert_eq!(run(&shipped, "next"), 1);
        // And `next` and `bump`.
        assert_eq!(n_modules(), 3);
        let is_kept = keep == "session";
        assert_eq!(run(&shipped, "skip"), if is_kept { 12 } else { 11 });
        assert_eq!(n_modules(), 4);
        assert_eq!(run(&shipped, "next"), if is_kept { 13 } else { 1 });
        assert_eq!(n_modules(), 4);
    }
}

#[test]
fn whole_modules_are_shipped_to_workers_at_once_or_on_lookup() {
    for keep in KEEPS {
        for (when, n_before) in [(When::Eager, 1), (When::OnLookup, 0)] {
            let there = There::start(keep);
            let executor = there.connect();
            executor
                .define_function("nowhere", "i32 ()", |_, _| {
                    Ok(Value::Int { bits: 32, value: 5 })
                })
                .unwrap();
            let shipped = counter(&executor, when);
            assert_eq!(executor.list().unwrap().len(), n_before);
            assert_eq!(run(&shipped, "skip"), 11);
            assert_eq!(run(&shipped, "ask_never"), 5);
            assert_eq!(executor.list().unwrap().len(), 1);
        }
    }
}

#[test]
fn a_crash_in_a_part_ends_its_worker_alone() {
    for keep in KEEPS {
        let there = There::start(keep);
        let executor = there.connect();
        let shipped = counter(&executor, When::OnFirstCall);
        for _ in 0..3 {
            let crash = shipped.function("crash").unwrap();
            let failure = failure(crash.call(&mut []));
            assert_eq!(failure.kind, ErrorKind::Crashed, "{failure}");
            let message = &failure.message;
            assert!(message.contains("crash: SIGSEGV"), "{message}");
            assert!(message.contains("touch+0x"), "{message}");
            // What was compiled is there, and the variable starts anew.
            assert_eq!(run(&shipped, "skip"), 11);
        }
        assert_eq!(executor.statistics().unwrap().crashes, 3);
    }
}

#[test]
fn what_cannot_be_compiled_fails_its_call_and_the_next_one_tries_again() {
    for keep in KEEPS {
        let there = There::start(keep);
        let executor = there.connect();
        let shipped = counter(&executor, When::OnFirstCall);
        let ask = shipped.function("ask_never").unwrap();
        for _ in 0..2 {
            let failure = failure(ask.call(&mut []));
            assert_eq!(failure.kind, ErrorKind::CallBack, "{failure}");
            assert!(failure.message.contains("nowhere"), "{failure}");
        }
        executor
            .define_function("nowhere", "i32 ()", |_, _| {
                Ok(Value::Int { bits: 32, value: 5 })
            })
            .unwrap();
        assert_eq!(number(ask.call(&mut []).unwrap()), 5);
    }
}

/// A module of another one's that calls a function of what was shipped, through its stub.
fn caller(executor: &farcall::Executor, shipped: &Shipped, callee: &str) -> RemoteFunction {
    let ir = format!(
        "define i32 @call_{callee}() {{ %v = call i32 @{callee}() ret i32 %v }} declare i32 @{callee}()"
    );
    let parts = session().divide("caller.ll", ir.as_bytes(), &Partition::Whole);
    let bytes = parts.unwrap().whole().unwrap();
    let scope = shipped.scope().unwrap();
    let options = LoadOptions {
        name: "",
        scope: Some(&scope),
        ..LoadOptions::default()
    };
    let module = executor.load_with(&Image::parse(&bytes).unwrap(), options);
    let name = format!("call_{callee}");
    executor
        .function(&module.unwrap(), &name, Some("i32 ()"))
        .unwrap()
}

#[test]
fn many_that_call_at_the_same_time_have_it_compiled_once() {
    for keep in KEEPS {
        let there = There::start(keep);
        let executor = there.connect();
        let shipped = counter(&executor, When::OnFirstCall);
        let skip = caller(&executor, &shipped, "skip");
        let calls: Vec<_> = (0..8)
            .map(|_| skip.start_in(Order::Concurrent, &[]).unwrap())
            .collect();
        for call in calls {
            let value = number(call.wait().unwrap());
            assert!((11..=88).contains(&value), "{value}");
        }
        // The variable, the caller, and `skip`, `next`, `bump`.
        assert_eq!(executor.list().unwrap().len(), 5);
    }
}

/// In workers each controller is asked by its own session alone, also for what is compiled.
#[test]
fn another_controller_ships_it_too() {
    for keep in KEEPS {
        let there = There::start(keep);
        let shipped = counter(&there.connect(), When::OnFirstCall);
        let other = there.connect();
        let next = caller(&other, &shipped, "next");
        for _ in 0..2 {
            let failure = failure(next.call(&mut []));
            assert_eq!(failure.kind, ErrorKind::CallBack, "{failure}");
            let message = &failure.message;
            assert!(message.contains("of another controller's"), "{message}");
            assert_eq!(run(&shipped, "get"), 7);
        }
        let _own = counter(&other, When::OnFirstCall);
        assert_eq!(number(next.call(&mut []).unwrap()), 1);
    }
}
