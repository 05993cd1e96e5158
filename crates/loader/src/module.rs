//! A loaded image.

use std::ffi::c_void;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use farcall_image::{Digest, Signature, SymbolKind};

use crate::{Result, UnsafeFunctionPointer};

/// A loaded image: its code and data in this process.
///
/// Dropping it runs its destructors on this thread and returns its memory, or, while another module
/// imports from it or threads have thread-local destructors of it to run, leaves that to the last
/// of them.
#[derive(Debug)]
pub struct Module {}

/// A function of a module.
#[derive(Debug, Clone, Copy)]
pub struct Symbol<'module, F> {
    function: F,
    module: PhantomData<&'module Module>,
}

/// An export of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export<'module> {
    /// Its name.
    pub name: &'module [u8],
    /// What it names.
    pub kind: SymbolKind,
    /// Its address; for a thread-local variable its offset in the module's block.
    pub address: u64,
    /// Its size in bytes, 0 when unknown.
    pub size: u64,
    /// Its type in LLVM's syntax, if the manifest knows.
    pub value_type: Option<&'module str>,
}

impl Module {
    /// The name that messages have for it: the image's.
    #[must_use]
    pub fn name(&self) -> &str {
        todo!()
    }

    /// The digest that its image carries.
    #[must_use]
    pub fn digest(&self) -> Digest {
        todo!()
    }

    /// Its exports, in the order of its symbol table.
    pub fn exports(&self) -> impl Iterator<Item = Export<'_>> {
        std::iter::empty()
    }

    /// The function named `name`, as a pointer of type `F`.
    ///
    /// Its type is compared with the manifest's; the manifest of an image that was built from
    /// machine code knows no types, and then the caller alone vouches for it when calling.
    ///
    /// # Errors
    ///
    /// [`Error::NoExport`](crate::Error::NoExport) when there is none, and
    /// [`Error::WrongType`](crate::Error::WrongType) when it is a variable or
    /// has another type.
    pub fn lookup<F: UnsafeFunctionPointer>(&self, name: &str) -> Result<Symbol<'_, F>> {
        let _ = name;
        todo!()
    }

    /// The address of the function or variable named `name`. It is good as long as the module lives.
    ///
    /// # Errors
    ///
    /// [`Error::NoExport`](crate::Error::NoExport) when there is none,
    /// [`Error::WrongType`](crate::Error::WrongType) when it is thread-local.
    pub fn address(&self, name: &str) -> Result<*mut c_void> {
        let _ = name;
        todo!()
    }

    /// The type of the function named `name`, if there is one and the manifest knows its type.
    #[must_use]
    pub fn signature(&self, name: &str) -> Option<Signature> {
        let _ = name;
        todo!()
    }

    /// Runs the destructors on this thread and returns all memory.
    ///
    /// # Errors
    ///
    /// [`UnloadError`], with the module, while another module imports from it or threads have
    /// thread-local destructors of it to run.
    pub fn unload(self) -> Result<(), UnloadError> {
        todo!()
    }
}

impl<F> Deref for Symbol<'_, F> {
    type Target = F;

    fn deref(&self) -> &F {
        &self.function
    }
}

/// Why a module was not unloaded. It hands the module back.
pub struct UnloadError {
    /// The module.
    pub module: Module,
    /// The names of the modules that import from it.
    pub importers: Vec<String>,
    /// How many thread-local objects of it have a destructor to run, each at the end of its thread.
    pub thread_destructors: usize,
}

impl fmt::Debug for UnloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for UnloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: in use", self.module.name())
    }
}

impl std::error::Error for UnloadError {}
