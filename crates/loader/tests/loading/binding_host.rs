//! The host's own symbols, exported or not: this test program is the host.

use std::process::Command;

use farcall_loader::Loader;
use farcall_testkit::{require_tools, tools};

use crate::common::{call, load};

#[unsafe(no_mangle)]
extern "C" fn farcall_test_host_function(value: i32) -> i32 {
    value + farcall_test_host_variable
}

#[unsafe(no_mangle)]
#[used]
#[allow(non_upper_case_globals, reason = "its name is that of a C variable")]
static farcall_test_host_variable: i32 = 40;

#[used]
static KEPT: extern "C" fn(i32) -> i32 = farcall_test_host_function;

// What the program does not export: a function of its source file's, one that code chooses, and a variable of
// each thread's.
std::arch::global_asm!(
    // Sections that the linker keeps although nothing refers to them.
    ".pushsection .text.farcall_test,\"axR\",@progbits",
    ".type farcall_test_local, @function",
    "farcall_test_local:",
    #[cfg(target_arch = "x86_64")]
    "mov eax, 3",
    #[cfg(target_arch = "aarch64")]
    "mov w0, #3",
    "ret",
    ".type farcall_test_ifunc, @gnu_indirect_function",
    "farcall_test_ifunc:",
    #[cfg(target_arch = "x86_64")]
    "lea rax, [rip + farcall_test_local]",
    #[cfg(target_arch = "aarch64")]
    "adr x0, farcall_test_local",
    "ret",
    ".popsection",
    ".pushsection .tdata.farcall_test,\"awTR\",@progbits",
    ".type farcall_test_thread_local, @object",
    ".size farcall_test_thread_local, 4",
    ".p2align 2",
    "farcall_test_thread_local: .long 9",
    ".popsection",
);

const USES: &str = "int farcall_test_host_function(int); extern int farcall_test_host_variable;
    int uses(void) { return farcall_test_host_function(2) + farcall_test_host_variable; }";

#[test]
fn the_hosts_symbol_table_when_asked_for() {
    require_tools!("clang-22");
    let mut loader = Loader::new();
    let error = load(&loader, "uses.c", USES, &[]).unwrap_err().to_string();
    assert!(
        error.starts_with("uses.c: 2 missing symbols (searched: the host's exports)\n"),
        "{error}"
    );

    loader.host_symbols(true);
    let module = load(&loader, "uses.c", USES, &[]).unwrap();
    assert_eq!(call(&module, "uses"), 82);

    let error = load(
        &loader,
        "typo.c",
        "int farcall_test_host_functoin(int); int f(void) { return farcall_test_host_functoin(1); }",
        &[],
    );
    assert_eq!(
        error.unwrap_err().to_string(),
        "typo.c: missing symbol: farcall_test_host_functoin, used by typo.o: f; similar: farcall_test_host_function, \
         farcall_test_host_variable \
         (searched: the host's exports, the host's symbol table)"
    );
    let wrong = "TYPE(farcall_test_host_function, \"i32\") extern int farcall_test_host_function;
        int f(void) { return farcall_test_host_function; }";
    let error = load(&loader, "wrong.c", wrong, &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "wrong.c: farcall_test_host_function: imported as a variable, but the host's symbol table has a function, \
         used by wrong.o: f"
    );
}

#[test]
fn local_indirect_and_thread_local_symbols_of_the_host() {
    require_tools!("clang-22");
    let mut loader = Loader::new();
    loader.host_symbols(true);
    let source = "int farcall_test_local(void), farcall_test_ifunc(void);
        extern __thread int farcall_test_thread_local;
        int all(void) { return farcall_test_local() * 100 + farcall_test_ifunc() * 10 + farcall_test_thread_local++; }";
    let module = load(&loader, "all.c", source, &[]).unwrap();
    assert_eq!(call(&module, "all"), 339);
    assert_eq!(call(&module, "all"), 340);
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(call(&module, "all"), 339));
    });
}

