//! Threads that compile. They are kept, with their backends, and LLVM may keep one for good.
//!
//! At some inputs (an intrinsic of another machine, a garbage collector that it does not know) LLVM does not report an error
//! but ends the process, unless the handler for such errors does not return. So LLVM runs on threads of our own. When it goes
//! no further the handler says why and parks the thread for good: its stack, its backends and an LLVM context are lost, the
//! caller has an error, and the next job has another thread. Threads of our own also have a stack as deep as LLVM's recursions
//! need, whatever thread the caller is on.
//!
//! A caller takes workers that are idle, starts those that are missing, and lays them back: as many threads work as callers
//! ask for, and as many are kept as there are cores.

use std::{
    any::Any,
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    process,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{backends::Backends, exit, llvm};

/// Bytes of stack, reserved and not committed: four times what a main thread has.
const STACK: usize = 32 << 20;

/// How long a worker looks for its next job before it sleeps, and a caller for the result of a small module. Waking a core that
/// sleeps takes up to 70 µs, as long as compiling a small module without optimization.
const BETWEEN_JOBS: Duration = Duration::from_micros(200);
const SMALL_JOB: Duration = Duration::from_millis(1);

/// Why a job has no result.
pub(crate) enum Failure {
    /// There is no thread for it.
    Thread(String),
    /// LLVM cannot go on, for this reason.
    GaveUp(String),
}

/// Runs `job` on each number below `n`, on all cores, and waits. The results are in the order of the numbers.
pub(crate) fn run_all<T: Send + 'static>(
    n: usize,
    job: impl Fn(usize, &mut Backends) -> T + Send + Sync + 'static,
) -> Vec<Result<T, Failure>> {
    let batch = Arc::new(Batch {
        job,
        next: AtomicUsize::new(0),
        results: (0..n).map(|_| Mutex::new(None)).collect(),
    });
    let (events, received) = mpsc::channel();
    // No worker is there for an item that nobody is left to do.
    let mut refused = String::new();
    let mut working = 0;
    let mut wanted = n_cores().min(n);
    loop {
        for _ in 0..std::mem::take(&mut wanted) {
            match Worker::take() {
                Ok(worker) => {
                    worker.start(&batch, &events);
                    working += 1;
                }
                Err(error) => refused = error.to_string(),
            }
        }
        if working == 0 {
            break;
        }
        working -= 1;
        let event = if n == 1 {
            wait_for_one(&received)
        } else {
            received.recv().ok()
        };
        match event.expect("`events` is here too") {
            Event::Done(worker) => worker.lay_back(),
            Event::GaveUp(index, reason) => {
                batch.set(index, Err(Failure::GaveUp(reason)));
                wanted = 1;
            }
            Event::Panicked(panic) => resume_unwind(panic),
        }
    }
    let taken = |slot: &Mutex<Option<_>>| lock(slot).take();
    let missing = || Err(Failure::Thread(refused.clone()));
    let results = batch.results.iter();
    results
        .map(|slot| taken(slot).unwrap_or_else(missing))
        .collect()
}

/// Items that workers take, one after the other, until there are no more.
struct Batch<T, F> {
    job: F,
    next: AtomicUsize,
    /// A worker that LLVM keeps has a reference to the batch for good, so that results are taken out and not moved.
    results: Vec<Mutex<Option<Result<T, Failure>>>>,
}

impl<T, F> Batch<T, F> {
    fn set(&self, index: usize, result: Result<T, Failure>) {
        *lock(&self.results[index]) = Some(result);
    }

    fn take(&self) -> Option<usize> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        (index < self.results.len()).then_some(index)
    }
}

/// Why a worker does not work on a batch any more.
enum Event {
    Done(Worker),
    /// At this item; the thread is lost.
    GaveUp(usize, String),
    /// The thread has ended.
    Panicked(Box<dyn Any + Send>),
}

type Job = Box<dyn FnOnce(&mut Backends) + Send>;

/// A thread that does one job after the other, until this is dropped.
struct Worker(Sender<Job>);

