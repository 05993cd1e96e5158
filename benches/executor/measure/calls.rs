//! Calls of a function that does nothing else than to return a number.
//!
//! To add a way to call: give it a request in `farcall_benches::serve_remote` and a row in [`calls`].

use farcall_benches::{Bar, Row, Subject};

use super::{Running, split};
use crate::artefacts::Artefacts;
use crate::contender::Contender;

const ROUNDS: usize = 30;
const CALLS_A_ROUND: usize = 500;
const CONTENDERS: [Contender; 3] = [
    Contender::Farcall,
    Contender::OrcShared,
    Contender::OrcWrapper,
];

pub(crate) fn calls(artefacts: &Artefacts) -> Vec<Row> {
    let row = |title: &str, request: &str, most| {
        let mut all = CONTENDERS.map(|each| Running::start(each, artefacts, Subject::Tiny));
        for round in 0..=ROUNDS {
            for each in &mut all {
                each.ask(&format!("{request} {CALLS_A_ROUND}"));
                // What is set up once is so by now.
                if round == 0 {
                    each.samples.clear();
                }
            }
        }
        let (ours, others) = split(all.map(Running::named));
        Row::new(title, ours, others, Some(Bar::AtMost(most)))
    };
    vec![row(
        "call of a trivial function, one at a time",
        "calls",
        1.0 / 4.0,
    )]
}
