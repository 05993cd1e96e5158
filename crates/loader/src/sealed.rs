//! Images in files in memory that nobody can change any more, as processes of one machine hand them to each other.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::ptr;

use rustix::fs::{SealFlags, fcntl_add_seals, fcntl_get_seals};

use crate::source::{FileBytes, Source};
use crate::sys::memory;
use crate::{Loader, Module, Result, TrustedImage};

/// What keeps a file as it is.
const SEALS: SealFlags = SealFlags::WRITE
    .union(SealFlags::SHRINK)
    .union(SealFlags::GROW);

/// A sealed file in memory that is to hold an image.
///
/// Nobody can write to it or truncate it, whoever made it. So its bytes can be checked once, and then be mapped where they run, in
/// each process that is given the file.
#[derive(Debug)]
pub struct SealedFile(FileBytes);

impl SealedFile {
    /// A new file with these bytes, to be handed to another process.
    ///
    /// # Errors
    ///
    /// The system's, when it has no such files or not as much memory.
    pub fn create(bytes: &[u8]) -> io::Result<OwnedFd> {
        let file = memory::sealable_file(c"farcall-image", bytes.len() as u64)?;
        let mut file = File::from(file);
        file.write_all(bytes)?;
        fcntl_add_seals(&file, SEALS | SealFlags::SEAL)?;
        Ok(file.into())
    }

    /// As [`SealedFile::create`], to be handed to many: opened here too.
    ///
    /// # Errors
    ///
    /// The system's, as there, and when it has not as many addresses.
    pub fn new(bytes: &[u8]) -> io::Result<Self> {
        Self::open(Self::create(bytes)?)
    }

    /// Opens a file that came from anyone: maps a large one, reads a small one.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidData`] when it is not sealed; the system's.
    pub fn open(file: OwnedFd) -> io::Result<Self> {
        let seals = fcntl_get_seals(&file);
        if !seals.is_ok_and(|seals| seals.contains(SEALS)) {
            let message = "the file is not sealed: its bytes could change after they are checked";
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        FileBytes::of_file(file.into()).map(Self)
    }

    /// The file, to be handed to another process; `None` for a small one, which was read and is gone.
    #[must_use]
    pub fn file(&self) -> Option<BorrowedFd<'_>> {
        self.0.file()
    }

    /// What is in it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the seals keep everybody from changing or truncating it.
        unsafe { self.0.bytes() }
    }

    /// The file as what an image is mapped from; of other bytes it is no source.
    pub(crate) fn source_of(&self, image: &TrustedImage<'_>) -> Option<Source<'_>> {
        let is_same = ptr::eq(image.image().bytes(), self.bytes());
        if is_same { self.0.source() } else { None }
    }
}

impl Loader {
    /// Loads an image that is in a sealed file: constants and code of a large one are mapped from it, so that all processes that
    /// load it share one copy. Otherwise as [`Loader::load`].
    ///
    /// # Errors
    ///
    /// As [`Loader::load`].
    pub fn load_sealed(
        &self,
        image: &TrustedImage<'_>,
        file: &SealedFile,
        scope: &[&Module],
    ) -> Result<Module> {
        self.load_from(image, file.source_of(image), scope)
    }
}
