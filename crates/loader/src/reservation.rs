//! Address space that is owned.

use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use farcall_image::{Image, Segment};

use crate::source::Source;
use crate::sys::memory::{self, Protection};

/// A failed call to the system.
#[derive(Debug)]
pub(crate) struct SystemError {
    pub(crate) call: String,
    pub(crate) source: io::Error,
}

/// Owned address space: the image's `base..base + length`, both multiples of a page, and the slack
/// around it that its alignment needs.
#[derive(Debug)]
pub(crate) struct Reservation {
    base: NonNull<u8>,
    length: usize,
    /// All of it, as the system gave it.
    start: NonNull<u8>,
    length_with_slack: usize,
}

// SAFETY: the address space belongs to no thread, and `Reservation` lets nobody at its contents.
unsafe impl Send for Reservation {}
// SAFETY: as above.
unsafe impl Sync for Reservation {}

impl Reservation {
    /// Takes `span` bytes from a multiple of `align` on; `align` is a power of two.
    ///
    /// An alignment of more than a page leaves address space on both sides, which costs nothing
    /// and is returned with the rest.
    pub(crate) fn new(span: u64, align: u64) -> Result<Self, SystemError> {
        let page = memory::page_size();
        let sizes = || {
            let align = usize::try_from(align).ok()?.max(page);
            let length = usize::try_from(span).ok()?.checked_next_multiple_of(page)?;
            Some((align, length, length.checked_add(align - page)?))
        };
        let error = |source| SystemError {
            call: format!("mmap of {span} bytes"),
            source,
        };
        let too_large = || error(io::ErrorKind::OutOfMemory.into());
        let (align, length, length_with_slack) = sizes().ok_or_else(too_large)?;
        let start = memory::reserve(length_with_slack).map_err(error)?;
        let address = start.addr().get();
        let skip = address.next_multiple_of(align) - address;
        // SAFETY: the start is a multiple of a page, so `skip` is at most the slack.
        let base = unsafe { start.add(skip) };
        Ok(Self {
            base,
            length,
            start,
            length_with_slack,
        })
    }

    /// The whole pages that cover `range`, as offsets; `None` when they are not all in here.
    fn pages(&self, range: &Range<u64>) -> Option<Range<usize>> {
        let page = memory::page_size();
        let start = usize::try_from(range.start).ok()? / page * page;
        let end = usize::try_from(range.end).ok()?;
        let end = end.checked_next_multiple_of(page)?;
        (start <= end && end <= self.length).then_some(start..end)
    }

    /// Maps `length` bytes of a file, from `offset` on, to the start, to be read.
    pub(crate) fn map_start(
        &self,
        length: usize,
        file: BorrowedFd<'_>,
        offset: u64,
    ) -> Result<(), SystemError> {
        assert!(length <= self.length, "there is room for the file");
        let start = self.base.as_ptr();
        // SAFETY: this reservation owns the pages, and nothing refers to them yet. That the file stays as it
        // is is for who reads it to say.
        unsafe { memory::map_private(start, length, Protection::Read, file, offset) }.map_err(
            |source| SystemError {
                call: format!("mmap of {length} bytes of a file"),
                source,
            },
        )
    }

    /// Where it starts.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Whether an image can be here.
    pub(crate) fn fits(&self, image: &Image<'_>) -> bool {
        let is_long_enough = u64::try_from(self.length).is_ok_and(|length| image.span() <= length);
        is_long_enough && (self.base.addr().get() as u64).is_multiple_of(image.align())
    }

    /// Gives the pages that cover `range`, which are zero, to be written. A few get their memory at once.
    pub(crate) fn make_writable(&self, range: &Range<u64>) -> Result<(), SystemError> {
        const FEW: usize = 1 << 17;
        let pages = self.pages(range);
        let pages = pages.expect("an image's segments are within its span");
        if pages.is_empty() || pages.len() > FEW {
            // SAFETY: nothing refers to the pages yet.
            return unsafe { self.protect(range, Protection::ReadWrite) };
        }
        let start = self.base.as_ptr().wrapping_add(pages.start);
        // SAFETY: as above; this reservation owns them.
        unsafe { memory::map_new(start, pages.len()) }.map_err(|source| SystemError {
            call: format!("mmap of {} bytes", pages.len()),
            source,
        })
    }

