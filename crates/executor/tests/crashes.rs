//! Whatever shipped code does to its process, in whatever state that is, ends that process alone: the caller is told, and the next call works.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::sync::{Arc, Mutex, mpsc};

use common::isolated::{KEEPS, crash, deadline, isolated, isolation, load, pipelined};
use common::sources::THROWS;
use common::watch::until;
use common::{assert_fails, controller, failure, image, number};
use farcall_executor::{Argument, ErrorKind, Executor, Failure, Isolation, Keep, Order, Value};
use farcall_image::Image;
use farcall_testkit::{require_tools, tools};

/// What goes wrong where the processor, the stack or the process is not as a handler would like it to be.
const WRONG: &str = r#"
    #define _GNU_SOURCE
    #include <dlfcn.h>
    #include <fcntl.h>
    #include <pthread.h>
    #include <setjmp.h>
    #include <signal.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/mman.h>
    #include <sys/prctl.h>
    #include <sys/resource.h>
    #include <sys/socket.h>
    #include <sys/syscall.h>
    #include <time.h>
    #include <unistd.h>
    int fine(void) { return 7; }
    static volatile int zero;

    int writes(void) { *(volatile int *)&fine = 1; return 0; }
    int jumps_into_data(void) { static int data[4]; ((int (*)(void))data)(); return 1; }
    int beyond_a_file(void) {
        int file = syscall(SYS_memfd_create, "empty", 0);
        volatile char *at = mmap(0, 4096, PROT_READ, MAP_SHARED, file, 0);
        return at[0] + 1;
    }
    int breakpoint(void) {
    #ifdef __x86_64__
        __asm__ volatile("int3");
    #else
        __asm__ volatile("brk #0xf000");
    #endif
        return 1;
    }
    int quick_exits(void) { quick_exit(4); }
    int ends_its_thread(void) { pthread_exit(0); }
    int large_frame(void) { volatile char a[100 << 20]; a[5] = zero; return a[5] + a[zero]; }
    static int deeper(volatile int *p) { volatile int a[1000]; a[7] = 1; return deeper(a) + a[7]; }
    static void *deep(void *p) { return (void *)(long)deeper(p); }
    int overflows_a_thread(void) { pthread_t t; int n; pthread_create(&t, 0, deep, &n); pthread_join(t, 0); return 0; }
    int longjumps(void) { jmp_buf to; memset(to, 0x5a, sizeof to); longjmp(to, 1); }
    int corrupts_the_heap(void) { char *a = malloc(24); memset(a - 8, 0x41, 64); free(a); free(a); for (int i = 0; i < 100; i++) free(malloc(i)); abort(); }
    __attribute__((noinline)) static int smash(volatile long *p) { for (int i = 0; i < 64; i++) p[i] = 0x4141414141414141; return (int)p[3]; }
    int smashes_its_stack(void) { volatile long a[2]; return smash(a) + 1; }
    int loses_its_stack(void) {
    #ifdef __x86_64__
        __asm__ volatile("xor %%esp, %%esp\n push %%rax" ::: "memory");
    #else
        __asm__ volatile("mov x9, #0\n mov sp, x9\n str x0, [sp, #-16]!" ::: "x9", "memory");
    #endif
        return 1;
    }
    int blocks_and_faults(void) { sigset_t all; sigfillset(&all); sigprocmask(SIG_SETMASK, &all, 0); return *(volatile int *)16; }
    int resets_and_faults(void) { signal(SIGSEGV, SIG_DFL); return *(volatile int *)16; }
    int takes_the_handlers_stack(void) { stack_t none = {0, SS_DISABLE, 0}; sigaltstack(&none, 0); return *(volatile int *)16; }
    int alarmed(void) { alarm(0); struct timespec t = {60, 0}; timer_t timer; struct itimerspec soon = {{0, 0}, {0, 1000}}; timer_create(CLOCK_MONOTONIC, 0, &timer); timer_settime(timer, 0, &soon, 0); nanosleep(&t, 0); return 0; }

    int closes_everything(void) { for (int fd = 0; fd < 256; fd++) close(fd); return 1; }
    int talks_to_the_supervisor(void) { char noise[4096]; memset(noise, 0x41, sizeof noise); for (int fd = 3; fd < 64; fd++) send(fd, noise, sizeof noise, MSG_NOSIGNAL | MSG_DONTWAIT); return 1; }
    int replaces_the_socket(void) { int two[2]; pipe(two); for (int fd = 3; fd < 64; fd++) dup2(two[0], fd); return 1; }

    int loses_its_variables(void) {
    #ifdef __x86_64__
        syscall(SYS_arch_prctl, 0x1002, 0L);
    #else
        __asm__ volatile("msr tpidr_el0, xzr");
    #endif
        return *(volatile int *)16;
    }
    static int calls_itself(volatile int *p) { volatile int a[1000]; a[7] = 1; return calls_itself(a) + a[7]; }
    int overflows(void) { return calls_itself(&zero); }
    int raises_segv(void) { raise(SIGSEGV); return 1; }
    int traps(void) { __builtin_trap(); }
    int dies_of_a_number(void) { raise(SIGRTMIN + 2); return 1; }

    static void at_exit(void) { *(volatile int *)16 = 1; }
    int faults_at_exit(void) { atexit(at_exit); exit(0); }
    static pthread_key_t key;
    static void end_of_thread(void *p) { *(volatile int *)24 = 1; }
    static void *short_lived(void *p) { pthread_setspecific(key, p); return p; }
    int faults_at_a_thread_s_end(void) { pthread_key_create(&key, end_of_thread); pthread_t t; pthread_create(&t, 0, short_lived, &key); pthread_join(t, 0); return 0; }
    static void *faults(void *p) { return (void *)(long)*(volatile int *)p; }
    int faults_on_two_threads(void) { pthread_t a, b; pthread_create(&a, 0, faults, (void *)32); pthread_create(&b, 0, faults, (void *)40); pthread_join(a, 0); pthread_join(b, 0); return 0; }
