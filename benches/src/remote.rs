//! A controller's side of the bench of executors: requests in, times out.

use std::io::{self, BufRead as _, Write as _};
use std::time::Instant;

use crate::{Memory, Subject};

/// A way to have code run in another process: one implementation for each. What goes wrong ends the process.
pub trait Remote {
    /// From bytes in this process to what the entry returned in the other: loads, looks up and calls.
    ///
    /// Where it is loaded already, whatever the contender does then.
    fn load_and_call(&mut self) -> i32;

    /// Calls the entry of what is loaded.
    fn call(&mut self) -> i32;

    /// Calls it so many times, with up to 256 calls on their way at once where there is a way to do that, and gives each result to `check`.
    fn call_many(&mut self, count: usize, check: impl Fn(i32)) {
        for _ in 0..count {
            check(self.call());
        }
    }

    /// Gives back there all that loading took.
    fn unload(&mut self);

    /// The other process.
    fn executor(&self) -> u32;
}

/// Answers requests until there are no more, with numbers. Times are in nanoseconds. The requests:
///
/// - `loads N`: loads and calls N times, and unloads each time, which is not timed; N times
/// - `again N`: loads and calls N times what is loaded; N times
/// - `calls N`: calls N times what is loaded, one after the other; N times
/// - `many N`: calls N times what is loaded, many on their way at once; the time of all divided by N
/// - `memory`: RSS and PSS in KiB, and mappings
/// - `executor`: the same of the other process
///
/// # Panics
///
/// When the code does not do what it must, or the other side is gone.
pub fn serve_remote<R: Remote>(mut remote: R, subject: Subject) {
    for line in io::stdin().lock().lines() {
        let line = line.expect("requests come");
        let (request, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let count = || rest.parse().expect("a number");
        let numbers = match request {
            "loads" => loads(&mut remote, subject, count()),
            "again" => again(&mut remote, subject, count()),
            "calls" => calls(&mut remote, subject, count()),
            "many" => many(&mut remote, subject, count()),
            "memory" => memory(Memory::now()),
            "executor" => memory(Memory::of(remote.executor())),
            _ => panic!("{line}: no such request"),
        };
        let numbers: Vec<String> = numbers.iter().map(f64::to_string).collect();
        let mut out = io::stdout().lock();
        let written = writeln!(out, "ok {}", numbers.join(" "));
        written.and_then(|()| out.flush()).expect("answers go");
    }
}

fn loads<R: Remote>(remote: &mut R, subject: Subject, count: usize) -> Vec<f64> {
    // Other processes ran before these two: the first is not timed.
    timed(subject, || remote.load_and_call());
    remote.unload();
    let load = |_| {
        let time = timed(subject, || remote.load_and_call());
        remote.unload();
        time
    };
    (0..count).map(load).collect()
}

fn again<R: Remote>(remote: &mut R, subject: Subject, count: usize) -> Vec<f64> {
    timed(subject, || remote.load_and_call());
    let times = (0..count)
        .map(|_| timed(subject, || remote.load_and_call()))
        .collect();
    remote.unload();
    times
}

fn calls<R: Remote>(remote: &mut R, subject: Subject, count: usize) -> Vec<f64> {
    timed(subject, || remote.load_and_call());
    let times = (0..count).map(|_| timed(subject, || remote.call()));
    let times = times.collect();
    remote.unload();
    times
}

fn many<R: Remote>(remote: &mut R, subject: Subject, count: usize) -> Vec<f64> {
    timed(subject, || remote.load_and_call());
    // What a first call sets up is so afterwards.
    timed(subject, || remote.call());
    let start = Instant::now();
    remote.call_many(count, |result| subject.check_result(result));
    let time = start.elapsed().as_nanos() as f64 / count as f64;
    remote.unload();
    vec![time]
}

/// The time until there is a result.
fn timed(subject: Subject, run: impl FnOnce() -> i32) -> f64 {
    let start = Instant::now();
    let result = run();
    let time = start.elapsed().as_nanos() as f64;
    subject.check_result(result);
    time
}

fn memory(memory: Memory) -> Vec<f64> {
    vec![memory.rss, memory.pss, memory.mappings]
}
