//! From a part's source to its image: compile, link, or find it in the store.

use std::fmt;
use std::sync::Arc;

use farcall_compiler::{Divided, Object};
use farcall_image::Image;
use farcall_linker::Linker;
use farcall_store::{Key, KeyBuilder};

use crate::session::Shared;
use crate::state::{Compiled, Name};
use crate::{Error, Result};

/// What a part is made of.
#[derive(Clone)]
pub(crate) enum Source {
    /// Modules of IR, text or bitcode, that become one image.
    Ir(Arc<[Module]>),
    /// A part of a module.
    Divided {
        divided: Divided,
        part: u32,
        tier: Tier,
    },
    /// It is made.
    Image,
}

impl Source {
    /// Whether it is to be compiled once more.
    pub(crate) fn is_of_first_tier(&self) -> bool {
        matches!(
            self,
            Self::Divided {
                tier: Tier::First,
                ..
            }
        )
    }
}

/// How hard LLVM tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tier {
    /// Not at all, to be called early.
    First,
    /// At the session's level.
    Last,
}

/// A module of IR, and what errors call it.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) name: Arc<str>,
    pub(crate) ir: Vec<u8>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ir(_) => "Ir",
            Self::Divided { .. } => "Divided",
            Self::Image => "Image",
        })
    }
}

/// A part that has to be made.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) name: Arc<str>,
    pub(crate) source: Source,
}

/// Makes the images of all jobs, on all cores; each succeeds or fails alone.
pub(crate) fn build_all(session: &Shared, jobs: &[Job]) -> Vec<Result<Compiled>> {
    if let [job] = jobs {
        return vec![build(session, job)];
    }
    let keys: Vec<_> = jobs.iter().map(|job| session.key(job)).collect();
    let kept = keys.iter().map(|key| session.store.get(key.as_ref()?));
    let kept: Vec<_> = kept.collect();
    let missing: Vec<_> = (jobs.iter().zip(&kept))
        .filter(|(_, kept)| kept.is_none())
        .map(|(job, _)| job)
        .collect();
    let mut objects = compile_all(session, &missing).into_iter();
    let each = jobs.iter().zip(keys).zip(kept);
    each.map(|((job, key), kept)| {
        let image = match kept {
            Some(image) => image,
            None => {
                let object = objects
                    .next()
                    .expect("there is one for each that is missing")?;
                let image = link(session, &job.name, &object)?;
                if let Some(key) = key {
                    session.store.put(&key, &job.name, &image);
                }
                image
            }
        };
        compiled(&job.name, image.into())
    })
    .collect()
}

fn build(session: &Shared, job: &Job) -> Result<Compiled> {
    let make = || {
        let objects = compile_all(session, &[job]).remove(0)?;
        link(session, &job.name, &objects)
    };
    let image = match session.key(job) {
        Some(key) => session.store.get_or_make(&key, &job.name, make)?.0,
        None => make()?,
    };
    compiled(&job.name, image.into())
}

/// The objects of each job.
fn compile_all(session: &Shared, jobs: &[&Job]) -> Vec<Result<Vec<Object>>> {
    let mut units = Vec::with_capacity(jobs.len());
    let [mut first, mut last] = [Vec::new(), Vec::new()];
    for job in jobs {
        match &job.source {
            Source::Ir(modules) => units.push(&**modules),
            Source::Divided {
                divided,
                part,
                tier,
            } => match tier {
                Tier::First => first.push((divided, *part)),
                Tier::Last => last.push((divided, *part)),
            },
            Source::Image => unreachable!("an image is not built"),
        }
    }
    let mut units = compile_units(session, &units).into_iter();
    let mut first = compile_parts(session, Tier::First, &first).into_iter();
    let mut last = compile_parts(session, Tier::Last, &last).into_iter();
    const EACH: &str = "there are objects, or an error, for each";
    let next = |job: &&Job| match &job.source {
        Source::Ir(_) => units.next().expect(EACH),
        Source::Divided {
            tier: Tier::First, ..
        } => first.next().expect(EACH),
        Source::Divided { .. } | Source::Image => last.next().expect(EACH),
    };
    jobs.iter().map(next).collect()
}

