//! Compiling IR in a process of its own: see `farcall-compile`.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};

use anyhow::Context as _;
use clap::Args;

use crate::input::Input;
use crate::report::Silent;

/// How to compile.
#[derive(Debug, Clone, Args)]
pub(crate) struct CompileOptions {
    /// Optimize IR: 0, 1, 2 or 3
    #[arg(short = 'O', value_name = "LEVEL", default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=3))]
    pub(crate) level: u8,
    /// Compile IR for this machine and system (aarch64, x86_64-linux-gnu); by default for this host's machine
    #[arg(long, value_name = "TRIPLE")]
    pub(crate) target: Option<String>,
    /// Compile IR for this CPU (LLVM's name, such as x86-64-v3; native: this machine's). Several, with commas between, make a
    /// bundle of build's image
    #[arg(long)]
    pub(crate) cpu: Option<String>,
    /// Compile IR with or without these CPU features: +avx2,-bmi
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) features: Option<String>,
    /// Generate the code of a large IR file in parts of at least so many instructions
    #[arg(long, value_name = "INSTRUCTIONS")]
    pub(crate) part_size: Option<usize>,
    /// Generate code of IR as it is, because it is optimized already
    #[arg(long)]
    pub(crate) optimized_ir: bool,
    /// Compile IR that uses numbers as addresses
    #[arg(long)]
    pub(crate) allow_absolute_addresses: bool,
}

/// Compiles IR files, and what is bitcode in archives, in their order. A large file becomes more than one object.
pub(crate) fn compile(
    inputs: &[&Input],
    n_modules: usize,
    options: &CompileOptions,
    verbose: u8,
) -> anyhow::Result<Vec<Vec<Vec<u8>>>> {
    let program = program()?;
    let mut command = Command::new(&program);
    command.arg(format!("-O{}", options.level));
    if let Some(target) = &options.target {
        command.arg(format!("--target={target}"));
    }
    if let Some(cpu) = &options.cpu {
        command.arg(format!("--cpu={cpu}"));
    }
    if let Some(features) = &options.features {
        command.arg(format!("--features={features}"));
    }
    if let Some(size) = options.part_size {
        command.arg(format!("--part-size={size}"));
    }
    if options.optimized_ir {
        command.arg("--optimized-ir");
    }
    if options.allow_absolute_addresses {
        command.arg("--allow-absolute-addresses");
    }
    if verbose > 0 {
        command.arg(format!("-{}", "v".repeat(verbose.into())));
    }
    command
        .arg("--")
        .args(inputs.iter().map(|input| input.name()));
    tracing::info!(?command, "compiling");
    // It shows its progress and says what is wrong itself.
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let started = || program.display().to_string();
    let mut child = command.spawn().with_context(started)?;
    // It writes nothing before it has read everything. When it has gone, its end says why.
    if let Some(stdin) = child.stdin.take() {
        let _ = send(inputs, stdin);
    }
    let output = child.wait_with_output().with_context(started)?;
    match output.status.code() {
        Some(1) => return Err(Silent.into()),
        Some(0) | None => {}
        // It may not be ours that is there, or not of this version.
        Some(_) => anyhow::bail!("{}: {}", program.display(), output.status),
    }
    if !output.status.success() {
        let names: Vec<String> = inputs.iter().map(|input| input.name()).collect();
        anyhow::bail!(
            "{}: the compiler crashed ({})",
            names.join(", "),
            output.status
        );
    }
    split(&output.stdout, n_modules).context("farcall-compile gave something else than objects")
}

fn send(inputs: &[&Input], mut to: ChildStdin) -> io::Result<()> {
    for input in inputs {
        to.write_all(&(input.bytes.len() as u64).to_le_bytes())?;
        to.write_all(&input.bytes)?;
    }
    Ok(())
}

/// `farcall-compile`, which is installed beside this program.
pub(crate) fn program() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("cannot find this program's own file")?;
    let program = this.with_file_name("farcall-compile");
    if !program.exists() {
        anyhow::bail!(
            "{}: not found: IR cannot be compiled without it",
            program.display()
        );
    }
    Ok(program)
}

/// The objects in the program's output, those of each module.
fn split(mut output: &[u8], n_modules: usize) -> Option<Vec<Vec<Vec<u8>>>> {
    let mut modules = Vec::with_capacity(n_modules);
    for _ in 0..n_modules {
        let mut objects = Vec::new();
        for _ in 0..number(&mut output)? {
            let size = number(&mut output)?;
            let (object, rest) = output.split_at_checked(size)?;
            objects.push(object.to_vec());
            output = rest;
        }
        modules.push(objects);
    }
    output.is_empty().then_some(modules)
}

fn number(output: &mut &[u8]) -> Option<usize> {
    let (number, rest) = output.split_first_chunk()?;
    *output = rest;
    usize::try_from(u64::from_le_bytes(*number)).ok()
}
