//! The table in `BENCHMARKS.md`.

use std::fmt::Write as _;

use farcall_benches::number;

use crate::row::{Row, UNIT};

pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = "| | farcall | beside | ratio | bar |\n|---|---|---|---|---|\n".to_owned();
    for row in rows {
        let others = row.others.iter();
        let others = others
            .map(|figure| format!("{}: {}", figure.name, UNIT.show_spread(&figure.summary)))
            .collect::<Vec<_>>()
            .join("; ");
        writeln!(
            text,
            "| {} | {} | {others} | {} | {} |",
            row.title,
            UNIT.show_spread(&row.ours),
            row.ratio().map(number).unwrap_or_default(),
            row.verdict(),
        )
        .unwrap();
    }
    text
}
