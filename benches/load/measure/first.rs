//! How long the first load in a process takes.

use farcall_benches::Subject;

use super::ROUNDS;
use crate::artefacts::Artefacts;
use crate::child;
use crate::figure::{Figures, Measurement};
use crate::way::Way;

pub(crate) fn first(artefacts: &Artefacts, figures: &mut Figures) {
    let mut samples = Way::ALL.map(|_| Ok(Vec::new()));
    for _ in 0..ROUNDS {
        for (way, samples) in Way::ALL.into_iter().zip(&mut samples) {
            let Ok(times) = samples else {
                continue;
            };
            let mut child = child::start(artefacts, way, Subject::Sqlite);
            match child.number("first") {
                Ok(time) => times.push(time),
                Err(message) => *samples = Err(message),
            }
        }
    }
    for (way, samples) in Way::ALL.into_iter().zip(samples) {
        let measurement = if way.is_from_file() {
            Measurement::SqliteFileFirst
        } else {
            Measurement::SqliteBytesFirst
        };
        figures.add(measurement, way, samples);
    }
}
