//! What modules take up while they live, and what is left of them.

use farcall_benches::Subject;

use crate::artefacts::Artefacts;
use crate::child;
use crate::figure::{Figures, Measurement};
use crate::way::Way;

const N_MODULES: f64 = 1_000.0;
/// Each in a process of its own.
const N_RUNS: usize = 3;

pub(crate) fn live(artefacts: &Artefacts, figures: &mut Figures) {
    for way in Way::ALL {
        let runs: Result<Vec<[f64; 4]>, String> =
            (0..N_RUNS).map(|_| run(artefacts, way)).collect();
        let measurements = [
            Measurement::LiveRss,
            Measurement::LiveMappings,
            Measurement::LeftRss,
            Measurement::LeftMappings,
        ];
        for (index, measurement) in measurements.into_iter().enumerate() {
            let runs = runs.clone();
            let samples = runs.map(|runs| runs.iter().map(|run| run[index]).collect());
            figures.add(measurement, way, samples);
        }
    }
}

/// RSS and mappings of each module, and what all together leave behind. What the first module of a process costs is not
/// theirs.
fn run(artefacts: &Artefacts, way: Way) -> Result<[f64; 4], String> {
    let mut child = child::start(artefacts, way, Subject::Tiny);
    child.ask("cycles 1")?;
    // Twice, because reading takes memory itself the first time.
    child.memory()?;
    let before = child.memory()?;
    child.ask(&format!("hold {N_MODULES}"))?;
    let live = child.memory()?;
    child.ask("release")?;
    let after = child.memory()?;
    Ok([
        (live.rss - before.rss) / N_MODULES,
        (live.mappings - before.mappings) / N_MODULES,
        after.rss - before.rss,
        after.mappings - before.mappings,
    ])
}
