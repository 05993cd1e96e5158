//! Whether a policy lets an image load.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use farcall_image::{CodeSignature, Digest, Image, KeyId, Utc};

use crate::{KeyName, Patterns, Policy, Refusal, TrustedKey};

/// How many images a policy remembers.
const MAX_REMEMBERED: usize = 1024;
/// The longest signature of one that it remembers, in bytes: the names in it are kept.
const MAX_REMEMBERED_SIZE: usize = 64 << 10;

/// An image that a policy lets load: who answers for it, and what of the host it may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    digest: Digest,
    e_machine: u16,
    key: KeyId,
    name: KeyName,
    /// Of the signature.
    host_imports: Vec<Box<[u8]>>,
    /// Of the policy.
    host: Patterns,
    not_before: Utc,
    expires: Utc,
}

impl Verified {
    /// The image's digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The key that signed it.
    #[must_use]
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// Who signed it, for people: `key 5a1c9d9dbe21a0c4 (build)`.
    #[must_use]
    pub fn by(&self) -> String {
        format!("key {} ({})", self.key, self.name)
    }

    /// Whether the image may bind an import to what the host has: its signature says so, and the policy lets the key.
    #[must_use]
    pub fn may_bind(&self, name: &str) -> bool {
        let imports = &self.host_imports;
        let is_signed = imports.binary_search_by(|it| (**it).cmp(name.as_bytes()));
        is_signed.is_ok() && self.host.contain(name)
    }
}

impl Policy {
    /// Whether an image may load now. Its bytes must stay as they are until it is loaded.
    ///
    /// # Cost and threads
    ///
    /// A digest of the image, and 40 µs for a signature that the policy has not seen. Any thread may call it.
    ///
    /// # Errors
    ///
    /// A [`Refusal`]: the first reason of these. Unsigned, changed, of an unknown or a revoked key, not signed with it, of
    /// another image, revoked, not in its time or its key's, for another machine, or with claims that do not fit.
    pub fn verify(&self, image: &Image<'_>) -> Result<Arc<Verified>, Refusal> {
        self.verify_at(image, Utc::now())
    }

    /// As [`Policy::verify`], at another time.
    ///
    /// # Errors
    ///
    /// As [`Policy::verify`].
    pub fn verify_at(&self, image: &Image<'_>, now: Utc) -> Result<Arc<Verified>, Refusal> {
        let trailer = image.code_signature().ok_or(Refusal::Unsigned)?;
        image
            .verify_digest()
            .map_err(|source| Refusal::Changed { source })?;
        let verified = self.verify_signature(image.digest(), trailer, now)?;
        if verified.e_machine != image.machine().e_machine() {
            return Err(Refusal::OtherMachine {
                signed: verified.e_machine,
                found: image.machine(),
            });
        }
        // Both are in order where the linker has them so; nothing relies on it.
        let mut imports: Vec<&[u8]> = image.imports().map(|(_, it)| it.name).collect();
        imports.sort_unstable();
        let mut claimed = verified.host_imports.iter();
        match claimed.find(|name| imports.binary_search(&&***name).is_err()) {
            None => Ok(verified),
            Some(name) => Err(Refusal::NotImported {
                name: String::from_utf8_lossy(name).into_owned(),
            }),
        }
    }

    /// Whether a signature lets the image of this digest load: all of [`Policy::verify_at`] that can be said without the
    /// image. For images that were verified when they were loaded, under this policy or another one.
    ///
    /// # Errors
    ///
    /// As [`Policy::verify`].
    pub fn verify_signature(
        &self,
        digest: Digest,
        trailer: &[u8],
        now: Utc,
    ) -> Result<Arc<Verified>, Refusal> {
        let seen = blake3::hash(trailer);
        let verified = match self.cache.get(digest, seen) {
            Some(verified) => verified,
            None => {
                let verified = Arc::new(self.authenticate(digest, trailer)?);
                if trailer.len() <= MAX_REMEMBERED_SIZE {
                    self.cache.remember(seen, Arc::clone(&verified));
                }
                verified
            }
        };
        self.check_times(&verified, now)?;
        Ok(verified)
    }

