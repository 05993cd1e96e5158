//! A contender's side of the bench: requests in, times out.

use std::hint::black_box;
use std::io::{self, BufRead as _, Write as _};
use std::time::Instant;

use crate::{Contender, Memory, Subject, open_global};

/// Answers requests until there are no more. An answer is `ok` and numbers, or `error` and a message.
///
/// Times are in nanoseconds. The requests:
///
/// - `first`: loads, for the first time in this process; the time
/// - `cycles N`: N times loads, calls and unloads; 2 N times: to load, to unload
/// - `hold N`: loads N modules and keeps them; the time of all
/// - `release`: unloads all that is kept; the time of all
/// - `lookups N`: looks up the entry of a module that is kept N times; the time of one
/// - `calls N`: calls the entry of a module that is kept N times; the time of one
/// - `memory`: RSS and PSS in KiB, and mappings
///
/// # Panics
///
/// When a module does not do what it must, or the other side is gone.
pub fn serve<C: Contender>(mut contender: C, subject: Subject) {
    open_global(subject.libraries());
    let mut kept = Vec::new();
    for line in io::stdin().lock().lines() {
        let line = line.expect("requests come");
        let mut words = line.split(' ');
        let request = words.next().unwrap_or_default();
        let count = words.next().and_then(|word| word.parse().ok()).unwrap_or(1);
        let answer = match request {
            "first" => first(&mut contender, subject),
            "cycles" => cycles(&mut contender, subject, count),
            "hold" => hold(&mut contender, subject, count, &mut kept),
            "release" => Ok(vec![release(&mut contender, &mut kept)]),
            "lookups" => Ok(vec![lookups(&contender, subject, count, &kept)]),
            "calls" => Ok(vec![calls(&contender, subject, count, &kept)]),
            "memory" => {
                let memory = Memory::now();
                Ok(vec![memory.rss, memory.pss, memory.mappings])
            }
            _ => Err(format!("{line}: no such request")),
        };
        let mut out = io::stdout().lock();
        let written = match answer {
            Ok(numbers) => {
                let numbers: Vec<String> = numbers.iter().map(f64::to_string).collect();
                writeln!(out, "ok {}", numbers.join(" "))
            }
            Err(message) => writeln!(out, "error {}", message.replace('\n', " ")),
        };
        written.and_then(|()| out.flush()).expect("answers go");
    }
}

fn first<C: Contender>(contender: &mut C, subject: Subject) -> Result<Vec<f64>, String> {
    contender.prepare(1);
    let start = Instant::now();
    let module = contender.load()?;
    black_box(contender.entry(&module, subject.entry()));
    let time = nanoseconds(start);
    check(contender, subject, &module);
    contender.unload(module);
    Ok(vec![time])
}

fn cycles<C: Contender>(
    contender: &mut C,
    subject: Subject,
    count: usize,
) -> Result<Vec<f64>, String> {
    contender.prepare(1);
    // Another process ran before this one: one cycle is not timed, in which all is checked.
    let module = contender.load()?;
    check(contender, subject, &module);
    contender.unload(module);
    let mut times = Vec::with_capacity(2 * count);
    for _ in 0..count {
        let start = Instant::now();
        let module = contender.load()?;
        let entry = black_box(contender.entry(&module, subject.entry()));
        times.push(nanoseconds(start));
        // SAFETY: that is what was looked up.
        unsafe { subject.call(entry) };
        let start = Instant::now();
        contender.unload(module);
        times.push(nanoseconds(start));
    }
    Ok(times)
}

fn hold<C: Contender>(
    contender: &mut C,
    subject: Subject,
    count: usize,
    kept: &mut Vec<C::Module>,
) -> Result<Vec<f64>, String> {
    contender.prepare(count);
    kept.reserve(count);
    let start = Instant::now();
    for _ in 0..count {
        let module = contender.load();
        let module = module.map_err(|error| format!("after {} modules: {error}", kept.len()))?;
        let entry = contender.entry(&module, subject.entry());
        // SAFETY: that is what was looked up.
        unsafe { subject.call(entry) };
        kept.push(module);
    }
    let time = nanoseconds(start);
    if let Some(module) = kept.last() {
        check(contender, subject, module);
    }
    Ok(vec![time])
}

fn release<C: Contender>(contender: &mut C, kept: &mut Vec<C::Module>) -> f64 {
    let start = Instant::now();
    for module in kept.drain(..) {
        contender.unload(module);
    }
    let time = nanoseconds(start);
    *kept = Vec::new();
    time
}

fn lookups<C: Contender>(contender: &C, subject: Subject, count: usize, kept: &[C::Module]) -> f64 {
    let module = kept.last().expect("a module is kept");
    let start = Instant::now();
    for _ in 0..count {
        black_box(contender.entry(black_box(module), black_box(subject.entry())));
    }
    nanoseconds(start) / count as f64
}

fn calls<C: Contender>(contender: &C, subject: Subject, count: usize, kept: &[C::Module]) -> f64 {
    let module = kept.last().expect("a module is kept");
    let entry = contender.entry(module, subject.entry());
    let start = Instant::now();
    for _ in 0..count {
        // SAFETY: that is what was looked up.
        unsafe { subject.call(entry) };
    }
    nanoseconds(start) / count as f64
}

fn check<C: Contender>(contender: &C, subject: Subject, module: &C::Module) {
    // SAFETY: the module is the subject's, and loaded.
    unsafe { subject.check(|name| contender.entry(module, name)) };
}

fn nanoseconds(start: Instant) -> f64 {
    start.elapsed().as_nanos() as f64
}
