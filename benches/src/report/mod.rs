//! What came out, in the three forms that people want.

mod chart;
mod csv;
mod table;

use std::fs;
use std::path::Path;

use crate::Row;

/// Leaves `NAME.csv`, and `NAME.svg` with this title, in a folder, and prints the table for `BENCHMARKS.md`.
pub fn report(folder: &Path, name: &str, title: &str, rows: &[Row]) {
    let write = |extension: &str, text: String| {
        let path = folder.join(format!("{name}.{extension}"));
        fs::write(path, text).expect("the folder can be written to");
    };
    fs::create_dir_all(folder).expect("the folder can be made");
    write("csv", csv::csv(rows));
    write("svg", chart::chart(title, rows));
    print!("{}", table::table(rows));
}
