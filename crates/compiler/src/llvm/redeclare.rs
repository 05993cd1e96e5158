//! Taking `dso_local` away.

use std::ffi::c_uint;

use inkwell::module::Module;
use llvm_sys::{core::*, prelude::*};

use super::{
    bytes,
    global::{Global, GlobalKind, attributes_at, globals},
};

/// Replaces the globals that `choose` picks by fresh ones of the same name that are not `dso_local`.
///
/// The C interface can neither read nor clear `dso_local`, but what it makes does not have it. Picked may be declarations
/// and ifuncs. All that IR can say of a declaration and the C interface can set is carried over; what it cannot set (a
/// variable's code model and sanitizer flags) means nothing for a symbol that is reached through the GOT.
pub(crate) fn redeclare(module: &mut Module<'_>, choose: impl Fn(&Global<'_>) -> bool) {
    let chosen: Vec<(LLVMValueRef, GlobalKind)> = globals(module)
        .into_iter()
        .filter(choose)
        .map(|global| (global.value, global.kind))
        .collect();
    for (old, kind) in chosen {
        // SAFETY: `old` is a live global of this module and of this kind, and no `Global` exists: `module` is borrowed
        // mutably. The new one has the same type (checked by its address space), so that it can stand in every use. The name
        // is copied before its owner is erased, and the erased one is not used again.
        unsafe {
            let new = match kind {
                GlobalKind::Function => fresh_function(module.as_mut_ptr(), old),
                GlobalKind::Variable => fresh_variable(module.as_mut_ptr(), old),
                GlobalKind::Ifunc => fresh_ifunc(module.as_mut_ptr(), old),
                GlobalKind::Alias => continue,
            };
            // The linkage comes first: of a hidden symbol only a weak one may stay without `dso_local`.
            LLVMSetLinkage(new, LLVMGetLinkage(old));
            LLVMSetVisibility(new, LLVMGetVisibility(old));
            LLVMSetUnnamedAddress(new, LLVMGetUnnamedAddress(old));
            if LLVMTypeOf(new) == LLVMTypeOf(old) {
                let mut length = 0;
                let name = bytes(LLVMGetValueName2(old, &mut length), length).to_vec();
                LLVMReplaceAllUsesWith(old, new);
                erase(old, kind);
                LLVMSetValueName2(new, name.as_ptr().cast(), name.len());
            } else {
                erase(new, kind);
            }
        }
    }
}

/// # Safety
/// `value` is a live global of this kind, and is not used afterwards.
unsafe fn erase(value: LLVMValueRef, kind: GlobalKind) {
    // SAFETY: as promised by the caller.
    unsafe {
        match kind {
            GlobalKind::Function => LLVMDeleteFunction(value),
            GlobalKind::Variable => LLVMDeleteGlobal(value),
            GlobalKind::Ifunc => LLVMEraseGlobalIFunc(value),
            GlobalKind::Alias => {}
        }
    }
}

/// # Safety
/// `old` is a live function declaration of `module`.
unsafe fn fresh_function(module: LLVMModuleRef, old: LLVMValueRef) -> LLVMValueRef {
    // SAFETY: all that is read of `old` is alive with it; attributes and metadata belong to the context.
    unsafe {
        let new = LLVMAddFunction(module, c"".as_ptr(), LLVMGlobalGetValueType(old));
        LLVMSetFunctionCallConv(new, LLVMGetFunctionCallConv(old));
        let places = 0..=LLVMCountParams(old);
        for index in places.chain([llvm_sys::LLVMAttributeFunctionIndex]) {
            for attribute in attributes_at(old, index) {
                LLVMAddAttributeAtIndex(new, index, attribute);
            }
        }
        let gc = LLVMGetGC(old);
        if !gc.is_null() {
            LLVMSetGC(new, gc);
        }
        copy_placement(old, new);
        new
    }
}

/// # Safety
/// `old` is a live variable declaration of `module`.
unsafe fn fresh_variable(module: LLVMModuleRef, old: LLVMValueRef) -> LLVMValueRef {
    // SAFETY: all that is read of `old` is alive with it.
    unsafe {
        let space = LLVMGetPointerAddressSpace(LLVMTypeOf(old));
        let new =
            LLVMAddGlobalInAddressSpace(module, LLVMGlobalGetValueType(old), c"".as_ptr(), space);
        LLVMSetGlobalConstant(new, LLVMIsGlobalConstant(old));
        LLVMSetThreadLocalMode(new, LLVMGetThreadLocalMode(old));
        LLVMSetExternallyInitialized(new, LLVMIsExternallyInitialized(old));
        copy_placement(old, new);
        new
    }
}

/// # Safety
/// `old` is a live ifunc of `module`.
unsafe fn fresh_ifunc(module: LLVMModuleRef, old: LLVMValueRef) -> LLVMValueRef {
    // SAFETY: the resolver is a constant of the module and alive with it.
    unsafe {
        let space = LLVMGetPointerAddressSpace(LLVMTypeOf(old));
        let resolver = LLVMGetGlobalIFuncResolver(old);
        LLVMAddGlobalIFunc(
            module,
            c"".as_ptr(),
            0,
            LLVMGlobalGetValueType(old),
            space,
            resolver,
        )
    }
}

/// Copies section, alignment and metadata.
///
/// # Safety
/// Both are live functions or variables of one module.
unsafe fn copy_placement(old: LLVMValueRef, new: LLVMValueRef) {
    // SAFETY: as promised by the caller; the list of metadata is ours to free and is read within its length.
    unsafe {
        let section = LLVMGetSection(old);
        if !section.is_null() {
            LLVMSetSection(new, section);
        }
        LLVMSetAlignment(new, LLVMGetAlignment(old));
        let mut count = 0;
        let entries = LLVMGlobalCopyAllMetadata(old, &mut count);
        for index in 0..c_uint::try_from(count).unwrap_or(0) {
            let kind = LLVMValueMetadataEntriesGetKind(entries, index);
            LLVMGlobalAddMetadata(
                new,
                kind,
                LLVMValueMetadataEntriesGetMetadata(entries, index),
            );
        }
        LLVMDisposeValueMetadataEntries(entries);
    }
}
