//! The loader in programs without a dynamic linker: with musl, and with glibc's static library.
//!
//! The programs are those of `testdata/static-host`, built as users would build theirs, for x86-64: on AArch64 static hosts are not
//! supported yet with musl, nor built with glibc.

#![cfg(target_arch = "x86_64")]
#![allow(
    clippy::unwrap_used,
    unsafe_code,
    reason = "a test that cannot go on is to panic; what tests share loads code"
)]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use common::{image, image_with};
use farcall_testkit::{Linker, paths, require_targets, require_tools, tools};

const MUSL: &str = "x86_64-unknown-linux-musl";
const GLIBC: &str = "x86_64-unknown-linux-gnu";

/// Builds the programs; gives the folder that has them.
fn programs(target: &str) -> PathBuf {
    static BUILT: [OnceLock<()>; 2] = [const { OnceLock::new() }; 2];
    let target_dir = paths::target_dir().join("static-host");
    BUILT[usize::from(target == MUSL)].get_or_init(|| {
        let mut cargo = tools::cargo();
        cargo.args([
            "build",
            "--quiet",
            "--locked",
            "--package",
            "farcall-static-host",
        ]);
        cargo.args(["--profile", "small", "--target", target, "--target-dir"]);
        cargo.arg(&target_dir);
        // musl's programs are static unless told otherwise.
        cargo.env("RUSTFLAGS", "-Ctarget-feature=+crt-static");
        let output = cargo.output().unwrap();
        assert!(output.status.success(), "{target}: {}", shown(&output));
    });
    target_dir.join(target).join("small")
}

fn shown(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    format!("{}\n{out}{error}", output.status)
}

