//! What shipped code tries that is to reach beyond its process, and what it needs and has.

// An emulator knows neither seccomp nor Landlock.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use common::isolated::{KEEPS, crash, isolated, isolation, load};
use common::{controller, number};
use farcall_executor::{Argument, Executor, Isolation, Keep, Value};
use farcall_image::Digest;
use farcall_testkit::require_tools;

/// Makes any system call, and others that take more than one.
const CALLS: &str = r#"
    #define _GNU_SOURCE
    #include <errno.h>
    #include <fcntl.h>
    #include <linux/capability.h>
    #include <signal.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/ioctl.h>
    #include <sys/mman.h>
    #include <sys/prctl.h>
    #include <sys/socket.h>
    #include <sys/stat.h>
    #include <sys/syscall.h>
    #include <sys/un.h>
    #include <unistd.h>
    int fine(void) { return 7; }
    static int error(long result) { return result < 0 ? errno : 0; }
    int makes(long number, long a, long b, long c, long d, long e) { return error(syscall(number, a, b, c, d, e, 0)); }
    int opens(const char *path, int flags) { int file = open(path, flags, 0600); int is = error(file); if (file >= 0) close(file); return is; }
    int makes_a_folder(const char *path) { return error(syscall(SYS_mkdirat, AT_FDCWD, path, 0700)); }
    int removes(const char *path) { return error(unlink(path)); }
    int executes_memory(void) {
        int file = memfd_create("program", 0);
        char *none[] = {0};
        write(file, "\x7f" "ELF", 4);
        return error(syscall(SYS_execveat, file, "", none, none, AT_EMPTY_PATH));
    }
    /* Sends from one of a pair to a socket with a name. */
    int sends_to(const char *path) {
        struct sockaddr_un to = {AF_UNIX};
        int pair[2];
        strncpy(to.sun_path, path, sizeof to.sun_path - 1);
        if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair)) return errno;
        return error(sendto(pair[0], "x", 1, 0, (struct sockaddr *)&to, sizeof to));
    }
    /* Has the system send a signal to whoever started it, when something can be read. */
    int has_its_parent_killed(void) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) return errno;
        int is = error(fcntl(pair[0], F_SETOWN, getppid()));
        fcntl(pair[0], F_SETSIG, SIGKILL);
        fcntl(pair[0], F_SETFL, O_ASYNC);
        write(pair[1], "x", 1);
        return is;
    }
    int has_capabilities(void) {
        struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
        struct __user_cap_data_struct data[2];
        syscall(SYS_capget, &head, data);
        return (data[0].effective | data[0].permitted | data[1].effective | data[1].permitted) != 0;
    }
    int open_files(void) { int n = 0; for (int fd = 0; fd < 4096; fd++) n += fcntl(fd, F_GETFD) >= 0; return n; }
    int open_sockets(void) { struct stat is; int n = 0; for (int fd = 0; fd < 4096; fd++) n += !fstat(fd, &is) && S_ISSOCK(is.st_mode); return n; }
    int has_file(int fd) { return fcntl(fd, F_GETFD) >= 0; }
    int by_32_bit_call(void) { int is; __asm__ volatile("int $0x80" : "=a"(is) : "a"(20) : "memory"); return is; }
"#;

