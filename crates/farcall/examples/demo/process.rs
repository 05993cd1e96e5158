//! An executor in a process of its own, started and stopped.

use std::env;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use farcall::executor::Address;
use rustix::process::{Pid, Signal, kill_process};

use crate::Result;

/// An executor's process. Dropping it ends it, however the demo ends.
pub(crate) struct ExecutorProcess {
    child: Child,
    pub(crate) address: Address,
    /// What it says there that anyone can connect over TCP is about nobody but this demo. It has to stay open.
    stderr: Option<ChildStderr>,
}

impl ExecutorProcess {
    /// Starts one that listens at `address`, and waits until it does. Controllers whose machine gives no sign for as long as
    /// `silence` it gives up. It loads what the policy lets.
    pub(crate) fn start(address: Address, silence: Duration, policy: &Path) -> Result<Self> {
        // This program lies in `examples`, the executor in the folder above.
        let this = env::current_exe()?;
        let folder = this.parent().and_then(Path::parent).unwrap_or(&this);
        let program = folder.join("farcall-executor");
        let mut child = Command::new(&program)
            .arg(format!("--listen={address}"))
            .arg(format!("--silence={}", silence.as_secs()))
            .arg(format!("--policy={}", policy.display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| {
                let hint = "`cargo build --release -p farcall-executor` builds it";
                format!("{}: cannot start: {error}: {hint}", program.display())
            })?;
        let stdout = child.stdout.take();
        let stderr = child.stderr.take();
        let mut process = Self {
            child,
            address,
            stderr,
        };

        // It says so when controllers can connect; when it cannot listen it says why, on standard error, and ends.
        let mut line = String::new();
        stdout.map_or(Ok(0), |stdout| BufReader::new(stdout).read_line(&mut line))?;
        if !line.starts_with("listening on ") {
            let mut why = String::new();
            if let Some(stderr) = &mut process.stderr {
                stderr.read_to_string(&mut why)?;
            }
            return Err(format!("{}: it does not listen: {why}", program.display()).into());
        }
        Ok(process)
    }

    /// Asks it to unload everything and end, and waits until it has.
    pub(crate) fn stop(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let status = self.child.wait()?;
        if !status.success() {
            return Err(format!("{}: it ended with {status}", self.address).into());
        }
        Ok(())
    }
}

impl Drop for ExecutorProcess {
    fn drop(&mut self) {
        // Both do nothing, without an error, after `stop`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