/// Runs a scenario with the images given on both kinds of hosts: exits with `status` after it has printed `expected`.
fn check_ends(scenario: &str, images: &[(&str, Vec<u8>)], status: i32, expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in images {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    for target in [MUSL, GLIBC] {
        let program = programs(target).join("farcall-static-host");
        let mut command = Command::new("timeout");
        command.args(["-s", "KILL", "120"]).arg(program);
        command.arg(scenario).arg(folder.path());
        let output = command.output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        let ends = output.status.code() == Some(status) && printed.trim() == unindented(expected);
        assert!(ends, "{target}: {scenario}: {}", shown(&output));
    }
}

fn check(scenario: &str, images: &[(&str, Vec<u8>)], expected: &str) {
    check_ends(scenario, images, 0, expected);
}

fn unindented(text: &str) -> String {
    let lines = text.trim().lines().map(str::trim);
    lines.collect::<Vec<_>>().join("\n")
}

macro_rules! require_both {
    () => {
        require_tools!("clang-22", "gcc", "timeout");
        require_targets!(MUSL, GLIBC);
    };
}

const BASE: &str = "
    void note(int);
    int value = 30;
    int base(void) { return ++value; }
    __attribute__((constructor)) static void begin(void) { note(1); }
    __attribute__((destructor)) static void end(void) { note(2); }";

#[test]
fn the_programs_have_no_dynamic_linker() {
    require_both!();
    require_tools!("readelf");
    for target in [MUSL, GLIBC] {
        let program = programs(target).join("farcall-static-host");
        let output = tools::run("readelf", &["-lW".as_ref(), program.as_os_str()]).unwrap();
        assert!(!shown(&output).contains("INTERP"), "{}", shown(&output));
    }
}

#[test]
fn names_come_from_tables_modules_and_the_symbol_table() {
    require_both!();
    let user = "
        void note(int);
        extern int value;
        int base(void);
        __attribute__((constructor)) static void begin(void) { note(3); }
        __attribute__((destructor)) static void end(void) { note(4); }
        int user(void) { return base() + value; }";
    let libc = "
        #include <stdlib.h>
        #include <string.h>
        int libc(void) {
            char *copy = malloc(6);
            memcpy(copy, \"hello\", 6);
            int result = strlen(copy);
            free(copy);
            return result;
        }";
    let images = [
        ("base", image("base.c", BASE)),
        ("user", image("user.c", user)),
        ("libc", image_with("libc.c", libc, &["-fno-builtin"])),
    ];
    let expected = "
        note 1
        note 3
        user 62
        base: in use: imported by user
        note 4
        note 2
        user is gone
        libc 5";
    check("bind", &images, expected);
}

#[test]
fn exit_handlers_run_at_unload_or_at_exit() {
    require_both!();
    let source = "
        #include <stdlib.h>
        void note(int);
        static void first(void) { note(1); }
        static void later(void) { note(2); }
        static void second(void) { note(3); atexit(later); }
        __attribute__((destructor)) static void end(void) { note(4); }
        int registers(void) { return atexit(first) + atexit(second); }";
    let expected = "
        registered 0
        note 3
        note 2
        note 1
        note 4
        unloaded
        registered 0
        note 3
        note 2
        note 1
        note 4";
    check("exit", &[("exits", image("exits.c", source))], expected);
}

#[test]
fn handlers_of_a_quick_exit_are_forgotten_with_their_module() {
    require_both!();
    let source = "
        #include <stdlib.h>
        void note(int);
        static void first(void) { note(1); }
        static void second(void) { note(2); }
        int registers(void) { return at_quick_exit(first) + at_quick_exit(second); }";
    let expected = "
        registered 0
        registered 0
        note 2
        note 1";
    let images = [("quick", image("quick.c", source))];
    check_ends("quick-exit", &images, 3, expected);
}

#[test]
fn each_thread_has_its_own_variables() {
    require_both!();
    let source = "
        void note(int);
        int __cxa_thread_atexit(void (*)(void *), void *, void *);
        extern char __dso_handle __attribute__((visibility(\"hidden\")));
        static _Thread_local int counter = 5;
        static void end(void *object) { note(*(int *)object + counter); }
        int next(void) { return ++counter; }
        int at_end(void) { return __cxa_thread_atexit(end, &counter, &__dso_handle); }";
    let expected = "
        main 6 7
        note 12
        other Ok((6, 0))
        main 8
        again 6";
    check(
        "threads",
        &[("locals", image("locals.c", source))],
        expected,
    );
}

#[test]
fn variables_of_the_host_are_reached_by_every_model() {
    require_both!();
    let source = "extern __thread int host_counter; int next(void) { return ++host_counter; }";
    let image = |options: &[&str]| image_with("model.c", source, options);
    let images = [
        ("general-dynamic", image(&[])),
        ("descriptors", image(&["-mtls-dialect=gnu2"])),
        ("initial-exec", image(&["-ftls-model=initial-exec"])),
    ];
    let expected = "
        general-dynamic 41 Ok(41)
        descriptors 42 Ok(41)
        initial-exec 43 Ok(41)";
    check("models", &images, expected);
}

fn passes(more: &str) -> Vec<u8> {
    let source = format!(
        "int call_back(int);
         {more}
         int passes(int value) {{ return call_back(value) + 1; }}"
    );
    image("passes.c", &source)
}

#[test]
fn panics_pass_through_modules() {
    require_both!();
    let images = [
        // The first of its process: without a window.
        ("passes-large", passes("char data[300000] = {1};")),
        // Zeroes beyond what a window has room for.
        ("passes-unpacked", passes("char zeroes[20 << 20];")),
        ("passes", passes("")),
    ];
    let expected = "
        passes-large Some(9) Err(Some(-7))
        passes-unpacked Some(9) Err(Some(-7))
        passes Some(9) Err(Some(-7))";
    check("unwind", &images, expected);
}

#[test]
fn panics_find_their_way_while_other_modules_come_and_go() {
    require_both!();
    let images = [
        ("passes-unpacked", passes("char zeroes[20 << 20];")),
        ("passes", passes("")),
    ];
    check("churn", &images, "caught 5000, others true");
}

#[test]
fn exceptions_are_caught_in_a_module_with_its_own_runtime() {
    require_both!();
    let output = tools::run("clang-22", &["-print-file-name=libsupc++.a"]).unwrap();
    let library = std::fs::read(String::from_utf8(output.stdout).unwrap().trim()).unwrap();
    let source = "
        static int destroyed;
        struct Guard { ~Guard() { destroyed++; } };
        static void fail(int depth) {
            Guard guard;
            if (depth == 0) throw 100;
            fail(depth - 1);
        }
        extern \"C\" int throws() {
            try { fail(4); } catch (int value) { return value + destroyed; }
            return -1;
        }";
    let object = common::object("throws.cpp", source, &[]);
    let mut linker = Linker::new();
    linker.add("throws.o", &object);
    let image = linker.library("libsupc++.a", &library).link().unwrap();
    let expected = "
        caught 105 110
        unloaded";
    check("throw", &[("throws", image)], expected);
}

#[test]
fn many_modules_leave_nothing() {
    require_both!();
    let expected = "
        sum 303 caught 101
        sum 303 caught 101
        mappings grew by 0";
    check("many", &[("passes", passes(""))], expected);
}

#[test]
fn handlers_of_forks_are_forgotten_with_their_module() {
    require_both!();
    let source = "
        #include <pthread.h>
        void note(int);
        static void before(void) { note(10); }
        static int count;
        static void in_parent(void) { count++; }
        int forks(void) { return count; }
        static void in_child(void) { note(30); }
        int registers(void) { return pthread_atfork(before, in_parent, in_child); }";
    let images = [
        ("forks", image("forks.c", source)),
        ("base", image("base.c", BASE)),
    ];
    // The child is waited for before the parent goes on, and prints what it loads.
    let expected = "
        registered 0
        note 10
        note 30
        note 1
        note 2
        child 31
        parent 1
        unloaded
        note 1
        note 2
        child 31";
    check("forks", &images, expected);
}

#[test]
fn what_a_static_host_cannot_do_is_said() {
    require_both!();
    let own = "static __thread int own = 1; int next(void) { return ++own; }";
    let images = [
        (
            "wants",
            image(
                "wants.c",
                "int puts(const char *); int f(void) { return puts(\"\"); }",
            ),
        ),
        (
            "own-initial-exec",
            image_with("own.c", own, &["-ftls-model=initial-exec"]),
        ),
    ];
    let expected = "
        wants: missing symbol: puts, used by wants.o: f (searched: 2 definitions, the host's exports (a static host has \
        next to none: define what images import, or search its symbol table with Loader::host_symbols))
        wants: missing symbol: puts, used by wants.o: f (searched: 2 definitions, the host's exports (a static host has \
        next to none: define what images import, or search its symbol table with Loader::host_symbols), \
        libm.so.6 (not opened: a static host cannot open libraries))
        own-initial-exec: no room for its thread-local variables (4 bytes, aligned to 4), which its code uses in the \
        initial-exec model: a static host has what it was linked with: compile with -fPIC and without -ftls-model";
    check("refused", &images, expected);
}

/// The most that a program may grow by when it loads images, in bytes.
const MOST: u64 = 400_000;

#[test]
fn a_program_grows_by_less_than_400_kilobytes() {
    require_both!();
    require_tools!("strip");
    let folder = tempfile::tempdir().unwrap();
    let image_path = folder.path().join("image");
    let source = "void log(long); int run(int value) { log(41); return value + 1; }";
    let source = format!("TYPE(log, \"void (i64)\")\nTYPE(run, \"i32 (i32)\")\n{source}");
    std::fs::write(&image_path, image_with("run.c", &source, &["-fno-builtin"])).unwrap();
    for target in [MUSL, GLIBC] {
        let stripped = |name: &str| {
            let (from, to) = (programs(target).join(name), folder.path().join(name));
            let args = [Path::new("-o"), &to, &from].map(Path::as_os_str);
            tools::run("strip", &args).unwrap();
            to
        };
        let (hello, loads) = (
            stripped("farcall-static-hello"),
            stripped("farcall-static-loads"),
        );
        let output = Command::new(&loads).arg(&image_path).output().unwrap();
        assert_eq!(output.stdout, b"hello\n41\n2\n", "{}", shown(&output));
        let size = |path: &Path| path.metadata().unwrap().len();
        let growth = size(&loads) - size(&hello);
        println!(
            "{target}: {} bytes, {growth} of them the loader's",
            size(&loads)
        );
        assert!(growth < MOST, "{target}: {growth} bytes");
    }
}
