//! A policy in a file, which may change while it is in use.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{KeyId, Policy, PolicyChange, Problem};

/// More than any policy has, in bytes.
const MAX_SIZE: u64 = 16 << 20;
/// How long after a change a file's times may stay the same at another one, in nanoseconds: some file systems count seconds.
const UNSETTLED: i128 = 2_000_000_000;

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The file cannot be read.
    #[error("{}: cannot read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be written to.
    #[error("{}: cannot write: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may write to the file, and so trust whom they like.
    #[error("{}: others may write to this policy (mode {mode:03o}): chmod go-w it", path.display())]
    Writable {
        /// The file.
        path: PathBuf,
        /// The permissions.
        mode: u32,
    },
    /// A line of it is wrong.
    #[error("{}:{line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line's number, from 1.
        line: usize,
        /// What is wrong with it.
        problem: Problem,
    },
}

/// A policy in a file. What is written there holds from the next load on, for whoever has it: to add, change or revoke a key nothing
/// is stopped.
///
/// A file that cannot be read any more, or has an error, changes nothing; it is logged as an error, once. So write a new file and
/// rename it over the old one. Threads may share it.
#[derive(Debug)]
pub struct PolicyFile {
    path: PathBuf,
    state: Mutex<State>,
    /// How often the policy has become another.
    generation: AtomicU64,
}

#[derive(Debug)]
struct State {
    policy: Arc<Policy>,
    /// What the policy was read from.
    text: String,
    /// When it was looked at last, whatever came of it.
    seen: Option<Version>,
}

/// Which state of a file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    size: u64,
    mode: u32,
    modified: i128,
    changed: i128,
    /// Whether it had been so for a while.
    is_settled: bool,
}

impl Version {
    fn of(metadata: &Metadata) -> Self {
        let nanoseconds =
            |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        let changed = nanoseconds(metadata.ctime(), metadata.ctime_nsec());
        let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        let now = i128::try_from(since.as_nanos()).unwrap_or(i128::MAX);
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            mode: metadata.mode(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed,
            is_settled: now - changed > UNSETTLED,
        }
    }
}

