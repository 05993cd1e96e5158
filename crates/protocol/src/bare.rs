//! What a controller and a bare executor say to each other.
//!
//! A bare executor has no loader. It offers memory and calls what was written there; the controller decides where
//! everything is and sends bytes that are final. The frames are those of the other protocol, the messages are not: a
//! request is a list of *steps*, which are done in order until one fails, so that whatever need not wait for an answer goes
//! in one frame, and nothing runs what was not written.
//!
//! # To add a step
//!
//! Add its variant last in [`Step`], its outcome in [`Outcome`], raise [`BARE_VERSION`], and add its row to
//! `docs/protocol.md` and its line to the round-trip test.

use serde::{Deserialize, Serialize};

use crate::{Argument, Error, Failure, HELLO_LIMIT, LENGTH_SIZE, Result};

/// What the first payload in each direction starts with, in every version.
pub const BARE_MAGIC: &[u8; 8] = b"farbare\0";

/// The version of these messages; a little-endian `u32` after [`BARE_MAGIC`]. Another version is refused, older or newer.
pub const BARE_VERSION: u32 = 1;

/// Who speaks and what it takes. Each side sends its own at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BareHello {
    /// The program and its version, for people to read.
    pub software: String,
    /// The machine that the executor runs on, as in a target triple; empty from a controller.
    pub machine: String,
    /// What the executor's CPU has: bit N for the feature with number N of its machine; 0 from a controller.
    pub features: u128,
    /// The longest payload that the sender takes, in bytes.
    pub frame_limit: u32,
    /// The size of a page in bytes, a power of two: what [`Step::Protect`] goes by; 0 from a controller.
    pub page_size: u64,
}

impl BareHello {
    /// Appends the hello's frame to `out`.
    ///
    /// # Errors
    ///
    /// [`Error::FrameTooLong`] when the names are too long for [`HELLO_LIMIT`].
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        let frame = out.len();
        out.extend_from_slice(&[0; LENGTH_SIZE]);
        out.extend_from_slice(BARE_MAGIC);
        out.extend_from_slice(&BARE_VERSION.to_le_bytes());
        crate::codec::append(out, self);
        crate::codec::set_length(out, frame, 0, HELLO_LIMIT)
    }

    /// Reads the payload of the first frame.
    ///
    /// # Errors
    ///
    /// [`Error::NotFarcall`], [`Error::Version`] or [`Error::Malformed`].
    pub fn decode(payload: &[u8]) -> Result<Self> {
        let body = payload.strip_prefix(BARE_MAGIC).ok_or(Error::NotFarcall)?;
        let (version, body) = body.split_first_chunk().ok_or(Error::NotFarcall)?;
        let version = u32::from_le_bytes(*version);
        if version != BARE_VERSION {
            return Err(Error::Version {
                found: version,
                known: BARE_VERSION,
            });
        }
        match postcard::take_from_bytes(body) {
            Ok((hello, [])) => Ok(hello),
            _ => Err(Error::Malformed {
                length: payload.len(),
            }),
        }
    }
}

/// One thing that a bare executor does. A request's message is a list of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Step<'data> {
    /// Reserve address space. Nothing can be read, written or run there yet. Gives [`Outcome::Reserved`].
    Reserve {
        /// Its size in bytes, rounded up to pages.
        size: u64,
        /// What its address is a multiple of, in bytes: a power of two.
        align: u64,
    },
    /// Find symbols of the executor's process. Gives [`Outcome::Symbols`].
    Lookup {
        /// Their names.
        #[serde(borrow)]
        names: Vec<&'data str>,
    },
    /// Write the next `size` bytes of the body to pages of a reservation that are not protected yet, or are as
    /// [`Access::ReadWrite`]. What is not written is zero.
    Write {
        /// Where.
        address: u64,
        /// How many bytes.
        size: u64,
    },
    /// Give pages of a reservation their final protection. This is done once a page: no page that was executable is
    /// ever writable, and none is both.
    Protect {
        /// The first page.
        address: u64,
        /// The size in bytes, rounded up to pages.
        size: u64,
        /// What may be done with them from now on.
        access: Access,
    },
    /// Call functions with the arguments of constructors, one after the other. An exception that leaves one ends the process.
    Run {
        /// Their addresses.
        functions: Vec<u64>,
    },
    /// Ask the code of indirect functions which functions they are. Gives [`Outcome::Symbols`].
    Resolve {
        /// The addresses of that code.
        functions: Vec<u64>,
    },
    /// Call a function. The buffers that go in are the next bytes of the body. Gives [`Outcome::Returned`].
    Call {
        /// Its address: in an executable page of a reservation, or one that [`Step::Lookup`] gave.
        function: u64,
        /// Where its result is.
        result: ResultRegister,
        /// What to pass. Integers are as registers hold them, extended to 64 bits.
        arguments: Vec<Argument>,
    },
    /// Give back a reservation that no call is in.
    Free {
        /// Its address.
        address: u64,
    },
}

/// What may be done with pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Access {
    /// Reading.
    Read,
    /// Reading and running.
    ReadExecute,
    /// Reading and writing.
    ReadWrite,
}

/// The kind of register that a result is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ResultRegister {
    /// That of integers and pointers, also for no result.
    Integer,
    /// That of floating-point numbers.
    Float,
}

/// What a bare executor answers: the response's message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcomes {
    /// Of each step that was done, in order.
    pub done: Vec<Outcome>,
    /// Why the next one was not; it and those after it have done nothing.
    pub failure: Option<Failure>,
}

/// What a step gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// Nothing: it is done.
    Done,
    /// The address of what was reserved.
    Reserved {
        /// Its first byte.
        address: u64,
    },
    /// What was looked up or resolved.
    Symbols {
        /// The addresses, in order; 0 for a symbol that there is not.
        addresses: Vec<u64>,
    },
    /// The function returned. The buffers that come out are the next bytes of the body.
    Returned {
        /// The bits of the register.
        bits: u64,
    },
}
