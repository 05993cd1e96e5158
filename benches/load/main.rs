//! What loading costs, beside everything else that loads code, in one run: `cargo xtask bench load`.
//!
//! Each contender is a process, and each round asks every one of them in turn, so that what else the machine does meets
//! all. Prints Markdown; leaves `load.csv` and `load.svg` in `target/bench`.
//!
//! `--million` also loads a million modules, which takes minutes. `serve WAY SUBJECT FILE` is what a contender's process
//! is started with.
//!
//! To add a measurement: write its file in `measure`, call it in [`figures`], and add its row to `report/table.rs`.

#![allow(
    unsafe_code,
    reason = "loading code and calling it is what is measured"
)]
#![allow(
    clippy::unwrap_used,
    reason = "a bench that cannot run says why and ends"
)]

mod artefacts;
mod child;
mod contenders;
mod figure;
mod measure;
mod report;
mod way;

use std::env;
use std::fs;

use farcall_benches::Subject;
use farcall_testkit::paths::target_dir;

use crate::artefacts::Artefacts;
use crate::figure::Figures;
use crate::way::Way;

fn main() {
    // Cargo adds the first.
    let arguments: Vec<String> = env::args()
        .skip(1)
        .filter(|each| each != "--bench")
        .collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", way, subject, file] => {
            let subject = Subject::named(subject).expect("a subject");
            contenders::serve(Way::named(way).expect("a way"), subject, file.as_ref());
        }
        [] => run(false),
        ["--million"] => run(true),
        _ => panic!("{arguments:?}: --million is the only option"),
    }
}

fn run(million: bool) {
    let artefacts = Artefacts::make();
    let figures = figures(&artefacts, million);
    let folder = target_dir().join("bench");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("load.csv"), report::csv(&figures)).unwrap();
    fs::write(folder.join("load.svg"), report::chart(&figures)).unwrap();
    print!("{}", report::table(&figures));
}

fn figures(artefacts: &Artefacts, million: bool) -> Figures {
    let mut figures = Figures::default();
    measure::warm(artefacts, &mut figures);
    measure::first(artefacts, &mut figures);
    measure::lookup(artefacts, &mut figures);
    measure::live(artefacts, &mut figures);
    measure::sharing(artefacts, &mut figures);
    measure::throw(artefacts, &mut figures);
    measure::many(artefacts, &mut figures, million);
    figures
}
