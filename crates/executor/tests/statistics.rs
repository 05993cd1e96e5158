//! What an executor counts, where calls run in its own process and where they run in workers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use common::image;
use common::isolated::{deadline, isolated, isolation};
use farcall_executor::{
    Argument, Connection, ErrorKind, Executor, Keep, Options, Order, Service, Statistics,
};
use farcall_image::Image;
use farcall_testkit::require_tools;

const CODE: &str = "
    #include <unistd.h>
    int quick(int n) { return n + 1; }
    int slow(void) { usleep(20000); return 1; }
    int crash(void) { return *(volatile int *)0; }
";

/// A controller over a socket, so that several of its calls can run at the same time.
fn controller(service: &Service) -> Executor {
    let (own, theirs) = UnixStream::pair().unwrap();
    let service = service.clone();
    thread::spawn(move || service.serve(Connection::unix(theirs)));
    Executor::speak(Connection::unix(own)).unwrap()
}

/// Loads, calls and fails, and says what was counted meanwhile.
fn counted(executor: &Executor) -> (Statistics, Statistics) {
    let bytes = image(CODE);
    let image = Image::parse(&bytes).unwrap();
    let before = executor.statistics().unwrap();
    let digest = executor.load(&image).unwrap().digest;
    executor.load(&image).unwrap();
    let quick = executor.function(digest, "quick", Some("i32 (i32)"));
    let quick = quick.unwrap();
    for n in 0..100 {
        quick.call(&mut [Argument::Int(n)]).unwrap();
    }
    let slow = executor.function(digest, "slow", Some("i32 ()")).unwrap();
    let running: Vec<_> = (0..3)
        .map(|_| slow.start_in(Order::Concurrent, &[]).unwrap())
        .collect();
    for call in running {
        call.wait().unwrap();
    }
    executor
        .call(digest, "quick", Some("i32 (i32)"), &mut [Argument::Int(7)])
        .unwrap();
    // Each fails in another place: there is no such module, no such function, and it is no image.
    let other = farcall_image::Digest::from_bytes([7; 32]);
    executor.call(other, "f", None, &mut []).unwrap_err();
    executor.lookup(digest, "nothing").unwrap_err();
    (before, executor.statistics().unwrap())
}

fn check(executor: &Executor) {
    let (before, after) = counted(executor);
    assert_eq!(after.loads - before.loads, 1);
    assert_eq!(after.hits - before.hits, 1);
    assert_eq!(after.failed_loads, before.failed_loads);
    assert_eq!(after.calls - before.calls, 104);
    assert_eq!(after.running, 0);
    assert_eq!(after.failures - before.failures, 2);
    let calling = after.calling.since(&before.calling);
    assert_eq!(calling.count(), 104, "{calling:?}");
    // Those that slept for 20 milliseconds are in the bucket up to 33, or later; each has its own time.
    let late: u64 = calling.buckets[15..].iter().sum();
    assert!(late >= 3, "{calling:?}");
    assert!(calling.sum >= 60_000_000, "{calling:?}");
    let loading = after.loading.since(&before.loading);
    assert_eq!(loading.count(), 1);
    assert!(loading.sum > 0);
    // A call has 4 bytes of length, an id, and more; and the image was sent once.
    assert!(after.received - before.received > 104 * 6 + after.image_bytes);
    assert!(after.sent - before.sent > 104 * 6);
    let modules = executor.list().unwrap();
    assert_eq!((modules[0].calls, modules[0].crashes), (104, 0));
    assert_eq!(modules[0].signer, None, "nobody has verified who");
    assert!(!modules[0].is_quarantined);
}

#[test]
fn calls_in_the_process_are_counted() {
    require_tools!("clang-22");
    let service = Service::default();
    let executor = controller(&service);
    check(&executor);
    let statistics = executor.statistics().unwrap();
    assert_eq!((statistics.workers, statistics.workers_started), (0, 0));
    // What a connection has carried stays counted when it has ended.
    drop(executor);
    let other = controller(&service);
    let now = other.statistics().unwrap();
    assert!(now.received >= statistics.received && now.sent >= statistics.sent);
}

