//! Processes that are killed in every state, and what is left of them: nothing.

// An emulated executor starts no template, and workers are what is killed here.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::isolated::load;
use common::there::unix;
use common::watch::until;
use common::{Process, descendants, image, int, kill, number, start_with};
use farcall_executor::{Argument, Error, ErrorKind, Executor, Order, Value};
use farcall_image::{Digest, Image};
use farcall_testkit::require_tools;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const SOURCE: &str = r#"
    #define _GNU_SOURCE
    #include <signal.h>
    #include <stdlib.h>
    #include <sys/prctl.h>
    #include <unistd.h>
    int fine(void) { return 7; }
    int waits(void) { for (;;) pause(); }
    int outlives(void) { return prctl(PR_SET_PDEATHSIG, 0) != 0; }
    int bad(int how) {
        switch (how & 3) { case 0: return *(volatile int *)8; case 1: abort(); case 2: exit(3); default: __builtin_trap(); }
    }
    __attribute__((constructor)) static void start(void) { usleep(100); }
    __attribute__((destructor)) static void end(void) { usleep(100); }
"#;

fn start(options: &[&str]) -> (TempDir, Process) {
    let folder = tempfile::tempdir().unwrap();
    let process = start_with(&unix(&folder), options);
    (folder, process)
}

/// A function of the controller's that gives what it is given after a while.
fn define(
    executor: &Executor,
    name: &str,
    after: Duration,
    begun: impl Fn() + Send + Sync + 'static,
) {
    let closure = move |_: &Executor, arguments: &[Value]| {
        begun();
        thread::sleep(after);
        Ok(arguments[0])
    };
    executor
        .define_function(name, "i32 (i32)", closure)
        .unwrap();
}

/// A template's process, once it is there.
fn template(process: &Process) -> u32 {
    let mut found = None;
    until("there is a template", || {
        found = children(process.child.id()).first().copied();
        found.is_some()
    });
    found.unwrap()
}

fn children(process: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{process}/task"))
        .into_iter()
        .flatten();
    let children =
        tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
    let children: String = children.collect();
    children
        .split_whitespace()
        .map(|child| child.parse().unwrap())
        .collect()
}

/// What a call comes to when its process may be killed at any time: the right value, or that it was.
fn is_killed(called: Result<Value, Error>, right: u64) -> bool {
    match called {
        Ok(value) => {
            assert_eq!(value, int(32, right));
            false
        }
        Err(Error::Failed(failure)) => {
            let kinds = [ErrorKind::Crashed, ErrorKind::Memory, ErrorKind::Internal];
            assert!(kinds.contains(&failure.kind), "{failure}");
            true
        }
        Err(other) => panic!("{other}"),
    }
}

/// Calls, loads, unloads and calls back until it is told to stop, whatever is killed meanwhile.
fn works(process: &Process, module: Digest, nth: u64, stop: &AtomicBool) {
    let executor = process.connect();
    define(
        &executor,
        &format!("ask{nth}"),
        Duration::from_millis(1),
        || {},
    );
    let bytes = image(&format!(
        "int ask{nth}(int); int number(void) {{ return {nth}; }} int asks(int x) {{ return ask{nth}(x); }}
         __attribute__((constructor)) static void start(void) {{}}"
    ));
    let own = Image::parse(&bytes).unwrap();
    while !stop.load(Ordering::Relaxed) {
        is_killed(executor.call(module, "fine", Some("i32 ()"), &mut []), 7);
        if executor.load(&own).is_ok() {
            let own = own.digest();
            is_killed(executor.call(own, "number", Some("i32 ()"), &mut []), nth);
            let mut arguments = [Argument::Int(nth)];
            let asked = executor.call(own, "asks", Some("i32 (i32)"), &mut arguments);
            is_killed(asked, nth);
        }
        if executor.list().is_ok() {
            let _ = executor.unload(own.digest());
        }
        let calls: Vec<_> = (0..4)
            .map(|_| {
                executor
                    .start_call(module, "fine", Some("i32 ()"), Order::Concurrent, &[])
                    .unwrap()
            })
            .collect();
        for call in calls {
            is_killed(call.wait(), 7);
        }
    }
    // Nothing stands in the way any more: what was not noticed yet, one call notices.
    let last = || executor.call(module, "fine", Some("i32 ()"), &mut []);
    assert_eq!(last().or_else(|_| last()).unwrap(), int(32, 7));
}

