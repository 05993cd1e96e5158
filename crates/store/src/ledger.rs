//! How large all entries are together, and what goes when that is too much.
//!
//! The file holds the sum, so that adding an entry looks at no other. Its lock is held from before the size goes up until the
//! entry is in its place: the limit holds at any time, however many processes write. A process that is killed in between
//! leaves a sum that is too large, as do entries that are removed by other ways; the next look at all entries corrects it.

use std::fs::{self, DirEntry, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::Key;
use crate::folder::Folder;
use crate::making::{lock_within, remove_if_dead};

/// What was removed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Removed {
    /// Entries.
    pub entries: u64,
    /// The bytes that they took on the disk.
    pub bytes: u64,
    /// Unfinished files of processes that are dead.
    pub unfinished: u64,
}

/// The ledger, locked.
#[derive(Debug)]
pub(crate) struct Ledger<'f> {
    folder: &'f Folder,
    file: File,
}

/// What is known of an entry without opening it.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) key: Key,
    pub(crate) path: PathBuf,
    /// Bytes of the file.
    pub(crate) size: u64,
    /// When it was made or, about, last read.
    pub(crate) used: SystemTime,
}

impl<'f> Ledger<'f> {
    /// Waits for the lock. Whoever has it moves a few megabytes, or looks at all entries.
    pub(crate) fn lock(folder: &'f Folder) -> io::Result<Self> {
        const PATIENCE: Duration = Duration::from_secs(10);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.mode(0o600).open(folder.ledger())?;
        match lock_within(&file, PATIENCE) {
            true => Ok(Self { folder, file }),
            false => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "another process holds the ledger's lock",
            )),
        }
    }

    /// Adds `size` bytes to the sum, after it has removed what was not used for the longest time, so that the sum stays
    /// within `limit`. False when that much never fits.
    pub(crate) fn make_room(&self, size: u64, limit: u64) -> io::Result<bool> {
        let size = on_disk(size);
        if size > limit {
            return Ok(false);
        }
        let mut sum = match self.read() {
            Some(sum) => sum,
            None => total(&entries(self.folder)?),
        };
        if sum.saturating_add(size) > limit {
            // A bit more than needed, so that the next does not look at all entries again.
            let target = (limit - limit / 8).saturating_sub(size);
            sum = self.evict(target)?.0;
        }
        self.write(sum.saturating_add(size))?;
        Ok(true)
    }

    /// Removes entries until the others have `limit` bytes at most, and what the dead have left.
    pub(crate) fn reduce(&self, limit: u64) -> io::Result<Removed> {
        let (sum, mut removed) = self.evict(limit)?;
        for path in files(self.folder.making())? {
            removed.unfinished += u64::from(remove_if_dead(&path.path()));
        }
        self.write(sum)?;
        Ok(removed)
    }

    /// The sum that is left, and what went.
    fn evict(&self, target: u64) -> io::Result<(u64, Removed)> {
        let mut found = entries(self.folder)?;
        let mut sum = total(&found);
        let mut removed = Removed::default();
        found.sort_by_key(|entry| entry.used);
        for entry in found {
            if sum <= target {
                break;
            }
            // Whoever reads it has it open and reads on.
            fs::remove_file(&entry.path).or_else(ignore_missing)?;
            sum -= on_disk(entry.size);
            removed.entries += 1;
            removed.bytes += on_disk(entry.size);
        }
        Ok((sum, removed))
    }

    /// The sum and its complement: a file that is cut or of something else does not say a sum.
    fn read(&self) -> Option<u64> {
        let mut bytes = [0; 16];
        self.file.read_exact_at(&mut bytes, 0).ok()?;
        let (sum, complement) = bytes.split_at(8);
        let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).ok();
        let sum = number(sum)?;
        (number(complement)? == !sum).then_some(sum)
    }

    fn write(&self, sum: u64) -> io::Result<()> {
        let bytes = [sum.to_le_bytes(), (!sum).to_le_bytes()].concat();
        self.file.write_all_at(&bytes, 0)
    }
}

impl Drop for Ledger<'_> {
    fn drop(&mut self) {
        // Closing would do, unless a forked child has the file too.
        let _ = self.file.unlock();
    }
}

/// All entries. Costs a look at each.
pub(crate) fn entries(folder: &Folder) -> io::Result<Vec<Found>> {
    let found = |file: &DirEntry| {
        let key = Key::from_hex(file.file_name().to_str()?)?;
        let metadata = file.metadata().ok().filter(Metadata::is_file)?;
        Some(Found {
            key,
            path: file.path(),
            size: metadata.len(),
            used: metadata.modified().ok()?,
        })
    };
    Ok(files(folder.entries())?.iter().filter_map(found).collect())
}

fn files(folder: PathBuf) -> io::Result<Vec<DirEntry>> {
    match fs::read_dir(folder) {
        // What vanishes meanwhile is not there.
        Ok(files) => Ok(files.flatten().collect()),
        Err(error) => ignore_missing(error).map(|()| Vec::new()),
    }
}

fn total(entries: &[Found]) -> u64 {
    entries.iter().map(|entry| on_disk(entry.size)).sum()
}

/// What a file of this size takes on the disk.
fn on_disk(size: u64) -> u64 {
    size.next_multiple_of(4096)
}

pub(crate) fn ignore_missing(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    }
}
