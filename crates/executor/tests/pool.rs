//! Several executors as one: real processes, which are killed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::collections::HashMap;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Process, image, int, start_in_process};
use farcall_executor::{
    Address, Argument, Error, ErrorKind, In, InOut, Pool, PoolModule, PoolOptions,
};
use farcall_testkit::require_tools;
use farcall_testkit::tools::rounds;
use rustix::process::Signal;
use tempfile::TempDir;

const SOURCE: &str = "
    #include <fcntl.h>
    #include <unistd.h>
    extern const char marks[];
    int process(void) { return getpid(); }
    long add(long a, long b) { return a + b; }
    /* Each call leaves its number, in one write to a file that all have. */
    long mark(long number) {
        int file = open(marks, O_WRONLY | O_APPEND | O_CREAT, 0600);
        write(file, &number, sizeof number);
        close(file);
        return number + 1;
    }
    /* Waits for the file to be there. */
    int hold(void) { while (access(marks, F_OK)) usleep(1000); return getpid(); }
    void end(void) { _exit(1); }
    long sum(const int *numbers, long n) { long s = 0; while (n--) s += *numbers++; return s; }
    void twice(double *numbers, long n) { while (n--) *numbers++ *= 2; }
";

/// Executors of one test, in a folder of theirs.
struct Executors {
    folder: TempDir,
    processes: Vec<Option<Process>>,
}

impl Executors {
    fn start(n: usize) -> Self {
        let mut executors = Self {
            folder: tempfile::tempdir().unwrap(),
            processes: (0..n).map(|_| None).collect(),
        };
        (0..n).for_each(|index| executors.restart(index));
        executors
    }

    fn address(&self, index: usize) -> Address {
        Address::Unix(self.folder.path().join(index.to_string()))
    }

    fn addresses(&self) -> Vec<Address> {
        (0..self.processes.len())
            .map(|index| self.address(index))
            .collect()
    }

    fn restart(&mut self, index: usize) {
        self.processes[index] = Some(start_in_process(&self.address(index).to_string()));
    }

    fn kill(&mut self, index: usize) {
        let mut process = self.processes[index].take().unwrap();
        process.signal(Signal::KILL);
        process.ended();
    }

    fn process_id(&self, index: usize) -> u64 {
        self.processes[index].as_ref().unwrap().child.id().into()
    }

    fn pool(&self) -> (Pool, PoolModule) {
        self.pool_with(PoolOptions::default())
    }

    fn pool_with(&self, options: PoolOptions) -> (Pool, PoolModule) {
        let pool = Pool::connect_with(self.addresses(), options).unwrap();
        let marks = self.folder.path().join("marks");
        pool.define_bytes("marks", format!("{}\0", marks.display()).as_bytes())
            .unwrap();
        let module = pool.load(image(SOURCE)).unwrap();
        (pool, module)
    }

    /// Lets `hold` return.
    fn release(&self) {
        fs::write(self.folder.path().join("marks"), "").unwrap();
    }

    /// How often each call was run.
    fn marks(&self) -> HashMap<i64, usize> {
        let bytes = fs::read(self.folder.path().join("marks")).unwrap_or_default();
        let mut marks = HashMap::new();
        for number in bytes.chunks_exact(8) {
            *marks
                .entry(i64::from_le_bytes(number.try_into().unwrap()))
                .or_default() += 1;
        }
        marks
    }
}