fn value(
    executor: &Executor,
    module: Digest,
    function: &str,
    arguments: &mut [Argument<'_>],
) -> u64 {
    let signature = match arguments {
        [] => "i32 ()",
        [Argument::Int(_)] => "i32 (i32)",
        [_] => "i32 (ptr)",
        [_, _] => "i32 (ptr, i32)",
        _ => "i32 (i64, i64, i64, i64, i64, i64)",
    };
    match executor.call(module, function, Some(signature), arguments) {
        Ok(Value::Int { value, .. }) => value,
        other => panic!("{function}: {other:?}"),
    }
}

#[test]
fn calls_that_reach_beyond_the_process_are_refused() {
    require_tools!("clang-22");
    let service = isolated(isolation(Keep::Session));
    let executor = controller(&service);
    let module = load(&executor, CALLS);
    let own = u64::from(std::process::id());
    let (read, dgram, raw) = (u64::from(libc::SIGIO.cast_unsigned()), 2, 3);
    let at = 1 << 12;
    for (call, arguments) in [
        (libc::SYS_socket, [2, 1, 0, 0]),
        (libc::SYS_socket, [16, 3, 0, 0]),
        (libc::SYS_connect, [0, at, 16, 0]),
        (libc::SYS_bind, [0, at, 16, 0]),
        (libc::SYS_accept4, [0, 0, 0, 0]),
        (libc::SYS_socketpair, [1, dgram, 0, at]),
        (libc::SYS_socketpair, [1, raw, 0, at]),
        (libc::SYS_socketpair, [1, dgram | 0o2_000_000, 0, at]),
        (libc::SYS_socketpair, [30, 1, 0, at]),
        (libc::SYS_execve, [at, 0, 0, 0]),
        (libc::SYS_execveat, [0, at, 0, 0]),
        (libc::SYS_fork, [0; 4]),
        (libc::SYS_vfork, [0; 4]),
        (libc::SYS_clone, [17, 0, 0, 0]),
        (libc::SYS_clone, [0x1000_0011, 0, 0, 0]),
        (libc::SYS_unshare, [0x1000_0000, 0, 0, 0]),
        (libc::SYS_setns, [0; 4]),
        (libc::SYS_ptrace, [16, own, 0, 0]),
        (libc::SYS_process_vm_readv, [own, at, 1, at]),
        (libc::SYS_process_vm_writev, [own, at, 1, at]),
        (libc::SYS_process_madvise, [0; 4]),
        (libc::SYS_pidfd_open, [own, 0, 0, 0]),
        (libc::SYS_pidfd_getfd, [0; 4]),
        (libc::SYS_pidfd_send_signal, [0; 4]),
        (libc::SYS_kcmp, [own, own, 0, 0]),
        (libc::SYS_kill, [own, 0, 0, 0]),
        (libc::SYS_kill, [0, 0, 0, 0]),
        (libc::SYS_kill, [u64::MAX, 0, 0, 0]),
        (libc::SYS_tkill, [own, 0, 0, 0]),
        (libc::SYS_tgkill, [own, own, 0, 0]),
        (libc::SYS_rt_sigqueueinfo, [own, read, at, 0]),
        (libc::SYS_rt_tgsigqueueinfo, [own, own, read, at]),
        (libc::SYS_prlimit64, [own, 7, 0, 0]),
        (libc::SYS_prlimit64, [0, 7, at, 0]),
        (libc::SYS_prlimit64, [0, 7, 1 << 32, 0]),
        (libc::SYS_setrlimit, [7, at, 0, 0]),
        (libc::SYS_setpriority, [0, own, 19, 0]),
        (libc::SYS_setpriority, [1, 0, 19, 0]),
        (libc::SYS_ioprio_set, [1, own, 0, 0]),
        (libc::SYS_sched_setaffinity, [own, 8, at, 0]),
        (libc::SYS_sched_setscheduler, [own, 0, at, 0]),
        (libc::SYS_get_robust_list, [own, at, at, 0]),
        (libc::SYS_move_pages, [own, 0, 0, 0]),
        (libc::SYS_setsid, [0; 4]),
        (libc::SYS_setpgid, [0; 4]),
        (libc::SYS_fcntl, [0, 8, own, 0]),
        (libc::SYS_fcntl, [0, 10, 9, 0]),
        (libc::SYS_fcntl, [0, 15, at, 0]),
        (libc::SYS_ioctl, [0, 0x8901, at, 0]),
        (libc::SYS_ioctl, [0, 0x8902, at, 0]),
        (libc::SYS_ioctl, [0, 0x5412, at, 0]),
        (libc::SYS_prctl, [1, 0, 0, 0]),
        (libc::SYS_io_uring_setup, [8, at, 0, 0]),
        (libc::SYS_bpf, [0, at, 0, 0]),
        (libc::SYS_userfaultfd, [0; 4]),
        (libc::SYS_perf_event_open, [at, 0, 0, 0]),
        (libc::SYS_open_by_handle_at, [0; 4]),
        (libc::SYS_fanotify_init, [0; 4]),
        (libc::SYS_inotify_add_watch, [0; 4]),
        (libc::SYS_mount, [0; 4]),
        (libc::SYS_umount2, [0; 4]),
        (libc::SYS_chroot, [0; 4]),
        (libc::SYS_pivot_root, [0; 4]),
        (libc::SYS_open_tree, [0; 4]),
        (libc::SYS_fsopen, [0; 4]),
        (libc::SYS_personality, [0x0040_0000, 0, 0, 0]),
        (libc::SYS_add_key, [0; 4]),
        (libc::SYS_request_key, [0; 4]),
        (libc::SYS_keyctl, [0; 4]),
        (libc::SYS_shmget, [0; 4]),
        (libc::SYS_shmat, [0; 4]),
        (libc::SYS_semop, [0; 4]),
        (libc::SYS_msgsnd, [0; 4]),
        (libc::SYS_mq_open, [0; 4]),
        (libc::SYS_chmod, [0; 4]),
        (libc::SYS_fchmodat2, [0; 4]),
        (libc::SYS_utime, [0; 4]),
        (libc::SYS_setxattr, [0; 4]),
        (libc::SYS_removexattr, [0; 4]),
        (libc::SYS_chdir, [0; 4]),
        (libc::SYS_modify_ldt, [1, at, 16, 0]),
    ] {
        let call_number = call.cast_unsigned();
        let mut all = [
            call_number,
            arguments[0],
            arguments[1],
            arguments[2],
            arguments[3],
            0,
        ]
        .map(Argument::Int);
        let error = value(&executor, module, "makes", &mut all);
        assert_eq!(
            error,
            u64::from(libc::EPERM.cast_unsigned()),
            "{call} {arguments:?}"
        );
    }
    // Other numbers for the same calls: `getpid` of x32, and of the 32-bit ABI.
    let mut x32 = [0x4000_0000 | 39, 0, 0, 0, 0, 0].map(Argument::Int);
    let error = value(&executor, module, "makes", &mut x32);
    assert_eq!(error, u64::from(libc::ENOSYS.cast_unsigned()));
    let failure = crash(&executor, module, "by_32_bit_call");
    assert!(
        failure.message.contains("SIGSYS") || failure.message.contains("SIGSEGV"),
        "{failure}"
    );
}

#[test]
fn files_are_not_there_but_for_the_system_s_own() {
    require_tools!("clang-22");
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own");
    std::fs::write(&own, "secret").unwrap();
    let own = own.to_str().unwrap();
    let service = isolated(isolation(Keep::Session));
    let executor = controller(&service);
    let module = load(&executor, CALLS);
    let parent = format!("/proc/{}/mem", std::process::id());
    let libc = std::fs::read_to_string("/proc/self/maps").unwrap();
    let libc = libc
        .split_whitespace()
        .find(|word| word.ends_with("libc.so.6"))
        .unwrap();
    let open = |path: &str, flags: i32| {
        let path = format!("{path}\0");
        let mut arguments = [
            Argument::In(path.as_bytes()),
            Argument::Int(flags.cast_unsigned().into()),
        ];
        value(&executor, module, "opens", &mut arguments)
    };
    for path in [
        own,
        "/etc/shadow",
        "/etc/passwd",
        "/etc/hostname",
        "/proc/self/environ",
        "/proc/self/mem",
        &parent,
        "/root",
        "/home",
        "/tmp",
        "/",
        "/sys/kernel",
        "/var/log",
        "/usr/bin/env",
    ] {
        assert_eq!(open(path, libc::O_RDONLY), 13, "{path}");
    }
    let new = format!("{own}-new");
    for (path, flags) in [
        (own, libc::O_WRONLY),
        (own, libc::O_WRONLY | libc::O_TRUNC),
        (&new, libc::O_WRONLY | libc::O_CREAT),
        ("/dev/shm/farcall", libc::O_RDWR | libc::O_CREAT),
        (libc, libc::O_RDWR),
        ("/tmp", libc::O_TMPFILE | libc::O_RDWR),
        ("/usr/lib", libc::O_TMPFILE | libc::O_RDWR),
    ] {
        assert_eq!(open(path, flags), 13, "{path}");
    }
    for path in [libc, "/dev/urandom", "/dev/null"] {
        assert_eq!(open(path, libc::O_RDONLY), 0, "{path}");
    }
    for (function, path) in [("removes", own), ("makes_a_folder", &new)] {
        let path = format!("{path}\0");
        let refused = value(
            &executor,
            module,
            function,
            &mut [Argument::In(path.as_bytes())],
        );
        assert_eq!(refused, 13, "{function}");
    }
    assert_eq!(std::fs::read_to_string(own).unwrap(), "secret");
    assert_ne!(number(&executor, module, "executes_memory"), 0);
}

#[test]
fn other_processes_are_out_of_reach() {
    require_tools!("clang-22");
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let listener = UnixDatagram::bind(&socket).unwrap();
    listener.set_nonblocking(true).unwrap();
    for sandbox in [false, true] {
        let service = isolated(Isolation {
            sandbox,
            ..isolation(Keep::Session)
        });
        let executor = controller(&service);
        let module = load(&executor, CALLS);
        let to = format!("{}\0", socket.display());
        let refused = value(
            &executor,
            module,
            "sends_to",
            &mut [Argument::In(to.as_bytes())],
        );
        assert_eq!(refused != 0, sandbox);
        assert_eq!(listener.recv(&mut [0; 8]).is_err(), sandbox);
        if sandbox {
            let before = number(&executor, module, "has_capabilities");
            assert_eq!(before, 0);
            assert_ne!(number(&executor, module, "has_its_parent_killed"), 0);
        }
        assert_eq!(number(&executor, module, "fine"), 7);
    }
}

/// What ordinary code does.
const ORDINARY: &str = r#"
    #define _GNU_SOURCE
    #include <fcntl.h>
    #include <locale.h>
    #include <math.h>
    #include <pthread.h>
    #include <sched.h>
    #include <semaphore.h>
    #include <setjmp.h>
    #include <signal.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/epoll.h>
    #include <sys/eventfd.h>
    #include <sys/mman.h>
    #include <sys/random.h>
    #include <sys/resource.h>
    #include <sys/socket.h>
    #include <sys/time.h>
    #include <sys/timerfd.h>
    #include <sys/utsname.h>
    #include <time.h>
    #include <unistd.h>
    int fine(void) { return 7; }
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static int n;
    static void *counts(void *p) { pthread_setname_np(pthread_self(), "counts"); for (int i = 0; i < 1000; i++) { pthread_mutex_lock(&lock); n++; pthread_mutex_unlock(&lock); } return p; }
    static volatile int handled;
    static void handle(int s) { handled = s; }
    static sigjmp_buf back;
    static void jump(int s) { siglongjmp(back, 1); }
    int lives(void) {
        pthread_t threads[8];
        for (int i = 0; i < 8; i++) if (pthread_create(&threads[i], 0, counts, 0)) return 1;
        for (int i = 0; i < 8; i++) pthread_join(threads[i], 0);
        if (n != 8000) return 2;
        char *large = malloc(64 << 20);
        if (!large) return 3;
        memset(large, 1, 64 << 20);
        free(large);
        void *page = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED || mprotect(page, 4096, PROT_READ) || munmap(page, 1 << 20)) return 4;
        struct timespec now, little = {0, 1000000};
        if (clock_gettime(CLOCK_REALTIME, &now) || now.tv_sec < 1 || nanosleep(&little, 0)) return 5;
        time_t then = 0;
        struct tm parts;
        if (!localtime_r(&then, &parts) || !gmtime_r(&then, &parts) || parts.tm_year != 70) return 6;
        unsigned char bytes[16] = {0};
        if (getrandom(bytes, 16, 0) != 16) return 7;
        char text[64];
        snprintf(text, sizeof text, "%.3f %s", sqrt(2) + sin(0), "text");
        if (strcmp(text, "1.414 text")) return 8;
        if (!setlocale(LC_ALL, "C.UTF-8") && !setlocale(LC_ALL, "C")) return 9;
        signal(SIGUSR1, handle);
        if (raise(SIGUSR1) || handled != SIGUSR1 || kill(getpid(), SIGUSR1)) return 10;
        signal(SIGSEGV, jump);
        if (!sigsetjmp(back, 1)) *(volatile int *)8 = 1;
        struct rlimit limit;
        if (getrlimit(RLIMIT_NOFILE, &limit)) return 11;
        struct utsname name;
        if (uname(&name) || sysconf(_SC_NPROCESSORS_ONLN) < 1 || getpid() < 2) return 12;
        cpu_set_t set;
        if (sched_getaffinity(0, sizeof set, &set) || sched_setaffinity(0, sizeof set, &set) || sched_yield()) return 13;
        int pair[2], ends[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) || write(pair[0], "x", 1) != 1 || read(pair[1], text, 1) != 1) return 14;
        if (pipe(ends) || write(ends[1], "x", 1) != 1 || fcntl(ends[0], F_SETFL, O_NONBLOCK)) return 15;
        struct epoll_event event = {EPOLLIN};
        int epoll = epoll_create1(0);
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event) || epoll_wait(epoll, &event, 1, 1000) != 1) return 16;
        if (eventfd(0, 0) < 0 || timerfd_create(CLOCK_MONOTONIC, 0) < 0) return 17;
        int file = memfd_create("memory", 0);
        if (file < 0 || ftruncate(file, 4096) || mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) == MAP_FAILED) return 18;
        struct itimerval timer = {{0, 0}, {0, 1000}};
        signal(SIGALRM, handle);
        setitimer(ITIMER_REAL, &timer, 0);
        pause();
        if (handled != SIGALRM) return 19;
        sem_t semaphore;
        if (sem_init(&semaphore, 0, 1) || sem_wait(&semaphore)) return 20;
        if (printf("printed\n") != 8 || fflush(stdout)) return 21;
        if (!getenv("PATH") || getpriority(PRIO_PROCESS, 0) > 19) return 22;
        return 0;
    }
