//! The store: looking up, making, and looking after what is kept.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use crate::entry::{self, Trailer};
use crate::flight::Flights;
use crate::folder::Folder;
use crate::ledger::{self, Ledger, Removed};
use crate::making::{Claim, Making, Wait};
use crate::{Error, Key};

/// A directory of entries.
///
/// It can be used from many threads, and many processes may use the same directory. It holds no file open.
#[derive(Debug)]
pub struct Store {
    /// None when nothing is kept.
    folder: Option<Folder>,
    limits: Limits,
    flights: Flights,
    has_warned: AtomicBool,
}

/// What a store may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all entries on the disk. What was not used for the longest time makes room.
    pub bytes: u64,
    /// How long to wait for another process that makes an entry, before making it too.
    pub patience: Duration,
}

/// Where bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// They were kept, or someone else has made them meanwhile.
    Kept,
    /// This call has made them.
    Made,
}

/// An entry, for people to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: Key,
    /// Bytes of its file.
    pub size: u64,
    /// When it was made or last read, to about a minute.
    pub used: SystemTime,
    /// What it is, as its maker said; `None` when the file is no entry.
    pub label: Option<String>,
}

impl Default for Limits {
    /// 1 GiB; two minutes.
    fn default() -> Self {
        Self {
            bytes: 1 << 30,
            patience: Duration::from_secs(120),
        }
    }
}

impl Store {
    /// Opens a directory, which is made, for its user alone, if it does not exist.
    ///
    /// One that cannot be written to serves what it has. So does one that belongs to root.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be made, [`Error::Insecure`] when others may write to it.
    pub fn open(folder: &Path, limits: Limits) -> Result<Self, Error> {
        Ok(Self::new(Some(Folder::open(folder)?), limits))
    }

    /// A store that keeps nothing: everything is made, by one thread for all that want it at that time.
    #[must_use]
    pub fn off() -> Self {
        Self::new(None, Limits::default())
    }

    fn new(folder: Option<Folder>, limits: Limits) -> Self {
        Self {
            folder,
            limits,
            flights: Flights::default(),
            has_warned: AtomicBool::new(false),
        }
    }

