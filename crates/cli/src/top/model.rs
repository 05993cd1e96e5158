//! What is known of each executor that is watched, from one answer to the next.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use farcall::Digest;
use farcall::executor::{ModuleInfo, Statistics};
use farcall::protocol::Latency;

use super::text::{as_float, escaped};

/// How many intervals are remembered: as many as a wide terminal has columns for.
const REMEMBERED: usize = 240;

/// How much of a digest stands for a module without a name.
const SHORT_DIGEST: usize = 12;

/// An executor that is watched.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) address: String,
    /// What it says of itself.
    pub(crate) software: String,
    state: State,
    last: Option<(Instant, Statistics)>,
    change: Option<Change>,
    /// Calls a second in each interval, the newest last.
    pub(crate) history: VecDeque<f64>,
    /// How often it has been started anew, as far as that was seen.
    pub(crate) restarts: u64,
    pub(crate) modules: Vec<Listed>,
    listed: Option<Instant>,
}

#[derive(Debug)]
enum State {
    Connecting { since: Instant },
    Up,
    Down { since: Instant, error: String },
}

/// How it is with an executor, and since when.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Standing {
    Connecting(Duration),
    Up(Box<Counted>),
    /// Connected, and it does not answer.
    Silent(Duration),
    Down(Duration, String),
}

/// The counters of an executor that is up, and how they have changed in the last interval, if that is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Counted {
    pub(crate) now: Statistics,
    pub(crate) change: Option<Change>,
}

/// An interval between two answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Change {
    from: Statistics,
    to: Statistics,
}

/// A module of an executor.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Listed {
    pub(crate) info: ModuleInfo,
    /// Its names, or the start of its digest.
    pub(crate) label: String,
    /// Known from the second time on.
    pub(crate) calls_per_second: Option<f64>,
}

impl Watched {
    pub(crate) fn new(address: &str, now: Instant) -> Self {
        Self {
            address: escaped(address),
            software: String::new(),
            state: State::Connecting { since: now },
            last: None,
            change: None,
            history: VecDeque::new(),
            restarts: 0,
            modules: Vec::new(),
            listed: None,
        }
    }

    /// It was connected to, and says that it is this.
    pub(crate) fn connected(&mut self, software: &str) {
        self.software = escaped(software);
    }

    /// It has said what it has done until `at`.
    pub(crate) fn counted(&mut self, at: Instant, now: Statistics) {
        self.state = State::Up;
        let from = self.last.map(|(before, last)| {
            // Whoever has run for less time than has passed has been started in it, and counts from zero.
            let passed = at.saturating_duration_since(before);
            let is_new = now.uptime < last.uptime || Duration::from_millis(now.uptime) < passed;
            self.restarts += u64::from(is_new);
            if is_new { Statistics::default() } else { last }
        });
        self.last = Some((at, now));
        // Two answers within a millisecond are one.
        let change = from.map(|from| Change { from, to: now });
        self.change = change.filter(|change| change.seconds() > 0.0);
        if let Some(change) = self.change {
            self.remember(change.per_second(|statistics| statistics.calls));
        }
    }

    /// It cannot be asked.
    pub(crate) fn failed(&mut self, at: Instant, error: &str) {
        let since = match &self.state {
            State::Down { since, .. } | State::Connecting { since } => *since,
            State::Up => at,
        };
        // The address stands beside it already.
        let error = escaped(error);
        let address = format!("{}: ", self.address);
        let error = error.strip_prefix(&address).unwrap_or(&error).to_owned();
        self.state = State::Down { since, error };
        self.change = None;
        // What was loaded may be gone.
        self.modules.clear();
        self.listed = None;
        if self.last.is_some() {
            self.remember(0.0);
        }
    }

    fn remember(&mut self, calls: f64) {
        self.history.push_back(calls);
        if self.history.len() > REMEMBERED {
            self.history.pop_front();
        }
    }

    /// It has listed its modules.
    pub(crate) fn listed(&mut self, at: Instant, modules: Vec<ModuleInfo>) {
        let seconds = self
            .listed
            .map(|before| at.saturating_duration_since(before).as_secs_f64());
        let before: HashMap<Digest, u64> = self
            .modules
            .iter()
            .map(|module| (module.info.digest, module.info.calls))
            .collect();
        let rate = |info: &ModuleInfo| {
            let before = before.get(&info.digest)?;
            // One that was loaded anew counts from zero.
            let calls = info.calls.checked_sub(*before).unwrap_or(info.calls);
            seconds
                .filter(|seconds| *seconds > 0.0)
                .map(|seconds| as_float(calls) / seconds)
        };
        let listed = |info: ModuleInfo| Listed {
            label: label(&info),
            calls_per_second: rate(&info),
            info,
        };
        self.modules = modules.into_iter().map(listed).collect();
        self.listed = Some(at);
    }

