//! The table in `BENCHMARKS.md`.

use std::fmt::Write as _;

use super::bars::bars;
use crate::figure::{Figure, Figures, Measurement as M};
use crate::way::Way;

/// A row: a measurement, and whose figure stands in which column.
struct Row {
    measurement: M,
    ours: Way,
    elf_loader: Way,
    /// Where it is from bytes what `dlopen` takes is in another measurement: that of the file.
    dlopen: M,
}

const COLUMNS: &str =
    "| | farcall | `dlopen`, file | memfd + `dlopen` | JITLink | `elf_loader` | bar |\n";

fn rows() -> Vec<Row> {
    let bytes = |measurement, dlopen| Row {
        measurement,
        ours: Way::Farcall,
        elf_loader: Way::ElfLoader,
        dlopen,
    };
    let file = |measurement| Row {
        measurement,
        ours: Way::FarcallFile,
        elf_loader: Way::ElfLoaderFile,
        dlopen: measurement,
    };
    vec![
        bytes(M::TinyBytes, M::TinyFile),
        file(M::TinyFile),
        file(M::SqliteFile),
        bytes(M::SqliteBytes, M::SqliteFile),
        file(M::SqliteFileFirst),
        bytes(M::SqliteBytesFirst, M::SqliteFileFirst),
        bytes(M::TinyUnload, M::TinyUnload),
        bytes(M::SqliteUnload, M::SqliteUnload),
        bytes(M::TinyLookup, M::TinyLookup),
        bytes(M::SqliteLookup, M::SqliteLookup),
        bytes(M::LiveRss, M::LiveRss),
        bytes(M::LiveMappings, M::LiveMappings),
        bytes(M::LeftRss, M::LeftRss),
        bytes(M::LeftMappings, M::LeftMappings),
        file(M::SharedPss),
        bytes(M::ThrowWithOne, M::ThrowWithOne),
        bytes(M::ThrowWithMany, M::ThrowWithMany),
        bytes(M::LoadAt10, M::LoadAt10),
        bytes(M::LoadAt100000, M::LoadAt100000),
        bytes(M::MillionLoad, M::MillionLoad),
        bytes(M::MillionRss, M::MillionRss),
        bytes(M::MillionMappings, M::MillionMappings),
    ]
}

pub(crate) fn table(figures: &Figures) -> String {
    let mut text = COLUMNS.to_owned();
    text += "|---|---|---|---|---|---|---|\n";
    for row in rows() {
        if figures.get(row.measurement, row.ours).is_some() {
            text += &line(figures, &row);
        }
    }
    if let Some(failures) = failures(figures) {
        write!(text, "\n{failures}").unwrap();
    }
    text
}

fn line(figures: &Figures, row: &Row) -> String {
    let measurement = row.measurement;
    let mut text = format!("| {} |", measurement.title());
    let cells = [
        (measurement, row.ours),
        (row.dlopen, Way::Dlopen),
        (measurement, Way::Memfd),
        (measurement, Way::JitLink),
        (measurement, row.elf_loader),
    ];
    for (measurement, way) in cells {
        write!(text, " {} |", cell(figures.get(measurement, way))).unwrap();
    }
    let bars = bars(figures, measurement);
    let verdicts: Vec<String> = bars
        .iter()
        .map(|bar| bar.verdict(figures, measurement))
        .collect();
    writeln!(text, " {} |", verdicts.join("; ")).unwrap();
    text
}

/// The median, and p10 to p90 where there are several samples.
fn cell(figure: Option<&Figure>) -> String {
    let Some(figure) = figure else {
        return String::new();
    };
    let unit = figure.measurement.unit();
    match &figure.result {
        Err(_) => "fails".to_owned(),
        Ok(summary) if summary.n_samples < 10 => unit.show(summary.median),
        Ok(summary) => unit.show_spread(summary),
    }
}

/// What could not be measured, and why.
fn failures(figures: &Figures) -> Option<String> {
    let lines: Vec<String> = figures
        .all()
        .iter()
        .filter_map(|figure| {
            let message = figure.result.as_ref().err()?;
            let title = figure.measurement.title();
            Some(format!("- {title}: {}: {message}\n", figure.way.name()))
        })
        .collect();
    (!lines.is_empty()).then(|| format!("What fails:\n\n{}", lines.concat()))
}
