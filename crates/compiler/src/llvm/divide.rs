//! A module in parts that become images of their own, in `divide.cpp`.

use std::ffi::{CString, c_char, c_void};

use inkwell::module::Module;
use llvm_sys::prelude::LLVMModuleRef;

use super::{bytes, globals};

type Emit = unsafe extern "C" fn(*mut c_void, u32, *const c_char, usize);

unsafe extern "C" {
    fn farcall_divide(
        module: LLVMModuleRef,
        groups: *const u32,
        parts: *mut u32,
        exported: *mut bool,
        hidden: *mut bool,
    );
    fn farcall_extract(
        module: LLVMModuleRef,
        parts: *const u32,
        n_parts: u32,
        suffix: *const c_char,
        sink: *mut c_void,
        emit: Emit,
    );
}

/// Which part each global of a module is in.
#[derive(Debug)]
pub(crate) struct Division {
    /// In the module's order.
    pub(crate) parts: Vec<u32>,
    /// Whether others than the module's own parts see it.
    pub(crate) exported: Vec<bool>,
    /// Whether those others are of its scope only.
    pub(crate) hidden: Vec<bool>,
    /// At least one.
    pub(crate) n_parts: u32,
}

impl Division {
    /// Divides a module into its variables, part 0, and its functions: those of one number in `groups`, from 1, are a part. There is a number
    /// for each function, in the module's order. What must be together is. The module is changed, to what all parts are of.
    pub(crate) fn new(module: &mut Module<'_>, groups: &[u32]) -> Self {
        let n_globals = globals(module).len();
        assert_eq!(groups.len(), module.get_functions().count());
        let mut parts = vec![0; n_globals];
        let mut exported = vec![false; n_globals];
        let mut hidden = vec![false; n_globals];
        // SAFETY: the module is live, and nobody else uses it: it is borrowed mutably. There is a group for each function, and room
        // for each of its globals.
        unsafe {
            farcall_divide(
                module.as_mut_ptr(),
                groups.as_ptr(),
                parts.as_mut_ptr(),
                exported.as_mut_ptr(),
                hidden.as_mut_ptr(),
            );
        }
        let n_parts = parts.iter().max().map_or(1, |last| last + 1);
        Self {
            parts,
            exported,
            hidden,
            n_parts,
        }
    }

    /// The parts of the module that was divided, as bitcode. `suffix` makes of a function's name that of its address.
    pub(crate) fn extract(&self, module: Module<'_>, suffix: &str) -> Vec<Vec<u8>> {
        let suffix = CString::new(suffix).expect("a suffix has no zero byte");
        let mut extracted: Vec<Vec<u8>> = (0..self.n_parts).map(|_| Vec::new()).collect();
        let sink = (&raw mut extracted).cast::<c_void>();
        assert_eq!(self.parts.len(), globals(&module).len());
        // SAFETY: the module is this function's, and has as many globals as there are numbers, which are below that of the parts. The
        // sink is what `keep` takes it for, and is used by nothing else meanwhile.
        unsafe {
            farcall_extract(
                module.as_mut_ptr(),
                self.parts.as_ptr(),
                self.n_parts,
                suffix.as_ptr(),
                sink,
                keep,
            );
        }
        extracted
    }
}

/// Keeps the bitcode of a part.
///
/// # Safety
/// `sink` is a vector that has an entry for the part, and nobody else uses; `start` and `length` are readable bytes.
unsafe extern "C" fn keep(sink: *mut c_void, part: u32, start: *const c_char, length: usize) {
    // SAFETY: the caller's contract.
    let (parts, bitcode) = unsafe { (&mut *sink.cast::<Vec<Vec<u8>>>(), bytes(start, length)) };
    parts[part as usize] = bitcode.to_vec();
}
