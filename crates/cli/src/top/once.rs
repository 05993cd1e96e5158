//! The tables as plain text, once: for scripts, and where there is no terminal.

use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::ask::{self, Answer, Command, Report, Target};
use super::model::{Listed, Watched};
use super::table::{Cell, Layout, Sort};
use super::text::{columns, fitted};
use super::{executors, modules};
use crate::report::{Silent, line, print as print_text};

/// How long an executor may take, beside the interval.
const PATIENCE: Duration = Duration::from_secs(10);

/// Prints what the executors do in one interval. An executor that cannot be asked has a line without numbers, and a line on standard
/// error that says why.
///
/// # Errors
///
/// [`Silent`] when there is one.
pub(crate) fn print(targets: Vec<Target>, interval: Duration) -> anyhow::Result<()> {
    let (sender, reports) = channel::<Report>();
    let start = Instant::now();
    let mut asked = Vec::new();
    for (number, target) in targets.into_iter().enumerate() {
        let watched = Watched::new(&target.address.to_string(), start);
        let commands = ask::start(number, target, interval, sender.clone());
        let commands = commands.context("cannot start a thread")?;
        // The first time is for the numbers of the second.
        let _ = commands.send(Command::List(true));
        asked.push(Asked {
            watched,
            commands,
            n_counted: 0,
            is_listed: false,
            error: None,
        });
    }
    let until = start + interval + PATIENCE;
    while asked.iter().any(|asked| !asked.is_done()) {
        let Ok(report) = reports.recv_timeout(until.saturating_duration_since(Instant::now()))
        else {
            break;
        };
        asked[report.executor].take(report);
    }
    for asked in asked.iter_mut().filter(|asked| !asked.is_done()) {
        asked.fail(Instant::now(), "no answer");
    }
    print_text(&tables(&asked, Instant::now()))?;
    let mut is_well = true;
    for asked in &asked {
        if let Some(error) = &asked.error {
            line(format_args!("farcall: {}: {error}", asked.watched.address));
            is_well = false;
        }
    }
    if is_well { Ok(()) } else { Err(Silent.into()) }
}

/// An executor that is asked twice.
struct Asked {
    watched: Watched,
    /// The thread that asks goes on as long as this is there.
    #[expect(dead_code, reason = "it is there to be dropped")]
    commands: Sender<Command>,
    n_counted: u32,
    /// Whether it has listed its modules since it was asked for the last time.
    is_listed: bool,
    error: Option<String>,
}

impl Asked {
    fn take(&mut self, report: Report) {
        if self.is_done() {
            return;
        }
        match report.what {
            Answer::Connected { software } => self.watched.connected(&software),
            Answer::Counted(statistics) => {
                self.watched.counted(report.at, *statistics);
                self.n_counted += 1;
            }
            Answer::Listed(modules) => {
                self.watched.listed(report.at, modules);
                self.is_listed = self.n_counted >= 2;
            }
            Answer::Failed(error) => self.fail(report.at, &error),
            Answer::Pardoned(..) => {}
        }
    }

    fn fail(&mut self, at: Instant, error: &str) {
        self.watched.failed(at, error);
        self.error = self.watched.error().map(str::to_owned);
    }

    fn is_done(&self) -> bool {
        self.is_listed || self.error.is_some()
    }
}

fn tables(asked: &[Asked], now: Instant) -> String {
    let watched = asked.iter().map(|asked| &asked.watched);
    let rows = executors::rows(watched.clone(), now, Duration::MAX);
    let mut layout = Layout::around(executors::COLUMNS, &rows);
    // There is no history.
    layout
        .0
        .retain(|(column, _)| executors::COLUMNS[*column].title != executors::HISTORY);
    let mut lines = vec![layout.titles(executors::COLUMNS, Sort::default())];
    lines.extend(
        rows.iter()
            .map(|row| joined(layout.cells(executors::COLUMNS, row))),
    );
    let modules: Vec<(&str, &Listed)> = watched
        .flat_map(|watched| {
            watched
                .modules
                .iter()
                .map(|module| (watched.address.as_str(), module))
        })
        .collect();
    if !modules.is_empty() {
        const TITLE: &str = "EXECUTOR";
        let addresses = modules.iter().map(|(address, _)| columns(address));
        let width = addresses.max().unwrap_or(0).max(TITLE.len());
        let listed: Vec<&Listed> = modules.iter().map(|(_, module)| *module).collect();
        let layout = Layout::around(modules::COLUMNS, &listed);
        let titles = layout.titles(modules::COLUMNS, Sort::default());
        lines.push(String::new());
        lines.push(format!("{} {titles}", fitted(TITLE, width)));
        lines.extend(modules.iter().map(|(address, module)| {
            let cells = joined(layout.cells(modules::COLUMNS, *module));
            format!("{} {cells}", fitted(address, width))
        }));
    }
    lines
        .iter()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

fn joined(cells: Vec<Cell>) -> String {
    let cells: Vec<String> = cells.into_iter().map(|cell| cell.text).collect();
    cells.join(" ")
}
