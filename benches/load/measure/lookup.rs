//! How long it takes to find an export.

use farcall_benches::Subject;

use super::ROUNDS;
use crate::artefacts::Artefacts;
use crate::child;
use crate::figure::{Figures, Measurement};
use crate::way::Way;

pub(crate) fn lookup(artefacts: &Artefacts, figures: &mut Figures) {
    let subjects = [
        (Subject::Tiny, Measurement::TinyLookup),
        (Subject::Sqlite, Measurement::SqliteLookup),
    ];
    for (subject, measurement) in subjects {
        let mut children = Way::ALL.map(|way| {
            let mut child = child::start(artefacts, way, subject);
            child.number("hold 1").map(|_| (child, Vec::new()))
        });
        for _ in 0..ROUNDS {
            for each in &mut children {
                let Ok((child, times)) = each else {
                    continue;
                };
                match child.number("lookups 1000") {
                    Ok(time) => times.push(time),
                    Err(message) => *each = Err(message),
                }
            }
        }
        for (way, each) in Way::ALL.into_iter().zip(children) {
            figures.add(measurement, way, each.map(|(_, times)| times));
        }
    }
}
