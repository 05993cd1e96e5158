//! Whether loading stays as fast with many modules loaded, and a million of them.
//!
//! farcall only: where the others end is where the kernel gives no more mappings, some tens of thousands.

use farcall_benches::Subject;

use super::ROUNDS;
use crate::artefacts::Artefacts;
use crate::child;
use crate::figure::{Figures, Measurement, median};
use crate::way::Way;

const FEW: usize = 10;
const MANY: usize = 100_000;
const MILLION: usize = 1_000_000;

pub(crate) fn many(artefacts: &Artefacts, figures: &mut Figures, million: bool) {
    let holding = |count: usize| {
        let mut child = child::start(artefacts, Way::Farcall, Subject::Tiny);
        child.number(&format!("hold {count}")).map(|_| child)
    };
    let mut children = [
        (Measurement::LoadAt10, holding(FEW), Vec::new()),
        (Measurement::LoadAt100000, holding(MANY), Vec::new()),
    ];
    for _ in 0..ROUNDS {
        for (_, child, samples) in &mut children {
            let Ok(running) = child else {
                continue;
            };
            match running.ask("cycles 20") {
                Ok(times) => samples.push(median(times.into_iter().step_by(2).collect())),
                Err(message) => *child = Err(message),
            }
        }
    }
    for (measurement, child, samples) in children {
        figures.add(measurement, Way::Farcall, child.map(|_| samples));
    }
    if !million {
        return;
    }
    match a_million(artefacts) {
        Ok([time, rss, mappings]) => {
            figures.add(Measurement::MillionLoad, Way::Farcall, Ok(vec![time]));
            figures.add(Measurement::MillionRss, Way::Farcall, Ok(vec![rss]));
            figures.add(
                Measurement::MillionMappings,
                Way::Farcall,
                Ok(vec![mappings]),
            );
        }
        Err(message) => figures.add(Measurement::MillionLoad, Way::Farcall, Err(message)),
    }
}

/// The time and RSS of each of a million modules, and the mappings of all.
fn a_million(artefacts: &Artefacts) -> Result<[f64; 3], String> {
    let mut child = child::start(artefacts, Way::Farcall, Subject::Tiny);
    child.ask("cycles 1")?;
    let before = child.memory()?;
    let time = child.number(&format!("hold {MILLION}"))?;
    let live = child.memory()?;
    child.ask("release")?;
    Ok([
        time / MILLION as f64,
        (live.rss - before.rss) / MILLION as f64,
        live.mappings - before.mappings,
    ])
}
