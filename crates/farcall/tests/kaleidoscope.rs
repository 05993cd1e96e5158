//! The example `kaleidoscope`: each of its programs says what it prints, here and in an executor.
//!
//! In a program `#> TEXT` is a line of its output and `#! TEXT` a part of a line of its errors, in their order. Errors begin
//! with line and column.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use farcall_testkit::tools;

fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    profile.join(name)
}

fn programs() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kaleidoscope");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 6);
    files
}

/// The lines of a program that begin so, without that.
fn expected(text: &str, mark: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(mark));
    lines
        .map(|line| line.strip_prefix(' ').unwrap_or(line).to_owned())
        .collect()
}

/// What a program prints, and its errors.
fn run(file: &Path, arguments: &[&str]) -> (Vec<String>, Vec<String>) {
    let output = Command::new(program("examples/kaleidoscope"))
        .args(arguments)
        .stdin(fs::File::open(file).unwrap())
        .output()
        .unwrap();
    let lines = |bytes: &[u8]| -> Vec<String> {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        text.lines().map(str::to_owned).collect()
    };
    let errors = lines(&output.stderr);
    let errors: Vec<_> = errors
        .into_iter()
        .filter(|line| line.starts_with("error: "))
        .collect();
    assert_eq!(
        output.status.success(),
        errors.is_empty(),
        "{}",
        file.display()
    );
    (lines(&output.stdout), errors)
}

fn check_errors(file: &Path, text: &str, errors: &[String]) {
    let expected = expected(text, "#!");
    assert_eq!(
        errors.len(),
        expected.len(),
        "{}: {errors:#?}",
        file.display()
    );
    for (error, expected) in errors.iter().zip(expected) {
        assert!(
            error.contains(&expected),
            "{}: {error:?} has no {expected:?}",
            file.display()
        );
    }
}

#[test]
fn programs_run_here() {
    for file in programs() {
        let text = fs::read_to_string(&file).unwrap();
        for level in ["0", "2"] {
            let (output, errors) = run(&file, &["--level", level]);
            assert_eq!(output, expected(&text, "#>"), "{}", file.display());
            check_errors(&file, &text, &errors);
        }
    }
}

struct Executor {
    child: Child,
    address: String,
}

impl Drop for Executor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `cargo test` of this crate alone builds no other's programs.
fn build_executor() {
    if !program("farcall-executor").exists() {
        let folder = program("");
        let profile = match folder.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(profile) => profile,
        };
        let status = tools::cargo()
            .args([
                "build",
                "--quiet",
                "--package",
                "farcall-executor",
                "--profile",
                profile,
            ])
            .status();
        assert!(status.unwrap().success());
    }
}

/// An executor in a folder.
fn executor(folder: &Path) -> Executor {
    let address = format!("unix:{}", folder.join("socket").display());
    let mut child = Command::new(program("farcall-executor"))
        .args(["--trust-unsigned", "--listen", &address])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    assert!(line.starts_with("listening on "), "{line}");
    Executor { child, address }
}

#[test]
fn programs_run_in_an_executor() {
    build_executor();
    for file in programs() {
        let text = fs::read_to_string(&file).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let executor = executor(folder.path());
        let (output, errors) = run(&file, &["--on", &executor.address]);
        check_errors(&file, &text, &errors);
        assert_eq!(output, expected(&text, "#>"), "{}", file.display());
    }
}

#[test]
fn definitions_outlive_an_executor() {
    build_executor();
    let folder = tempfile::tempdir().unwrap();
    let first = executor(folder.path());
    let mut repl = Command::new(program("examples/kaleidoscope"))
        .args(["--on", &first.address])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = repl.stdin.take().unwrap();
    let mut output = BufReader::new(repl.stdout.take().unwrap()).lines();
    let mut errors = BufReader::new(repl.stderr.take().unwrap()).lines();
    let mut say = |line: &str| writeln!(input, "{line}").unwrap();

    say("def twice(x) 2 * x");
    say("twice(4)");
    assert_eq!(output.next().unwrap().unwrap(), "= 8");
    drop(first);
    say("twice(5)");
    let error = errors.next().unwrap().unwrap();
    assert!(error.contains("definitions are kept here"), "{error}");
    let _second = executor(folder.path());
    say("twice(6)");
    drop(input);
    assert_eq!(output.next().unwrap().unwrap(), "= 12");
    assert!(!repl.wait().unwrap().success());
}

#[test]
fn commands_show_the_ir_and_times() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shown.kal");
    let text = "def one(x) x\n:ir one\n:time on\none(1)\n:time off\none(2)\n:help\n:quit\none()\n";
    fs::write(&file, text).unwrap();
    let output = Command::new(program("examples/kaleidoscope"))
        .arg(&file)
        .output()
        .unwrap();
    assert!(output.status.success());
    let output = String::from_utf8(output.stdout).unwrap();
    let (ir, rest) = output.split_once("= 1\n  ").unwrap();
    assert!(ir.contains("define double @one(double %0)"), "{ir}");
    let (times, rest) = rest.split_once('\n').unwrap();
    assert!(times.contains("compile, link, load"), "{times}");
    assert!(
        rest.starts_with("= 2\nThe language:\n  def f(x y)"),
        "{rest}"
    );
}

#[test]
fn errors_name_the_file_and_show_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.kal");
    fs::write(&file, "1\n\n\t2 + x\n").unwrap();
    let output = Command::new(program("examples/kaleidoscope"))
        .arg(&file)
        .output()
        .unwrap();
    assert!(!output.status.success());
    let errors = String::from_utf8(output.stderr).unwrap();
    let expected = format!(
        "error: {}:3:6: x: no such variable\n  \t2 + x\n  \t    ^\n",
        file.display()
    );
    assert_eq!(errors, expected);
}
