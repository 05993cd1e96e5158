//! Whatever is wrong with what a user gives gets one clear message and an exit code, and nothing
//! breaks.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, also outside of the functions that are marked as tests"
)]

mod common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{Executor, Folder, Outcome, farcall, farcall_in, run};
use farcall_testkit::require_tools;

const SUM: &str = "target triple = \"x86_64-pc-linux-gnu\"
define i32 @sum(i32 %a, i32 %b) {
  %c = add i32 %a, %b
  ret i32 %c
}
";

/// The message, which names the input and holds all of these parts.
#[track_caller]
fn assert_message(outcome: Outcome, input: &str, parts: &[&str]) {
    let message = outcome.refused();
    assert!(message.starts_with(&format!("{input}:")), "{message}");
    for part in parts {
        assert!(message.contains(part), "no {part:?} in: {message}");
    }
}

/// A folder with an image of [`SUM`].
fn with_sum() -> Folder {
    let folder = Folder::new();
    folder.write("sum.ll", SUM);
    folder.build("sum", &["sum.ll"]);
    folder
}

#[test]
fn files_that_are_nothing() {
    let folder = Folder::new();
    for name in ["empty.ll", "empty.bc", "empty.o", "empty.a", "empty"] {
        folder.write(name, "");
    }
    for name in ["noise.ll", "noise.bc", "noise.o", "noise.a", "noise"] {
        folder.write(name, b"\x01noise \xff\xfe\0 and more of it");
    }
    for name in ["folder", "folder.ll", "folder.o"] {
        fs::create_dir(folder.file(name)).unwrap();
    }
    let cases = [
        ("empty.ll", "the file is empty"),
        ("empty.bc", "the file is empty"),
        ("empty.o", "the file is empty"),
        ("empty.a", "the file is empty"),
        ("empty", "the file is empty"),
        ("noise.ll", "noise.ll:1:1: expected top-level entity"),
        ("noise.bc", "noise.bc:1:1: expected top-level entity"),
        ("noise.o", "not an object file or archive"),
        ("noise.a", "not an object file or archive"),
        (
            "noise",
            "neither IR (.ll, .bc), nor an object, an archive, an image or a bundle",
        ),
        ("folder", "cannot read: Is a directory"),
        ("folder.ll", "cannot read: Is a directory"),
        ("folder.o", "cannot read: Is a directory"),
        ("missing", "cannot read: No such file"),
        ("missing.ll", "cannot read: No such file"),
    ];
    for (input, part) in cases {
        assert_message(farcall_in(&folder, &["run", input]), input, &[part]);
        let build = ["build", input, "-o", "image"];
        assert_message(farcall_in(&folder, &build), input, &[part]);
        assert!(!folder.file("image").exists());
    }
    for input in ["empty", "noise", "folder", "missing"] {
        assert_message(farcall_in(&folder, &["inspect", input]), input, &[]);
        assert_message(farcall_in(&folder, &["call", input, "f"]), input, &[]);
    }
}

#[test]
fn ir_that_llvm_refuses() {
    let folder = Folder::new();
    folder.write("syntax.ll", SUM.replace("add i32", "ad i32"));
    folder.write("undefined.ll", SUM.replace("%a, %b\n", "%a, %nobody\n"));
    folder.write("invalid.ll", SUM.replace("%a, %b\n", "%c, %b\n"));
    for triple in [
        "aarch64-unknown-linux-gnu",
        "wasm32-unknown-unknown",
        "x86_64-pc-windows-msvc",
        "x86_64-apple-darwin",
    ] {
        let input = format!("{triple}.ll");
        folder.write(&input, SUM.replace("x86_64-pc-linux-gnu", triple));
        let parts = ["target triple", triple, "x86_64"];
        assert_message(farcall_in(&folder, &["run", &input]), &input, &parts);
    }
    folder.write(
        "layout.ll",
        format!("target datalayout = \"e-p:32:32\"\n{SUM}"),
    );
    let cases: &[(&str, &[&str])] = &[
        (
            "syntax.ll",
            &[
                "syntax.ll:3:8: expected instruction opcode",
                "\n  %c = ad i32",
            ],
        ),
        (
            "undefined.ll",
            &[
                "undefined.ll:3:20: use of undefined value '%nobody'",
                "\n  %c =",
            ],
        ),
        (
            "invalid.ll",
            &[
                "invalid IR: Only PHI nodes may reference their own value",
                "%c = add",
            ],
        ),
        ("layout.ll", &["data layout", "e-p:32:32"]),
    ];
    for (input, parts) in cases {
        let build = ["build", input, "-o", "image"];
        assert_message(farcall_in(&folder, &build), input, parts);
    }
    assert!(!folder.file("image").exists());
}

