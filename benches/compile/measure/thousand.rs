//! A thousand tiny modules at once.

use farcall_benches::{Bar, Row, Work};

use super::{Contender, LLJIT, LLJIT_THREADS, title};
use crate::artefacts::Artefacts;

const ROUNDS: usize = 5;

pub(crate) fn thousand(artefacts: &Artefacts) -> Vec<Row> {
    let row = |work: Work| {
        let contenders = [Contender::Farcall, Contender::LlJit(0), Contender::LlJit(2)];
        let mut children = contenders.map(|contender| contender.start(work, artefacts));
        let mut samples = [const { Vec::new() }; 3];
        for round in 0..=ROUNDS {
            for (child, samples) in children.iter_mut().zip(&mut samples) {
                let time = child.number("thousand").unwrap();
                if round > 0 {
                    samples.push(time);
                }
            }
        }
        let [ours, lljit, threads] = samples;
        let title = format!("1,000 tiny modules → all callable, {}", title(work));
        let others = vec![(LLJIT, lljit), (LLJIT_THREADS, threads)];
        Row::new(title, ours, others, Some(Bar::AtMost(0.25)))
    };
    Work::ALL.map(row).into()
}
