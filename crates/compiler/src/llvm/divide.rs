//! A module in parts that become images of their own, in `divide.cpp`.

use inkwell::{
    context::{AsContextRef, Context},
    module::Module,
};
use llvm_sys::prelude::{LLVMContextRef, LLVMModuleRef};
use std::ffi::{CString, c_char};

use super::globals;

unsafe extern "C" {
    fn farcall_divide(
        module: LLVMModuleRef,
        groups: *const u32,
        parts: *mut u32,
        exported: *mut bool,
    );
    fn farcall_read_division(
        context: LLVMContextRef,
        bitcode: *const c_char,
        length: usize,
        parts: *const u32,
        number: u32,
        suffix: *const c_char,
    ) -> LLVMModuleRef;
}

/// A module of which each part is read alone.
#[derive(Debug)]
pub(crate) struct Division {
    pub(crate) bitcode: Vec<u8>,
    /// The part that each global is in, in the module's order.
    pub(crate) parts: Vec<u32>,
    /// Whether others than the module's own parts see it.
    pub(crate) exported: Vec<bool>,
}

impl Division {
    /// Divides a module into its variables, part 0, and its functions: those of one number in `groups`, from 1, are a part. There is a number
    /// for each function, in the module's order. What must be together is. The module is changed, to what all parts are of.
    pub(crate) fn new(module: &mut Module<'_>, groups: &[u32]) -> Self {
        let n_globals = globals(module).len();
        assert_eq!(groups.len(), module.get_functions().count());
        let mut parts = vec![0; n_globals];
        let mut exported = vec![false; n_globals];
        // SAFETY: the module is live, and nobody else uses it: it is borrowed mutably. There is a group for each function, and room
        // for each of its globals.
        unsafe {
            farcall_divide(
                module.as_mut_ptr(),
                groups.as_ptr(),
                parts.as_mut_ptr(),
                exported.as_mut_ptr(),
            );
        }
        Self {
            bitcode: module.write_bitcode_to_memory().as_slice().to_vec(),
            parts,
            exported,
        }
    }

    /// Reads a part, by its number. `suffix` makes of a function's name that of its address.
    pub(crate) fn part<'c>(&self, context: &'c Context, number: u32, suffix: &str) -> Module<'c> {
        let suffix = CString::new(suffix).expect("a suffix has no zero byte");
        // SAFETY: the context is live, and the bitcode is that of a module with as many globals. The module that is read is fresh,
        // has all its functions, and so does not need the bitcode any more.
        unsafe {
            let module = farcall_read_division(
                context.as_ctx_ref(),
                self.bitcode.as_ptr().cast(),
                self.bitcode.len(),
                self.parts.as_ptr(),
                number,
                suffix.as_ptr(),
            );
            assert!(!module.is_null(), "LLVM reads what it has written");
            Module::new(module)
        }
    }
}
