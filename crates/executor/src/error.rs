//! The crate's errors.

use std::{fmt, io};

use farcall_protocol::Failure;

use crate::{Address, BareError, CredentialFault, TlsFailure};

/// The result of serving, or of asking an executor.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an executor cannot serve, or a controller has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text that is not an address.
    #[error("{text:?}: not an address: {reason}")]
    Address {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Somebody listens there already.
    #[error("{address}: in use: another process listens there")]
    InUse {
        /// The address.
        address: Address,
    },
    /// The path of a Unix socket is that of something else.
    #[error("{address}: in use: the file is not a socket")]
    NotASocket {
        /// The address.
        address: Address,
    },
    /// The operating system does not let it listen.
    #[error("{address}: cannot listen: {source}{}", advice_to_listen(.source))]
    Listen {
        /// The address.
        address: Address,
        /// Its answer.
        source: io::Error,
    },
    /// The operating system does not let it connect.
    #[error("{address}: cannot connect: {source}{}", advice(.source))]
    Connect {
        /// The address.
        address: Address,
        /// Its answer.
        source: io::Error,
    },
    /// An address for TLS is used without credentials.
    #[error(
        "{address}: TLS needs a certificate with its key, and the certificate of the other side or of its CA"
    )]
    NeedsCredentials {
        /// The address.
        address: Address,
    },
    /// A certificate or key for TLS cannot be used.
    #[error("{name}: {fault}")]
    Credentials {
        /// Its file, or what it is.
        name: String,
        /// What is wrong with it.
        fault: CredentialFault,
    },
    /// There is no TLS connection with a peer.
    #[error("{peer}: TLS: {failure}")]
    Tls {
        /// Where the peer is.
        peer: String,
        /// What is wrong.
        failure: TlsFailure,
    },
    /// Something listens there and does not say that it is an executor.
    #[error(
        "{address}: no answer: what listens there does not say who it is, so it is no executor, or a busy one"
    )]
    Silent {
        /// The address.
        address: Address,
    },
    /// The peer did not say who it is in the time that it had for this.
    #[error("the peer has not said in time who it is")]
    NoHello,
    /// The controller has not read its answers for as long as it may.
    #[error("the controller does not read its answers")]
    Unread,
    /// Another connection was not taken.
    #[error("too many connections: {most} are open, and this executor serves no more")]
    TooMany {
        /// How many are.
        most: usize,
    },
    /// Another connection was not taken, because the executor is stopping.
    #[error("the executor is stopping")]
    Stopping,
    /// The operating system refuses something else that serving needs.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried, as an infinitive.
        action: &'static str,
        /// Its answer.
        source: io::Error,
    },
    /// Unsigned images are to be loaded of other machines.
    #[error(
        "{address}: unsigned images are loaded for controllers of this machine only: listen at unix:PATH or a loopback address, or say with --policy FILE whose images load"
    )]
    Unsigned {
        /// The address.
        address: Address,
    },
    /// The connection failed.
    #[error("connection: {}{}", .0, reason(.0))]
    Connection(#[from] io::Error),
    /// The peer closed the connection where more was to come.
    #[error("connection closed by the peer {}", if *in_frame { "in the middle of a frame" } else { "before it answered" })]
    Closed {
        /// Whether it was cut within a frame.
        in_frame: bool,
    },
    /// What the peer sent is not the protocol, or what was to be sent cannot be said in it.
    #[error(transparent)]
    Protocol(#[from] farcall_protocol::Error),
    /// The peer sent a message that has no place here.
    #[error("protocol: {what}")]
    OutOfPlace {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The executor runs on a machine that this farcall has no images for.
    #[error(
        "the executor's machine is {machine:?}, which this farcall does not know: a newer one may"
    )]
    Machine {
        /// Its name, as in a target triple.
        machine: String,
    },
    /// The bytes to load are not an image, or a bundle has none for the executor.
    #[error(transparent)]
    Image(#[from] farcall_image::Error),
    /// A bare executor was not asked, because it could not do it.
    #[error(transparent)]
    Bare(#[from] BareError),
    /// Memory cannot be shared over this connection.
    #[error("cannot share memory: only a Unix socket passes files, and this connection is none")]
    NotShared,
    /// The executor could not do it.
    #[error("{0}")]
    Failed(Failure),
    /// None of a pool's executors can be reached.
    #[error("no executor is there: {}", reasons.iter().map(|(address, reason)| Reason(address, reason).to_string()).collect::<Vec<_>>().join("; "))]
    NoExecutor {
        /// Of each, why.
        reasons: Vec<(Address, String)>,
    },
    /// An executor of a pool was lost while it had a call, which it may have run, or a part of it.
    #[error("{address}: lost with a call that may have run: {source}")]
    MayHaveRun {
        /// Its address.
        address: Address,
        /// How it was lost.
        source: Box<Error>,
    },
    /// An executor of a pool was asked how it is, and says nothing.
    #[error("no answer within {waited:?}")]
    NoAnswer {
        /// How long that was waited for.
        waited: std::time::Duration,
    },
    /// One executor of a pool could not do what all were to do.
    #[error("{}", Reason(address, &source.to_string()))]
    Member {
        /// Its address.
        address: Address,
        /// Why.
        source: Box<Error>,
    },
}

/// What is said of an executor: its address first, and once.
struct Reason<'a>(&'a Address, &'a str);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.0.to_string();
        if self.1.starts_with(&address) {
            return f.write_str(self.1);
        }
        write!(f, "{address}: {}", self.1)
    }
}

