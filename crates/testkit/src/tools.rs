//! The programs of the system that tests call, and what a test does when one is missing.

use std::env;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Error, paths};

/// The environment variable that turns a skipped test into a failed one. `cargo xtask test` sets it.
pub const REQUIRE_ALL: &str = "FARCALL_REQUIRE_ALL";

/// Returns from the calling test when one of the programs named is not installed, saying so on standard error.
///
/// Panics instead where [`REQUIRE_ALL`] is set, so that a run which claims to be complete is.
///
/// ```
/// fn the_image_passes_eu_elflint() {
///     farcall_testkit::require_tools!("clang-22", "eu-elflint");
///     // ...
/// }
/// ```
#[macro_export]
macro_rules! require_tools {
    ($($tool:expr),+ $(,)?) => {
        if $crate::tools::skips_without(&[$($tool),+]) {
            return;
        }
    };
}

/// What makes clang compile for the machine that the tests run on, which may be an emulated one.
///
/// The compiler's own library is not linked to what tests load, so that code may not call it for what
/// processors have instructions for.
pub const CLANG_TARGET: &[&str] = if cfg!(target_arch = "aarch64") {
    &["--target=aarch64-linux-gnu", "-mno-outline-atomics"]
} else {
    &[]
};

/// The words that start a program of the machine that the tests run on: those by which cargo was told to
/// start the tests, none where the machine is the real one.
#[must_use]
pub fn emulator() -> Vec<String> {
    let machine = env::consts::ARCH.to_uppercase();
    let words = env::var(format!("CARGO_TARGET_{machine}_UNKNOWN_LINUX_GNU_RUNNER"));
    let words = words.unwrap_or_default();
    words.split_whitespace().map(str::to_owned).collect()
}

/// A command that starts a program of the machine that the tests run on.
#[must_use]
pub fn start(program: impl AsRef<OsStr>) -> Command {
    let words = emulator();
    let Some((emulator, options)) = words.split_first() else {
        return Command::new(program);
    };
    let mut command = Command::new(emulator);
    command.args(options).arg(program);
    command
}

/// Whether the machine that the tests run on is emulated.
#[must_use]
pub fn is_emulated() -> bool {
    !emulator().is_empty()
}

/// How often a test does what shows an error only when it is done often: so many times, or a twentieth of
/// that where the machine is emulated, which is slower by more.
#[must_use]
pub fn rounds(count: usize) -> usize {
    if is_emulated() {
        count.div_ceil(20)
    } else {
        count
    }
}

/// Whether the calling test, which says why it needs a real machine, has to be skipped because this one is
/// emulated.
#[must_use]
pub fn skips_emulated(why: &str) -> bool {
    if is_emulated() {
        say_skipped(&format!("needs a machine that is not emulated: {why}"));
        return true;
    }
    false
}

/// Returns from the calling test when the standard library for one of the targets named is not installed, as
/// [`require_tools!`](crate::require_tools) does for programs.
#[macro_export]
macro_rules! require_targets {
    ($($target:expr),+ $(,)?) => {
        if $crate::tools::skips_without_targets(&[$($target),+]) {
            return;
        }
    };
}

/// The cargo that runs this program, or the one on `PATH`, to be run at the root of the checkout.
///
/// Without what cargo says of the package that it runs: build scripts ask for such variables, so that cargo would
/// build again what it has built for another package.
#[must_use]
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(paths::workspace_root());
    for (name, _) in env::vars_os() {
        let is_of_package =
            |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        if name.to_str().is_some_and(is_of_package) {
            command.env_remove(name);
        }
    }
    command
}

/// The full path of a program on `PATH`.
///
/// # Errors
///
/// [`Error::ToolMissing`] when no folder of `PATH` has a file of this name.
pub fn find(tool: &str) -> Result<PathBuf, Error> {
    env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .map(|folder| folder.join(tool))
        .find(|path| path.is_file())
        .ok_or_else(|| Error::ToolMissing {
            tool: tool.to_owned(),
        })
}

/// Runs a program to its end, in the C locale, and returns its output.
///
/// # Errors
///
/// When the program is missing, cannot be started, or exits with a status other than 0.
pub fn run<A: AsRef<OsStr>>(tool: &str, args: &[A]) -> Result<Output, Error> {
    let path = find(tool)?;
    let mut command = Command::new(&path);
    command.args(args).env("LC_ALL", "C");
    output(&mut command)
}

/// Runs a command to its end and returns its output; an exit status other than 0 is an error.
pub(crate) fn output(command: &mut Command) -> Result<Output, Error> {
    let program = PathBuf::from(command.get_program());
    let output = if is_emulated() {
        patiently(command)
    } else {
        command.output()
    };
    let output = output.map_err(Error::io(&program, "start"))?;
    if !output.status.success() {
        return Err(Error::failed(command, output.status, &output.stderr));
    }
    Ok(output)
}

