//! An executor in a process of its own, started and stopped.

use std::env;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use farcall::executor::Address;
use rustix::process::{Pid, Signal, kill_process};

use crate::Result;

/// An executor's process. Dropping it ends it, however the demo ends.
pub(crate) struct ExecutorProcess {
    child: Child,
    pub(crate) address: Address,
}

impl ExecutorProcess {
    /// Starts one that listens at the path `socket`, and waits until it does.
    pub(crate) fn start(socket: &Path) -> Result<Self> {
        // This program lies in `examples`, the executor in the folder above.
        let this = env::current_exe()?;
        let folder = this.parent().and_then(Path::parent).unwrap_or(&this);
        let program = folder.join("farcall-executor");
        let address = Address::Unix(socket.to_owned());
        let mut child = Command::new(&program)
            .arg(format!("--listen={address}"))
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| {
                let hint = "`cargo build --release -p farcall-executor` builds it";
                format!("{}: cannot start: {error}: {hint}", program.display())
            })?;
        let stdout = child.stdout.take();
        let process = Self { child, address };

        // It says so when controllers can connect; when it cannot listen it says why, on standard error, and ends.
        let mut line = String::new();
        stdout.map_or(Ok(0), |stdout| BufReader::new(stdout).read_line(&mut line))?;
        if !line.starts_with("listening on ") {
            return Err(format!("{}: it does not listen", program.display()).into());
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