/// Runs one of this program's tests in a process that `host` starts.
fn run_in(host: &mut Command, test: &str) {
    let output = host.args(["--ignored", "--exact", test]).output();
    let output = output.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

#[test]
fn a_stripped_host_says_so() {
    let objcopy = match cfg!(target_arch = "aarch64") {
        true => "aarch64-linux-gnu-objcopy",
        false => "objcopy",
    };
    require_tools!("clang-22", objcopy);
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("host");
    let own = std::env::current_exe().unwrap();
    let mut strip = Command::new(objcopy);
    let status = strip.arg("--strip-all").arg(own).arg(&copy).status();
    assert!(status.unwrap().success());
    run_in(&mut tools::start(copy), "binding_host::in_a_stripped_host");
}

#[test]
fn a_host_whose_file_is_not_known_says_so() {
    require_tools!("clang-22");
    let own = std::env::current_exe().unwrap();
    // A cross compiler's system has its own folder.
    let linkers: &[&str] = match cfg!(target_arch = "aarch64") {
        true => &[
            "/lib/ld-linux-aarch64.so.1",
            "/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1",
        ],
        false => &["/lib64/ld-linux-x86-64.so.2"],
    };
    let linker = linkers.iter().find(|path| std::fs::exists(path).unwrap());
    run_in(
        tools::start(linker.unwrap()).arg(own),
        "binding_host::in_a_host_that_the_dynamic_linker_was_told_to_run",
    );
}

#[test]
#[ignore = "run by `a_host_whose_file_is_not_known_says_so`"]
fn in_a_host_that_the_dynamic_linker_was_told_to_run() {
    let mut loader = Loader::new();
    loader.host_symbols(true);
    let error = load(&loader, "uses.c", USES, &[]).unwrap_err().to_string();
    assert!(
        error.starts_with(
            "uses.c: 2 missing symbols (searched: the host's exports, the host's symbol table (not read: \
             /proc/self/exe is not the program that runs))\n"
        ),
        "{error}"
    );
}

#[test]
#[ignore = "run by `a_stripped_host_says_so` in a stripped copy of this program"]
fn in_a_stripped_host() {
    let mut loader = Loader::new();
    loader.host_symbols(true);
    let error = load(&loader, "uses.c", USES, &[]).unwrap_err().to_string();
    assert!(
        error.starts_with(
            "uses.c: 2 missing symbols (searched: the host's exports, the host's symbol table (stripped))\n"
        ),
        "{error}"
    );
    // A table of definitions always works.
    loader.define_function(
        "farcall_test_host_function",
        farcall_test_host_function as extern "C" fn(i32) -> i32,
    );
    let source = "int farcall_test_host_function(int); int f(void) { return farcall_test_host_function(1); }";
    let module = load(&loader, "uses.c", source, &[]).unwrap();
    assert_eq!(call(&module, "f"), 41);
}

#[test]
fn functions_of_the_static_part_of_the_c_library() {
    require_tools!("clang-22");
    let source = r#"
        #include <fcntl.h>
        #include <stdlib.h>
        #include <sys/stat.h>
        #include <unistd.h>
        int pthread_atfork(void (*)(void), void (*)(void), void (*)(void));
        void __stack_chk_fail_local(void);
        static void nothing(void) {}
        int works(void) {
            struct stat a, b, c, d;
            char name[] = "/tmp/farcall-XXXXXX";
            int file = mkstemp(name);
            int same = stat(name, &a) == 0 && fstat(file, &b) == 0 && lstat(name, &c) == 0 &&
                fstatat(AT_FDCWD, name, &d, 0) == 0 && a.st_ino == b.st_ino && b.st_ino == c.st_ino &&
                c.st_ino == d.st_ino;
            unlink(name);
            close(file);
            int made = mknod(name, S_IFIFO | 0600, 0) == 0 && stat(name, &a) == 0 && S_ISFIFO(a.st_mode);
            unlink(name);
            int registered = atexit(nothing) == 0 && at_quick_exit(nothing) == 0 && pthread_atfork(0, 0, nothing) == 0;
            return same && made && registered && __stack_chk_fail_local != 0;
        }
    "#;
    let module = load(&Loader::new(), "static.c", source, &[]).unwrap();
    assert_eq!(call(&module, "works"), 1);
    module.unload().unwrap();
}
