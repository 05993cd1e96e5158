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
//! All that LLVM reports becomes an [`Error`]. Some things it does not report: at a bug of its own, out of memory, or at a
//! few wrong uses (a garbage collector of unknown name) it ends the process. Building a [`Compiler`] installs LLVM's handler
//! for this, which writes the input's name and LLVM's reason to standard error; it cannot return and save the process. LLVM
//! has one such handler a process: an application that wants its own installs it (`inkwell::support`) after the first
//! [`Compiler`] is built, and while no other thread compiles. IR that nobody vouches for belongs in a process of its own.

mod compiler;
mod error;
mod functions;
mod input;
mod llvm;
mod pic;
mod target;
mod types;
mod x86_64;

pub use compiler::{Builder, Compiler, Object, OptLevel};
pub use error::Error;
pub use types::{TARGET_SECTION, TYPES_SECTION};

/// The LLVM binding that in-memory modules are made with.
pub use inkwell;
