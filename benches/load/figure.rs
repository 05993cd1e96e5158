//! Figures: what was measured, of whom, and what came out.

pub(crate) use farcall_benches::{Summary, Unit, number};

use crate::way::Way;

/// What is measured: a row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measurement {
    TinyBytes,
    TinyFile,
    SqliteBytes,
    SqliteFile,
    SqliteBytesFirst,
    SqliteFileFirst,
    TinyUnload,
    SqliteUnload,
    TinyLookup,
    SqliteLookup,
    LiveRss,
    LiveMappings,
    LeftRss,
    LeftMappings,
    SharedPss,
    ThrowWithOne,
    ThrowWithMany,
    LoadAt10,
    LoadAt100000,
    MillionRss,
    MillionMappings,
    MillionLoad,
}

impl Measurement {
    /// What it is called in the table and in the file of figures.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::TinyBytes => "tiny module, bytes → callable, warm",
            Self::TinyFile => "tiny module, file → callable, warm",
            Self::SqliteBytes => "SQLite, bytes → callable, warm",
            Self::SqliteFile => "SQLite, file → callable, warm",
            Self::SqliteBytesFirst => "SQLite, bytes → callable, first in a process",
            Self::SqliteFileFirst => "SQLite, file → callable, first in a process",
            Self::TinyUnload => "tiny module, unload",
            Self::SqliteUnload => "SQLite, unload",
            Self::TinyLookup => "lookup of an export, tiny module",
            Self::SqliteLookup => "lookup of an export, SQLite",
            Self::LiveRss => "1,000 tiny modules live: RSS each",
            Self::LiveMappings => "1,000 tiny modules live: mappings each",
            Self::LeftRss => "after unloading them: RSS left",
            Self::LeftMappings => "after unloading them: mappings left",
            Self::SharedPss => "50 processes with SQLite: PSS each",
            Self::ThrowWithOne => "C++ throw and catch, 1 module loaded",
            Self::ThrowWithMany => "C++ throw and catch, 10,000 modules loaded",
            Self::LoadAt10 => "tiny module, bytes → callable, 10 resident",
            Self::LoadAt100000 => "tiny module, bytes → callable, 100,000 resident",
            Self::MillionRss => "1,000,000 tiny modules live: RSS each",
            Self::MillionMappings => "1,000,000 tiny modules live: mappings",
            Self::MillionLoad => "1,000,000 tiny modules live: load time each",
        }
    }

    pub(crate) fn unit(self) -> Unit {
        match self {
            Self::LiveRss | Self::LeftRss | Self::SharedPss | Self::MillionRss => Unit::Kib,
            Self::LiveMappings | Self::LeftMappings | Self::MillionMappings => Unit::Count,
            _ => Unit::Nanoseconds,
        }
    }
}

/// What one contender took for one measurement.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    pub(crate) measurement: Measurement,
    pub(crate) way: Way,
    pub(crate) result: Result<Summary, String>,
}

/// All that was measured.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<Figure>);

impl Figures {
    /// Adds what was measured, or why it could not be.
    pub(crate) fn add(
        &mut self,
        measurement: Measurement,
        way: Way,
        samples: Result<Vec<f64>, String>,
    ) {
        if let Err(message) = &samples {
            eprintln!("{}: {}: {message}", measurement.title(), way.name());
        }
        self.0.push(Figure {
            measurement,
            way,
            result: samples.map(Summary::of),
        });
    }

    pub(crate) fn all(&self) -> &[Figure] {
        &self.0
    }

    pub(crate) fn get(&self, measurement: Measurement, way: Way) -> Option<&Figure> {
        let mut figures = self.0.iter();
        figures.find(|each| each.measurement == measurement && each.way == way)
    }

    /// The median, if there is one.
    pub(crate) fn median(&self, measurement: Measurement, way: Way) -> Option<f64> {
        let summary = self.get(measurement, way)?.result.as_ref().ok()?;
        Some(summary.median)
    }
}

/// The middle of some samples.
pub(crate) fn median(samples: Vec<f64>) -> f64 {
    Summary::of(samples).median
}
