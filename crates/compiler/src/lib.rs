//! LLVM IR to position-independent objects: eager, whole modules, in memory.
//!
//! ```
//! let compiler = farcall_compiler::Compiler::new()?;
//! let object = compiler.compile_ir("add.ll", b"
//!     define i32 @add(i32 %a, i32 %b) {
//!       %sum = add i32 %a, %b
//!       ret i32 %sum
//!     }
//! ")?;
//! assert!(object.bytes.starts_with(b"\x7fELF"));
//! # Ok::<(), farcall_compiler::Error>(())
//! ```
//!
//! Same IR, same options, same LLVM: same bytes. The IR may have been made for any way of linking (see `pic.rs`); the object
//! is for an image, which binds its own definitions to itself (what `-Bsymbolic` is to other linkers).
//!
//! An object also carries the types of its symbols ([`TYPES_SECTION`]) and what processor it is for ([`TARGET_SECTION`]), in
//! sections that linkers leave out (SHF_EXCLUDE).
//!
//! # When LLVM gives up
//!
//! What LLVM reports becomes an [`Error`]. Some things it does not report: at an intrinsic of another machine, a garbage
//! collector of unknown name, or a few bugs of its own it calls its fatal-error handler, and ends the process if that
//! returns. Building a [`Compiler`] installs a handler that does not return in farcall's threads: the compilation's thread
//! is parked for good and the caller gets [`Error::GaveUp`]. LLVM has one such handler a process; an application that
//! installs its own (`inkwell::support`), after the first [`Compiler`] is built and while nothing compiles, takes this over.
//!
//! What kills LLVM without the handler kills the process: bitcode with changed bits (not truncated bitcode, and not text)
//! can make LLVM access invalid memory or allocate without bound. IR that nobody vouches for belongs in a process of its own.

mod aarch64;
mod absolute;
mod backends;
mod compiler;
mod divide;
mod error;
mod exit;
mod functions;
mod input;
mod llvm;
mod outline;
mod pic;
mod target;
mod types;
mod units;
mod worker;
mod x86_64;

pub use compiler::{Builder, Compiler, Object, OptLevel, bitcode_of};
pub use divide::{ADDRESS_SUFFIX, Divided, PartSymbol};
pub use error::Error;
pub use outline::{DefinedKind, DefinedSymbol, Outline};
pub use types::{HIDDEN_SECTION, TARGET_SECTION, TYPES_SECTION};

/// The LLVM binding that in-memory modules are made with.
pub use inkwell;
