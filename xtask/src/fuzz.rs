//! `cargo xtask fuzz`: what reads foreign bytes, under a fuzzer.
//!
//! The fuzzer starts from the linker's fixtures, assembled, from images of some of them, and from images that have what
//! loading has to do with (`fuzz/seeds`). What it finds that is new it keeps in `fuzz/corpus`, which is no part of the project, and what fails in `fuzz/artifacts`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, panic, thread};

use anyhow::{Context as _, Result, bail};
use farcall_testkit::paths::workspace_root;
use farcall_testkit::tools;

use crate::command::{cargo, command, run as run_command};
use crate::setup;

/// Seconds for each target.
const SECONDS: u32 = 60;
/// The argument that asks for a short run.
pub(crate) const SMOKE: &str = "smoke";
const TARGETS: [Target; 8] = [
    Target::new("link", 100_000, 1 << 16),
    Target::new("image", 100_000, 1 << 16),
    Target::new("bundle", 100_000, 1 << 16),
    // Loading makes system calls, and images are large from 128 KiB on.
    Target::new("load", 10_000, 200_000),
    Target::new("frames", 100_000, 4096),
    // Threads and sockets for each input.
    Target::new("peer", 10_000, 4096),
    Target::new("client", 50_000, 4096),
    Target::new("bare", 25_000, 4096),
];
/// One image for so many objects.
const OBJECTS_AN_IMAGE: usize = 8;
/// The fuzzer's limits: MiB in all and in one allocation, seconds for one input.
const LIMITS: [&str; 3] = ["-rss_limit_mb=1024", "-malloc_limit_mb=512", "-timeout=10"];

/// A file of `fuzz/fuzz_targets`.
struct Target {
    name: &'static str,
    /// How many inputs a short run tries.
    smoke_runs: u32,
    /// The largest input in bytes.
    max_len: u32,
}

impl Target {
    const fn new(name: &'static str, smoke_runs: u32, max_len: u32) -> Self {
        Self {
            name,
            smoke_runs,
            max_len,
        }
    }

    /// The folder with what the fuzzer starts from.
    fn corpus(&self) -> PathBuf {
        workspace_root().join("fuzz/corpus").join(self.name)
    }
}

/// Runs each target, or the one named, for the seconds that the argument says, or with `smoke` so often as is soon
/// done, the same each time: a test that fails by chance is none.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let (duration, only) = match args {
        [] => (None, None),
        [duration] => (Some(duration), None),
        [duration, target] => (Some(duration), Some(target)),
        [_, _, arg, ..] => bail!("{arg}: unexpected argument"),
    };
    let is_smoke = duration.is_some_and(|it| it == SMOKE);
    let seconds = match duration.filter(|_| !is_smoke) {
        None => SECONDS,
        Some(seconds) => (seconds.parse())
            .with_context(|| format!("{seconds}: not a number of seconds, nor `{SMOKE}`"))?,
    };
    let is_wanted = |target: &&Target| only.is_none_or(|only| only == target.name);
    let targets: Vec<_> = TARGETS.iter().filter(is_wanted).collect();
    if let (Some(only), true) = (only, targets.is_empty()) {
        bail!("{only}: no such target");
    }
    setup::ensure()?;
    if tools::find("cargo-fuzz").is_err() {
        run_command(&mut cargo(["install", "--locked", "--quiet", "cargo-fuzz"]))?;
    }
    seed()?;
    // All at once, not each when it is its turn.
    run_command(&mut cargo_fuzz("build", is_smoke))?;
    let fuzz = |target: &Target| {
        let mut fuzz = cargo_fuzz("run", is_smoke);
        fuzz.args([target.name, "--"]);
        match is_smoke {
            true => fuzz.args(["-seed=1".to_owned(), format!("-runs={}", target.smoke_runs)]),
            false => fuzz.arg(format!("-max_total_time={seconds}")),
        };
        fuzz.args(LIMITS)
            .arg(format!("-max_len={}", target.max_len))
            .arg("-verbosity=0");
        run_command(&mut fuzz).with_context(|| format!("fuzzing `{}` found something", target.name))
    };
    // One for each core: a fuzzer has one thread.
    let next = AtomicUsize::new(0);
    let n_threads = thread::available_parallelism()?.get();
    thread::scope(|scope| {
        let fuzzers: Vec<_> = (0..n_threads)
            .map(|_| {
                scope.spawn(|| {
                    while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                        fuzz(target)?;
                    }
                    Ok(())
                })
            })
            .collect();
        let mut ends = fuzzers.into_iter().map(|fuzzer| fuzzer.join());
        ends.try_for_each(|end| end.unwrap_or_else(|panic| panic::resume_unwind(panic)))
    })
}

