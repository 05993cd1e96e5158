//! `farcall-compile`: compiles IR for `farcall`, in a process of its own.
//!
//! Only this program of the two maps LLVM, which costs every process that does 14 ms and 55 MB,
//! and only this one dies when LLVM crashes.
//!
//! It reads the inputs from standard input, so that what `farcall` has looked at is what is compiled, and writes
//! the objects to standard output, in the order of the inputs: for each how many there are, then each object as its
//! size in bytes and its bytes. Numbers are little-endian `u64`. What is wrong goes to standard error.

#![forbid(unsafe_code)]

mod progress;

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use clap::Parser;
use farcall::linker::{archive_members, is_bitcode};
use farcall::{Compiler, Object, OptLevel};
use indicatif::ProgressBar;

#[derive(Debug, Parser)]
#[command(
    name = "farcall-compile",
    version,
    about = "Compiles LLVM IR for farcall"
)]
struct Arguments {
    /// The names of the inputs on standard input: IR, text or bitcode, and archives with bitcode in them
    #[arg(required_unless_present = "libraries")]
    inputs: Vec<String>,
    /// Print the files that this program is made of, each ended by a zero byte, and do no more
    #[arg(long)]
    libraries: bool,
    /// 0, 1, 2 or 3
    #[arg(short = 'O', default_value_t = 2)]
    level: u8,
    /// Triple of the machine and system to compile for
    #[arg(long)]
    target: Option<String>,
    /// LLVM's name of the CPU to compile for
    #[arg(long)]
    cpu: Option<String>,
    /// LLVM's features to add or to leave out: +avx2,-bmi
    #[arg(long, allow_hyphen_values = true)]
    features: Option<String>,
    /// Generate code of IR as it is
    #[arg(long)]
    optimized_ir: bool,
    /// Allow numbers that are used as addresses
    #[arg(long)]
    allow_absolute_addresses: bool,
    /// Make code for images that share what is weak and hidden
    #[arg(long)]
    share_scope: bool,
    /// Leave debug information out of objects
    #[arg(long)]
    strip_debug: bool,
    /// How many instructions a part of a large file has at least that becomes an object of its own
    #[arg(long)]
    part_size: Option<usize>,
    /// Log to standard error
    #[arg(short, action = clap::ArgAction::Count)]
    verbose: u8,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let level = match arguments.verbose {
        0 => tracing::Level::WARN,
        1 => tracing::Level::INFO,
        2 => tracing::Level::DEBUG,
        _ => tracing::Level::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may be left to read it.
            let _ = writeln!(std::io::stderr(), "farcall: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.libraries {
        let mut out = std::io::stdout().lock();
        for path in farcall::store::build::mapped_files()? {
            out.write_all(path.as_os_str().as_bytes())?;
            out.write_all(&[0])?;
        }
        return Ok(out.flush()?);
    }
    let level = match arguments.level {
        0 => OptLevel::O0,
        1 => OptLevel::O1,
        2 => OptLevel::O2,
        3 => OptLevel::O3,
        other => anyhow::bail!("-O{other}: there are the levels 0 to 3"),
    };
    let mut builder = Compiler::builder()
        .opt_level(level)
        .optimized_ir(arguments.optimized_ir)
        .share_scope(arguments.share_scope)
        .strip_debug(arguments.strip_debug)
        .absolute_addresses(arguments.allow_absolute_addresses);
    if let Some(target) = &arguments.target {
        builder = builder.target(target);
    }
    if let Some(size) = arguments.part_size {
        builder = builder.part_size(size);
    }
    if let Some(cpu) = &arguments.cpu {
        builder = builder.cpu(cpu);
    }
    if let Some(features) = &arguments.features {
        builder = builder.features(features);
    }
    let compiler = builder.build()?;
    let mut modules = Vec::new();
    for name in &arguments.inputs {
        modules.extend(modules_of(name)?);
    }
    let names: Vec<String> = modules.iter().map(|module| module.name.clone()).collect();
    let progress = progress::progress(&names, arguments.verbose > 0);
    let objects = compile_all(&compiler, &modules, &progress);
    progress.finish_and_clear();
    let objects = objects?;
    let mut out = std::io::stdout().lock();
    for parts in objects {
        out.write_all(&(parts.len() as u64).to_le_bytes())?;
        for object in parts {
            out.write_all(&(object.bytes.len() as u64).to_le_bytes())?;
            out.write_all(&object.bytes)?;
        }
    }
    out.flush()?;
    Ok(())
}

/// IR, and what it is called.
struct Module {
    name: String,
    ir: Vec<u8>,
    /// Linkers take members of archives as they need them, so that a member is one object.
    is_member: bool,
}

/// The IR in the next input, with names: its own, or the members of an archive that are bitcode.
fn modules_of(name: &str) -> anyhow::Result<Vec<Module>> {
    let bytes = next_input().context("standard input does not hold what farcall sends")?;
    let Some(members) = archive_members(name, &bytes)? else {
        let is_member = false;
        return Ok(vec![Module {
            name: name.to_owned(),
            ir: bytes,
            is_member,
        }]);
    };
    let bitcode = members.into_iter().filter(|(_, bytes)| is_bitcode(bytes));
    Ok(bitcode
        .map(|(name, bytes)| Module {
            name,
            ir: bytes.to_vec(),
            is_member: true,
        })
        .collect())
}

fn next_input() -> std::io::Result<Vec<u8>> {
    let mut input = std::io::stdin().lock();
    let mut size = [0; 8];
    input.read_exact(&mut size)?;
    let size = u64::from_le_bytes(size);
    let mut bytes = Vec::new();
    let n_read = input.take(size).read_to_end(&mut bytes)?;
    match n_read as u64 == size {
        true => Ok(bytes),
        false => Err(std::io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Compiles modules on all cores. The first, in their order, that fails is the error.
fn compile_all(
    compiler: &Compiler,
    inputs: &[Module],
    progress: &ProgressBar,
) -> anyhow::Result<Vec<Vec<Object>>> {
    let compile = |module: &Module| {
        let objects = if module.is_member {
            vec![compiler.compile_ir(&module.name, &module.ir)?]
        } else {
            compiler
                .compile_parts(&[(&module.name, &module.ir)])
                .remove(0)?
        };
        progress.inc(1);
        anyhow::Ok(objects)
    };
    let next = AtomicUsize::new(0);
    let n_threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(inputs.len());
    let worker = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(input) = inputs.get(index) else {
                return done;
            };
            done.push((index, compile(input)));
        }
    };
    let mut results: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..n_threads).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("no worker panics"))
            .collect()
    });
    results.sort_by_key(|&(index, _)| index);
    results.into_iter().map(|(_, result)| result).collect()
}
