//! Requests as futures: with a runtime of a few lines, which is all that they may want of one, and with another's on several threads.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use common::{Process, assert_fails, image, int, serve, start};
use farcall_executor::{
    Argument, AsyncExecutor, Connection, Error, ErrorKind, Executor, In, InOut, Order,
    RemoteModule, Service, Value,
};
use farcall_image::Image;
use farcall_testkit::{require_tools, tools};
use futures_executor::ThreadPool;
use rustix::process::Signal;

const SOURCE: &str = "
    #include <string.h>
    #include <time.h>
    static volatile long turns;
    long turn(void) { return ++turns; }
    long add(long a, long b) { return a + b; }
    void nap(int milliseconds) {
        struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
        nanosleep(&time, 0);
    }
    static volatile int arrived;
    int meet(int n) {
        __atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST);
        while (__atomic_load_n(&arrived, __ATOMIC_SEQ_CST) < n) nap(1);
        return n;
    }
    long sum(const unsigned char *bytes, long n) { long s = 0; while (n--) s += *bytes++; return s; }
    void fill(unsigned char *bytes, int value, long n) { memset(bytes, value, n); }
    static volatile int is_open;
    void gate(void) { while (!is_open) nap(1); }
    void open_gate(void) { is_open = 1; }
";

/// Wakes by unparking a thread.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    let start = Instant::now();
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "nobody wakes it");
        thread::park_timeout(Duration::from_secs(60));
    }
}

/// All outputs, in order; what is ready is not polled again.
async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(|it| (Box::pin(it), None)).collect();
    std::future::poll_fn(move |context| {
        let mut is_ready = true;
        for (future, output) in &mut futures {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    Poll::Ready(done) => *output = Some(done),
                    Poll::Pending => is_ready = false,
                }
            }
        }
        if is_ready {
            let outputs = futures.iter_mut().map(|(_, output)| output.take().unwrap());
            return Poll::Ready(outputs.collect());
        }
        Poll::Pending
    })
    .await
}

fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn load(executor: Executor) -> (AsyncExecutor, RemoteModule) {
    let bytes = image(SOURCE);
    let executor = executor.asynchronous();
    let module = block_on(executor.load(&Image::parse(&bytes).unwrap())).unwrap();
    (executor, module)
}

fn there() -> (AsyncExecutor, RemoteModule) {
    load(another(&Service::default()))
}

fn another(service: &Service) -> Executor {
    let stream = serve(service).stream;
    stream.set_read_timeout(None).unwrap();
    Executor::speak(Connection::unix(stream)).unwrap()
}

/// Lets `gate` return.
fn open_gate(service: &Service, module: &RemoteModule) {
    let opened = another(service).call(module, "open_gate", Some("void ()"), &mut []);
    assert_eq!(opened.unwrap(), Value::Void);
}

fn process() -> (Process, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let process = start(&format!("unix:{}", folder.path().join("socket").display()));
    (process, folder)
}

/// The threads of this process with a name, of which another test may have some.
fn threads(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.filter(|it| it.trim_end() == name).count()
}

#[test]
fn every_request_is_a_future() {
    require_tools!("clang-22");
    let (process, _folder) = process();
    block_on(async {
        let executor = AsyncExecutor::connect(&process.address).await.unwrap();
        let bytes = image(SOURCE);
        let image = Image::parse(&bytes).unwrap();
        let module = executor.load(&image).await.unwrap();
        assert!(module.was_sent);
        assert!(executor.load(&image).await.unwrap().was_loaded);
        executor.ping().await.unwrap();
        let sum = executor
            .typed::<fn(In<u8>, i64) -> i64>(&module, "sum")
            .await
            .unwrap();
        assert_eq!(sum.call_async(&[1, 2, 3], 3).await.unwrap(), 6);
        let fill = executor
            .typed::<fn(InOut<u8>, i32, i64)>(&module, "fill")
            .await
            .unwrap();
        let mut bytes = [1; 4];
        fill.call_async(&mut bytes, 7, 3).await.unwrap();
        assert_eq!(bytes, [7, 7, 7, 1]);
        let mut arguments = [Argument::Int(1), Argument::Int(2)];
        let three = executor.call(&module, "add", Some("i64 (i64, i64)"), &mut arguments);
        assert_eq!(three.await.unwrap(), int(64, 3));
        let buffer = executor.allocate(3 << 20).await.unwrap();
        let many: Vec<u8> = (0..=250).cycle().take(3 << 20).collect();
        executor.write(&buffer, 0, &many).await.unwrap();
        let mut read = vec![0; many.len()];
        executor.read(&buffer, 0, &mut read).await.unwrap();
        assert!(read == many);
        assert_eq!(executor.peek(buffer.address(), 3).await.unwrap(), many[..3]);
        executor.poke(buffer.address(), &[9]).await.unwrap();
        let sum = executor
            .typed::<fn(*const u8, i64) -> i64>(&module, "sum")
            .await
            .unwrap();
        assert_eq!(sum.call_async((&buffer).into(), 2).await.unwrap(), 10);
        executor.define_bytes("some_bytes", b"abc").await.unwrap();
        executor
            .define("a_number", None, farcall_executor::Definition::Address(7))
            .await
            .unwrap();
        assert!(executor.lookup(&module, "add").await.unwrap().address != 0);
        assert_eq!(executor.list().await.unwrap().len(), 1);
        assert_eq!(executor.statistics().await.unwrap().modules, 1);
        assert_fails(
            executor.function(&module, "gone", Some("void ()")).await,
            ErrorKind::UnknownSymbol,
            "gone",
        );
        assert_fails(executor.unload(&module).await, ErrorKind::InUse, "in use");
        drop((sum, fill, buffer));
    });
}

