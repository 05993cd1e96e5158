//! The system: one call each, with the system's own types.
//!
//! To add a system, write its `memory` and `dynamic`; nothing above names a system call.

pub(crate) mod catch;
pub(crate) mod cpu;
pub(crate) mod dynamic;
pub(crate) mod first_call;
pub(crate) mod memory;
pub(crate) mod noexcept;
pub(crate) mod runtime;
pub(crate) mod tls_descriptor;
