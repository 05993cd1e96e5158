//! Why bytes are not a conversation.

/// The result of reading or writing messages.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why bytes are not what this protocol says, or cannot be said in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A frame longer than its receiver takes.
    #[error("frame of {length} bytes: longer than the limit of {limit} bytes")]
    FrameTooLong {
        /// The length of its payload in bytes.
        length: u64,
        /// The longest payload taken, in bytes.
        limit: u32,
    },
    /// What looks like a frame that is too long is the start of a TLS record: its receiver speaks in the clear.
    #[error("the peer speaks TLS: an address of its kind is tls:HOST:PORT")]
    Tls,
    /// The first frame does not start as every version of this protocol does.
    #[error("the peer does not speak farcall's protocol")]
    NotFarcall,
    /// The peer is an executor without a loader, which speaks with [`BareHello`](crate::BareHello).
    #[error("the peer is a bare executor: it takes placed images only")]
    Bare,
    /// The peer speaks another version.
    #[error("the peer speaks version {found} of the protocol, but this farcall version {known}")]
    Version {
        /// The peer's version.
        found: u32,
        /// The version spoken here.
        known: u32,
    },
    /// A payload does not start with a message of this protocol.
    #[error("a frame of {length} bytes does not start with a message")]
    Malformed {
        /// The length of the payload in bytes.
        length: usize,
    },
    /// A message says more about itself than is taken.
    #[error("message head longer than the limit of {limit} bytes")]
    HeadTooLong {
        /// The longest head taken, in bytes.
        limit: usize,
    },
}