#[test]
fn truncated_files() {
    require_tools!("clang-22", "ar");
    let folder = Folder::new();
    let source = "#include <stdio.h>\nint main(void) { return printf(\"%d\\n\", 1) - 2; }";
    folder.compile("whole.bc", source, &[]);
    folder.compile("whole.o", source, &[]);
    folder.build("whole", &["whole.bc"]);
    folder.write("whole.ll", SUM);
    let mut archive = Command::new("ar");
    archive
        .args(["rcs", "whole.a", "whole.o"])
        .current_dir(folder.path());
    assert!(archive.status().unwrap().success());

    for (name, cut) in [
        ("whole", "cut"),
        ("whole.o", "cut.o"),
        ("whole.a", "cut.a"),
        ("whole.bc", "cut.bc"),
        ("whole.ll", "cut.ll"),
    ] {
        let bytes = fs::read(folder.file(name)).unwrap();
        // LLVM is slow to start, our own readers are not.
        let n_cuts = if cut.ends_with('c') || cut.ends_with("ll") {
            12
        } else {
            40
        };
        for number in 1..n_cuts {
            // Without the last line's end a text is still whole.
            let length = bytes.len() * number / n_cuts;
            folder.write(cut, &bytes[..length]);
            let (run, build) = (["run", cut], ["build", cut, "-o", "image"]);
            let args = if cut == "cut" { &run[..] } else { &build };
            let outcome = farcall_in(&folder, args);
            if outcome.end == 0 && (cut.ends_with(".a") || cut.ends_with(".ll")) {
                // Cut between two members, or two definitions.
                continue;
            }
            assert_message(outcome, cut, &[]);
        }
    }
}

#[test]
fn images_with_a_byte_changed() {
    let folder = with_sum();
    let bytes = fs::read(folder.file("sum")).unwrap();
    let step = bytes.len() / 60;
    for at in (0..bytes.len()).step_by(step.max(1)) {
        let mut changed = bytes.clone();
        changed[at] ^= 0xff;
        folder.write("changed", &changed);
        let outcome = farcall_in(&folder, &["inspect", "changed"]);
        assert_eq!(outcome.end, 1, "byte {at}: {outcome:?}");
        assert!(
            outcome.stderr.starts_with("farcall: changed: "),
            "byte {at}: {outcome:?}"
        );
        let call = farcall_in(&folder, &["call", "changed", "sum", "1", "2"]);
        assert_message(call, "changed", &[]);
    }
}

