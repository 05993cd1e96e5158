//! `farcall build`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use farcall::linker::{DebugInfo, ExportList, Member, Split, archive_members, is_bitcode};
use farcall::{Bundle, Image, Linker, Machine};

use crate::bundle::bundle;
use crate::cache::CacheOptions;
use crate::compile_process::{CompileOptions, compile};
use crate::input::{Input, Kind, is_elf};
use crate::libraries;
use crate::recipe::{Recipe, cached};
use crate::sign::{SignOptions, Signer};
use crate::timings::Timings;
use crate::variants::{VariantOptions, shown};

/// What `farcall build` was asked.
#[derive(Debug, Args)]
pub(crate) struct Build {
    /// IR (.ll, .bc), objects (.o), archives (.a)
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// The image to write, or the bundle when there are variants
    #[arg(short, value_name = "IMAGE")]
    output: PathBuf,
    #[command(flatten)]
    variants: VariantOptions,
    #[command(flatten)]
    options: CompileOptions,
    #[command(flatten)]
    link_options: LinkOptions,
    #[command(flatten)]
    cache: CacheOptions,
    #[command(flatten)]
    sign: SignOptions,
}

/// What of the inputs enters the image, and what of that is exported.
#[derive(Debug, Default, Args)]
pub(crate) struct LinkOptions {
    /// Export no other names than these (* and ? stand for any text and any byte)
    #[arg(long, value_name = "NAME")]
    pub(crate) export: Vec<String>,
    /// Export what this version script says: { global: f; api_*; local: *; };
    #[arg(long, value_name = "FILE", conflicts_with = "export")]
    pub(crate) version_script: Option<PathBuf>,
    /// Leave out sections that no export and no constructor needs
    #[arg(long)]
    pub(crate) gc_sections: bool,
    /// The code asks the CPU before it calls inputs that need more than others: require what all need, not what any needs
    #[arg(long)]
    pub(crate) cpu_dispatch: bool,
    /// Link all members of this archive, which is one of the inputs
    #[arg(long, value_name = "ARCHIVE")]
    pub(crate) whole_archive: Vec<PathBuf>,
    /// Debug information: in the image, in a file beside it (IMAGE.debug, for a variant IMAGE.DIGEST.debug), or nowhere
    #[arg(long, value_enum, value_name = "WHERE", default_value_t)]
    pub(crate) debug: Debug,
}

/// Where debug information goes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Debug {
    Keep,
    Split,
    #[default]
    Drop,
}

impl LinkOptions {
    /// The version script's text. It is read once: what the cache's key knows of it is what is linked.
    fn read_version_script(&self) -> anyhow::Result<Option<String>> {
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path)
                .with_context(|| format!("{}: cannot read", path.display()))
        };
        self.version_script.as_ref().map(read).transpose()
    }

    fn apply(&self, linker: &mut Linker<'_>, version_script: Option<&str>) -> anyhow::Result<()> {
        linker.gc_sections(self.gc_sections);
        linker.cpu_dispatch(self.cpu_dispatch);
        if self.debug == Debug::Keep {
            linker.debug_info(DebugInfo::Keep);
        }
        if let (Some(path), Some(text)) = (&self.version_script, version_script) {
            let list = ExportList::parse_version_script(text);
            linker.export_list(list.with_context(|| path.display().to_string())?);
        } else if !self.export.is_empty() {
            linker.export_list(ExportList::only(&self.export));
        }
        Ok(())
    }

    pub(crate) fn is_whole(&self, input: &Input) -> bool {
        self.whole_archive.contains(&input.path)
    }
}

impl Build {
    pub(crate) fn execute(self, timings: &mut Timings, verbose: u8) -> anyhow::Result<()> {
        let inputs = timings.stage("read", || read(&self.inputs))?;
        if let Some(image) = inputs.iter().find(|input| input.kind == Kind::Image) {
            let what = match Bundle::is_bundle(&image.bytes) {
                true => "a bundle of images",
                false => "an image, a shared object or an executable",
            };
            anyhow::bail!("{}: {what}, which cannot be linked again", image.name());
        }
        let inputs: Vec<&Input> = inputs.iter().collect();
        let signer = self.sign.signer()?;
        let mut variants = Vec::new();
        for options in self.variants.expand(self.options)? {
            let (link_options, cache) = (&self.link_options, &self.cache);
            let linked = link(&inputs, &options, link_options, cache, timings, verbose)?;
            check_machine(&options, &linked.image)?;
            variants.push((shown(&options), linked));
        }
        timings.stage("write", || match &variants[..] {
            [(_, linked)] => {
                linked.write_debug_file(&self.output, "")?;
                write(&self.output, &signer.sign(&linked.image)?)
            }
            several => write_bundle(&self.output, several, &signer),
        })
    }
}

