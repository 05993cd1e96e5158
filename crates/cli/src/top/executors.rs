//! The table of executors.

use std::time::{Duration, Instant};

use farcall::executor::Statistics;

use super::model::{Change, Counted, Quantile, Standing, Watched};
use super::table::{Cell, Column, Key, Side, Tone};
use super::text::{age, as_float, bars, bytes, count, rate, time};

/// A row of the table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// Which executor it is.
    pub(crate) executor: usize,
    pub(crate) address: String,
    pub(crate) standing: Standing,
    /// Calls a second, the newest last.
    pub(crate) history: Vec<f64>,
}

/// The rows of all executors, in their order.
pub(crate) fn rows<'a>(
    watched: impl Iterator<Item = &'a Watched>,
    now: Instant,
    patience: Duration,
) -> Vec<Row> {
    let row = |(executor, watched): (usize, &Watched)| Row {
        executor,
        address: watched.address.clone(),
        standing: watched.standing(now, patience),
        history: watched.history.iter().copied().collect(),
    };
    watched.enumerate().map(row).collect()
}

/// Its columns. One has room after those of lower ranks.
pub(crate) const COLUMNS: &[Column<Row>] = &[
    Column {
        title: "EXECUTOR",
        width: 20,
        widest: 48,
        side: Side::Left,
        rank: 0,
        cell: |row, _| Cell::plain(&row.address),
        key: |row| Key::Text(row.address.clone()),
    },
    Column {
        title: "STATE",
        width: 6,
        widest: 6,
        side: Side::Left,
        rank: 1,
        cell: |row, _| row.state(),
        key: |row| Key::Number(if row.counted().is_some() { 0.0 } else { 1.0 }),
    },
    number(
        6,
        2,
        "UPTIME",
        |row, _| {
            let uptime = row.counted().map(|counted| counted.now.uptime);
            Cell::known(uptime, |uptime| age(Duration::from_millis(uptime)))
        },
        |row| row.gauge(|now| now.uptime),
    ),
    number(
        7,
        3,
        "CALLS/S",
        |row, _| row.rate_cell(|now| now.calls),
        |row| row.rate_key(|now| now.calls),
    ),
    number(
        5,
        6,
        "RUN",
        |row, _| row.count_cell(|now| now.running),
        |row| row.gauge(|now| now.running),
    ),
    number(
        7,
        4,
        "P50≤",
        |row, _| row.latency_cell(0.5),
        |row| row.latency_key(0.5),
    ),
    number(
        7,
        5,
        "P99≤",
        |row, _| row.latency_cell(0.99),
        |row| row.latency_key(0.99),
    ),
    number(
        6,
        8,
        "FAIL/S",
        |row, _| row.rate_cell(|now| now.failures),
        |row| row.rate_key(|now| now.failures),
    ),
    number(
        5,
        7,
        "CRASH",
        |row, _| row.alarm_cell(|now| now.crashes),
        |row| row.gauge(|now| now.crashes),
    ),
    number(
        4,
        9,
        "LATE",
        |row, _| row.alarm_cell(|now| now.late),
        |row| row.gauge(|now| now.late),
    ),
    number(
        6,
        10,
        "REFUSE",
        |row, _| row.alarm_cell(refusals),
        |row| row.gauge(refusals),
    ),
    number(
        5,
        11,
        "MODS",
        |row, _| row.count_cell(|now| now.modules),
        |row| row.gauge(|now| now.modules),
    ),
    number(
        6,
        12,
        "IMAGES",
        |row, _| {
            let size = row.counted().map(|counted| counted.now.image_bytes);
            Cell::known(size, |size| bytes(as_float(size)))
        },
        |row| row.gauge(|now| now.image_bytes),
    ),
    number(
        5,
        13,
        "CONNS",
        |row, _| row.count_cell(|now| now.connected),
        |row| row.gauge(|now| now.connected),
    ),
    number(
        5,
        14,
        "WORK",
        |row, _| row.count_cell(|now| now.workers),
        |row| row.gauge(|now| now.workers),
    ),
    number(
        6,
        15,
        "LOAD/S",
        |row, _| row.rate_cell(|now| now.loads),
        |row| row.rate_key(|now| now.loads),
    ),
    Column {
        title: HISTORY,
        width: 12,
        widest: 60,
        side: Side::Left,
        rank: 16,
        cell: |row, width| Cell::plain(bars(row.history.iter().copied(), width)),
        key: |row| row.rate_key(|now| now.calls),
    },
];

