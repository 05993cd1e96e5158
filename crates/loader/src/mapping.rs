//! Memory for one image: address space that is owned, and what may be done with its parts.
//!
//! A small image stands in a window, next to others; any other has pages of its own. The states are
//! types: [`Draft`] is writable and nothing in it runs; in [`Callable`] code runs that
//! decides the last words; [`Published`] has its final protection. Dropping any returns the address
//! space.

use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::Arc;

use farcall_image::{ARENA_STRIDE, Image, PackedSegment, Segment};

use crate::load::pointer;
use crate::relocate::SegmentBytes;
use crate::source::{MemoryFile, Source};
use crate::sys::memory::{self, Protection};
use crate::window::{self, Slot};

/// Constants and code of an image of so many bytes are mapped rather than copied, if there is a file.
pub(crate) const LARGE: usize = 1 << 17;

/// A failed call to the system.
#[derive(Debug)]
pub(crate) struct SystemError {
    pub(crate) call: String,
    pub(crate) source: io::Error,
}

// SAFETY: the memory belongs to no thread, and what holds a part says who writes it.
unsafe impl Send for Part {}
// SAFETY: as above; a shared reference lets nobody at the bytes.
unsafe impl Sync for Part {}

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

    /// Maps the first `length` bytes of a file to the start, to be read.
    pub(crate) fn map_start(&self, length: usize, file: BorrowedFd<'_>) -> Result<(), SystemError> {
        assert!(length <= self.length, "there is room for the file");
        let start = self.base.as_ptr();
        // SAFETY: this reservation owns the pages, and nothing refers to them yet. That the file stays as it
        // is is for who reads it to say.
        unsafe { memory::map_private(start, length, Protection::Read, file, 0) }.map_err(|source| {
            SystemError {
                call: format!("mmap of {length} bytes of a file"),
                source,
            }
        })
    }

    /// Where it starts.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Whether an image can be here.
    fn fits(&self, image: &Image<'_>) -> bool {
        let is_long_enough = u64::try_from(self.length).is_ok_and(|length| image.span() <= length);
        is_long_enough && (self.base.addr().get() as u64).is_multiple_of(image.align())
    }

    /// Gives the pages that cover `range`, which are zero, to be written. A few get their memory at once.
    fn make_writable(&self, range: &Range<u64>) -> Result<(), SystemError> {
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

    /// Maps a read-only segment from a file with the image's bytes, with its final protection.
    fn map(&self, segment: &Segment, source: BorrowedFd<'_>) -> Result<(), SystemError> {
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
        // SAFETY: the pages are in the reservation.
        let start = unsafe { self.base.add(pages.start) };
        let (start, length) = (start.as_ptr(), pages.len());
        // SAFETY: this reservation owns the pages, and nothing refers to them yet. That the file stays as it
        // is is for who gave it to say.
        unsafe { memory::map_private(start, length, protection, source, offset as u64) }.map_err(
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

/// Which pages an image is put into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pages {
    /// Those of others too, if it can be.
    Shared,
    /// Its own: making a window is not worth while for the only image that a process loads.
    Own,
}

/// Where an image is.
#[derive(Debug)]
enum Memory {
    /// In pages of its own.
    Own(Arc<Reservation>),
    /// Among others.
    Shared(Slot),
}

impl Memory {
    fn bias(&self) -> u64 {
        match self {
            Self::Own(reservation) => reservation.base.as_ptr().expose_provenance() as u64,
            Self::Shared(slot) => slot.bias(),
        }
    }
}

/// The bytes of a segment that are in memory: their addresses in the image, and where the loader writes them.
#[derive(Debug)]
struct Part {
    addresses: Range<u64>,
    writable: NonNull<u8>,
}

impl Part {
    /// The bytes. No code runs that uses them.
    fn bytes_mut(&mut self) -> &mut [u8] {
        let length = usize::try_from(self.addresses.end - self.addresses.start);
        let length = length.expect("they are in memory");
        // SAFETY: who makes a part has found these bytes writable; they are initialised, as all memory of
        // the system is, no other part has them, and the result borrows this one mutably.
        unsafe { std::slice::from_raw_parts_mut(self.writable.as_ptr(), length) }
    }
}

/// The image's segments in memory, for the loader to write; none is executable there.
#[derive(Debug)]
pub(crate) struct Draft {
    memory: Memory,
    /// They do not overlap.
    parts: Vec<Part>,
}

impl Draft {
    /// The segments of an image in memory, with the bytes of its file: in a window what is resident, else
    /// all.
    ///
    /// Constants and code are mapped from `source`, a file with the image's bytes, if there is one.
    pub(crate) fn new(
        image: &Image<'_>,
        source: Option<Source<'_>>,
        pages: Pages,
    ) -> Result<Self, SystemError> {
        let is_large = image.bytes().len() >= LARGE;
        // One with a file needs no memory that is kept for it.
        let is_copied = is_large && source.is_none();
        let comes_again = is_copied && window::comes_again(image.digest());
        if is_copied && !comes_again {
            // Where there is no memory for that, or no code may be mapped from files, there may be some of
            // another kind.
            if let Ok(file) = MemoryFile::new(image)
                && let Ok(draft) = Self::new(image, Some(file.source()), pages)
            {
                return Ok(draft);
            }
        }
        let source = source.filter(|_| is_large);
        if pages == Pages::Shared
            && (comes_again || window::is_worth_while(image))
            && let Some(slot) = window::take(image, source.map(|source| source.file))
        {
            return Ok(Self::shared(image, slot));
        }
        Self::own(image, source)
    }

    fn shared(image: &Image<'_>, slot: Slot) -> Self {
        let mut parts = Vec::with_capacity(image.segments().len());
        for segment in image.segments() {
            let kind = image.packed_segment(segment);
            if segment.resident.is_empty() || slot.is_mapped(kind) {
                continue;
            }
            let addresses = segment.resident.clone();
            let writable = slot.writable(kind, addresses.start);
            let mut part = Part {
                addresses,
                writable,
            };
            let file = &image.bytes()[segment.resident_file()];
            let (start, rest) = part.bytes_mut().split_at_mut(file.len());
            start.copy_from_slice(file);
            // Zeroes that are there already stay untouched.
            if slot.is_used() {
                rest.fill(0);
            }
            parts.push(part);
        }
        Self {
            memory: Memory::Shared(slot),
            parts,
        }
    }

    fn own(image: &Image<'_>, source: Option<Source<'_>>) -> Result<Self, SystemError> {
        let mapped = source.and_then(|source| source.mapped);
        // Its start is the first segment already, and none of the others comes where the file is.
        let is_before = image.bytes().len() as u64 <= ARENA_STRIDE;
        let mapped = mapped.filter(|mapped| image.is_packed() && is_before && mapped.fits(image));
        let reservation = match mapped {
            Some(mapped) => Arc::clone(mapped),
            None => Arc::new(Reservation::new(image.span(), image.align())?),
        };
        let mut parts = Vec::with_capacity(image.segments().len());
        for segment in image.segments() {
            if let Some(source) = source.filter(|_| !segment.writable) {
                if segment.executable || mapped.is_none() {
                    reservation.map(segment, source.file)?;
                }
                continue;
            }
            reservation.make_writable(&segment.memory)?;
            let offset = usize::try_from(segment.memory.start);
            let offset = offset.expect("a reservation holds it");
            let mut part = Part {
                addresses: segment.memory.clone(),
                // SAFETY: the segment is within the reservation.
                writable: unsafe { reservation.base.add(offset) },
            };
            // What follows the file's bytes is zero already and stays untouched.
            let file = &image.bytes()[segment.file.clone()];
            part.bytes_mut()[..file.len()].copy_from_slice(file);
            parts.push(part);
        }
        Ok(Self {
            memory: Memory::Own(reservation),
            parts,
        })
    }

    /// The load bias: what an address in the image is relative to.
    pub(crate) fn bias(&self) -> u64 {
        self.memory.bias()
    }

    /// All bytes that are in memory, by segment.
    pub(crate) fn segments_mut(&mut self) -> SegmentBytes<'_> {
        let mut bytes = SegmentBytes::with_capacity(self.parts.len());
        for part in &mut self.parts {
            bytes.push(part.addresses.start, part.bytes_mut());
        }
        bytes
    }

    /// Makes code executable, and read-only what no relocation writes.
    pub(crate) fn make_callable(self, image: &Image<'_>) -> Result<Callable, SystemError> {
        if let Memory::Own(reservation) = &self.memory {
            let is_written = |segment: &&Segment| {
                let mut parts = self.parts.iter();
                parts.any(|part| part.addresses.start == segment.memory.start)
            };
            for segment in image.segments().iter().filter(is_written) {
                let protection = match (segment.writable, segment.executable) {
                    (true, _) => continue,
                    (false, true) => Protection::ReadExecute,
                    (false, false) => Protection::Read,
                };
                // SAFETY: the draft is consumed, so that no reference to its bytes is left.
                unsafe { reservation.protect(&segment.memory, protection) }?;
            }
        }
        Ok(Callable {
            memory: self.memory,
            parts: self.parts,
        })
    }
}

/// An image whose code runs, and whose last words are still to be written: those that its own code
/// decides.
#[derive(Debug)]
pub(crate) struct Callable {
    memory: Memory,
    /// As the draft's.
    parts: Vec<Part>,
}

impl Callable {
    /// The load bias.
    pub(crate) fn bias(&self) -> u64 {
        self.memory.bias()
    }

    /// Writes the word at `place`, an address of the image.
    ///
    /// # Safety
    ///
    /// The word lies in a writable segment, and no code of the image runs on another thread.
    pub(crate) unsafe fn write(&mut self, place: u64, value: u64) {
        let mut parts = self.parts.iter();
        let part = parts.find(|part| part.addresses.contains(&place));
        let part = part.expect("parsing has found a segment for each place");
        let offset = usize::try_from(place - part.addresses.start).expect("they are in memory");
        // SAFETY: the caller's contract; the word is among the part's bytes.
        let word = unsafe { part.writable.add(offset) };
        // SAFETY: the caller's contract; references to the bytes ended with the draft.
        unsafe { word.cast::<[u8; 8]>().write(value.to_le_bytes()) };
    }

    /// Gives every page its final protection.
    pub(crate) fn publish(self, image: &Image<'_>) -> Result<Published, SystemError> {
        if let Memory::Own(reservation) = &self.memory {
            // SAFETY: there are no references to the bytes.
            unsafe { reservation.protect(&image.relro(), Protection::Read) }?;
        }
        Ok(Published {
            memory: self.memory,
        })
    }
}

/// An image in memory with its final protection.
#[derive(Debug)]
pub(crate) struct Published {
    memory: Memory,
}

impl Published {
    /// The load bias.
    pub(crate) fn bias(&self) -> u64 {
        self.memory.bias()
    }

    /// The addresses of the image's segments in this process.
    pub(crate) fn addresses(&self, image: &Image<'_>) -> impl Iterator<Item = Range<u64>> {
        let bias = self.bias();
        let at = move |address: u64| bias.wrapping_add(address);
        let segments = image.segments().iter();
        segments.map(move |it| at(it.resident.start)..at(it.resident.end))
    }

    /// The tables for looking up exports, if they are in memory.
    ///
    /// # Safety
    ///
    /// They are not used after the mapping is dropped, whatever the lifetime says.
    pub(crate) unsafe fn lookup_tables(&self, image: &Image<'_>) -> Option<&'static [u8]> {
        match &self.memory {
            Memory::Shared(slot) if !slot.is_mapped(PackedSegment::ReadOnly) => return None,
            Memory::Own(_) | Memory::Shared(_) => {}
        }
        let range = image.lookup_tables();
        // They are in the first segment, whose addresses are offsets in the file.
        let start = pointer(self.bias()).cast::<u8>().wrapping_add(range.start);
        // SAFETY: the image's form says that the first segment is read-only; publishing made it
        // readable to all and writable to nobody. That it is mapped is the caller's contract.
        Some(unsafe { std::slice::from_raw_parts(start, range.len()) })
    }

    /// Whether the image has pages of its own.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self.memory, Memory::Own(_))
    }

    /// Tells the host's unwinder of the image's functions, if it knows the image's memory; gives
    /// whether it does.
    pub(crate) fn name_functions(&self, image: &Image<'_>) -> bool {
        match &self.memory {
            Memory::Own(_) => false,
            Memory::Shared(slot) => {
                slot.name_functions(image);
                true
            }
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
