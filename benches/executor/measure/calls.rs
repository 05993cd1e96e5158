//! Calls of a function that does nothing else than to return a number.
//!
//! To add a way to call: give it a request in `farcall_benches::serve_remote` and a row in [`WAYS`].

use farcall_benches::{Bar, Row, Subject};

use super::Running;
use crate::artefacts::Artefacts;
use crate::contender::Contender;

const ROUNDS: usize = 30;

/// What ORC is asked for: each call when the one before has returned.
const ONE_AT_A_TIME: &str = "calls 500";
const OTHERS: [Contender; 2] = [Contender::OrcShared, Contender::OrcWrapper];

/// What farcall is asked for, and how much of the time of ORC's calls it may take.
const WAYS: [(&str, Contender, &str, f64); 4] = [
    (
        "call of a trivial function, one at a time",
        Contender::Farcall,
        ONE_AT_A_TIME,
        1.0 / 4.0,
    ),
    (
        "the same through shared memory",
        Contender::FarcallShared,
        ONE_AT_A_TIME,
        1.0 / 20.0,
    ),
    (
        "call of a trivial function, 256 in flight",
        Contender::Farcall,
        "many 10000",
        1.0 / 20.0,
    ),
    (
        "the same through shared memory, 256 in flight",
        Contender::FarcallShared,
        "many 10000",
        1.0 / 20.0,
    ),
];

pub(crate) fn calls(artefacts: &Artefacts) -> Vec<Row> {
    let start = |contender| Running::start(contender, artefacts, Subject::Tiny);
    let mut ours = WAYS.map(|(_, contender, request, _)| (start(contender), request));
    let mut others = OTHERS.map(|contender| (start(contender), ONE_AT_A_TIME));
    for round in 0..=ROUNDS {
        for (each, request) in ours.iter_mut().chain(&mut others) {
            each.ask(request);
            // What is set up once is so by now.
            if round == 0 {
                each.samples.clear();
            }
        }
    }
    let others = others.map(|(each, _)| each.named());
    let ways = WAYS.into_iter().zip(ours);
    ways.map(|((title, .., most), (each, _))| {
        let bar = Some(Bar::AtMost(most));
        Row::new(title, each.samples, others.to_vec(), bar)
    })
    .collect()
}
