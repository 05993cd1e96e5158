//! Reserved memory: what may be done with which of its bytes, and doing it.
//!
//! A page of a reservation is first inaccessible, then writable once something is written to it, and then what it is
//! protected as, for ever. So what is executable was never writable at the same time and never becomes so again.

#![allow(
    unsafe_code,
    reason = "mapping memory and writing to it is what this file is for"
)]
#![deny(clippy::multiple_unsafe_ops_per_block)]

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::ops::Range;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use farcall_native::code;
use farcall_protocol::{Access, ErrorKind, Failure};
use rustix::io::Errno;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

/// The largest alignment of a reservation, in bytes.
const MAX_ALIGN: usize = 1 << 30;

/// All reservations of a process.
#[derive(Debug)]
pub(crate) struct Memory {
    state: Mutex<State>,
    page_size: usize,
    /// The most that may be reserved, in bytes.
    limit: u64,
}

#[derive(Debug, Default)]
struct State {
    /// By their first address; disjoint.
    reservations: BTreeMap<usize, Reservation>,
    /// `total` is the sum of all sizes.
    total: u64,
}

#[derive(Debug)]
struct Reservation {
    size: usize,
    /// The connection that reserved it.
    owner: u64,
    /// Pages with their final protection, disjoint.
    protected: Vec<(Range<usize>, Access)>,
    /// How many calls are in it.
    calls: usize,
}

/// A call that is in a reservation, which stays as long as this.
#[derive(Debug)]
pub(crate) struct Inside<'memory> {
    memory: &'memory Memory,
    base: usize,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if let Some(reservation) = self.memory.lock().reservations.get_mut(&self.base) {
            reservation.calls -= 1;
        }
    }
}

impl Memory {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            state: Mutex::default(),
            page_size: rustix::param::page_size(),
            limit,
        }
    }

    /// The size of a page in bytes.
    pub(crate) fn page_size(&self) -> usize {
        self.page_size
    }

    /// Reserves `size` bytes at a multiple of `align`, and gives the first address.
    pub(crate) fn reserve(&self, owner: u64, size: u64, align: u64) -> Result<u64, Failure> {
        let too_much = |what: &dyn std::fmt::Display| {
            failure(
                ErrorKind::Memory,
                format!("{size} bytes cannot be reserved: {what}"),
            )
        };
        let mut state = self.lock();
        let left = self.limit - state.total;
        let over = || too_much(&format_args!("the limit leaves {left}"));
        let pages = usize::try_from(size).ok();
        let pages = pages.and_then(|size| size.checked_next_multiple_of(self.page_size));
        let pages = pages
            .filter(|&pages| number(pages) <= left)
            .ok_or_else(over)?;
        let align = usize::try_from(align).ok();
        let align = align.filter(|align| align.is_power_of_two() && *align <= MAX_ALIGN);
        if pages == 0 || align.is_none() {
            let wrong =
                "a reservation has a size, and an alignment that is a power of two up to 2^30";
            return Err(failure(ErrorKind::Arguments, wrong.to_owned()));
        }
        let align = align.unwrap_or(1).max(self.page_size);
        let base = map_aligned(pages, align, self.page_size).map_err(|error| too_much(&error))?;
        state.total += number(pages);
        state.reservations.insert(
            base,
            Reservation {
                size: pages,
                owner,
                protected: Vec::new(),
                calls: 0,
            },
        );
        Ok(number(base))
    }

    /// Writes `bytes` to `address`.
    pub(crate) fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Failure> {
        let mut state = self.lock();
        let (range, reservation) = state.find(address, number(bytes.len()))?;
        if range.is_empty() {
            return Ok(());
        }
        let pages = self.pages(&range);
        let is_variables = |(other, access): &(Range<usize>, Access)| {
            *access == Access::ReadWrite && other.start <= pages.start && pages.end <= other.end
        };
        if !reservation.protected.iter().any(is_variables) {
            reservation.check_unprotected(&pages)?;
            protect(&pages, MprotectFlags::READ | MprotectFlags::WRITE)?;
        }
        let target: *mut u8 = ptr::with_exposed_provenance_mut(range.start);
        // SAFETY: the pages are this reservation's and writable; whether shipped code uses them meanwhile is the
        // controller's to know. `bytes` are none of them: they were received into Rust's own memory.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
        Ok(())
    }

    /// Gives pages their final protection.
    pub(crate) fn protect(&self, address: u64, size: u64, access: Access) -> Result<(), Failure> {
        let mut state = self.lock();
        let (range, reservation) = state.find(address, size)?;
        if range.is_empty() || !range.start.is_multiple_of(self.page_size) {
            return Err(outside(address, size, "they are no pages"));
        }
        let pages = self.pages(&range);
        reservation.check_unprotected(&pages)?;
        // Also when it fails half way: nothing is written there any more.
        reservation.protected.push((pages.clone(), access));
        let flags = match access {
            Access::Read => MprotectFlags::READ,
            Access::ReadExecute => MprotectFlags::READ | MprotectFlags::EXEC,
            Access::ReadWrite => MprotectFlags::READ | MprotectFlags::WRITE,
        };
        protect(&pages, flags)?;
        if access == Access::ReadExecute {
            let start: *const u8 = ptr::with_exposed_provenance(pages.start);
            // SAFETY: the pages have just been made readable.
            unsafe { code::publish(start, start, pages.len()) };
        }
        Ok(())
    }

    /// Enters the reservation that has code at `address`; `None` when none has.
    pub(crate) fn enter(&self, address: u64) -> Option<Inside<'_>> {
        let mut state = self.lock();
        let address = usize::try_from(address).ok()?;
        let (&base, reservation) = state.reservations.range_mut(..=address).next_back()?;
        let is_code = |(pages, access): &(Range<usize>, Access)| {
            *access == Access::ReadExecute && pages.contains(&address)
        };
        if !reservation.protected.iter().any(is_code) {
            return None;
        }
        reservation.calls += 1;
        drop(state);
        Some(Inside { memory: self, base })
    }

    /// Gives back the reservation that starts at `address`.
    pub(crate) fn free(&self, address: u64) -> Result<(), Failure> {
        let mut state = self.lock();
        let base = usize::try_from(address).ok();
        let base = base.filter(|base| state.reservations.contains_key(base));
        let base = base.ok_or_else(|| outside(address, 0, "no reservation starts there"))?;
        if state.reservations[&base].calls > 0 {
            let message = format!("{address:#x}: in use by a call");
            return Err(failure(ErrorKind::InUse, message));
        }
        state.unmap(base);
        Ok(())
    }

    /// Gives back what a connection that has ended has reserved and not protected any of. Code may be running in the
    /// rest, or be called once more by whoever it gave its address to.
    pub(crate) fn end_of(&self, owner: u64) {
        let mut state = self.lock();
        let reservations = state.reservations.iter();
        let unused = reservations.filter(|(_, it)| it.owner == owner && it.protected.is_empty());
        let unused: Vec<usize> = unused.map(|(&base, _)| base).collect();
        unused.into_iter().for_each(|base| state.unmap(base));
    }

    /// The pages that these addresses of a reservation, which is whole pages, are in.
    fn pages(&self, range: &Range<usize>) -> Range<usize> {
        range.start / self.page_size * self.page_size..range.end.next_multiple_of(self.page_size)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The reservation that has all of these addresses.
    fn find(
        &mut self,
        address: u64,
        size: u64,
    ) -> Result<(Range<usize>, &mut Reservation), Failure> {
        let none = || outside(address, size, "they are not all in one reservation");
        let start = usize::try_from(address).ok();
        let end = address
            .checked_add(size)
            .and_then(|end| usize::try_from(end).ok());
        let range = start
            .zip(end)
            .map(|(start, end)| start..end)
            .ok_or_else(none)?;
        let before = self.reservations.range_mut(..=range.start).next_back();
        let (base, reservation) = before.ok_or_else(none)?;
        if range.end > base + reservation.size {
            return Err(none());
        }
        Ok((range, reservation))
    }

    fn unmap(&mut self, base: usize) {
        if let Some(reservation) = self.reservations.remove(&base) {
            self.total -= number(reservation.size);
            unmap(base..base + reservation.size);
        }
    }
}

