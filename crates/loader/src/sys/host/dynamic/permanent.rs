//! Names that the host's dynamic linker was asked for before and that mean the same for good: what the
//! program itself and the C library export. Neither is ever unloaded, and no library that is opened later
//! comes before them.
//!
//! Images import the same few hundred of them, and asking costs a search through all that was loaded
//! before, under a lock. The table takes no lock: an entry never changes once it is there, and a name for
//! which there is no place is asked for each time.

use std::ops::Range;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use farcall_image::gnu_hash;

use super::visit_objects;
use crate::fork;

/// Small, because every process that loads something has a copy.
const N_ENTRIES: usize = 256;
/// How many places a name may have.
const N_PLACES: usize = 8;

#[derive(Debug)]
struct Entry {
    name: Box<[u8]>,
    address: u64,
}

#[derive(Debug)]
struct Table([AtomicPtr<Entry>; N_ENTRIES]);

static TABLE: Table = Table([const { AtomicPtr::new(ptr::null_mut()) }; N_ENTRIES]);

/// The address that a name is known to have.
pub(super) fn find(name: &[u8]) -> Option<u64> {
    TABLE.find(name)
}

/// Notes what the host's dynamic linker found, if that is for good.
pub(super) fn note(name: &[u8], address: u64) {
    static PERMANENT: OnceLock<Permanent> = OnceLock::new();
    let permanent = PERMANENT.get().unwrap_or_else(|| {
        let found = Permanent::find();
        // A process that is forked off would wait for ever for a thread that is in the middle of it.
        let _forks = fork::hold_off();
        PERMANENT.get_or_init(|| found)
    });
    if permanent.has(address) {
        TABLE.note(name, address);
    }
}

impl Table {
    /// Where a name may be, in the order in which places are taken.
    fn places(&self, name: &[u8]) -> impl Iterator<Item = &AtomicPtr<Entry>> {
        let first = usize::try_from(gnu_hash(name)).unwrap_or(usize::MAX) % N_ENTRIES;
        (first..first + N_PLACES).map(|place| &self.0[place % N_ENTRIES])
    }

    fn find(&self, name: &[u8]) -> Option<u64> {
        for place in self.places(name) {
            let entry = place.load(Ordering::Acquire);
            // SAFETY: an entry is never freed or changed once it is in the table.
            let entry = unsafe { entry.as_ref() }?;
            if *entry.name == *name {
                return Some(entry.address);
            }
        }
        None
    }

    fn note(&self, name: &[u8], address: u64) {
        let mut places = self.places(name);
        let Some(free) = places.find(|place| place.load(Ordering::Relaxed).is_null()) else {
            return;
        };
        let entry = Entry {
            name: name.into(),
            address,
        };
        let entry = Box::into_raw(Box::new(entry));
        let (success, failure) = (Ordering::Release, Ordering::Relaxed);
        let put = free.compare_exchange(ptr::null_mut(), entry, success, failure);
        if put.is_err() {
            // Another thread was faster; this name has its chance the next time.
            // SAFETY: it was made here, and nobody else has it.
            drop(unsafe { Box::from_raw(entry) });
        }
    }
}

/// Where the program and the C library are, which stay as long as the process.
#[derive(Debug, Default)]
struct Permanent(Vec<Range<u64>>);

impl Permanent {
    fn find() -> Self {
        let c_library = (libc::gnu_get_libc_version as *const ()).expose_provenance() as u64;
        let mut found = Self::default();
        visit_objects(|info, headers| {
            let loaded = headers
                .iter()
                .filter(|header| header.p_type == libc::PT_LOAD);
            let ranges = loaded.map(|header| {
                let start = info.dlpi_addr.wrapping_add(header.p_vaddr);
                start..start.saturating_add(header.p_memsz)
            });
            let ranges: Vec<Range<u64>> = ranges.collect();
            let is_program = found.0.is_empty();
            if is_program || ranges.iter().any(|range| range.contains(&c_library)) {
                found.0.extend(ranges);
            }
            false
        });
        found
    }

    /// Whether the address is in one of them.
    fn has(&self, address: u64) -> bool {
        self.0.iter().any(|range| range.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_once_noted_as_long_as_there_is_room() {
        let empty = [const { AtomicPtr::new(ptr::null_mut()) }; N_ENTRIES];
        let table = Box::new(Table(empty));
        let names: Vec<String> = (0..2 * N_ENTRIES)
            .map(|number| number.to_string())
            .collect();
        let numbered = || names.iter().map(String::as_bytes).zip(0_u64..);
        for (name, address) in numbered() {
            assert_eq!(table.find(name), None);
            table.note(name, address);
        }
        let found = numbered().filter(|(name, address)| table.find(name) == Some(*address));
        let n_found = found.count();
        assert!((N_ENTRIES / 2..=N_ENTRIES).contains(&n_found), "{n_found}");
        let wrong =
            |(name, address): &(&[u8], u64)| table.find(name).is_some_and(|it| it != *address);
        assert_eq!(numbered().find(wrong), None);
        for place in table.0 {
            let entry = place.into_inner();
            if !entry.is_null() {
                // SAFETY: the table made it, and is gone.
                drop(unsafe { Box::from_raw(entry) });
            }
        }
    }

    #[test]
    fn the_c_library_is_for_good_and_what_a_thread_has_is_not() {
        let permanent = Permanent::find();
        let puts = super::super::global_symbol(c"puts").unwrap();
        assert!(permanent.has(puts));
        let errno = super::super::global_symbol(c"errno");
        assert!(!errno.is_some_and(|errno| permanent.has(errno)));
        let allocated = Box::new(0_u8);
        assert!(!permanent.has((&raw const *allocated).expose_provenance() as u64));
        note(b"puts", puts);
        assert!(find(b"puts").is_none_or(|found| found == puts));
    }
}