#[test]
fn a_load_and_a_call_are_on_their_way_at_once() {
    require_tools!("clang-22");
    let bytes = image(SOURCE);
    let image = Image::parse(&bytes).unwrap();
    let executor = Executor::local().unwrap().asynchronous();
    let mut load = pin!(executor.load(&image));
    let mut arguments = [Argument::Int(40), Argument::Int(2)];
    let mut call = pin!(executor.call(
        image.digest(),
        "add",
        Some("i64 (i64, i64)"),
        &mut arguments
    ));
    assert!(poll_once(load.as_mut()).is_pending());
    assert!(poll_once(call.as_mut()).is_pending());
    assert_eq!(block_on(call).unwrap(), int(64, 42));
    assert!(block_on(load).unwrap().was_sent);
}

#[test]
fn many_futures_wait_at_once() {
    require_tools!("clang-22");
    let (executor, module) = there();
    let add = block_on(executor.typed::<fn(i64, i64) -> i64>(&module, "add")).unwrap();
    let sums = block_on(all((0..20_000).map(|n| add.call_async(n, 1))));
    for (n, sum) in (1..).zip(sums) {
        assert_eq!(sum.unwrap(), n);
    }
    let meet = block_on(executor.function(&module, "meet", Some("i32 (i32)"))).unwrap();
    let met = block_on(all((0..20).map(|_| async {
        meet.call_async_in(Order::Concurrent, &mut [Argument::Int(20)])
            .await
    })));
    assert!(met.into_iter().all(|it| it.unwrap() == int(32, 20)));
}

/// Nothing waits for the socket, and neither side for the other to read.
#[test]
fn large_requests_and_answers_are_on_their_way_at_once() {
    require_tools!("clang-22");
    let (executor, module) = there();
    let fill = block_on(executor.typed::<fn(InOut<u8>, i32, i64)>(&module, "fill")).unwrap();
    let mut buffers = vec![vec![0; 300_000]; 100];
    let fills = (0..)
        .zip(&mut buffers)
        .map(|(nth, buffer)| fill.call_async(buffer, nth, 300_000));
    for filled in block_on(all(fills)) {
        filled.unwrap();
    }
    for (nth, buffer) in buffers.iter().enumerate() {
        assert!(buffer.iter().all(|&byte| usize::from(byte) == nth));
    }
}

#[test]
fn polling_never_waits() {
    require_tools!("clang-22");
    let service = Service::default();
    let (executor, module) = load(another(&service));
    let gate = block_on(executor.typed::<fn()>(&module, "gate")).unwrap();
    let sum = block_on(executor.typed::<fn(In<u8>, i64) -> i64>(&module, "sum")).unwrap();
    let mut closed = Box::pin(gate.call_async());
    assert!(poll_once(closed.as_mut()).is_pending());
    // More than the socket takes, and more than is kept, to an executor that does not read.
    let bytes = vec![1; 300_000];
    let mut sums: Vec<_> = (0..30)
        .map(|_| Box::pin(sum.call_async(&bytes, 300_000)))
        .collect();
    for sum in &mut sums {
        assert!(poll_once(sum.as_mut()).is_pending());
    }
    // Some were written, some begun, some kept, and some not even that.
    for index in [29, 20, 5, 3, 2, 1, 0] {
        drop(sums.remove(index));
    }
    thread::scope(|scope| {
        // What a thread asks comes after what was asked before.
        let sum = scope.spawn(|| {
            let mut arguments = [Argument::Int(1), Argument::Int(2)];
            let add = Some("i64 (i64, i64)");
            executor
                .executor()
                .call(&module, "add", add, &mut arguments)
        });
        open_gate(&service, &module);
        assert_eq!(sum.join().unwrap().unwrap(), int(64, 3));
    });
    block_on(closed).unwrap();
    for sum in block_on(all(sums)) {
        assert_eq!(sum.unwrap(), 300_000);
    }
}

