//! `cargo xtask bench`: what things cost, beside what else does them, into `BENCHMARKS.md`.
//!
//! Each part of that file stands between two comments that name its bench, and is replaced whole.
//!
//! To add a bench: write it as a `harness = false` bench of its crate that prints Markdown, and add its row to
//! [`BENCHES`] and its comments to `BENCHMARKS.md`.

use std::fs;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use farcall_testkit::paths::workspace_root;

use crate::command::{cargo, shown};
use crate::setup;

/// Names, each with the crate whose bench of that name it is.
const BENCHES: [(&str, &str); 1] = [("link", "farcall-linker")];

pub(crate) fn run(args: &[String]) -> Result<()> {
    let known = || BENCHES.map(|(name, _)| name).join(", ");
    let [name] = args else {
        bail!("which bench? There are: {}", known());
    };
    let Some((name, package)) = BENCHES.iter().find(|(each, _)| each == name) else {
        bail!("{name}: no such bench; there are: {}", known());
    };
    setup::ensure()?;
    let mut bench = cargo(["bench", "--quiet", "--package", package, "--bench", name]);
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
