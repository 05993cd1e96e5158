//! What is different in a policy that was read again.

use std::fmt;

use farcall_image::{Digest, KeyId};

use crate::Policy;

/// What is different in a policy from the one before, in no order. It is written as one line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicyChange {
    /// Keys that it has, and the one before had not.
    pub added: Vec<KeyId>,
    /// Keys that it has no more.
    pub removed: Vec<KeyId>,
    /// Keys that may have other imports of the host, or are trusted for another time.
    pub changed: Vec<KeyId>,
    /// Keys that are revoked, and were not.
    pub revoked: Vec<KeyId>,
    /// Images that are revoked, and were not.
    pub revoked_images: Vec<Digest>,
    /// Keys and images that are not revoked any more: how many.
    pub n_restored: usize,
    /// Keys that are trusted now.
    pub n_keys: usize,
}

impl PolicyChange {
    pub(crate) fn of(old: &Policy, new: &Policy) -> Self {
        let mut change = Self {
            n_restored: (old.revoked_keys.difference(&new.revoked_keys)).count()
                + (old.revoked_images.difference(&new.revoked_images)).count(),
            n_keys: new.n_keys(),
            ..Self::default()
        };
        for (id, key) in &new.keys {
            match old.keys.get(id) {
                None => change.added.push(*id),
                Some(before) if before != key => change.changed.push(*id),
                Some(_) => {}
            }
        }
        let removed = old.keys.keys().filter(|id| !new.keys.contains_key(id));
        change.removed.extend(removed);
        let revoked = new.revoked_keys.difference(&old.revoked_keys);
        change.revoked.extend(revoked);
        let images = new.revoked_images.difference(&old.revoked_images);
        change.revoked_images.extend(images);
        change
    }
}

impl fmt::Display for PolicyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = [
            ("added", &self.added),
            ("removed", &self.removed),
            ("changed", &self.changed),
            ("revoked", &self.revoked),
        ];
        for (what, keys) in keys {
            keys.iter()
                .try_for_each(|key| write!(f, "key {key} {what}, "))?;
        }
        for image in &self.revoked_images {
            write!(f, "image {image} revoked, ")?;
        }
        if self.n_restored > 0 {
            write!(f, "{} not revoked any more, ", self.n_restored)?;
        }
        write!(f, "{} keys are trusted", self.n_keys)
    }
}