#[test]
fn what_is_dropped_before_it_has_begun_does_not_begin() {
    require_tools!("clang-22");
    let service = Service::default();
    let (executor, module) = load(another(&service));
    let turn = block_on(executor.typed::<fn() -> i64>(&module, "turn")).unwrap();
    // Never polled, never sent.
    drop(turn.call_async());
    let gate = block_on(executor.typed::<fn()>(&module, "gate")).unwrap();
    let mut closed = Box::pin(gate.call_async());
    assert!(poll_once(closed.as_mut()).is_pending());
    let mut turns: Vec<_> = (0..5).map(|_| Box::pin(turn.call_async())).collect();
    for turn in &mut turns {
        assert!(poll_once(turn.as_mut()).is_pending());
    }
    turns.truncate(2);
    // The executor looks at what was sent meanwhile, of what runs for so long.
    thread::sleep(Duration::from_millis(20));
    open_gate(&service, &module);
    block_on(closed).unwrap();
    let turns = block_on(all(turns));
    assert_eq!(
        turns.into_iter().map(Result::unwrap).collect::<Vec<_>>(),
        [1, 2]
    );
    assert_eq!(block_on(turn.call_async()).unwrap(), 3);
}

#[test]
fn what_is_made_for_a_future_that_is_dropped_is_given_back() {
    require_tools!("clang-22");
    let service = Service::default();
    let (executor, module) = load(another(&service));
    let gate = block_on(executor.typed::<fn()>(&module, "gate")).unwrap();
    let mut closed = Box::pin(gate.call_async());
    assert!(poll_once(closed.as_mut()).is_pending());
    let mut function = Box::pin(executor.function(&module, "turn", Some("i64 ()")));
    assert!(poll_once(function.as_mut()).is_pending());
    let mut buffer = Box::pin(executor.allocate(1 << 20));
    assert!(poll_once(buffer.as_mut()).is_pending());
    drop((function, buffer));
    open_gate(&service, &module);
    block_on(closed).unwrap();
    drop(gate);
    // What is still held would keep it.
    let start = Instant::now();
    while let Err(error) = block_on(executor.unload(&module)) {
        assert!(start.elapsed() < Duration::from_secs(20), "{error}");
    }
}

#[test]
fn all_futures_end_with_the_connection() {
    require_tools!("clang-22");
    let (process, _folder) = process();
    let (executor, module) = load(process.connect());
    let gate = block_on(executor.typed::<fn()>(&module, "gate")).unwrap();
    let waiting = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| block_on(all((0..50).map(|_| gate.call_async())))))
            .collect();
        // One of them has begun.
        while process.connect().statistics().unwrap().running == 0 {
            thread::yield_now();
        }
        process.signal(Signal::KILL);
        threads
            .into_iter()
            .flat_map(|it| it.join().unwrap())
            .collect::<Vec<_>>()
    });
    assert_eq!(waiting.len(), 200);
    for ended in waiting {
        let error = ended.unwrap_err();
        assert!(
            matches!(error, Error::Closed { .. } | Error::Connection(_)),
            "{error:?}"
        );
    }
    assert!(block_on(executor.ping()).is_err());
}

#[test]
fn a_connection_that_only_threads_use_has_no_thread() {
    require_tools!("clang-22");
    // Other tests have some of their own: this one is a process apart.
    if std::env::var_os("ALONE").is_none() {
        let name = "a_connection_that_only_threads_use_has_no_thread";
        let mut command = tools::start(std::env::current_exe().unwrap());
        command.args(["--exact", name]).env("ALONE", "1");
        assert!(command.status().unwrap().success());
        return;
    }
    let service = Service::default();
    let executor = another(&service);
    let bytes = image(SOURCE);
    let module = executor.load(&Image::parse(&bytes).unwrap()).unwrap();
    let add = executor
        .typed::<fn(i64, i64) -> i64>(&module, "add")
        .unwrap();
    assert_eq!(add.call(1, 2).unwrap(), 3);
    assert_eq!((threads("farcall-read"), threads("farcall-write")), (0, 0));
    assert_eq!(block_on(add.call_async(1, 2)).unwrap(), 3);
    assert_eq!((threads("farcall-read"), threads("farcall-write")), (1, 0));
    // One that reads as long as somebody may wait for it, and threads that wait themselves.
    for n in 0..1000 {
        assert_eq!(add.call(n, 1).unwrap(), n + 1);
        assert_eq!(block_on(add.call_async(n, 2)).unwrap(), n + 2);
    }
    // A future that was dropped in a call that goes on does not keep the connection.
    let gate = executor.typed::<fn()>(&module, "gate").unwrap();
    let mut closed = Box::pin(gate.call_async());
    assert!(poll_once(closed.as_mut()).is_pending());
    drop(closed);
    drop((gate, add, executor));
    let start = Instant::now();
    while threads("farcall-read") > 0 {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "the thread goes on"
        );
        thread::yield_now();
    }
    open_gate(&service, &module);
}

