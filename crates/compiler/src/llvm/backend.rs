//! A code generator that is kept, in `shim.cpp`.

use std::{
    ffi::{CString, c_char, c_uint},
    ptr::{self, NonNull},
};

use inkwell::module::Module;
use llvm_sys::prelude::LLVMModuleRef;

use super::{bytes, take_message};

/// LLVM's distances between code and data, by LLVM's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum CodeModel {
    Small = 1,
    Medium = 3,
    Large = 4,
}

/// What a [`Backend`] is made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BackendOptions {
    pub(crate) triple: String,
    pub(crate) cpu: String,
    pub(crate) features: String,
    /// 0 to 3.
    pub(crate) level: u8,
    /// Whether modules get no passes but those that code generation needs.
    pub(crate) optimized_ir: bool,
    pub(crate) model: CodeModel,
}

/// Optimizes modules and makes objects of them, by one set of options, one module after the other.
///
/// It stays in its thread: it is not `Send`, as the pointer in it is not.
pub(crate) struct Backend(NonNull<Opaque>);

#[repr(C)]
struct Opaque {
    _private: [u8; 0],
}

#[repr(C)]
struct RawOptions {
    triple: *const c_char,
    cpu: *const c_char,
    features: *const c_char,
    level: c_uint,
    pass_level: c_uint,
    model: c_uint,
}

unsafe extern "C" {
    // `shim.cpp`, compiled against the headers of the LLVM that is linked.
    fn farcall_backend_create(options: *const RawOptions, message: *mut *mut c_char)
    -> *mut Opaque;
    fn farcall_backend_dispose(backend: *mut Opaque);
    fn farcall_backend_usable(backend: *const Opaque) -> bool;
    fn farcall_backend_layout(backend: *const Opaque) -> *mut c_char;
    fn farcall_backend_optimize(backend: *mut Opaque, module: LLVMModuleRef);
    fn farcall_backend_generate(
        backend: *mut Opaque,
        module: LLVMModuleRef,
        bytes: *mut *const c_char,
    ) -> usize;
    fn farcall_backend_subtarget(backend: *const Opaque, module: LLVMModuleRef) -> *mut c_char;
}

impl Backend {
    /// A backend, or LLVM's reason why there is none.
    pub(crate) fn new(options: &BackendOptions) -> Result<Self, String> {
        // Triples that LLVM gives and checked names have no NUL.
        let text = |text: &str| CString::new(text).map_err(|error| error.to_string());
        let (triple, cpu, features) = (
            text(&options.triple)?,
            text(&options.cpu)?,
            text(&options.features)?,
        );
        let raw = RawOptions {
            triple: triple.as_ptr(),
            cpu: cpu.as_ptr(),
            features: features.as_ptr(),
            level: options.level.min(3).into(),
            pass_level: if options.optimized_ir {
                0
            } else {
                options.level.min(3).into()
            },
            model: options.model as c_uint,
        };
        let mut message = ptr::null_mut();
        // SAFETY: the texts live during the call, and the numbers are in range. Without a backend there is a message, ours
        // to free.
        unsafe {
            let backend = farcall_backend_create(&raw, &mut message);
            NonNull::new(backend)
                .map(Self)
                .ok_or_else(|| take_message(message))
        }
    }

    /// The target's data layout, as IR writes it.
    pub(crate) fn layout(&self) -> String {
        // SAFETY: the backend is live; the message is fresh, ours to free.
        unsafe { take_message(farcall_backend_layout(self.0.as_ptr())) }
    }

    /// Runs the passes of the level, or those that have to be.
    ///
    /// Errors go to the diagnostics of the module's context.
    pub(crate) fn optimize(&mut self, module: &mut Module<'_>) {
        // SAFETY: both are live and nobody else uses them: they are borrowed mutably. Passes may erase anything of the module,
        // and nothing of it is borrowed.
        unsafe { farcall_backend_optimize(self.0.as_ptr(), module.as_mut_ptr()) }
    }

    /// Makes an object of the module, which is of no use afterwards.
    ///
    /// Errors go to the diagnostics of the module's context; the bytes are nothing then.
    pub(crate) fn generate(&mut self, module: Module<'_>) -> Vec<u8> {
        let mut start = ptr::null();
        // SAFETY: both are live and nobody else uses them. The backend keeps the bytes until its next call; they are copied.
        unsafe {
            let length = farcall_backend_generate(self.0.as_ptr(), module.as_mut_ptr(), &mut start);
            bytes(start, length).to_vec()
        }
    }

    /// Whether it may be given another module. LLVM's passes keep parts of some: such a backend must go before their context does.
    pub(crate) fn is_usable(&self) -> bool {
        // SAFETY: the backend is live.
        unsafe { farcall_backend_usable(self.0.as_ptr()) }
    }

    /// The processor that all functions of a module are compiled for, if it is one, and the features that each of them has,
    /// by name, implied ones too.
    pub(crate) fn common_subtarget(&self, module: &Module<'_>) -> (Option<String>, Vec<String>) {
        // SAFETY: both are live, and nobody else uses either: they are not `Sync`. The module is only read, and the backend
        // keeps what it makes for the functions. The message is fresh, ours to free.
        let text = unsafe {
            take_message(farcall_backend_subtarget(
                self.0.as_ptr(),
                module.as_mut_ptr(),
            ))
        };
        let mut names = text.split(',').map(str::to_owned);
        let cpu = names.next().filter(|cpu| !cpu.is_empty());
        (cpu, names.collect())
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // SAFETY: it is live, and nobody uses it afterwards.
        unsafe { farcall_backend_dispose(self.0.as_ptr()) }
    }
}
