//! Position independence, whatever the IR was made for.
//!
//! Front ends write IR for one way of linking. clang's default is a position-independent *executable*: `PIE Level`, and
//! definitions that are `dso_local`; `-fno-pic` also claims that what is declared elsewhere is `dso_local`; `-fPIC` lets
//! nothing be. An image is a fourth thing: what it defines binds to itself, and what it imports may be anywhere.
//!
//! | global | in an image |
//! |---|---|
//! | local linkage, hidden or protected | `dso_local` by LLVM's own rules |
//! | definition: external, weak, linkonce, common, and aliases | `dso_local`: the linker picks one definition and the image binds to it |
//! | declaration, `available_externally` | not `dso_local`: reached through GOT and PLT |
//! | `extern_weak`, of any visibility | not `dso_local`: only a GOT entry can hold null |
//! | ifunc | not `dso_local`: its address is known when the resolver has run, and only the GOT can hold it |
//!
//! Images may also share a scope, as those of a session's library do. There weak definitions, and what is hidden and declared, are reached
//! through GOT and PLT too, and what is weak and hidden is made visible and marked: `llvm/scope.cpp`.
//!
//! Definitions are marked before the passes, which may use it, declarations after them, when those that passes make and those
//! that `available_externally` bodies leave behind are there too. Thread-local models that the IR spells out stay.

use inkwell::module::Module;
use llvm_sys::LLVMLinkage as Linkage;

use crate::llvm::{self, Global, GlobalKind};

/// Makes definitions bind to the image, and the code that of a shared object.
pub(crate) fn bind_definitions(module: &Module<'_>) {
    // With a PIE level LLVM takes thread-local variables for the executable's own.
    for (flag, value) in [("PIE Level", 0), ("direct-access-external-data", 0)] {
        if llvm::module_flag(module, flag).is_some() {
            llvm::set_module_flag(module, flag, value);
        }
    }
    llvm::set_module_flag(module, "PIC Level", 2);

    for global in llvm::globals(module) {
        let local = matches!(
            global.linkage(),
            Linkage::LLVMInternalLinkage | Linkage::LLVMPrivateLinkage
        );
        if !local && !is_elsewhere(&global) && global.kind != GlobalKind::Ifunc {
            global.set_dso_local();
        }
    }
}

/// Makes everything else be reached through GOT and PLT.
///
/// Expects that no `available_externally` body is left.
pub(crate) fn unbind_declarations(module: &mut Module<'_>) {
    llvm::redeclare(module, |global| {
        let through_got = global.is_declaration() || global.kind == GlobalKind::Ifunc;
        let can_be_elsewhere =
            global.has_default_visibility() || global.linkage() == Linkage::LLVMExternalWeakLinkage;
        through_got && can_be_elsewhere && !global.name().starts_with(b"llvm.")
    });
}

fn is_elsewhere(global: &Global<'_>) -> bool {
    global.is_declaration()
        || matches!(
            global.linkage(),
            Linkage::LLVMAvailableExternallyLinkage
                | Linkage::LLVMExternalWeakLinkage
                | Linkage::LLVMAppendingLinkage
        )
}
