//! Names that the host's dynamic linker was asked for before and that mean the same for good: what the
//! program itself and the C library export. Neither is ever unloaded, and no library that is opened later
//! comes before them.
//!
//! Images import the same few hundred of them, and asking costs a search through all that was loaded
//! before, under a lock. The table takes no lock: an entry never changes once it is there, and where two
//! names want one place, the second is asked for each time.

use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use farcall_image::gnu_hash;

use crate::sys::dynamic;

const N_ENTRIES: usize = 1024;

#[derive(Debug)]
struct Entry {
    name: Box<[u8]>,
    address: u64,
}

#[derive(Debug)]
struct Table([AtomicPtr<Entry>; N_ENTRIES]);

static TABLE: Table = Table([const { AtomicPtr::new(ptr::null_mut()) }; N_ENTRIES]);

/// The address that a name is known to have.
pub(crate) fn find(name: &[u8]) -> Option<u64> {
    TABLE.find(name)
}

/// Notes what the host's dynamic linker found, if that is for good.
pub(crate) fn note(name: &[u8], address: u64) {
    static PERMANENT: OnceLock<dynamic::Permanent> = OnceLock::new();
    if PERMANENT.get_or_init(dynamic::Permanent::find).has(address) {
        TABLE.note(name, address);
    }
}

impl Table {
    fn place(&self, name: &[u8]) -> &AtomicPtr<Entry> {
        let hash = usize::try_from(gnu_hash(name)).unwrap_or(usize::MAX);
        &self.0[hash % N_ENTRIES]
    }

    fn find(&self, name: &[u8]) -> Option<u64> {
        let entry = self.place(name).load(Ordering::Acquire);
        // SAFETY: an entry is never freed or changed once it is in the table.
        let entry = unsafe { entry.as_ref() }?;
        (*entry.name == *name).then_some(entry.address)
    }

    fn note(&self, name: &[u8], address: u64) {
        let place = self.place(name);
        if !place.load(Ordering::Relaxed).is_null() {
            return;
        }
        let entry = Entry {
            name: name.into(),
            address,
        };
        let entry = Box::into_raw(Box::new(entry));
        let (success, failure) = (Ordering::Release, Ordering::Relaxed);
        let put = place.compare_exchange(ptr::null_mut(), entry, success, failure);
        if put.is_err() {
            // SAFETY: it was made here, and nobody else has it.
            drop(unsafe { Box::from_raw(entry) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_once_noted_and_the_first_one_of_a_place_stays() {
        let table = Box::new(Table(
            [const { AtomicPtr::new(ptr::null_mut()) }; N_ENTRIES],
        ));
        assert_eq!(table.find(b"first"), None);
        table.note(b"first", 8);
        assert_eq!(table.find(b"first"), Some(8));
        let same_place = (0_u32..).map(|number| number.to_string());
        let is_same = |name: &String| ptr::eq(table.place(name.as_bytes()), table.place(b"first"));
        let other = same_place.into_iter().find(is_same).unwrap();
        table.note(other.as_bytes(), 16);
        assert_eq!(table.find(other.as_bytes()), None);
        assert_eq!(table.find(b"first"), Some(8));
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
        let permanent = dynamic::Permanent::find();
        let puts = dynamic::global_symbol(c"puts").unwrap();
        assert!(permanent.has(puts));
        let errno = dynamic::global_symbol(c"errno");
        assert!(!errno.is_some_and(|errno| permanent.has(errno)));
        let allocated = Box::new(0_u8);
        assert!(!permanent.has((&raw const *allocated).expose_provenance() as u64));
        note(b"puts", puts);
        assert!(find(b"puts").is_none_or(|found| found == puts));
    }
}
