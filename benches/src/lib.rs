//! What the processes of the benches share, of loading, of compiling and of executors.
//!
//! Each contender loads in a process of its own, so that nothing of another's is in its memory, its symbol lookups or its
//! unwind tables. The process that measures tells it what to do, one line a request, and reads the times, one line an
//! answer ([`serve`]; [`serve_jit`] for what compiles, [`serve_remote`] for what has code run elsewhere). What is loaded, and how to know that it works, is a [`Subject`].
//!
//! To add a contender: implement [`Contender`] in a file of `load/contenders`, and add its row to `Way`.

#![allow(
    unsafe_code,
    reason = "loading code and calling it is what is measured"
)]
#![allow(
    clippy::missing_panics_doc,
    reason = "a bench that cannot run says why and ends"
)]

mod child;
mod contender;
mod figure;
mod host;
mod jit;
mod memory;
mod remote;
mod report;
mod row;
mod serve;
mod subject;
mod svg;

pub use child::Child;
pub use contender::{Contender, Entry};
pub use figure::{Summary, Unit, number};
pub use host::open_global;
pub use jit::{Jit, N_TINY, Work, serve_jit, tiny_file, tiny_ir};
pub use memory::Memory;
pub use remote::{Remote, serve_remote};
pub use report::report;
pub use row::{Bar, Figure, Row};
pub use serve::serve;
pub use subject::Subject;
pub use svg::{Dot, Panel, svg};
