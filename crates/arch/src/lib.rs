//! What farcall knows of a machine.
//!
//! Everything here is a table or arithmetic over numbers: no I/O, no allocation, no host
//! assumption. A [`Machine`] is a value, so any host links and places for any target.
//!
//! # To add a machine
//!
//! Add one file beside `x86_64.rs` with a `reloc` table and the templates, one [`Machine`] variant
//! and its arms in `machine.rs`.

#![forbid(unsafe_code)]

mod aarch64;
mod cpu;
mod machine;
mod property;
mod reloc;
mod unsupported;
mod x86_64;

pub use cpu::{CpuFeatures, CpuLevel, detect_aarch64, detect_x86_64};
pub use machine::{DynamicTypes, Machine, Relaxed, RuntimeFunction, RuntimeRelocation, Thunk};
pub use property::PropertyRule;
pub use reloc::{Base, Expression, Field, OutOfRange, Range, Relaxation, Reloc};
pub use unsupported::UnsupportedMachine;
