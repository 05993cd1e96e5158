//! `farcall build`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use farcall::Linker;
use farcall::linker::{DebugInfo, ExportList, Member, Split, archive_members, is_bitcode};

use crate::compile_process::{CompileOptions, compile};
use crate::input::{Input, Kind, is_elf};
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
    /// The code asks the CPU before it calls inputs that need more than others: require what all need, not what any needs
    #[arg(long)]
    cpu_dispatch: bool,
    /// Link all members of this archive, which is one of the inputs
    #[arg(long, value_name = "ARCHIVE")]
    whole_archive: Vec<PathBuf>,
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
        linker.cpu_dispatch(self.cpu_dispatch);
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
    let is_input = |path: &&PathBuf| inputs.iter().any(|input| input.path == **path);
    if let Some(path) = link_options
        .whole_archive
        .iter()
        .find(|path| !is_input(path))
    {
        anyhow::bail!("--whole-archive {}: not one of the inputs", path.display());
    }
    let contents = inputs.iter().copied().map(Content::of);
    let contents = contents.collect::<anyhow::Result<Vec<_>>>()?;
    let with_ir = inputs.iter().copied().zip(&contents);
    let with_ir = with_ir.filter(|(_, content)| content.n_ir() > 0);
    let ir: Vec<&Input> = with_ir.map(|(input, _)| input).collect();
    let mut compiled = Vec::new();
    if !ir.is_empty() {
        let n_objects = contents.iter().map(Content::n_ir).sum();
        compiled = timings.stage("compile", || compile(&ir, n_objects, options, verbose))?;
        timings.bytes(compiled.iter().map(|object| object.len() as u64).sum());
    }
    let mut compiled = compiled.iter().map(Vec::as_slice);
    let mut linker = Linker::new();
    linker.export("main");
    link_options.apply(&mut linker)?;
    let mut first = None;
    for (input, content) in inputs.iter().zip(contents) {
        let is_whole = link_options.whole_archive.contains(&input.path);
        let name = input.name();
        let bytes = match content {
            Content::Ir => compiled.next().context("an object for each IR file")?,
            Content::Linkable => &input.bytes,
            Content::ArchiveWithIr(mut members) => {
                for (_, bytes) in members.iter_mut().filter(|(_, bytes)| is_bitcode(bytes)) {
                    *bytes = compiled.next().context("an object for each member")?;
                }
                let first_member = members.first().map_or(&[][..], |&(_, bytes)| bytes);
                first = first.or(Some(first_member));
                if is_whole {
                    // What is no object, a text file say, defines nothing.
                    let objects = members.into_iter().filter(|(_, bytes)| is_elf(bytes));
                    for (member, bytes) in objects {
                        linker.add(member, bytes);
                    }
                } else {
                    linker.add_members(name, members);
                }
                continue;
            }
        };
        match is_whole {
            true => linker.add_whole_archive(name, bytes),
            false => linker.add(name, bytes),
        };
        first = first.or(Some(bytes));
    }
    let runtime = libraries::compiler_runtime(first.unwrap_or_default());
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

/// What is to be done with an input.
enum Content<'data> {
    /// It is compiled.
    Ir,
    /// It is linked as it is.
    Linkable,
    /// Members of it are compiled: those that are bitcode.
    ArchiveWithIr(Vec<Member<'data>>),
}

impl<'data> Content<'data> {
    fn of(input: &'data Input) -> anyhow::Result<Self> {
        if input.kind == Kind::Ir {
            return Ok(Self::Ir);
        }
        let members = archive_members(&input.name(), &input.bytes)?.unwrap_or_default();
        Ok(match members.iter().any(|(_, bytes)| is_bitcode(bytes)) {
            true => Self::ArchiveWithIr(members),
            false => Self::Linkable,
        })
    }

    /// How many objects are made of it.
    fn n_ir(&self) -> usize {
        match self {
            Self::Ir => 1,
            Self::Linkable => 0,
            Self::ArchiveWithIr(members) => members
                .iter()
                .filter(|(_, bytes)| is_bitcode(bytes))
                .count(),
        }
    }
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
