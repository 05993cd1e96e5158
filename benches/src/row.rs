//! Rows: what was measured, of farcall and of what it is compared with.

use crate::{Summary, Unit, number};

/// One line of the table.
#[derive(Debug)]
pub struct Row {
    /// What was measured.
    pub title: String,
    /// What all figures of it count.
    pub unit: Unit,
    /// farcall's figure.
    pub ours: Summary,
    /// Those of others.
    pub others: Vec<Figure>,
    /// What farcall's may be.
    pub bar: Option<Bar>,
}

/// What someone else took, or farcall in another way.
#[derive(Debug)]
pub struct Figure {
    /// Who, or in which way.
    pub name: &'static str,
    /// The figure.
    pub summary: Summary,
}

/// What farcall may take.
#[derive(Debug, Clone, Copy)]
pub enum Bar {
    /// So many times the least that others took.
    AtMost(f64),
    /// So much more or less than the same.
    Same(f64),
    /// A value in the row's unit, whatever others took.
    Value(f64),
}

impl Row {
    /// A row of samples in nanoseconds, unless it is [`counting`](Self::counting) something else.
    #[must_use]
    pub fn new(
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
            unit: Unit::Nanoseconds,
            ours: Summary::of(ours),
            others: others.into_iter().map(figure).collect(),
            bar,
        }
    }

    /// The same row, of samples in another unit.
    #[must_use]
    pub fn counting(self, unit: Unit) -> Self {
        Self { unit, ..self }
    }

    /// The least of the others.
    #[must_use]
    pub fn best(&self) -> Option<&Figure> {
        let key = |figure: &&Figure| figure.summary.median;
        self.others.iter().min_by(|a, b| key(a).total_cmp(&key(b)))
    }

    /// The ratio to the least of the others.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        Some(self.ours.median / self.best()?.summary.median)
    }

    /// The most that farcall may take.
    #[must_use]
    pub fn limit(&self) -> Option<f64> {
        let times = match self.bar? {
            Bar::AtMost(times) => times,
            Bar::Same(more) => 1.0 + more,
            Bar::Value(most) => return Some(most),
        };
        Some(times * self.best()?.summary.median)
    }

    /// What may be, and whether that holds.
    #[must_use]
    pub fn verdict(&self) -> String {
        let (text, holds) = match (self.bar, self.ratio()) {
            (Some(Bar::Value(most)), _) => (
                format!("at most {}", self.unit.show(most)),
                self.ours.median <= most,
            ),
            (Some(Bar::AtMost(most)), Some(ratio)) => {
                (format!("at most {}", number(most)), ratio <= most)
            }
            (Some(Bar::Same(by)), Some(ratio)) => (
                format!("{} to {}", number(1.0 - by), number(1.0 + by)),
                (ratio - 1.0).abs() <= by,
            ),
            _ => return String::new(),
        };
        format!("{text}: {}", if holds { "holds" } else { "**missed**" })
    }
}
