//! `farcall build`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use farcall::Linker;

use crate::compile_process::{CompileOptions, compile};
use crate::input::{Input, Kind};
use crate::libraries;
use crate::timings::Timings;

/// What `farcall build` was asked.
#[derive(Debug, Args)]
pub(crate) struct Build {
    /// IR (.ll, .bc), objects (.o), archives (.a)
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// The image to write
    #[arg(short, value_name = "IMAGE")]
    output: PathBuf,
    #[command(flatten)]
    options: CompileOptions,
}

impl Build {
    pub(crate) fn execute(self, timings: &mut Timings, verbose: u8) -> anyhow::Result<()> {
        let inputs = timings.stage("read", || read(&self.inputs))?;
        if let Some(image) = inputs.iter().find(|input| input.kind == Kind::Image) {
            anyhow::bail!(
                "{}: an image, a shared object or an executable, which cannot be linked again",
                image.name()
            );
        }
        let image = link(
            &inputs.iter().collect::<Vec<_>>(),
            &self.options,
            timings,
            verbose,
        )?;
        timings.stage("write", || write(&self.output, &image))
    }
}

/// Reads the files.
pub(crate) fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<Input>> {
    paths.iter().map(|path| Input::read(path)).collect()
}

/// Compiles what is IR and links all of it to one image, with what it needs of the compiler's own
/// archive. A program's `main` is exported, however it was declared.
pub(crate) fn link(
    inputs: &[&Input],
    options: &CompileOptions,
    timings: &mut Timings,
    verbose: u8,
) -> anyhow::Result<Vec<u8>> {
    let ir: Vec<&Input> = inputs
        .iter()
        .copied()
        .filter(|input| input.kind == Kind::Ir)
        .collect();
    let mut compiled = Vec::new();
    if !ir.is_empty() {
        compiled = timings.stage("compile", || compile(&ir, options, verbose))?;
        timings.bytes(compiled.iter().map(|object| object.len() as u64).sum());
    }
    let mut compiled = compiled.iter();
    let mut linker = Linker::new();
    linker.export("main");
    for input in inputs {
        let bytes = match input.kind {
            Kind::Ir => compiled.next().context("an object for each IR file")?,
            _ => &input.bytes,
        };
        linker.add(input.name(), bytes);
    }
    let runtime = libraries::compiler_runtime();
    if let Some((name, bytes)) = &runtime {
        linker.library(name.as_str(), bytes);
    }
    let image = timings.stage("link", || linker.link())?;
    timings.bytes(image.len() as u64);
    tracing::info!(inputs = inputs.len(), bytes = image.len(), "linked");
    Ok(image)
}

/// Writes an image so that nobody sees a part of it.
fn write(path: &PathBuf, image: &[u8]) -> anyhow::Result<()> {
    let mut temporary = path.clone().into_os_string();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let written =
        std::fs::write(&temporary, image).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // It may not exist; the error that matters is the one above.
        let _ = std::fs::remove_file(&temporary);
    }
    written.with_context(|| format!("{}: cannot write", path.display()))
}
