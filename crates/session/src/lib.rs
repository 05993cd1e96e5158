//! A JIT in one process.

mod build;
mod code;
mod divided;
mod error;
mod function;
mod library;
mod materialize;
mod options;
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
pub use session::{Builder, Session};
pub use unit::{Replaced, Unit};
