//! Where a stub leads that has not been called yet.
//!
//! The first call comes here with all its arguments in registers and on the stack, and goes on, with all
//! of them, to the function that Rust code names. So this is written in assembly: it saves every register
//! that may hold an argument, asks, and jumps. What it jumps to returns to the caller.
//!
//! An unwinder passes the frame while it asks, so that what is asked may unwind to the caller. The stub
//! itself and the jump leave no frame.
//!
//! To add a machine, write its file: what is between `machine.rs`'s `write_stub` and
//! [`crate::stubs::first_call`].

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub(crate) use aarch64::{entry, make_code_visible};
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::{entry, make_code_visible};
