//! One line a figure.

use std::fmt::Write as _;

use farcall_benches::Summary;

use crate::row::{Row, UNIT};

pub(crate) fn csv(rows: &[Row]) -> String {
    let mut text = "measurement,contender,unit,samples,p10,median,p90\n".to_owned();
    let mut line = |row: &Row, name: &str, summary: &Summary| {
        let Summary {
            n_samples,
            p10,
            median,
            p90,
        } = summary;
        let unit = UNIT.name();
        writeln!(
            text,
            "\"{}\",\"{name}\",{unit},{n_samples},{p10},{median},{p90}",
            row.title
        )
        .unwrap();
    };
    for row in rows {
        line(row, "farcall", &row.ours);
        for figure in &row.others {
            line(row, figure.name, &figure.summary);
        }
    }
    text
}
