//! Executors that are told to stop: what was asked before is done, what comes later is refused, and nobody is left without an answer.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::fs;
use std::io::Read as _;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::{
    Process, assert_fails, command, image, int, possible, start, start_command, start_with,
};
use farcall_executor::{
    Address, Argument, Error, ErrorKind, Executor, Options, Order, Pending, Pool, PoolOptions,
    RemoteModule, Service, Value,
};
use farcall_image::Image;
use farcall_testkit::require_tools;
use farcall_testkit::tools::rounds;
use rustix::process::Signal;
use tempfile::TempDir;

const SOURCE: &str = r#"
    #include <fcntl.h>
    #include <stdio.h>
    #include <unistd.h>
    extern const char folder[];
    static int path_of(char *path, const char *name) { return snprintf(path, 200, "%s/%s", folder, name); }
    static void make(const char *name) {
        char path[200];
        path_of(path, name);
        close(open(path, O_WRONLY | O_CREAT, 0600));
    }
    static void wait_for(const char *name) {
        char path[200];
        path_of(path, name);
        while (access(path, F_OK)) usleep(1000);
    }
    int hold(int x) { make("begun"); wait_for("go"); return x + 1; }
    int add(int a, int b) { return a + b; }
    __attribute__((destructor)) static void end(void) { make("ended"); }
"#;

/// One that starts when it may.
const SLOW_START: &str = r#"
    __attribute__((constructor)) static void start(void) { make("begun"); wait_for("go"); }
"#;

/// Calls in the process, and in workers of both kinds.
const MODES: [&[&str]; 3] = [
    &["--in-process"],
    &["--workers=session", "--no-sandbox"],
    &["--workers=call", "--no-sandbox"],
];

/// An executor in a folder where its functions leave word.
struct Setup {
    folder: TempDir,
    process: Process,
}

impl Setup {
    fn new(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listen = format!("unix:{}", folder.path().join("socket").display());
        let process = start_with(&listen, options);
        Self { folder, process }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn load(&self, executor: &Executor) -> RemoteModule {
        let folder = format!("{}\0", self.folder.path().display());
        executor.define_bytes("folder", folder.as_bytes()).unwrap();
        executor
            .load(&Image::parse(&image(SOURCE)).unwrap())
            .unwrap()
    }

    /// Lets `hold` return.
    fn release(&self) {
        fs::write(self.path("go"), "").unwrap();
    }

    fn until_begun(&self) {
        until(|| self.path("begun").exists());
    }

    /// Has it begin to stop.
    fn stop(&self) {
        self.process.signal(Signal::TERM);
        until(|| !self.path("socket").exists());
    }
}

fn until(is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(20));
        thread::sleep(Duration::from_millis(1));
    }
}

fn hold(executor: &Executor, module: &RemoteModule, order: Order) -> Pending {
    let arguments = [Argument::Int(6)];
    (executor.start_call(module, "hold", Some("i32 (i32)"), order, &arguments)).unwrap()
}

fn add(executor: &Executor, module: &RemoteModule, a: u64) -> Result<Value, Error> {
    let arguments = &mut [Argument::Int(a), Argument::Int(1)];
    executor.call(module, "add", Some("i32 (i32, i32)"), arguments)
}

fn start_add(executor: &Executor, module: &RemoteModule, a: u64, order: Order) -> Pending {
    let arguments = [Argument::Int(a), Argument::Int(1)];
    (executor.start_call(module, "add", Some("i32 (i32, i32)"), order, &arguments)).unwrap()
}