impl Worker {
    /// One that is idle, or a new one.
    fn take() -> io::Result<Self> {
        if let Some(worker) = idle().workers.pop() {
            return Ok(worker);
        }
        let (jobs, received) = mpsc::channel::<Job>();
        let work = move || {
            let mut backends = Backends::default();
            while let Some(job) = wait(&received, BETWEEN_JOBS) {
                job(&mut backends);
            }
        };
        thread::Builder::new()
            .name("farcall-compile".to_owned())
            .stack_size(STACK)
            .spawn(work)?;
        Ok(Self(jobs))
    }

    fn lay_back(self) {
        let mut idle = idle();
        if idle.workers.len() < n_cores() {
            idle.workers.push(self);
        }
    }

    /// Has the worker take items of the batch until there are no more.
    fn start<T, F>(self, batch: &Arc<Batch<T, F>>, events: &Sender<Event>)
    where
        T: Send + 'static,
        F: Fn(usize, &mut Backends) -> T + Send + Sync + 'static,
    {
        let dispatch = tracing::dispatcher::get_default(Clone::clone);
        let span = tracing::Span::current();
        let work = {
            let (batch, events) = (Arc::clone(batch), events.clone());
            move |backends: &mut Backends| {
                while let Some(index) = batch.take() {
                    let in_llvm = exit::enter();
                    // A receiver that is gone means that no one waits for the outcome.
                    let gave_up = events.clone();
                    llvm::on_give_up(Box::new(move |reason| {
                        exit::leave();
                        drop(gave_up.send(Event::GaveUp(index, reason)));
                    }));
                    batch.set(index, Ok((batch.job)(index, backends)));
                    drop(in_llvm);
                }
            }
        };
        let events = events.clone();
        let jobs = self.0.clone();
        let job = move |backends: &mut Backends| {
            // A panic leaves backends in some state: they go, the worker stays.
            let watched = AssertUnwindSafe(|| span.in_scope(|| work(backends)));
            let event = match tracing::dispatcher::with_default(&dispatch, || catch_unwind(watched))
            {
                Ok(()) => Event::Done(self),
                Err(panic) => {
                    *backends = Backends::default();
                    Event::Panicked(panic)
                }
            };
            drop(events.send(event));
        };
        drop(jobs.send(Box::new(job)));
    }
}

/// Workers without a job.
struct Idle {
    /// A forked child has none of its parent's threads.
    process: u32,
    workers: Vec<Worker>,
}

static IDLE: Mutex<Idle> = Mutex::new(Idle {
    process: 0,
    workers: Vec::new(),
});

fn idle() -> MutexGuard<'static, Idle> {
    let mut idle = lock(&IDLE);
    let process = process::id();
    if idle.process != process {
        *idle = Idle {
            process,
            workers: Vec::new(),
        };
    }
    idle
}

/// Waits for what is sent: awake for a time, while nobody else wants the core, then asleep.
fn wait<T>(receiver: &Receiver<T>, awake: Duration) -> Option<T> {
    let start = Instant::now();
    while start.elapsed() < awake {
        if let Ok(received) = receiver.try_recv() {
            return Some(received);
        }
        thread::yield_now();
    }
    receiver.recv().ok()
}

/// As [`wait`], where there is a core for it: a worker needs one for each caller that is awake.
fn wait_for_one<T>(receiver: &Receiver<T>) -> Option<T> {
    static AWAKE: AtomicUsize = AtomicUsize::new(0);
    let n_awake = AWAKE.fetch_add(1, Ordering::Relaxed);
    let has_core = 2 * (n_awake + 1) <= n_cores();
    let received = wait(receiver, if has_core { SMALL_JOB } else { Duration::ZERO });
    AWAKE.fetch_sub(1, Ordering::Relaxed);
    received
}

/// Asked once: the system's answer takes longer than compiling a small module.
fn n_cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| thread::available_parallelism().map_or(1, usize::from))
}

/// What is locked is whole also after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
