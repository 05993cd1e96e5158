//! Calls in processes of their own: what crashes, hangs or takes too much there, and what stays.

// An emulator starts no program that is not for its own machine, and knows neither seccomp nor Landlock.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use common::{controller, descendants, failure, image, kill, number, start_with};
use farcall_executor::{
    Argument, ErrorKind, Executor, Isolation, Keep, Options, Order, Service, Value,
};
use farcall_image::Image;
use farcall_testkit::require_tools;

/// What goes wrong in as many ways as there are.
const WRONG: &str = r#"
    #include <stdlib.h>
    #include <unistd.h>
    #include <signal.h>
    #include <pthread.h>
    static int n;
    int count(void) { return ++n; }
    int fine(void) { return 7; }
    int null_pointer(void) { return *(volatile int *)0; }
    __attribute__((noinline)) int inside(volatile int *p) { return *p + 1; }
    int outside(void) { return inside((volatile int *)16) + 1; }
    int query_step(void) __asm__("_ZN5query4stepEv");
    __attribute__((noinline)) int query_step(void) { return *(volatile int *)24; }
    int in_cpp(void) { return query_step() + 1; }
    int divide(int a, int b) { return a / b; }
    int illegal(void) { __builtin_trap(); }
    int aborts(void) { abort(); }
    int exits(void) { exit(3); }
    int exits_at_once(void) { _exit(0); }
    int overflow(volatile int *p) { volatile int a[1000]; a[7] = 1; return overflow(a) + a[7]; }
    int overflows(void) { return overflow(&n); }
    int nowhere(void) { int (*f)(void) = (int (*)(void))8; return f() + 1; }
    int signalled(int s) { raise(s); return 1; }
    int killed(void) { kill(getpid(), SIGKILL); for (;;) pause(); }
    int forever(void) { for (;;) n++; }
    static void *thread(void *p) { return (void *)(long)*(volatile int *)p; }
    int on_a_thread(void) { pthread_t t; pthread_create(&t, 0, thread, (void *)8); pthread_join(t, 0); return 0; }
"#;

fn isolation() -> Isolation {
    let program = env!("CARGO_BIN_EXE_farcall-executor");
    Isolation::with_template(program.into(), vec!["--template".into()])
}

fn service(isolation: Isolation) -> Service {
    Service::isolated(Options::default(), isolation).unwrap()
}

fn load(executor: &Executor, source: &str) -> farcall_image::Digest {
    let bytes = image(source);
    let image = Image::parse(&bytes).unwrap();
    executor.load(&image).unwrap().digest
}

#[test]
fn whatever_a_call_does_the_next_one_works() {
    require_tools!("clang-22");
    for keep in [Keep::Session, Keep::Call] {
        let service = service(Isolation {
            keep,
            ..isolation()
        });
        let executor = controller(&service);
        let module = load(&executor, WRONG);
        for (function, parts) in [
            (
                "null_pointer",
                &[
                    "null_pointer",
                    "SIGSEGV: used a null pointer",
                    "null_pointer+0x",
                ][..],
            ),
            ("outside", &["SIGSEGV", "inside+0x", "\n  #1 outside+0x"]),
            ("illegal", &["SIGILL"]),
            ("aborts", &["SIGABRT", "aborts+0x"]),
            ("exits", &["exit status 3"]),
            ("exits_at_once", &["exit status 0"]),
            (
                "in_cpp",
                &["SIGSEGV", "#0 query::step()+0x", "#1 in_cpp+0x"],
            ),
            (
                "overflows",
                &["SIGSEGV: its stack is used up", "overflow+0x"],
            ),
            ("nowhere", &["SIGSEGV", "nowhere+0x"]),
            ("killed", &["SIGKILL"]),
            ("on_a_thread", &["SIGSEGV"]),
        ] {
            let called = executor.call(module, function, Some("i32 ()"), &mut []);
            let failure = failure(called);
            assert_eq!(failure.kind, ErrorKind::Crashed, "{function}: {failure}");
            for part in parts {
                assert!(failure.message.contains(part), "{function}: {failure}");
            }
            assert_eq!(number(&executor, module, "fine"), 7, "after {function}");
        }
        // On a thread that has another stack.
        let overflows =
            executor.start_call(module, "overflows", Some("i32 ()"), Order::Concurrent, &[]);
        let told = failure(overflows.unwrap().wait());
        assert!(
            told.message.contains("SIGSEGV: its stack is used up"),
            "{told}"
        );
        assert_eq!(number(&executor, module, "fine"), 7);
        let mut arguments = [Argument::Int(1), Argument::Int(0)];
        let divided = executor.call(module, "divide", Some("i32 (i32, i32)"), &mut arguments);
        let failure = failure(divided);
        #[cfg(target_arch = "x86_64")]
        assert!(
            failure
                .message
                .contains("SIGFPE: an integer was divided by zero"),
            "{failure}"
        );
        for signal in 1..32 {
            let mut arguments = [Argument::Int(signal)];
            // Those that do nothing, and those that wait for ever.
            if [17, 18, 19, 20, 21, 22, 23, 28].contains(&signal) {
                continue;
            }
            match executor.call(module, "signalled", Some("i32 (i32)"), &mut arguments) {
                Err(farcall_executor::Error::Failed(failure)) => {
                    assert_eq!(failure.kind, ErrorKind::Crashed, "{signal}: {failure}");
                }
                Ok(value) => assert_eq!(value, Value::Int { bits: 32, value: 1 }, "{signal}"),
                other => panic!("{signal}: {other:?}"),
            }
            assert_eq!(
                number(&executor, module, "fine"),
                7,
                "after signal {signal}"
            );
        }
    }
}

