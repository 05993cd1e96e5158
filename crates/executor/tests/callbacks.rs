//! Functions of the controller that shipped code calls.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use common::{assert_fails, controller, image, int, serve, start};
use farcall_executor::{
    Argument, Connection, ErrorKind, Executor, Order, RemoteModule, Service, Value,
};
use farcall_image::Image;
use farcall_testkit::require_tools;

const SOURCE: &str = "
    #include <pthread.h>
    int ask(int);
    int once(int x) { return ask(x) + 1; }
    long many(long n) { long sum = 0; for (int i = 0; i < n; i++) sum += ask(i); return sum; }
    static int word = 7;
    int *where(void) { return &word; }
    int what(void) { return word; }
    static void *run(void *x) { return (void *)(long)ask((long)x); }
    long threads(void) {
        pthread_t all[8];
        long sum = 0;
        for (long i = 0; i < 8; i++) pthread_create(&all[i], 0, run, (void *)i);
        for (int i = 0; i < 8; i++) { void *result; pthread_join(all[i], &result); sum += (long)result; }
        return sum;
    }
";

struct There {
    executor: Executor,
    module: RemoteModule,
}

impl There {
    fn once(&self, x: u64) -> farcall_executor::Result<Value> {
        self.executor.call(
            &self.module,
            "once",
            Some("i32 (i32)"),
            &mut [Argument::Int(x)],
        )
    }
}

type Answer = Result<Value, String>;

/// An executor with the module above, whose `ask` is a closure.
fn asking(
    executor: Executor,
    ask: impl Fn(&Executor, i32) -> Result<i32, String> + Send + Sync + 'static,
) -> There {
    define(&executor, ask);
    let bytes = image(SOURCE);
    let module = executor.load(&Image::parse(&bytes).unwrap()).unwrap();
    There { executor, module }
}

fn define(
    executor: &Executor,
    ask: impl Fn(&Executor, i32) -> Result<i32, String> + Send + Sync + 'static,
) {
    let closure = move |executor: &Executor, arguments: &[Value]| -> Answer {
        let [Value::Int { bits: 32, value }] = *arguments else {
            panic!("{arguments:?}");
        };
        let value = u32::try_from(value).unwrap().cast_signed();
        let value = ask(executor, value)?.cast_unsigned().into();
        Ok(Value::Int { bits: 32, value })
    };
    executor
        .define_function("ask", "i32 (i32)", closure)
        .unwrap();
}

/// A connection on which several requests can be on their way.
fn connect(service: &Service) -> Executor {
    let stream = serve(service).stream;
    stream.set_read_timeout(None).unwrap();
    Executor::speak(Connection::unix(stream)).unwrap()
}

fn local() -> Executor {
    connect(&Service::default())
}

#[test]
fn shipped_code_calls_a_closure_and_goes_on_with_its_result() {
    require_tools!("clang-22");
    let caller = thread::current().id();
    let there = asking(local(), move |_, x| {
        // It runs where the call is waited for.
        assert_eq!(thread::current().id(), caller);
        Ok(2 * x)
    });
    assert_eq!(there.once(20).unwrap(), int(32, 41));
    let negative = u64::from((-8_i32).cast_unsigned());
    assert_eq!(there.once(negative).unwrap(), int(32, 0xffff_fff1));
    let sum = there.executor.call(
        &there.module,
        "many",
        Some("i64 (i64)"),
        &mut [Argument::Int(1000)],
    );
    assert_eq!(sum.unwrap(), int(64, 999 * 1000));
}

#[test]
fn closures_are_called_over_streams_too() {
    require_tools!("clang-22");
    let there = asking(controller(&Service::default()), |executor, x| {
        executor.ping().map_err(|error| error.to_string())?;
        Ok(x + 1)
    });
    assert_eq!(there.once(40).unwrap(), int(32, 42));
    // Of several that are on their way the closures run while a later one waits to be sent.
    let arguments = [Argument::Int(1)];
    let start = || {
        let signature = Some("i32 (i32)");
        let order = Order::InTurn;
        (there.executor)
            .start_call(&there.module, "once", signature, order, &arguments)
            .unwrap()
    };
    let calls = [start(), start(), start()];
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(there.once(5).unwrap(), int(32, 7)));
        for call in calls {
            assert_eq!(call.wait().unwrap(), int(32, 3));
        }
    });
}

