//! Memory for one image: address space that is owned, and what may be done with its parts.
//!
//! A small image stands in a window, next to others; any other has pages of its own. The states are
//! types: [`Draft`] is writable and nothing in it runs; in [`Callable`] code runs that
//! decides the last words; [`Published`] has its final protection. Dropping any returns the address
//! space.

use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

use farcall_image::{ARENA_STRIDE, Image, PackedSegment, Segment};

use crate::kept::{self, Form};
use crate::load::pointer;
use crate::relocate::SegmentBytes;
use crate::reservation::{Reservation, SystemError};
use crate::source::{MappedFile, MemoryFile, Source};
use crate::sys::code;
use crate::sys::memory::Protection;
use crate::window::{self, Slot};

/// Constants and code of an image of so many bytes are mapped rather than copied, if there is a file.
pub(crate) const LARGE: usize = 1 << 17;

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
    Own(Own),
    /// Among others.
    Shared(Slot),
}

/// Pages of an image's own.
#[derive(Debug)]
struct Own {
    reservation: Arc<Reservation>,
    /// What is there of a file, for when the image comes again. `None` when that is not known.
    form: Option<Box<Form>>,
    /// Whether it is to be kept for that.
    comes_again: bool,
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(form) = self.form.take().filter(|_| self.comes_again) {
            kept::keep(*form, Arc::clone(&self.reservation));
        }
    }
}

impl Memory {
    fn bias(&self) -> u64 {
        match self {
            Self::Own(own) => own.reservation.base().as_ptr().expose_provenance() as u64,
            Self::Shared(slot) => slot.bias(),
        }
    }

    /// Makes what has been written into a part the code that runs there.
    fn publish_code(&self, part: &Part) -> Result<(), SystemError> {
        let written = part.writable.as_ptr();
        let length = part.length();
        match self {
            Self::Own(_) => {
                // SAFETY: the bytes are readable where they were written, which is where they run.
                unsafe { code::publish(written, written, length) };
                Ok(())
            }
            Self::Shared(slot) => {
                slot.publish_code(&part.addresses)
                    .map_err(|source| SystemError {
                        call: format!("mmap of {length} bytes of code"),
                        source,
                    })
            }
        }
    }
}

/// Whether an image calls what changes the protection of pages: some protect a page of their own variables.
fn changes_protection(image: &Image<'_>) -> bool {
    const CHANGING: [&[u8]; 2] = [b"mprotect", b"pkey_mprotect"];
    let mut imports = image.imports();
    imports.any(|(_, symbol)| CHANGING.contains(&symbol.name))
}

/// Whether a file has all bytes of the segments that would be mapped from it. What is zero in memory only would
/// be what follows there.
fn is_all_in_file(image: &Image<'_>) -> bool {
    let mut mapped = image.segments().iter().filter(|segment| !segment.writable);
    mapped.all(|segment| segment.file.len() as u64 == segment.memory.end - segment.memory.start)
}

/// The bytes of a segment that are in memory: their addresses in the image, and where the loader writes them.
#[derive(Debug)]
struct Part {
    addresses: Range<u64>,
    writable: NonNull<u8>,
}

// SAFETY: the memory belongs to no thread, and what holds a part says who writes it.
unsafe impl Send for Part {}
// SAFETY: as above; a shared reference lets nobody at the bytes.
unsafe impl Sync for Part {}

impl Part {
    fn length(&self) -> usize {
        let length = usize::try_from(self.addresses.end - self.addresses.start);
        length.expect("they are in memory")
    }

    /// The bytes. No code runs that uses them.
    fn bytes_mut(&mut self) -> &mut [u8] {
        let length = self.length();
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
        // What it does to its pages is to meet nobody else.
        let pages = match changes_protection(image) {
            true => Pages::Own,
            false => pages,
        };
        let is_large = image.bytes().len() >= LARGE && is_all_in_file(image);
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
        let mapped = source.and_then(|source| source.mapped);
        // What is mapped already, or will be the next time, is left where it is.
        let stays = mapped.is_some() && window::comes_again(image.digest());
        if pages == Pages::Shared
            && !stays
            && (comes_again || window::is_worth_while(image))
            && let Some(slot) = window::take(image, source)
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
        let mapped = mapped.filter(|mapped| {
            image.is_packed() && is_before && mapped.reservation.fits(image) && mapped.can_be(image)
        });
        let reservation = match mapped {
            Some(mapped) => Arc::clone(&mapped.reservation),
            None => Arc::new(Reservation::new(image.span(), image.align())?),
        };
        let is_there = mapped.is_some_and(MappedFile::is_whole);
        let mut parts = Vec::with_capacity(image.segments().len());
        for segment in image.segments() {
            if let Some(source) = source.filter(|_| !segment.writable) {
                if !is_there && (segment.executable || mapped.is_none()) {
                    reservation.map(segment, source)?;
                }
                continue;
            }
            // Who was there may have protected its variables too: guard pages, or code of its own making.
            match is_there {
                true => reservation.make_writable_again(&segment.memory)?,
                false => reservation.make_writable(&segment.memory)?,
            }
            let offset = usize::try_from(segment.memory.start);
            let offset = offset.expect("a reservation holds it");
            let mut part = Part {
                addresses: segment.memory.clone(),
                // SAFETY: the segment is within the reservation.
                writable: unsafe { reservation.base().add(offset) },
            };
            let file = &image.bytes()[segment.file.clone()];
            let (start, rest) = part.bytes_mut().split_at_mut(file.len());
            start.copy_from_slice(file);
            // What is zero already stays untouched.
            if is_there {
                rest.fill(0);
            }
            parts.push(part);
        }
        let form = mapped.and_then(|mapped| mapped.form(image)).map(Box::new);
        Ok(Self {
            memory: Memory::Own(Own {
                reservation,
                form,
                comes_again: false,
            }),
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
        if let Memory::Own(Own { reservation, .. }) = &self.memory {
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
        let code = image.segments().iter().filter(|it| it.executable);
        for segment in code {
            let mut parts = self.parts.iter();
            // What is mapped from a file the system has made code.
            if let Some(part) = parts.find(|it| segment.memory.contains(&it.addresses.start)) {
                self.memory.publish_code(part)?;
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
        if let Memory::Own(Own { reservation, .. }) = &self.memory {
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

    /// Says whether the image is likely to come again once it is gone: what is mapped of it is kept then.
    pub(crate) fn comes_again(&mut self, comes_again: bool) {
        if let Memory::Own(own) = &mut self.memory {
            own.comes_again = comes_again;
        }
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