#[test]
fn a_session_keeps_its_variables_until_it_crashes() {
    require_tools!("clang-22");
    let service = service(isolation());
    let (one, two) = (controller(&service), controller(&service));
    let module = load(&one, WRONG);
    assert_eq!(number(&one, module, "count"), 1);
    assert_eq!(number(&one, module, "count"), 2);
    assert_eq!(
        number(&two, module, "count"),
        1,
        "another session has its own"
    );
    failure(two.call(module, "aborts", Some("i32 ()"), &mut []));
    assert_eq!(number(&two, module, "count"), 1);
    assert_eq!(number(&one, module, "count"), 3);
}

#[test]
fn each_call_starts_anew_where_that_is_asked_for() {
    require_tools!("clang-22");
    let service = service(Isolation {
        keep: Keep::Call,
        ..isolation()
    });
    let executor = controller(&service);
    let module = load(&executor, WRONG);
    for _ in 0..5 {
        assert_eq!(number(&executor, module, "count"), 1);
    }
}

#[test]
fn workers_of_one_call_are_given_back_whatever_they_were_taken_for() {
    require_tools!("clang-22");
    let service = service(Isolation {
        keep: Keep::Call,
        most_workers: 4,
        ..isolation()
    });
    let executor = controller(&service);
    // Loads, functions that are found or not, and calls that cannot be made: each more often than there are workers.
    for nth in 0..6 {
        let source = format!(
            r#"#include <stdio.h>
            __attribute__((constructor)) static void start(void) {{ puts("started"); }}
            int number(void) {{ return {nth}; }}"#
        );
        let module = load(&executor, &source);
        let found = executor.function(module, "number", Some("i32 ()")).unwrap();
        let value = found.call(&mut []).unwrap();
        assert_eq!(
            value,
            Value::Int {
                bits: 32,
                value: nth
            }
        );
        failure(executor.function(module, "none", Some("i32 ()")));
        failure(executor.call(module, "none", Some("i32 ()"), &mut []));
    }
}

#[test]
fn what_takes_too_long_is_ended() {
    require_tools!("clang-22");
    let service = service(Isolation {
        deadline: Some(Duration::from_secs(2)),
        ..isolation()
    });
    let executor = controller(&service);
    let module = load(&executor, WRONG);
    let failure = failure(executor.call(module, "forever", Some("i32 ()"), &mut []));
    assert_eq!(failure.kind, ErrorKind::TimedOut, "{failure}");
    assert!(
        failure.message.contains("forever: took longer than 2s"),
        "{failure}"
    );
    assert_eq!(number(&executor, module, "fine"), 7);
}