#[test]
fn values_of_each_type_go_there_and_come_back_extended() {
    require_tools!("clang-22");
    let executor = local();
    let seen = |arguments: &[Value]| {
        assert_eq!(
            arguments,
            [
                int(8, 0xff),
                int(16, 0x8000),
                Value::Float(0.5),
                Value::Double(-0.25),
                Value::Pointer(64),
                int(1, 1),
                int(64, u64::MAX),
            ]
        );
    };
    let signature = "signext i8 (i8 zeroext, i16 signext, float, double, ptr, i1 zeroext, i64)";
    executor
        .define_function("all", signature, move |_, arguments| {
            seen(arguments);
            Ok(int(8, 0x80))
        })
        .unwrap();
    let define = |name: &str, signature: &str, value: Value| {
        executor
            .define_function(name, signature, move |_, _| Ok(value))
            .unwrap();
    };
    define("f", "float ()", Value::Float(1.5));
    define("d", "double ()", Value::Double(2.25));
    define("p", "ptr ()", Value::Pointer(0x1000));
    define("v", "void ()", Value::Void);
    let bytes = image(
        "signed char all(unsigned char, short, float, double, void *, _Bool, long);
         float f(void); double d(void); char *p(void); void v(void);
         int wide(void) { return all(255, -32768, 0.5f, -0.25, (void *)64, 1, -1); }
         double others(void) { v(); return f() + d() + (double)(long)p(); }",
    );
    let module = executor.load(&Image::parse(&bytes).unwrap()).unwrap();
    let wide = executor.call(&module, "wide", Some("i32 ()"), &mut []);
    // What the closure gave has a sign.
    assert_eq!(
        wide.unwrap(),
        int(32, u64::from((-128_i32).cast_unsigned()))
    );
    let others = executor.call(&module, "others", Some("double ()"), &mut []);
    assert_eq!(others.unwrap(), Value::Double(4096.0 + 3.75));
}

#[test]
fn a_closure_asks_the_executor_in_the_middle_of_the_call() {
    require_tools!("clang-22");
    let words = Arc::new(AtomicU64::new(0));
    let address = Arc::clone(&words);
    let there = asking(local(), move |executor, x| {
        let text = |error: farcall_executor::Error| error.to_string();
        let address = address.load(Ordering::Relaxed);
        let before = executor.peek(address, 4).map_err(text)?;
        executor.poke(address, &x.to_le_bytes()).map_err(text)?;
        let buffer = executor.allocate(1 << 20).map_err(text)?;
        buffer.write(1, &[7; 5000]).map_err(text)?;
        let mut read = [0; 3];
        buffer.read(0, &mut read).map_err(text)?;
        assert_eq!(read, [0, 7, 7]);
        Ok(i32::from_le_bytes(before.try_into().unwrap()))
    });
    let found = (there.executor).call(&there.module, "where", Some("ptr ()"), &mut []);
    let Value::Pointer(address) = found.unwrap() else {
        panic!("not an address");
    };
    words.store(address, Ordering::Relaxed);
    assert_eq!(there.once(99).unwrap(), int(32, 8));
    assert_eq!(there.once(5).unwrap(), int(32, 100));
    let what = (there.executor).call(&there.module, "what", Some("i32 ()"), &mut []);
    assert_eq!(what.unwrap(), int(32, 5));
}

#[test]
fn a_closure_loads_a_large_image_before_requests_that_were_sent_earlier() {
    require_tools!("clang-22");
    let large = |word| {
        image(&format!(
            "const char fill[200000] = {{{word}}}; int first(void) {{ return fill[0]; }}"
        ))
    };
    let inner = large(1);
    let there = asking(local(), move |executor, _| {
        let loaded = executor.load(&Image::parse(&inner).unwrap()).unwrap();
        let first = executor.call(&loaded, "first", Some("i32 ()"), &mut []);
        assert_eq!(first.unwrap(), int(32, 1));
        Ok(0)
    });
    let call = there.executor.start_call(
        &there.module,
        "once",
        Some("i32 (i32)"),
        Order::InTurn,
        &[Argument::Int(0)],
    );
    let later = large(2);
    let later = Image::parse(&later).unwrap();
    // The file of this one has come when the closure's does.
    let load = (there.executor).start_load(&later, farcall_executor::LoadOptions::default());
    let load = load.unwrap();
    assert_eq!(call.unwrap().wait().unwrap(), int(32, 1));
    let module = load.wait().unwrap();
    let first = (there.executor).call(&module, "first", Some("i32 ()"), &mut []);
    assert_eq!(first.unwrap(), int(32, 2));
}