impl PolicyFile {
    /// Reads a policy.
    ///
    /// # Errors
    ///
    /// [`PolicyError`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, PolicyError> {
        let path = path.into();
        let (text, seen) = read(&path)?;
        let policy = parse(&path, &text)?;
        let state = State {
            policy: Arc::new(policy),
            text,
            seen: Some(seen),
        };
        Ok(Self {
            path,
            state: Mutex::new(state),
            generation: AtomicU64::new(1),
        })
    }

    /// Writes to a policy that a key is revoked, at its end. Whether it was not before.
    ///
    /// # Errors
    ///
    /// As [`PolicyFile::open`]; a policy that cannot be read is not written to. [`PolicyError::Write`].
    pub fn revoke(path: &Path, key: KeyId) -> Result<bool, PolicyError> {
        let (text, _) = read(path)?;
        if parse(path, &text)?.revoked_keys.contains(&key) {
            return Ok(false);
        }
        let before = match text.ends_with('\n') || text.is_empty() {
            true => "",
            false => "\n",
        };
        // One write at the end, so that of two at the same time none is lost, and nobody reads a part.
        let line = format!("{before}revoke key {key}\n");
        let file = OpenOptions::new().append(true).open(path);
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        written.map_err(|source| PolicyError::Write {
            path: path.to_owned(),
            source,
        })?;
        Ok(true)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The policy that holds now. Costs a system call, and reading the file when it has changed, or has just changed when it was read
    /// last.
    #[must_use]
    pub fn current(&self) -> Arc<Policy> {
        let mut state = self.lock();
        let now = self.version();
        let is_known = now == state.seen && now.is_none_or(|version| version.is_settled);
        if !is_known {
            match self.read_again(&mut state) {
                Ok(change) if change == PolicyChange::default() => {}
                Ok(change) => tracing::info!("{}: read again: {change}", self.path.display()),
                Err(error) if now != state.seen => {
                    tracing::error!("{error}: the policy stays as it was");
                }
                // It was said before.
                Err(_) => {}
            }
            state.seen = now;
        }
        Arc::clone(&state.policy)
    }

    /// Reads the file, whether it seems to have changed or not, and says what is different.
    ///
    /// # Errors
    ///
    /// As [`PolicyFile::open`]; the policy stays as it was then.
    pub fn reload(&self) -> Result<PolicyChange, PolicyError> {
        let mut state = self.lock();
        state.seen = self.version();
        let before = Arc::clone(&state.policy);
        self.read_again(&mut state)?;
        Ok(PolicyChange::of(&before, &state.policy))
    }

    /// The policy as it was read last, without looking at the file.
    #[must_use]
    pub fn latest(&self) -> Arc<Policy> {
        Arc::clone(&self.lock().policy)
    }

    /// A number that is another one whenever [`latest`](Self::latest) is another policy. Costs nothing.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn version(&self) -> Option<Version> {
        self.path.metadata().ok().as_ref().map(Version::of)
    }

    fn read_again(&self, state: &mut State) -> Result<PolicyChange, PolicyError> {
        let (text, _) = read(&self.path)?;
        // What has been verified is remembered as long as nothing has changed.
        if text == state.text {
            return Ok(PolicyChange::default());
        }
        let policy = Arc::new(parse(&self.path, &text)?);
        let change = PolicyChange::of(&state.policy, &policy);
        state.policy = policy;
        state.text = text;
        self.generation.fetch_add(1, Ordering::Release);
        Ok(change)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse(path: &Path, text: &str) -> Result<Policy, PolicyError> {
    Policy::parse(text).map_err(|(line, problem)| PolicyError::Line {
        path: path.to_owned(),
        line,
        problem,
    })
}

fn read(path: &Path) -> Result<(String, Version), PolicyError> {
    let read = || -> io::Result<_> {
        let mut file = open_file(path)?;
        let metadata = file.metadata()?;
        let mut text = String::new();
        (&mut file).take(MAX_SIZE + 1).read_to_string(&mut text)?;
        if text.len() as u64 > MAX_SIZE {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok((text, metadata))
    };
    let (text, metadata) = read().map_err(|source| PolicyError::Read {
        path: path.to_owned(),
        source,
    })?;
    let mode = metadata.mode() & 0o777;
    if mode & 0o022 != 0 {
        return Err(PolicyError::Writable {
            path: path.to_owned(),
            mode,
        });
    }
    Ok((text, Version::of(&metadata)))
}

/// Opens a file that has all its bytes now. A pipe would have whoever reads it wait for somebody to write, with an executor that cannot be told to stop.
pub(crate) fn open_file(path: &Path) -> io::Result<File> {
    let metadata = std::fs::metadata(path)?;
    if metadata.is_file() || metadata.is_dir() {
        return File::open(path);
    }
    let what = "it is a pipe or a device: write it to an ordinary file";
    Err(io::Error::new(io::ErrorKind::InvalidInput, what))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    use super::*;
    use crate::{KeyName, PublicKey};

    fn key(byte: u8) -> PublicKey {
        PublicKey::new([byte; 32], "a".parse::<KeyName>().unwrap())
    }

    #[test]
    fn what_is_written_holds_at_once_and_an_error_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy");
        let write = |text: &str| {
            let new = folder.path().join("new");
            fs::write(&new, text).unwrap();
            fs::set_permissions(&new, Permissions::from_mode(0o644)).unwrap();
            fs::rename(&new, &path).unwrap();
        };
        let [one, two] = [key(1), key(2)];
        write(&format!("key {one}\n"));
        let file = PolicyFile::open(&path).unwrap();
        let first = file.current();
        assert_eq!(first.n_keys(), 1);
        // The same text is the same policy, and what it remembers stays.
        write(&format!("key {one}\n"));
        assert!(Arc::ptr_eq(&first, &file.current()));
        write(&format!("key {one}\nkey {two}\n"));
        assert_eq!(file.current().n_keys(), 2);
        // Rotation: the old key goes when nothing is signed with it any more.
        write(&format!("key {one}\nkey {two}\nrevoke key {}\n", one.id()));
        assert_eq!(file.current().n_keys(), 1);
        write("nonsense\n");
        assert_eq!(file.current().n_keys(), 1);
        fs::remove_file(&path).unwrap();
        assert_eq!(file.current().n_keys(), 1);
        write("");
        assert_eq!(file.current().n_keys(), 0);
        // Written over, with as many bytes, in the same moment.
        fs::write(&path, format!("key {one}\n")).unwrap();
        assert!(file.current().key(one.id()).is_some());
        fs::write(&path, format!("key {two}\n")).unwrap();
        assert!(file.current().key(one.id()).is_none());
        assert!(file.current().key(two.id()).is_some());
    }

    #[test]
    fn a_key_is_revoked_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy");
        let [one, two] = [key(1), key(2)];
        fs::write(&path, format!("key {one}\nkey {two}")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let file = PolicyFile::open(&path).unwrap();
        assert!(PolicyFile::revoke(&path, one.id()).unwrap());
        assert_eq!(file.current().n_keys(), 1);
        assert!(!PolicyFile::revoke(&path, one.id()).unwrap());
        assert!(PolicyFile::revoke(&path, two.id()).unwrap());
        assert_eq!(file.current().n_keys(), 0);
        let [one_id, two_id] = [one.id(), two.id()];
        let text = format!("key {one}\nkey {two}\nrevoke key {one_id}\nrevoke key {two_id}\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        fs::write(&path, "nonsense").unwrap();
        assert!(PolicyFile::revoke(&path, one.id()).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "nonsense");
    }

    #[test]
    fn errors_name_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy");
        let error = PolicyFile::open(&path).unwrap_err();
        assert!(matches!(error, PolicyError::Read { .. }), "{error}");
        fs::write(&path, format!("key {}\nhots malloc\n", key(1))).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let error = PolicyFile::open(&path).unwrap_err();
        let expected = format!("{}:2: \"hots\": not a word", path.display());
        assert!(error.to_string().starts_with(&expected), "{error}");
        for mode in [0o620, 0o602, 0o666] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = PolicyFile::open(&path).unwrap_err();
            assert!(matches!(error, PolicyError::Writable { .. }), "{error}");
        }
        fs::write(&path, b"key \xff").unwrap();
        assert!(PolicyFile::open(&path).is_err());
        // Nobody writes to it, and nobody waits for that.
        let pipe = folder.path().join("pipe");
        assert!(
            Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        for path in [&pipe, Path::new("/dev/zero")] {
            let error = PolicyFile::open(path).unwrap_err().to_string();
            assert!(error.contains("a pipe or a device"), "{error}");
        }
    }
}
