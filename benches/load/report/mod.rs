//! What came out, in the three forms that people want.

mod bars;
mod chart;
mod csv;
mod table;

pub(crate) use chart::chart;
pub(crate) use csv::csv;
pub(crate) use table::table;