#[test]
fn files_of_other_machines_and_other_kinds() {
    require_tools!("clang-22");
    let folder = with_sum();
    folder.compile(
        "riscv.o",
        "int f(void) { return 1; }",
        &["--target=riscv64-linux-gnu"],
    );
    folder.compile(
        "x86.o",
        "int f(void) { return 1; }",
        &["--target=i386-linux-gnu"],
    );
    folder.compile("program", "int main(void) { return 0; }", &[]);
    folder.compile(
        "static",
        "int main(void) { return 0; }",
        &["-static", "-no-pie"],
    );
    folder.compile("plain.so", "int f(void) { return 1; }", &[]);
    folder.compile("lld.so", "int f(void) { return 1; }", &["-fuse-ld=lld"]);
    folder.compile("object.o", "int f(void) { return 1; }", &[]);
    // Machines that images can be made for, but this one is another.
    let main = "int main(void) { return 0; }";
    folder.compile("other.o", main, &["--target=aarch64-linux-gnu"]);
    folder.build("other", &["other.o"]);
    let mut bytes = fs::read(folder.file("sum")).unwrap();
    const E_MACHINE: usize = 18;
    bytes[E_MACHINE..E_MACHINE + 2].copy_from_slice(&243_u16.to_le_bytes());
    folder.write("riscv", &bytes);

    let no_manifest = "not an image: ELF without a farcall manifest: build it with farcall";
    let cases: &[(&[&str], &str, &[&str])] = &[
        (
            &["build", "riscv.o", "-o", "x"],
            "riscv.o",
            &["for RISC-V (e_machine 243)"],
        ),
        (&["build", "x86.o", "-o", "x"], "x86.o", &[]),
        (&["run", "riscv"], "riscv", &["for RISC-V (e_machine 243)"]),
        (
            &["inspect", "riscv"],
            "riscv",
            &["for RISC-V (e_machine 243)"],
        ),
        (
            &["call", "riscv", "sum", "1", "2"],
            "riscv",
            &["for RISC-V"],
        ),
        (&["run", "program"], "program", &[no_manifest]),
        (&["run", "static"], "static", &["executable"]),
        (&["run", "plain.so"], "plain.so", &[no_manifest]),
        (&["inspect", "plain.so"], "plain.so", &[no_manifest]),
        (&["inspect", "lld.so"], "lld.so", &[no_manifest]),
        (&["inspect", "program"], "program", &[no_manifest]),
        (
            &["build", "program", "-o", "x"],
            "program",
            &["cannot be linked again"],
        ),
        (
            &["build", "plain.so", "-o", "x"],
            "plain.so",
            &["cannot be linked again"],
        ),
        (
            &["build", "sum", "-o", "x"],
            "sum",
            &["cannot be linked again"],
        ),
        (
            &["inspect", "object.o"],
            "object.o",
            &["not an image", "farcall build"],
        ),
        (
            &["inspect", "sum.ll"],
            "sum.ll",
            &["LLVM IR, not an image", "farcall build"],
        ),
        (
            &["call", "sum.ll", "sum"],
            "sum.ll",
            &["LLVM IR, not an image"],
        ),
    ];
    let other = ["built for aarch64, but this machine is x86_64"];
    assert_message(farcall_in(&folder, &["run", "other.o"]), "other.o", &other);
    assert_message(farcall_in(&folder, &["run", "other"]), "other", &other);
    let executor = Executor::in_folder(&folder);
    let call = ["call", "other", "main", "--signature", "i32 ()"];
    assert_message(farcall_in(&folder, &call), "other", &other);
    let on = [&call[..], &["--on", &executor.address]].concat();
    assert_message(farcall_in(&folder, &on), &executor.address, &other);
    for (args, input, parts) in cases {
        assert_message(farcall_in(&folder, args), input, parts);
        assert!(!folder.file("x").exists());
    }
}

#[test]
fn symbols_that_are_missing_or_too_many() {
    require_tools!("clang-22");
    let folder = Folder::new();
    let needs = "int alpha(int); int beta(void); extern int delta;
        int use(void) { return alpha(1); }
        int main(void) { return use() + beta() + delta; }";
    folder.compile("needs.bc", needs, &["-O0"]);
    folder.compile("needs.o", needs, &["-O0"]);
    folder.compile("one.o", "int twice(void) { return 1; }", &[]);
    folder.compile("two.o", "int other = 1; int twice(void) { return 2; }", &[]);
    folder.compile("main.bc", "int main(void) { return 0; }", &[]);
    folder.compile("nomain.bc", "int mein(void) { return 0; }", &[]);
    for input in ["needs.bc", "needs.o"] {
        let use_alpha = format!("alpha, used by {input}: use");
        let use_beta = format!("beta, used by {input}: main");
        let use_delta = format!("delta, used by {input}: main");
        let parts = [
            "3 missing symbols",
            &use_alpha,
            &use_beta,
            &use_delta,
            "libc.so.6",
        ];
        assert_message(farcall_in(&folder, &["run", input]), input, &parts);
    }
    let places = ["defined twice", "in one.o: .text", "in two.o: .text"];
    let build = ["build", "one.o", "two.o", "-o", "x"];
    assert_message(farcall_in(&folder, &build), "twice", &places);
    assert_message(
        farcall_in(&folder, &["run", "nomain.bc"]),
        "nomain.bc",
        &["no function main"],
    );
    folder.build("first", &["main.bc"]);
    folder.build("second", &["main.bc"]);
    let places = ["defined twice", "in first", "in second"];
    assert_message(
        farcall_in(&folder, &["run", "first", "second"]),
        "main",
        &places,
    );
}

