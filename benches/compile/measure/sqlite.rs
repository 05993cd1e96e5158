//! A large module.

use farcall_benches::{Bar, Row, Work};

use super::{Contender, LLJIT, LLJIT_THREADS};
use crate::artefacts::{self, Artefacts};

/// Few: a round of the first row takes half a minute.
const ROUNDS: usize = 3;

pub(crate) fn sqlite(artefacts: &Artefacts) -> Vec<Row> {
    let mut rows = vec![image(artefacts)];
    rows.extend(callable(artefacts));
    rows
}

/// One thread, to an image beside LLVM's object. One thread's processor time is its time where nobody else wants the core.
fn image(artefacts: &Artefacts) -> Row {
    let contenders = [Contender::Farcall, Contender::LlJit(0)];
    let mut children = contenders.map(|contender| contender.start(Work::Optimize, artefacts));
    let request = format!("image {}", artefacts::sqlite().display());
    let mut samples = [const { Vec::new() }; 2];
    for _ in 0..ROUNDS {
        for (child, samples) in children.iter_mut().zip(&mut samples) {
            samples.push(child.ask(&request).unwrap()[1]);
        }
    }
    let [ours, llvm] = samples;
    let title = "SQLite at O2, one thread, IR → image, CPU time";
    let others = vec![("LLVM, an object", llvm)];
    Row::new(title, ours, others, Some(Bar::AtMost(1.03)))
}

/// All cores, to functions that can be called.
fn callable(artefacts: &Artefacts) -> Vec<Row> {
    let rows = |work, ir: std::path::PathBuf, rounds, title: &str, bars: [Option<Bar>; 2]| {
        let contenders = [Contender::Farcall, Contender::LlJit(0), Contender::LlJit(2)];
        let mut children = contenders.map(|contender| contender.start(work, artefacts));
        let request = format!("large {}", ir.display());
        let mut samples = [const { [const { Vec::new() }; 2] }; 3];
        for _ in 0..rounds {
            for (child, samples) in children.iter_mut().zip(&mut samples) {
                let numbers = child.ask(&request).unwrap();
                for (samples, number) in samples.iter_mut().zip(numbers) {
                    samples.push(number);
                }
            }
        }
        let [ours, lljit, threads] = samples;
        let row = |kind: &str, [ours, lljit, threads]: [Vec<f64>; 3], bar| {
            let others = vec![(LLJIT, lljit), (LLJIT_THREADS, threads)];
            Row::new(format!("{title}{kind}"), ours, others, bar)
        };
        let [
            [wall, cpu],
            [lljit_wall, lljit_cpu],
            [threads_wall, threads_cpu],
        ] = [ours, lljit, threads];
        let [wall_bar, cpu_bar] = bars;
        [
            row("", [wall, lljit_wall, threads_wall], wall_bar),
            row(", CPU time", [cpu, lljit_cpu, threads_cpu], cpu_bar),
        ]
    };
    let mut all = Vec::new();
    all.extend(rows(
        Work::Generate,
        artefacts::optimized_sqlite(),
        ROUNDS,
        "SQLite at O2, all cores, optimized IR → callable",
        [Some(Bar::AtMost(0.63)), Some(Bar::AtMost(1.08))],
    ));
    all.extend(rows(
        Work::Optimize,
        artefacts::sqlite(),
        1,
        "SQLite at O2, all cores, IR → callable",
        [None, None],
    ));
    all
}
