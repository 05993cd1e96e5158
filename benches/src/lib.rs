//! What the processes of the bench of loading share.
//!
//! Each contender loads in a process of its own, so that nothing of another's is in its memory, its symbol lookups or its
//! unwind tables. The process that measures tells it what to do, one line a request, and reads the times, one line an
//! answer ([`serve`]). What is loaded, and how to know that it works, is a [`Subject`].
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

mod contender;
mod host;
mod memory;
mod serve;
mod subject;

pub use contender::{Contender, Entry};
pub use host::open_global;
pub use memory::Memory;
pub use serve::serve;
pub use subject::Subject;