    /// The directory; `None` when nothing is kept.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_ref().map(Folder::path)
    }

    /// What is kept under a key.
    ///
    /// Costs reading the file and its digest. An entry that is damaged is removed.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Vec<u8>> {
        let path = self.folder.as_ref()?.entries().join(key.to_string());
        let file = File::open(&path).ok()?;
        let metadata = file.metadata().ok()?;
        let bytes = entry::read(key, &file, metadata.len());
        match (&bytes, metadata.modified()) {
            (Some(_), Ok(used)) => touch(&file, used),
            (None, _) => {
                tracing::warn!(%key, "a damaged entry of the cache is removed");
                // It may be a good one by now: that costs making it again.
                let _ = fs::remove_file(&path);
            }
            _ => {}
        }
        bytes
    }

    /// What is kept under a key, else what `make` gives, which is kept then. `label` is for people.
    ///
    /// Of all threads and processes that ask for a key at one time one makes it; the others wait. When it dies or fails, the
    /// next one makes it. `make` may use the store, but not ask for the same key.
    ///
    /// # Errors
    /// Those of `make`, and no others: what goes wrong with the directory means that it keeps less, and one warning.
    pub fn get_or_make<E>(
        &self,
        key: &Key,
        label: &str,
        make: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<(Vec<u8>, Origin), E> {
        if let Some(bytes) = self.get(key) {
            return Ok((bytes, Origin::Kept));
        }
        self.flights.join(key, || {
            let making = match self.claim(key) {
                Claimed::Kept(bytes) => return Ok((bytes, Origin::Kept)),
                Claimed::Ours(making) => Some(making),
                Claimed::Nothing => None,
            };
            let bytes = make()?;
            if let Some(making) = making {
                self.keep(making, key, label, &bytes);
            }
            Ok((bytes, Origin::Made))
        })
    }

    /// Keeps bytes under a key, whatever is there. When another process does so at this time, its bytes are kept.
    pub fn put(&self, key: &Key, label: &str, bytes: &[u8]) {
        let Some(folder) = &self.folder else {
            return;
        };
        match Making::claim(folder, key) {
            Ok(Claim::Ours(making)) => self.keep(making, key, label, bytes),
            Ok(Claim::Busy) => {}
            Err(error) => self.warn(&error),
        }
    }

    /// All entries, those used last first. Costs opening each.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        let Some(folder) = &self.folder else {
            return Ok(Vec::new());
        };
        let mut found = ledger::entries(folder)?;
        found.sort_by_key(|entry| std::cmp::Reverse(entry.used));
        let entry = |found: ledger::Found| Entry {
            label: (File::open(&found.path).ok()).and_then(|file| entry::label(&file, found.size)),
            key: found.key,
            size: found.size,
            used: found.used,
        };
        Ok(found.into_iter().map(entry).collect())
    }

    /// Removes what was not used for the longest time, until the rest takes `bytes` on the disk at most, and what dead processes
    /// have left.
    ///
    /// # Errors
    /// When the directory cannot be read or written.
    pub fn reduce(&self, bytes: u64) -> io::Result<Removed> {
        match &self.folder {
            Some(folder) => Ledger::lock(folder)?.reduce(bytes),
            None => Ok(Removed::default()),
        }
    }

    /// What the store may take.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    fn claim(&self, key: &Key) -> Claimed {
        let Some(folder) = &self.folder else {
            return Claimed::Nothing;
        };
        let mut wait = Wait::new(self.limits.patience);
        loop {
            match Making::claim(folder, key) {
                Ok(Claim::Ours(making)) => {
                    // Someone may have made it since it was looked for.
                    return match self.get(key) {
                        Some(bytes) => Claimed::Kept(bytes),
                        None => Claimed::Ours(making),
                    };
                }
                Ok(Claim::Busy) if wait.again() => {}
                Ok(Claim::Busy) => return Claimed::Nothing,
                Err(error) => {
                    self.warn(&error);
                    return Claimed::Nothing;
                }
            }
        }
    }

    fn keep(&self, making: Making, key: &Key, label: &str, bytes: &[u8]) {
        let Some(folder) = &self.folder else {
            return;
        };
        let trailer = Trailer::new(key, label, bytes);
        let keep = || {
            let ledger = Ledger::lock(folder)?;
            match ledger.make_room(trailer.entry_size(bytes), self.limits.bytes)? {
                true => making.commit(&folder.entries().join(key.to_string()), &trailer, bytes),
                false => {
                    tracing::debug!(%key, size = bytes.len(), "larger than the cache may be");
                    Ok(())
                }
            }
        };
        if let Err(error) = keep() {
            self.warn(&error);
        }
    }

    /// Once: a disk that is full stays so, and the caller has what it wanted.
    fn warn(&self, error: &io::Error) {
        if let (Some(folder), false) =
            (self.folder(), self.has_warned.swap(true, Ordering::Relaxed))
        {
            tracing::warn!(folder = %folder.display(), %error, "the cache keeps nothing new");
        }
    }
}

/// What came of asking for the right to make an entry.
enum Claimed {
    Ours(Making),
    Kept(Vec<u8>),
    /// It is to be made, but cannot be kept, or someone else keeps it.
    Nothing,
}

/// Notes that an entry is in use, by the time of its file, once a minute: reading is not to cost a write each time.
fn touch(file: &File, used: SystemTime) {
    const OFTEN: Duration = Duration::from_secs(60);
    let now = SystemTime::now();
    // A time to come is a clock's that was wrong.
    let is_recent = now.duration_since(used).is_ok_and(|age| age < OFTEN);
    if !is_recent {
        // Where it cannot be noted, the entry goes a little early.
        let _ = file.set_modified(now);
    }
}
