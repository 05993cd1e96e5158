//! What images of one scope have in common, in `scope.cpp`.

use inkwell::module::Module;
use llvm_sys::prelude::{LLVMModuleRef, LLVMValueRef};

use super::Global;

unsafe extern "C" {
    fn farcall_share_scope(module: LLVMModuleRef);
    fn farcall_is_marked_hidden(global: LLVMValueRef) -> bool;
}

/// Has code reach through GOT and PLT what another image of its scope may define: weak definitions, and what is hidden and defined
/// elsewhere.
pub(crate) fn share_scope(module: &mut Module<'_>) {
    // SAFETY: the module is live, and nobody else uses it: it is borrowed mutably.
    unsafe { farcall_share_scope(module.as_mut_ptr()) }
}

impl Global<'_> {
    /// Whether it is a definition that is hidden from all but the images of its scope.
    pub(crate) fn is_hidden_in_scope(&self) -> bool {
        // SAFETY: the value is a live global, and is only read.
        unsafe { farcall_is_marked_hidden(self.raw()) }
    }
}
