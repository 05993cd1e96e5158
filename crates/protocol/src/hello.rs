//! The first frame in each direction.

use farcall_image::Digest;
use serde::{Deserialize, Serialize};

use crate::{Error, LENGTH_SIZE, Result};

/// What the first payload in each direction starts with, in every version.
pub const MAGIC: &[u8; 8] = b"farcall\0";

/// The version of the protocol; a little-endian `u32` after [`MAGIC`]. Another version is refused,
/// older or newer.
pub const VERSION: u32 = 5;

/// The longest payload that is taken as a hello, in bytes.
pub const HELLO_LIMIT: u32 = 64 << 10;

/// The most digests that a hello lists.
pub const MAX_ANNOUNCED_MODULES: usize = 1024;

/// Who speaks and what it takes. Each side sends its own at once, without waiting for the other's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The program and its version, for people to read.
    pub software: String,
    /// The machine that the executor runs on, as in a target triple; empty from a controller.
    pub machine: String,
    /// What the executor's CPU has: bit N for the feature with number N of its machine, as images say what they require;
    /// 0 from a controller.
    pub features: u128,
    /// The longest payload that the sender takes, in bytes.
    pub frame_limit: u32,
    /// Whether images may come through memory ([`Request::Dock`]): of an executor that lets whoever connects do anything in its process.
    /// False from a controller.
    ///
    /// [`Request::Dock`]: crate::Request::Dock
    pub docks: bool,
    /// The newest modules that the executor has, oldest first; empty from a controller. What is
    /// listed need not be sent, what is not may be there all the same.
    pub modules: Vec<Digest>,
}

impl Hello {
    /// Appends the hello's frame to `out`. Of more than [`MAX_ANNOUNCED_MODULES`] the last are kept.
    ///
    /// # Errors
    ///
    /// [`Error::FrameTooLong`] when the names are too long for [`HELLO_LIMIT`].
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        let surplus = self.modules.len().saturating_sub(MAX_ANNOUNCED_MODULES);
        let body = (
            &self.software,
            &self.machine,
            self.features,
            self.frame_limit,
            self.docks,
            &self.modules[surplus..],
        );
        let frame = out.len();
        out.extend_from_slice(&[0; LENGTH_SIZE]);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        crate::codec::append(out, &body);
        crate::codec::set_length(out, frame, 0, HELLO_LIMIT)
    }

    /// Reads the payload of the first frame.
    ///
    /// # Errors
    ///
    /// [`Error::NotFarcall`], [`Error::Bare`], [`Error::Version`] or [`Error::Malformed`].
    pub fn decode(payload: &[u8]) -> Result<Self> {
        if payload.starts_with(crate::BARE_MAGIC) {
            return Err(Error::Bare);
        }
        let body = payload.strip_prefix(MAGIC).ok_or(Error::NotFarcall)?;
        let (version, body) = body.split_first_chunk().ok_or(Error::NotFarcall)?;
        let version = u32::from_le_bytes(*version);
        if version != VERSION {
            return Err(Error::Version {
                found: version,
                known: VERSION,
            });
        }
        let malformed = Error::Malformed {
            length: payload.len(),
        };
        match postcard::take_from_bytes(body) {
            Ok((hello, [])) => Ok(hello),
            _ => Err(malformed),
        }
    }
}
