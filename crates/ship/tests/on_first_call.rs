//! Modules whose functions are compiled when an executor calls them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]
#![allow(unsafe_code, reason = "a session is made")]

use std::os::unix::net::UnixStream;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use farcall_executor::{
    Argument, Connection, Error, ErrorKind, Executor, LoadOptions, Order, Service, Value,
};
use farcall_image::Image;
use farcall_session::Session;
use farcall_ship::{Options, Partition, Shipped, When, ship};

/// Functions that call each other, one that only they see, and a variable of theirs.
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
define i32 @ask_never() {
  %v = call i32 @never()
  ret i32 %v
}
declare i32 @nowhere()
";

fn session() -> Session {
    // SAFETY: nothing is added to it.
    unsafe { Session::new() }
}

fn connect(service: &Service) -> Executor {
    let (stream, other) = UnixStream::pair().unwrap();
    let service = service.clone();
    thread::spawn(move || service.serve(Connection::unix(other)));
    Executor::speak(Connection::unix(stream)).unwrap()
}

fn local() -> Executor {
    connect(&Service::default())
}

fn counter(executor: &Executor) -> Shipped {
    ship(
        &session(),
        executor,
        "counter.ll",
        COUNTER,
        When::OnFirstCall,
    )
    .unwrap()
}

fn run(shipped: &Shipped, name: &str) -> i32 {
    let called = shipped.function(name).unwrap().call(&mut []);
    number(called.unwrap())
}

fn number(value: Value) -> i32 {
    let Value::Int { bits: 32, value } = value else {
        panic!("{value:?}");
    };
    u32::try_from(value).unwrap().cast_signed()
}

#[track_caller]
fn assert_fails(result: Result<Value, Error>, part: &str) {
    match result {
        Err(Error::Failed(failure)) => {
            assert_eq!(failure.kind, ErrorKind::CallBack, "{failure}");
            assert!(failure.message.contains(part), "{failure}");
        }
        other => panic!("not a failure: {other:?}"),
    }
}

/// A module that calls a function of what was shipped, through its stub.
fn caller(
    executor: &Executor,
    shipped: &Shipped,
    callee: &str,
) -> farcall_executor::RemoteFunction {
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
    let image = Image::parse(&bytes).unwrap();
    let module = executor.load_with(&image, options).unwrap();
    let name = format!("call_{callee}");
    executor.function(&module, &name, Some("i32 ()")).unwrap()
}

#[test]
fn functions_are_compiled_when_they_are_called() {
    let executor = local();
    let shipped = counter(&executor);
    let n_modules = || executor.list().unwrap().len();
    // The variables.
    assert_eq!(n_modules(), 1);
    assert_eq!(run(&shipped, "next"), 1);
    assert_eq!(n_modules(), 3);
    assert_eq!(run(&shipped, "skip"), 12);
    assert_eq!(n_modules(), 4);
    assert_eq!(run(&shipped, "next"), 13);
    assert_eq!(run(&shipped, "get"), 7);
    assert_eq!(n_modules(), 5);
    shipped.function("bump").unwrap_err();
}

#[test]
fn whole_modules_are_shipped_at_once_or_on_lookup() {
    for (when, n_before) in [(When::Eager, 1), (When::OnLookup, 0)] {
        let executor = local();
        executor
            .define_function("nowhere", "i32 ()", |_, _| {
                Ok(Value::Int { bits: 32, value: 5 })
            })
            .unwrap();
        let shipped = ship(&session(), &executor, "counter.ll", COUNTER, when).unwrap();
        assert_eq!(executor.list().unwrap().len(), n_before);
        assert_eq!(run(&shipped, "skip"), 11);
        assert_eq!(run(&shipped, "never"), 5);
        assert_eq!(executor.list().unwrap().len(), 1);
    }
}

#[test]
fn a_group_of_functions_is_one_part() {
    let executor = local();
    let options = Options {
        when: When::OnFirstCall,
        partition: Partition::Whole,
        ..Options::default()
    };
    executor
        .define("nowhere", None, farcall_executor::Definition::Address(0))
        .unwrap();
    let shipped = ship(&session(), &executor, "counter.ll", COUNTER, options).unwrap();
    assert_eq!(run(&shipped, "skip"), 11);
    assert_eq!(run(&shipped, "get"), 7);
    assert_eq!(executor.list().unwrap().len(), 2);
}

