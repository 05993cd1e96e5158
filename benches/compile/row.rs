//! Rows: what was measured, of farcall and of what it is compared with.

use farcall_benches::{Summary, Unit, number};

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) title: String,
    pub(crate) ours: Summary,
    pub(crate) others: Vec<Figure>,
    pub(crate) bar: Option<Bar>,
}

/// What someone else took, or farcall in another way.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) summary: Summary,
}

/// What farcall may take, as a ratio to the least that others took.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bar {
    AtMost(f64),
    /// So much more or less than the same.
    Same(f64),
}

impl Row {
    /// A row of samples in nanoseconds.
    pub(crate) fn new(
        title: impl Into<String>,
        ours: Vec<f64>,
        others: Vec<(&'static str, Vec<f64>)>,
        bar: Option<Bar>,
    ) -> Self {
        let figure = |(name, samples)| Figure {
            name,
            summary: Summary::of(samples),
        };
        Self {
            title: title.into(),
            ours: Summary::of(ours),
            others: others.into_iter().map(figure).collect(),
            bar,
        }
    }

    /// The least of the others.
    pub(crate) fn best(&self) -> Option<&Figure> {
        let key = |figure: &&Figure| figure.summary.median;
        self.others.iter().min_by(|a, b| key(a).total_cmp(&key(b)))
    }

    /// The ratio to the least of the others.
    pub(crate) fn ratio(&self) -> Option<f64> {
        Some(self.ours.median / self.best()?.summary.median)
    }

    /// The most that farcall may take.
    pub(crate) fn limit(&self) -> Option<f64> {
        let times = match self.bar? {
            Bar::AtMost(times) => times,
            Bar::Same(more) => 1.0 + more,
        };
        Some(times * self.best()?.summary.median)
    }

    /// What may be, and whether that holds.
    pub(crate) fn verdict(&self) -> String {
        let (Some(bar), Some(ratio)) = (self.bar, self.ratio()) else {
            return String::new();
        };
        let (text, holds) = match bar {
            Bar::AtMost(most) => (format!("at most {}", number(most)), ratio <= most),
            Bar::Same(by) => (
                format!("{} to {}", number(1.0 - by), number(1.0 + by)),
                (ratio - 1.0).abs() <= by,
            ),
        };
        format!("{text}: {}", if holds { "holds" } else { "**missed**" })
    }
}

/// What all rows count.
pub(crate) const UNIT: Unit = Unit::Nanoseconds;
