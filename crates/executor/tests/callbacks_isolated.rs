//! Functions of the controller that shipped code calls in a process of its own, through shared memory, and while futures wait.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::future::{Future, poll_fn};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use common::{assert_fails, failure, image, int, number, serve, start, start_with};
use farcall_executor::{
    Argument, AsyncExecutor, Connection, ErrorKind, Executor, FirstCall, Keep, LoadOptions, Order,
    RemoteModule, Service, Value,
};
use farcall_image::{Digest, Image};
use farcall_testkit::{require_tools, tools};
use futures_executor::block_on;

const SOURCE: &str = r#"
    #include <pthread.h>
    #include <stdio.h>
    #include <signal.h>
    #include <unistd.h>
    int ask(int);
    int once(int x) { return ask(x) + 1; }
    int says(int x) { printf("before "); fflush(stdout); x = ask(x); printf("after"); return x; }
    static int word = 7;
    int *where(void) { return &word; }
    int what(void) { return word; }
    int process(void) { return getpid(); }
    static void *run(void *x) { return (void *)(long)ask((long)x); }
    long threads(void) {
        pthread_t all[8];
        long sum = 0;
        for (long i = 0; i < 8; i++) pthread_create(&all[i], 0, run, (void *)i);
        for (int i = 0; i < 8; i++) { void *result; pthread_join(all[i], &result); sum += (long)result; }
        return sum;
    }
    static pthread_t later;
    static void *run_later(void *x) { usleep(20000); word = ask(5); return 0; }
    void begin(void) { pthread_create(&later, 0, run_later, 0); }
    int end(void) { pthread_join(later, 0); return word; }
"#;

struct There {
    executor: Executor,
    module: RemoteModule,
}

impl There {
    fn start(&self, order: Order, x: u64) -> farcall_executor::Result<farcall_executor::Pending> {
        let arguments = [Argument::Int(x)];
        (self.executor).start_call(&self.module, "once", Some("i32 (i32)"), order, &arguments)
    }

    fn once(&self, x: u64) -> farcall_executor::Result<Value> {
        let arguments = &mut [Argument::Int(x)];
        (self.executor).call(&self.module, "once", Some("i32 (i32)"), arguments)
    }

    fn address(&self) -> u64 {
        match (self.executor).call(&self.module, "where", Some("ptr ()"), &mut []) {
            Ok(Value::Pointer(address)) => address,
            other => panic!("{other:?}"),
        }
    }

    fn sum_of_threads(&self) -> Value {
        let threads = (self.executor).call(&self.module, "threads", Some("i64 ()"), &mut []);
        threads.unwrap()
    }
}

fn load(executor: &Executor, source: &str) -> RemoteModule {
    let bytes = image(source);
    executor.load(&Image::parse(&bytes).unwrap()).unwrap()
}

