//! Keeps what is made from inputs, such as an image of IR, in a local directory: bytes in, bytes out.
//!
//! ```
//! # let folder = tempfile::tempdir()?;
//! use farcall_store::{KeyBuilder, Limits, Store};
//!
//! let store = Store::open(&folder.path().join("cache"), Limits::default())?;
//! let key = KeyBuilder::new("example").field("input", b"six times seven").finish();
//! let make = || Ok::<_, std::convert::Infallible>(b"42".to_vec());
//! let (first, _) = store.get_or_make(&key, "an answer", make)?;
//! assert_eq!(store.get(&key), Some(first));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A [`Key`] is the digest of everything that decides the bytes; whoever builds it answers for that. What is kept under a key
//! never changes, so that an entry is right or it is damaged, and its own digest tells which. All else follows: any process may
//! delete any entry at any time, two that write the same key write the same, and losing the directory costs time only.
//!
//! # The directory
//!
//! - `entries/KEY`: an entry (`entry.rs` has its form; it begins with the bytes themselves). It comes there by a rename, complete.
//! - `making/KEY`: the file that becomes the entry. Who makes it holds a lock on it (`flock`), which ends with the process.
//! - `ledger`: the size of all entries. Its lock is held by who adds or evicts.
//!
//! Nothing is synced to the disk: what a power failure leaves half written is not the entry that its digest says, and is made again.
//!
//! # Trust
//!
//! What is kept is run. So the directory is one that only its owner can write to ([`Error::Insecure`] otherwise), and what the
//! owner's own processes put into it is believed, as their binaries are: the digest finds accidents, not attackers.

#![forbid(unsafe_code)]

pub mod build;
mod entry;
mod error;
mod facts;
mod flight;
mod folder;
mod key;
mod ledger;
mod making;
mod store;

pub use error::{Error, Writers};
pub use facts::Fact;
pub use folder::default_folder;
pub use key::{Key, KeyBuilder};
pub use ledger::Removed;
pub use store::{Entry, Limits, Origin, Store};