/// Waits until as many executors are there.
fn until_there(pool: &Pool, n: usize) {
    let start = Instant::now();
    while pool.health().iter().filter(|it| it.is_there).count() != n {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "{:?}",
            pool.health()
        );
        thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until as many calls are on their way.
fn until_in_flight(pool: &Pool, n: usize) {
    let start = Instant::now();
    while pool.health().iter().map(|it| it.in_flight).sum::<usize>() != n {
        assert!(start.elapsed() < Duration::from_secs(30));
        thread::yield_now();
    }
}

#[test]
fn what_is_loaded_is_on_all_and_calls_go_to_any() {
    require_tools!("clang-22");
    let executors = Executors::start(3);
    let (pool, module) = executors.pool();
    let process = pool.function(&module, "process", Some("i32 ()")).unwrap();
    let mut seen: Vec<_> = (0..9).map(|_| process.call(&mut []).unwrap()).collect();
    seen.sort_by_key(|it| format!("{it:?}"));
    seen.dedup();
    let mut ids: Vec<_> = (0..3)
        .map(|index| int(32, executors.process_id(index)))
        .collect();
    ids.sort_by_key(|it| format!("{it:?}"));
    assert_eq!(seen, ids);

    let sum = pool
        .typed::<fn(In<i32>, i64) -> i64>(&module, "sum")
        .unwrap();
    assert_eq!(sum.call(&[1, 2, -4], 3).unwrap(), -1);
    let twice = pool.typed::<fn(InOut<f64>, i64)>(&module, "twice").unwrap();
    let mut numbers = [1.5, 2.5];
    twice.call(&mut numbers, 2).unwrap();
    assert_eq!(numbers, [3.0, 5.0]);
    let add = pool
        .typed::<fn(i64, i64) -> i64>(&module, "add")
        .unwrap()
        .in_turn();
    let added = futures_executor::block_on(add.call_async(1, 2));
    assert_eq!(added.unwrap(), 3);

    let health = pool.health();
    assert!(
        health
            .iter()
            .all(|it| it.is_there && it.in_flight == 0 && it.lost == 0)
    );
    assert_eq!(health.iter().map(|it| it.calls).sum::<u64>(), 12);
    for (_, statistics) in pool.check(Duration::from_secs(20)) {
        assert_eq!(statistics.unwrap().modules, 1);
    }
}

#[test]
fn the_executor_with_the_least_to_do_is_asked() {
    require_tools!("clang-22");
    let executors = Executors::start(2);
    let (pool, module) = executors.pool();
    let hold = pool.typed::<fn() -> i32>(&module, "hold").unwrap();
    let process = pool.typed::<fn() -> i32>(&module, "process").unwrap();
    thread::scope(|scope| {
        let held = scope.spawn(|| hold.call().unwrap());
        until_in_flight(&pool, 1);
        // The other one has less to do each time.
        let others: Vec<_> = (0..5).map(|_| process.call().unwrap()).collect();
        executors.release();
        let held = held.join().unwrap();
        assert!(others.iter().all(|it| *it == others[0] && *it != held));
    });
    assert_ne!(process.call().unwrap(), process.call().unwrap());
}

#[test]
fn more_calls_than_all_may_have_wait() {
    require_tools!("clang-22");
    let executors = Executors::start(2);
    let options = PoolOptions {
        most_in_flight: 3,
        ..PoolOptions::default()
    };
    let (pool, module) = executors.pool_with(options);
    let add = pool.typed::<fn(i64, i64) -> i64>(&module, "add").unwrap();
    thread::scope(|scope| {
        for thread in 0..8 {
            let (add, pool) = (&add, &pool);
            scope.spawn(move || {
                for n in 0..50 {
                    assert_eq!(add.call(n, thread).unwrap(), n + thread);
                    assert!(pool.health().iter().all(|it| it.in_flight <= 3));
                }
            });
        }
        scope.spawn(|| {
            futures_executor::block_on(async {
                let mut calls: Vec<_> = (0..500).map(|n| Box::pin(add.call_async(n, 7))).collect();
                // Those that are dropped while they wait do not keep others from being called.
                std::future::poll_fn(|context| {
                    for call in &mut calls {
                        if call.as_mut().poll(context).is_ready() {
                            break;
                        }
                    }
                    std::task::Poll::Ready(())
                })
                .await;
                drop(calls);
                for n in 0..500 {
                    assert_eq!(add.call_async(n, 7).await.unwrap(), n + 7);
                }
            });
        });
    });
}

#[test]
fn a_type_that_is_another_and_an_image_that_cannot_be_loaded_are_refused_by_name() {
    require_tools!("clang-22");
    let executors = Executors::start(2);
    let (pool, module) = executors.pool();
    let error = pool.function(&module, "gone", Some("void ()")).unwrap_err();
    let Error::Member { address, source } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(*address, executors.address(0));
    assert!(matches!(&**source, Error::Failed(it) if it.kind == ErrorKind::UnknownSymbol));
    let error = pool
        .load(image(
            "int missing(void); int f(void) { return missing(); }",
        ))
        .unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
    assert!(matches!(
        pool.load(b"no image".to_vec()),
        Err(Error::Image(_))
    ));

    // What one cannot do is undone on the others.
    let other = executors.processes[1].as_ref().unwrap().connect();
    other
        .define(
            "missing",
            None,
            farcall_executor::Definition::Address(0x1000),
        )
        .unwrap();
    pool.load(image(
        "int missing(void); int f(void) { return missing(); }",
    ))
    .unwrap_err();
    for index in 0..2 {
        let executor = executors.processes[index].as_ref().unwrap().connect();
        assert_eq!(executor.list().unwrap().len(), 1);
    }
    let buffer = other.allocate(8).unwrap();
    let sum = pool
        .function(&module, "sum", Some("i64 (ptr, i64)"))
        .unwrap();
    let error = sum.call(&mut [Argument::Buffer(&buffer, 0), Argument::Int(1)]);
    assert!(matches!(error, Err(Error::OutOfPlace { .. })));
}

#[test]
fn one_that_comes_back_gets_everything_again_in_order() {
    require_tools!("clang-22");
    let mut executors = Executors::start(2);
    let pool = Pool::connect(executors.addresses()).unwrap();
    pool.define_number("base", 100).unwrap();
    let first = pool
        .load_with(
            image("extern char base[]; long f(void) { return (long) base; }"),
            "first",
            None,
        )
        .unwrap();
    // The same name means something else to what comes later.
    pool.define_number("base", 200).unwrap();
    pool.define_number("base", 300).unwrap();
    pool.define_export("g", Some("i64 ()"), &first, "f")
        .unwrap();
    let second = pool.load_with(
        image("extern char base[]; long g(void); long h(void) { return g() + (long) base; }"),
        "second",
        Some(&[]),
    );
    let second = second.unwrap();
    let third = pool.load(image("long i(void) { return 1; }")).unwrap();
    let h = pool
        .typed::<fn() -> i64>(&second, "h")
        .unwrap()
        .repeatable();
    assert_eq!(h.call().unwrap(), 400);

    executors.kill(0);
    // What changes while it is away it gets too.
    let fourth = pool
        .load_with(
            image("long h(void); long j(void) { return h() + 1; }"),
            "",
            Some(&[second]),
        )
        .unwrap();
    pool.unload(&third).unwrap();
    executors.restart(0);
    until_there(&pool, 2);
    executors.kill(1);
    assert_eq!(h.call().unwrap(), 400);
    let j = pool.typed::<fn() -> i64>(&fourth, "j").unwrap();
    assert_eq!(j.call().unwrap(), 401);
    let executor = executors.processes[0].as_ref().unwrap().connect();
    let names: Vec<_> = executor
        .list()
        .unwrap()
        .into_iter()
        .map(|it| it.names)
        .collect();
    assert_eq!(
        names,
        [vec!["first".to_owned()], vec!["second".to_owned()], vec![]]
    );
    let error = pool.typed::<fn() -> i64>(&third, "i").unwrap_err();
    assert!(
        error.to_string().contains("no such module is in the pool"),
        "{error}"
    );
}

#[test]
fn what_is_unloaded_is_on_none_and_what_is_in_use_stays_on_all() {
    require_tools!("clang-22");
    let executors = Executors::start(2);
    let (pool, module) = executors.pool();
    let add = pool.typed::<fn(i64, i64) -> i64>(&module, "add").unwrap();
    let error = pool.unload(&module).unwrap_err();
    assert!(error.to_string().contains("in use"), "{error}");
    assert_eq!(add.call(1, 2).unwrap(), 3);
    drop(add);
    pool.unload(&module).unwrap();
    for (_, statistics) in pool.check(Duration::from_secs(20)) {
        assert_eq!(statistics.unwrap().modules, 0);
    }
    assert!(pool.unload(&module).is_err());
}

#[test]
fn all_dead_is_an_error_that_names_each() {
    require_tools!("clang-22");
    let mut executors = Executors::start(2);
    let (pool, module) = executors.pool();
    let add = pool.typed::<fn(i64, i64) -> i64>(&module, "add").unwrap();
    executors.kill(0);
    executors.kill(1);
    for error in [
        add.call(1, 2).unwrap_err(),
        futures_executor::block_on(add.call_async(1, 2)).unwrap_err(),
        pool.load(image("int f(void) { return 1; }")).unwrap_err(),
        Pool::connect(executors.addresses()).unwrap_err(),
    ] {
        assert!(matches!(error, Error::NoExecutor { .. }), "{error:?}");
        let text = error.to_string();
        for index in 0..2 {
            assert_eq!(
                text.matches(&executors.address(index).to_string()).count(),
                1,
                "{text}"
            );
        }
        assert!(text.contains("cannot connect"), "{text}");
    }
    executors.restart(1);
    until_there(&pool, 1);
    assert_eq!(add.call(1, 2).unwrap(), 3);
}

#[test]
fn one_that_comes_within_the_pool_s_patience_is_waited_for() {
    require_tools!("clang-22");
    let mut executors = Executors::start(2);
    let (pool, module) = executors.pool_with(PoolOptions {
        // An executor takes a while to start on a machine that does much else.
        patience: Duration::from_secs(60),
        ..PoolOptions::default()
    });
    let add = pool.typed::<fn(i64, i64) -> i64>(&module, "add").unwrap();
    executors.kill(0);
    executors.kill(1);
    thread::scope(|scope| {
        let call = scope.spawn(|| add.call(1, 2));
        executors.restart(1);
        assert_eq!(call.join().unwrap().unwrap(), 3);
    });
    assert_eq!(pool.health().iter().filter(|it| it.is_there).count(), 1);
    assert_eq!(pool.health()[0].lost, 1);
}

#[test]
fn a_pool_begins_with_those_that_are_there() {
    require_tools!("clang-22");
    let mut executors = Executors::start(2);
    executors.kill(1);
    let (pool, module) = executors.pool();
    let add = pool.typed::<fn(i64, i64) -> i64>(&module, "add").unwrap();
    assert_eq!(add.call(1, 2).unwrap(), 3);
    executors.restart(1);
    until_there(&pool, 2);
    executors.kill(0);
    assert_eq!(add.call(1, 2).unwrap(), 3);
}

#[test]
fn a_call_that_ends_its_executor_may_have_run_and_does_not_end_all_of_them_for_ever() {
    require_tools!("clang-22");
    let executors = Executors::start(3);
    let (pool, module) = executors.pool();
    let end = pool.typed::<fn()>(&module, "end").unwrap();
    let error = end.call().unwrap_err();
    assert!(matches!(error, Error::MayHaveRun { .. }), "{error:?}");
    assert!(error.to_string().contains("may have run"), "{error}");
    let add = pool.typed::<fn(i64, i64) -> i64>(&module, "add").unwrap();
    assert_eq!(add.call(1, 2).unwrap(), 3);
    let error = end.repeatable().call().unwrap_err();
    assert!(
        matches!(error, Error::MayHaveRun { .. } | Error::NoExecutor { .. }),
        "{error:?}"
    );
}

#[test]
fn one_that_does_not_answer_counts_as_lost() {
    require_tools!("clang-22");
    let executors = Executors::start(2);
    let (pool, module) = executors.pool();
    let hold = pool.typed::<fn() -> i32>(&module, "hold").unwrap();
    let stopped = executors.processes[0].as_ref().unwrap();
    thread::scope(|scope| {
        let held: Vec<_> = (0..2).map(|_| scope.spawn(|| hold.call())).collect();
        let runs = |index: usize| {
            let executor = executors.processes[index].as_ref().unwrap().connect();
            executor.statistics().unwrap().running
        };
        while runs(0) + runs(1) < 2 {
            thread::yield_now();
        }
        stopped.stop();
        let checked = pool.check(Duration::from_secs(2));
        // Nobody waits for it any more, whatever comes of this.
        executors.release();
        let failed: Vec<_> = checked.iter().filter(|(_, it)| it.is_err()).collect();
        assert_eq!(failed.len(), 1, "{checked:?}");
        assert_eq!(failed[0].0, executors.address(0));
        assert!(
            failed[0]
                .1
                .as_ref()
                .unwrap_err()
                .to_string()
                .contains("no answer within")
        );
        let held: Vec<_> = held.into_iter().map(|it| it.join().unwrap()).collect();
        assert_eq!(held.iter().filter(|it| it.is_ok()).count(), 1, "{held:?}");
        let lost = held.into_iter().find_map(Result::err).unwrap();
        assert!(matches!(lost, Error::MayHaveRun { .. }), "{lost:?}");
    });
    stopped.signal(Signal::CONT);
    until_there(&pool, 2);
}

/// Over TCP an executor that has gone takes a request, for all that the socket says.
#[test]
fn an_idle_executor_that_was_killed_gets_no_call_over_tcp() {
    require_tools!("clang-22");
    let mut processes: Vec<_> = (0..2)
        .map(|_| start_in_process("tcp:127.0.0.1:0"))
        .collect();
    let pool = Pool::connect(processes.iter().map(|it| it.address.clone())).unwrap();
    pool.define_bytes("marks", b"/dev/null\0").unwrap();
    let module = pool.load(image(SOURCE)).unwrap();
    let add = pool.typed::<fn(i64, i64) -> i64>(&module, "add").unwrap();
    for n in 0..10 {
        assert_eq!(add.call(n, 1).unwrap(), n + 1);
    }
    processes[0].signal(Signal::KILL);
    processes[0].ended();
    for n in 0..10 {
        assert_eq!(add.call(n, 1).unwrap(), n + 1);
    }
    assert_eq!(pool.health()[0].lost, 1);
}

/// What came of many calls.
#[derive(Default)]
struct Outcomes {
    answered: AtomicU64,
    may_have_run: AtomicU64,
    nobody: AtomicU64,
}

/// Kills and restarts executors, until it is told that it is over: one after the other and never the first, or all at once.
fn come_and_go(executors: &mut Executors, is_over: &AtomicBool, keeps_one: bool) {
    let n = executors.processes.len();
    for nth in 0.. {
        let killed = if keeps_one {
            1 + nth % (n - 1)..2 + nth % (n - 1)
        } else {
            0..n
        };
        killed.clone().for_each(|index| executors.kill(index));
        thread::sleep(Duration::from_millis(20));
        killed.for_each(|index| executors.restart(index));
        thread::sleep(Duration::from_millis(60));
        if is_over.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// Each call is answered and was run once, or is an error that says truly whether it was.
fn calls_while_executors_come_and_go(n_calls: usize, keeps_one: bool) {
    let n_calls = i64::try_from(n_calls).unwrap();
    let mut executors = Executors::start(3);
    // With some patience nearly none finds nobody.
    let options = PoolOptions {
        patience: Duration::ZERO,
        ..PoolOptions::default()
    };
    let (pool, module) = executors.pool_with(options);
    let mark = pool.typed::<fn(i64) -> i64>(&module, "mark").unwrap();
    let next = AtomicU64::new(0);
    let outcomes = Outcomes::default();
    let is_over = AtomicBool::new(false);
    let unsure = std::sync::Mutex::new(Vec::new());
    let take = || {
        let number = next.fetch_add(1, Ordering::Relaxed).cast_signed();
        (number < n_calls).then_some(number)
    };
    let note = |number: i64, called: Result<i64, Error>| match called {
        Ok(result) => {
            assert_eq!(result, number + 1);
            outcomes.answered.fetch_add(1, Ordering::Relaxed);
        }
        Err(Error::MayHaveRun { .. }) => {
            outcomes.may_have_run.fetch_add(1, Ordering::Relaxed);
            unsure.lock().unwrap().push((number, true));
        }
        Err(Error::NoExecutor { .. }) if !keeps_one => {
            outcomes.nobody.fetch_add(1, Ordering::Relaxed);
            unsure.lock().unwrap().push((number, false));
        }
        Err(error) => panic!("{number}: {error:?}"),
    };
    thread::scope(|scope| {
        let comes_and_goes = scope.spawn(|| come_and_go(&mut executors, &is_over, keeps_one));
        let mut callers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    while let Some(number) = take() {
                        note(number, mark.call(number));
                    }
                })
            })
            .collect();
        callers.extend((0..2).map(|_| {
            scope.spawn(|| {
                let many = (0..20).map(|_| async {
                    while let Some(number) = take() {
                        note(number, mark.call_async(number).await);
                    }
                });
                let mut many: Vec<_> = many.map(Box::pin).map(Some).collect();
                futures_executor::block_on(std::future::poll_fn(|context| {
                    for one in &mut many {
                        if one
                            .as_mut()
                            .is_some_and(|it| it.as_mut().poll(context).is_ready())
                        {
                            *one = None;
                        }
                    }
                    if many.iter().all(Option::is_none) {
                        return std::task::Poll::Ready(());
                    }
                    std::task::Poll::Pending
                }));
            })
        }));
        let ended: Vec<_> = callers.into_iter().map(|it| it.join()).collect();
        is_over.store(true, Ordering::Relaxed);
        comes_and_goes.join().unwrap();
        ended.into_iter().for_each(|it| it.unwrap());
    });
    let marks = executors.marks();
    let unsure: HashMap<i64, bool> = unsure.into_inner().unwrap().into_iter().collect();
    for number in 0..n_calls {
        let n_runs = marks.get(&number).copied().unwrap_or(0);
        let is_true = match unsure.get(&number) {
            None => n_runs == 1,
            Some(true) => n_runs <= 1,
            Some(false) => n_runs == 0,
        };
        assert!(
            is_true,
            "{number}: run {n_runs} times, {:?}",
            unsure.get(&number)
        );
    }
    let [answered, may_have_run, nobody] =
        [&outcomes.answered, &outcomes.may_have_run, &outcomes.nobody]
            .map(|it| it.load(Ordering::Relaxed));
    println!(
        "{answered} answered, {may_have_run} may have run, {nobody} found nobody; {:?}",
        pool.health()
    );
    assert_eq!(answered + may_have_run + nobody, n_calls.cast_unsigned());
    assert!(
        pool.health().iter().any(|it| it.lost > 0),
        "{:?}",
        pool.health()
    );
}

