//! Why an image is refused.

use farcall_image::{Digest, KeyId, Machine, Utc};

use crate::KeyName;

/// Why a policy does not let an image load: what is wrong, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no signature.
    #[error("not signed: sign it with a key that the policy has: farcall sign IMAGE --key NAME")]
    Unsigned,
    /// The signature cannot be read.
    #[error("its signature cannot be read: {source}: sign it again")]
    Unreadable {
        /// Why.
        source: farcall_image::Error,
    },
    /// The image was changed.
    #[error("{source}: build it again, or fetch it from where it was signed")]
    Changed {
        /// What it is and what it says.
        source: farcall_image::Error,
    },
    /// The signature is another image's.
    #[error("its signature is for another image, {signed}: sign this one")]
    OtherImage {
        /// The image that was signed.
        signed: Digest,
    },
    /// The policy does not have the key.
    #[error(
        "signed with key {key}, which the policy does not have: sign it with one that it has, or add the key's line to it"
    )]
    UnknownKey {
        /// The key.
        key: KeyId,
    },
    /// The key was revoked.
    #[error("signed with key {key}, which was revoked: sign it with another one")]
    RevokedKey {
        /// The key.
        key: KeyId,
    },
    /// The signature is not the key's.
    #[error(
        "its signature is not one of key {key} ({name}): someone else made it, or it was changed: sign the image again"
    )]
    WrongSignature {
        /// The key that it says it is of.
        key: KeyId,
        /// The name of that key in the policy.
        name: KeyName,
    },
    /// The image was revoked.
    #[error("this image was revoked: load one that was built since")]
    RevokedImage,
    /// The signature says that the image is for another machine.
    #[error("signed for machine {signed}, but it is for {found}: sign it again")]
    OtherMachine {
        /// What the signature says, by ELF's number.
        signed: u16,
        /// What the image is.
        found: Machine,
    },
    /// The signature speaks of an import that the image does not have.
    #[error("its signature lets it import {name}, which it does not: sign it again")]
    NotImported {
        /// The import.
        name: String,
    },
    /// The signature does not hold yet.
    #[error("its signature holds from {from} on, and it is {now}: wait, or see to the clock")]
    NotYetValid {
        /// From when on it holds.
        from: Utc,
        /// The time.
        now: Utc,
    },
    /// The signature does not hold any more.
    #[error("its signature has expired at {expired}, and it is {now}: sign it again")]
    Expired {
        /// Since when it does not hold.
        expired: Utc,
        /// The time.
        now: Utc,
    },
    /// The policy does not trust the key yet, or any more.
    #[error(
        "signed with key {key} ({name}), which the policy trusts from {from} until {until}, and it is {now}: sign it with another one"
    )]
    KeyNotValid {
        /// The key.
        key: KeyId,
        /// The key's name in the policy.
        name: KeyName,
        /// From when on it is trusted.
        from: Utc,
        /// Until when.
        until: Utc,
        /// The time.
        now: Utc,
    },
}
