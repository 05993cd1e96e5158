//! Running images as programs: this binary runs itself with the image to run, because a program
//! ends its process.

#![allow(
    unsafe_code,
    clippy::unwrap_used,
    reason = "a test that cannot go on is to panic; running the image is what is tested"
)]

mod common;

use std::ffi::CString;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Output;

use common::{image, system_loader};
use farcall_image::Image;
use farcall_loader::TrustedImage;
use farcall_testkit::{require_tools, tools};

/// Names the image that this process is to run.
const IMAGE: &str = "FARCALL_TEST_IMAGE";

fn main() {
    if let Some(path) = std::env::var_os(IMAGE) {
        run(&std::fs::read(path).unwrap());
    }
    require_tools!("clang-22");
    for (name, check) in CASES {
        check();
        println!("{name}: ok");
    }
}

fn run(bytes: &[u8]) {
    // SAFETY: the tests link their images themselves.
    let image = unsafe { TrustedImage::assume_trusted(Image::parse(bytes).unwrap()) };
    let args = std::env::args_os().map(|arg| CString::new(arg.into_vec()).unwrap());
    // SAFETY: this is the main and only thread.
    let result = unsafe { system_loader().run_program(&image, &[], args.collect()) };
    eprintln!("{}", result.unwrap_err());
    std::process::exit(99);
}

const CASES: &[(&str, fn())] = &[
    ("arguments and exit status", arguments_and_exit_status),
    ("order at exit", order_at_exit),
    ("uncaught exceptions", uncaught_exceptions),
    ("names and signals", names_and_signals),
    ("no main", no_main),
];

fn output(name: &str, source: &str, args: &[&str]) -> Output {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), image(name, source)).unwrap();
    let mut command = tools::start(std::env::current_exe().unwrap());
    command.env(IMAGE, file.path()).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn arguments_and_exit_status() {
    let source = r#"
        #include <stdio.h>
        #include <stdlib.h>
        static int seen;
        __attribute__((constructor)) static void first(int argc, char **argv, char **envp) {
            seen = argc + (argv[argc] == NULL) + (envp != NULL);
        }
        int main(int argc, char **argv, char **envp) {
            argv[1][0] = 'X';
            printf("%d %s %s %d %d", argc, argv[1], argv[2], seen, getenv("FARCALL_TEST_IMAGE") != NULL);
            return 300;
        }"#;
    let output = output("args.c", source, &["one", "two words"]);
    assert_eq!(text(&output.stdout), "3 Xne two words 5 1");
    assert_eq!(output.status.code(), Some(300 % 256));
}

fn order_at_exit() {
    let source = r#"
        #include <cstdio>
        #include <cstdlib>
        struct Object { const char *name; ~Object() { puts(name); } };
        static Object object{"static object"};
        static thread_local Object mine{"thread-local object"};
        __attribute__((destructor)) static void destructor() { puts("destructor"); }
        int main() {
            static Object local{"local object"};
            puts(mine.name + 13);
            atexit([] { puts("handler"); });
            exit(3);
        }"#;
    let output = output("exit.cpp", source, &[]);
    assert_eq!(
        text(&output.stdout),
        "object\nthread-local object\nhandler\nlocal object\nstatic object\ndestructor\n"
    );
    assert_eq!(output.status.code(), Some(3));
}

fn uncaught_exceptions() {
    let in_main = r#"#include <stdexcept>
        int main() { throw std::runtime_error("nobody catches me"); }"#;
    let in_constructor = r#"#include <stdexcept>
        struct Object { Object() { throw std::runtime_error("nobody catches me"); } };
        static Object object;
        int main() {}"#;
    for source in [in_main, in_constructor] {
        let output = output("throws.cpp", source, &[]);
        let message = "terminate called after throwing an instance of 'std::runtime_error'\n  \
            what():  nobody catches me\n";
        let said = text(&output.stderr);
        // An emulator has something to say too.
        let said = said
            .split_inclusive('\n')
            .filter(|line| !line.starts_with("qemu: "));
        assert_eq!(said.collect::<String>(), message);
        assert_eq!(output.status.signal(), Some(6));
    }
}

fn names_and_signals() {
    let source = r#"
        #define _GNU_SOURCE
        #include <assert.h>
        #include <errno.h>
        #include <signal.h>
        #include <string.h>
        int main(int argc, char **argv) {
            struct sigaction action;
            int signals[] = { SIGPIPE, SIGSEGV, SIGBUS };
            for (int i = 0; i < 3; i++) {
                sigaction(signals[i], NULL, &action);
                if (action.sa_handler != SIG_DFL) return 1;
            }
            stack_t stack;
            sigaltstack(NULL, &stack);
            if (!(stack.ss_flags & SS_DISABLE)) return 2;
            if (strcmp(program_invocation_name, argv[0])) return 3;
            if (strchr(program_invocation_short_name, '/')) return 4;
            raise(SIGPIPE);
            return 5;
        }"#;
    let output = output("names.c", source, &[]);
    assert_eq!(output.status.signal(), Some(13), "{output:?}");
}

fn no_main() {
    let source = r#"#include <stdio.h>
        __attribute__((constructor)) static void first(void) { puts("ran"); }
        int mian(void) { return 0; }"#;
    let output = output("mian.c", source, &[]);
    assert_eq!(text(&output.stdout), "");
    assert!(
        text(&output.stderr).ends_with(": no export is named main; similar: mian\n"),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(99));
}
