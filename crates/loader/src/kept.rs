//! The file of a large image that went and is likely to come again: it stays mapped, so that loading it again is
//! copying its data.
//!
//! One file at most, and no more memory than that of its data. What is read of it is checked again each
//! time, so that nothing hangs on its being what it was. A file that was changed is mapped anew: on a file system
//! that copies a file when it is first written to, its old mapping has what it was, under the same number.

use std::fs::Metadata;
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Mutex};

use farcall_image::{Image, Segment};

use crate::fork;
use crate::reservation::Reservation;

/// The most data, in bytes of memory, and the most of it that is zero, because zeroing costs what new
/// pages do.
const MOST_DATA: u64 = 4 << 20;
const MOST_ZEROES: u64 = 1 << 16;

static KEPT: Mutex<Option<(Form, Arc<Reservation>)>> = Mutex::new(None);

/// Which file it is, or which part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
    /// Where the part starts, and its size, in bytes.
    pub(crate) offset: u64,
    pub(crate) size: u64,
    /// When it was last changed, in seconds and nanoseconds.
    changed: (i64, i64),
}

impl FileId {
    pub(crate) fn of(metadata: &Metadata, part: &Range<u64>) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            offset: part.start,
            size: part.end - part.start,
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What is mapped of a file, and where data is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Form {
    file: FileId,
    segments: Box<[Segment]>,
}

impl Form {
    /// The form of an image in a file; `None` for one that is not to be kept.
    pub(crate) fn of(file: FileId, image: &Image<'_>) -> Option<Self> {
        let data = image.segments().iter().filter(|segment| segment.writable);
        let (mut size, mut zeroes) = (0, 0);
        for segment in data {
            let length = segment.memory.end - segment.memory.start;
            size += length;
            zeroes += length - segment.file.len() as u64;
        }
        (size <= MOST_DATA && zeroes <= MOST_ZEROES).then(|| Self {
            file,
            segments: image.segments().into(),
        })
    }

    /// Whether an image has this form.
    pub(crate) fn is_of(&self, image: &Image<'_>) -> bool {
        *self.segments == *image.segments()
    }
}

/// Keeps a reservation that has an image of this form, which has gone, instead of what was kept.
pub(crate) fn keep(form: Form, reservation: Arc<Reservation>) {
    let other = fork::lock(&KEPT).replace((form, reservation));
    // Not under the lock.
    drop(other);
}

/// Takes what is kept of a file.
pub(crate) fn take(file: FileId) -> Option<(Form, Arc<Reservation>)> {
    fork::lock(&KEPT).take_if(|(form, _)| form.file == file)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "has files")]
    fn a_file_that_was_changed_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let id = |text| {
            std::fs::write(&path, text).unwrap();
            FileId::of(&path.metadata().unwrap(), &(0..3))
        };
        let first = id("one");
        let again = path.metadata().unwrap();
        assert_eq!(FileId::of(&again, &(0..3)), first);
        assert_ne!(FileId::of(&again, &(1..3)), first);
        // Some systems note times by the hundredth of a second.
        std::thread::sleep(Duration::from_millis(100));
        assert_ne!(id("two"), first);
    }
}
