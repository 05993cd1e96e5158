//! What the processes take up.

use std::fs;
use std::path::Path;

use farcall_benches::{Bar, Row, Subject, Unit};
use farcall_testkit::tools;

use super::split;
use crate::artefacts::{Artefacts, executor, orc_executor};
use crate::contender::Contender;

const N_PROCESSES: usize = 5;
const KIB_A_MB: f64 = 1024.0;
/// How often a controller has shipped SQLite.
const N_LOADS: usize = 3;
const CONTENDERS: [Contender; 3] = [
    Contender::Farcall,
    Contender::OrcShared,
    Contender::OrcCopied,
];

pub(crate) fn memory(artefacts: &Artefacts) -> Vec<Row> {
    let mut idle = CONTENDERS.map(|each| (each.name(), Vec::new()));
    let mut shipped = idle.clone();
    for _ in 0..N_PROCESSES {
        for (index, contender) in CONTENDERS.into_iter().enumerate() {
            let mut child = contender.start(artefacts, Subject::Sqlite);
            idle[index].1.push(child.executor().unwrap().rss);
            child.ask(&format!("loads {N_LOADS}")).unwrap();
            shipped[index].1.push(child.memory().unwrap().rss);
        }
    }
    let row = |title, (ours, others), most_mb| {
        let bar = Some(Bar::Value(most_mb * KIB_A_MB));
        Row::new(title, ours, others, bar).counting(Unit::Kib)
    };
    let sizes = (
        vec![stripped_size(artefacts, &executor())],
        vec![("ORC", vec![stripped_size(artefacts, &orc_executor())])],
    );
    vec![
        row("executor, its file, stripped", sizes, 3.0),
        row("executor, idle: RSS", split(idle), 4.0),
        row("controller, SQLite shipped: RSS", split(shipped), 6.0),
    ]
}

/// In KiB.
fn stripped_size(artefacts: &Artefacts, program: &Path) -> f64 {
    let stripped = artefacts.path("stripped");
    let arguments = [Path::new("-o"), &stripped, program];
    tools::run("strip", &arguments).unwrap();
    fs::metadata(stripped).unwrap().len() as f64 / 1024.0
}
