//! Address space for a window.

use std::ptr::NonNull;

use farcall_arch::Machine;

use super::unwound::Registration;
use crate::sys::host::{HostError, SpaceLayout};
use crate::sys::memory::{self, Protection};

/// Address space whose unwind table the unwinder knows, until this is dropped.
#[derive(Debug)]
pub(crate) struct UnwoundSpace {
    #[expect(dead_code, reason = "held, until the space is given back")]
    registration: Registration,
    space: Space,
    page: u64,
}

impl UnwoundSpace {
    /// Takes the space: a page for the contents, then the room.
    pub(crate) fn new(machine: Machine, layout: &SpaceLayout<'_>) -> Result<Self, HostError> {
        let system = |call| move |error| HostError::System(call, error);
        let page = machine.max_page_size();
        assert!(
            layout.contents.len() as u64 <= page,
            "contents are less than a page"
        );
        let space = Space::new(to_usize(page + layout.room)).map_err(system("mmap"))?;
        let start = space.start.as_ptr();
        // SAFETY: the space is this one's, and nobody refers to it.
        unsafe { memory::protect(start, to_usize(page), Protection::ReadWrite) }
            .map_err(system("mprotect"))?;
        let contents = layout.contents;
        // SAFETY: there is a writable page, and the contents are no longer.
        unsafe { start.copy_from_nonoverlapping(contents.as_ptr(), contents.len()) };
        // SAFETY: nobody refers to the page.
        unsafe { memory::protect(start, to_usize(page), Protection::Read) }
            .map_err(system("mprotect"))?;
        let room = space.address() + page;
        let at = |offset: u64| room + offset;
        Ok(Self {
            registration: Registration::new(
                at(0)..at(layout.room),
                at(layout.table.start)..at(layout.table.end),
            ),
            space,
            page,
        })
    }

    /// The address of the contents.
    #[expect(
        clippy::unnecessary_wraps,
        reason = "a dynamic linker would have to be asked"
    )]
    pub(crate) fn contents(&self) -> Result<u64, HostError> {
        Ok(self.space.address())
    }

    /// The address of the room.
    #[expect(
        clippy::unnecessary_wraps,
        reason = "a dynamic linker would have to be asked"
    )]
    pub(crate) fn room(&self) -> Result<u64, HostError> {
        Ok(self.space.address() + self.page)
    }
}

/// Address space, given back when this is dropped.
#[derive(Debug)]
struct Space {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the address space belongs to no thread, and nobody gets at its contents through this.
unsafe impl Send for Space {}
// SAFETY: as above.
unsafe impl Sync for Space {}

impl Space {
    fn new(length: usize) -> std::io::Result<Self> {
        let start = memory::reserve(length)?;
        Ok(Self { start, length })
    }

    fn address(&self) -> u64 {
        self.start.as_ptr().expose_provenance() as u64
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // SAFETY: this owns the pages, and who used them is gone.
        let result = unsafe { memory::release(self.start.as_ptr(), self.length) };
        if let Err(error) = result {
            tracing::warn!(%error, "munmap");
        }
    }
}

/// Lossless: the loader runs where an address has 64 bits.
fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