#[test]
fn what_runs_is_finished_and_what_comes_is_refused() {
    require_tools!("clang-22");
    for mode in possible(&MODES) {
        let mut setup = Setup::new(mode);
        let executor = setup.process.connect();
        let module = setup.load(&executor);
        let idle = setup.process.connect();
        let held = hold(&executor, &module, Order::Concurrent);
        setup.until_begun();
        setup.stop();

        // A successor could have the address. Nobody connects to this one.
        let connected = Executor::connect(&setup.process.address);
        assert!(matches!(connected, Err(Error::Connect { .. })));
        // What it reads before it has told itself is done.
        until(|| add(&executor, &module, 1).is_err());
        assert_fails(add(&executor, &module, 1), ErrorKind::Stopping, "not begun");
        let other = image("int other(void) { return 1; }");
        let loaded = executor.load(&Image::parse(&other).unwrap());
        assert_fails(loaded, ErrorKind::Stopping, "not begun");
        // What begins nothing is done as long as there is something to wait for.
        executor.ping().unwrap();
        assert_eq!(executor.statistics().unwrap().running, 1);
        assert_fails(idle.ping(), ErrorKind::Stopping, "is stopping");

        setup.release();
        assert_eq!(held.wait().unwrap(), int(32, 7));
        assert_eq!(setup.process.ended().code(), Some(0));
        assert!(setup.path("ended").exists(), "destructors have run");
        assert_fails(executor.ping(), ErrorKind::Stopping, "is stopping");
    }
}

#[test]
fn what_was_sent_before_is_done() {
    require_tools!("clang-22");
    for mode in possible(&MODES) {
        let mut setup = Setup::new(mode);
        let executor = setup.process.connect();
        let module = setup.load(&executor);
        let idle = setup.process.connect();
        let held = hold(&executor, &module, Order::InTurn);
        setup.until_begun();
        let add = |n, order| start_add(&executor, &module, n, order);
        let sent: Vec<_> = (0..200)
            .map(|n| match n % 4 {
                0 => add(n, Order::Concurrent),
                _ => add(n, Order::InTurn),
            })
            .collect();
        setup.stop();
        // It tells who is idle when it has looked at what all have sent.
        until(|| idle.ping().is_err());
        let late = add(5, Order::InTurn);
        setup.release();
        assert_eq!(held.wait().unwrap(), int(32, 7));
        for (n, sent) in (0..).zip(sent) {
            assert_eq!(sent.wait().unwrap(), int(32, n + 1));
        }
        assert_fails(late.wait(), ErrorKind::Stopping, "not begun");
        assert_eq!(setup.process.ended().code(), Some(0));
    }
}

#[test]
fn a_call_goes_on_in_the_middle_of_which_the_controller_is_called() {
    require_tools!("clang-22");
    for mode in possible(&MODES) {
        let mut setup = Setup::new(mode);
        let executor = setup.process.connect();
        let module: Arc<Mutex<Option<RemoteModule>>> = Arc::default();
        let known = Arc::clone(&module);
        let process = rustix::process::Pid::from_child(&setup.process.child);
        let socket = setup.path("socket");
        executor
            .define_function("ask", "i32 (i32)", move |inner, arguments| {
                rustix::process::kill_process(process, Signal::TERM).unwrap();
                until(|| !socket.exists());
                thread::sleep(Duration::from_millis(100));
                // What the call needs goes on.
                let module = known.lock().unwrap().unwrap();
                let added = add(inner, &module, 40).unwrap();
                let other = image("int other(void) { return 1; }");
                inner.load(&Image::parse(&other).unwrap()).unwrap();
                assert_eq!(arguments.len(), 1);
                Ok(added)
            })
            .unwrap();
        let source = "int ask(int); int once(int x) { return ask(x) + 1; } int add(int a, int b) { return a + b; }";
        let loaded = executor.load(&Image::parse(&image(source)).unwrap());
        let loaded = loaded.unwrap();
        *module.lock().unwrap() = Some(loaded);
        let arguments = &mut [Argument::Int(1)];
        let once = executor.call(&loaded, "once", Some("i32 (i32)"), arguments);
        assert_eq!(once.unwrap(), int(32, 42));
        assert_fails(add(&executor, &loaded, 1), ErrorKind::Stopping, "stopping");
        assert_eq!(setup.process.ended().code(), Some(0));
    }
}

#[test]
fn a_load_goes_on() {
    require_tools!("clang-22");
    for mode in possible(&MODES) {
        let mut setup = Setup::new(mode);
        let executor = setup.process.connect();
        let folder = format!("{}\0", setup.folder.path().display());
        executor.define_bytes("folder", folder.as_bytes()).unwrap();
        thread::scope(|scope| {
            let loading = scope.spawn(|| {
                let image = image(&[SOURCE, SLOW_START].concat());
                executor.load(&Image::parse(&image).unwrap())
            });
            setup.until_begun();
            setup.stop();
            setup.release();
            assert!(!loading.join().unwrap().unwrap().was_loaded);
        });
        assert_eq!(setup.process.ended().code(), Some(0));
        assert!(setup.path("ended").exists());
    }
}

