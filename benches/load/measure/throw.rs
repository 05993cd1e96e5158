//! How long a C++ exception takes, with one module loaded and with many.

use farcall_benches::Subject;

use super::ROUNDS;
use crate::artefacts::Artefacts;
use crate::child;
use crate::figure::{Figures, Measurement};
use crate::way::Way;

/// Of the others, JITLink takes a quarter of a minute to load so many, and then 4 ms a throw; `elf_loader` tells no unwinder
/// of its modules, so that an exception ends the process.
const WAYS: [Way; 2] = [Way::Farcall, Way::Memfd];
const COUNTS: [(usize, Measurement); 2] = [
    (1, Measurement::ThrowWithOne),
    (10_000, Measurement::ThrowWithMany),
];

pub(crate) fn throw(artefacts: &Artefacts, figures: &mut Figures) {
    let mut children = Vec::new();
    for way in WAYS {
        for (count, measurement) in COUNTS {
            let mut child = child::start(artefacts, way, Subject::Throws);
            let held = child.number(&format!("hold {count}"));
            children.push((measurement, way, held.map(|_| (child, Vec::new()))));
        }
    }
    for _ in 0..ROUNDS {
        for (_, _, each) in &mut children {
            let Ok((child, times)) = each else {
                continue;
            };
            match child.number("calls 200") {
                Ok(time) => times.push(time),
                Err(message) => *each = Err(message),
            }
        }
    }
    for (measurement, way, each) in children {
        figures.add(measurement, way, each.map(|(_, times)| times));
    }
}
