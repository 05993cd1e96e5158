//! A host without a dynamic linker.
//!
//! Nobody in such a process can find a name, open a library or give running threads more thread-local
//! variables. What the loader can do for itself it does: it has a table of the few names that images need
//! whatever they are made for, and it answers the unwinder's question, if that
//! can be, see [`unwound`].

mod names;
mod program;
mod space;
#[cfg_attr(not(target_env = "musl"), path = "registered.rs")]
mod unwound;

use std::any::Any;
use std::ffi::CStr;

use farcall_arch::Machine;

pub(crate) use self::names::exported;
pub(crate) use self::program::{host_tls_at, program, static_blocks, tls_get_addr};
pub(crate) use self::space::UnwoundSpace;
pub(crate) use self::unwound::{UNWINDS_SPACES, UnwindTables};
use super::{HostError, Initial};

/// How the host's exports are called among the places that were searched.
pub(crate) const EXPORTS: &str = "the host's exports (a static host has next to none: define what images import, or search \
     its symbol table with Loader::host_symbols)";

/// What else to do where there is no room for a [`StaticBlock`].
pub(crate) const MORE_STATIC_TLS: &str = "";

/// A library of the host's, of which there are none.
#[derive(Debug)]
pub(crate) enum Library {}

impl Library {
    /// Opens nothing.
    ///
    /// # Errors
    ///
    /// Always.
    pub(crate) fn open(_name: &CStr) -> Result<Self, String> {
        Err("a static host cannot open libraries".to_owned())
    }

    /// A library's symbol.
    pub(crate) fn symbol(&self, _name: &CStr) -> Option<u64> {
        match *self {}
    }
}

/// Thread-local variables at one distance from every thread's pointer, of which images have none here.
#[derive(Debug)]
pub(crate) struct StaticBlock {
    /// Their identity.
    pub(crate) module: u64,
    /// The distance.
    pub(crate) offset: u64,
}

impl StaticBlock {
    /// Refuses: only the C library could write to the copies of threads that run already, and without a
    /// dynamic linker it never does.
    pub(crate) fn new(_machine: Machine, _initial: Initial<'_>) -> Result<Self, HostError> {
        Err(HostError::Refused(
            "a static host has what it was linked with".to_owned(),
        ))
    }
}

/// Holds the locks of this module and of the C runtime's part that is the loader's own.
pub(crate) fn lock() -> impl Any {
    (unwound::lock(), own_runtime_lock())
}

#[cfg(target_env = "musl")]
fn own_runtime_lock() -> impl Any {
    crate::sys::handlers::lock()
}

#[cfg(not(target_env = "musl"))]
fn own_runtime_lock() -> impl Any {}
