//! Unwind tables that libgcc is given one by one.

use std::ffi::c_void;

use super::UnwindTable;
use crate::fork;

/// Unwind tables that the unwinder knows, until this is dropped.
#[derive(Debug)]
pub(crate) struct UnwindTables {
    begin: u64,
}

impl UnwindTables {
    /// Makes a table's records known.
    ///
    /// # Safety
    ///
    /// The records are well formed, end in a zero word, and stay as long as this.
    pub(crate) unsafe fn register(table: &UnwindTable) -> Self {
        let begin = table.records.start;
        let tables = Self { begin };
        // The unwinder has a lock of its own.
        let _forks = fork::hold_off();
        // SAFETY: the caller's contract.
        unsafe { __register_frame(tables.begin()) };
        tables
    }

    fn begin(&self) -> *const c_void {
        let address = usize::try_from(self.begin).expect("it is an address in this process");
        std::ptr::with_exposed_provenance(address)
    }
}

impl Drop for UnwindTables {
    fn drop(&mut self) {
        let _forks = fork::hold_off();
        // SAFETY: `register` registered them.
        unsafe { __deregister_frame(self.begin()) };
    }
}

// LSB Core 5.0, "Interface Definitions for libgcc_s".
unsafe extern "C" {
    /// Makes the `.eh_frame` records from `begin` to their zero word known to the unwinder.
    fn __register_frame(begin: *const c_void);

    /// Undoes `__register_frame`.
    fn __deregister_frame(begin: *const c_void);
}
