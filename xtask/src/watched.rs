//! Programs that are waited for, but not forever, and that leave nothing running: a run that hangs says where.

use std::fs;
use std::io::{self, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::command::shown;

/// What marks all processes of a program, however they came to be: a variable of their environment.
const MARK: &str = "FARCALL_XTASK_PROGRAM";

/// How often a program is looked at that is waited for.
const LOOK: Duration = Duration::from_millis(20);

/// How long what a program started may take to end after it.
const GRACE: Duration = Duration::from_secs(10);

/// The most processes of which the stacks are shown.
const MOST_STACKS: usize = 8;

/// How often all that there is of a program is killed.
const KILLS: usize = 10;

/// How a program ended.
pub(crate) enum End {
    Exited(ExitStatus),
    /// It took too long, and was killed.
    Late,
    /// It ended well, and these processes did not; they were killed.
    LeftRunning(Vec<String>),
}

impl End {
    pub(crate) fn is_success(&self) -> bool {
        matches!(self, End::Exited(status) if status.success())
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            End::Exited(status) => status.fmt(f),
            End::Late => f.write_str("took too long, and was killed; its stacks are above"),
            End::LeftRunning(processes) => write!(f, "left running: {}", processes.join(", ")),
        }
    }
}

/// Runs a program to its end, or kills it after `limit`. What it was doing then goes to `stacks`.
pub(crate) fn run(command: &mut Command, limit: Duration, stacks: &mut dyn Write) -> Result<End> {
    run_with(command, limit, GRACE, stacks)
}

fn run_with(
    command: &mut Command,
    limit: Duration,
    grace: Duration,
    stacks: &mut dyn Write,
) -> Result<End> {
    let start = Instant::now();
    // Programs run one beside the other: each has a mark of its own.
    let mark = format!("{}-{:?}", std::process::id(), thread::current().id());
    let mut child = command
        .env(MARK, &mark)
        .spawn()
        .with_context(|| format!("{}: cannot start", shown(command)))?;
    while start.elapsed() < limit {
        let Some(status) = child.try_wait()? else {
            thread::sleep(LOOK);
            continue;
        };
        let left = end_all(&mark, grace)?;
        return Ok(match status.success() && !left.is_empty() {
            true => End::LeftRunning(left),
            false => End::Exited(status),
        });
    }
    // What cannot be told is no reason to let it run.
    let told = tell(&mut child, &mark, stacks);
    // Some may start others meanwhile.
    for _ in 0..KILLS {
        marked(&mark)?.into_iter().for_each(kill);
        thread::sleep(LOOK);
    }
    child.kill()?;
    child.wait()?;
    told.map(|()| End::Late)
}

/// Waits for what the program left running, kills what is still there after a while, and says what that was.
fn end_all(mark: &str, grace: Duration) -> io::Result<Vec<String>> {
    let end = Instant::now() + grace;
    let left = loop {
        let left = marked(mark)?;
        if left.is_empty() || Instant::now() > end {
            break left;
        }
        thread::sleep(LOOK);
    };
    let told = left.iter().map(|&process| describe(process)).collect();
    left.into_iter().for_each(kill);
    Ok(told)
}

/// The processes whose environment has the mark. One that has ended, and that nobody asked how, has no environment.
fn marked(mark: &str) -> io::Result<Vec<i32>> {
    let variable = format!("{MARK}={mark}");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(process) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // It may have ended, or belong to somebody else.
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        let mut variables = environment.split(|&byte| byte == 0);
        if variables.any(|one| one == variable.as_bytes()) {
            found.push(process);
        }
    }
    Ok(found)
}

/// Its number, command line and threads: that of a test has its name.
fn describe(process: i32) -> String {
    let read = |what: &str| fs::read(format!("/proc/{process}/{what}")).unwrap_or_default();
    let mut line = read("cmdline");
    line.iter_mut()
        .filter(|byte| **byte == 0)
        .for_each(|byte| *byte = b' ');
    let threads = fs::read_dir(format!("/proc/{process}/task"));
    let threads = threads.into_iter().flatten().flatten();
    let names: Vec<_> = threads
        .map(|thread| fs::read_to_string(thread.path().join("comm")).unwrap_or_default())
        .map(|name| name.trim_end().to_owned())
        .collect();
    format!(
        "{process} `{}` (threads: {})",
        String::from_utf8_lossy(&line).trim_end(),
        names.join(", ")
    )
}

/// Writes which processes and threads of the program there are, and what each does.
fn tell(child: &mut Child, mark: &str, stacks: &mut dyn Write) -> Result<()> {
    let processes = marked(mark)?;
    writeln!(
        stacks,
        "==> {} took too long. What there is of it:",
        child.id()
    )?;
    for &process in &processes {
        writeln!(stacks, "{}", describe(process))?;
    }
    for process in processes.into_iter().take(MOST_STACKS) {
        // A process that hangs may have a debugger hang too.
        let mut gdb = Command::new("timeout");
        gdb.args(["-k", "5", "60", "gdb"])
            .args(["-nx", "-batch", "-ex", "thread apply all backtrace 24"])
            .args(["-p", &process.to_string()])
            .stdin(Stdio::null());
        // Without it there are the names.
        match gdb.output() {
            Ok(output) => stacks.write_all(&output.stdout)?,
            Err(error) => writeln!(stacks, "{}: {error}", shown(&gdb))?,
        }
    }
    Ok(())
}

fn kill(process: i32) {
    if let Some(process) = Pid::from_raw(process) {
        // It may have ended since.
        let _ = kill_process(process, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn shell(script: &str, limit: Duration, grace: Duration) -> (End, String) {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null());
        let mut told = Vec::new();
        let end = run_with(&mut command, limit, grace, &mut told).unwrap();
        (end, String::from_utf8_lossy(&told).into_owned())
    }

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(200);

    #[test]
    fn a_program_ends_as_it_ends() {
        assert!(shell("exit 0", LONG, LONG).0.is_success());
        let (end, told) = shell("exit 7", LONG, LONG);
        assert!(matches!(end, End::Exited(status) if status.code() == Some(7)));
        assert_eq!(told, "");
    }

    #[test]
    fn one_that_takes_too_long_is_told_of_and_killed_with_all_it_started() {
        let (end, told) = shell("(exec sleep 1001) & sleep 1002", SHORT, LONG);
        assert!(matches!(end, End::Late));
        for one in ["`sh -c ", "`sleep 1001`", "`sleep 1002`"] {
            assert!(told.contains(one), "{told}");
        }
        let is_gone = |process: &str| !fs::exists(format!("/proc/{process}/exe")).unwrap();
        let processes = told.lines().filter_map(|line| line.split_once(" `"));
        for (process, _) in processes {
            while !is_gone(process) {
                thread::sleep(LOOK);
            }
        }
    }

    #[test]
    fn what_is_left_running_is_told_of_and_killed() {
        let (end, _) = shell("sleep 1003 & exit 0", LONG, SHORT);
        let End::LeftRunning(left) = &end else {
            panic!("{end}");
        };
        assert!(
            matches!(&left[..], [one] if one.contains("`sleep 1003`")),
            "{end}"
        );
    }

    #[test]
    fn what_ends_soon_after_it_is_not_left_running() {
        let (end, _) = shell("sleep 0.3 & exit 0", LONG, LONG);
        assert!(end.is_success(), "{end}");
    }
}
