//! What compiling costs, beside LLJIT and LLVM itself, in one run: `cargo xtask bench compile`.
//!
//! Each contender is a process, and each round asks every one of them in turn, so that what else the machine does meets
//! all. Prints Markdown; leaves `compile.csv` and `compile.svg` in `target/bench`. `serve WORK FOLDER` is what farcall's process is
//! started with. Where the whole command is measured, it is the one that was built last for release, which `cargo xtask bench` sees to.
//!
//! With the names of groups of rows (`tiny`, `thousand`, `sqlite`, `cache`, `run`, `processes`) it measures these alone.
//!
//! To add a measurement: write its file in `measure`, and call it in [`rows`].

#![allow(
    unsafe_code,
    reason = "compiling code and calling it is what is measured"
)]
#![allow(
    clippy::unwrap_used,
    reason = "a bench that cannot run says why and ends"
)]

mod artefacts;
mod command;
mod farcall;
mod measure;

use std::env;
use std::path::Path;

use farcall_benches::{Row, Work, report, serve_jit};
use farcall_testkit::paths::target_dir;

use crate::artefacts::Artefacts;

fn main() {
    // Cargo adds the first.
    let arguments: Vec<String> = env::args()
        .skip(1)
        .filter(|each| each != "--bench")
        .collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", work, folder] => {
            let work = Work::named(work).expect("a work");
            serve_jit(farcall::Farcall::new(work), Path::new(folder));
        }
        _ => run(&words),
    }
}

fn run(groups: &[&str]) {
    let artefacts = Artefacts::make();
    let rows = rows(&artefacts, groups);
    report(
        &target_dir().join("bench"),
        "compile",
        "farcall's compiler beside LLJIT and LLVM",
        &rows,
    );
}

/// A group of rows.
type Measure = fn(&Artefacts) -> Vec<Row>;

fn rows(artefacts: &Artefacts, groups: &[&str]) -> Vec<Row> {
    let measures: [(&str, Measure); 6] = [
        ("tiny", measure::tiny),
        ("thousand", measure::thousand),
        ("sqlite", measure::sqlite),
        ("cache", measure::cache),
        ("run", measure::run),
        ("processes", measure::processes),
    ];
    let is_wanted = |name: &str| groups.is_empty() || groups.contains(&name);
    let wanted = measures.iter().filter(|(name, _)| is_wanted(name));
    wanted.flat_map(|(_, measure)| measure(artefacts)).collect()
}