"#;

#[test]
fn every_crash_is_told_and_the_next_call_works() {
    require_tools!("clang-22");
    for keep in KEEPS {
        let service = isolated(isolation(keep));
        let executor = controller(&service);
        let module = load(&executor, WRONG);
        for (function, parts) in [
            (
                "writes",
                &["SIGSEGV", "is not for that", "\n  #0 writes+0x"][..],
            ),
            ("jumps_into_data", &["SIGSEGV", "jumps_into_data+0x"]),
            ("beyond_a_file", &["SIGBUS", "\n  #0 beyond_a_file+0x"]),
            ("breakpoint", &["SIGTRAP", "\n  #0 breakpoint+0x"]),
            ("quick_exits", &["exit status 4"]),
            ("ends_its_thread", &[]),
            ("large_frame", &["SIGSEGV", "\n  #0 large_frame+0x"]),
            ("overflows_a_thread", &["SIGSEGV"]),
            ("longjumps", &["SIG"]),
            ("corrupts_the_heap", &["SIGABRT"]),
            ("smashes_its_stack", &["SIG"]),
            ("loses_its_stack", &["SIGSEGV", "loses_its_stack+0x"]),
            ("blocks_and_faults", &["SIGSEGV"]),
            ("resets_and_faults", &["SIGSEGV"]),
            (
                "takes_the_handlers_stack",
                &["SIGSEGV", "takes_the_handlers_stack+0x"],
            ),
            ("alarmed", &["SIGALRM"]),
            ("loses_its_variables", &["SIGSEGV"]),
            ("overflows", &["its stack is used up", "\n  #1 to #"]),
            (
                "raises_segv",
                &["SIGSEGV: somebody sent it", "raises_segv+0x"],
            ),
            ("traps", &[": a trap", "traps+0x"]),
            ("dies_of_a_number", &["ended by signal 36"]),
            ("closes_everything", &[]),
            ("talks_to_the_supervisor", &[]),
            ("replaces_the_socket", &["closed the connection"]),
            ("faults_at_exit", &["SIGSEGV"]),
            ("faults_at_a_thread_s_end", &["SIGSEGV"]),
            ("faults_on_two_threads", &["SIGSEGV"]),
        ] {
            let failure = crash(&executor, module, function);
            let what = format!("{function}: ");
            assert!(failure.message.contains(&what), "{function}: {failure}");
            for part in parts {
                assert!(failure.message.contains(part), "{function}: {failure}");
            }
        }
    }
}

