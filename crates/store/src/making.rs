//! The file that becomes an entry, and the lock on it: who has the lock makes the entry, for all processes.
//!
//! The lock is on the file itself (`flock`), so it ends with the process that has it, however that ends. A file that such a
//! process leaves behind is taken over by the next that wants its key, or removed by whoever evicts.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::Key;
use crate::entry::Trailer;
use crate::folder::Folder;

/// The right to make an entry, until it is dropped.
#[derive(Debug)]
pub(crate) struct Making {
    file: File,
    /// None once the file is an entry: another's may have the name by then.
    path: Option<PathBuf>,
}

/// What asking for that right gives.
#[derive(Debug)]
pub(crate) enum Claim {
    Ours(Making),
    /// Someone else has it.
    Busy,
}

impl Making {
    pub(crate) fn claim(folder: &Folder, key: &Key) -> io::Result<Claim> {
        let path = folder.making().join(key.to_string());
        loop {
            let file = open(&path).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => folder.make_parts().and_then(|()| open(&path)),
                _ => Err(error),
            })?;
            match file.try_lock() {
                // Who had the lock before may have made an entry of the file, or removed it.
                Ok(()) if is_at(&file, &path) => {
                    let path = Some(path);
                    return Ok(Claim::Ours(Self { file, path }));
                }
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(Claim::Busy),
                // A file system without locks: everybody makes the entry, each in a file of its own, and nobody in this one.
                Err(TryLockError::Error(_)) => {
                    let _ = fs::remove_file(&path);
                    return Self::unshared(&path).map(Claim::Ours);
                }
            }
        }
    }

    fn unshared(path: &Path) -> io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut path = path.as_os_str().to_owned();
        path.push(format!(".{}.{number}", std::process::id()));
        let path = PathBuf::from(path);
        Ok(Self {
            file: open(&path)?,
            path: Some(path),
        })
    }

    /// Writes the entry and puts it in its place.
    pub(crate) fn commit(
        mut self,
        entry: &Path,
        trailer: &Trailer,
        bytes: &[u8],
    ) -> io::Result<()> {
        // A process that was killed may have left a part of it.
        self.file.set_len(0)?;
        trailer.write(bytes, &self.file)?;
        if let Some(path) = &self.path {
            fs::rename(path, entry)?;
        }
        self.path = None;
        Ok(())
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // While it stays, it is taken for that of a maker that died.
            let _ = fs::remove_file(path);
        }
        // Closing would do, unless a forked child has the file too.
        let _ = self.file.unlock();
    }
}

/// Removes the file of a maker that is dead, and says whether it was.
pub(crate) fn remove_if_dead(path: &Path) -> bool {
    /// Where locks do not tell, age does.
    const OLD: Duration = Duration::from_secs(24 * 60 * 60);
    let Ok(file) = File::open(path) else {
        return false;
    };
    let is_dead = match file.try_lock() {
        Ok(()) => is_at(&file, path) && !is_unshared(path) || is_older(&file, OLD),
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(_)) => is_older(&file, OLD),
    };
    is_dead && fs::remove_file(path).is_ok()
}

/// Locks a file, asking again and again for as long as that; whether it is locked now, or has no locks. Only who dies gives a
/// lock of its up in time for sure, and nobody is to wait for ever for a process that is stopped.
pub(crate) fn lock_within(file: &File, patience: Duration) -> bool {
    let mut wait = Wait::new(patience);
    loop {
        match file.try_lock() {
            Ok(()) | Err(TryLockError::Error(_)) => return true,
            Err(TryLockError::WouldBlock) if wait.again() => {}
            Err(TryLockError::WouldBlock) => return false,
        }
    }
}

/// Waiting for what says nothing when it is done.
pub(crate) struct Wait {
    start: Instant,
    patience: Duration,
}

