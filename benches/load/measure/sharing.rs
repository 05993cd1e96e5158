//! What one of many processes takes up that all have loaded the same.

use farcall_benches::Subject;

use crate::artefacts::Artefacts;
use crate::child;
use crate::figure::{Figures, Measurement};
use crate::way::Way;

const N_PROCESSES: usize = 50;

pub(crate) fn sharing(artefacts: &Artefacts, figures: &mut Figures) {
    for way in Way::ALL {
        figures.add(Measurement::SharedPss, way, processes(artefacts, way));
    }
}

/// The memory of each of the processes, less that of one more which loads nothing.
fn processes(artefacts: &Artefacts, way: Way) -> Result<Vec<f64>, String> {
    let start = || child::start(artefacts, way, Subject::Sqlite);
    let mut without = start();
    let mut children: Vec<_> = (0..N_PROCESSES).map(|_| start()).collect();
    for child in &mut children {
        child.ask("hold 1")?;
    }
    let without = without.memory()?.pss;
    let mut samples = Vec::new();
    for child in &mut children {
        samples.push(child.memory()?.pss - without);
    }
    Ok(samples)
}
