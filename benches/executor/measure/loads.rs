//! From bytes at the controller to what the function returned in the executor.

use farcall_benches::{Bar, Row, Subject};

use super::{Running, split};
use crate::artefacts::Artefacts;
use crate::contender::Contender;

const ROUNDS: usize = 30;
/// How often in a round what is there is called.
const AGAIN: usize = 20;

pub(crate) fn loads(artefacts: &Artefacts) -> Vec<Row> {
    let mut rows = subject(artefacts, Subject::Tiny, "tiny image", 20, false);
    rows.extend(subject(artefacts, Subject::Sqlite, "SQLite", 3, true));
    rows
}

/// A large image is also in a file in memory, or there already. ORC has no such things: what stands beside is its load.
fn subject(
    artefacts: &Artefacts,
    subject: Subject,
    title: &str,
    n_loads: usize,
    is_large: bool,
) -> Vec<Row> {
    let start = |contender| Running::start(contender, artefacts, subject);
    let mut all = Contender::LOADING.map(start);
    let large = [Contender::FarcallFile, Contender::Farcall];
    let mut large = is_large.then(|| large.map(start));
    for round in 0..=ROUNDS {
        for each in &mut all {
            each.ask(&format!("loads {n_loads}"));
        }
        if let Some([file, there]) = &mut large {
            file.ask(&format!("loads {n_loads}"));
            there.ask(&format!("again {AGAIN}"));
        }
        // What is set up once is so by now.
        if round == 0 {
            let all = all.iter_mut().chain(large.iter_mut().flatten());
            all.for_each(|each| each.samples.clear());
        }
    }
    let (ours, others) = split(all.map(Running::named));
    let row = |what: &str, ours, part: Option<f64>| {
        let bar = part.map(|part| Bar::AtMost(1.0 / part));
        Row::new(format!("{title}, {what}"), ours, others.clone(), bar)
    };
    let mut rows = vec![row("bytes → loaded and called, warm", ours, Some(12.0))];
    if let Some([file, there]) = large {
        let title = "bytes in a file in memory → loaded and called, warm";
        // Writing the file is not timed, so that no bar is for this.
        rows.push(row(title, file.samples, None));
        rows.push(row("already there → called", there.samples, Some(100.0)));
    }
    rows
}
