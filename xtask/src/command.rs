//! Commands, run from the root of the checkout.

use std::env;
use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use farcall_testkit::{paths::workspace_root, tools};

/// The cargo that runs this task, so that a toolchain chosen on its command line (`cargo +1.95 xtask`) stays chosen.
pub(crate) fn cargo<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = tools::cargo();
    command.args(args);
    command
}

/// `program args...`, to be run at the root of the checkout.
pub(crate) fn command<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = A>,
) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(workspace_root());
    command
}

/// Runs a command to its end; an exit status other than 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("{}: cannot start", shown(command)))?;
    if !status.success() {
        bail!("{}: {status}", shown(command));
    }
    Ok(())
}

/// The command line, with `cargo` for whatever cargo it is.
pub(crate) fn shown(command: &Command) -> String {
    let program = command.get_program();
    let is_cargo = env::var_os("CARGO").is_some_and(|cargo| cargo == program);
    let mut line = if is_cargo {
        "cargo".to_owned()
    } else {
        program.display().to_string()
    };
    for arg in command.get_args() {
        line.push(' ');
        line.push_str(&arg.display().to_string());
    }
    line
}