fn define(
    executor: &Executor,
    ask: impl Fn(&Executor, i32) -> Result<i32, String> + Send + Sync + 'static,
) {
    let closure = move |executor: &Executor, arguments: &[Value]| {
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

/// An executor with the module above, whose `ask` is a closure.
fn asking(
    executor: Executor,
    ask: impl Fn(&Executor, i32) -> Result<i32, String> + Send + Sync + 'static,
) -> There {
    define(&executor, ask);
    let module = load(&executor, SOURCE);
    There { executor, module }
}

fn isolated(keep: Keep) -> Service {
    common::isolated::isolated(common::isolated::isolation(keep))
}

/// A connection on which several requests can be on their way.
fn connect(service: &Service) -> Executor {
    Executor::speak(connection(service)).unwrap()
}

fn connection(service: &Service) -> Connection {
    let stream = serve(service).stream;
    stream.set_read_timeout(None).unwrap();
    Connection::unix(stream)
}

/// Reads a word, writes it, and uses a buffer where there are sessions.
fn peeks(executor: &Executor, address: u64, x: i32, keeps: bool) -> Result<i32, String> {
    let text = |error: farcall_executor::Error| error.to_string();
    let before = executor.peek(address, 4).map_err(text)?;
    executor.poke(address, &x.to_le_bytes()).map_err(text)?;
    if keeps {
        let buffer = executor.allocate(1 << 20).map_err(text)?;
        buffer.write(1, &[7; 5000]).map_err(text)?;
        let mut read = [0; 3];
        buffer.read(0, &mut read).map_err(text)?;
        assert_eq!(read, [0, 7, 7]);
    }
    Ok(i32::from_le_bytes(before.try_into().unwrap()))
}

#[test]
fn a_closure_asks_the_process_that_waits_for_it() {
    require_tools!("clang-22");
    for keep in [Keep::Session, Keep::Call] {
        let service = isolated(keep);
        let caller = thread::current().id();
        let word = Arc::new(AtomicU64::new(0));
        let address = Arc::clone(&word);
        let there = asking(connect(&service), move |executor, x| {
            // It runs where the call is waited for.
            assert_eq!(thread::current().id(), caller);
            peeks(executor, address.load(Ordering::Relaxed), x, true)
        });
        // All processes have it at the same place.
        word.store(there.address(), Ordering::Relaxed);
        assert_eq!(there.once(99).unwrap(), int(32, 8));
        let kept = u64::from(keep == Keep::Session);
        assert_eq!(there.once(5).unwrap(), int(32, 8 + 92 * kept));
        let left = if keep == Keep::Session { 5 } else { 7 };
        assert_eq!(number(&there.executor, &there.module, "what"), left);
    }
}

#[test]
fn calls_within_calls_are_in_the_same_process() {
    require_tools!("clang-22");
    for keep in [Keep::Session, Keep::Call] {
        let service = isolated(keep);
        let processes = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&processes);
        let there = asking(connect(&service), move |executor, x| {
            let module = executor.list().unwrap()[0].digest;
            let process = executor.call(module, "process", Some("i32 ()"), &mut []);
            let process = process.map_err(|error| error.to_string())?;
            seen.lock().unwrap().push(process);
            if x == 0 {
                return Ok(0);
            }
            let order = [Order::InTurn, Order::Concurrent][usize::from(x % 3 == 0)];
            let arguments = [Argument::Int(u64::try_from(x - 1).unwrap())];
            let call = executor.start_call(module, "once", Some("i32 (i32)"), order, &arguments);
            match call.unwrap().wait().map_err(|error| error.to_string())? {
                Value::Int { value, .. } => Ok(i32::try_from(value).unwrap()),
                other => panic!("{other:?}"),
            }
        });
        assert_eq!(there.once(12).unwrap(), int(32, 13));
        let mut processes = std::mem::take(&mut *processes.lock().unwrap());
        assert_eq!(processes.len(), 13);
        processes.dedup();
        assert_eq!(processes.len(), 1, "{keep:?}");
        let without_end = there.once(1000);
        assert_fails(without_end, ErrorKind::CallBack, "more than 64 calls");
        assert_eq!(there.once(12).unwrap(), int(32, 13));
    }
}

#[test]
fn a_closure_loads_and_unloads_in_the_middle_of_a_call_and_of_a_constructor() {
    require_tools!("clang-22");
    for keep in [Keep::Session, Keep::Call] {
        let service = isolated(keep);
        let executor = connect(&service);
        define(&executor, |executor, x| {
            // Large enough to go as a file.
            let source = format!(
                "const char fill[200000] = {{1}}; int inner{x}(void) {{ return fill[0] + {x}; }}"
            );
            let module = load(executor, &source);
            let inner = number(executor, &module, &format!("inner{x}"));
            // While a module is being loaded none can be unloaded.
            if x != 40 {
                let unloaded = executor.unload(&module);
                unloaded.map_err(|error| error.to_string())?;
            }
            Ok(i32::try_from(inner).unwrap())
        });
        let module = load(
            &executor,
            "int ask(int);
             static int value;
             __attribute__((constructor)) static void begin(void) { value = ask(40); }
             int get(void) { return value + ask(1); }",
        );
        assert_eq!(number(&executor, &module, "get"), 43);
    }
}

#[test]
fn a_closure_that_fails_is_the_failure_of_the_call_alone() {
    require_tools!("clang-22");
    let service = isolated(Keep::Session);
    let there = asking(connect(&service), |_, x| match x {
        0 => Err("no such table".to_owned()),
        1 => panic!("what a pity"),
        x => Ok(x),
    });
    let process = number(&there.executor, &there.module, "process");
    assert_fails(there.once(0), ErrorKind::CallBack, "ask: no such table");
    assert_fails(
        there.once(1),
        ErrorKind::CallBack,
        "ask: panicked: what a pity",
    );
    assert_eq!(there.once(2).unwrap(), int(32, 3));
    let after = number(&there.executor, &there.module, "process");
    assert_eq!(after, process);
}

#[test]
fn what_was_printed_comes_before_what_is_asked() {
    require_tools!("clang-22");
    let service = isolated(Keep::Session);
    let printed = Arc::new(Mutex::new(String::new()));
    let (closure, output) = (Arc::clone(&printed), Arc::clone(&printed));
    let there = asking(connect(&service), move |_, x| {
        closure.lock().unwrap().push_str("asked ");
        Ok(x)
    });
    there.executor.on_output(move |_, bytes| {
        let text = str::from_utf8(bytes).unwrap();
        output.lock().unwrap().push_str(text);
    });
    let arguments = &mut [Argument::Int(1)];
    let says = (there.executor).call(&there.module, "says", Some("i32 (i32)"), arguments);
    assert_eq!(says.unwrap(), int(32, 1));
    assert_eq!(*printed.lock().unwrap(), "before asked after");
}

#[test]
fn each_session_has_the_functions_of_its_own_controller() {
    require_tools!("clang-22");
    let service = isolated(Keep::Session);
    let one = asking(connect(&service), |_, x| Ok(x));
    let other = connect(&service);
    let once = |x| {
        other.call(
            &one.module,
            "once",
            Some("i32 (i32)"),
            &mut [Argument::Int(x)],
        )
    };
    assert_fails(
        once(1),
        ErrorKind::CallBack,
        "ask: it is a function of another controller's",
    );
    assert_eq!(number(&other, &one.module, "what"), 7);
    // What is loaded keeps its own.
    define(&other, |_, x| Ok(x + 10));
    assert_fails(once(1), ErrorKind::CallBack, "another controller's");
    assert_eq!(one.once(1).unwrap(), int(32, 2));
    let module = one.module;
    drop(one);
    other.unload(&module).unwrap();
    let module = load(&other, SOURCE);
    let there = There {
        executor: other,
        module,
    };
    assert_eq!(there.once(1).unwrap(), int(32, 12));
}

const SPACE: Digest = Digest::from_bytes([7; 32]);

/// A function of the space, and one before it if that is wanted.
fn first_calls(executor: &Executor, also: bool, value: i32) -> Arc<AtomicU64> {
    let function = |name, alias| FirstCall {
        name,
        alias,
        value_type: Some("i32 ()"),
    };
    let functions = [function("g", "g.address"), function("f", "f.address")];
    let functions = if also {
        &functions[..]
    } else {
        &functions[1..]
    };
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let last = functions.len() - 1;
    let resolve = move |executor: &Executor, place: usize| {
        assert_eq!(place, last);
        count.fetch_add(1, Ordering::Relaxed);
        let module = load(executor, &format!("int f(void) {{ return {value}; }}"));
        Ok(executor.lookup(&module, "f").unwrap().address)
    };
    executor
        .define_on_first_call(SPACE, functions, resolve)
        .unwrap();
    asked
}

#[test]
fn functions_lead_where_the_controller_of_each_session_says() {
    require_tools!("clang-22");
    for keep in [Keep::Session, Keep::Call] {
        let service = isolated(keep);
        let (one, two, three) = (connect(&service), connect(&service), connect(&service));
        let asked = first_calls(&one, false, 4);
        let bytes = image("int f(void); int call(void) { return f() + f(); }");
        let options = LoadOptions {
            scope: Some(&[SPACE]),
            ..LoadOptions::default()
        };
        let image = Image::parse(&bytes).unwrap();
        let caller = one.load_with(&image, options).unwrap();
        assert_eq!(number(&one, &caller, "call"), 8);
        let asked_two = first_calls(&two, true, 5);
        assert_eq!(number(&two, &caller, "call"), 10);
        assert_eq!(number(&one, &caller, "call"), 8);
        let n_calls = if keep == Keep::Session { 1 } else { 2 };
        assert_eq!(asked.load(Ordering::Relaxed), n_calls);
        assert_eq!(asked_two.load(Ordering::Relaxed), 1);
        let called = three.call(&caller, "call", Some("i32 ()"), &mut []);
        assert_fails(
            called,
            ErrorKind::CallBack,
            "f: it is a function of another",
        );
        let other = FirstCall {
            name: "f",
            alias: "",
            value_type: Some("i64 ()"),
        };
        let never = |_: &Executor, _| unreachable!("it was not defined");
        let defined = three.define_on_first_call(SPACE, &[other], never);
        assert_fails(defined, ErrorKind::Definition, "f: it is there already");
    }
}

#[test]
fn threads_of_shipped_code_call_back_during_a_call_and_after_it() {
    require_tools!("clang-22");
    let service = isolated(Keep::Session);
    let there = asking(connect(&service), |executor, x| {
        executor.ping().map_err(|error| error.to_string())?;
        Ok(x)
    });
    for _ in 0..5 {
        assert_eq!(there.sum_of_threads(), int(64, 28));
    }
    let serving = there.executor.serve_in_background().unwrap();
    for _ in 0..3 {
        let begun = (there.executor).call(&there.module, "begin", Some("void ()"), &mut []);
        begun.unwrap();
        // Nobody waits for the worker.
        thread::sleep(Duration::from_millis(60));
        assert_eq!(number(&there.executor, &there.module, "end"), 5);
    }
    drop(serving);
}

#[test]
fn a_closure_that_holds_a_lock_while_it_asks_does_not_have_another_run_that_needs_it() {
    require_tools!("clang-22");
    for service in [Service::default(), isolated(Keep::Session)] {
        let lock = Mutex::new(());
        let there = asking(connect(&service), move |executor, x| {
            let _held = lock.lock().unwrap();
            for _ in 0..5 {
                executor.ping().map_err(|error| error.to_string())?;
            }
            Ok(x)
        });
        for _ in 0..10 {
            assert_eq!(there.sum_of_threads(), int(64, 28));
        }
    }
}

#[test]
fn concurrent_calls_wait_for_their_closures_at_the_same_time() {
    require_tools!("clang-22");
    let service = isolated(Keep::Session);
    let all = Arc::new(Barrier::new(8));
    let there = asking(connect(&service), move |executor, x| {
        all.wait();
        executor.ping().map_err(|error| error.to_string())?;
        Ok(x)
    });
    for _ in 0..20 {
        thread::scope(|scope| {
            for x in 0..8 {
                let there = &there;
                scope.spawn(move || {
                    let call = there.start(Order::Concurrent, x).unwrap();
                    assert_eq!(call.wait().unwrap(), int(32, x + 1));
                });
            }
        });
    }
}

#[test]
fn a_worker_that_is_killed_while_a_closure_runs_ends_the_call_alone() {
    require_tools!("clang-22");
    for keep in [Keep::Session, Keep::Call] {
        let service = isolated(keep);
        let there = asking(connect(&service), |executor, x| {
            if x != 0 {
                return Ok(x);
            }
            let module = executor.list().unwrap()[0].digest;
            let process = i32::try_from(number(executor, module, "process")).unwrap();
            let process = rustix::process::Pid::from_raw(process).unwrap();
            rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
            thread::sleep(Duration::from_millis(50));
            // What is asked for now fails, in no other process.
            let what = executor.call(module, "what", Some("i32 ()"), &mut []);
            assert_eq!(failure(what).kind, ErrorKind::Crashed);
            Ok(0)
        });
        for _ in 0..3 {
            assert_eq!(failure(there.once(0)).kind, ErrorKind::Crashed);
            assert_eq!(there.once(3).unwrap(), int(32, 4));
        }
    }
}

#[test]
fn a_controller_that_goes_while_workers_wait_for_it_leaves_the_others() {
    require_tools!("clang-22");
    for order in [Order::InTurn, Order::Concurrent] {
        let service = isolated(Keep::Session);
        let served = serve(&service);
        let hangs_up = served.stream.try_clone().unwrap();
        let executor = Executor::speak(Connection::unix(served.stream)).unwrap();
        let there = asking(executor, move |_, x| {
            hangs_up.shutdown(std::net::Shutdown::Both).unwrap();
            Ok(x)
        });
        there.start(order, 1).unwrap().wait().unwrap_err();
        let _ = served.thread.join().unwrap();
        let other = connect(&service);
        // The call there ends too.
        while other.statistics().unwrap().running > 0 {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(number(&other, &there.module, "what"), 7);
    }
}

#[test]
fn closures_are_called_through_shared_memory() {
    require_tools!("clang-22");
    for service in [Service::default(), isolated(Keep::Session)] {
        let executor = Executor::speak_shared(connection(&service)).unwrap();
        let word = Arc::new(AtomicU64::new(0));
        let address = Arc::clone(&word);
        let there = asking(executor, move |executor, x| {
            match address.load(Ordering::Relaxed) {
                0 => Ok(x),
                address => {
                    // Goes as a file beside the memory.
                    let large = "const char fill[200000] = {1}; int f(void) { return fill[0]; }";
                    let module = load(executor, large);
                    assert_eq!(number(executor, &module, "f"), 1);
                    peeks(executor, address, x, true)
                }
            }
        });
        assert_eq!(there.sum_of_threads(), int(64, 28));
        for x in 0..500 {
            assert_eq!(there.once(x).unwrap(), int(32, x + 1));
        }
        word.store(there.address(), Ordering::Relaxed);
        assert_eq!(there.once(99).unwrap(), int(32, 8));
        assert_eq!(there.once(5).unwrap(), int(32, 100));
    }
    let folder = tempfile::tempdir().unwrap();
    let process = start(&format!("unix:{}", folder.path().join("socket").display()));
    let executor = Executor::connect_shared(&process.address).unwrap();
    let there = asking(executor, |executor, x| {
        executor.ping().map_err(|error| error.to_string())?;
        Ok(x)
    });
    assert_eq!(there.once(1).unwrap(), int(32, 2));
}

#[test]
fn a_controller_that_goes_ends_what_waits_for_it_through_shared_memory() {
    require_tools!("clang-22");
    for service in [Service::default(), isolated(Keep::Session)] {
        let (stream, other_end) = UnixStream::pair().unwrap();
        let hangs_up = stream.try_clone().unwrap();
        let own = service.clone();
        let served = thread::spawn(move || own.serve(Connection::unix(other_end)));
        let executor = Executor::speak_shared(Connection::unix(stream)).unwrap();
        let other = connect(&service);
        let watching = other.clone();
        let there = asking(executor, move |_, x| {
            hangs_up.shutdown(std::net::Shutdown::Both).unwrap();
            // The call ends though this does not.
            while watching.statistics().unwrap().running > 0 {
                thread::sleep(Duration::from_millis(1));
            }
            Ok(x)
        });
        there.once(1).unwrap_err();
        let _ = served.join().unwrap();
        assert_eq!(number(&other, &there.module, "what"), 7);
    }
}

/// Waits for all at once.
async fn join_all<F: Future<Output = ()>>(all: impl Iterator<Item = F>) {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    let poll = |context: &mut std::task::Context<'_>| {
        all.retain_mut(|future| future.as_mut().poll(context).is_pending());
        if all.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    };
    poll_fn(poll).await;
}

async fn once(executor: &AsyncExecutor, module: &RemoteModule, x: u64) {
    let arguments = &mut [Argument::Int(x)];
    let called = executor
        .call(module, "once", Some("i32 (i32)"), arguments)
        .await;
    assert_eq!(called.unwrap(), int(32, x + 1));
}

#[test]
fn closures_run_while_only_futures_wait() {
    require_tools!("clang-22");
    let near = |service: &Service| Executor::speak_shared(connection(service)).unwrap();
    let plain = |service: &Service| connect(service);
    let stream = |service: &Service| common::controller(service);
    let connects: [&dyn Fn(&Service) -> Executor; 3] = [&plain, &near, &stream];
    for connect in connects {
        // More than may be without an answer; an emulated worker takes its time for each.
        for (service, n_calls) in [
            (Service::default(), 1500),
            (
                isolated(Keep::Session),
                if tools::is_emulated() { 100 } else { 1500 },
            ),
        ] {
            let polls = Arc::new(AtomicBool::new(false));
            let poller = Arc::clone(&polls);
            let this = thread::current().id();
            let there = asking(connect(&service), move |executor, x| {
                assert!(!poller.load(Ordering::Relaxed) || thread::current().id() != this);
                executor.ping().map_err(|error| error.to_string())?;
                // A future within the call is part of it.
                let ping = executor.asynchronous();
                block_on(ping.ping()).map_err(|error| error.to_string())?;
                Ok(x)
            });
            polls.store(true, Ordering::Relaxed);
            let executor = there.executor.asynchronous();
            let calls = (0..n_calls).map(|x| once(&executor, &there.module, x));
            block_on(join_all(calls));
            // Beside threads, too.
            polls.store(false, Ordering::Relaxed);
            thread::scope(|scope| {
                scope.spawn(|| {
                    for x in 0..100 {
                        assert_eq!(there.once(x).unwrap(), int(32, x + 1));
                    }
                });
                let calls = (0..100).map(|x| once(&executor, &there.module, x));
                block_on(join_all(calls));
            });
        }
    }
}

#[test]
fn closures_of_futures_do_not_wait_for_each_other() {
    require_tools!("clang-22");
    for service in [Service::default(), isolated(Keep::Session)] {
        let all = Arc::new(Barrier::new(8));
        let there = asking(connect(&service), move |_, x| {
            all.wait();
            Ok(x)
        });
        let executor = there.executor.asynchronous();
        let function = executor.function(&there.module, "once", Some("i32 (i32)"));
        let function = block_on(function).unwrap();
        let calls = (0..8).map(|x| {
            let function = &function;
            async move {
                let arguments = &mut [Argument::Int(x)];
                let called = function.call_async_in(Order::Concurrent, arguments).await;
                assert_eq!(called.unwrap(), int(32, x + 1));
            }
        });
        block_on(join_all(calls));
    }
}

#[test]
fn a_process_with_workers_is_called_back() {
    require_tools!("clang-22");
    if tools::skips_emulated("an executor's program starts itself, which an emulator cannot") {
        return;
    }
    for workers in ["--workers=session", "--workers=call"] {
        let process = start_with("tcp:127.0.0.1:0", &[workers]);
        let there = asking(process.connect(), |executor, x| {
            let module = executor.list().unwrap()[0].digest;
            Ok(x + i32::try_from(number(executor, module, "what")).unwrap())
        });
        assert_eq!(there.once(1).unwrap(), int(32, 9));
        assert_eq!(there.sum_of_threads(), int(64, 28 + 8 * 7));
    }
}
