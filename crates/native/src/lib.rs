//! The processor that this process runs on: how its functions are called, how written bytes become code,
//! and what it has.
//!
//! Whoever runs code that came as bytes needs these few things, whether it links that code itself, as the loader
//! does, or is given it finished, as a bare executor is. Nothing here knows of images.
//!
//! To add a machine, write its folder with the same interface; nothing above names a register:
//!
//! - `calls`: the frames that [`noexcept`] and [`catch`] call from, and the calls of [`registers`];
//! - [`code`]: what makes written bytes code;
//! - [`resolver_arguments`]: what the code that chooses an indirect function is given.

#![allow(
    unsafe_code,
    reason = "calling addresses and reading registers is what this crate is for"
)]
#![deny(clippy::multiple_unsafe_ops_per_block)]

pub mod catch;
pub mod cpu;
pub mod noexcept;
pub mod registers;

#[cfg(target_arch = "aarch64")]
#[path = "aarch64/mod.rs"]
mod machine;
#[cfg(target_arch = "x86_64")]
#[path = "x86_64/mod.rs"]
mod machine;

pub use machine::code;
pub use machine::resolver_arguments;
