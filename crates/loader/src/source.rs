//! Where an image's bytes are in a file, so that they need not be copied.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;
use std::sync::Arc;

use farcall_image::{ARENA_STRIDE, Image, PackedSegment};

use crate::kept::{self, FileId, Form};
use crate::mapping::LARGE;
use crate::reservation::Reservation;
use crate::sys::memory;

/// A file with an image's bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) file: BorrowedFd<'a>,
    /// Where all of it is mapped, with room for the image.
    pub(crate) mapped: Option<&'a MappedFile>,
}

/// A file in memory with an image's bytes: the system gets memory for it faster than for pages that are
/// zero first.
#[derive(Debug)]
pub(crate) struct MemoryFile(File);

impl MemoryFile {
    /// A file with the bytes of the image that are mapped: those up to the last of its constants and code.
    pub(crate) fn new(image: &Image<'_>) -> io::Result<Self> {
        let mapped = image.segments().iter().filter(|segment| !segment.writable);
        let end = mapped.map(|segment| segment.file.end).max();
        let bytes = &image.bytes()[..end.unwrap_or(0)];
        let file = memory::memory_file(c"farcall-image", true, bytes.len() as u64)?;
        let mut file = File::from(file);
        file.write_all(bytes)?;
        Ok(Self(file))
    }

    pub(crate) fn source(&self) -> Source<'_> {
        Source {
            file: self.0.as_fd(),
            mapped: None,
        }
    }
}

/// A file's bytes: all of them read, or read as they are needed.
#[derive(Debug)]
pub(crate) enum FileBytes {
    Read(Vec<u8>),
    Mapped(MappedFile),
}

impl FileBytes {
    /// Reads a small file and maps a large one.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.len() >= LARGE as u64 {
            return MappedFile::new(file, FileId::of(&metadata)).map(Self::Mapped);
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(Self::Read(bytes))
    }

    /// The bytes.
    ///
    /// # Safety
    ///
    /// Nobody changes or truncates the file as long as they are used.
    pub(crate) unsafe fn bytes(&self) -> &[u8] {
        match self {
            Self::Read(bytes) => bytes,
            // SAFETY: the caller's contract.
            Self::Mapped(file) => unsafe { file.bytes() },
        }
    }

    pub(crate) fn source(&self) -> Option<Source<'_>> {
        match self {
            Self::Read(_) => None,
            Self::Mapped(file) => Some(file.source()),
        }
    }
}

/// A file's bytes, read as they are needed: mapped where a packed image has its first segment, so that the
/// rest can be put behind it.
#[derive(Debug)]
pub(crate) struct MappedFile {
    file: File,
    id: FileId,
    pub(crate) reservation: Arc<Reservation>,
    length: usize,
    /// Of the image that is there already, if this file was kept.
    kept: Option<Form>,
}

impl MappedFile {
    /// Maps a whole file, which is not empty.
    fn new(file: File, id: FileId) -> io::Result<Self> {
        const SPAN: u64 = ARENA_STRIDE * PackedSegment::ALL.len() as u64;
        let length = usize::try_from(id.size).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let (kept, reservation) = kept::take(id).unzip();
        let new = || -> io::Result<_> {
            let reservation =
                Reservation::new(id.size.max(SPAN), 1).map_err(|error| error.source)?;
            let mapped = reservation.map_start(length, file.as_fd());
            mapped.map_err(|error| error.source)?;
            Ok(Arc::new(reservation))
        };
        let reservation = reservation.map_or_else(new, Ok)?;
        Ok(Self {
            file,
            id,
            reservation,
            length,
            kept,
        })
    }

    /// Whether this image can be where the file is: there is none yet, or one of the same form.
    pub(crate) fn can_be(&self, image: &Image<'_>) -> bool {
        self.kept.as_ref().is_none_or(|form| form.is_of(image))
    }

    /// Whether all of its image is mapped, and its data is another one's.
    pub(crate) fn is_whole(&self) -> bool {
        self.kept.is_some()
    }

    /// The form of the image in this file, if it can be kept.
    pub(crate) fn form(&self, image: &Image<'_>) -> Option<Form> {
        Form::of(self.id, image)
    }

    /// The bytes.
    ///
    /// # Safety
    ///
    /// Nobody changes or truncates the file as long as they are used.
    unsafe fn bytes(&self) -> &[u8] {
        let start = self.reservation.base();
        // SAFETY: the mapping is readable and this long; that it stays as it is is the caller's contract.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), self.length) }
    }

    fn source(&self) -> Source<'_> {
        Source {
            file: self.file.as_fd(),
            mapped: Some(self),
        }
    }
}