#[test]
fn whichever_process_is_killed_whenever_all_calls_end_and_all_works_again() {
    require_tools!("clang-22");
    for options in ["--workers=session", "--workers=call"] {
        let (_folder, process) = start(&[options]);
        let executor = process.connect();
        let module = load(&executor, SOURCE);
        let stop = AtomicBool::new(false);
        let n_kills = if cfg!(debug_assertions) { 100 } else { 500 };
        thread::scope(|scope| {
            for nth in 0..4 {
                let (process, stop) = (&process, &stop);
                scope.spawn(move || works(process, module, nth, stop));
            }
            let mut seed = 12345_u32;
            for nth in 0..n_kills {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                thread::sleep(Duration::from_micros(u64::from(seed >> 20)));
                let template = template(&process);
                // Workers of all ages: the newest may be in the middle of its start.
                let workers = children(template);
                if nth % 50 == 49 {
                    kill(template);
                } else if !workers.is_empty() {
                    kill(workers[seed as usize / 7 % workers.len()]);
                    kill(workers[workers.len() - 1]);
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
        let last = || executor.call(module, "fine", Some("i32 ()"), &mut []);
        assert_eq!(last().or_else(|_| last()).unwrap(), int(32, 7));
        // What is left: the template, the workers that are ready, and that of this session.
        until("what was killed is gone", || {
            descendants(process.child.id()).len() <= 1 + 2 + 1
        });
    }
}

#[test]
fn nobody_outlives_the_supervisor() {
    require_tools!("clang-22");
    let (_folder, mut process) = start(&["--workers=session"]);
    let idle = process.connect();
    let module = load(&idle, SOURCE);
    assert_eq!(number(&idle, module, "fine"), 7);
    assert_eq!(
        number(&idle, module, "outlives"),
        1,
        "it cannot ask for that"
    );
    let in_a_call = process.connect();
    let call = in_a_call
        .start_call(module, "waits", Some("i32 ()"), Order::InTurn, &[])
        .unwrap();
    let in_a_closure = process.connect();
    let (begun, begins) = std::sync::mpsc::channel();
    let begun = std::sync::Mutex::new(begun);
    let begun = move || begun.lock().unwrap().send(()).unwrap();
    define(&in_a_closure, "ask", Duration::from_millis(100), begun);
    let asks = load(
        &in_a_closure,
        "int ask(int); int asks(void) { return ask(1); }",
    );
    let asking = thread::spawn(move || {
        let asked = in_a_closure.call(asks, "asks", Some("i32 ()"), &mut []);
        asked.is_err()
    });
    begins.recv().unwrap();
    let all = descendants(process.child.id());
    assert!(all.len() > 3, "{all:?}");
    kill(process.child.id());
    process.child.wait().unwrap();
    assert!(call.wait().is_err());
    assert!(asking.join().unwrap());
    until("they are gone", || {
        !all.iter()
            .any(|process| Path::new(&format!("/proc/{process}/exe")).exists())
    });
}

#[test]
fn what_code_starts_where_it_may_ends_with_its_process() {
    require_tools!("clang-22");
    for options in ["--workers=session", "--workers=call"] {
        let (_folder, process) = start(&[options, "--no-sandbox", "--deadline=2"]);
        let executor = process.connect();
        let module = load(
            &executor,
            "#include <signal.h>
             #include <stdlib.h>
             #include <unistd.h>
             int fine(void) { return 7; }
             int begets(void) { for (int i = 0; i < 8; i++) if (fork() == 0) for (;;) pause(); return 8; }
             /* In a group and a session of their own, and nobody's children. */
             int hides(void) { for (int i = 0; i < 8; i++) if (fork() == 0) { setsid(); if (fork()) _exit(0); for (;;) pause(); } return 8; }
             /* Both go on where the call was, and have the same connection. */
             int divides(void) { fork(); return 7; }
             int multiplies(void) { for (int i = 0; i < 7; i++) fork(); for (;;) fork(), pause(); }
             int begets_and_faults(void) { begets(); return *(volatile int *)8; }
             int goes(void) { if (fork() == 0) for (;;) pause(); _exit(2); }",
        );
        let bomb = process.connect();
        let call = bomb
            .start_call(module, "multiplies", Some("i32 ()"), Order::InTurn, &[])
            .unwrap();
        until("it has multiplied", || {
            descendants(process.child.id()).len() > 100
        });
        for function in ["begets", "hides"] {
            let other = process.connect();
            assert_eq!(number(&other, module, function), 8);
        }
        for function in ["begets_and_faults", "goes"] {
            let told = executor.call(module, function, Some("i32 ()"), &mut []);
            assert_eq!(common::failure(told).kind, ErrorKind::Crashed);
        }
        let other = process.connect();
        let _ = other.call(module, "divides", Some("i32 ()"), &mut []);
        drop(other);
        drop((call, bomb));
        let last = || executor.call(module, "fine", Some("i32 ()"), &mut []);
        assert_eq!(last().unwrap(), int(32, 7));
        drop(executor);
        let left = || descendants(process.child.id());
        until("nothing is left", || left().len() <= 1 + 2);
        // And with the supervisor.
        let last = process.connect();
        assert_eq!(number(&last, module, "hides"), 8);
        assert_eq!(number(&last, module, "begets"), 8);
        let all = left();
        // With a process for each call they end with that, maybe by now.
        let are_kept = options == "--workers=session";
        assert!(!are_kept || all.len() > 10, "{all:?}");
        drop(process);
        until("they are gone", || {
            !all.iter()
                .any(|process| Path::new(&format!("/proc/{process}/exe")).exists())
        });
    }
}

#[test]
fn good_calls_among_crashing_ones_are_all_answered() {
    require_tools!("clang-22");
    // All of it in the optimised run.
    let n_good = if cfg!(debug_assertions) {
        5_000
    } else {
        100_000
    };
    let every = 10;
    let (_folder, process) = start(&["--workers=session"]);
    let module = load(&process.connect(), SOURCE);
    let work = |n_good: usize| {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let executor = process.connect();
                    let fine = executor.function(module, "fine", Some("i32 ()")).unwrap();
                    for call in 0..n_good / 4 {
                        assert_eq!(fine.call(&mut []).unwrap(), int(32, 7), "{call}");
                        if call % every == 0 {
                            let mut how = [Argument::Int((call / every) as u64)];
                            let bad = executor.call(module, "bad", Some("i32 (i32)"), &mut how);
                            assert_eq!(common::failure(bad).kind, ErrorKind::Crashed);
                        }
                    }
                });
            }
        });
    };
    let held = || {
        until("the workers of sessions are gone", || {
            descendants(process.child.id()).len() <= 1 + 2
        });
        let template = template(&process);
        (
            process.n_descriptors(),
            process.resident() + resident(template),
        )
    };
    work(n_good / 10);
    let (files, bytes) = held();
    work(n_good);
    let (files_now, bytes_now) = held();
    // A file or two are a worker's that has just been started.
    assert!(
        files_now <= files + 8,
        "{files} files before, {files_now} now"
    );
    assert!(
        bytes_now <= bytes + (4 << 20),
        "{bytes} bytes before, {bytes_now} now"
    );
}