fn loads(executor: &Executor, source: &str) -> farcall_executor::Result<farcall_image::Digest> {
    let bytes = image(source);
    let loaded = executor.load(&Image::parse(&bytes).unwrap());
    loaded.map(|loaded| loaded.digest)
}

/// Waits until an image is refused because it has crashed.
fn until_refused(executor: &Executor, module: farcall_image::Digest) {
    until("the image is refused", || {
        let called = executor.call(module, "fine", Some("i32 ()"), &mut []);
        matches!(
            called,
            Err(farcall_executor::Error::Failed(Failure {
                kind: ErrorKind::Quarantined,
                ..
            }))
        )
    });
}

#[test]
fn what_runs_when_an_image_is_loaded_fails_the_load() {
    require_tools!("clang-22");
    // There a deadline is long, and eight of them enough.
    let n_ways = if tools::is_emulated() { 1 } else { 2 };
    for keep in KEEPS.into_iter().take(n_ways) {
        let service = isolated(Isolation {
            deadline: deadline(),
            ..isolation(keep)
        });
        let executor = controller(&service);
        let other = load(&executor, "int fine(void) { return 7; }");
        for (body, kind, part) in [
            ("*(volatile int *)0 = 1;", ErrorKind::Crashed, "SIGSEGV"),
            ("_exit(3);", ErrorKind::Crashed, "exit status 3"),
            ("for (;;) {}", ErrorKind::TimedOut, "took longer"),
            ("raise(SIGSTOP);", ErrorKind::TimedOut, "took longer"),
        ] {
            // As a constructor, and as what decides where a function is, before anything else of the image runs.
            for source in [
                format!("__attribute__((constructor)) static void start(void) {{ {body} }} int fine(void) {{ return 7; }}"),
                format!(
                    "static int seven(void) {{ return 7; }} static void *choose(void) {{ {body} return (void *)seven; }}
                     int chosen(void) __attribute__((ifunc(\"choose\"))); int fine(void) {{ return chosen(); }}"
                ),
            ] {
                let source = format!("#include <signal.h>\n#include <unistd.h>\n{source}");
                let failure = failure(loads(&executor, &source));
                assert_eq!(failure.kind, kind, "{failure}");
                assert!(failure.message.contains(part), "{failure}");
                assert_eq!(number(&executor, other, "fine"), 7);
                assert_eq!(executor.list().unwrap().len(), 1);
            }
        }
    }
}

#[test]
fn what_one_session_loads_does_not_end_another() {
    require_tools!("clang-22");
    let service = isolated(isolation(Keep::Session));
    let (one, two) = (controller(&service), controller(&service));
    let own = load(&two, "static int n; int count(void) { return ++n; }");
    assert_eq!(number(&two, own, "count"), 1);
    for (nth, source) in [
        "__attribute__((constructor)) static void start(void) { *(volatile int *)0 = 1; }",
        "static void *choose(void) { return (void *)(long)*(volatile int *)8; } int chosen(void) __attribute__((ifunc(\"choose\"))); int use(void) { return chosen(); }",
    ].into_iter().enumerate() {
        failure(loads(&one, source));
        assert_eq!(number(&two, own, "count"), nth as u64 + 2, "it is the same process");
    }
    // What it does not use it does not run.
    let started = load(
        &one,
        "#include <stdio.h>\n__attribute__((constructor)) static void start(void) { puts(\"started\"); } int fine(void) { return 7; }",
    );
    let printed = std::sync::Arc::new(Mutex::new(Vec::new()));
    let sink = std::sync::Arc::clone(&printed);
    two.on_output(move |_, bytes| sink.lock().unwrap().extend_from_slice(bytes));
    assert_eq!(number(&two, own, "count"), 4);
    assert_eq!(*printed.lock().unwrap(), b"");
    assert_eq!(number(&two, started, "fine"), 7);
    assert_eq!(*printed.lock().unwrap(), b"started\n");
}

const LAST: &str = "int fine(void) { return 7; }
     __attribute__((destructor)) static void last(void) { *(volatile int *)8 = 1; }";

#[test]
fn a_destructor_that_crashes_is_told_where_somebody_asks() {
    require_tools!("clang-22");
    let service = isolated(isolation(Keep::Session));
    let executor = controller(&service);
    let module = load(&executor, LAST);
    assert_eq!(number(&executor, module, "fine"), 7);
    let told = failure(executor.unload(module));
    assert_eq!(told.kind, ErrorKind::Crashed, "{told}");
    assert!(told.message.contains("its destructors: SIGSEGV"), "{told}");
    assert_eq!(executor.list().unwrap(), [], "it is gone all the same");
    let module = load(&executor, WRONG);
    assert_eq!(number(&executor, module, "fine"), 7);
}

#[test]
fn a_destructor_that_does_not_end_is_ended() {
    require_tools!("clang-22");
    let service = isolated(Isolation {
        deadline: deadline(),
        ..isolation(Keep::Session)
    });
    let executor = controller(&service);
    let source = "int fine(void) { return 7; } __attribute__((destructor)) static void last(void) { for (;;) {} }";
    let module = load(&executor, source);
    assert_eq!(number(&executor, module, "fine"), 7);
    let told = failure(executor.unload(module));
    assert_eq!(told.kind, ErrorKind::TimedOut, "{told}");
    assert_eq!(executor.list().unwrap(), []);
}

#[test]
fn a_crash_that_nobody_waits_for_counts() {
    require_tools!("clang-22");
    for keep in KEEPS {
        // At the end of a session, or of a process.
        let service = isolated(Isolation {
            quarantine: 1,
            ..isolation(keep)
        });
        let first = controller(&service);
        let module = load(&first, LAST);
        // A process for one call that had it loaded may have ended by now, and so crashed.
        if keep == Keep::Session {
            assert_eq!(number(&first, module, "fine"), 7);
        }
        drop(first);
        until_refused(&controller(&service), module);
    }
    // On a thread that goes on after its call.
    let service = isolated(Isolation {
        quarantine: 1,
        ..isolation(Keep::Session)
    });
    let executor = controller(&service);
    let module = load(
        &executor,
        "#include <pthread.h>
         #include <unistd.h>
         int fine(void) { return 7; }
         static void *later(void *p) { usleep(10000); return (void *)(long)*(volatile int *)8; }
         int begins(void) { pthread_t t; return pthread_create(&t, 0, later, 0); }",
    );
    assert_eq!(number(&executor, module, "begins"), 0);
    until_refused(&executor, module);
}

#[test]
fn of_64_calls_in_one_process_all_end_and_it_counts_once() {
    require_tools!("clang-22");
    let service = isolated(Isolation {
        quarantine: 2,
        ..isolation(Keep::Session)
    });
    let executor = pipelined(&service);
    let module = load(
        &executor,
        "#include <unistd.h>
         int fine(void) { return 7; }
         static volatile int n;
         int waits(void) { if (__atomic_add_fetch(&n, 1, 5) == 64) return *(volatile int *)8; for (;;) pause(); }",
    );
    let start = || {
        let call = executor.start_call(module, "waits", Some("i32 ()"), Order::Concurrent, &[]);
        call.unwrap()
    };
    let calls: Vec<_> = (0..64).map(|_| start()).collect();
    for call in calls {
        let failure = failure(call.wait());
        assert!(failure.message.contains("waits: SIGSEGV"), "{failure}");
        assert!(failure.message.contains("#0 waits+0x"), "{failure}");
    }
    assert_eq!(
        number(&executor, module, "fine"),
        7,
        "one crash is one crash"
    );
}

#[test]
fn what_runs_beside_a_late_call_is_told_so() {
    require_tools!("clang-22");
    let service = isolated(Isolation {
        deadline: deadline(),
        ..isolation(Keep::Session)
    });
    let executor = pipelined(&service);
    let module = load(
        &executor,
        "#include <unistd.h>\nint fine(void) { return 7; } int waits(void) { for (;;) pause(); }",
    );
    let call = || {
        executor
            .start_call(module, "waits", Some("i32 ()"), Order::Concurrent, &[])
            .unwrap()
    };
    let late = call();
    std::thread::sleep(deadline().unwrap() / 2);
    let beside = call();
    let late = failure(late.wait());
    assert_eq!(late.kind, ErrorKind::TimedOut, "{late}");
    let beside = failure(beside.wait());
    assert_eq!(beside.kind, ErrorKind::Crashed, "{beside}");
    assert!(
        beside.message.contains("something else took longer"),
        "{beside}"
    );
    assert_eq!(number(&executor, module, "fine"), 7);
}

#[test]
fn code_crashes_before_and_after_and_beside_what_it_calls() {
    require_tools!("clang-22");
    for keep in KEEPS {
        let service = isolated(isolation(keep));
        let executor = pipelined(&service);
        let (tell, told) = mpsc::channel();
        let tell = Mutex::new(tell);
        let closure = move |_: &Executor, arguments: &[Value]| {
            tell.lock().unwrap().send(()).unwrap();
            match arguments {
                [Value::Int { value: 0, .. }] => panic!("as it is meant to"),
                [Value::Int { value: 1, .. }] => Err("not today".to_owned()),
                other => Ok(other[0]),
            }
        };
        executor
            .define_function("ask", "i32 (i32)", closure)
            .unwrap();
        let module = load(
            &executor,
            "#include <pthread.h>
             #include <unistd.h>
             int ask(int);
             int fine(void) { return 7; }
             int after(int x) { return *(volatile int *)(long)ask(x); }
             static void *asks(void *p) { return (void *)(long)ask(9); }
             int beside(int x) { pthread_t t; pthread_create(&t, 0, asks, 0); if (x) usleep(x); return *(volatile int *)16; }",
        );
        let call = |function: &str, x| {
            executor.call(module, function, Some("i32 (i32)"), &mut [Argument::Int(x)])
        };
        for x in [0, 1] {
            let failed = failure(call("after", x));
            assert_eq!(failed.kind, ErrorKind::CallBack, "{failed}");
            told.recv().unwrap();
        }
        let crashed = failure(call("after", 24));
        assert!(
            crashed
                .message
                .contains("SIGSEGV: used a null pointer (address 0x18) at after+0x"),
            "{crashed}"
        );
        told.recv().unwrap();
        for x in [0, 100, 1000, 20_000] {
            let crashed = failure(call("beside", x));
            assert!(crashed.message.contains("at beside+0x"), "{crashed}");
            assert_eq!(number(&executor, module, "fine"), 7);
        }
    }
}

/// What ends in `std::terminate`: on a thread of its own, and where nothing may be thrown through. Nothing of that is of C++ alone.
const TERMINATES: &str = "
    #include <pthread.h>
    int fine(void) { return 7; }
    void *begin(void *x) { return (void *)(long)f(*(int *)x); }
    int throws(void) { return f(-1); }
    int throws_on_a_thread(void) { int x = -2; pthread_t t; pthread_create(&t, 0, begin, &x); return pthread_join(t, 0); }
    void _ZSt9terminatev(void) __attribute__((noreturn));
    int terminates(void) { _ZSt9terminatev(); }";

#[test]
fn an_exception_that_nobody_catches_is_one_crash_and_what_it_says_comes_back() {
    require_tools!("clang-22");
    for keep in KEEPS {
        let service = isolated(Isolation {
            quarantine: 3,
            ..isolation(keep)
        });
        let executor = controller(&service);
        let printed = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&printed);
        executor.on_output(move |is_error, bytes| {
            assert!(is_error);
            sink.lock().unwrap().extend_from_slice(bytes);
        });
        let module = load(&executor, &format!("{THROWS}{TERMINATES}"));
        // One that comes to the caller ends nothing.
        for _ in 0..5 {
            let call = executor.call(module, "throws", Some("i32 ()"), &mut []);
            assert_fails(call, ErrorKind::Threw, "throws");
        }
        assert_eq!(executor.statistics().unwrap().crashes, 0);
        for (n_crashes, (function, frame, says)) in (1..).zip([
            (
                "throws_on_a_thread",
                "begin",
                "terminate called after throwing an instance of 'int'\n",
            ),
            (
                "terminates",
                "terminates",
                "terminate called without an active exception\n",
            ),
        ]) {
            let failure = crash(&executor, module, function);
            let reason = format!("{function}: SIGABRT: it called abort at {frame}+0x");
            assert!(failure.message.contains(&reason), "{failure}");
            let said = std::mem::take(&mut *printed.lock().unwrap());
            // Behind it an emulator has its word.
            assert!(String::from_utf8(said).unwrap().starts_with(says));
            assert_eq!(executor.statistics().unwrap().crashes, n_crashes);
        }
    }
}