    /// All that does not depend on the time.
    fn authenticate(&self, digest: Digest, trailer: &[u8]) -> Result<Verified, Refusal> {
        let unreadable = |source| Refusal::Unreadable { source };
        let CodeSignature { claims, signature } =
            CodeSignature::parse(trailer).map_err(unreadable)?;
        let key = claims.key;
        if self.revoked_keys.contains(&key) {
            return Err(Refusal::RevokedKey { key });
        }
        let trusted = self.keys.get(&key).ok_or(Refusal::UnknownKey { key })?;
        let name = trusted.key.name().clone();
        if !(trusted.key).signed(&CodeSignature::message(trailer), &signature) {
            return Err(Refusal::WrongSignature { key, name });
        }
        if claims.digest != digest {
            return Err(Refusal::OtherImage {
                signed: claims.digest,
            });
        }
        if self.revoked_images.contains(&digest) {
            return Err(Refusal::RevokedImage);
        }
        Ok(Verified {
            digest,
            e_machine: claims.e_machine,
            key,
            name,
            host_imports: claims.host_imports.into_iter().map(Into::into).collect(),
            host: trusted.host.clone(),
            not_before: claims.not_before,
            expires: claims.expires,
        })
    }

    fn check_times(&self, verified: &Verified, now: Utc) -> Result<(), Refusal> {
        let &Verified {
            key,
            not_before,
            expires,
            ..
        } = verified;
        if now < not_before {
            return Err(Refusal::NotYetValid {
                from: not_before,
                now,
            });
        }
        if now >= expires {
            let expired = expires;
            return Err(Refusal::Expired { expired, now });
        }
        let trusted = self.keys.get(&key).ok_or(Refusal::UnknownKey { key })?;
        let TrustedKey { from, until, .. } = *trusted;
        match (from..until).contains(&now) {
            true => Ok(()),
            false => Err(Refusal::KeyNotValid {
                key,
                name: verified.name.clone(),
                from,
                until,
                now,
            }),
        }
    }
}

/// Signatures that a policy has seen and that are what they say, by the images' digests.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<HashMap<Digest, (blake3::Hash, Arc<Verified>)>>);

impl Cache {
    fn get(&self, digest: Digest, trailer: blake3::Hash) -> Option<Arc<Verified>> {
        let cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (seen, verified) = cache.get(&digest)?;
        (*seen == trailer).then(|| Arc::clone(verified))
    }

    fn remember(&self, trailer: blake3::Hash, verified: Arc<Verified>) {
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= MAX_REMEMBERED && !cache.contains_key(&verified.digest) {
            // What is still in use is back after one more look at its signature.
            cache.clear();
        }
        cache.insert(verified.digest, (trailer, verified));
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;
    use farcall_image::Claims;

    #[test]
    fn what_is_remembered_has_a_limit() {
        let key = SecretKey::generate("a".parse().unwrap()).unwrap();
        let policy: Policy = format!("key {}", key.public()).parse().unwrap();
        let trailer = |digest: Digest, name: &[u8]| {
            let claims = Claims {
                digest,
                e_machine: 62,
                host_imports: vec![name],
                not_before: Utc::START,
                expires: Utc(100),
                key: key.public().id(),
            };
            claims.signed(|message| key.sign(message)).unwrap()
        };
        let digest = |number: u16| {
            let mut bytes = [0; 32];
            bytes[..2].copy_from_slice(&number.to_le_bytes());
            Digest::from_bytes(bytes)
        };
        for number in 0..u16::try_from(MAX_REMEMBERED).unwrap() + 10 {
            let digest = digest(number);
            let trailer = trailer(digest, b"f");
            policy.verify_signature(digest, &trailer, Utc(50)).unwrap();
        }
        assert_eq!(policy.cache.len(), 10);
        let long = trailer(digest(0), &[b'f'; MAX_REMEMBERED_SIZE]);
        policy.verify_signature(digest(0), &long, Utc(50)).unwrap();
        assert_eq!(policy.cache.len(), 10);

        // What is remembered expires all the same, and means this signature alone.
        let last = digest(u16::try_from(MAX_REMEMBERED).unwrap() + 9);
        let good = trailer(last, b"f");
        assert!(policy.cache.get(last, blake3::hash(&good)).is_some());
        let expired = policy.verify_signature(last, &good, Utc(100));
        assert!(matches!(expired, Err(Refusal::Expired { .. })));
        let other = trailer(digest(7), b"f");
        let other = policy.verify_signature(last, &other, Utc(50));
        assert!(matches!(other, Err(Refusal::OtherImage { .. })));
    }
}
