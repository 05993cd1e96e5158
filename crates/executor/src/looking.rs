//! Looking for something for some microseconds before sleeping until it is there.
//!
//! Waking who sleeps takes the system some microseconds, and tens where the processor sleeps too. Looking takes processor time,
//! so that it is done only as long as it was of use the last times.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long somebody looks for what it waits for before it sleeps.
const MOST: Duration = Duration::from_micros(50);

/// Less than this is not worth it: then there is one look.
const LEAST: Duration = Duration::from_micros(2);

/// How long one looks for something before it sleeps, in nanoseconds.
#[derive(Debug)]
pub(crate) struct Looking(AtomicU32);

/// One time that it is waited for.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    looking: &'a Looking,
    /// When the first look was in vain.
    start: Option<Instant>,
    has_looked: bool,
}

impl Default for Looking {
    fn default() -> Self {
        Self(AtomicU32::new(MOST.subsec_nanos()))
    }
}

impl Looking {
    /// Begins to wait.
    pub(crate) fn turn(&self) -> Turn<'_> {
        Turn {
            looking: self,
            start: None,
            has_looked: false,
        }
    }

    fn time(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed).into())
    }

    fn set(&self, time: Duration) {
        self.0.store(time.subsec_nanos(), Ordering::Relaxed);
    }
}

impl Turn<'_> {
    /// Whether to look, or to look again, after others had the processor. Else it is time to sleep.
    pub(crate) fn goes_on(&mut self) -> bool {
        if !std::mem::replace(&mut self.has_looked, true) {
            return true;
        }
        // The time is not read before: that takes as long as some looks.
        let start = *self.start.get_or_insert_with(Instant::now);
        let goes_on = start.elapsed() < self.looking.time();
        if goes_on {
            // It may be the other side that needs this processor: where all are in use, looking only was 20 times slower.
            thread::yield_now();
        }
        goes_on
    }

    /// It is there, found by looking or after sleeping.
    ///
    /// Whoever waits long looks for less time the next time, also one that found it by looking: then others had the processor meanwhile, and
    /// it takes turns with them for nothing. One that waited little more than it looked looks for all the time again, because most
    /// of what it waited may have been falling asleep and waking up.
    pub(crate) fn ends(self) {
        let Some(start) = self.start else {
            return;
        };
        let half = self.looking.time() / 2;
        self.looking.set(match start.elapsed() {
            waited if waited < 4 * MOST => MOST,
            _ if half < LEAST => Duration::ZERO,
            _ => half,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits for this long, the first look being in vain.
    fn wait(looking: &Looking, time: Duration) {
        let mut turn = looking.turn();
        assert!(turn.goes_on(), "there is always one look");
        turn.start = Instant::now().checked_sub(time);
        assert!(!turn.goes_on(), "and none after so long");
        turn.ends();
    }

    #[test]
    fn it_looks_for_as_long_as_that_is_of_use() {
        let looking = Looking::default();
        assert_eq!(looking.time(), MOST);
        let long = Duration::from_secs(3600);
        wait(&looking, long);
        assert_eq!(looking.time(), MOST / 2);
        for _ in 0..10 {
            wait(&looking, long);
        }
        assert_eq!(looking.time(), Duration::ZERO);

        // What is there at once says nothing of how long it would have taken.
        let mut turn = looking.turn();
        assert!(turn.goes_on());
        turn.ends();
        assert_eq!(looking.time(), Duration::ZERO);
        wait(&looking, MOST);
        assert_eq!(looking.time(), MOST);
    }
}