#[test]
fn modules_with_the_same_code_have_their_own_variables() {
    let module = |x| {
        format!(
            "@x = internal global i32 {x}
             define i32 @outer() {{ %v = call i32 @inner() ret i32 %v }}
             define internal i32 @inner() noinline {{ %v = load i32, ptr @x ret i32 %v }}"
        )
    };
    let executor = local();
    let session = session();
    let ship = |x| {
        let ir = module(x);
        ship(
            &session,
            &executor,
            "x.ll",
            ir.as_bytes(),
            When::OnFirstCall,
        )
        .unwrap()
    };
    let [one, two] = [ship(1), ship(2)];
    assert_eq!(run(&one, "outer"), 1);
    assert_eq!(run(&two, "outer"), 2);
}

#[test]
fn arguments_of_every_kind_pass_a_first_call() {
    let ir = b"
        define double @sum(i32 %a, double %b, i64 %c, float %d, ptr %p, i8 zeroext %e, i64 %f, i64 %g, i64 %h) {
          %v = call double @inner(i32 %a, double %b, i64 %c, float %d, ptr %p, i8 zeroext %e, i64 %f, i64 %g, i64 %h)
          ret double %v
        }
        define internal double @inner(i32 %a, double %b, i64 %c, float %d, ptr %p, i8 zeroext %e, i64 %f, i64 %g, i64 %h) noinline {
          %a1 = sitofp i32 %a to double
          %c1 = sitofp i64 %c to double
          %d1 = fpext float %d to double
          %n = load i64, ptr %p
          %s = add i64 %n, %h
          %t = add i64 %s, %g
          %u = add i64 %t, %f
          %e1 = zext i8 %e to i64
          %w = add i64 %u, %e1
          %w1 = sitofp i64 %w to double
          %1 = fadd double %a1, %b
          %2 = fadd double %1, %c1
          %3 = fadd double %2, %d1
          %4 = fadd double %3, %w1
          ret double %4
        }";
    let executor = local();
    let shipped = ship(&session(), &executor, "sum.ll", ir, When::OnFirstCall).unwrap();
    let sum = shipped.function("sum").unwrap();
    for _ in 0..2 {
        let word = 1000_u64.to_le_bytes();
        let mut arguments = [
            Argument::Int(1),
            Argument::Double(0.5),
            Argument::Int(2),
            Argument::Float(0.25),
            Argument::In(&word),
            Argument::Int(3),
            Argument::Int(10),
            Argument::Int(20),
            Argument::Int(30),
        ];
        let value = sum.call(&mut arguments).unwrap();
        assert_eq!(value, Value::Double(3.75 + 1063.0));
    }
}

#[test]
fn a_function_has_one_address() {
    let ir = b"
        define ptr @here() { ret ptr @f }
        define ptr @there() { ret ptr @f }
        define i32 @f() { ret i32 3 }
        @kept = global ptr @f
        define i32 @indirectly() { %p = load ptr, ptr @kept %v = call i32 %p() ret i32 %v }";
    let executor = local();
    let shipped = ship(&session(), &executor, "address.ll", ir, When::OnFirstCall).unwrap();
    let call = |name: &str| shipped.function(name).unwrap().call(&mut []).unwrap();
    let before = call("here");
    assert_eq!(call("indirectly"), Value::Int { bits: 32, value: 3 });
    assert_eq!(call("there"), before);
}

#[test]
fn a_failure_is_the_calls_and_the_next_call_tries_again() {
    let executor = local();
    let shipped = counter(&executor);
    let ask = shipped.function("ask_never").unwrap();
    for _ in 0..2 {
        assert_fails(ask.call(&mut []), "nowhere");
    }
    executor
        .define_function("nowhere", "i32 ()", |_, _| {
            Ok(Value::Int { bits: 32, value: 5 })
        })
        .unwrap();
    assert_eq!(number(ask.call(&mut []).unwrap()), 5);
}

#[test]
fn a_function_of_another_type_is_not_called() {
    let executor = local();
    let space = farcall_image::Digest::from_bytes([1; 32]);
    let f = farcall_executor::FirstCall {
        name: "f",
        alias: "f.address",
        value_type: Some("i32 ()"),
    };
    let load = move |executor: &Executor, ir: &[u8]| {
        let parts = session().divide("f.ll", ir, &Partition::Whole).unwrap();
        let bytes = parts.whole().unwrap();
        let options = LoadOptions {
            name: "f.ll",
            scope: Some(&[space]),
            ..LoadOptions::default()
        };
        executor
            .load_with(&Image::parse(&bytes).unwrap(), options)
            .unwrap()
    };
    let resolve = move |executor: &Executor, _| {
        let module = load(executor, b"define i64 @f(i64 %x) { ret i64 %x }");
        Ok(executor.lookup(&module, "f").unwrap().address)
    };
    executor.define_on_first_call(space, &[f], resolve).unwrap();
    let ir = b"define i32 @call() { %v = call i32 @f() ret i32 %v } declare i32 @f()";
    let module = load(&executor, ir);
    let called = executor.call(&module, "call", Some("i32 ()"), &mut []);
    assert_fails(called, "f.ll: i64 (i64), not i32 ()");
}

