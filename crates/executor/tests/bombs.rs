//! Shipped code that takes all that it can get, or as long as it can.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use common::isolated::{KEEPS, crash, deadline, isolated, isolation, load, pipelined};
use common::watch::ends;
use common::{controller, failure, int, number, until_stopped};
use farcall_executor::{ErrorKind, Isolation, Keep, Order, Service};
use farcall_testkit::{require_tools, tools};

const ENDLESS: &str = r#"
    #include <pthread.h>
    #include <signal.h>
    #include <string.h>
    #include <unistd.h>
    int fine(void) { return 7; }
    static volatile unsigned n;
    int loops(void) { for (;;) n++; }
    int sleeps(void) { for (;;) pause(); }
    int stops(void) { for (;;) raise(SIGSTOP); }
    int loops_without_signals(void) { sigset_t all; sigfillset(&all); sigprocmask(SIG_SETMASK, &all, 0); for (;;) n++; }
    static void again(int s) {}
    int loops_in_a_fault(void) {
        struct sigaction ignore;
        memset(&ignore, 0, sizeof ignore);
        ignore.sa_handler = again;
        for (int s = 1; s < 32; s++) sigaction(s, &ignore, 0);
        return *(volatile int *)8;
    }
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    int waits_for_itself(void) { pthread_mutex_lock(&lock); return pthread_mutex_lock(&lock); }
    static void *loops_too(void *p) { for (;;) n++; }
    int loops_on_threads(void) { pthread_t t; for (int i = 0; i < 4; i++) pthread_create(&t, 0, loops_too, 0); return pthread_join(t, 0); }
"#;

#[test]
fn whatever_does_not_end_is_ended() {
    require_tools!("clang-22");
    let late = |service: &Service, function: &str| {
        let executor = controller(service);
        let module = load(&executor, ENDLESS);
        let late = failure(executor.call(module, function, Some("i32 ()"), &mut []));
        assert_eq!(late.kind, ErrorKind::TimedOut, "{late}");
        let part = format!("{function}: took longer than ");
        assert!(late.message.contains(&part), "{late}");
        assert_eq!(number(&executor, module, "fine"), 7);
    };
    for keep in KEEPS {
        let service = isolated(Isolation {
            deadline: deadline(),
            ..isolation(keep)
        });
        thread::scope(|scope| {
            for function in [
                "loops",
                "sleeps",
                "stops",
                "loops_without_signals",
                "loops_in_a_fault",
                "waits_for_itself",
                "loops_on_threads",
            ] {
                let (late, service) = (&late, &service);
                scope.spawn(move || late(service, function));
            }
        });
    }
}

#[test]
fn many_that_do_not_end_are_ended_at_the_same_time() {
    require_tools!("clang-22");
    let service = isolated(Isolation {
        deadline: deadline(),
        ..isolation(Keep::Call)
    });
    let executor = pipelined(&service);
    let module = load(&executor, ENDLESS);
    let calls: Vec<_> = (0..tools::rounds(32))
        .map(|_| {
            executor
                .start_call(module, "loops", Some("i32 ()"), Order::Concurrent, &[])
                .unwrap()
        })
        .collect();
    for call in calls {
        let late = failure(call.wait());
        assert_eq!(late.kind, ErrorKind::TimedOut, "{late}");
    }
    assert_eq!(number(&executor, module, "fine"), 7);
}

