//! One line a figure.

use std::fmt::Write as _;

use crate::{Row, Summary};

pub(super) fn csv(rows: &[Row]) -> String {
    let mut text = "measurement,contender,unit,samples,p10,median,p90\n".to_owned();
    let mut line = |row: &Row, name: &str, summary: &Summary| {
        let Summary {
            n_samples,
            p10,
            median,
            p90,
        } = summary;
        let unit = row.unit.name();
        writeln!(
            text,
            "\"{}\",\"{name}\",{unit},{n_samples},{p10},{median},{p90}",
            row.title.replace('"', "\"\"")
        )
        .expect("a string takes everything");
    };
    for row in rows {
        line(row, "farcall", &row.ours);
        for figure in &row.others {
            line(row, figure.name, &figure.summary);
        }
    }
    text
}
