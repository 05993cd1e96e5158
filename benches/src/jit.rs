//! The side of the bench of compiling that compiles: requests in, times out.

use std::fs;
use std::io::{self, BufRead as _, Write as _};
use std::path::Path;
use std::time::Instant;

use crate::{Subject, open_global};

/// What is made of IR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Code without optimization, `O0`.
    Quick,
    /// Code at `O2`, of IR as it is: no pass over IR.
    Generate,
    /// Code at `O2`, of IR that the passes of `O2` have been over.
    Optimize,
}

impl Work {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Quick, Self::Generate, Self::Optimize];

    /// Its name in arguments.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Generate => "generate",
            Self::Optimize => "optimize",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|each| each.name() == name)
    }

    /// The level of the code generator, 0 to 3.
    #[must_use]
    pub fn level(self) -> u8 {
        if self == Self::Quick { 0 } else { 2 }
    }
}

/// A way from IR to functions that can be called: one implementation for each.
pub trait Jit {
    /// Makes functions of these names, one of each module of bitcode, callable. Their addresses.
    fn callable(&mut self, modules: &[&[u8]], names: &[String]) -> Vec<u64>;

    /// Removes all that was made callable.
    fn clear(&mut self);

    /// Makes what its linker or loader takes of a module of bitcode, on one thread; how many bytes that is.
    fn image(&mut self, ir: &[u8]) -> usize;
}

/// How many tiny modules there are.
pub const N_TINY: usize = 1000;

/// The name of the function of a tiny module.
pub(crate) fn tiny_name(number: usize) -> String {
    format!("add{number}")
}

/// A tiny module, as text without triple and layout.
#[must_use]
pub fn tiny_ir(number: usize) -> String {
    let name = tiny_name(number);
    format!(
        "define i32 @{name}(i32 %a, i32 %b) {{\n  %ab = add i32 %a, %b\n  %sum = add i32 %ab, {number}\n  ret i32 %sum\n}}\n"
    )
}

/// The file of a tiny module in the folder that contenders are given.
#[must_use]
pub fn tiny_file(number: usize) -> String {
    format!("tiny{number}.bc")
}

/// Answers requests until there are no more, with numbers: times in nanoseconds. All are after the first of its kind. The requests:
///
/// - `tiny N`: makes N tiny modules callable, one after the other; the time of each
/// - `thousand`: makes all tiny modules callable; time and processor time
/// - `large FILE`: makes SQLite, which is in that file, callable; time and processor time
/// - `image FILE`: makes an image or object of what is in that file; time and processor time
///
/// # Panics
///
/// When what is made does not do what it must, or the other side is gone.
pub fn serve_jit<J: Jit>(mut jit: J, folder: &Path) {
    open_global(Subject::Sqlite.libraries());
    let read = |number| fs::read(folder.join(tiny_file(number))).expect("the bench made it");
    let tiny: Vec<Vec<u8>> = (0..N_TINY).map(read).collect();
    let names: Vec<String> = (0..N_TINY).map(tiny_name).collect();
    for line in io::stdin().lock().lines() {
        let line = line.expect("requests come");
        let (request, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let numbers = match request {
            "tiny" => one_by_one(&mut jit, &tiny, &names, rest.parse().expect("a number")),
            "thousand" => {
                let tiny: Vec<&[u8]> = tiny.iter().map(Vec::as_slice).collect();
                let (numbers, addresses) = timed(|| jit.callable(&tiny, &names));
                for (number, address) in addresses.into_iter().enumerate() {
                    check_tiny(number, address);
                }
                jit.clear();
                numbers
            }
            "large" => {
                let ir = fs::read(rest).expect("the bench made it");
                let name = Subject::Sqlite.entry().to_str().expect("it is ASCII");
                let names = [name.to_owned()];
                let (numbers, addresses) = timed(|| jit.callable(&[&ir], &names));
                // SAFETY: the function has this type.
                unsafe { Subject::Sqlite.call(function(addresses[0])) };
                jit.clear();
                numbers
            }
            "image" => {
                let ir = fs::read(rest).expect("the bench made it");
                let (numbers, size) = timed(|| jit.image(&ir));
                assert_ne!(size, 0);
                numbers
            }
            _ => panic!("{line}: no such request"),
        };
        let numbers: Vec<String> = numbers.iter().map(f64::to_string).collect();
        let mut out = io::stdout().lock();
        let written = writeln!(out, "ok {}", numbers.join(" "));
        written.and_then(|()| out.flush()).expect("answers go");
    }
}

fn one_by_one<J: Jit>(jit: &mut J, tiny: &[Vec<u8>], names: &[String], count: usize) -> Vec<f64> {
    let mut times = Vec::with_capacity(count);
    // Another process ran before this one: the first are not timed.
    let warming = 5.min(count);
    for number in 0..warming + count {
        let start = Instant::now();
        let name = std::slice::from_ref(&names[number]);
        let addresses = jit.callable(&[&tiny[number]], name);
        let time = nanoseconds(start);
        check_tiny(number, addresses[0]);
        if number >= warming {
            times.push(time);
        }
    }
    jit.clear();
    times
}

/// The time and the processor time that something takes.
fn timed<T>(work: impl FnOnce() -> T) -> (Vec<f64>, T) {
    let processor = processor_time();
    let start = Instant::now();
    let result = work();
    let time = nanoseconds(start);
    (vec![time, processor_time() - processor], result)
}

/// What all threads of this process have used.
fn processor_time() -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: there is room for the result.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn check_tiny(number: usize, address: u64) {
    let address = usize::try_from(address).expect("an address of this process");
    let pointer = std::ptr::with_exposed_provenance::<()>(address);
    // SAFETY: the functions of tiny modules have this type.
    let add =
        unsafe { std::mem::transmute::<*const (), unsafe extern "C" fn(i32, i32) -> i32>(pointer) };
    // SAFETY: they have no other contract.
    let sum = unsafe { add(40, 2) };
    assert_eq!(usize::try_from(sum), Ok(42 + number));
}

fn function(address: u64) -> crate::Entry {
    let address = usize::try_from(address).expect("an address of this process");
    let pointer = std::ptr::with_exposed_provenance::<()>(address);
    // SAFETY: callers know that it is of this type.
    unsafe { std::mem::transmute::<*const (), crate::Entry>(pointer) }
}

fn nanoseconds(start: Instant) -> f64 {
    start.elapsed().as_nanos() as f64
}
