//! What eager, on lookup, on first call and in tiers cost, for one module: the table of `docs/when.md`.
//!
//! ```text
//! cargo run --release --example when
//! ```

#![allow(unsafe_code, reason = "what was compiled is called")]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use farcall::session::Options;
use farcall::{Session, When};

/// How many functions the module has.
const FUNCTIONS: usize = 1000;
/// How many of them are called.
const CALLED: usize = 10;
const ROUNDS: usize = 7;

type Step = unsafe extern "C" fn(i64) -> i64;

/// What one way takes.
#[derive(Clone, Copy)]
struct Times {
    add: Duration,
    /// From before adding to the first function's result.
    first: Duration,
    /// The same, to the last of the ten functions' results.
    ten: Duration,
    /// A call of a function that was called before.
    call: Duration,
}

fn main() -> anyhow::Result<()> {
    let module = module();
    let ways = [
        ("eager", Options::new(When::Eager)),
        ("on lookup", Options::new(When::OnLookup)),
        ("on first call", Options::new(When::OnFirstCall)),
        (
            "on first call, in tiers",
            Options::new(When::OnFirstCall).tier_up(),
        ),
        ("eager, in tiers", Options::new(When::Eager).tier_up()),
    ];
    // LLVM's set-up is everyone's.
    measure("warm", &module, &Options::new(When::Eager))?;
    let mut all = vec![Vec::new(); ways.len()];
    for round in 0..ROUNDS {
        for ((name, options), times) in ways.iter().zip(&mut all) {
            times.push(measure(&format!("{name} {round}"), &module, options)?);
        }
    }
    println!(
        "| {FUNCTIONS} functions, {CALLED} of them called | `add` | first result | all results | a call |"
    );
    println!("|---|---|---|---|---|");
    for ((name, _), times) in ways.iter().zip(&all) {
        let median = |pick: fn(&Times) -> Duration| {
            let mut values: Vec<_> = times.iter().map(pick).collect();
            values.sort();
            values[values.len() / 2]
        };
        let [add, first, ten] = [
            |it: &Times| it.add,
            |it: &Times| it.first,
            |it: &Times| it.ten,
        ]
        .map(|pick| format!("{:.1} ms", median(pick).as_secs_f64() * 1e3));
        let call = median(|it| it.call).as_secs_f64() * 1e9;
        println!("| {name} | {add} | {first} | {ten} | {call:.1} ns |");
    }
    Ok(())
}

fn measure(name: &str, module: &[u8], options: &Options) -> anyhow::Result<Times> {
    // SAFETY: the module is this program's own.
    let session = unsafe { Session::new() };
    let start = Instant::now();
    session.add(name, module, options.clone())?;
    let add = start.elapsed();
    let mut first = None;
    let mut functions = Vec::new();
    for nth in 0..CALLED {
        let function = session.lookup::<Step>(&format!("step{}", nth * (FUNCTIONS / CALLED)))?;
        // SAFETY: the module's functions want nothing of their callers.
        unsafe { function(1) };
        first.get_or_insert_with(|| start.elapsed());
        functions.push(function);
    }
    let ten = start.elapsed();
    if name.contains("tiers") {
        // Let the better code come.
        std::thread::sleep(Duration::from_millis(1500));
    }
    const CALLS: u32 = 1_000_000;
    let calls = Instant::now();
    let mut value = 1;
    for _ in 0..CALLS {
        // SAFETY: as above.
        value = unsafe { functions[0](value) };
    }
    std::hint::black_box(value);
    let call = calls.elapsed() / CALLS;
    Ok(Times {
        add,
        first: first.unwrap_or(ten),
        ten,
        call,
    })
}

/// Functions of a loop and a few branches each.
fn module() -> Vec<u8> {
    let mut text = String::new();
    for nth in 0..FUNCTIONS {
        let _ = write!(
            text,
            "define i64 @step{nth}(i64 %n) {{
             entry:
               br label %loop
             loop:
               %i = phi i64 [ 0, %entry ], [ %next, %more ]
               %v = phi i64 [ %n, %entry ], [ %mixed, %more ]
               %shifted = lshr i64 %v, 7
               %xored = xor i64 %v, %shifted
               %odd = and i64 %xored, 1
               %is_odd = icmp eq i64 %odd, 1
               br i1 %is_odd, label %up, label %more
             up:
               %times = mul i64 %xored, {factor}
               br label %more
             more:
               %mixed = phi i64 [ %xored, %loop ], [ %times, %up ]
               %next = add i64 %i, 1
               %end = icmp eq i64 %next, 4
               br i1 %end, label %done, label %loop
             done:
               ret i64 %mixed
             }}\n",
            factor = 2 * nth + 3
        );
    }
    text.into_bytes()
}
