//! Ending a template that does not answer, because whoever waits for it cannot: one that somebody has stopped, for a debugger say.

use std::io;
use std::os::fd::OwnedFd;
use std::process::Child;
use std::sync::Mutex;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::pool::lock;

/// How often it is looked, about once a second, while a template does one thing. Looks are counted and no time, so that a machine on which everything has been
/// stopped and goes on ends nothing.
const MOST_LOOKS: u32 = 30;

/// The process of a template, for those who do not wait for it.
#[derive(Debug, Default)]
pub(super) struct Overseen(Mutex<Option<Process>>);

#[derive(Debug)]
struct Process {
    handle: OwnedFd,
    /// How often it was looked since it began what it does.
    n_looks: Option<u32>,
}

impl Overseen {
    /// Oversees another process, which does something.
    pub(super) fn oversee(&self, process: &Child) -> io::Result<()> {
        let number = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
        let number = number.ok_or(io::ErrorKind::InvalidInput)?;
        let handle = pidfd_open(number, PidfdFlags::empty())?;
        *lock(&self.0) = Some(Process {
            handle,
            n_looks: Some(0),
        });
        Ok(())
    }

    /// It begins to do something, another thing than before.
    pub(super) fn begins(&self) {
        self.set(Some(0));
    }

    /// It does nothing.
    pub(super) fn rests(&self) {
        self.set(None);
    }

    fn set(&self, n_looks: Option<u32>) {
        if let Some(process) = &mut *lock(&self.0) {
            process.n_looks = n_looks;
        }
    }

    /// Ends it when it has been looked too often while it did one thing. Whoever waits for it sees the end of its connection.
    pub(super) fn look(&self) {
        let mut process = lock(&self.0);
        let Some(Process {
            handle,
            n_looks: Some(n_looks),
        }) = &mut *process
        else {
            return;
        };
        *n_looks += 1;
        if *n_looks > MOST_LOOKS {
            tracing::warn!("the template has not answered for {MOST_LOOKS} seconds, and is ended");
            // It fails when it has ended.
            let _ = pidfd_send_signal(handle, Signal::KILL);
        }
    }

    /// Ends it, whatever it does.
    pub(super) fn end(&self) {
        if let Some(process) = &*lock(&self.0) {
            let _ = pidfd_send_signal(&process.handle, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;

    use super::*;

    #[test]
    fn what_does_one_thing_for_too_long_is_ended() {
        let mut process = Command::new("sleep").arg("3600").spawn().unwrap();
        let overseen = Overseen::default();
        overseen.look();
        overseen.oversee(&process).unwrap();
        for _ in 0..3 {
            (0..MOST_LOOKS).for_each(|_| overseen.look());
            overseen.begins();
        }
        overseen.rests();
        (0..2 * MOST_LOOKS).for_each(|_| overseen.look());
        assert!(process.try_wait().unwrap().is_none());
        overseen.begins();
        (0..=MOST_LOOKS).for_each(|_| overseen.look());
        assert_eq!(process.wait().unwrap().signal(), Some(libc::SIGKILL));
    }
}
