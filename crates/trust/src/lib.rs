//! Whose images load: keys, code signatures and policies.
//!
//! Whoever makes an image signs it with a [`SecretKey`] (Ed25519, RFC 8032); the signature is part of the image's bytes
//! from then on ([`farcall_image::CodeSignature`]). Whoever loads images has a [`Policy`]: the keys that it trusts, what of
//! the host each may use, and what was revoked. [`Policy::verify`] says of an image that is about to be mapped who answers for
//! it, or why it is refused. `docs/signing.md` is the specification, of signatures and of policy files.
//!
//! A loader asks a policy so; it does not know this crate, nor this crate it:
//!
//! ```no_run
//! use std::sync::Arc;
//! # use farcall_loader::{Loader, Permission};
//! # use farcall_trust::PolicyFile;
//!
//! let policy = PolicyFile::open("/etc/farcall/policy")?;
//! let mut loader = Loader::new();
//! loader.verify_images(move |image| {
//!     let verified = policy.current().verify(image)?;
//!     let by = verified.by();
//!     Ok(Permission::only(&by, move |name| verified.may_bind(name)))
//! });
//! # Ok::<(), farcall_trust::PolicyError>(())
//! ```
//!
//! An image cannot vouch for itself: nothing in its bytes but a signature of a trusted key has it loaded, not its manifest,
//! its digest, its name or where it was kept.

#![forbid(unsafe_code)]

mod base64;
mod key;
mod pattern;
mod policy;
mod policy_change;
mod policy_file;
mod refusal;
mod secret;
mod sign;
mod verify;

pub use key::{KeyName, ParseKeyError, ParseKeyNameError, PublicKey};
pub use pattern::Patterns;
pub use policy::{Policy, Problem, TrustedKey};
pub use policy_change::PolicyChange;
pub use policy_file::{PolicyError, PolicyFile};
pub use refusal::Refusal;
pub use secret::{KeyError, SecretKey};
pub use sign::{SignError, Terms};
pub use verify::Verified;

pub use farcall_image::{KeyId, Utc};