/// The objects of each unit. A large module keeps all cores busy, and small ones of a unit are merged.
fn compile_units(session: &Shared, units: &[&[Module]]) -> Vec<Result<Vec<Object>>> {
    if units.is_empty() {
        return Vec::new();
    }
    let inputs = units.iter().map(|unit| {
        let modules = unit.iter();
        let modules = modules.map(|module| (&*module.name, &*module.ir));
        modules.collect::<Vec<_>>()
    });
    let inputs: Vec<_> = inputs.collect();
    if let Some(process) = session.compile_process(Tier::Last) {
        let mut objects = process.compile(&inputs.concat()).into_iter();
        let unit = |unit: &Vec<_>| {
            // All are taken, also those after one that has failed.
            let objects: Vec<_> = objects.by_ref().take(unit.len()).collect();
            Ok(objects.into_iter().collect::<Result<Vec<_>>>()?.concat())
        };
        return inputs.iter().map(unit).collect();
    }
    let inputs: Vec<_> = inputs.iter().map(Vec::as_slice).collect();
    match session.compiler(Tier::Last) {
        Ok(compiler) => {
            let objects = compiler.compile_units(&inputs).into_iter();
            objects.map(|objects| Ok(objects?)).collect()
        }
        Err(error) => inputs.iter().map(|_| Err(error.clone())).collect(),
    }
}

/// The objects of parts, which are of one tier.
fn compile_parts(
    session: &Shared,
    tier: Tier,
    parts: &[(&Divided, u32)],
) -> Vec<Result<Vec<Object>>> {
    if parts.is_empty() {
        return Vec::new();
    }
    if let Some(process) = session.compile_process(tier) {
        let modules = parts.iter();
        let modules = modules.map(|&(divided, part)| (divided.part_name(part), divided.part(part)));
        return process.compile(&modules.collect::<Vec<_>>());
    }
    match session.compiler(tier) {
        Ok(compiler) => {
            let objects = compiler.compile_divided(parts).into_iter();
            objects.map(|object| Ok(vec![object?])).collect()
        }
        Err(error) => parts.iter().map(|_| Err(error.clone())).collect(),
    }
}

/// A link that takes what it needs of a compiler's runtime.
pub(crate) fn linker(session: &Shared) -> Linker<'_> {
    let mut linker = Linker::new();
    for (name, bytes) in &session.runtime_archives {
        linker.library(name, bytes);
    }
    linker.share_scope(true);
    linker
}

/// Links objects to an image.
pub(crate) fn link(session: &Shared, unit: &str, objects: &[Object]) -> Result<Vec<u8>> {
    let mut linker = linker(session);
    for object in objects {
        linker.add(&object.name, &object.bytes);
    }
    linker.link().map_err(|errors| Error::link(unit, errors))
}

/// An image, with what is asked of it before it is loaded.
pub(crate) fn compiled(unit: &str, image: Arc<[u8]>) -> Result<Compiled> {
    let parsed = Image::parse(&image).map_err(|error| Error::image(unit, error))?;
    let exports = parsed.exports();
    let imports = parsed.imports().map(|(_, symbol)| Name::from(symbol.name));
    let imports: Arc<[Name]> = imports.collect();
    let shared = imports.iter().filter(|name| exports.lookup(name).is_some());
    Ok(Compiled {
        shared: Arc::new(shared.cloned().collect()),
        imports,
        image,
    })
}

impl Shared {
    /// The key of a job's image, if images are kept.
    fn key(&self, job: &Job) -> Option<Key> {
        self.store.folder()?;
        let build = self.build_of_process()?;
        let tier = match job.source {
            Source::Divided { tier, .. } => tier,
            _ => Tier::Last,
        };
        let mut key = KeyBuilder::new("farcall session image 3")
            .field("build", build)
            .field("name", job.name.as_bytes());
        // As they are written, so that a hit sets no compiler up.
        for option in self.compiler_options(tier).arguments() {
            key = key.field("option", option.as_bytes());
            if option == "--cpu=native" {
                let compiler = self.compiler(tier).ok()?;
                key = key
                    .field("cpu", compiler.cpu().as_bytes())
                    .field("features", compiler.features().as_bytes());
            }
        }
        for (name, bytes) in &self.runtime_archives {
            key = key.field("runtime name", name.as_bytes());
            key = key.field("runtime archive", bytes);
        }
        key = match &job.source {
            Source::Ir(modules) => modules.iter().fold(key, |key, module| {
                key.field("module", module.name.as_bytes())
                    .field("ir", &module.ir)
            }),
            Source::Divided { divided, part, .. } => key.field("part", divided.part(*part)),
            Source::Image => return None,
        };
        Some(key.finish())
    }
}
