//! From bytes at the controller to what the function returned in the executor.

use farcall_benches::{Bar, Row, Subject};

use super::{Running, split};
use crate::artefacts::Artefacts;
use crate::contender::Contender;

const ROUNDS: usize = 30;
/// How often in a round what is there is called.
const AGAIN: usize = 20;

pub(crate) fn loads(artefacts: &Artefacts) -> Vec<Row> {
    let mut rows = subject(artefacts, Subject::Tiny, "tiny image", 20, None);
    rows.extend(subject(
        artefacts,
        Subject::Sqlite,
        "SQLite",
        3,
        Some("SQLite, already there → called"),
    ));
    rows
}

/// `again` is the title of a row about what is loaded already. ORC has no such thing: what stands beside is its load.
fn subject(
    artefacts: &Artefacts,
    subject: Subject,
    title: &str,
    n_loads: usize,
    again: Option<&str>,
) -> Vec<Row> {
    let start = |contender| Running::start(contender, artefacts, subject);
    let mut all = Contender::LOADING.map(start);
    let mut there = start(Contender::Farcall);
    for round in 0..=ROUNDS {
        for each in &mut all {
            each.ask(&format!("loads {n_loads}"));
        }
        if again.is_some() {
            there.ask(&format!("again {AGAIN}"));
        }
        // What is set up once is so by now.
        if round == 0 {
            all.iter_mut().for_each(|each| each.samples.clear());
            there.samples.clear();
        }
    }
    let (ours, others) = split(all.map(Running::named));
    let load = Row::new(
        format!("{title}, bytes → loaded and called, warm"),
        ours,
        others.clone(),
        Some(Bar::AtMost(1.0 / 12.0)),
    );
    let again = again.map(|title| {
        let bar = Some(Bar::AtMost(1.0 / 100.0));
        Row::new(title, there.samples, others, bar)
    });
    [load].into_iter().chain(again).collect()
}
