//! All that is known of one executor, in a grid whose numbers stay where they are.

use farcall::executor::Statistics;

use super::executors::quantile_cell;
use super::model::{Counted, Watched};
use super::table::{Cell, Tone};
use super::text::{as_float, bytes, count, rate};

/// How wide the name of a number is, and the number.
pub(crate) const NAME_WIDTH: usize = 11;
pub(crate) const NUMBER_WIDTH: usize = 6;

/// How many numbers there are.
pub(crate) const N_NUMBERS: usize = 20;

/// The numbers, each with its name, in the order in which they stand in columns.
pub(crate) fn numbers(
    watched: &Watched,
    counted: Option<&Counted>,
) -> [(&'static str, Cell); N_NUMBERS] {
    let now = counted.map(|counted| &counted.now);
    let change = counted.and_then(|counted| counted.change.as_ref());
    let number = |name, of: fn(&Statistics) -> u64| (name, Cell::known(now, |now| count(of(now))));
    // What should not be is seen when there is any.
    let alarm = |name, of: fn(&Statistics) -> u64| {
        let (name, cell) = number(name, of);
        let is_any = now.is_some_and(|now| of(now) > 0);
        (
            name,
            if is_any {
                Cell::new(cell.text, Tone::Bad)
            } else {
                cell
            },
        )
    };
    let per_second = |name, of: fn(&Statistics) -> u64| {
        (
            name,
            Cell::known(change, |change| rate(change.per_second(of))),
        )
    };
    let bytes_per_second = |name, of: fn(&Statistics) -> u64| {
        (
            name,
            Cell::known(change, |change| bytes(change.per_second(of))),
        )
    };
    let loading = change.map(|change| change.quantile(|now| now.loading, 0.99));
    [
        number("connected", |now| now.connected),
        number("connections", |now| now.connections),
        alarm("not served", |now| now.not_served),
        bytes_per_second("received/s", |now| now.received),
        bytes_per_second("sent/s", |now| now.sent),
        number("modules", |now| now.modules),
        (
            "images",
            Cell::known(now, |now| bytes(as_float(now.image_bytes))),
        ),
        per_second("loads/s", |now| now.loads),
        per_second("hits/s", |now| now.hits),
        ("load p99≤", quantile_cell(loading)),
        number("calls", |now| now.calls),
        number("failures", |now| now.failures),
        number("load fails", |now| now.failed_loads),
        number("workers", |now| now.workers),
        number("started", |now| now.workers_started),
        alarm("crashes", |now| now.crashes),
        alarm("late", |now| now.late),
        alarm("quarantined", |now| now.quarantined),
        alarm("refused", |now| now.refused),
        ("restarts", Cell::plain(count(watched.restarts))),
    ]
}

/// In how many lines a grid of so many numbers is in this width.
pub(crate) fn n_lines(n_numbers: usize, width: usize) -> usize {
    n_numbers.div_ceil(n_columns(width))
}

/// How many columns the grid has in this width: two spaces stand between them, and one before the first.
pub(crate) fn n_columns(width: usize) -> usize {
    ((width + 1) / (NAME_WIDTH + 1 + NUMBER_WIDTH + 2)).max(1)
}