#[test]
fn calls_in_workers_are_counted() {
    require_tools!("clang-22");
    let mut isolation = isolation(Keep::Session);
    isolation.quarantine = 2;
    isolation.deadline = Some(Duration::from_secs(60));
    let service = isolated(isolation);
    let executor = controller(&service);
    check(&executor);
    let digest = executor.list().unwrap()[0].digest;
    let before = executor.statistics().unwrap();
    assert!(before.workers >= 1 && before.workers_started >= before.workers);
    let crash = || executor.call(digest, "crash", Some("i32 ()"), &mut []);
    for _ in 0..2 {
        common::assert_fails(crash(), ErrorKind::Crashed, "null pointer");
    }
    common::assert_fails(crash(), ErrorKind::Quarantined, "crashed twice");
    let after = executor.statistics().unwrap();
    assert_eq!((after.crashes, after.late), (2, 0));
    assert_eq!((after.quarantined, after.refused), (1, 0));
    assert_eq!(after.failures - before.failures, 3);
    // The third was not begun.
    assert_eq!(after.calls - before.calls, 2);
    assert_eq!(after.running, 0);
    // Others take the places of those that have ended, when there is time.
    common::watch::until("a worker", || {
        executor.statistics().unwrap().workers_started > before.workers_started
    });
    let modules = executor.list().unwrap();
    assert_eq!((modules[0].crashes, modules[0].is_quarantined), (2, true));
    executor.pardon(digest).unwrap();
    let modules = executor.list().unwrap();
    assert_eq!((modules[0].crashes, modules[0].is_quarantined), (0, false));
}

#[test]
fn what_took_too_long_has_not_crashed() {
    require_tools!("clang-22");
    let mut isolation = isolation(Keep::Session);
    isolation.quarantine = 3;
    isolation.deadline = common::isolated::deadline();
    let service = isolated(isolation);
    let executor = controller(&service);
    let source = "int waits(void) { for (volatile int i = 0;; i++); } int crash(void) { return *(volatile int *)8; }";
    let digest = common::isolated::load(&executor, source);
    let call = |function| executor.call(digest, function, Some("i32 ()"), &mut []);
    for _ in 0..2 {
        common::assert_fails(call("waits"), ErrorKind::TimedOut, "took longer");
    }
    common::assert_fails(call("crash"), ErrorKind::Crashed, "null pointer");
    // The executor's counts and the module's are the same ones.
    let now = executor.statistics().unwrap();
    assert_eq!((now.crashes, now.late), (1, 2));
    let modules = executor.list().unwrap();
    assert_eq!((modules[0].crashes, modules[0].late), (1, 2));
    assert!(modules[0].is_quarantined);
    let said = "it has crashed once and was ended twice for taking too long";
    common::assert_fails(call("crash"), ErrorKind::Quarantined, said);
}

#[test]
fn calls_that_run_are_known() {
    require_tools!("clang-22");
    let service = Service::default();
    let executor = controller(&service);
    let bytes = image("#include <unistd.h>\nint nap(void) { usleep(300000); return 1; }");
    let digest = executor.load(&Image::parse(&bytes).unwrap()).unwrap();
    let nap = executor
        .function(digest.digest, "nap", Some("i32 ()"))
        .unwrap();
    let naps: Vec<_> = (0..4)
        .map(|_| nap.start_in(Order::Concurrent, &[]).unwrap())
        .collect();
    let watching = controller(&service);
    while watching.statistics().unwrap().running < 4 {
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(watching.statistics().unwrap().calling.count(), 0);
    for nap in naps {
        nap.wait().unwrap();
    }
    let statistics = watching.statistics().unwrap();
    assert_eq!((statistics.running, statistics.calling.count()), (0, 4));
}

#[test]
fn connections_that_are_not_served_are_counted() {
    let options = Options {
        connection_limit: 1,
        ..Options::default()
    };
    let service = Service::new(options);
    let executor = controller(&service);
    let (own, theirs) = UnixStream::pair().unwrap();
    // Nobody is there any more who could be told.
    drop(own);
    service.serve(Connection::unix(theirs)).unwrap_err();
    let statistics = executor.statistics().unwrap();
    assert_eq!((statistics.not_served, statistics.connected), (1, 1));
}

#[test]
fn a_worker_that_ends_counts_once_however_many_calls_it_had() {
    require_tools!("clang-22");
    let mut isolation = isolation(Keep::Session);
    isolation.deadline = deadline();
    let service = isolated(isolation);
    let executor = controller(&service);
    let bytes = image("#include <unistd.h>\nint nap(void) { pause(); return 1; }");
    let loaded = executor.load(&Image::parse(&bytes).unwrap()).unwrap();
    let nap = executor
        .function(loaded.digest, "nap", Some("i32 ()"))
        .unwrap();
    let naps: Vec<_> = (0..3)
        .map(|_| nap.start_in(Order::Concurrent, &[]).unwrap())
        .collect();
    for nap in naps {
        nap.wait().unwrap_err();
    }
    let statistics = executor.statistics().unwrap();
    assert_eq!((statistics.late, statistics.crashes), (1, 0));
    assert_eq!((statistics.failures, statistics.running), (3, 0));
}
