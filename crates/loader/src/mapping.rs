//! Memory for one image: address space that is owned, and what may be done with its parts.
//!
//! A small image stands in a window, next to others; any other has pages of its own. The states are
//! types: [`Draft`] is writable and nothing in it runs; in [`Callable`] code runs that
//! decides the last words; [`Published`] has its final protection. Dropping any returns the address
//! space.

use std::io;
use std::ops::Range;
use std::ptr::NonNull;

use farcall_image::{Image, Segment};

use crate::relocate::SegmentBytes;
use crate::sys::memory::{self, Protection};
use crate::window::{self, Slot};

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

/// Where an image is.
#[derive(Debug)]
enum Memory {
    /// In pages of its own.
    Own(Reservation),
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
    pub(crate) fn new(image: &Image<'_>) -> Result<Self, SystemError> {
        let bytes = image.bytes();
        if let Some(slot) = window::take(image) {
            let segments = image.segments().iter();
            let segments = segments.filter(|segment| !segment.resident.is_empty());
            let part = |segment: &Segment| Part {
                addresses: segment.resident.clone(),
                writable: slot.writable(image.packed_segment(segment), segment.resident.start),
            };
            let mut draft = Self {
                parts: segments.clone().map(part).collect(),
                memory: Memory::Shared(slot),
            };
            for (segment, memory) in segments.zip(draft.segments_mut().iter_mut()) {
                let file = &bytes[segment.resident_file()];
                let (start, rest) = memory.split_at_mut(file.len());
                start.copy_from_slice(file);
                // Another image may have been there.
                rest.fill(0);
            }
            return Ok(draft);
        }
        let reservation = Reservation::new(image.span(), image.align())?;
        let mut parts = Vec::with_capacity(image.segments().len());
        for segment in image.segments() {
            // SAFETY: nothing refers to the pages yet.
            unsafe { reservation.protect(&segment.memory, Protection::ReadWrite) }?;
            let offset = usize::try_from(segment.memory.start);
            let offset = offset.expect("a reservation holds it");
            parts.push(Part {
                addresses: segment.memory.clone(),
                // SAFETY: the segment is within the reservation.
                writable: unsafe { reservation.base.add(offset) },
            });
        }
        let mut draft = Self {
            memory: Memory::Own(reservation),
            parts,
        };
        for (segment, memory) in image.segments().iter().zip(draft.segments_mut().iter_mut()) {
            // What follows the file's bytes is zero already and stays untouched.
            memory[..segment.file.len()].copy_from_slice(&bytes[segment.file.clone()]);
        }
        Ok(draft)
    }

    /// The load bias: what an address in the image is relative to.
    pub(crate) fn bias(&self) -> u64 {
        self.memory.bias()
    }

    /// All bytes that are in memory, by segment.
    pub(crate) fn segments_mut(&mut self) -> SegmentBytes<'_> {
        let mut bytes = SegmentBytes::with_capacity(self.parts.len());
        for part in &self.parts {
            let length = usize::try_from(part.addresses.end - part.addresses.start);
            let length = length.expect("they are in memory");
            // SAFETY: `new` has found these bytes writable; they are initialised, as all memory of
            // the system is, no other part has them, and the result borrows the draft mutably.
            let memory = unsafe { std::slice::from_raw_parts_mut(part.writable.as_ptr(), length) };
            bytes.push(part.addresses.start, memory);
        }
        bytes
    }

    /// Makes code executable, and read-only what no relocation writes.
    pub(crate) fn make_callable(self, image: &Image<'_>) -> Result<Callable, SystemError> {
        // In a window that holds of the addresses where code runs, from the start.
        if let Memory::Own(reservation) = &self.memory {
            for segment in image.segments() {
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
        let Memory::Own(reservation) = &self.memory else {
            return None;
        };
        let range = image.lookup_tables();
        // SAFETY: they are in the first segment, whose addresses are offsets in the file.
        let start = unsafe { reservation.base.add(range.start) };
        // SAFETY: the image's form says that the first segment is read-only; publishing made it
        // readable to all and writable to nobody. That it is mapped is the caller's contract.
        Some(unsafe { std::slice::from_raw_parts(start.as_ptr(), range.len()) })
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
