//! What a link costs, beside `ld.lld` in the same run: `cargo xtask bench link`.
//!
//! Each input is linked by both in turn, round after round, so that what else the machine does meets both. Prints
//! Markdown. With the name of a file it links that once and prints the memory that this took.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    reason = "a bench that cannot run says why and ends"
)]

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use farcall_image::Image;
use farcall_linker::Linker;
use farcall_testkit::{Level, real, tools};

const ROUNDS: usize = 30;
/// A link that is shorter than a clock tick's worth is timed in runs of this many.
const LINKS_A_ROUND: u32 = 10;
/// As clang calls it: what unwinds, what is hashed and what identifies the file are in an image too.
const LLD_OPTIONS: [&str; 6] = [
    "-shared",
    "-s",
    "--threads=1",
    "--eh-frame-hdr",
    "--hash-style=gnu",
    "--build-id=sha1",
];
const N_FUNCTIONS: usize = 10_000;
const N_POINTERS: usize = 50_001;
const N_CALLS: usize = 50_000;

/// One object to link, and what the link may take.
struct Case {
    name: &'static str,
    object: PathBuf,
    bar: Duration,
}

fn main() {
    let arguments: Vec<String> = env::args()
        .skip(1)
        .filter(|each| each != "--bench")
        .collect();
    if let [object] = &arguments[..] {
        println!("{}", peak_memory(Path::new(object)));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    println!(
        "| object | farcall | p10 to p90 | bar | `ld.lld` | times as fast | memory / input | image | `ld.lld` and the manifest |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for case in cases(folder.path()) {
        println!("{}", row(&case, folder.path()));
    }
}

fn cases(folder: &Path) -> Vec<Case> {
    let functions: String = (0..N_FUNCTIONS)
        .map(|index| format!("int f{index}(int x) {{ return g(x + {index}) * {index}; }}\n"))
        .collect();
    let mut relocations = ".text\n.globl f\nf: ret\n.data\n.globl table\ntable:\n".to_owned();
    for index in 0..N_POINTERS {
        writeln!(relocations, ".quad f + {index}").unwrap();
    }
    relocations += ".text\n";
    for index in 0..N_CALLS {
        writeln!(relocations, "call import{}@PLT", index % 1000).unwrap();
    }
    let compile = |name: &str, text: &str| {
        let (source, object) = (folder.join(name), folder.join(name).with_extension("o"));
        fs::write(&source, text).unwrap();
        let [source, target] = [&source, &object].map(|path| path.as_os_str());
        let options = ["-O1", "-fPIC", "-c", "-o"].map(AsRef::as_ref);
        tools::run("clang-22", &[&options[..], &[target, source]].concat()).unwrap();
        object
    };
    let sqlite = real::sqlite().unwrap().objects(Level::O2).unwrap();

    vec![
        Case {
            name: "one function",
            object: compile("tiny.c", "int add(int a, int b) { return a + b; }"),
            bar: Duration::from_micros(30),
        },
        Case {
            name: "SQLite at O2",
            object: largest(sqlite),
            bar: Duration::from_micros(1_200),
        },
        Case {
            name: "10,000 functions",
            object: compile("functions.c", &format!("int g(int);\n{functions}")),
            bar: Duration::from_micros(6_000),
        },
        Case {
            name: "100,001 relocations",
            object: compile("relocations.s", &relocations),
            bar: Duration::from_micros(25_000),
        },
    ]
}

/// The library's own object among a program's.
fn largest(objects: Vec<PathBuf>) -> PathBuf {
    let size = |path: &PathBuf| fs::metadata(path).unwrap().len();
    objects.into_iter().max_by_key(size).unwrap()
}

fn row(case: &Case, folder: &Path) -> String {
    let bytes = fs::read(&case.object).unwrap();
    let peer = folder.join("peer.so");
    let mut lld = Command::new(tools::find("ld.lld-22").unwrap());
    lld.args(LLD_OPTIONS).arg("-o").arg(&peer).arg(&case.object);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut image = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..LINKS_A_ROUND {
            image = link(&bytes);
        }
        ours.push(start.elapsed() / LINKS_A_ROUND);
        let start = Instant::now();
        assert!(lld.status().unwrap().success());
        theirs.push(start.elapsed());
    }
    ours.sort_unstable();
    theirs.sort_unstable();
    let (median, other) = (ours[ROUNDS / 2], theirs[ROUNDS / 2]);
    let manifest = Image::parse(&image).unwrap().manifest_range().len();
    let limit = fs::metadata(&peer).unwrap().len() + manifest as u64;
    let child = Command::new(env::current_exe().unwrap())
        .arg(&case.object)
        .output()
        .unwrap();
    let memory: f64 = String::from_utf8(child.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let verdict = |holds: bool| if holds { "holds" } else { "**missed**" };
    format!(
        "| {} | {} | {} to {} | {}: {} | {} | {:.1} | {:.1} | {} | {}: {} |",
        case.name,
        time(median),
        time(ours[ROUNDS / 10]),
        time(ours[ROUNDS * 9 / 10]),
        time(case.bar),
        verdict(median <= case.bar),
        time(other),
        other.as_secs_f64() / median.as_secs_f64(),
        memory * 1024.0 / bytes.len() as f64,
        image.len(),
        limit,
        verdict(image.len() as u64 <= limit),
    )
}

fn link(bytes: &[u8]) -> Vec<u8> {
    Linker::new().add("object.o", bytes).link().unwrap()
}

/// KiB that linking a file once adds to the peak of this process.
fn peak_memory(object: &Path) -> u64 {
    let bytes = fs::read(object).unwrap();
    let before = peak();
    let image = link(&bytes);
    assert!(!image.is_empty());
    peak() - before
}

fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}

fn time(duration: Duration) -> String {
    match duration.as_secs_f64() {
        seconds if seconds < 1e-3 => format!("{:.1} µs", seconds * 1e6),
        seconds => format!("{:.2} ms", seconds * 1e3),
    }
}