    /// Lets the pages that cover `range` be written that were before.
    pub(crate) fn make_writable_again(&self, range: &Range<u64>) -> Result<(), SystemError> {
        // SAFETY: who has been there is gone.
        unsafe { self.protect(range, Protection::ReadWrite) }
    }

    /// Maps a read-only segment from a file with the image's bytes, with its final protection.
    pub(crate) fn map(&self, segment: &Segment, source: Source<'_>) -> Result<(), SystemError> {
        let pages = self.pages(&segment.memory);
        let pages = pages.expect("an image's segments are within its span");
        if pages.is_empty() {
            return Ok(());
        }
        let protection = match segment.executable {
            true => Protection::ReadExecute,
            false => Protection::Read,
        };
        // An address and its offset in the file are the same within a page.
        let offset = segment.file.start / memory::page_size() * memory::page_size();
        let offset = source.offset + offset as u64;
        // SAFETY: the pages are in the reservation.
        let start = unsafe { self.base.add(pages.start) };
        let (start, length) = (start.as_ptr(), pages.len());
        // SAFETY: this reservation owns the pages, and nothing refers to them yet. That the file stays as it
        // is is for who gave it to say.
        unsafe { memory::map_private(start, length, protection, source.file, offset) }.map_err(
            |source| SystemError {
                call: format!("mmap of {length} bytes of a file"),
                source,
            },
        )
    }

    /// Sets what may be done with the pages that cover `range`.
    ///
    /// # Safety
    ///
    /// No reference to these pages allows what `protection` does not.
    pub(crate) unsafe fn protect(
        &self,
        range: &Range<u64>,
        protection: Protection,
    ) -> Result<(), SystemError> {
        let pages = self
            .pages(range)
            .expect("an image's segments are within its span");
        if pages.is_empty() {
            return Ok(());
        }
        // SAFETY: the pages are in the reservation.
        let start = unsafe { self.base.add(pages.start) };
        // SAFETY: this reservation owns the pages; references to them are the caller's contract.
        let result = unsafe { memory::protect(start.as_ptr(), pages.len(), protection) };
        result.map_err(|source| SystemError {
            call: format!("mprotect of {} bytes", pages.len()),
            source,
        })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: the reservation owns the pages; whoever holds it ends first what refers to them.
        let result = unsafe { memory::release(self.start.as_ptr(), self.length_with_slack) };
        if let Err(error) = result {
            tracing::warn!(%error, bytes = self.length_with_slack, "munmap");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_is_aligned_and_leaves_nothing() {
        let page = memory::page_size() as u64;
        for (span, align) in [
            (1, 1),
            (page, page),
            (3 * page + 1, 64 * page),
            (1, 1 << 30),
        ] {
            let reservation = Reservation::new(span, align).unwrap();
            assert_eq!(reservation.base.addr().get() as u64 % align, 0);
            assert_eq!(reservation.length as u64, span.next_multiple_of(page));
        }
    }

    #[test]
    fn address_space_that_is_not_there_is_an_error() {
        for (span, align) in [(1 << 60, 1), (1, 1 << 63), (u64::MAX, 1)] {
            let error = Reservation::new(span, align).unwrap_err();
            assert_eq!(error.source.kind(), io::ErrorKind::OutOfMemory, "{span:#x}");
        }
    }

    #[test]
    fn pages_outside_are_not_given() {
        let page = memory::page_size() as u64;
        let reservation = Reservation::new(2 * page, 1).unwrap();
        assert_eq!(reservation.pages(&(0..1)), Some(0..memory::page_size()));
        assert_eq!(reservation.pages(&(0..2 * page + 1)), None);
        assert_eq!(reservation.pages(&(0..u64::MAX)), None);
    }
}
