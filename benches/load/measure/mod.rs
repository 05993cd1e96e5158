//! The measurements, one a file.

mod first;
mod live;
mod lookup;
mod many;
mod sharing;
mod throw;
mod warm;

pub(crate) use first::first;
pub(crate) use live::live;
pub(crate) use lookup::lookup;
pub(crate) use many::many;
pub(crate) use sharing::sharing;
pub(crate) use throw::throw;
pub(crate) use warm::warm;

/// How often every contender is asked in turn.
const ROUNDS: usize = 30;
