//! A module in parts, in `split.cpp`.

use inkwell::{
    context::{AsContextRef, Context},
    module::Module,
};
use llvm_sys::prelude::{LLVMContextRef, LLVMModuleRef};
use std::ffi::{c_char, c_uint};

use super::globals;

unsafe extern "C" {
    fn farcall_split(module: LLVMModuleRef, size: usize, most: c_uint, parts: *mut u16) -> c_uint;
    fn farcall_read_part(
        context: LLVMContextRef,
        bitcode: *const c_char,
        length: usize,
        parts: *const u16,
        number: u16,
    ) -> LLVMModuleRef;
}

/// An optimized module, of which each part becomes an object of its own.
pub(crate) struct Split {
    bitcode: Vec<u8>,
    /// The part that each global is in, in the module's order.
    parts: Vec<u16>,
    n_parts: u16,
}

impl Split {
    /// Divides a module into parts of at least `size` instructions and at most `most` of them; how many, and what is in which,
    /// depends on nothing but the module. The module is as it was where it is too small for that, or where parts would not mean
    /// the same; otherwise it is of no use any more.
    pub(crate) fn new(module: &mut Module<'_>, size: usize, most: u16) -> Option<Self> {
        let mut parts = vec![0; globals(module).len()];
        // SAFETY: the module is live, and nobody else uses it: it is borrowed mutably. There is room for each of its globals.
        let n_parts = unsafe {
            farcall_split(
                module.as_mut_ptr(),
                size.max(1),
                most.into(),
                parts.as_mut_ptr(),
            )
        };
        let n_parts = u16::try_from(n_parts).expect("no more than `most`");
        (n_parts > 1).then(|| Self {
            bitcode: module.write_bitcode_to_memory().as_slice().to_vec(),
            parts,
            n_parts,
        })
    }

    pub(crate) fn n_parts(&self) -> usize {
        self.n_parts.into()
    }

    /// Reads a part, by its number.
    pub(crate) fn part<'c>(&self, context: &'c Context, number: usize) -> Module<'c> {
        let number = u16::try_from(number).expect("a part's number");
        // SAFETY: the context is live, and the bitcode is that of a module with as many globals. The module that is read is fresh,
        // has all its functions, and so does not need the bitcode any more.
        unsafe {
            let module = farcall_read_part(
                context.as_ctx_ref(),
                self.bitcode.as_ptr().cast(),
                self.bitcode.len(),
                self.parts.as_ptr(),
                number,
            );
            assert!(!module.is_null(), "LLVM reads what it has written");
            Module::new(module)
        }
    }
}