impl Error {
    pub(crate) fn needs_credentials(address: &Address) -> Self {
        Self::NeedsCredentials {
            address: address.clone(),
        }
    }

    pub(crate) fn not_for_tls(address: &Address) -> Self {
        Self::Address {
            text: address.to_string(),
            reason: "not tls:HOST:PORT",
        }
    }

    /// For `map_err`: the operating system does not let it connect.
    pub(crate) fn cannot_connect(address: &Address) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self::Connect {
            address: address.clone(),
            source,
        }
    }

    /// For `map_err`: the operating system refused `action`.
    pub(crate) fn system<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::System {
            action,
            source: source.into(),
        }
    }
}

/// What to do about an address that cannot be connected to.
fn advice(error: &io::Error) -> &'static str {
    use io::ErrorKind::{
        ConnectionRefused, HostUnreachable, InvalidFilename, NetworkUnreachable, NotFound,
        PermissionDenied, TimedOut,
    };
    match error.kind() {
        TimedOut => {
            ": nothing comes back from there: see whether the address is right, the machine is on \
             and its firewall lets this port through"
        }
        HostUnreachable | NetworkUnreachable => {
            ": no machine answers there: see whether the address is right, the machine is on and \
             the network leads to it"
        }
        // Of a Unix socket: there is no such file.
        ConnectionRefused | NotFound => ": nobody listens there: start an executor at this address",
        PermissionDenied => ": a Unix socket is for the executor's own user: run as that user",
        InvalidFilename => TOO_LONG,
        _ => "",
    }
}

const TOO_LONG: &str = ": the path of a Unix socket has at most 107 bytes: take a shorter one";

/// What to do about an address that cannot be listened at.
fn advice_to_listen(error: &io::Error) -> &'static str {
    use io::ErrorKind::{AddrNotAvailable, InvalidFilename, NotFound, PermissionDenied};
    match error.kind() {
        NotFound => ": its folder is not there: make it first",
        PermissionDenied => ": this user may not write to that folder, or use that port",
        AddrNotAvailable => ": it is no address of this machine",
        InvalidFilename => TOO_LONG,
        _ => "",
    }
}

/// What it means for a connection that the system gives an error.
fn reason(error: &io::Error) -> &'static str {
    use io::ErrorKind::{HostUnreachable, NetworkUnreachable, TimedOut};
    match error.kind() {
        TimedOut | HostUnreachable | NetworkUnreachable => {
            ": the peer's machine gave no sign for too long; what was asked may have been done there"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_comes_with_what_to_do() {
        let text = |code| {
            let address = || "unix:/s".parse::<Address>().unwrap();
            let source = || io::Error::from_raw_os_error(code);
            let listen = Error::Listen {
                address: address(),
                source: source(),
            };
            let connect = Error::Connect {
                address: address(),
                source: source(),
            };
            [listen.to_string(), connect.to_string()]
        };
        for (code, listen, connect) in [
            (libc::ENAMETOOLONG, "at most 107 bytes", "at most 107 bytes"),
            (libc::ENOENT, "make it first", "start an executor"),
            (
                libc::EACCES,
                "may not write to that folder",
                "run as that user",
            ),
            (libc::EADDRNOTAVAIL, "no address of this machine", "unix:/s"),
        ] {
            let [listens, connects] = text(code);
            assert!(listens.contains(listen), "{listens}");
            assert!(connects.contains(connect), "{connects}");
        }
    }
}
