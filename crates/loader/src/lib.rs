//! From an image to running code: map, resolve, relocate, publish, initialise.
//!
//! A [`Loader`] says what the names that an image imports mean: definitions of the host's, modules
//! in scope, the host's exports, its symbol table, system libraries, in this order. [`Loader::load`] gives a
//! [`Module`], which owns its memory: dropping it runs the destructors and returns everything.
//!
//! Loading is a chain of types, `Image → Mapped → Bound → Module`; a step that fails drops the type
//! before it, which undoes the steps before. No page is ever writable and executable.
//!
//! Loading runs code. Which image may run is the caller's decision, made in one place:
//! [`TrustedImage::assume_trusted`].
//!
//! # Examples
//!
//! ```no_run
//! use farcall_image::Image;
//! use farcall_loader::{Loader, TrustedImage};
//!
//! extern "C" fn log(value: i64) {
//!     println!("{value}");
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let bytes = std::fs::read("add.image")?;
//! // SAFETY: this program's own build wrote the file.
//! let image = unsafe { TrustedImage::assume_trusted(Image::parse(&bytes)?) };
//!
//! let mut loader = Loader::new();
//! loader.define_function("log", log as extern "C" fn(i64));
//! let module = loader.load(&image, &[])?;
//! let add = module.lookup::<unsafe extern "C" fn(i32, i32) -> i32>("add")?;
//! // SAFETY: the manifest says that `add` has this type, and it has no other contract.
//! assert_eq!(unsafe { add(2, 3) }, 5);
//! # Ok(())
//! # }
//! ```

#![allow(
    unsafe_code,
    reason = "mapping memory, making it executable and calling it is what this crate is for"
)]
#![deny(clippy::multiple_unsafe_ops_per_block)]

#[cfg(not(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64")))]
compile_error!("the loader runs on x86-64 Linux with glibc");

mod components;
pub mod cpu;
mod definition;
mod demangle;
mod error;
mod fork;
mod function;
mod held;
mod host_object;
mod host_symbols;
mod indirect;
pub mod invoke;
mod kept;
mod kind;
mod lazy;
mod libc_static;
mod load;
mod loaded;
mod loader;
#[cfg(test)]
mod made_object;
mod mapping;
mod module;
mod name;
mod nearest;
mod permanent;
mod place;
mod program;
mod redirect;
mod relocate;
mod reservation;
mod resolve;
mod source;
mod static_tls;
mod stubs;
mod sys;
mod thread_exit;
mod thread_locals;
mod tls;
mod together;
mod trust;
mod unbound;
mod users;
mod window;

pub use definition::Definition;
pub use error::{Error, ForbiddenImport, MissingSymbol, Result, TypeMismatch};
pub use function::{AbiType, FunctionPointer, UnsafeFunctionPointer};
pub use lazy::LazyScope;
pub use loader::Loader;
pub use module::{Export, Module, Symbol, UnloadError};
pub use nearest::nearest;
pub use place::{PlaceError, Placed, place};
pub use redirect::{Redirect, RedirectInUse, Replaced};
pub use trust::TrustedImage;