/// Calls `once` of the only module there.
fn again(executor: &Executor, x: i32) -> Result<i32, String> {
    let modules = executor.list().map_err(|error| error.to_string())?;
    let argument = Argument::Int(x.cast_unsigned().into());
    let called = executor.call(
        modules[0].digest,
        "once",
        Some("i32 (i32)"),
        &mut [argument],
    );
    match called.map_err(|error| error.to_string())? {
        Value::Int { value, .. } => Ok(u32::try_from(value).unwrap().cast_signed()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn calls_within_calls_have_a_limit() {
    require_tools!("clang-22");
    let there = asking(local(), |executor, x| match x {
        0 => Ok(0),
        _ => again(executor, x - 1),
    });
    assert_eq!(there.once(30).unwrap(), int(32, 31));
    for _ in 0..2 {
        let without_end = there.once(1000);
        assert_fails(without_end, ErrorKind::CallBack, "more than 64 calls");
    }
    assert_eq!(there.once(30).unwrap(), int(32, 31));
}

#[test]
fn a_closure_that_fails_is_the_failure_of_the_call() {
    require_tools!("clang-22");
    let there = asking(local(), |_, x| match x {
        0 => Err("no such table".to_owned()),
        1 => panic!("what a pity: {x}"),
        x => Ok(x),
    });
    let fails = |x, part| assert_fails(there.once(x), ErrorKind::CallBack, part);
    fails(0, "ask: no such table");
    fails(1, "ask: panicked: what a pity: 1");
    assert_eq!(there.once(2).unwrap(), int(32, 3));
    // A value of another kind, and one that is no number of its width.
    for (value, part) in [
        (Value::Void, "ask: gave void where i32 is its result"),
        (int(64, 1), "ask: gave i64 where i32 is its result"),
        (
            int(32, 1 << 32),
            "ask: gave an integer of more bits than it says",
        ),
    ] {
        let executor = local();
        executor
            .define_function("ask", "i32 (i32)", move |_, _| Ok(value))
            .unwrap();
        let bytes = image(SOURCE);
        let module = executor.load(&Image::parse(&bytes).unwrap()).unwrap();
        let there = There { executor, module };
        assert_fails(there.once(0), ErrorKind::CallBack, part);
        there.executor.unload(&there.module).unwrap();
    }
}

#[test]
fn a_closure_that_a_constructor_calls_cannot_have_the_same_image_again() {
    require_tools!("clang-22");
    let bytes = Arc::new(image(
        "int ask(int);
         static int value;
         __attribute__((constructor)) static void begin(void) { value = ask(1); }
         int get(void) { return value; }",
    ));
    let image = Image::parse(&bytes).unwrap();
    let executor = local();
    let again = Arc::clone(&bytes);
    define(&executor, move |executor, x| {
        // It is being loaded on the thread that would wait for that.
        let image = Image::parse(&again).unwrap();
        assert_fails(executor.load(&image), ErrorKind::InUse, "in use");
        let unloaded = executor.unload(image.digest());
        assert_fails(unloaded, ErrorKind::InUse, "in use");
        Ok(4 + x)
    });
    let module = executor.load(&image).unwrap();
    let get = executor.call(&module, "get", Some("i32 ()"), &mut []);
    assert_eq!(get.unwrap(), int(32, 5));
}

#[test]
fn signatures_that_cannot_be_called_back_are_refused() {
    let executor = local();
    let define = |signature| executor.define_function("f", signature, |_, _| Ok(Value::Void));
    assert_fails(define("void (i128)"), ErrorKind::Definition, "i128");
    assert_fails(define("void ("), ErrorKind::Definition, "f: ");
    assert_fails(define("i32"), ErrorKind::Definition, "needs its type");
}

#[test]
fn eight_threads_call_functions_that_call_back_at_the_same_time() {
    require_tools!("clang-22");
    let there = asking(local(), |executor, x| {
        executor.ping().map_err(|error| error.to_string())?;
        Ok(x)
    });
    let signature = Some("i32 (i32)");
    thread::scope(|scope| {
        for thread in 0..8 {
            let there = &there;
            scope.spawn(move || {
                let order = [Order::InTurn, Order::Concurrent][thread % 2];
                for x in 0..300 {
                    let arguments = [Argument::Int(x)];
                    let call = there.executor.start_call(
                        &there.module,
                        "once",
                        signature,
                        order,
                        &arguments,
                    );
                    assert_eq!(call.unwrap().wait().unwrap(), int(32, x + 1));
                }
            });
        }
    });
}

#[test]
fn closures_of_concurrent_calls_run_at_the_same_time() {
    require_tools!("clang-22");
    let all = Arc::new(Barrier::new(8));
    let there = asking(local(), move |_, x| {
        all.wait();
        Ok(x)
    });
    thread::scope(|scope| {
        for x in 0..8 {
            let there = &there;
            scope.spawn(move || {
                let call = there.executor.start_call(
                    &there.module,
                    "once",
                    Some("i32 (i32)"),
                    Order::Concurrent,
                    &[Argument::Int(x)],
                );
                assert_eq!(call.unwrap().wait().unwrap(), int(32, x + 1));
            });
        }
    });
}

#[test]
fn more_calls_may_wait_for_their_closures_than_there_are_threads_for_calls() {
    require_tools!("clang-22");
    // Each but the last waits in its closure for a concurrent call, whose closure does the same.
    let there = asking(local(), |executor, x| {
        if x == 0 {
            return Ok(0);
        }
        let module = executor.list().unwrap()[0].digest;
        let call = executor.start_call(
            module,
            "once",
            Some("i32 (i32)"),
            Order::Concurrent,
            &[Argument::Int(u64::try_from(x - 1).unwrap())],
        );
        match call.unwrap().wait().unwrap() {
            Value::Int { value, .. } => Ok(i32::try_from(value).unwrap()),
            other => panic!("{other:?}"),
        }
    });
    thread::scope(|scope| {
        for _ in 0..12 {
            let there = &there;
            scope.spawn(move || {
                let call = there.executor.start_call(
                    &there.module,
                    "once",
                    Some("i32 (i32)"),
                    Order::Concurrent,
                    &[Argument::Int(40)],
                );
                assert_eq!(call.unwrap().wait().unwrap(), int(32, 41));
            });
        }
    });
}

#[test]
fn threads_of_shipped_code_call_back_while_the_call_waits_for_them() {
    require_tools!("clang-22");
    let there = asking(local(), |executor, x| {
        // In the middle of the call, though its own thread waits for others.
        executor.ping().map_err(|error| error.to_string())?;
        Ok(x)
    });
    for _ in 0..20 {
        let sum = (there.executor).call(&there.module, "threads", Some("i64 ()"), &mut []);
        assert_eq!(sum.unwrap(), int(64, 28));
    }
}

#[test]
fn other_threads_have_their_answers_while_a_closure_runs() {
    require_tools!("clang-22");
    let both = Arc::new(Barrier::new(2));
    let in_closure = Arc::clone(&both);
    let there = asking(local(), move |_, x| {
        in_closure.wait();
        in_closure.wait();
        Ok(x)
    });
    thread::scope(|scope| {
        let call = |order| {
            (there.executor).start_call(
                &there.module,
                "once",
                Some("i32 (i32)"),
                order,
                &[Argument::Int(1)],
            )
        };
        let call = call(Order::Concurrent).unwrap();
        let waits = scope.spawn(|| call.wait().unwrap());
        both.wait();
        there.executor.ping().unwrap();
        both.wait();
        assert_eq!(waits.join().unwrap(), int(32, 2));
    });
}

#[test]
fn calls_that_nobody_waits_for_have_their_closures_run_by_whoever_waits() {
    require_tools!("clang-22");
    let there = asking(local(), |_, x| Ok(x));
    let start = |x| {
        let arguments = [Argument::Int(x)];
        let signature = Some("i32 (i32)");
        (there.executor)
            .start_call(&there.module, "once", signature, Order::InTurn, &arguments)
            .unwrap()
    };
    drop(start(1));
    there.executor.ping().unwrap();
    // More than the executor keeps while it waits for an answer.
    let calls: Vec<_> = (0..3000).map(start).collect();
    for (x, call) in (0..).zip(calls) {
        assert_eq!(call.wait().unwrap(), int(32, x + 1));
    }
}

#[test]
fn another_controllers_calls_are_served_in_the_background() {
    require_tools!("clang-22");
    let service = Service::default();
    let there = asking(connect(&service), |executor, x| {
        executor.ping().map_err(|error| error.to_string())?;
        Ok(x)
    });
    let other = connect(&service);
    for _ in 0..2 {
        let serving = there.executor.serve_in_background().unwrap();
        for x in 0..100 {
            let signature = Some("i32 (i32)");
            let once = other.call(&there.module, "once", signature, &mut [Argument::Int(x)]);
            assert_eq!(once.unwrap(), int(32, x + 1));
        }
        drop(serving);
    }
    // With nobody who serves, it waits until somebody waits for something.
    thread::scope(|scope| {
        let once = || {
            other.call(
                &there.module,
                "once",
                Some("i32 (i32)"),
                &mut [Argument::Int(1)],
            )
        };
        let waits = scope.spawn(once);
        while !waits.is_finished() {
            there.executor.ping().unwrap();
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(waits.join().unwrap().unwrap(), int(32, 2));
    });
}

#[test]
fn when_the_controller_has_gone_its_functions_fail_and_all_else_stays() {
    require_tools!("clang-22");
    let service = Service::default();
    let there = asking(connect(&service), |_, x| Ok(x));
    let other = connect(&service);
    let module = there.module;
    drop(there);
    let once = |x| other.call(&module, "once", Some("i32 (i32)"), &mut [Argument::Int(x)]);
    assert_fails(
        once(1),
        ErrorKind::CallBack,
        "ask: the controller that defined it has gone",
    );
    let what = other.call(&module, "what", Some("i32 ()"), &mut []);
    assert_eq!(what.unwrap(), int(32, 7));
    // Loaded anew, it has the next controller's.
    other.unload(&module).unwrap();
    let there = asking(other, |_, x| Ok(x + 1));
    assert_eq!(there.once(1).unwrap(), int(32, 3));
}

#[test]
fn a_controller_that_is_killed_while_shipped_code_waits_for_it() {
    require_tools!("clang-22");
    let service = Service::default();
    let served = serve(&service);
    let hangs_up = served.stream.try_clone().unwrap();
    let there = asking(
        Executor::speak(Connection::unix(served.stream)).unwrap(),
        move |_, x| {
            hangs_up.shutdown(std::net::Shutdown::Both).unwrap();
            Ok(x)
        },
    );
    // Both a call in turn and one that another controller waits for.
    there.once(1).unwrap_err();
    let _ = served.thread.join().unwrap();
    let other = connect(&service);
    let once = other.call(
        &there.module,
        "once",
        Some("i32 (i32)"),
        &mut [Argument::Int(1)],
    );
    assert_fails(once, ErrorKind::CallBack, "has gone");
    other.unload(&there.module).unwrap();
}

#[test]
fn another_controllers_call_ends_when_the_one_that_is_called_back_goes() {
    require_tools!("clang-22");
    let service = Service::default();
    let there = asking(connect(&service), |_, x| Ok(x));
    let other = connect(&service);
    let third = connect(&service);
    let module = there.module;
    thread::scope(|scope| {
        let once = || other.call(&module, "once", Some("i32 (i32)"), &mut [Argument::Int(1)]);
        let waits = scope.spawn(once);
        // Nobody waits on that connection, so that nothing answers.
        while third.statistics().unwrap().running == 0 && !waits.is_finished() {
            thread::sleep(Duration::from_millis(1));
        }
        drop(there);
        assert_fails(waits.join().unwrap(), ErrorKind::CallBack, "has gone");
    });
    other.unload(&module).unwrap();
}

#[test]
fn a_process_is_called_back_over_tcp_and_over_a_unix_socket() {
    require_tools!("clang-22");
    let folder = tempfile::tempdir().unwrap();
    for listen in [
        "tcp:127.0.0.1:0".to_owned(),
        format!("unix:{}", folder.path().join("socket").display()),
    ] {
        let process = start(&listen);
        let there = asking(process.connect(), |executor, x| {
            executor.ping().map_err(|error| error.to_string())?;
            Ok(-x)
        });
        assert_eq!(there.once(1).unwrap(), int(32, 0));
        let sum = (there.executor).call(&there.module, "threads", Some("i64 ()"), &mut []);
        assert_eq!(sum.unwrap(), int(64, (-28_i64).cast_unsigned()));
    }
}