"#;

#[test]
fn ordinary_code_has_what_it_needs() {
    require_tools!("clang-22");
    for keep in KEEPS {
        let service = isolated(isolation(keep));
        let executor = controller(&service);
        let module = load(&executor, ORDINARY);
        assert_eq!(number(&executor, module, "lives"), 0, "{keep:?}");
    }
}

#[test]
fn workers_have_no_files_of_whoever_started_the_executor() {
    require_tools!("clang-22");
    // The shell's file 7 is meant for nobody.
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}", folder.path().join("socket").display());
    let program = env!("CARGO_BIN_EXE_farcall-executor");
    let script = format!("exec 7</etc/passwd; exec {program} --listen {socket} --trust-unsigned");
    let mut command = Command::new("sh");
    command
        .args(["-c", &script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let process = common::start_command(command);
    let executor = process.connect();
    let module = load(&executor, CALLS);
    assert_eq!(
        value(&executor, module, "has_file", &mut [Argument::Int(2)]),
        1
    );
    assert_eq!(
        value(&executor, module, "has_file", &mut [Argument::Int(7)]),
        0
    );
}

#[test]
fn workers_have_no_connection_but_their_own() {
    require_tools!("clang-22");
    for keep in KEEPS {
        let service = isolated(isolation(keep));
        let executor = controller(&service);
        let module = load(&executor, CALLS);
        // That of a template, which a worker is forked off, would lead to the executor.
        for _ in 0..3 {
            let n_sockets = value(&executor, module, "open_sockets", &mut []);
            assert_eq!(n_sockets, 1, "{keep:?}");
        }
    }
}
