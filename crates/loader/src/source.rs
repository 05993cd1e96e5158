//! Where an image's bytes are in a file, so that they need not be copied.

use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use farcall_image::{ARENA_STRIDE, BundleTable, CodeSignature, Image, PackedSegment, Variant};

use crate::kept::{self, FileId, Form};
use crate::mapping::LARGE;
use crate::reservation::Reservation;
use crate::sys::memory;
use crate::{Error, Result, cpu};

/// A file with an image's bytes in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) file: BorrowedFd<'a>,
    /// Where the image starts in it, in bytes: at a page.
    pub(crate) offset: u64,
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
            offset: 0,
            mapped: None,
        }
    }
}

/// The bytes of an image in a file: all of them read, or read as they are needed.
#[derive(Debug)]
pub(crate) enum FileBytes {
    Read(Vec<u8>),
    Mapped(MappedFile),
}

impl FileBytes {
    /// Reads a small image and maps a large one; of a bundle the variant for this CPU, which is given with it.
    pub(crate) fn open(path: &Path) -> Result<(Self, Option<Variant>)> {
        let file = ImageFile::open(path)?;
        let part = file.part();
        // A page may be larger than whoever wrote the bundle knew.
        let is_at_page = part.start.is_multiple_of(memory::page_size() as u64);
        if part.end - part.start < LARGE as u64 || !is_at_page {
            let (bytes, variant) = file.read()?;
            return Ok((Self::Read(bytes), variant));
        }
        let mapped = MappedFile::new(file.file, FileId::of(&file.metadata, &part));
        let mapped = mapped.map_err(|source| unread(path, source))?;
        Ok((Self::Mapped(mapped), file.variant))
    }

    /// Reads a small file, which is no bundle, and maps a large one.
    pub(crate) fn of_file(mut file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let whole = 0..metadata.len();
        if whole.end >= LARGE as u64 {
            let id = FileId::of(&metadata, &whole);
            return MappedFile::new(file, id).map(Self::Mapped);
        }
        let mut bytes = Vec::new();
        // It may have been written to, and been left at its end.
        file.rewind()?;
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

    /// The file, if the bytes are mapped from it.
    pub(crate) fn file(&self) -> Option<BorrowedFd<'_>> {
        self.source().map(|source| source.file)
    }

    pub(crate) fn source(&self) -> Option<Source<'_>> {
        match self {
            Self::Read(_) => None,
            Self::Mapped(file) => Some(file.source()),
        }
    }
}

/// A file with an image in it.
#[derive(Debug)]
pub(crate) struct ImageFile<'p> {
    path: &'p Path,
    file: File,
    metadata: Metadata,
    /// That for this CPU, of a bundle.
    variant: Option<Variant>,
}

impl<'p> ImageFile<'p> {
    /// Opens a file, and of a bundle reads the table.
    pub(crate) fn open(path: &'p Path) -> Result<Self> {
        let open = || -> io::Result<_> {
            let file = File::open(path)?;
            let metadata = file.metadata()?;
            let variant = variant(&file, metadata.len())?;
            Ok((file, metadata, variant))
        };
        let (file, metadata, variant) = open().map_err(|source| unread(path, source))?;
        let variant = variant.map_err(|source| Error::Image {
            image: path.display().to_string(),
            source,
        })?;
        Ok(Self {
            path,
            file,
            metadata,
            variant,
        })
    }

    /// Where the image is in the file.
    fn part(&self) -> Range<u64> {
        let variant = self.variant.as_ref().map(Variant::range);
        variant.unwrap_or(0..self.metadata.len())
    }

    /// The bytes of the image, and of a bundle the row of its table.
    pub(crate) fn read(mut self) -> Result<(Vec<u8>, Option<Variant>)> {
        let part = self.part();
        let mut read = || -> io::Result<Vec<u8>> {
            let size = usize::try_from(part.end - part.start).unwrap_or(usize::MAX);
            let mut bytes = Vec::new();
            bytes.try_reserve_exact(size)?;
            if self.variant.is_none() {
                // What has no size, such as a pipe, may have bytes all the same.
                self.file.read_to_end(&mut bytes)?;
            } else {
                self.file.seek(SeekFrom::Start(part.start))?;
                // Where it ends too early, parsing it says so.
                (&self.file).take(size as u64).read_to_end(&mut bytes)?;
            }
            Ok(bytes)
        };
        let bytes = read().map_err(|source| unread(self.path, source))?;
        Ok((bytes, self.variant))
    }
}

fn unread(path: &Path, source: io::Error) -> Error {
    Error::Read {
        path: path.display().to_string(),
        source,
    }
}

/// The variant for this CPU in a file of this size; `None` for a file that is no bundle. Of the file no more
/// is read than the table and who signed.
fn variant(file: &File, size: u64) -> io::Result<farcall_image::Result<Option<Variant>>> {
    let in_file = |n_bytes: usize| usize::try_from(size).map_or(n_bytes, |size| n_bytes.min(size));
    let mut head = [0; BundleTable::HEAD_SIZE];
    let head = &mut head[..in_file(BundleTable::HEAD_SIZE)];
    file.read_exact_at(head, 0)?;
    let mut start = match BundleTable::size(head) {
        Ok(Some(table_size)) => vec![0; in_file(table_size)],
        Ok(None) => return Ok(Ok(None)),
        Err(error) => return Ok(Err(error)),
    };
    file.read_exact_at(&mut start, 0)?;
    let table = match BundleTable::parse(&start, size) {
        Ok(table) => table,
        Err(error) => return Ok(Err(error)),
    };
    let mut signers = Vec::with_capacity(table.variants().len());
    for variant in table.variants() {
        let Range { start, end } = variant.end();
        let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut bytes, start)?;
        signers.push(CodeSignature::signer(&bytes));
    }
    let choose = || {
        BundleTable::check_signers(signers)?;
        let index = table.choose(cpu::this_machine(), cpu::features())?;
        Ok(Some(table.variants()[index].clone()))
    };
    Ok(choose())
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
    /// Maps a part of a file, which is not empty.
    fn new(file: File, id: FileId) -> io::Result<Self> {
        const SPAN: u64 = ARENA_STRIDE * PackedSegment::ALL.len() as u64;
        let length = usize::try_from(id.size).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let (kept, reservation) = kept::take(id).unzip();
        let new = || -> io::Result<_> {
            let reservation =
                Reservation::new(id.size.max(SPAN), 1).map_err(|error| error.source)?;
            let mapped = reservation.map_start(length, file.as_fd(), id.offset);
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
            offset: self.id.offset,
            mapped: Some(self),
        }
    }
}
