//! What the linker itself puts into an image.

mod dynamic_symbols;
mod got;
mod linker_symbol;
mod runtime;
mod thunk;
mod unwind;

pub(crate) use dynamic_symbols::DynamicSymbols;
pub(crate) use got::{Addend, GotWord, got_words};
pub(crate) use linker_symbol::{ArrayKind, Boundary, LinkerSymbol, bounded_section, is_identifier};
pub(crate) use runtime::runtime_object;
pub(crate) use thunk::{Destination, Thunks};
pub(crate) use unwind::{UnwindTable, sorted};
