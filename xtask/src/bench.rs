//! `cargo xtask bench`: what things cost, beside what else does them, into `BENCHMARKS.md`.
//!
//! Each part of that file stands between two comments that name its bench, and is replaced whole.
//!
//! A bench may leave a chart, `NAME.svg` in `target/bench`; it is put beside the file, where that shows it, as
//! `docs/bench-NAME.svg`. What else it leaves there stays there, such as `NAME.csv`.
//!
//! To add a bench: write it as a `harness = false` bench of its crate that prints Markdown, and add its row to
//! [`BENCHES`] and its comments to `BENCHMARKS.md`.

use std::fs;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use farcall_testkit::paths::{target_dir, workspace_root};

use crate::command::{cargo, run as run_command, shown};
use crate::setup;

/// A bench, by the name it is called by.
struct Bench {
    name: &'static str,
    /// The crate whose bench of that name it is.
    package: &'static str,
    summary: &'static str,
    /// The package whose programs it runs.
    programs: Option<&'static str>,
}

const BENCHES: &[Bench] = &[
    Bench {
        name: "link",
        package: "farcall-linker",
        summary: "linking, beside ld.lld and JITLink",
        programs: None,
    },
    Bench {
        name: "load",
        package: "farcall-benches",
        summary: "loading, beside dlopen, JITLink and elf_loader; `--million` loads so many modules too",
        programs: None,
    },
    Bench {
        name: "compile",
        package: "farcall-benches",
        summary: "compiling, beside LLJIT and LLVM; with names of groups of rows, these alone",
        programs: Some("farcall-cli"),
    },
    Bench {
        name: "executor",
        package: "farcall-benches",
        summary: "running code in another process, beside SimpleRemoteEPC; with names of groups of rows, these alone",
        programs: Some("farcall-executor"),
    },
];

pub(crate) fn run(args: &[String]) -> Result<()> {
    let Some((name, options)) = args.split_first() else {
        for Bench { name, summary, .. } in BENCHES {
            println!("cargo xtask bench {name:<8} {summary}");
        }
        return Ok(());
    };
    let Some(Bench {
        name,
        package,
        programs,
        ..
    }) = BENCHES.iter().find(|bench| bench.name == name)
    else {
        bail!("{name}: no such bench: `cargo xtask bench` prints them");
    };
    setup::ensure()?;
    if let Some(programs) = programs {
        run_command(&mut cargo([
            "build",
            "--quiet",
            "--release",
            "--package",
            programs,
        ]))?;
    }
    let chart = target_dir().join("bench").join(format!("{name}.svg"));
    // That of an earlier run is not this one's.
    if chart.exists() {
        fs::remove_file(&chart).with_context(|| chart.display().to_string())?;
    }
    let mut bench = cargo(["bench", "--quiet", "--package", package, "--bench", name]);
    bench.arg("--").args(options);
    let output = bench
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| shown(&bench))?;
    if !output.status.success() {
        bail!("{}: {}", shown(&bench), output.status);
    }
    let table = String::from_utf8(output.stdout)?;
    let machine = machine();
    println!("{machine}\n\n{table}");
    if chart.exists() {
        let beside = workspace_root().join(format!("docs/bench-{name}.svg"));
        fs::copy(&chart, &beside).with_context(|| beside.display().to_string())?;
    }
    write(name, &format!("{machine}\n\n{table}"))
}

/// Replaces one bench's part of the file.
fn write(name: &str, part: &str) -> Result<()> {
    let path = workspace_root().join("BENCHMARKS.md");
    let text = fs::read_to_string(&path).context("BENCHMARKS.md")?;
    let (start, end) = (
        format!("<!-- {name} -->\n"),
        format!("<!-- end of {name} -->"),
    );
    let (before, rest) = text
        .split_once(&start)
        .with_context(|| format!("no {start}"))?;
    let (_, after) = rest.split_once(&end).with_context(|| format!("no {end}"))?;
    fs::write(&path, format!("{before}{start}{part}{end}{after}")).context("BENCHMARKS.md")
}

/// What the figures were read on.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("an unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("Read on: {model}, {cores} cores, Linux {}.", kernel.trim())
}