/// Over these a request is sent when all before it are answered, which nothing that polls may wait for.
#[test]
fn any_pair_of_streams_will_do() {
    require_tools!("clang-22");
    let stream = serve(&Service::default()).stream;
    let executor = Executor::over(stream.try_clone().unwrap(), stream).unwrap();
    let (executor, module) = load(executor);
    let add = block_on(executor.typed::<fn(i64, i64) -> i64>(&module, "add")).unwrap();
    let mut dropped: Vec<_> = (0..10).map(|n| Box::pin(add.call_async(n, 1))).collect();
    for call in &mut dropped {
        let _ = poll_once(call.as_mut());
    }
    drop(dropped);
    let sums = block_on(all((0..200).map(|n| add.call_async(n, 1))));
    for (n, sum) in (1..).zip(sums) {
        assert_eq!(sum.unwrap(), n);
    }
    assert_eq!(add.call(1, 1).unwrap(), 2);
}

#[test]
fn frames_through_shared_memory_will_do() {
    require_tools!("clang-22");
    let (process, _folder) = process();
    let (executor, module) = load(Executor::connect_shared(&process.address).unwrap());
    let add = block_on(executor.typed::<fn(i64, i64) -> i64>(&module, "add")).unwrap();
    let sums = block_on(all((0..5000).map(|n| add.call_async(n, 1))));
    for (n, sum) in (1..).zip(sums) {
        assert_eq!(sum.unwrap(), n);
    }
    let fill = block_on(executor.typed::<fn(InOut<u8>, i32, i64)>(&module, "fill")).unwrap();
    let mut buffers = vec![vec![0; 300_000]; 30];
    let fills = buffers.iter_mut().map(|it| fill.call_async(it, 7, 300_000));
    for filled in block_on(all(fills)) {
        filled.unwrap();
    }
    assert!(buffers.iter().flatten().all(|&byte| byte == 7));
    assert_eq!(add.call(1, 1).unwrap(), 2);
    let gate = block_on(executor.typed::<fn()>(&module, "gate")).unwrap();
    let mut closed = Box::pin(gate.call_async());
    assert!(poll_once(closed.as_mut()).is_pending());
    process.signal(Signal::KILL);
    assert!(block_on(closed).is_err());
}

#[test]
fn what_was_sent_by_a_thread_can_be_awaited() {
    require_tools!("clang-22");
    let (executor, module) = there();
    let turn = executor
        .executor()
        .function(&module, "turn", Some("i64 ()"))
        .unwrap();
    let calls: Vec<_> = (0..100).map(|_| turn.start(&[]).unwrap()).collect();
    for (nth, turn) in block_on(all(calls)).into_iter().enumerate() {
        assert_eq!(turn.unwrap(), int(64, nth as u64 + 1));
    }
}

#[test]
fn futures_of_another_runtime_move_between_threads() {
    require_tools!("clang-22");
    let (process, _folder) = process();
    let (executor, module) = load(process.connect());
    let add = Arc::new(block_on(executor.typed::<fn(i64, i64) -> i64>(&module, "add")).unwrap());
    let pool = ThreadPool::builder().pool_size(4).create().unwrap();
    let n_done = Arc::new(AtomicUsize::new(0));
    let (done, is_done) = std::sync::mpsc::channel();
    for task in 0..100 {
        let (add, n_done, done) = (Arc::clone(&add), Arc::clone(&n_done), done.clone());
        pool.spawn_ok(async move {
            for n in 0..100 {
                assert_eq!(add.call_async(n, task).await.unwrap(), n + task);
            }
            if n_done.fetch_add(1, Ordering::Relaxed) == 99 {
                done.send(()).unwrap();
            }
        });
    }
    is_done.recv_timeout(Duration::from_secs(60)).unwrap();
    let pinged = futures_executor::block_on(executor.ping());
    pinged.unwrap();
}