/// Objects have a machine, whatever was asked for.
fn check_machine(options: &CompileOptions, image: &[u8]) -> anyhow::Result<()> {
    let target = options.target.as_deref().unwrap_or_default();
    // What it does not know the compiler does, if there is anything to compile.
    let Some(asked) = Machine::from_triple(target) else {
        return Ok(());
    };
    let machine = Image::parse(image)?.machine();
    anyhow::ensure!(
        machine == asked,
        "{target} was asked for, but the objects are for {machine}: compile them for the other machine"
    );
    Ok(())
}

/// Writes the images of several variants, each with what it was asked for as, as one bundle.
fn write_bundle(
    output: &Path,
    variants: &[(String, Linked)],
    signer: &Signer,
) -> anyhow::Result<()> {
    let mut images = Vec::new();
    for (name, linked) in variants {
        images.push((name.clone(), Image::parse(&linked.image)?));
    }
    let bytes = bundle(&images)?;
    for ((_, image), (_, linked)) in images.iter().zip(variants) {
        let digest = image.digest().to_string();
        linked.write_debug_file(output, &format!(".{}", &digest[..DIGEST_DIGITS]))?;
    }
    write(output, &signer.sign(&bytes)?)
}

/// How much of a digest names a variant's debug information: as much as `farcall inspect` shows.
const DIGEST_DIGITS: usize = 16;

/// An image, and its debug information if that was split off.
pub(crate) struct Linked {
    pub(crate) image: Vec<u8>,
    debug_file: Option<Vec<u8>>,
}

impl Linked {
    /// Writes the debug information, if it was split off, beside the image.
    fn write_debug_file(&self, image: &Path, which: &str) -> anyhow::Result<()> {
        let Some(debug_file) = &self.debug_file else {
            return Ok(());
        };
        let mut path = image.as_os_str().to_owned();
        path.push(format!("{which}.debug"));
        write(Path::new(&path), debug_file)
    }

    /// As one piece, for the cache: the image, the debug file, the size of the image, and whether there is a debug file.
    fn into_bytes(self) -> Vec<u8> {
        let image_size = (self.image.len() as u64).to_le_bytes();
        let mut bytes = self.image;
        bytes.extend(self.debug_file.iter().flatten());
        bytes.extend(image_size);
        bytes.push(u8::from(self.debug_file.is_some()));
        bytes
    }

