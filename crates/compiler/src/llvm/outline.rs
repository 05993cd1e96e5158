//! What the assembly of a module defines, in `outline.cpp`.

use std::ffi::c_char;

use inkwell::module::Module;
use llvm_sys::{core::LLVMGetModuleInlineAsm, prelude::LLVMModuleRef};

use super::{bytes, take_message};

unsafe extern "C" {
    fn farcall_assembly_symbols(module: LLVMModuleRef) -> *mut c_char;
}

/// The symbols that a module's own assembly defines for others, and whether each is weak. None where LLVM cannot read the
/// assembly, which goes to the diagnostics of the module's context.
pub(crate) fn assembly_symbols(module: &Module<'_>) -> Vec<(String, bool)> {
    // SAFETY: the module is live and only read. The message is fresh, ours to free.
    let text = unsafe { take_message(farcall_assembly_symbols(module.as_mut_ptr())) };
    let lines = text.lines().filter_map(|line| line.split_at_checked(1));
    lines
        .map(|(binding, name)| (name.to_owned(), binding == "w"))
        .collect()
}

/// Whether a module has assembly of its own.
pub(crate) fn has_assembly(module: &Module<'_>) -> bool {
    let mut length = 0;
    // SAFETY: the text is the module's, and is not kept.
    unsafe {
        !bytes(
            LLVMGetModuleInlineAsm(module.as_mut_ptr(), &mut length),
            length,
        )
        .is_empty()
    }
}
