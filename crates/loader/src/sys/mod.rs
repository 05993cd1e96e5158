//! The system: one call each, with the system's own types.
//!
//! To add a system, write its `memory` and `dynamic`; nothing above names a system call.
//!
//! Miri is one that has memory, but no pages and no files in memory: all that is above runs in it with an image in
//! memory of its own, as long as no code of an image is called.

pub(crate) mod catch;
pub(crate) mod cpu;
pub(crate) mod dynamic;
pub(crate) mod first_call;
#[cfg_attr(miri, path = "memory_miri.rs")]
pub(crate) mod memory;
pub(crate) mod noexcept;
pub(crate) mod runtime;
pub(crate) mod tls_descriptor;
