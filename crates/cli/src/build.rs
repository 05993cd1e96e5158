//! `farcall build`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use farcall::Linker;
use farcall::linker::{DebugInfo, ExportList, Split};

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
    #[command(flatten)]
    link_options: LinkOptions,
}

/// What of the inputs enters the image, and what of that is exported.
#[derive(Debug, Default, Args)]
pub(crate) struct LinkOptions {
    /// Export no other names than these (* and ? stand for any text and any byte)
    #[arg(long, value_name = "NAME")]
    export: Vec<String>,
    /// Export what this version script says: { global: f; api_*; local: *; };
    #[arg(long, value_name = "FILE", conflicts_with = "export")]
    version_script: Option<PathBuf>,
    /// Leave out sections that no export and no constructor needs
    #[arg(long)]
    gc_sections: bool,
    /// Debug information: in the image, in a file beside it (IMAGE.debug), or nowhere
    #[arg(long, value_enum, value_name = "WHERE", default_value_t)]
    debug: Debug,
}

/// Where debug information goes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Debug {
    Keep,
    Split,
    #[default]
    Drop,
}

impl LinkOptions {
    fn apply(&self, linker: &mut Linker<'_>) -> anyhow::Result<()> {
        linker.gc_sections(self.gc_sections);
        if self.debug == Debug::Keep {
            linker.debug_info(DebugInfo::Keep);
        }
        if let Some(path) = &self.version_script {
            let name = || path.display().to_string();
            let text = std::fs::read_to_string(path).with_context(name)?;
            linker.export_list(ExportList::parse_version_script(&text).with_context(name)?);
        } else if !self.export.is_empty() {
            linker.export_list(ExportList::only(&self.export));
        }
        Ok(())
    }
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
        let linked = link(
            &inputs.iter().collect::<Vec<_>>(),
            &self.options,
            &self.link_options,
            timings,
            verbose,
        )?;
        timings.stage("write", || {
            if let Some(debug_file) = &linked.debug_file {
                let mut path = self.output.clone().into_os_string();
                path.push(".debug");
                write(&path.into(), debug_file)?;
            }
            write(&self.output, &linked.image)
        })
    }
}

/// An image, and its debug information if that was split off.
pub(crate) struct Linked {
    pub(crate) image: Vec<u8>,
    debug_file: Option<Vec<u8>>,
}

impl From<Split> for Linked {
    fn from(split: Split) -> Self {
        Self {
            image: split.image,
            debug_file: Some(split.debug_file),
        }
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
    link_options: &LinkOptions,
    timings: &mut Timings,
    verbose: u8,
) -> anyhow::Result<Linked> {
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
    link_options.apply(&mut linker)?;
    let mut first = None;
    for input in inputs {
        let bytes = match input.kind {
            Kind::Ir => compiled.next().context("an object for each IR file")?,
            _ => &input.bytes,
        };
        linker.add(input.name(), bytes);
        first = first.or(Some(bytes));
    }
    let runtime = libraries::compiler_runtime(first.map(Vec::as_slice).unwrap_or_default());
    if let Some((name, bytes)) = &runtime {
        linker.library(name.as_str(), bytes);
    }
    let linked = timings.stage("link", || match link_options.debug {
        Debug::Split => linker.link_split().map(Linked::from),
        Debug::Keep | Debug::Drop => linker.link().map(|image| Linked {
            image,
            debug_file: None,
        }),
    })?;
    timings.bytes(linked.image.len() as u64);
    tracing::info!(inputs = inputs.len(), bytes = linked.image.len(), "linked");
    Ok(linked)
}

/// Writes a file so that nobody sees a part of it.
pub(crate) fn write(path: &PathBuf, image: &[u8]) -> anyhow::Result<()> {
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
