//! What is seen and what is chosen, without a terminal.

use std::time::{Duration, Instant};

use farcall::Digest;

use super::ask::{Answer, Report};
use super::model::{Listed, Watched};
use super::table::Sort;
use super::text::escaped;
use super::{executors, modules};

/// How long after an interval an answer may come before an executor counts as silent.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a message stands.
const NOTICE_TIME: Duration = Duration::from_secs(5);

/// The state of the view.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) watched: Vec<Watched>,
    pub(crate) interval: Duration,
    pub(crate) is_coloured: bool,
    pub(crate) focus: Focus,
    pub(crate) mode: Mode,
    pub(crate) executors: Pane<usize>,
    pub(crate) modules: Pane<Digest>,
    /// What the modules that are shown have in their names.
    pub(crate) filter: String,
    notice: Option<(Instant, String)>,
}

/// Which table the keys are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Focus {
    Executors,
    Modules,
}

/// What is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mode {
    Browse,
    /// The filter.
    Filter,
    /// Whether an image is to be pardoned.
    Confirm {
        executor: usize,
        digest: Digest,
        label: String,
    },
}

/// A table of which a part is seen.
#[derive(Debug)]
pub(crate) struct Pane<I> {
    pub(crate) sort: Sort,
    /// The row that is chosen, which stays so wherever it moves.
    pub(crate) selected: Option<I>,
    /// The first row that is seen.
    pub(crate) first: usize,
    /// How many rows were seen last.
    pub(crate) height: usize,
}

impl<I: Copy + PartialEq> Pane<I> {
    fn new() -> Self {
        Self {
            sort: Sort::default(),
            selected: None,
            first: 0,
            height: 1,
        }
    }

    /// The place of the chosen row among all; the first one if it is gone.
    pub(crate) fn place(&self, ids: &[I]) -> usize {
        let place = ids.iter().position(|id| Some(*id) == self.selected);
        place.unwrap_or(0)
    }

    /// Chooses a row that is so far from the chosen one, or the last in that direction.
    pub(crate) fn step(&mut self, ids: &[I], by: isize) {
        let last = ids.len().saturating_sub(1);
        let place = self.place(ids).saturating_add_signed(by).min(last);
        self.selected = ids.get(place).copied();
    }

    /// The rows to be seen when there is room for `height`: those of before, if the chosen one is among them.
    pub(crate) fn seen(&mut self, ids: &[I], height: usize) -> std::ops::Range<usize> {
        let place = self.place(ids);
        let most = ids.len().saturating_sub(height);
        let least = (place + 1).saturating_sub(height);
        self.first = self.first.min(most).clamp(least, place.max(least));
        self.height = height.max(1);
        self.first..ids.len().min(self.first + height)
    }
}

impl App {
    /// For executors at these addresses, which are asked in each interval.
    pub(crate) fn new<'a>(
        addresses: impl Iterator<Item = &'a str>,
        interval: Duration,
        is_coloured: bool,
        now: Instant,
    ) -> Self {
        let mut app = Self {
            watched: addresses
                .map(|address| Watched::new(address, now))
                .collect(),
            interval,
            is_coloured,
            focus: Focus::Executors,
            mode: Mode::Browse,
            executors: Pane::new(),
            modules: Pane::new(),
            filter: String::new(),
            notice: None,
        };
        app.executors.selected = Some(0);
        app
    }

    /// Takes what an executor has said.
    pub(crate) fn take(&mut self, report: Report) {
        let Some(watched) = self.watched.get_mut(report.executor) else {
            return;
        };
        match report.what {
            Answer::Connected { software } => watched.connected(&software),
            Answer::Counted(statistics) => watched.counted(report.at, *statistics),
            Answer::Listed(modules) => watched.listed(report.at, modules),
            Answer::Failed(error) => watched.failed(report.at, &error),
            Answer::Pardoned(digest, result) => {
                let label = watched.label(digest);
                let notice = match result {
                    Ok(()) => format!("{label} is pardoned"),
                    Err(error) => format!("{label} is not pardoned: {}", escaped(&error)),
                };
                self.notice = Some((report.at, notice));
            }
        }
    }

    /// What is to be said now.
    pub(crate) fn notice(&self, now: Instant) -> Option<&str> {
        let (at, notice) = self.notice.as_ref()?;
        (now.saturating_duration_since(*at) < NOTICE_TIME).then_some(notice)
    }

    pub(crate) fn say(&mut self, now: Instant, notice: &str) {
        self.notice = Some((now, notice.to_owned()));
    }

    /// The executor that is chosen.
    pub(crate) fn chosen(&self) -> usize {
        self.executors.selected.unwrap_or(0)
    }

    /// The rows of executors, in the order in which they are seen.
    pub(crate) fn executor_rows(&self, now: Instant) -> Vec<executors::Row> {
        let mut rows = executors::rows(self.watched.iter(), now, self.interval + PATIENCE);
        self.executors.sort.apply(executors::COLUMNS, &mut rows);
        rows
    }

    /// The modules of the chosen executor that the filter lets through, in the order in which they are seen.
    pub(crate) fn module_rows(&self) -> Vec<&Listed> {
        let watched = self.watched.get(self.chosen());
        let modules = watched.map_or(&[][..], |watched| &watched.modules);
        modules::rows(modules, &self.filter, self.modules.sort)
    }
}
