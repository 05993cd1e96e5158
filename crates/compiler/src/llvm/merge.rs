//! Modules that become one, in `merge.cpp`.

use std::mem::ManuallyDrop;

use inkwell::module::Module;
use llvm_sys::prelude::LLVMModuleRef;

unsafe extern "C" {
    fn farcall_merge(modules: *const LLVMModuleRef, count: usize) -> LLVMModuleRef;
}

/// Merges modules of one context, machine and layout, as a linker would their objects: groups, weak definitions, constructors in their order.
/// None when they cannot be one, because two define the same name, or have assembly of their own, for example.
pub(crate) fn merge<'c>(modules: Vec<Module<'c>>) -> Option<Module<'c>> {
    // From here on they are the other side's to free.
    let modules = modules.into_iter().map(ManuallyDrop::new);
    let modules: Vec<_> = modules.collect();
    let raw: Vec<_> = modules.iter().map(|module| module.as_mut_ptr()).collect();
    // SAFETY: all are live, of the context that `'c` says, and nobody else's: they are owned, and are not used afterwards. What is
    // made is a fresh module of that context.
    unsafe {
        let merged = farcall_merge(raw.as_ptr(), raw.len());
        (!merged.is_null()).then(|| Module::new(merged))
    }
}