    fn from_bytes(mut bytes: Vec<u8>) -> Option<Self> {
        let has_debug_file = bytes.pop()? == 1;
        let (rest, image_size) = bytes.split_last_chunk()?;
        let image_size = usize::try_from(u64::from_le_bytes(*image_size)).ok()?;
        let debug_file = rest.get(image_size..)?.to_vec();
        bytes.truncate(image_size);
        Some(Self {
            image: bytes,
            debug_file: has_debug_file.then_some(debug_file),
        })
    }
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

/// Compiles what is IR and links all of it to one image, or takes the image from the cache.
pub(crate) fn link(
    inputs: &[&Input],
    options: &CompileOptions,
    link_options: &LinkOptions,
    cache: &CacheOptions,
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
    let version_script = link_options.read_version_script()?;
    let recipe = Recipe {
        inputs,
        has_ir: contents.iter().any(|content| content.n_ir() > 0),
        machine: contents.first().and_then(Content::machine),
        options,
        link_options,
        version_script: version_script.as_deref(),
    };
    let make = |timings: &mut Timings| link_anew(&recipe, contents, timings, verbose);
    let bytes = cached(&recipe, &cache.open()?, timings, |timings| {
        make(timings).map(Linked::into_bytes)
    })?;
    Linked::from_bytes(bytes).context("the cache gave something else than an image")
}

/// As [`link`], without the cache: with what is needed of the compiler's own archive. A program's `main` is exported, however
/// it was declared.
fn link_anew(
    recipe: &Recipe<'_>,
    contents: Vec<Content<'_>>,
    timings: &mut Timings,
    verbose: u8,
) -> anyhow::Result<Linked> {
    let Recipe {
        inputs,
        options,
        link_options,
        version_script,
        ..
    } = *recipe;
    let with_ir = inputs.iter().copied().zip(&contents);
    let with_ir = with_ir.filter(|(_, content)| content.n_ir() > 0);
    let ir: Vec<&Input> = with_ir.map(|(input, _)| input).collect();
    let mut compiled = Vec::new();
    if !ir.is_empty() {
        let n_modules = contents.iter().map(Content::n_ir).sum();
        compiled = timings.stage("compile", || compile(&ir, n_modules, options, verbose))?;
        let objects = compiled.iter().flatten();
        timings.bytes(objects.map(|object| object.len() as u64).sum());
    }
    let mut compiled = compiled.iter();
    let mut linker = Linker::new();
    linker.export("main");
    link_options.apply(&mut linker, version_script)?;
    let mut first = None;
    for (input, content) in inputs.iter().zip(contents) {
        let is_whole = link_options.is_whole(input);
        let name = input.name();
        let bytes = match content {
            Content::Ir => {
                let objects = compiled.next().context("objects for each IR file")?;
                for object in objects {
                    linker.add(name.as_str(), object);
                }
                first = first.or(objects.first().map(Vec::as_slice));
                continue;
            }
            Content::Linkable(bytes) => bytes,
            Content::ArchiveWithIr(mut members) => {
                for (_, bytes) in members.iter_mut().filter(|(_, bytes)| is_bitcode(bytes)) {
                    let objects = compiled.next().map(Vec::as_slice);
                    let Some([object]) = objects else {
                        anyhow::bail!("{name}: not one object for each member");
                    };
                    *bytes = object;
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
    let runtime = libraries::compiler_runtime(machine_of(first.unwrap_or_default()));
    let runtime = runtime.and_then(|path| Some((std::fs::read(&path).ok()?, path)));
    if let Some((bytes, path)) = &runtime {
        linker.library(path.display().to_string(), bytes);
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
    Linkable(&'data [u8]),
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
            false => Self::Linkable(&input.bytes),
        })
    }

    /// The machine that decides which runtime archive is linked, where that can be told before anything is compiled.
    fn machine(&self) -> Option<Machine> {
        match self {
            Self::Ir => None,
            Self::Linkable(bytes) => Some(machine_of(bytes)),
            Self::ArchiveWithIr(members) => {
                let first = members.first().map_or(&[][..], |&(_, bytes)| bytes);
                (!is_bitcode(first)).then(|| machine_of(first))
            }
        }
    }

    /// How many modules of IR it has.
    fn n_ir(&self) -> usize {
        match self {
            Self::Ir => 1,
            Self::Linkable(_) => 0,
            Self::ArchiveWithIr(members) => members
                .iter()
                .filter(|(_, bytes)| is_bitcode(bytes))
                .count(),
        }
    }
}

/// The machine that an object is for; what is none is taken for the machine that IR is compiled for.
fn machine_of(object: &[u8]) -> Machine {
    const EM_AARCH64: &[u8] = &[183, 0];
    match object.get(18..20) == Some(EM_AARCH64) {
        true => Machine::Aarch64,
        false => Machine::X86_64,
    }
}

/// Writes a file so that nobody sees a part of it. A device or a pipe is written to as it is, because a file that is renamed
/// over it takes its place for everybody.
pub(crate) fn write(path: &Path, image: &[u8]) -> anyhow::Result<()> {
    let written = match std::fs::metadata(path) {
        Ok(there) if !there.is_file() => std::fs::write(path, image),
        // The file that a link leads to is replaced, not the link.
        Ok(_) => std::fs::canonicalize(path).and_then(|file| replace(&file, image)),
        Err(_) => replace(path, image),
    };
    written.with_context(|| format!("{}: cannot write", path.display()))
}

fn replace(path: &Path, image: &[u8]) -> std::io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let written =
        std::fs::write(&temporary, image).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // It may not exist; the error that matters is the one above.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}