#[test]
fn what_takes_too_much_memory_does_not_get_it() {
    require_tools!("clang-22");
    let service = service(Isolation {
        memory: Some(64 << 20),
        ..isolation()
    });
    let executor = controller(&service);
    let module = load(
        &executor,
        r"#include <stdlib.h>
          #include <string.h>
          int take(int mb) { char *p = malloc((size_t)mb << 20); if (!p) return -1; memset(p, 1, (size_t)mb << 20); return p[5]; }
          int bomb(void) { for (;;) { char *p = malloc(1 << 20); *(volatile char *)p = 1; } }
          int fine(void) { return 7; }",
    );
    let take = |mb| {
        let mut arguments = [Argument::Int(mb)];
        match executor.call(module, "take", Some("i32 (i32)"), &mut arguments) {
            Ok(Value::Int { value, .. }) => value,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(take(32), 1);
    assert_eq!(take(1000), u64::from(u32::MAX), "null");
    let failure = failure(executor.call(module, "bomb", Some("i32 ()"), &mut []));
    assert!(failure.message.contains("SIGSEGV"), "{failure}");
    assert_eq!(number(&executor, module, "fine"), 7);

    // The C library takes these from a file in memory, which no limit counts.
    let initial_exec =
        "__attribute__((tls_model(\"initial-exec\"))) __thread int n; int fine(void) { return n; }";
    let bytes = image(initial_exec);
    let refused = executor.load(&Image::parse(&bytes).unwrap()).unwrap_err();
    let refused = refused.to_string();
    assert!(refused.contains("compile with -fPIC"), "{refused}");
    assert_eq!(number(&executor, module, "fine"), 7);
}

#[test]
fn a_constructor_that_crashes_is_the_load_s_failure() {
    require_tools!("clang-22");
    let service = service(isolation());
    let executor = controller(&service);
    let bytes = image(
        "__attribute__((constructor)) static void start(void) { *(volatile int *)0 = 1; }
         int fine(void) { return 7; }",
    );
    let image = Image::parse(&bytes).unwrap();
    for _ in 0..2 {
        let failure = failure(executor.load(&image));
        assert_eq!(failure.kind, ErrorKind::Crashed, "{failure}");
        assert!(failure.message.contains("SIGSEGV"), "{failure}");
    }
    assert_eq!(executor.list().unwrap(), []);
    let module = load(&executor, WRONG);
    assert_eq!(number(&executor, module, "fine"), 7);
}

#[test]
fn an_image_that_crashes_too_often_is_refused_until_it_is_pardoned() {
    require_tools!("clang-22");
    let service = service(Isolation {
        quarantine: 3,
        ..isolation()
    });
    let executor = controller(&service);
    let module = load(&executor, WRONG);
    for _ in 0..3 {
        assert_eq!(number(&executor, module, "fine"), 7);
        failure(executor.call(module, "aborts", Some("i32 ()"), &mut []));
    }
    let refused = failure(executor.call(module, "fine", Some("i32 ()"), &mut []));
    assert_eq!(refused.kind, ErrorKind::Quarantined, "{refused}");
    assert!(refused.message.contains("crashed 3 times"), "{refused}");
    executor.pardon(module).unwrap();
    assert_eq!(number(&executor, module, "fine"), 7);
}

#[test]
fn of_64_calls_at_once_each_has_its_own_end() {
    require_tools!("clang-22");
    let service = service(Isolation {
        keep: Keep::Call,
        ..isolation()
    });
    let executor = controller(&service);
    let module = load(&executor, WRONG);
    let calls: Vec<_> = (0..64)
        .map(|nth| {
            let function = if nth % 2 == 0 { "fine" } else { "aborts" };
            let call =
                executor.start_call(module, function, Some("i32 ()"), Order::Concurrent, &[]);
            (nth, call.unwrap())
        })
        .collect();
    for (nth, call) in calls {
        match call.wait() {
            Ok(value) => {
                assert_eq!(nth % 2, 0);
                assert_eq!(value, Value::Int { bits: 32, value: 7 });
            }
            Err(error) => {
                assert_eq!(nth % 2, 1, "{error}");
                assert!(error.to_string().contains("SIGABRT"), "{error}");
            }
        }
    }
}

#[test]
fn sessions_crash_at_the_same_time() {
    require_tools!("clang-22");
    let service = service(isolation());
    let module = load(&controller(&service), WRONG);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let executor = controller(&service);
                for _ in 0..20 {
                    assert_eq!(number(&executor, module, "count"), 1);
                    failure(executor.call(module, "null_pointer", Some("i32 ()"), &mut []));
                }
            });
        }
    });
}