impl Wait {
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            start: Instant::now(),
            patience,
        }
    }

    /// Waits a little, in proportion to how long it has been: looking once more costs a few microseconds, and what is waited for
    /// is late by a sixteenth at most. False when patience is over.
    pub(crate) fn again(&mut self) -> bool {
        const SHORTEST: Duration = Duration::from_micros(100);
        const LONGEST: Duration = Duration::from_millis(20);
        let waited = self.start.elapsed();
        if waited >= self.patience {
            return false;
        }
        thread::sleep((waited / 16).clamp(SHORTEST, LONGEST));
        true
    }
}

fn open(path: &Path) -> io::Result<File> {
    // Not emptied here: it may be another's, who is writing it.
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.open(path)
}

/// Whether this file is the one that has the name.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), path.metadata()) {
        (Ok(file), Ok(named)) => identity(file) == identity(named),
        _ => false,
    }
}

/// One of a file system without locks has more than the key in its name.
fn is_unshared(path: &Path) -> bool {
    path.extension().is_some()
}

fn is_older(file: &File, age: Duration) -> bool {
    let modified = file.metadata().and_then(|metadata| metadata.modified());
    modified.is_ok_and(|time| time.elapsed().is_ok_and(|elapsed| elapsed > age))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyBuilder;

    fn setup() -> (tempfile::TempDir, Folder, Key) {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::open(temporary.path()).unwrap();
        (temporary, folder, KeyBuilder::new("test").finish())
    }

    fn ours(folder: &Folder, key: &Key) -> Option<Making> {
        match Making::claim(folder, key).unwrap() {
            Claim::Ours(making) => Some(making),
            Claim::Busy => None,
        }
    }

    #[test]
    fn one_makes_it_until_it_is_made_or_given_up() {
        let (_temporary, folder, key) = setup();
        let first = ours(&folder, &key).unwrap();
        assert!(ours(&folder, &key).is_none());
        assert!(!remove_if_dead(first.path.as_ref().unwrap()), "it lives");
        drop(first);
        let second = ours(&folder, &key).unwrap();
        let entry = folder.entries().join("entry");
        second
            .commit(&entry, &Trailer::new(&key, "", b"1"), b"1")
            .unwrap();
        assert!(entry.exists());
        assert!(ours(&folder, &key).is_some());
        assert_eq!(fs::read_dir(folder.making()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_dead_maker_left_is_overwritten_or_removed() {
        let (_temporary, folder, key) = setup();
        let left = folder.making().join(key.to_string());
        fs::write(&left, [7; 1000]).unwrap();
        let trailer = Trailer::new(&key, "", b"1");
        let entry = folder.entries().join("entry");
        let making = ours(&folder, &key).unwrap();
        making.commit(&entry, &trailer, b"1").unwrap();
        assert_eq!(entry.metadata().unwrap().len(), trailer.entry_size(b"1"));
        fs::write(&left, [7; 1000]).unwrap();
        assert!(remove_if_dead(&left));
        assert!(!left.exists());
    }

    #[test]
    fn without_locks_each_has_a_file_and_only_old_ones_go() {
        let (_temporary, folder, key) = setup();
        let path = folder.making().join(key.to_string());
        let (one, two) = (
            Making::unshared(&path).unwrap(),
            Making::unshared(&path).unwrap(),
        );
        assert_ne!(one.path, two.path);
        assert!(!remove_if_dead(one.path.as_ref().unwrap()));
        let long_ago = std::time::SystemTime::now() - Duration::from_secs(30 * 60 * 60);
        two.file.set_modified(long_ago).unwrap();
        assert!(remove_if_dead(two.path.as_ref().unwrap()));
    }

    #[test]
    fn a_lock_is_not_waited_for_for_ever() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().lock().unwrap();
        let other = File::open(file.path()).unwrap();
        assert!(!lock_within(&other, Duration::from_millis(5)));
        file.as_file().unlock().unwrap();
        assert!(lock_within(&other, Duration::from_millis(5)));
    }
}
