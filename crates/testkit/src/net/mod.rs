//! Machines that are joined by cables: network namespaces, and threads that carry frames between them.
//!
//! A namespace has no name. It is there as long as something holds it, this process or one that was started in it, so that
//! nothing of it is left however a test ends, and tests that run at the same time cannot meet.
//!
//! A [`Cable`] is a pair of virtual network cards (TAP) and a thread that takes each frame from one to the other: late, out of
//! order or not at all if that is wanted. The kernel's own `netem` could do that too, but is missing on many machines, and
//! cannot cut a cable after a number of bytes.
//!
//! # Examples
//!
//! ```no_run
//! use std::net::{TcpListener, TcpStream};
//!
//! use farcall_testkit::net::{Cable, End, Host};
//!
//! fn two_machines() -> Result<(), farcall_testkit::Error> {
//!     if farcall_testkit::net::skips_without_hosts() {
//!         return Ok(());
//!     }
//!     let [here, there] = [Host::new()?, Host::new()?];
//!     let cable = Cable::between(&here, &there)?;
//!     let address = (cable.address(End::Second), 7000);
//!     let listener = there.run(|| TcpListener::bind(address)).unwrap();
//!     let stream = here.run(|| TcpStream::connect(address)).unwrap();
//!     cable.cut();
//!     Ok(())
//! }
//! ```

mod cable;
mod sys;

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

pub use cable::{Cable, Carried, End, Quality};

use crate::tools::{say_skipped, skips_without};
use crate::{Error, tools};

/// A machine, as far as the network goes. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Host {
    namespace: Arc<OwnedFd>,
}

impl Host {
    /// A machine without cables. Its own address works there: `127.0.0.1`.
    ///
    /// # Errors
    ///
    /// When the system does not let this user make network namespaces, or `ip` is missing.
    pub fn new() -> Result<Self, Error> {
        let path = Path::new("/proc/thread-self/ns/net");
        let make = || {
            sys::leave_network().map_err(Error::io(path, "unshare"))?;
            File::open(path).map_err(Error::io(path, "open"))
        };
        let namespace = thread::scope(|scope| joined(scope.spawn(make)))?;
        let host = Self {
            namespace: Arc::new(namespace.into()),
        };
        host.ip(&["link", "set", "lo", "up"])?;
        Ok(host)
    }

    /// Does `work` on a thread that is in this machine. Sockets that it makes and processes that it starts are there, and stay
    /// there.
    ///
    /// # Panics
    ///
    /// When `work` does.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let kind = Some(LinkNameSpaceType::Network);
        let work = || {
            move_into_link_name_space(self.namespace.as_fd(), kind)
                .expect("who made a namespace may move into it");
            work()
        };
        thread::scope(|scope| {
            // Named as the thread that waits for it: messages of tests show it.
            let mut builder = thread::Builder::new();
            if let Some(name) = thread::current().name() {
                builder = builder.name(name.to_owned());
            }
            joined(builder.spawn_scoped(scope, work).expect("a thread starts"))
        })
    }

    /// Runs `ip` there.
    ///
    /// # Errors
    ///
    /// When it is missing, or refuses.
    pub fn ip(&self, args: &[&str]) -> Result<(), Error> {
        self.run(|| tools::run("ip", args)).map(drop)
    }
}

/// Whether the calling test has to be skipped, as it needs [hosts](Host) with cables and this system or this user has none, which
/// is said on standard error.
///
/// # Panics
///
/// When `ip` is missing and [`REQUIRE_ALL`](tools::REQUIRE_ALL) is set.
#[must_use]
pub fn skips_without_hosts() -> bool {
    if skips_without(&["ip"]) {
        return true;
    }
    match can_have_hosts() {
        Ok(()) => false,
        Err(error) => {
            say_skipped(&format!("needs network namespaces: {error}: {AS_ROOT}"));
            true
        }
    }
}

/// What to do where there are no [hosts](Host).
pub const AS_ROOT: &str = "run it as root, or where the kernel lets everybody make namespaces and open /dev/net/tun after \
                           `unshare --user --map-root-user`";

/// Whether this user can have [hosts](Host) with cables here.
///
/// # Errors
///
/// What the system refuses.
pub fn can_have_hosts() -> Result<(), Error> {
    let [first, second] = [Host::new()?, Host::new()?];
    Cable::between(&first, &second).map(drop)
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[cfg(test)]
mod tests;
