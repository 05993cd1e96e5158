//! One tiny module after the other.

use farcall_benches::{Bar, Row, Work};

use super::{Contender, LLJIT, title};
use crate::artefacts::Artefacts;

const ROUNDS: usize = 12;
const MODULES_A_ROUND: usize = 20;

pub(crate) fn tiny(artefacts: &Artefacts) -> Vec<Row> {
    let row = |work: Work| {
        let start = |contender: Contender| contender.start(work, artefacts);
        let mut farcall = start(Contender::Farcall);
        let mut lljit = start(Contender::LlJit(0));
        let (mut ours, mut others) = (Vec::new(), Vec::new());
        let request = format!("tiny {MODULES_A_ROUND}");
        for round in 0..=ROUNDS {
            let (our, other) = (farcall.ask(&request).unwrap(), lljit.ask(&request).unwrap());
            // What is set up once is so by now.
            if round > 0 {
                ours.extend(our);
                others.extend(other);
            }
        }
        let title = format!("one tiny module → callable, warm, {}", title(work));
        let others = vec![(LLJIT, others)];
        Row::new(title, ours, others, Some(Bar::AtMost(0.4)))
    };
    Work::ALL.map(row).into()
}