#[test]
fn threads_that_call_at_the_same_time_have_it_compiled_once() {
    let executor = local();
    let shipped = counter(&executor);
    let skip = caller(&executor, &shipped, "skip");
    let all = Barrier::new(8);
    let mut sum: i32 = 0;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    all.wait();
                    let call = skip.start_in(Order::Concurrent, &[]).unwrap();
                    number(call.wait().unwrap())
                })
            })
            .collect();
        for thread in threads {
            sum = sum.max(thread.join().unwrap());
        }
    });
    assert!(sum <= 8 * 11, "{sum}");
    // The variables, the caller, and `skip`, `next`, `bump`.
    assert_eq!(executor.list().unwrap().len(), 5);
}

#[test]
fn other_controllers_first_calls_are_served_and_end_when_the_service_goes() {
    let service = Service::default();
    let controller = connect(&service);
    let shipped = counter(&controller);
    let other = connect(&service);
    let next = caller(&other, &shipped, "next");
    let get = caller(&other, &shipped, "get");
    assert_eq!(number(next.call(&mut []).unwrap()), 1);
    drop((shipped, controller));
    // What was compiled works; what was not fails, as often as it is called.
    assert_eq!(number(next.call(&mut []).unwrap()), 2);
    for _ in 0..2 {
        assert_fails(
            get.call(&mut []),
            "get: the controller that defined it has gone",
        );
    }
    // The next service takes over.
    let _shipped = counter(&connect(&service));
    assert_eq!(number(get.call(&mut []).unwrap()), 7);
    assert_eq!(number(next.call(&mut []).unwrap()), 3);
}

#[test]
fn a_module_with_constructors_is_whole() {
    let ir = b"
        @x = internal global i32 0
        @llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 65535, ptr @begin, ptr null }]
        define internal void @begin() { call void @set(i32 4) ret void }
        define void @set(i32 %v) noinline { store i32 %v, ptr @x ret void }
        define i32 @get() { %v = load i32, ptr @x ret i32 %v }";
    let executor = local();
    let shipped = ship(&session(), &executor, "begin.ll", ir, When::OnFirstCall).unwrap();
    assert_eq!(run(&shipped, "get"), 4);
    assert_eq!(executor.list().unwrap().len(), 1);
}

/// Where the service of the next test is to connect, if this process is that.
const AT: &str = "FARCALL_TEST_EXECUTOR";

#[test]
fn a_service_that_is_killed_while_a_call_waits_for_it() {
    if let Ok(address) = std::env::var(AT) {
        // It ships, and serves nobody.
        let executor = Executor::connect(&address.parse().unwrap()).unwrap();
        let shipped = counter(&executor);
        std::mem::forget(executor);
        drop(shipped);
        println!("shipped");
        loop {
            thread::sleep(Duration::from_secs(1));
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let service = Service::default();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("a_service_that_is_killed_while_a_call_waits_for_it")
        .env(AT, format!("unix:{}", path.display()))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let (stream, _) = listener.accept().unwrap();
    let served = service.clone();
    thread::spawn(move || served.serve(Connection::unix(stream)));
    let stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut lines = std::io::BufRead::lines(stdout).map(Result::unwrap);
    lines.find(|line| line.contains("shipped")).unwrap();

    // The same module, by another connection, whose stubs nobody is asked for: the killed one's.
    let controller = connect(&service);
    let space = session()
        .divide("counter.ll", COUNTER, &Partition::Functions)
        .unwrap()
        .digest();
    let ir = b"define i32 @call_get() { %v = call i32 @get() ret i32 %v } declare i32 @get()";
    let parts = session().divide("caller.ll", ir, &Partition::Whole);
    let bytes = parts.unwrap().whole().unwrap();
    let options = LoadOptions {
        name: "",
        scope: Some(&[farcall_image::Digest::from_bytes(space)]),
        ..LoadOptions::default()
    };
    let image = Image::parse(&bytes).unwrap();
    let module = controller.load_with(&image, options).unwrap();
    thread::scope(|scope| {
        let call = || controller.call(&module, "call_get", Some("i32 ()"), &mut []);
        let waits = scope.spawn(call);
        let third = connect(&service);
        while third.statistics().unwrap().running == 0 && !waits.is_finished() {
            thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_fails(waits.join().unwrap(), "has gone");
    });
    let _shipped = counter(&controller);
    let get = controller.call(&module, "call_get", Some("i32 ()"), &mut []);
    assert_eq!(number(get.unwrap()), 7);
}