/// What reaches beyond the process, as far as it goes: each gives the error, or 0.
const REACHING: &str = r#"
    #define _GNU_SOURCE
    #include <errno.h>
    #include <fcntl.h>
    #include <signal.h>
    #include <pthread.h>
    #include <sys/socket.h>
    #include <sys/wait.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    static int error(int result) { return result < 0 ? errno : 0; }
    int reads(void) { return error(open("/etc/passwd", O_RDONLY)); }
    int writes(void) { return error(open("/tmp/farcall-isolation", O_CREAT | O_WRONLY, 0600)); }
    int connects(void) { return error(socket(AF_INET, SOCK_STREAM, 0)); }
    int forks(void) { int child = fork(); if (child == 0) _exit(0); if (child > 0) waitpid(child, 0, 0); return error(child); }
    int executes(void) { char *none[] = {"/bin/true", 0}; return error(execv("/bin/true", none)); }
    int kills(void) { return error(kill(getppid(), 0)); }
    int forks_by_clone3(void) { return error(syscall(SYS_clone3, 0, 0)); }
    static void *nothing(void *p) { return p; }
    int threads(void) { pthread_t t; return pthread_create(&t, 0, nothing, 0) ?: pthread_join(t, 0); }
    int raises(void) { signal(SIGUSR1, SIG_IGN); return raise(SIGUSR1); }
    int fine(void) { return 7; }
"#;

#[test]
fn the_sandbox_keeps_code_to_itself() {
    require_tools!("clang-22");
    for sandbox in [true, false] {
        let service = service(Isolation {
            sandbox,
            ..isolation()
        });
        let executor = controller(&service);
        let module = load(&executor, REACHING);
        let refused = |function| number(&executor, module, function) != 0;
        for function in ["connects", "forks", "kills", "reads", "writes"] {
            assert_eq!(refused(function), sandbox, "{function}");
        }
        assert_eq!(number(&executor, module, "threads"), 0);
        assert_eq!(number(&executor, module, "raises"), 0);
        if sandbox {
            assert!(refused("executes"));
            assert!(refused("forks_by_clone3"));
        }
        assert_eq!(number(&executor, module, "fine"), 7);
    }
    let _ = std::fs::remove_file("/tmp/farcall-isolation");
}

#[test]
fn what_is_printed_comes_before_the_answer() {
    require_tools!("clang-22");
    let service = service(isolation());
    let executor = controller(&service);
    let printed = Arc::new(Mutex::new([String::new(), String::new()]));
    let sink = Arc::clone(&printed);
    executor.on_output(move |is_error, bytes| {
        sink.lock().unwrap()[usize::from(is_error)] += str::from_utf8(bytes).unwrap();
    });
    let module = load(
        &executor,
        r#"#include <stdio.h>
           #include <stdlib.h>
           int speaks(void) { printf("hello"); fprintf(stderr, "trouble\n"); return 1; }
           int speaks_much(void) { for (int i = 0; i < 100000; i++) printf("%d\n", i); return 1; }
           int dies(void) { printf("last words\n"); fflush(stdout); abort(); }"#,
    );
    let taken = || std::mem::take(&mut *printed.lock().unwrap());
    number(&executor, module, "speaks");
    assert_eq!(taken(), ["hello", "trouble\n"]);
    number(&executor, module, "speaks_much");
    let [much, _] = taken();
    assert!(
        much.lines()
            .map(|line| line.parse::<usize>().unwrap())
            .eq(0..100_000)
    );
    failure(executor.call(module, "dies", Some("i32 ()"), &mut []));
    assert_eq!(taken()[0], "last words\n");
}

