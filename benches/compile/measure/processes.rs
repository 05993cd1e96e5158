//! Many processes that want the same.

use std::path::Path;
use std::thread;
use std::time::Instant;

use farcall_benches::{Bar, Row};

use crate::artefacts::{self, Artefacts};
use crate::command;

const ROUNDS: usize = 3;
const N_PROCESSES: usize = 8;

pub(crate) fn processes(artefacts: &Artefacts) -> Vec<Row> {
    let ir = artefacts::sqlite();
    let (mut all, mut one) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        for (samples, count) in [(&mut one, 1), (&mut all, N_PROCESSES)] {
            let cache = artefacts.cache(&format!("{count}-processes-{round}"));
            samples.push(build(artefacts, &ir, &cache, count));
        }
    }
    let title = format!("SQLite at O0, {N_PROCESSES} processes, one cold cache");
    let others = vec![("1 process", one)];
    vec![Row::new(title, all, others, Some(Bar::AtMost(1.2)))]
}

/// The time until the last of some processes has its image.
fn build(artefacts: &Artefacts, ir: &Path, cache: &Path, count: usize) -> f64 {
    let start = Instant::now();
    thread::scope(|scope| {
        for number in 0..count {
            scope.spawn(move || {
                let mut command = command::farcall();
                command.args(["build", "-O0"]).arg(ir);
                let image = artefacts.folder().join(format!("image{number}"));
                command::run(command.arg("-o").arg(image).env("FARCALL_CACHE", cache));
            });
        }
    });
    start.elapsed().as_nanos() as f64
}
