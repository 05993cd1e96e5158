//! What farcall's tests and its demo share: the programs of the system they need, and real software to work on.
//!
//! - [`tools`] finds `clang-22`, `readelf` and the like, and holds the one rule for a test that cannot run here.
//! - [`sources`] finds the C sources of SQLite, Lua and zlib, at the versions that `testdata/sources` pins.
//! - [`Program`] compiles C and C++ to bitcode, objects or a native executable, once, under `target/testkit`.
//! - [`object`] does so with any compiler.
//! - [`real`] names the real programs.
//! - [`elf`] reads what an executable needs and defines.
//! - `net`, with the feature of this name, is machines that are joined by cables: network namespaces.
//!
//! Nothing here depends on LLVM or on another farcall crate, so `xtask` can use it on a fresh machine.
//!
//! # Examples
//!
//! ```no_run
//! use farcall_testkit::{Level, real, require_tools};
//!
//! fn lua_compiles() {
//!     require_tools!("clang-22");
//!     let bitcode = real::lua().unwrap().bitcode(Level::O2).unwrap();
//!     assert!(bitcode.iter().all(|file| file.exists()));
//! }
//! ```

mod cache;
pub mod elf;
mod error;
#[cfg(feature = "net")]
pub mod net;
pub mod paths;
mod program;
pub mod real;
pub mod sources;
pub mod tools;

pub use error::Error;
pub use program::{Level, Program, object};

/// Our own linker, with the feature `link`.
#[cfg(feature = "link")]
pub use farcall_linker::Linker;