/// Each gives how much it got, in MiB, or a number beyond that when it stopped for another reason.
const TAKING: &str = r#"
    #define _GNU_SOURCE
    #include <fcntl.h>
    #include <pthread.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/mman.h>
    #include <sys/resource.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    #define MIB (1 << 20)
    #define MOST 600
    static void *volatile kept;
    int fine(void) { return 7; }
    int by_malloc(void) { int n = 0; for (char *p; n < MOST && (p = kept = malloc(MIB)); n++) memset(p, 1, MIB); return n; }
    int by_mapping(void) { int n = 0; for (char *p; n < MOST && (p = mmap(0, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) != MAP_FAILED; n++) memset(p, 1, MIB); return n; }
    int by_shared_mapping(void) { int n = 0; for (char *p; n < MOST && (p = mmap(0, MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) != MAP_FAILED; n++) memset(p, 1, MIB); return n; }
    int by_protection(void) {
        char *all = mmap(0, (size_t)MOST * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        int n = 0;
        if (all == MAP_FAILED) return 0;
        for (; n < MOST && !mprotect(all + (size_t)n * MIB, MIB, PROT_READ | PROT_WRITE); n++) memset(all + (size_t)n * MIB, 1, MIB);
        return n;
    }
    int by_file_in_memory(void) {
        static char piece[MIB];
        int file = syscall(SYS_memfd_create, "bomb", 0), n = 0;
        while (file >= 0 && n < MOST && write(file, piece, MIB) == MIB) n++;
        return n;
    }
    int by_dev_shm(void) {
        static char piece[MIB];
        int file = open("/dev/shm/farcall-bomb", O_CREAT | O_WRONLY, 0600), n = 0;
        unlink("/dev/shm/farcall-bomb");
        while (file >= 0 && n < MOST && write(file, piece, MIB) == MIB) n++;
        return n;
    }
    int by_report(void) {
        static char piece[MIB];
        int n = 0;
        for (int file = 3; file < 64; file++) for (int i = 0; i < 64 && pwrite(file, piece, MIB, (off_t)i * MIB) == MIB; i++) n++;
        return n;
    }
    int by_raising_the_limit(void) {
        struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
        setrlimit(RLIMIT_DATA, &all);
        setrlimit(RLIMIT_AS, &all);
        return by_malloc();
    }
    static void *sleeps(void *p) { for (;;) pause(); }
    int by_threads(void) { pthread_t t; int n = 0; while (n < MOST && !pthread_create(&t, 0, sleeps, 0)) n++; return n; }
"#;

#[test]
fn memory_is_what_it_is_limited_to_however_it_is_taken() {
    require_tools!("clang-22");
    // Neither is a part of an emulator: what it takes for itself counts too, and it has no filter of system calls.
    if tools::skips_emulated("limits are the system's, and an emulator's memory counts") {
        return;
    }
    for keep in KEEPS {
        let service = isolated(Isolation {
            memory: Some(64 << 20),
            ..isolation(keep)
        });
        let executor = controller(&service);
        let module = load(&executor, TAKING);
        for function in [
            "by_malloc",
            "by_mapping",
            "by_shared_mapping",
            "by_protection",
            "by_file_in_memory",
            "by_dev_shm",
            "by_report",
            "by_raising_the_limit",
            "by_threads",
        ] {
            // It is for one process: a session's next one has as much.
            let executor = controller(&service);
            let taken = number(&executor, module, function);
            assert!(taken <= 64, "{function}: {taken} MiB");
        }
        // What an image has that comes later is loaded all the same.
        let later = load(&executor, "int more(void) { return 8; }");
        assert_eq!(number(&executor, later, "more"), 8);
        assert_eq!(number(&executor, module, "fine"), 7);
    }
}

#[test]
fn files_and_stacks_end_where_they_end() {
    require_tools!("clang-22");
    let service = isolated(isolation(Keep::Session));
    let executor = controller(&service);
    let module = load(
        &executor,
        "#include <unistd.h>
         int fine(void) { return 7; }
         int opens_all(void) { int n = 0; while (dup(0) >= 0) n++; return n; }
         int forever(volatile char *p) { volatile char a[65536]; a[5] = 1; return forever(a) + p[3]; }
         int takes_all_stack(void) { volatile char a[8] = {0}; return forever(a); }",
    );
    assert!(number(&executor, module, "opens_all") > 3);
    // In that process nothing can be opened any more, and what does not need to goes on.
    assert_eq!(number(&executor, module, "fine"), 7);
    let told = crash(&executor, module, "takes_all_stack");
    assert!(told.message.contains("forever+0x"), "{told}");
}

const PRINTING: &str = r#"
    #include <pthread.h>
    #include <string.h>
    #include <unistd.h>
    int fine(void) { return 7; }
    static char piece[1 << 16];
    int prints(int mib) { memset(piece, 'x', sizeof piece); for (int i = 0; i < mib * 16; i++) if (write(1 + i % 2, piece, sizeof piece) < 0) return 1; return 0; }
    static void *prints_on(void *p) { for (;;) prints(1); }
    int goes_on_printing(void) { pthread_t t; return pthread_create(&t, 0, prints_on, 0); }
"#;

#[test]
fn what_is_printed_without_end_keeps_nobody_waiting() {
    require_tools!("clang-22");
    let service = isolated(isolation(Keep::Session));
    let executor = controller(&service);
    let n_bytes = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&n_bytes);
    executor.on_output(move |_, bytes| {
        counted.fetch_add(bytes.len(), Ordering::Relaxed);
    });
    let module = load(&executor, PRINTING);
    let mib = if cfg!(debug_assertions) { 64 } else { 1024 };
    let mut arguments = [farcall_executor::Argument::Int(mib)];
    let printed = executor.call(module, "prints", Some("i32 (i32)"), &mut arguments);
    assert_eq!(printed.unwrap(), int(32, 0));
    assert_eq!(n_bytes.load(Ordering::Relaxed) as u64, mib << 20);
    // A thread that prints goes on after its call, and beside others.
    ends("calls beside a thread that prints", move || {
        assert_eq!(number(&executor, module, "goes_on_printing"), 0);
        for _ in 0..20 {
            assert_eq!(number(&executor, module, "fine"), 7);
        }
        drop(executor);
    });
    assert_eq!(number(&controller(&service), module, "fine"), 7);
}

#[test]
fn a_process_that_reads_nothing_is_ended() {
    require_tools!("clang-22");
    let service = isolated(Isolation {
        deadline: deadline(),
        ..isolation(Keep::Session)
    });
    let executor = pipelined(&service);
    let module = load(
        &executor,
        "#include <pthread.h>
         #include <signal.h>
         #include <unistd.h>
         int fine(void) { return 7; }
         int process(void) { return getpid(); }
         static void *stops(void *p) { usleep(300000); raise(SIGSTOP); return p; }
         int stops_later(void) { pthread_t t; return pthread_create(&t, 0, stops, 0); }
         int first(const char *p, long n) { return p[0]; }",
    );
    let process = u32::try_from(number(&executor, module, "process")).unwrap();
    // Its answer comes before.
    assert_eq!(number(&executor, module, "stops_later"), 0);
    until_stopped(process);
    // More than a socket holds.
    let large = vec![1; 8 << 20];
    let mut arguments = [
        farcall_executor::Argument::In(&large),
        farcall_executor::Argument::Int(1),
    ];
    let late = failure(executor.call(module, "first", Some("i32 (ptr, i64)"), &mut arguments));
    assert_eq!(late.kind, ErrorKind::TimedOut, "{late}");
    assert_eq!(number(&executor, module, "fine"), 7);
}