#[test]
fn a_hundred_thousand_calls_while_executors_are_killed() {
    require_tools!("clang-22");
    calls_while_executors_come_and_go(rounds(100_000), true);
}

#[test]
fn calls_while_all_executors_are_killed() {
    require_tools!("clang-22");
    calls_while_executors_come_and_go(rounds(20_000), false);
}

#[test]
fn calls_that_may_be_repeated_are_all_answered() {
    require_tools!("clang-22");
    let mut executors = Executors::start(3);
    let (pool, module) = executors.pool();
    let mark = pool
        .typed::<fn(i64) -> i64>(&module, "mark")
        .unwrap()
        .repeatable();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let comes_and_goes = scope.spawn(|| come_and_go(&mut executors, &is_over, true));
        let callers: Vec<_> = (0..8)
            .map(|thread| {
                let mark = &mark;
                scope.spawn(move || {
                    for n in 0..1000 {
                        let number = thread * 1000 + n;
                        assert_eq!(mark.call(number).unwrap(), number + 1);
                    }
                })
            })
            .collect();
        let ended: Vec<_> = callers.into_iter().map(|it| it.join()).collect();
        is_over.store(true, Ordering::Relaxed);
        comes_and_goes.join().unwrap();
        ended.into_iter().for_each(|it| it.unwrap());
    });
    let marks = executors.marks();
    assert!((0..8000).all(|number| marks.contains_key(&number)));
}
