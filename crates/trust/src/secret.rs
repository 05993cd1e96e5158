//! Secret keys, and the files that hold them.

use std::fmt;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use farcall_image::SIGNATURE_SIZE;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use crate::key::{PUBLIC_KEY_SIZE, ParseKeyNameError};
use crate::policy_file::open_file;
use crate::{KeyName, PublicKey, base64};

const SEED_SIZE: usize = 32;
/// What a key file's only line starts with, so that it is not taken for a public key.
const WORD: &str = "farcall-secret-key";
/// What files of keys end in.
const EXTENSION: &str = "key";
/// More than any key file has, in bytes.
const MAX_FILE_SIZE: u64 = 4096;

/// A key to sign with. Its file is for its owner alone.
pub struct SecretKey {
    seed: [u8; SEED_SIZE],
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let public = &self.public;
        f.debug_tuple("SecretKey").field(public).finish()
    }
}

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The system refused something.
    #[error("{}: {call}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it refused.
        call: &'static str,
        /// Why.
        source: io::Error,
    },
    /// There is a file already.
    #[error("{}: there already: a key that was in use cannot be made again: choose another name", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Others may read the file, so that the key may be theirs too.
    #[error(
        "{}: others may read this secret key (mode {mode:03o}): chmod 600 it, and make a new key if anyone did",
        path.display()
    )]
    Readable {
        /// The file.
        path: PathBuf,
        /// The permissions.
        mode: u32,
    },
    /// The file holds something else.
    #[error("{}: not a secret key of farcall's: farcall key new makes one", path.display())]
    Form {
        /// The file.
        path: PathBuf,
    },
    /// The name is no name.
    #[error(transparent)]
    Name(#[from] ParseKeyNameError),
    /// The system has no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

impl SecretKey {
    /// A new key.
    ///
    /// # Errors
    ///
    /// [`KeyError::Random`].
    pub fn generate(name: KeyName) -> Result<Self, KeyError> {
        let mut seed = [0; SEED_SIZE];
        let filled = SystemRandom::new().fill(&mut seed);
        filled.map_err(|_| KeyError::Random)?;
        Ok(Self::from_seed(seed, name))
    }

    /// The key with this seed, the *private key* of RFC 8032, for who keeps it elsewhere than in a file. It must be random.
    ///
    /// # Panics
    ///
    /// Never: any seed is a key's.
    #[must_use]
    pub fn from_seed(seed: [u8; SEED_SIZE], name: KeyName) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed);
        let pair = pair.expect("any 32 bytes are a seed");
        let mut bytes = [0; PUBLIC_KEY_SIZE];
        bytes.copy_from_slice(pair.public_key().as_ref());
        let public = PublicKey::new(bytes, name);
        Self { seed, pair, public }
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_SIZE] {
        let mut bytes = [0; SIGNATURE_SIZE];
        bytes.copy_from_slice(self.pair.sign(message).as_ref());
        bytes
    }

    /// Where a folder has the key of this name.
    #[must_use]
    pub fn path_in(folder: &Path, name: &KeyName) -> PathBuf {
        folder.join(format!("{name}.{EXTENSION}"))
    }

    /// Writes the key to its file in a folder, which is made, for its owner alone (mode 0600 and 0700). Gives the file's path.
    ///
    /// # Errors
    ///
    /// [`KeyError::Exists`]: no key is ever written over. [`KeyError::Io`].
    pub fn write_in(&self, folder: &Path) -> Result<PathBuf, KeyError> {
        let path = Self::path_in(folder, self.public.name());
        let error = |call| {
            let path = path.clone();
            move |source: io::Error| match source.kind() {
                io::ErrorKind::AlreadyExists => KeyError::Exists { path },
                _ => KeyError::Io { path, call, source },
            }
        };
        let mut make = DirBuilder::new();
        let made = make.recursive(true).mode(0o700).create(folder);
        made.map_err(|source| KeyError::Io {
            path: folder.to_owned(),
            call: "make this folder",
            source,
        })?;
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&path);
        let mut file = file.map_err(error("make"))?;
        let (id, name) = (self.public.id(), self.public.name());
        let line = format!("{WORD} {id} {} {name}\n", base64::encode(&self.seed));
        let written = file.write_all(line.as_bytes());
        written
            .and_then(|()| file.sync_all())
            .map_err(error("write"))?;
        Ok(path)
    }

    /// Reads a key from its file.
    ///
    /// # Errors
    ///
    /// [`KeyError::Readable`] for a file that others may read or write, [`KeyError::Form`], [`KeyError::Io`].
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let error = |call| {
            let path = path.to_owned();
            move |source| KeyError::Io { path, call, source }
        };
        let file = open_file(path).map_err(error("open"))?;
        // Of the file that was opened, whatever becomes of its name.
        let metadata = file.metadata().map_err(error("ask for its mode"))?;
        let mode = metadata.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Readable {
                path: path.to_owned(),
                mode,
            });
        }
        let mut text = String::new();
        let read = file.take(MAX_FILE_SIZE).read_to_string(&mut text);
        let form = || KeyError::Form {
            path: path.to_owned(),
        };
        match read {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(form()),
            other => other.map_err(error("read"))?,
        };
        let key = Self::parse(&text).ok_or_else(form)?;
        Ok(key)
    }

    fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let [WORD, id, seed, name] = words[..] else {
            return None;
        };
        let key = Self::from_seed(base64::decode(seed)?, name.parse().ok()?);
        (id.parse() == Ok(key.public.id())).then_some(key)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_in_a_file_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("keys");
        let key = SecretKey::generate("build".parse().unwrap()).unwrap();
        let path = key.write_in(&folder).unwrap();
        assert_eq!(path, folder.join("build.key"));
        let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&path)), (0o700, 0o600));
        let read = SecretKey::read(&path).unwrap();
        assert_eq!(read.public(), key.public());
        assert_eq!(read.sign(b"text"), key.sign(b"text"));
        assert!(matches!(
            key.write_in(&folder),
            Err(KeyError::Exists { .. })
        ));
        // Debug text is for logs.
        let seed = base64::encode(&key.seed);
        assert!(fs::read_to_string(&path).unwrap().contains(&seed));
        assert!(!format!("{key:?}").contains(&seed));

        for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o666] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = SecretKey::read(&path).unwrap_err();
            assert!(matches!(error, KeyError::Readable { .. }), "{error}");
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
        SecretKey::read(&path).unwrap();
    }

    #[test]
    fn other_files_are_no_keys() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key");
        let key = SecretKey::generate("a".parse().unwrap()).unwrap();
        let good = fs::read_to_string(key.write_in(&folder.path().join("b")).unwrap()).unwrap();
        let id = key.public().id().to_string();
        for text in [
            String::new(),
            key.public().to_string(),
            good.replace(&id, "0000000000000000"),
            good.replace(WORD, "key"),
            format!("{good} more"),
            good.replace("=", ""),
            "x".repeat(10_000),
        ] {
            fs::write(&path, &text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            let error = SecretKey::read(&path).unwrap_err();
            assert!(matches!(error, KeyError::Form { .. }), "{text}: {error}");
        }
        fs::write(&path, b"\xff\xfe").unwrap();
        assert!(matches!(SecretKey::read(&path), Err(KeyError::Form { .. })));
        let missing = SecretKey::read(&folder.path().join("c.key"));
        assert!(matches!(missing, Err(KeyError::Io { .. })));
    }
}
