//! `cargo xtask fuzz`: what reads foreign bytes, under a fuzzer.
//!
//! The fuzzer starts from the linker's fixtures, assembled, and from images of some of them. What it finds that is new
//! it keeps in `fuzz/corpus`, which is no part of the project, and what fails in `fuzz/artifacts`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use farcall_testkit::paths::workspace_root;
use farcall_testkit::tools;

use crate::command::{cargo, command, run as run_command};
use crate::setup;

/// Seconds for each target.
const SECONDS: u32 = 60;
/// The argument that asks for a short run.
pub(crate) const SMOKE: &str = "smoke";
const SMOKE_RUNS: u32 = 300_000;
const TARGETS: [&str; 2] = ["link", "image"];
/// One image for so many objects.
const OBJECTS_AN_IMAGE: usize = 8;
/// The fuzzer's limits: MiB in all and in one allocation, seconds for one input, bytes of an input.
const LIMITS: [&str; 4] = [
    "-rss_limit_mb=1024",
    "-malloc_limit_mb=512",
    "-timeout=10",
    "-max_len=65536",
];

/// Runs each target for the seconds that the argument says, or with `smoke` so often as is soon done, the same each
/// time: a test that fails by chance is none.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let duration = match args {
        [] => vec![format!("-max_total_time={SECONDS}")],
        [smoke] if smoke == SMOKE => vec!["-seed=1".to_owned(), format!("-runs={SMOKE_RUNS}")],
        [seconds] => {
            let seconds: u32 = (seconds.parse())
                .with_context(|| format!("{seconds}: not a number of seconds, nor `{SMOKE}`"))?;
            vec![format!("-max_total_time={seconds}")]
        }
        [_, arg, ..] => bail!("{arg}: unexpected argument"),
    };
    setup::ensure()?;
    if tools::find("cargo-fuzz").is_err() {
        run_command(&mut cargo(["install", "--locked", "--quiet", "cargo-fuzz"]))?;
    }
    seed()?;
    for target in TARGETS {
        let mut fuzz = cargo(["fuzz", "run", "--sanitizer", "none", target, "--"]);
        fuzz.args(&duration)
            .args(LIMITS)
            .arg("-verbosity=0")
            // Coverage needs options of the compiler that are not stable.
            .env("RUSTC_BOOTSTRAP", "1");
        run_command(&mut fuzz).with_context(|| format!("fuzzing `{target}` found something"))?;
    }
    Ok(())
}

/// Makes what the fuzzer starts from.
fn seed() -> Result<()> {
    let corpus = workspace_root().join("fuzz/corpus");
    let [objects, images] = TARGETS.map(|target| corpus.join(target));
    for folder in [&objects, &images] {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let mut n_objects = 0;
    for (folder, target) in [
        ("x86_64", "x86_64-linux-gnu"),
        ("aarch64", "aarch64-linux-gnu"),
    ] {
        for fixture in fixtures(folder)? {
            let Some(object) = assemble(&fixture, target, &objects)? else {
                continue;
            };
            n_objects += 1;
            if n_objects % OBJECTS_AN_IMAGE == 0 {
                make_image(&object, &images);
            }
        }
    }
    Ok(())
}

fn fixtures(machine: &str) -> Result<Vec<PathBuf>> {
    let folder = workspace_root().join("crates/linker/tests").join(machine);
    let mut fixtures = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "s") {
            fixtures.push(path);
        }
    }
    fixtures.sort();
    Ok(fixtures)
}

/// Assembles a fixture's first object; `None` when it is none by itself.
fn assemble(fixture: &Path, target: &str, folder: &Path) -> Result<Option<PathBuf>> {
    let text = fs::read_to_string(fixture).with_context(|| fixture.display().to_string())?;
    // Each part starts with the rest of the line that names it, the first with a comment.
    let parts = text.split("//# Object:");
    let mut parts = parts.filter_map(|part| part.split_once('\n').map(|(_, source)| source));
    let first = parts.find(|source| source.contains("\n    "));
    let name = fixture.file_stem().unwrap_or_default().to_string_lossy();
    let source = folder.join(format!("{target}-{name}.s"));
    let object = source.with_extension("o");
    fs::write(&source, first.unwrap_or_default())?;
    let mut assembler = command("clang-22", [format!("--target={target}")]);
    assembler.args([
        "-c".as_ref(),
        source.as_os_str(),
        "-o".as_ref(),
        object.as_os_str(),
    ]);
    let output = assembler.output().context("clang-22: cannot start")?;
    fs::remove_file(&source)?;
    Ok(output.status.success().then_some(object))
}

/// Links an object, if it links.
fn make_image(object: &Path, folder: &Path) {
    let image = folder.join(object.file_stem().unwrap_or_default());
    let mut build = cargo([
        "run",
        "--quiet",
        "--package",
        "farcall-cli",
        "--bin",
        "farcall",
        "--",
    ]);
    build.args([
        "build".as_ref(),
        object.as_os_str(),
        "-o".as_ref(),
        image.as_os_str(),
    ]);
    // A fixture of something that is refused makes no image, and that is all right.
    let _ = build.output();
}