    /// Why it cannot be asked.
    pub(crate) fn error(&self) -> Option<&str> {
        match &self.state {
            State::Down { error, .. } => Some(error),
            State::Connecting { .. } | State::Up => None,
        }
    }

    /// What stands for a module.
    pub(crate) fn label(&self, digest: Digest) -> String {
        let module = self
            .modules
            .iter()
            .find(|module| module.info.digest == digest);
        module.map_or_else(|| short(digest), |module| module.label.clone())
    }

    /// How it is with it now. Without an answer for as long as `patience` it is silent.
    pub(crate) fn standing(&self, now: Instant, patience: Duration) -> Standing {
        let since = |then: Instant| now.saturating_duration_since(then);
        match (&self.state, &self.last) {
            (State::Down { since: then, error }, _) => Standing::Down(since(*then), error.clone()),
            (State::Connecting { since: then }, _) => Standing::Connecting(since(*then)),
            (State::Up, Some((at, _))) if since(*at) > patience => Standing::Silent(since(*at)),
            (State::Up, last) => Standing::Up(Box::new(Counted {
                now: last.map_or_else(Statistics::default, |(_, last)| last),
                change: self.change,
            })),
        }
    }
}

impl Change {
    /// How long it was, by the executor's own clock: what is counted and what it is divided by come with one answer.
    fn seconds(&self) -> f64 {
        as_float(self.to.uptime.saturating_sub(self.from.uptime)) / 1000.0
    }

    /// How much a counter has grown.
    pub(crate) fn of(&self, counter: impl Fn(&Statistics) -> u64) -> u64 {
        counter(&self.to).saturating_sub(counter(&self.from))
    }

    /// How much a counter has grown in a second.
    pub(crate) fn per_second(&self, counter: impl Fn(&Statistics) -> u64) -> f64 {
        as_float(self.of(counter)) / self.seconds()
    }

    /// What has taken no longer than this, of so much of all that ended in the interval, such as 0.99.
    pub(crate) fn quantile(&self, latency: impl Fn(&Statistics) -> Latency, part: f64) -> Quantile {
        let latency = latency(&self.to).since(&latency(&self.from));
        if latency.count() == 0 {
            return Quantile::None;
        }
        latency
            .quantile(part)
            .map_or(Quantile::Longer, Quantile::UpTo)
    }
}

/// A quantile of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quantile {
    /// There was nothing.
    None,
    /// The upper bound of its bucket.
    UpTo(Duration),
    /// Longer than any bound.
    Longer,
}

fn label(info: &ModuleInfo) -> String {
    let names = info.names.iter().filter(|name| !name.is_empty());
    let names: Vec<String> = names.map(|name| escaped(name)).collect();
    if names.is_empty() {
        return short(info.digest);
    }
    names.join(", ")
}

