//! Figures: what was measured, of whom, and what came out.

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

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Nanoseconds,
    Kib,
    Count,
}

impl Unit {
    /// Its name in the file of figures.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Kib => "KiB",
            Self::Count => "",
        }
    }

    /// A value with its unit, in three digits or so.
    pub(crate) fn show(self, value: f64) -> String {
        let (scale, name) = self.scale(value);
        format!("{}{name}", number(value / scale))
    }

    /// The middle and, in the same unit, the spread.
    pub(crate) fn show_spread(self, summary: &Summary) -> String {
        let (scale, _) = self.scale(summary.median);
        let [p10, p90] = [summary.p10, summary.p90].map(|value| number(value / scale));
        format!("{} ({p10} to {p90})", self.show(summary.median))
    }

    /// What to divide a value by, and the unit that this makes.
    fn scale(self, value: f64) -> (f64, &'static str) {
        match self {
            Self::Nanoseconds if value.abs() >= 1e6 => (1e6, " ms"),
            Self::Nanoseconds if value.abs() >= 1e3 => (1e3, " µs"),
            Self::Nanoseconds => (1.0, " ns"),
            Self::Kib => (1.0, " KiB"),
            Self::Count => (1.0, ""),
        }
    }
}

/// A number in three digits or so, with commas between thousands.
pub(crate) fn number(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        small if small < 0.1 => 3,
        small if small < 10.0 => 2,
        middle if middle < 100.0 => 1,
        _ => 0,
    };
    let mut text = format!("{value:.digits$}");
    let whole = text.find('.').unwrap_or(text.len());
    let sign = usize::from(value < 0.0);
    for place in (sign + 1..whole).rev() {
        if (whole - place).is_multiple_of(3) {
            text.insert(place, ',');
        }
    }
    text
}

/// What one contender took for one measurement.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    pub(crate) measurement: Measurement,
    pub(crate) way: Way,
    pub(crate) result: Result<Summary, String>,
}

/// The middle and the spread of the samples.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Summary {
    pub(crate) n_samples: usize,
    pub(crate) p10: f64,
    pub(crate) median: f64,
    pub(crate) p90: f64,
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
            result: samples.map(summary),
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

fn summary(mut samples: Vec<f64>) -> Summary {
    samples.sort_unstable_by(f64::total_cmp);
    let n_samples = samples.len();
    Summary {
        n_samples,
        p10: samples[n_samples / 10],
        median: samples[n_samples / 2],
        p90: samples[n_samples * 9 / 10],
    }
}

/// The middle of some samples.
pub(crate) fn median(samples: Vec<f64>) -> f64 {
    summary(samples).median
}
