//! What running code in another process costs, beside ORC's way to do so, in one run: `cargo xtask bench executor`.
//!
//! Each contender is a process that controls, with a process of its own that executes, and each round asks every one of them in turn, so
//! that what else the machine does meets all. Prints Markdown; leaves `executor.csv` and `executor.svg` in `target/bench`. farcall's
//! executor is the one that was built last for release, which `cargo xtask bench` sees to. Its controller is this program, which has no
//! LLVM in it: `serve socket EXECUTOR SUBJECT IMAGE`, the same with `shared`, `file` or `workers`, and `first EXECUTOR IMAGE SCRIPT` are what it is started with.
//!
//! With the names of groups of rows (`loads`, `calls`, `start`, `memory`, `trust`, `isolation`) it measures these alone.
//!
//! To add a measurement: write its file in `measure`, and call it in [`rows`].

#![allow(
    clippy::unwrap_used,
    reason = "a bench that cannot run says why and ends"
)]

mod artefacts;
mod contender;
mod farcall;
mod measure;

use std::env;
use std::path::Path;

use farcall_benches::{Row, Subject, report, serve_remote};
use farcall_testkit::paths::target_dir;

use crate::artefacts::Artefacts;
use crate::farcall::{Farcall, Way};

fn main() {
    // Cargo adds the first.
    let arguments: Vec<String> = env::args()
        .skip(1)
        .filter(|each| each != "--bench")
        .collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", way, executor, subject, image] => {
            let way = match way {
                "shared" => Way::Shared,
                "file" => Way::File,
                "workers" => Way::Workers,
                _ => Way::Socket,
            };
            let subject = Subject::named(subject).expect("a subject");
            let farcall = Farcall::start(Path::new(executor), subject, Path::new(image), way);
            serve_remote(farcall, subject);
        }
        ["first", executor, image, script] => {
            farcall::first(Path::new(executor), Path::new(image), script);
        }
        _ => run(&words),
    }
}

fn run(groups: &[&str]) {
    let artefacts = Artefacts::make();
    let rows = rows(&artefacts, groups);
    report(
        &target_dir().join("bench"),
        "executor",
        "farcall's executor beside ORC's",
        &rows,
    );
}

/// A group of rows.
type Measure = fn(&Artefacts) -> Vec<Row>;

fn rows(artefacts: &Artefacts, groups: &[&str]) -> Vec<Row> {
    let measures: [(&str, Measure); 6] = [
        ("loads", measure::loads),
        ("calls", measure::calls),
        ("start", measure::start),
        ("memory", measure::memory),
        ("trust", measure::trust),
        ("isolation", measure::isolation),
    ];
    let is_wanted = |name: &str| groups.is_empty() || groups.contains(&name);
    let wanted = measures.iter().filter(|(name, _)| is_wanted(name));
    wanted.flat_map(|(_, measure)| measure(artefacts)).collect()
}
