//! Figures, as people read them.

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Time.
    Nanoseconds,
    /// Memory.
    Kib,
    /// Things.
    Count,
}

impl Unit {
    /// Its name in the file of figures.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Kib => "KiB",
            Self::Count => "",
        }
    }

    /// A value with its unit, in three digits or so.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        let (scale, name) = self.scale(value);
        format!("{}{name}", number(value / scale))
    }

    /// The middle and, in the same unit, the spread.
    #[must_use]
    pub fn show_spread(self, summary: &Summary) -> String {
        let (scale, _) = self.scale(summary.median);
        let [p10, p90] = [summary.p10, summary.p90].map(|value| number(value / scale));
        format!("{} ({p10} to {p90})", self.show(summary.median))
    }

    /// What to divide a value by, and the unit that this makes.
    fn scale(self, value: f64) -> (f64, &'static str) {
        match self {
            Self::Nanoseconds if value.abs() >= 1e9 => (1e9, " s"),
            Self::Nanoseconds if value.abs() >= 1e6 => (1e6, " ms"),
            Self::Nanoseconds if value.abs() >= 1e3 => (1e3, " µs"),
            Self::Nanoseconds => (1.0, " ns"),
            Self::Kib => (1.0, " KiB"),
            Self::Count => (1.0, ""),
        }
    }
}

/// A number in three digits or so, with commas between thousands.
#[must_use]
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        tiny if tiny < 1e-3 => 6,
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

/// The middle and the spread of the samples.
#[derive(Debug, Clone, Copy)]
pub struct Summary {
    /// How many there are.
    pub n_samples: usize,
    /// A tenth is less.
    pub p10: f64,
    /// Half is less.
    pub median: f64,
    /// A tenth is more.
    pub p90: f64,
}

impl Summary {
    /// That of some samples.
    #[must_use]
    pub fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_unstable_by(f64::total_cmp);
        let n_samples = samples.len();
        Self {
            n_samples,
            p10: samples[n_samples / 10],
            median: samples[n_samples / 2],
            p90: samples[n_samples * 9 / 10],
        }
    }
}