#[test]
fn what_takes_too_long_is_named() {
    require_tools!("clang-22");
    for mode in possible(&MODES) {
        let options = [mode, &["--stop-time=1"]].concat();
        let mut setup = Setup::new(&options);
        let executor = setup.process.connect();
        let module = setup.load(&executor);
        let held = hold(&executor, &module, Order::InTurn);
        setup.until_begun();
        let more = hold(&executor, &module, Order::Concurrent);
        setup.stop();
        assert_eq!(setup.process.ended().code(), Some(3));
        let mut said = String::new();
        let mut stderr = setup.process.child.stderr.take().unwrap();
        stderr.read_to_string(&mut said).unwrap();
        let named = format!("still running: hold of image {}, for ", module.digest);
        assert!(said.contains(&named), "{said}");
        assert!(said.contains("in the 1 s that stopping may take"), "{said}");
        assert!(held.wait().is_err() && more.wait().is_err());
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    require_tools!("clang-22");
    for (first, second) in [(Signal::TERM, Signal::INT), (Signal::INT, Signal::INT)] {
        let mut setup = Setup::new(MODES[0]);
        let executor = setup.process.connect();
        let module = setup.load(&executor);
        let held = hold(&executor, &module, Order::InTurn);
        setup.until_begun();
        setup.process.signal(first);
        until(|| !setup.path("socket").exists());
        setup.process.signal(second);
        assert_eq!(setup.process.ended().code(), Some(1));
        assert!(held.wait().is_err());
    }
}

#[test]
fn who_asks_for_nothing_is_told() {
    for listen in ["unix", "tcp"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let mut process = match listen {
            "tcp" => start("tcp:127.0.0.1:0"),
            _ => start(&format!("unix:{}", path.display())),
        };
        let mut idle: Vec<_> = (0..20).map(|_| process.connect()).collect();
        idle.iter().for_each(|idle| idle.ping().unwrap());
        let mut strangers = Vec::new();
        if listen == "unix" {
            idle.extend((0..5).map(|_| Executor::connect_shared(&process.address).unwrap()));
            strangers.extend((0..5).map(|_| UnixStream::connect(&path).unwrap()));
        }
        process.signal(Signal::TERM);
        assert_eq!(process.ended().code(), Some(0));
        for idle in idle {
            assert_fails(idle.ping(), ErrorKind::Stopping, "is stopping");
        }
        for mut stranger in strangers {
            let mut said = Vec::new();
            stranger.read_to_end(&mut said).unwrap();
            let said = String::from_utf8_lossy(&said).into_owned();
            assert!(said.contains("the executor is stopping"), "{said:?}");
        }
    }
}

#[test]
fn a_service_stops_without_a_process() {
    let service = Service::new(Options::default());
    let executor = common::controller(&service);
    executor.ping().unwrap();
    service.stop(Duration::from_secs(20)).unwrap();
    assert_fails(executor.ping(), ErrorKind::Stopping, "is stopping");
    // Nobody is served any more.
    let stream = common::serve(&service).stream;
    let refused = Executor::over(stream.try_clone().unwrap(), stream);
    assert_fails(refused, ErrorKind::Stopping, "is stopping");
}

#[test]
fn a_service_manager_is_told() {
    for name in ["path", "abstract"] {
        let folder = tempfile::tempdir().unwrap();
        let (socket, variable) = notify_socket(&folder, name);
        let listen = format!("unix:{}", folder.path().join("socket").display());
        let mut with = command(&listen);
        with.env("NOTIFY_SOCKET", variable);
        let mut process = start_command(with);
        let told = || {
            let mut message = [0; 200];
            let n_bytes = socket.recv(&mut message).unwrap();
            String::from_utf8_lossy(&message[..n_bytes]).into_owned()
        };
        assert_eq!(told(), "READY=1");
        process.signal(Signal::HUP);
        let reloading = told();
        let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        let time: i64 = time.unwrap().parse().unwrap();
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        assert!((0..=now.tv_sec * 1_000_000 + 1_000_000).contains(&time));
        assert_eq!(told(), "READY=1");
        process.signal(Signal::TERM);
        assert_eq!(told(), "STOPPING=1");
        assert_eq!(process.ended().code(), Some(0));
    }
}

fn notify_socket(folder: &TempDir, name: &str) -> (UnixDatagram, String) {
    use std::os::linux::net::SocketAddrExt as _;
    let path = folder.path().join("notify");
    let (socket, variable) = match name {
        "path" => {
            let socket = UnixDatagram::bind(&path).unwrap();
            (socket, path.display().to_string())
        }
        _ => {
            let name = path.display().to_string();
            let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
            (
                UnixDatagram::bind_addr(&address).unwrap(),
                format!("@{name}"),
            )
        }
    };
    let limit = Some(Duration::from_secs(20));
    socket.set_read_timeout(limit).unwrap();
    (socket, variable)
}

/// Each call leaves its number, in one write to a file that all have.
const MARKS: &str = r#"
    #include <fcntl.h>
    #include <unistd.h>
    extern const char marks[];
    long mark(long number) {
        int file = open(marks, O_WRONLY | O_APPEND | O_CREAT, 0600);
        write(file, &number, sizeof number);
        close(file);
        if (number % 16 == 0) usleep(3000);
        return number + 1;
    }
"#;

#[test]
fn executors_are_replaced_under_a_pool_and_each_call_is_answered_once() {
    require_tools!("clang-22");
    let n_restarts = rounds(20);
    replaced(1, MODES[0], n_restarts);
    for mode in possible(&MODES) {
        replaced(2, mode, n_restarts);
    }
}

fn replaced(n_executors: usize, mode: &[&str], n_restarts: usize) {
    let folder = tempfile::tempdir().unwrap();
    let address = |index: usize| Address::Unix(folder.path().join(index.to_string()));
    let start = |index: usize| start_with(&address(index).to_string(), mode);
    let mut processes: Vec<_> = (0..n_executors).map(start).collect();
    let options = PoolOptions {
        most_in_flight: 8,
        patience: Duration::from_secs(60),
    };
    let pool = Pool::connect_with((0..n_executors).map(address), options).unwrap();
    let marks = folder.path().join("marks");
    pool.define_bytes("marks", format!("{}\0", marks.display()).as_bytes())
        .unwrap();
    let module = pool.load(image(MARKS)).unwrap();
    let mark = pool.typed::<fn(i64) -> i64>(&module, "mark").unwrap();
    let in_turn = pool
        .typed::<fn(i64) -> i64>(&module, "mark")
        .unwrap()
        .in_turn();
    let is_over = AtomicBool::new(false);
    let n_calls = AtomicU64::new(0);
    thread::scope(|scope| {
        for nth in 0..12 {
            let (mark, in_turn, is_over, n_calls) = (&mark, &in_turn, &is_over, &n_calls);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let number = n_calls.fetch_add(1, Ordering::Relaxed).cast_signed();
                    let marked = match nth % 3 {
                        0 => in_turn.call(number),
                        1 => mark.call(number),
                        _ => futures_executor::block_on(mark.call_async(number)),
                    };
                    assert_eq!(marked.unwrap(), number + 1);
                }
            });
        }
        for round in 0..n_restarts {
            let index = round % n_executors;
            let before = n_calls.load(Ordering::Relaxed);
            until(|| n_calls.load(Ordering::Relaxed) > before + 50);
            processes[index].signal(Signal::TERM);
            // The successor has the address while the first is finishing.
            let path = folder.path().join(index.to_string());
            until(|| !path.exists());
            let successor = start(index);
            let mut stopped = std::mem::replace(&mut processes[index], successor);
            assert_eq!(stopped.ended().code(), Some(0));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let mut marked: Vec<u64> = (fs::read(&marks).unwrap().chunks_exact(8))
        .map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
        .collect();
    marked.sort_unstable();
    let all: Vec<u64> = (0..n_calls.load(Ordering::Relaxed)).collect();
    assert!(
        marked == all,
        "{} marks of {} calls",
        marked.len(),
        all.len()
    );
}
