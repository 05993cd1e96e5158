//! A JIT in one process: IR in, addresses out.
//!
//! A [`Session`] compiles, links, binds and loads what is added to it, and says when by one word ([`When`]):
//!
//! | | compiled | a lookup | an error |
//! |---|---|---|---|
//! | [`When::Eager`] | before [`Library::add`] returns | finds | is `add`'s |
//! | [`When::OnLookup`] | when a name is looked up, or needed by what is | compiles | is the lookup's |
//! | [`When::OnFirstCall`] | each function when it is called | gives a stub | goes to [`Builder::on_first_call_error`] |
//!
//! ```
//! use farcall_session::{Session, When};
//!
//! // SAFETY: what is added below is ours.
//! let session = unsafe { Session::new() };
//! session.add("add.ll", b"
//!     define i32 @add(i32 %a, i32 %b) {
//!       %sum = add i32 %a, %b
//!       ret i32 %sum
//!     }
//! ", When::Eager)?;
//! let add = session.lookup::<unsafe extern "C" fn(i32, i32) -> i32>("add")?;
//! // SAFETY: `add` wants nothing of its callers.
//! assert_eq!(unsafe { add(2, 3) }, 5);
//! # Ok::<(), farcall_session::Error>(())
//! ```
//!
//! Names are found in a unit's [`Library`], then in those of its link order, then by the session's loader: definitions,
//! what the host exports, its libraries. Units bind to the addresses that names have when they are loaded; what may
//! change later is asked for ([`Options::replaceable`], [`Options::tier_up`]).
//!
//! What fails leaves nothing behind: the same names can be added again, and what was to be compiled later is tried again when it is
//! next wanted.
//!
//! `state.rs` is what a session knows, `materialize.rs` how a unit gets from IR to running code, and the three *whens* are who
//! calls that: `library.rs` when something is added or looked up, a stub that `divided.rs` made when it is called.

mod build;
mod code;
mod compile_process;
mod divided;
mod error;
mod function;
mod library;
mod materialize;
mod names;
mod options;
mod parts;
mod replace;
mod session;
mod state;
mod tier_up;
mod trusted;
mod unit;

pub use error::{Error, Result};
pub use function::Function;
pub use library::Library;
pub use options::{Options, Partition, When};
pub use parts::Parts;
pub use session::{Builder, Session};
pub use unit::{Replaced, Unit};
