//! `--timings`: how long each stage took.

use std::time::{Duration, Instant};

use crate::report::line;

/// The stages so far.
#[derive(Debug)]
pub(crate) struct Timings {
    is_wanted: bool,
    stages: Vec<(&'static str, Duration, Option<u64>)>,
}

impl Timings {
    pub(crate) fn new(is_wanted: bool) -> Self {
        Self {
            is_wanted,
            stages: Vec::new(),
        }
    }

    /// Runs a stage and notes its time.
    pub(crate) fn stage<T>(&mut self, name: &'static str, stage: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = stage();
        self.stages.push((name, start.elapsed(), None));
        result
    }

    /// Notes the time of a stage that has others in it.
    pub(crate) fn add(&mut self, name: &'static str, time: Duration, bytes: Option<u64>) {
        self.stages.push((name, time, bytes));
    }

    /// Notes how many bytes the last stage gave or sent.
    pub(crate) fn bytes(&mut self, bytes: u64) {
        if let Some(last) = self.stages.last_mut() {
            last.2 = Some(bytes);
        }
    }

    /// Prints the stages, if that is wanted and not done yet.
    pub(crate) fn print(&mut self) {
        for (name, time, bytes) in self.stages.drain(..) {
            if self.is_wanted {
                let bytes = bytes.map_or(String::new(), |bytes| format!("  {bytes:>10} bytes"));
                let time = time.as_secs_f64() * 1000.0;
                line(format_args!("{name:<10} {time:>12.3} ms{bytes}"));
            }
        }
    }
}