/// What of a process is in memory, in bytes.
fn resident(process: u32) -> usize {
    let statm = fs::read_to_string(format!("/proc/{process}/statm")).unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size()
}

#[test]
fn what_runs_for_nobody_is_ended() {
    require_tools!("clang-22");
    let image = image(SOURCE);
    let image = Image::parse(&image).unwrap();
    for keep in ["session", "call"] {
        let (_folder, process) = start(&["--workers", keep]);
        let other = process.connect();
        let module = other.load(&image).unwrap().digest;
        let executor = process.connect();
        let call = executor.start_call(module, "waits", Some("i32 ()"), Order::InTurn, &[]);
        let running = || other.statistics().unwrap().running;
        until("it runs", || running() == 1);
        // It waits for as long as its controller is there, and no longer.
        drop(call);
        drop(executor);
        until("it has ended", || running() == 0);
        assert_eq!(number(&other, module, "fine"), 7);
        let statistics = other.statistics().unwrap();
        assert_eq!(
            (statistics.crashes, statistics.late),
            (0, 0),
            "it is nobody's fault"
        );
    }
}

#[test]
fn an_executor_whose_template_does_not_answer_stops() {
    require_tools!("clang-22");
    let (_folder, mut process) = start(&["--stop-time", "1"]);
    let executor = process.connect();
    let module = load(&executor, SOURCE);
    let template = Pid::from_raw(template(&process).cast_signed()).unwrap();
    kill_process(template, Signal::STOP).unwrap();
    let image = image("int other(void) { return 1; }");
    let loading = process.connect();
    let loading = thread::spawn(move || loading.load(&Image::parse(&image).unwrap()).map(drop));
    until("it is being loaded", || {
        executor.statistics().unwrap().connected == 2
    });
    assert!(
        executor
            .list()
            .unwrap()
            .iter()
            .any(|it| it.digest == module)
    );
    process.signal(Signal::TERM);
    process.ended();
    assert!(loading.join().unwrap().is_err());
}