fn short(digest: Digest) -> String {
    let mut digest = digest.to_string();
    digest.truncate(SHORT_DIGEST);
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(4);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// An executor that has run for so many milliseconds and begun so many calls.
    fn counted(uptime: u64, calls: u64) -> Statistics {
        Statistics {
            uptime,
            calls,
            ..Statistics::default()
        }
    }

    fn rate(watched: &Watched, now: Instant) -> Option<f64> {
        match watched.standing(now, PATIENCE) {
            Standing::Up(counted) => Some(counted.change?.per_second(|now| now.calls)),
            _ => None,
        }
    }

    #[test]
    fn a_rate_is_of_the_last_interval_by_the_executors_clock() {
        let start = Instant::now();
        let mut watched = Watched::new("unix:a", start);
        watched.counted(start, counted(60_000, 1000));
        assert_eq!(rate(&watched, start), None, "there is nothing before");
        // The answer was long on its way.
        watched.counted(start + seconds(3), counted(62_000, 1500));
        assert_eq!(rate(&watched, start + seconds(3)), Some(250.0));
        watched.counted(start + seconds(4), counted(63_000, 1500));
        assert_eq!(rate(&watched, start + seconds(4)), Some(0.0));
        assert_eq!(watched.history, [250.0, 0.0]);
        // Two answers at the same time by its clock are no interval.
        watched.counted(start + seconds(4), counted(63_000, 1501));
        assert_eq!(rate(&watched, start + seconds(4)), None);
        assert_eq!(watched.restarts, 0);
    }

    #[test]
    fn an_executor_that_was_started_anew_counts_from_zero() {
        let start = Instant::now();
        let mut watched = Watched::new("unix:a", start);
        watched.counted(start, counted(60_000, 1000));
        watched.counted(start + seconds(10), counted(2000, 8));
        assert_eq!(rate(&watched, start + seconds(10)), Some(4.0));
        // It has run for longer than the one before when that was last asked, and has counted more.
        watched.failed(start + seconds(11), "gone");
        watched.counted(start + seconds(30), counted(5000, 100));
        assert_eq!(rate(&watched, start + seconds(30)), Some(20.0));
        assert_eq!(watched.restarts, 2);
        // A counter that goes back alone is no reason for a panic.
        watched.counted(start + seconds(31), counted(6000, 99));
        assert_eq!(rate(&watched, start + seconds(31)), Some(0.0));
        assert_eq!(watched.restarts, 2);
    }

    #[test]
    fn quantiles_are_of_what_was_in_the_interval() {
        let mut from = counted(0, 0);
        from.calling.buckets[20] = 1000;
        let mut to = counted(1000, 0);
        to.calling = from.calling;
        let quantile =
            |to, part| Change { from, to }.quantile(|now: &Statistics| now.calling, part);
        assert_eq!(quantile(to, 0.5), Quantile::None);
        to.calling.buckets[4] += 98;
        to.calling.buckets[7] += 2;
        assert_eq!(quantile(to, 0.5), Quantile::UpTo(Duration::from_micros(16)));
        assert_eq!(
            quantile(to, 0.99),
            Quantile::UpTo(Duration::from_micros(128))
        );
        to.calling.buckets[Latency::N_BUCKETS - 1] += 50;
        assert_eq!(quantile(to, 0.99), Quantile::Longer);
    }

    #[test]
    fn how_it_stands_says_since_when() {
        let start = Instant::now();
        let mut watched = Watched::new("tcp:host:1", start);
        let at = |after| start + seconds(after);
        assert_eq!(
            watched.standing(at(2), PATIENCE),
            Standing::Connecting(seconds(2))
        );
        watched.failed(at(3), "tcp:host:1: cannot connect: \u{1b}[31mrefused");
        watched.failed(at(5), "tcp:host:1: cannot connect");
        let down = Standing::Down(seconds(6), "cannot connect".to_owned());
        assert_eq!(
            watched.standing(at(6), PATIENCE),
            down,
            "without its address, which is known"
        );
        watched.counted(at(7), counted(1, 2));
        assert!(matches!(
            watched.standing(at(11), PATIENCE),
            Standing::Up(_)
        ));
        assert_eq!(
            watched.standing(at(12), PATIENCE),
            Standing::Silent(seconds(5))
        );
        watched.failed(at(13), "connection: \u{1b}[31mreset");
        let down = Standing::Down(seconds(1), "connection: \\u{1b}[31mreset".to_owned());
        assert_eq!(watched.standing(at(14), PATIENCE), down);
    }

    fn module(number: u8, calls: u64, names: &[&str]) -> ModuleInfo {
        ModuleInfo {
            digest: Digest::from_bytes([number; 32]),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            size: 1,
            n_exports: 1,
            calls,
            crashes: 0,
            late: 0,
            is_quarantined: false,
            signer: None,
        }
    }

    #[test]
    fn modules_have_rates_of_their_own() {
        let start = Instant::now();
        let mut watched = Watched::new("unix:a", start);
        let rates = |watched: &Watched| -> Vec<Option<f64>> {
            watched
                .modules
                .iter()
                .map(|module| module.calls_per_second)
                .collect()
        };
        watched.listed(
            start,
            vec![module(1, 10, &["a", "\u{7}b", ""]), module(2, 20, &[])],
        );
        assert_eq!(rates(&watched), [None, None]);
        let labels: Vec<_> = watched
            .modules
            .iter()
            .map(|module| module.label.as_str())
            .collect();
        assert_eq!(labels, ["a, \\u{7}b", "020202020202"]);
        // The first was loaded anew, the third is new.
        watched.listed(
            start + seconds(2),
            vec![module(2, 30, &[]), module(1, 4, &[]), module(3, 7, &[])],
        );
        assert_eq!(rates(&watched), [Some(5.0), Some(2.0), None]);
        watched.failed(start + seconds(3), "gone");
        assert_eq!(watched.modules, []);
    }

    #[test]
    fn what_is_remembered_has_an_end() {
        let start = Instant::now();
        let mut watched = Watched::new("unix:a", start);
        for second in 0..1000 {
            watched.counted(
                start + seconds(second),
                counted(1000 * second, second * second),
            );
        }
        assert_eq!(watched.history.len(), REMEMBERED);
        assert_eq!(watched.history.back(), Some(&1997.0));
    }
}
