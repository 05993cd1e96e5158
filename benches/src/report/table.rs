//! The table in `BENCHMARKS.md`.

use std::fmt::Write as _;

use crate::{Row, Summary, number};

pub(super) fn table(rows: &[Row]) -> String {
    let mut text = "| | farcall | beside | ratio | bar |\n|---|---|---|---|---|\n".to_owned();
    for row in rows {
        let others = row.others.iter();
        let others = others
            .map(|figure| format!("{}: {}", figure.name, cell(row, &figure.summary)))
            .collect::<Vec<_>>()
            .join("; ");
        writeln!(
            text,
            "| {} | {} | {others} | {} | {} |",
            row.title,
            cell(row, &row.ours),
            row.ratio().map(number).unwrap_or_default(),
            row.verdict(),
        )
        .expect("a string takes everything");
    }
    text
}

/// The median, and p10 to p90 where there are several samples.
fn cell(row: &Row, summary: &Summary) -> String {
    if summary.n_samples == 1 {
        row.unit.show(summary.median)
    } else {
        row.unit.show_spread(summary)
    }
}