/// How long a program may take that an emulated test has started.
const PATIENCE: Duration = Duration::from_secs(60);

/// As [`Command::output`], for emulated machines: now and then a process that QEMU has forked off one with several threads waits for a
/// lock of one of those, and never becomes the program that was to be started. Then another is.
fn patiently(command: &mut Command) -> io::Result<Output> {
    for _ in 0..5 {
        let [mut stdout, mut stderr] = [tempfile::tempfile()?, tempfile::tempfile()?];
        command.stdout(stdout.try_clone()?);
        command.stderr(stderr.try_clone()?);
        let mut child = command.spawn()?;
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(status) = child.try_wait()? {
                let read = |file: &mut File| {
                    let mut bytes = Vec::new();
                    file.rewind()?;
                    file.read_to_end(&mut bytes)?;
                    io::Result::Ok(bytes)
                };
                return Ok(Output {
                    status,
                    stdout: read(&mut stdout)?,
                    stderr: read(&mut stderr)?,
                });
            }
            thread::sleep(Duration::from_millis(5));
        }
        child.kill()?;
        child.wait()?;
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// Whether the calling test has to be skipped; [`require_tools!`](crate::require_tools) is the way to ask.
///
/// # Panics
///
/// When a program is missing and [`REQUIRE_ALL`] is set.
#[must_use]
pub fn skips_without(tools: &[&str]) -> bool {
    let missing: Vec<&str> = tools
        .iter()
        .copied()
        .filter(|tool| find(tool).is_err())
        .collect();
    skips(&missing)
}

/// Whether the calling test has to be skipped because a target's standard library is missing;
/// [`require_targets!`](crate::require_targets) is the way to ask.
///
/// # Panics
///
/// When one is missing and [`REQUIRE_ALL`] is set.
#[must_use]
pub fn skips_without_targets(targets: &[&str]) -> bool {
    let is_missing = |target: &&str| !has_target(target);
    let missing: Vec<&str> = targets.iter().copied().filter(is_missing).collect();
    skips(&missing)
}

/// Whether the Rust compiler has a standard library for a target: `x86_64-unknown-linux-musl`.
#[must_use]
pub fn has_target(target: &str) -> bool {
    let folder = run("rustc", &["--print", "target-libdir", "--target", target]);
    let folder = folder.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    folder.is_ok_and(|folder| PathBuf::from(folder).is_dir())
}

/// A command that starts the program and arguments that are added to it where a file system of `bytes`, in memory, is mounted on a
/// folder, for it alone. `None`, and the calling test is skipped, where the kernel lets this user mount nothing.
#[must_use]
pub fn with_file_system(folder: &Path, bytes: u64) -> Option<Command> {
    let command = || {
        let mut command = Command::new("unshare");
        let mount = format!("mount -t tmpfs -o size={bytes},mode=700 none \"$0\" && exec \"$@\"");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &mount]);
        command.arg(folder);
        command
    };
    match output(command().arg("true")) {
        Ok(_) => Some(command()),
        Err(error) => {
            say_skipped(&format!("needs a file system of its own: {error}"));
            None
        }
    }
}

fn skips(missing: &[&str]) -> bool {
    if missing.is_empty() {
        return false;
    }
    let missing = missing.join(", ");
    assert!(
        env::var_os(REQUIRE_ALL).is_none(),
        "{missing}: not installed, and {REQUIRE_ALL} is set"
    );
    say_skipped(&format!("not installed: {missing}"));
    true
}

pub(crate) fn say_skipped(why: &str) {
    let thread = thread::current();
    let test = thread.name().unwrap_or("a test");
    // Written to the stream itself: the test harness shows what the print macros print only for a test that fails.
    // A lost line is no reason to fail either.
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_every_system_is_found() {
        assert!(find("sh").unwrap().is_absolute());
        assert_eq!(run("sh", &["-c", "echo out"]).unwrap().stdout, b"out\n");
    }

    #[test]
    fn a_target_that_there_is_not_is_missing() {
        assert!(has_target("x86_64-unknown-linux-gnu") && !has_target("no-such-target"));
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = find("no-such-program").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("no-such-program: not installed"),
            "{error}"
        );
    }

    #[test]
    fn a_failing_program_is_quoted() {
        let error = run("sh", &["-c", "echo broken >&2; exit 3"]).unwrap_err();
        assert!(
            error.to_string().ends_with("exit status: 3: broken"),
            "{error}"
        );
    }
}