/// The title of the column that only a screen has.
pub(crate) const HISTORY: &str = "HISTORY";

const fn number(
    width: usize,
    rank: u8,
    title: &'static str,
    cell: fn(&Row, usize) -> Cell,
    key: fn(&Row) -> Key,
) -> Column<Row> {
    Column {
        title,
        width,
        widest: width,
        side: Side::Right,
        rank,
        cell,
        key,
    }
}

/// What an executor did not do, for whatever reason of its own.
pub(crate) fn refusals(statistics: &Statistics) -> u64 {
    let Statistics {
        refused,
        quarantined,
        not_served,
        ..
    } = statistics;
    refused
        .saturating_add(*quarantined)
        .saturating_add(*not_served)
}

impl Row {
    /// What it has counted, if it answers.
    pub(crate) fn counted(&self) -> Option<&Counted> {
        match &self.standing {
            Standing::Up(counted) => Some(counted),
            _ => None,
        }
    }

    fn change(&self) -> Option<&Change> {
        self.counted()?.change.as_ref()
    }

    fn state(&self) -> Cell {
        match &self.standing {
            Standing::Connecting(_) => Cell::new("wait", Tone::Faint),
            Standing::Up(_) => Cell::new("up", Tone::Good),
            Standing::Silent(_) => Cell::new("silent", Tone::Bad),
            Standing::Down(..) => Cell::new("down", Tone::Bad),
        }
    }

    /// What stands where an executor that does not answer has no numbers.
    pub(crate) fn reason(&self) -> Option<String> {
        match &self.standing {
            Standing::Up(_) => None,
            Standing::Connecting(since) => Some(format!("connecting for {}", age(*since))),
            Standing::Silent(since) => Some(format!("no answer for {}", age(*since))),
            Standing::Down(since, error) => Some(format!("for {}: {error}", age(*since))),
        }
    }

    fn gauge(&self, gauge: impl Fn(&Statistics) -> u64) -> Key {
        Key::known(self.counted().map(|counted| as_float(gauge(&counted.now))))
    }

    fn count_cell(&self, gauge: impl Fn(&Statistics) -> u64) -> Cell {
        Cell::known(self.counted(), |counted| count(gauge(&counted.now)))
    }

    /// A count that is to be seen when it has just grown.
    fn alarm_cell(&self, counter: impl Fn(&Statistics) -> u64) -> Cell {
        let has_grown = self.change().is_some_and(|change| change.of(&counter) > 0);
        let cell = self.count_cell(counter);
        if has_grown {
            Cell::new(cell.text, Tone::Bad)
        } else {
            cell
        }
    }

    fn rate_key(&self, counter: impl Fn(&Statistics) -> u64) -> Key {
        Key::known(self.change().map(|change| change.per_second(counter)))
    }

    fn rate_cell(&self, counter: impl Fn(&Statistics) -> u64) -> Cell {
        Cell::known(self.change(), |change| rate(change.per_second(counter)))
    }

    fn latency_cell(&self, part: f64) -> Cell {
        let quantile = self
            .change()
            .map(|change| change.quantile(|now| now.calling, part));
        quantile_cell(quantile)
    }

    fn latency_key(&self, part: f64) -> Key {
        Key::known(self.change().and_then(
            |change| match change.quantile(|now| now.calling, part) {
                Quantile::None => None,
                Quantile::UpTo(time) => Some(time.as_secs_f64()),
                Quantile::Longer => Some(f64::INFINITY),
            },
        ))
    }
}

/// A quantile, if it is known.
pub(crate) fn quantile_cell(quantile: Option<Quantile>) -> Cell {
    match quantile {
        None | Some(Quantile::None) => Cell::known(None, time),
        Some(Quantile::UpTo(bound)) => Cell::plain(time(bound)),
        Some(Quantile::Longer) => Cell::plain(">8.39s"),
    }
}