#[test]
fn places_that_cannot_be_written() {
    let folder = with_sum();
    fs::create_dir(folder.file("folder")).unwrap();
    for (output, reason) in [
        ("nowhere/image", "cannot write: No such file"),
        ("folder", "cannot write: Is a directory"),
        ("sum.ll/image", "cannot write: Not a directory"),
    ] {
        let outcome = farcall_in(&folder, &["build", "sum.ll", "-o", output]);
        assert_message(outcome, output, &[reason]);
    }
    let left: Vec<_> = (fs::read_dir(folder.path()).unwrap())
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().contains("tmp"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// As root, `-o /dev/null` would otherwise be the end of `/dev/null`.
#[test]
fn an_image_is_written_into_what_is_no_file() {
    let folder = with_sum();
    let image = fs::read(folder.file("sum")).unwrap();
    let pipe = folder.file("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    // Open for both, it waits for nobody and takes an image as small as this.
    let mut ends = (fs::File::options().read(true).write(true))
        .open(&pipe)
        .unwrap();
    farcall_in(&folder, &["build", "sum.ll", "-o", "pipe"]).printed();
    assert!(!fs::symlink_metadata(&pipe).unwrap().is_file());
    let mut written = vec![0; image.len()];
    ends.read_exact(&mut written).unwrap();
    assert!(written == image, "the pipe has something else");

    std::os::unix::fs::symlink("sum", folder.file("link")).unwrap();
    folder.write("sum", "an older image");
    farcall_in(&folder, &["build", "sum.ll", "-o", "link"]).printed();
    assert!(
        fs::symlink_metadata(folder.file("link"))
            .unwrap()
            .is_symlink()
    );
    assert_eq!(fs::read(folder.file("sum")).unwrap(), image);
}

#[test]
fn options_that_do_not_exist() {
    let folder = with_sum();
    let build = |options: &[&str]| {
        let args = [&["build", "sum.ll", "-o", "x"], options].concat();
        farcall_in(&folder, &args).refused()
    };
    for (options, parts) in [
        (&["-O", "9"][..], &["'9'", "-O <LEVEL>", "0..=3"][..]),
        (&["-Ofast"], &["'fast'", "-O <LEVEL>"]),
        (
            &["--cpu", "x86-64-v33"],
            &["x86-64-v33", "unknown", "did you mean", "x86-64-v3"],
        ),
        (&["--cpu", "-v"], &[]),
        (
            &["--features", "+avx22"],
            &["avx22", "unknown", "did you mean", "avx2"],
        ),
        (&["--features", "avx2"], &["avx2", "needs a `+` or a `-`"]),
        (&["--on", "unix:x"], &["unexpected argument '--on'"]),
    ] {
        let message = build(options);
        for part in parts {
            assert!(message.contains(part), "no {part:?} in: {message}");
        }
    }
    for args in [
        &["executor"][..],
        &["executor", "--stdio"],
        &["executor", "--trust-unsigned", "--listen", "here"],
        &[
            "executor",
            "--trust-unsigned",
            "--stdio",
            "--listen",
            "unix:x",
        ],
        &["executor", "--trust-unsigned", "--stdio", "--policy", "x"],
        &[
            "executor",
            "--trust-unsigned",
            "--stdio",
            "--in-process",
            "--deadline=1",
        ],
        &["call", "sum", "sum", "1", "2", "--on", "here"],
        &["call", "sum", "sum", "1", "2", "--signature", "no type"],
        &["build", "sum.ll"],
        &["run"],
        &["rum", "sum"],
        &["inspect", "sum", "--yaml"],
    ] {
        let outcome = farcall_in(&folder, args);
        assert_eq!(outcome.end, 2, "{args:?}: a wrong command line ends with 2");
        outcome.refused();
    }
}

#[test]
fn executors_that_cannot_listen_or_are_not_there() {
    let folder = with_sum();
    let executor = Executor::in_folder(&folder);
    folder.write("file", "not a socket");
    let file = format!("unix:{}", folder.file("file").display());
    let nowhere = format!("unix:{}", folder.file("nowhere/socket").display());
    let long = format!("unix:/tmp/{}", "long".repeat(40));
    for (address, reason) in [
        (&*executor.address, "in use: another process listens there"),
        (&file, "in use: the file is not a socket"),
        (&nowhere, "cannot listen: No such file"),
        (&long, "cannot listen: "),
        ("tcp:192.0.2.1:9", "cannot listen: "),
    ] {
        let outcome = run(&mut farcall([
            "executor",
            "--trust-unsigned",
            "--in-process",
            "--listen",
            address,
        ]));
        let message = outcome.refused();
        assert!(
            message.contains(address) && message.contains(reason),
            "{message}"
        );
        assert_eq!(
            message.matches("os error").count().max(1),
            1,
            "said once: {message}"
        );
    }
    let absent = format!("unix:{}", folder.file("absent").display());
    for (address, reason) in [
        (&*absent, "cannot connect: No such file"),
        (&file, "cannot connect: Connection refused"),
        ("tcp:127.0.0.1:1", "cannot connect: Connection refused"),
        ("tcp:host.invalid:1", "cannot connect: "),
    ] {
        let args = ["call", "sum", "sum", "1", "2", "--on", address];
        assert_message(farcall_in(&folder, &args), address, &[reason]);
    }
    assert_works(&folder, &executor);
}

#[test]
fn what_is_not_the_protocol_harms_no_executor() {
    let folder = with_sum();
    let executor = Executor::in_folder(&folder);
    let path = folder.file("socket");
    assert_works(&folder, &executor);

    // Noise, in place of a greeting and of all lengths.
    for noise in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0xff; 64],
        &[0; 4096],
        b"\x01",
    ] {
        assert_closes(&path, noise);
    }
    // A frame that says it is longer than any may be, and nothing after it.
    assert_closes(&path, &u32::MAX.to_le_bytes());
    assert_closes(&path, &[0, 0, 0, 0x7f, 1, 2, 3]);
    // A controller that goes in the middle of a frame, in the length and in the payload.
    for part in [&[100][..], &[100, 0, 0, 0, b'f', b'a']] {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(part).unwrap();
        drop(stream);
    }
    // One that connects and says nothing keeps nobody waiting.
    let silent = UnixStream::connect(&path).unwrap();
    assert_works(&folder, &executor);
    drop(silent);
}

/// Sends bytes to the executor's socket, which is to be closed for it.
#[track_caller]
fn assert_closes(socket: &Path, bytes: &[u8]) {
    let mut stream = UnixStream::connect(socket).unwrap();
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    // What it says before is its greeting and what is wrong.
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "{bytes:?}"),
    }
}

#[track_caller]
fn assert_works(folder: &Folder, executor: &Executor) {
    let args = ["call", "sum", "sum", "40", "2", "--on", &executor.address];
    assert_eq!(farcall_in(folder, &args).printed(), "42\n");
}

#[test]
fn a_controller_says_what_is_wrong_with_an_executor() {
    let folder = with_sum();
    let path = folder.file("false");
    let address = format!("unix:{}", path.display());
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let answers: [&[u8]; 4] = [b"", b"SSH-2.0-other\r\n", &[0xff; 32], &[9, 0, 0]];
    let server = std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut greeting = [0; 4];
            stream.read_exact(&mut greeting).unwrap();
            let _ = stream.write_all(answer);
        }
    });
    for _ in answers {
        let args = ["call", "sum", "sum", "1", "2", "--on", &address];
        let message = farcall_in(&folder, &args).refused();
        assert!(message.starts_with(&address), "{message}");
    }
    server.join().unwrap();
}
