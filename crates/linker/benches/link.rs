//! What a link costs, beside `ld.lld` and JITLink in the same run: `cargo xtask bench link`.
//!
//! Each input is linked by all in turn, round after round, so that what else the machine does meets both. Prints
//! Markdown. With the names of two files it links the first one once and prints the memory that this took.

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

use farcall_image::{Image, NOTE_OWNER};
use farcall_linker::Linker;
use farcall_testkit::{Level, real, tools};

const ROUNDS: usize = 30;
/// A link that is shorter than a clock tick's worth is timed in runs of this many.
const LINKS_A_ROUND: u32 = 10;
/// An image has a build-id and an unwind table too, which these do not ask for.
const LLD_OPTIONS: [&str; 3] = ["-shared", "-s", "--threads=1"];
const N_FUNCTIONS: usize = 10_000;
const N_POINTERS: usize = 50_001;
const N_CALLS: usize = 50_000;
const N_IMPORTS: usize = 1_000;

/// One object to link, and what the link may take.
struct Case {
    name: &'static str,
    object: PathBuf,
    /// A function that it defines.
    entry: &'static str,
    /// How many of `import0`, `import1`… it needs.
    n_imports: usize,
    bar: Bar,
}

/// What a link may take: a duration on a quiet machine, or as many times less than another linker as that was there.
struct Bar {
    time: Duration,
    peer: Peer,
    times: f64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Peer {
    Lld,
    JitLink,
}

impl Bar {
    fn new(micros: u64, peer: Peer, peer_micros: u64) -> Self {
        let (time, peer_time) = (
            Duration::from_micros(micros),
            Duration::from_micros(peer_micros),
        );
        let times = peer_time.as_secs_f64() / time.as_secs_f64();
        Self { time, peer, times }
    }
}

fn main() {
    let arguments: Vec<String> = env::args()
        .skip(1)
        .filter(|each| each != "--bench")
        .collect();
    if let [object, small] = &arguments[..] {
        println!("{}", peak_memory(Path::new(object), Path::new(small)));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    println!(
        "| object | farcall | p10 to p90 | bar | `ld.lld` | times as fast | JITLink | times as fast | memory / input | image | `ld.lld` and the manifest |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for case in cases(folder.path()) {
        println!("{}", row(&case, folder.path()));
    }
}

fn cases(folder: &Path) -> Vec<Case> {
    let functions: String = (0..N_FUNCTIONS)
        .map(|index| format!("int f{index}(int x) {{ return import0(x + {index}) * {index}; }}\n"))
        .collect();
    let mut relocations = ".text\n.globl f\nf: ret\n.data\n.globl table\ntable:\n".to_owned();
    for index in 0..N_POINTERS {
        writeln!(relocations, ".quad f + {index}").unwrap();
    }
    relocations += ".text\n";
    for index in 0..N_CALLS {
        writeln!(relocations, "call import{}@PLT", index % N_IMPORTS).unwrap();
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
            entry: "add",
            n_imports: 0,
            bar: Bar::new(30, Peer::Lld, 20_000),
        },
        Case {
            name: "SQLite at O2",
            object: largest(sqlite),
            entry: "sqlite3_open",
            n_imports: 0,
            bar: Bar::new(1_200, Peer::JitLink, 4_000),
        },
        Case {
            name: "10,000 functions",
            object: compile("functions.c", &format!("int import0(int);\n{functions}")),
            entry: "f0",
            n_imports: 1,
            bar: Bar::new(6_000, Peer::JitLink, 25_000),
        },
        Case {
            name: "100,001 relocations",
            object: compile("relocations.s", &relocations),
            entry: "f",
            n_imports: N_IMPORTS,
            bar: Bar::new(25_000, Peer::Lld, 52_000),
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
    let (mut ours, mut theirs, mut jitlink) = (Vec::new(), Vec::new(), Vec::new());
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
        jitlink.push(linked_by_jitlink(case));
    }
    for times in [&mut ours, &mut theirs, &mut jitlink] {
        times.sort_unstable();
    }
    let [median, other, jitlink] = [&ours, &theirs, &jitlink].map(|times| times[ROUNDS / 2]);
    // With its note's header: two sizes, a type and the owner.
    let manifest = Image::parse(&image).unwrap().manifest_range().len() + 12 + NOTE_OWNER.len();
    let limit = fs::metadata(&peer).unwrap().len() + manifest as u64;
    let child = Command::new(env::current_exe().unwrap())
        .arg(&case.object)
        .arg(folder.join("tiny.o"))
        .output()
        .unwrap();
    let memory: f64 = String::from_utf8(child.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let (peer_name, peer_time) = match case.bar.peer {
        Peer::Lld => ("`ld.lld`", other),
        Peer::JitLink => ("JITLink", jitlink),
    };
    let verdict = |holds: bool| if holds { "holds" } else { "**missed**" };
    format!(
        "| {} | {} | {} to {} | {}, or {:.1} × as fast as {}: {} | {} | {:.1} | {} | {:.1} | {:.1} | {} | {}: {} |",
        case.name,
        time(median),
        time(ours[ROUNDS / 10]),
        time(ours[ROUNDS * 9 / 10]),
        time(case.bar.time),
        case.bar.times,
        peer_name,
        verdict(
            median <= case.bar.time
                || peer_time.as_secs_f64() >= case.bar.times * median.as_secs_f64()
        ),
        time(other),
        other.as_secs_f64() / median.as_secs_f64(),
        time(jitlink),
        jitlink.as_secs_f64() / median.as_secs_f64(),
        memory * 1024.0 / bytes.len() as f64,
        image.len(),
        limit,
        verdict(image.len() as u64 <= limit),
    )
}

/// How long JITLink takes to add an object and link it into its own process, by its own clock, which does not count the
/// process's start.
fn linked_by_jitlink(case: &Case) -> Duration {
    let mut jitlink = Command::new(tools::find("llvm-jitlink-22").unwrap());
    jitlink.args(["-noexec", "-num-threads=0", "-show-times"]);
    jitlink.arg(format!("-entry={}", case.entry));
    for import in 0..case.n_imports {
        jitlink.arg(format!("-abs=import{import}=0x7fff0000"));
    }
    let output = jitlink.arg(&case.object).output().unwrap();
    assert!(output.status.success(), "{jitlink:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    // The last table's last row: seconds of each kind, of which those on the wall come last.
    let total = text.lines().rfind(|line| line.ends_with("Total")).unwrap();
    let wall = total.split('(').nth_back(1).unwrap();
    let seconds = wall.rsplit(')').next().unwrap().trim();
    Duration::from_secs_f64(seconds.parse().unwrap())
}

fn link(bytes: &[u8]) -> Vec<u8> {
    Linker::new().add("object.o", bytes).link().unwrap()
}

/// KiB that linking a file once adds to the peak of this process, which has linked a small one: the pages of the
/// linker's own code are in it then.
fn peak_memory(object: &Path, small: &Path) -> u64 {
    let bytes = fs::read(object).unwrap();
    link(&fs::read(small).unwrap());
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
