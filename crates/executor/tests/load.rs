//! Many connections that call at the same time: every call is made once and has its own result, and nothing grows.
//!
//! `FARCALL_LOAD_CALLS` is the number of calls: a million unless it says otherwise, and fewer where the machine is emulated.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::env;
use std::sync::Barrier;
use std::thread;

use common::watch::until;
use common::{Process, image, int, start_in_process};
use farcall_executor::{Argument, Order, RemoteFunction};
use farcall_image::{Digest, Image};
use farcall_testkit::{require_tools, tools};

const N_CONNECTIONS: u64 = 64;

/// Calls that one connection has on their way at once.
const N_IN_FLIGHT: u64 = 50;

/// The function counts too, so that a call which is made twice is seen.
const SOURCE: &str = "
    static long made;
    long mix(long a, long b) {
        __atomic_add_fetch(&made, 1, __ATOMIC_RELAXED);
        return (a << 20 ^ b) * 31 + 7;
    }
    long count(void) { return __atomic_load_n(&made, __ATOMIC_RELAXED); }
    int sum(const unsigned char *bytes, long n) { int s = 0; while (n--) s += *bytes++; return s; }
";

fn mixed(a: u64, b: u64) -> u64 {
    (a << 20 ^ b).wrapping_mul(31).wrapping_add(7)
}

fn n_calls() -> u64 {
    let wanted = env::var("FARCALL_LOAD_CALLS").ok();
    let usual = || u64::try_from(tools::rounds(1_000_000)).unwrap();
    wanted.map_or_else(usual, |wanted| wanted.parse().unwrap())
}

/// Makes these calls of a connection, in turn in each way in which calls can be made, and gives how many it made.
fn call(mix: &RemoteFunction, connection: u64, calls: std::ops::Range<u64>) -> u64 {
    let arguments = |n| [Argument::Int(connection), Argument::Int(n)];
    let result = |n| int(64, mixed(connection, n));
    let mut n = calls.start;
    let mut made = 0;
    while n < calls.end {
        let end = (n + N_IN_FLIGHT).min(calls.end);
        let batch = n..end;
        match n / N_IN_FLIGHT % 3 {
            0 => {
                for n in batch {
                    assert_eq!(mix.call(&mut arguments(n)).unwrap(), result(n));
                    made += 1;
                }
            }
            way => {
                let order = [Order::InTurn, Order::Concurrent][usize::from(way == 2)];
                let start = |n| (n, mix.start_in(order, &arguments(n)).unwrap());
                for (n, call) in batch.map(start).collect::<Vec<_>>() {
                    assert_eq!(call.wait().unwrap(), result(n));
                    made += 1;
                }
            }
        }
        n = end;
    }
    made
}

/// Each connection makes this many calls. Gives what the executor holds in memory then, in bytes.
fn round(process: &Process, module: Digest, calls: &std::ops::Range<u64>) -> usize {
    let begin = Barrier::new(usize::try_from(N_CONNECTIONS).unwrap());
    let made: u64 = thread::scope(|scope| {
        let threads: Vec<_> = (0..N_CONNECTIONS)
            .map(|connection| {
                let begin = &begin;
                scope.spawn(move || {
                    let executor = process.connect();
                    let signature = Some("i64 (i64, i64)");
                    let mix = executor.function(module, "mix", signature).unwrap();
                    begin.wait();
                    let made = call(&mix, connection, calls.clone());
                    // And something that is not small.
                    let bytes = vec![1; 100_000];
                    let mut arguments = [Argument::In(&bytes), Argument::Int(100_000)];
                    let sum = executor.call(module, "sum", Some("i32 (ptr, i64)"), &mut arguments);
                    assert_eq!(sum.unwrap(), int(32, 100_000));
                    made
                })
            })
            .collect();
        threads.into_iter().map(|it| it.join().unwrap()).sum()
    });
    assert_eq!(made, N_CONNECTIONS * (calls.end - calls.start));
    until("connections", || process.n_serving() == 1);
    process.resident()
}

#[test]
fn a_million_calls_of_64_connections_are_made_once_each() {
    require_tools!("clang-22");
    let folder = tempfile::tempdir().unwrap();
    let process = start_in_process(&format!("unix:{}", folder.path().join("socket").display()));
    let watching = process.connect();
    let bytes = image(SOURCE);
    let module = watching.load(&Image::parse(&bytes).unwrap()).unwrap();
    let n_descriptors = process.n_descriptors();

    const N_ROUNDS: u64 = 8;
    let each = n_calls().div_ceil(N_CONNECTIONS * N_ROUNDS);
    let rounds: Vec<usize> = (0..N_ROUNDS)
        .map(|nth| round(&process, module.digest, &(nth * each..(nth + 1) * each)))
        .collect();

    let made = each * N_CONNECTIONS * N_ROUNDS;
    let count = watching.call(&module, "count", Some("i64 ()"), &mut []);
    assert_eq!(count.unwrap(), int(64, made));
    let statistics = watching.statistics().unwrap();
    // With those of `sum`, and the one of `count`.
    assert_eq!(statistics.calls, made + N_CONNECTIONS * N_ROUNDS + 1);
    assert_eq!((statistics.running, statistics.failures), (0, 0));
    assert_eq!(statistics.connections, N_CONNECTIONS * N_ROUNDS + 1);
    assert_eq!(statistics.connected, 1);
    assert_eq!(process.n_descriptors(), n_descriptors);
    // Threads and their memory are there after some rounds, and then no more of them.
    let (early, late) = rounds.split_at(rounds.len() / 2);
    let (early, late) = (early.iter().max().unwrap(), late.iter().max().unwrap());
    assert!(late < &(early + (4 << 20)), "{rounds:?}");
}