#[test]
fn whichever_process_is_killed_the_next_call_works() {
    require_tools!("clang-22");
    let folder = tempfile::tempdir().unwrap();
    let listen = format!("unix:{}", folder.path().join("socket").display());
    let process = start_with(&listen, &["--workers=session"]);
    let executor = process.connect();
    executor.define_bytes("numbers", &[1, 2, 3, 4]).unwrap();
    let module = load(
        &executor,
        "extern const char numbers[];
         long write(int, const void *, unsigned long);
         int fine(void) { return numbers[2]; }
         int wait_for_ever(void) { write(1, \"b\", 1); for (;;) {} }",
    );
    let has_begun = Arc::new(AtomicBool::new(false));
    let sink = Arc::clone(&has_begun);
    executor.on_output(move |_, _| sink.store(true, Ordering::SeqCst));
    // The template, which may just be started again, and its workers.
    let kinds = |process: u32| -> Vec<u32> {
        loop {
            if let Some(&template) = descendants(process).first() {
                return [vec![template], descendants(template)].concat();
            }
            thread::sleep(Duration::from_millis(1));
        }
    };
    // What is killed is gone before the next call, which else might be the one that meets its end.
    let kill = |process: u32| {
        kill(process);
        let is_there = |process| {
            let status = std::fs::read_to_string(format!("/proc/{process}/stat"));
            status.is_ok_and(|status| !status.contains(") Z "))
        };
        while is_there(process) {
            thread::sleep(Duration::from_millis(1));
        }
    };
    // The template and each of its workers, one after the other, with a session that is idle.
    for nth in 0..8 {
        assert_eq!(number(&executor, module, "fine"), 3);
        let all = kinds(process.child.id());
        kill(all[nth % all.len()]);
        // What is killed while it does nothing is noticed at the latest by a call, which then fails.
        let mut last = executor.call(module, "fine", Some("i32 ()"), &mut []);
        for _ in 0..3 {
            if last.is_ok() {
                break;
            }
            last = executor.call(module, "fine", Some("i32 ()"), &mut []);
        }
        assert_eq!(last.unwrap(), Value::Int { bits: 32, value: 3 });
    }
    // In the middle of a call.
    for template in [true, false] {
        assert_eq!(number(&executor, module, "fine"), 3);
        let call = executor
            .start_call(
                module,
                "wait_for_ever",
                Some("i32 ()"),
                Order::Concurrent,
                &[],
            )
            .unwrap();
        // One that has not could go to a worker that nobody kills.
        while !has_begun.swap(false, Ordering::SeqCst) {
            executor.ping().unwrap();
        }
        let all = kinds(process.child.id());
        if template {
            kill(all[0]);
        } else {
            all[1..].iter().copied().for_each(kill);
        }
        let failure = failure(call.wait());
        assert_eq!(failure.kind, ErrorKind::Crashed, "{failure}");
        let mut last = executor.call(module, "fine", Some("i32 ()"), &mut []);
        if last.is_err() {
            last = executor.call(module, "fine", Some("i32 ()"), &mut []);
        }
        assert_eq!(last.unwrap(), Value::Int { bits: 32, value: 3 });
    }
    // Nobody is left behind.
    let all = descendants(process.child.id());
    drop(process);
    for _ in 0..200 {
        if !all
            .iter()
            .any(|process| std::path::Path::new(&format!("/proc/{process}/exe")).exists())
        {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("some of {all:?} go on");
}

#[test]
fn modules_are_defined_for_loaded_and_unloaded_in_every_worker() {
    require_tools!("clang-22");
    let service = service(isolation());
    let (one, two) = (controller(&service), controller(&service));
    let base = load(&one, "static int n; int base(void) { return ++n * 10; }");
    assert_eq!(number(&one, base, "base"), 10);
    assert_eq!(number(&two, base, "base"), 10);
    let user = load(
        &one,
        "int base(void); int user(void) { return base() + 1; }",
    );
    assert_eq!(
        number(&one, user, "user"),
        21,
        "its session had called it once"
    );
    assert_eq!(number(&two, user, "user"), 21);
    let in_use = failure(two.unload(base));
    assert_eq!(in_use.kind, ErrorKind::InUse, "{in_use}");
    two.unload(user).unwrap();
    let unknown = failure(one.call(user, "user", Some("i32 ()"), &mut []));
    assert_eq!(unknown.kind, ErrorKind::UnknownModule, "{unknown}");
    one.unload(base).unwrap();
    assert_eq!(one.list().unwrap(), []);
    let missing = image("int base(void); int user(void) { return base() + 1; }");
    let missing = failure(one.load(&Image::parse(&missing).unwrap()));
    assert!(missing.message.contains("base"), "{missing}");
}

#[test]
fn an_image_that_runs_when_it_is_loaded_is_loaded_by_each_worker() {
    require_tools!("clang-22");
    let service = service(isolation());
    let executor = controller(&service);
    let module = load(
        &executor,
        "static int seven(void) { return 7; }
         static void *choose(void) { return (void *)seven; }
         int chosen(void) __attribute__((ifunc(\"choose\")));
         int fine(void) { return chosen(); }
         int aborts(void) { __builtin_trap(); }",
    );
    assert_eq!(number(&executor, module, "fine"), 7);
    failure(executor.call(module, "aborts", Some("i32 ()"), &mut []));
    assert_eq!(number(&executor, module, "fine"), 7);
    let user = load(
        &executor,
        "int fine(void); int user(void) { return fine() + 1; }",
    );
    assert_eq!(number(&executor, user, "user"), 8);
    assert_eq!(number(&controller(&service), user, "user"), 8);
}
