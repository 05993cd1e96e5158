//! How long a load and an unload take in a process that has done many.

use farcall_benches::Subject;

use super::ROUNDS;
use crate::artefacts::Artefacts;
use crate::child;
use crate::figure::{Figures, Measurement, median};
use crate::way::Way;

pub(crate) fn warm(artefacts: &Artefacts, figures: &mut Figures) {
    let tiny = [
        Measurement::TinyBytes,
        Measurement::TinyFile,
        Measurement::TinyUnload,
    ];
    let sqlite = [
        Measurement::SqliteBytes,
        Measurement::SqliteFile,
        Measurement::SqliteUnload,
    ];
    subject(artefacts, figures, Subject::Tiny, 20, tiny);
    subject(artefacts, figures, Subject::Sqlite, 5, sqlite);
}

/// One sample a round: the median of `n_cycles`.
fn subject(
    artefacts: &Artefacts,
    figures: &mut Figures,
    subject: Subject,
    n_cycles: usize,
    [bytes, file, unload]: [Measurement; 3],
) {
    let request = format!("cycles {n_cycles}");
    let mut children = Way::ALL.map(|way| child::start(artefacts, way, subject));
    let mut samples = Way::ALL.map(|_| Ok((Vec::new(), Vec::new())));
    for _ in 0..ROUNDS {
        for (child, samples) in children.iter_mut().zip(&mut samples) {
            let Ok((loads, unloads)) = samples else {
                continue;
            };
            match child.ask(&request) {
                Ok(times) => {
                    loads.push(median(times.iter().copied().step_by(2).collect()));
                    unloads.push(median(times.iter().copied().skip(1).step_by(2).collect()));
                }
                Err(message) => *samples = Err(message),
            }
        }
    }
    for (way, samples) in Way::ALL.into_iter().zip(samples) {
        let load = if way.is_from_file() { file } else { bytes };
        let (loads, unloads) = match samples {
            Ok((loads, unloads)) => (Ok(loads), Ok(unloads)),
            Err(message) => (Err(message.clone()), Err(message)),
        };
        figures.add(load, way, loads);
        figures.add(unload, way, unloads);
    }
}