impl Reservation {
    fn check_unprotected(&self, pages: &Range<usize>) -> Result<(), Failure> {
        let is_there = |(other, _): &&(Range<usize>, Access)| {
            other.start < pages.end && pages.start < other.end
        };
        match self.protected.iter().find(is_there) {
            None => Ok(()),
            Some((other, _)) => Err(failure(
                ErrorKind::Arguments,
                format!(
                    "{:#x}..{:#x}: {:#x}..{:#x} are protected, which is final",
                    pages.start, pages.end, other.start, other.end
                ),
            )),
        }
    }
}

/// Maps `size` bytes that nobody can access at a multiple of `align`, both whole pages.
fn map_aligned(size: usize, align: usize, page_size: usize) -> Result<usize, Errno> {
    let whole = size.checked_add(align - page_size).ok_or(Errno::NOMEM)?;
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: a new mapping, at an address that the system chooses, touches no other memory.
    let start = unsafe { mmap_anonymous(ptr::null_mut(), whole, ProtFlags::empty(), flags)? };
    let start = start.expose_provenance();
    let base = start.next_multiple_of(align);
    unmap(start..base);
    unmap(base + size..start + whole);
    Ok(base)
}

fn unmap(range: Range<usize>) {
    if range.is_empty() {
        return;
    }
    let start: *mut c_void = ptr::with_exposed_provenance_mut(range.start);
    // SAFETY: the caller's own pages, which no reservation has any more; no reference of Rust's is to any of them.
    let unmapped = unsafe { munmap(start, range.len()) };
    // It may have no memory to split a mapping. Then the pages stay, inaccessible or as they were, and belong to nobody.
    let _ = unmapped;
}

fn protect(pages: &Range<usize>, flags: MprotectFlags) -> Result<(), Failure> {
    let start: *mut c_void = ptr::with_exposed_provenance_mut(pages.start);
    // SAFETY: pages of a reservation, to which no reference of Rust's is.
    let protected = unsafe { mprotect(start, pages.len(), flags) };
    protected.map_err(|error| {
        let message = format!("{:#x}..{:#x}: {error}", pages.start, pages.end);
        failure(ErrorKind::Memory, message)
    })
}

fn outside(address: u64, size: u64, why: &str) -> Failure {
    let message = format!("{size} bytes at {address:#x}: {why}");
    failure(ErrorKind::Arguments, message)
}

pub(crate) fn failure(kind: ErrorKind, message: String) -> Failure {
    Failure { kind, message }
}

/// Lossless: farcall runs where a size has at most 64 bits.
pub(crate) fn number(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}
