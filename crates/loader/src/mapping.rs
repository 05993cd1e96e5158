//! Memory for one image: address space that is owned, and what may be done with its parts.
//!
//! The states are types: [`Draft`] is writable and nothing in it runs; in [`Callable`] code runs that
//! decides the last words; [`Published`] has its final protection. Dropping any returns the address
//! space.

use std::io;
use std::ops::Range;
use std::ptr::NonNull;

use farcall_image::Image;

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
struct Reservation {
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
    fn new(span: u64, align: u64) -> Result<Self, SystemError> {
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

    /// Sets what may be done with the pages that cover `range`.
    ///
    /// # Safety
    ///
    /// No reference to these pages allows what `protection` does not.
    unsafe fn protect(
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

/// The image's segments in memory, all readable and writable, none executable.
#[derive(Debug)]
pub(crate) struct Draft {
    reservation: Reservation,
    /// Each segment's addresses from the base. They do not overlap.
    segments: Vec<Range<u64>>,
}

impl Draft {
    /// Memory for the segments of an image, all zero.
    pub(crate) fn new(image: &Image<'_>) -> Result<Self, SystemError> {
        let reservation = Reservation::new(image.span(), image.align())?;
        let segments = image.segments().iter();
        let segments: Vec<_> = segments.map(|segment| segment.memory.clone()).collect();
        for segment in &segments {
            // SAFETY: nothing refers to the pages yet.
            unsafe { reservation.protect(segment, Protection::ReadWrite) }?;
        }
        Ok(Self {
            reservation,
            segments,
        })
    }

    /// The load bias: what an address in the image is relative to.
    pub(crate) fn bias(&self) -> u64 {
        self.reservation.base.as_ptr().expose_provenance() as u64
    }

    /// All segments' bytes, in order.
    pub(crate) fn segments_mut(&mut self) -> Vec<&mut [u8]> {
        let base = self.reservation.base;
        let slice = |range: &Range<u64>| {
            let offset = usize::try_from(range.start).expect("a reservation holds it");
            let length = usize::try_from(range.end - range.start).expect("a reservation holds it");
            // SAFETY: `new` has found the segment's pages within the reservation.
            let start = unsafe { base.add(offset) };
            // SAFETY: `new` has made these bytes readable and writable, they are zero or written
            // since, no other segment has them, and the result borrows the draft mutably.
            unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), length) }
        };
        self.segments.iter().map(slice).collect()
    }

    /// Makes code executable, and read-only what no relocation writes.
    pub(crate) fn make_callable(self, image: &Image<'_>) -> Result<Callable, SystemError> {
        for segment in image.segments() {
            let protection = match (segment.writable, segment.executable) {
                (true, _) => continue,
                (false, true) => Protection::ReadExecute,
                (false, false) => Protection::Read,
            };
            // SAFETY: the draft is consumed, so that no reference to its bytes is left.
            unsafe { self.reservation.protect(&segment.memory, protection) }?;
        }
        Ok(Callable {
            reservation: self.reservation,
            segments: self.segments,
        })
    }
}

/// An image whose code runs, and whose last words are still to be written: those that its own code
/// decides.
#[derive(Debug)]
pub(crate) struct Callable {
    reservation: Reservation,
    /// As the draft's.
    segments: Vec<Range<u64>>,
}

impl Callable {
    /// The load bias.
    pub(crate) fn bias(&self) -> u64 {
        self.reservation.base.as_ptr().expose_provenance() as u64
    }

    /// Writes the word at `place`, an address of the image.
    ///
    /// # Safety
    ///
    /// The word lies in a writable segment, and no code of the image runs on another thread.
    pub(crate) unsafe fn write(&mut self, place: u64, value: u64) {
        let offset = usize::try_from(place).expect("a reservation holds it");
        // SAFETY: the caller's contract; segments are within the reservation.
        let word = unsafe { self.reservation.base.add(offset) };
        // SAFETY: the caller's contract; references to the bytes ended with the draft.
        unsafe { word.cast::<[u8; 8]>().write(value.to_le_bytes()) };
    }

    /// Gives every page its final protection.
    pub(crate) fn publish(self, image: &Image<'_>) -> Result<Published, SystemError> {
        // SAFETY: there are no references to the bytes.
        unsafe { self.reservation.protect(&image.relro(), Protection::Read) }?;
        let first = self.segments.first().map_or(0, |segment| segment.end);
        Ok(Published {
            first_segment: usize::try_from(first).expect("a reservation holds it"),
            reservation: self.reservation,
        })
    }
}

/// An image in memory with its final protection.
#[derive(Debug)]
pub(crate) struct Published {
    reservation: Reservation,
    /// The size of the read-only segment that the image starts with.
    first_segment: usize,
}

impl Published {
    /// The load bias.
    pub(crate) fn bias(&self) -> u64 {
        self.reservation.base.as_ptr().expose_provenance() as u64
    }

    /// The addresses that the image takes, with the gaps between its segments.
    pub(crate) fn addresses(&self) -> Range<u64> {
        self.bias()..self.bias() + self.reservation.length as u64
    }

    /// The bytes of the first segment.
    ///
    /// # Safety
    ///
    /// They are not used after the mapping is dropped, whatever the lifetime says.
    pub(crate) unsafe fn first_segment(&self) -> &'static [u8] {
        let start = self.reservation.base.as_ptr();
        // SAFETY: the image's form says that the first segment is read-only; publishing made it
        // readable to all and writable to nobody. That it is mapped is the caller's contract.
        unsafe { std::slice::from_raw_parts(start, self.first_segment) }
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
