//! The system and the machine: one call each, with their own types.
//!
//! To add a system, write its `memory` and `host`; nothing above names a system call.
//!
//! Miri is one that has memory, but no pages and no files in memory: all that is above runs in it with an image in
//! memory of its own, as long as no code of an image is called.
//!
//! To add a machine, write its folder with the same interface; nothing above names a register:
//!
//! - `callback`: where the stub of a function leads that is a closure, and the integer registers that it saves;
//! - `first_call`: where a stub leads that has not been called yet;
//! - `tls_descriptor`: the functions that TLS descriptors name, and the thread pointer;
//! - `STATIC_BLOCK_UNIT`: how static blocks of thread-local variables lie side by side.
//!
//! What a machine needs beyond that, whoever runs code on it, is in the crate `farcall-native`.

#[cfg(target_env = "musl")]
mod handlers;
pub(crate) mod host;
#[cfg_attr(miri, path = "memory_miri.rs")]
pub(crate) mod memory;
pub(crate) mod runtime;
pub(crate) mod saved_arguments;
pub(crate) mod tls_descriptor;

pub(crate) use farcall_native::{code, cpu, noexcept, resolver_arguments};

#[cfg(target_arch = "aarch64")]
#[path = "aarch64/mod.rs"]
pub(crate) mod machine;
#[cfg(target_arch = "x86_64")]
#[path = "x86_64/mod.rs"]
pub(crate) mod machine;
