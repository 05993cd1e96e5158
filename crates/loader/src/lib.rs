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
//! # Cost and threads
//!
//! *n* is the image's size in bytes, *i* the number of its imports, *s* that of modules in scope. Any thread may make any
//! call, also from constructors, destructors and functions of images, several at a time, and a forked child goes on
//! with the modules that it has. No lock of the loader's is held while code of images runs.
//!
//! | call | cost | locks |
//! |---|---|---|
//! | [`Loader::new`], `define…`, `host_exports`, … | an allocation | none: takes the loader alone |
//! | [`cpu::choose`] | a comparison a variant, and parsing the one that is taken | none, but forks wait at the first |
//! | [`TrustedImage::assume_trusted`], `named` | an allocation at most | none |
//! | [`Loader::load`], small image | O(n + i·s), about 1 µs, no system call once there is a window | windows; for each import that the process or a library has, the dynamic linker's |
//! | `load`, image of 128 KiB or more | as above and some system calls, about 1 µs a page of 4 KiB | the same |
//! | [`Loader::load_all`] | the sum of its images', and a table of their exports | the same |
//! | [`Loader::load_file`] | reading and parsing the file, then `load` | the same |
//! | [`Loader::map_file`] | of a bundle its table; parsing, which reads the tables, then mapping: no copy of constants and code | the same |
//! | [`Module::address`] | a hash look-up, O(1) | none |
//! | [`Module::lookup`], [`Module::signature`], [`Module::exports`] | the same, O(1) an export, and at the first of them O(manifest) | none, but forks wait at the first |
//! | [`Definition::export`] | as `lookup` | users of the module |
//! | [`Redirect::new`], [`Redirect::replace`] | about 1 µs; replacing is one store, and waits for nobody | users of the modules, stubs |
//! | a call through a redirect, or bound lazily | one jump more than another | none |
//! | [`Definition::callback`] | a few allocations, O(parameters) | stubs |
//! | a call of a callback | about 20 ns and its closure's | none |
//! | the first call of a lazy import ([`LazyScope`]) | as an import at load | as an import at load |
//! | calling through [`Symbol`] | that of a call through a pointer | none |
//! | [`Module::invoke`] | parsing the type, and O(arguments) | as `lookup` |
//! | [`Module::unload`], dropping | destructors, then about 0.1 µs; O(modules that it imports from) | windows, users of those, the C library's for exit handlers |
//! | [`place()`] | O(n), an allocation a segment | none |
//!
//! A signal handler may call functions of modules, and [`Module::address`] when the name is there; the rest allocates or
//! locks. A function that uses thread-local variables allocates where a thread first uses its module's.
//!
//! # Static programs
//!
//! A fully static program (`-C target-feature=+crt-static` with glibc, or musl) loads as any other. Names come
//! from definitions, other images and, if asked for, the program's own symbol table. It cannot open libraries, and
//! images whose code uses thread-local variables of their own in the initial-exec model are refused. With musl
//! this crate defines `dl_iterate_phdr`, by which unwinders find the images' code. Errors have names as
//! linkers see them, unless the feature `demangle` is on, with which a program is 0.35 MB larger.
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

#[cfg(not(all(
    target_os = "linux",
    target_endian = "little",
    any(
        all(
            target_env = "gnu",
            any(target_arch = "x86_64", target_arch = "aarch64")
        ),
        all(
            target_env = "musl",
            target_feature = "crt-static",
            target_arch = "x86_64"
        )
    )
)))]
compile_error!(
    "the loader runs on x86-64 and AArch64 Linux with glibc, and on x86-64 with musl in static programs"
);

pub mod callback;
mod components;
pub mod cpu;
mod definition;
mod demangle;
mod dormant;
mod error;
mod fork;
mod function;
mod held;
mod host_symbols;
mod indirect;
pub mod invoke;
mod kept;
mod kind;
mod lazy;
mod load;
mod loaded;
mod loader;
#[cfg(test)]
mod made_object;
mod mapping;
mod module;
mod name;
mod permission;
mod place;
mod plain;
mod program;
mod redirect;
mod relocate;
mod reservation;
mod resolve;
mod sealed;
mod source;
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

pub use definition::{Definition, ImportBinding};
pub use demangle::demangle;
pub use dormant::Start;
pub use error::{Error, ForbiddenImport, MissingSymbol, Result, TypeMismatch};
pub use function::{AbiType, FunctionPointer, UnsafeFunctionPointer};
pub use lazy::LazyScope;
pub use loader::Loader;
pub use module::{Export, Module, Symbol, UnloadError};
pub use permission::{Permission, Refusal};
pub use place::{PlaceError, Placed, Unresolved, place, place_unresolved};
pub use plain::{Plain, bytes_of, bytes_of_mut};
pub use redirect::{Redirect, RedirectInUse, Replaced};
pub use sealed::SealedFile;
pub use trust::TrustedImage;
