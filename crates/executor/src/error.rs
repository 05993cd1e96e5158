//! The crate's errors.

use std::io;

use farcall_protocol::Failure;

use crate::{Address, BareError};

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
    #[error("{address}: in use: another executor listens there")]
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
    #[error("{address}: cannot listen: {source}")]
    Listen {
        /// The address.
        address: Address,
        /// Its answer.
        source: io::Error,
    },
    /// The operating system does not let it connect.
    #[error("{address}: cannot connect: {source}")]
    Connect {
        /// The address.
        address: Address,
        /// Its answer.
        source: io::Error,
    },
    /// Something listens there and does not say that it is an executor.
    #[error(
        "{address}: no answer: what listens there says nothing, so it is no executor, or a busy one"
    )]
    Silent {
        /// The address.
        address: Address,
    },
    /// The operating system refuses something else that serving needs.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried, as an infinitive.
        action: &'static str,
        /// Its answer.
        source: io::Error,
    },
    /// The connection failed.
    #[error("connection: {0}")]
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
    /// The executor could not do it.
    #[error("{0}")]
    Failed(Failure),
}

impl Error {
    /// For `map_err`: the operating system refused `action`.
    pub(crate) fn system<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::System {
            action,
            source: source.into(),
        }
    }
}
