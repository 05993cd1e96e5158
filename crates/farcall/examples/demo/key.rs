//! The key that the image is signed with, and the policy of the executors, which trusts it.

use std::fs;
use std::path::{Path, PathBuf};

use farcall::Image;
use farcall::trust::{SecretKey, Terms};

use crate::Result;

/// A key for this run.
pub(crate) struct Key {
    secret: SecretKey,
    /// The file with what executors trust: what is signed with the key, which may use all that the host has.
    pub(crate) policy: PathBuf,
}

impl Key {
    /// Makes one, and a policy in the folder.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let secret = SecretKey::generate("demo".parse()?)?;
        let policy = folder.join("policy");
        fs::write(&policy, format!("key {}\nhost *\n", secret.public()))?;
        Ok(Self { secret, policy })
    }

    /// The image's bytes with a signature, which holds for ever.
    pub(crate) fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        Ok((self.secret).sign_image(&Image::parse(bytes)?, &Terms::default())?)
    }
}