fn cargo_fuzz(subcommand: &str, is_smoke: bool) -> Command {
    let mut fuzz = cargo(["fuzz", subcommand, "--sanitizer", "none"]);
    if is_smoke {
        // Optimizing takes longer than it saves.
        fuzz.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
    }
    // Coverage needs options of the compiler that are not stable.
    fuzz.env("RUSTC_BOOTSTRAP", "1");
    fuzz
}

/// Makes what the fuzzer starts from.
fn seed() -> Result<()> {
    for target in &TARGETS {
        let folder = target.corpus();
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    // The others start from nothing: messages are short.
    let [objects, images, bundles, loaded, ..] = TARGETS.map(|target| target.corpus());
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
                // A fixture of something that is refused makes no image, and that is all right.
                make_image(
                    &object,
                    &images.join(object.file_stem().unwrap_or_default()),
                )?;
            }
        }
    }
    seed_bundle(&images, &bundles.join("two"))?;
    seed_loading(&loaded)
}

/// Makes a bundle of two images for different machines.
fn seed_bundle(images: &Path, bundle: &Path) -> Result<()> {
    let images = files(images)?;
    let mut join = farcall(["bundle", "-o"]);
    join.arg(bundle);
    for machine in ["x86_64-", "aarch64-"] {
        let is_for = |path: &&PathBuf| {
            let name = path.file_name().unwrap_or_default();
            name.to_string_lossy().starts_with(machine)
        };
        let image = images.iter().find(is_for);
        join.arg(image.with_context(|| format!("{machine}: no image of a fixture"))?);
    }
    run_command(&mut join)
}

/// Makes an image of each source in `fuzz/seeds`, and of all that end in a digit one input of images that are
/// loaded together.
fn seed_loading(folder: &Path) -> Result<()> {
    let mut together = b"together".to_vec();
    for source in files(&workspace_root().join("fuzz/seeds"))? {
        let name = source.file_stem().unwrap_or_default();
        let object = folder.join(name).with_extension("o");
        let mut compiler = command("clang-22", ["-fPIC", "-O1", "-c"]);
        compiler.arg(&source).arg("-o").arg(&object);
        run_command(&mut compiler)?;
        let image = folder.join(name);
        if !make_image(&object, &image)? {
            bail!("{}: makes no image", source.display());
        }
        fs::remove_file(&object)?;
        if name
            .to_string_lossy()
            .ends_with(|last: char| last.is_ascii_digit())
        {
            let bytes = fs::read(&image)?;
            let size = u32::try_from(bytes.len()).context("a seed is small")?;
            together.extend(size.to_le_bytes());
            together.extend(bytes);
        }
    }
    fs::write(folder.join("together"), together)?;
    Ok(())
}

fn fixtures(machine: &str) -> Result<Vec<PathBuf>> {
    let folder = workspace_root().join("crates/linker/tests").join(machine);
    let mut fixtures = files(&folder)?;
    fixtures.retain(|path| path.extension().is_some_and(|extension| extension == "s"));
    Ok(fixtures)
}

/// The files of a folder, sorted.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        files.push(entry?.path());
    }
    files.sort();
    Ok(files)
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

/// Links an object; gives whether it links.
fn make_image(object: &Path, image: &Path) -> Result<bool> {
    let mut build = farcall(["build"]);
    build.args([object.as_os_str(), "-o".as_ref(), image.as_os_str()]);
    let output = build.output().context("cargo: cannot start")?;
    Ok(output.status.success())
}

/// The `farcall` command with these arguments.
fn farcall<const N: usize>(args: [&str; N]) -> Command {
    let mut farcall = cargo(["run", "--quiet", "--package", "farcall-cli"]);
    farcall.args(["--bin", "farcall", "--"]).args(args);
    farcall
}
