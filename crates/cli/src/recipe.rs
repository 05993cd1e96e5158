//! All that decides an image's bytes: the key under which the cache has it.
//!
//! To add an option that changes the bytes: a field in [`Recipe::key`], and a row in `tests/cache.rs`, which demands a miss.

use std::io;
use std::time::{Duration, Instant};

use farcall::Machine;
use farcall::store::{Key, KeyBuilder, Origin, Store};

use crate::build::{Debug, LinkOptions};
use crate::compile_process::{self, CompileOptions};
use crate::input::{Input, Kind};
use crate::timings::Timings;
use crate::{libraries, toolchain};

/// What is linked, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recipe<'r> {
    pub(crate) inputs: &'r [&'r Input],
    /// Whether there is anything to compile.
    pub(crate) has_ir: bool,
    /// Whose runtime archive is linked; `None` when compiling decides it.
    pub(crate) machine: Option<Machine>,
    pub(crate) options: &'r CompileOptions,
    pub(crate) link_options: &'r LinkOptions,
    pub(crate) version_script: Option<&'r str>,
}

/// The bytes made by this recipe: those that the cache has, else those that `make` gives.
pub(crate) fn cached(
    recipe: &Recipe<'_>,
    store: &Store,
    timings: &mut Timings,
    make: impl FnOnce(&mut Timings) -> anyhow::Result<Vec<u8>>,
) -> anyhow::Result<Vec<u8>> {
    if store.folder().is_none() {
        return make(timings);
    }
    let start = Instant::now();
    let key = match recipe.key(store) {
        Ok(key) => key,
        Err(error) => {
            tracing::warn!(%error, "the cache is not used");
            return make(timings);
        }
    };
    let mut making = Duration::ZERO;
    let (bytes, origin) = store.get_or_make(&key, &recipe.label(), || {
        let start = Instant::now();
        let bytes = make(timings)?;
        making = start.elapsed();
        // The compiler and the runtime archive are files that are not in our hands.
        if recipe.key(store)? != key {
            anyhow::bail!(
                "farcall or the compiler's runtime archive was replaced meanwhile: build again"
            );
        }
        Ok(bytes)
    })?;
    let name = match origin {
        Origin::Kept => "cache hit",
        Origin::Made => "cache miss",
    };
    tracing::info!(%key, "{name}");
    timings.add(
        name,
        start.elapsed().saturating_sub(making),
        Some(bytes.len() as u64),
    );
    Ok(bytes)
}

impl Recipe<'_> {
    fn key(&self, store: &Store) -> io::Result<Key> {
        let mut key = KeyBuilder::new("farcall image 1").field("linker", &toolchain::linker()?);
        if self.has_ir {
            key = self.compile_fields(key, store)?;
        }
        key = self.link_fields(key);
        for input in self.inputs {
            // An image knows its inputs by their names without folders.
            let name = input.path.file_name().unwrap_or_default();
            key = key
                .field("input", name.as_encoded_bytes())
                .number("is IR", (input.kind == Kind::Ir).into())
                .number("is whole", self.link_options.is_whole(input).into())
                .field("bytes", &input.bytes);
        }
        let machines = match &self.machine {
            Some(machine) => std::slice::from_ref(machine),
            None => &[Machine::X86_64, Machine::Aarch64],
        };
        for &machine in machines {
            if let Some(path) = libraries::compiler_runtime(machine) {
                let digest = store.digest_of_file(&path)?;
                key = key.field(&format!("runtime archive for {machine:?}"), &digest);
            }
        }
        Ok(key.finish())
    }

    fn compile_fields(&self, mut key: KeyBuilder, store: &Store) -> io::Result<KeyBuilder> {
        // Destructured, so that a new option is not forgotten.
        let CompileOptions {
            level,
            target,
            part_size,
            cpu,
            features,
            optimized_ir,
            allow_absolute_addresses,
        } = self.options;
        let program = compile_process::program().map_err(io::Error::other)?;
        key = key
            .field("compiler", &toolchain::compiler(store, &program)?)
            .number("level", (*level).into())
            .number("optimized IR", (*optimized_ir).into())
            .number("absolute addresses", (*allow_absolute_addresses).into());
        // Without one it is the machine that the compiler, which is in the key, was built for.
        if let Some(target) = target {
            key = key.field("target", target.as_bytes());
        }
        if let Some(part_size) = part_size {
            key = key.number("part size", *part_size as u64);
        }
        if let Some(cpu) = cpu {
            key = key.field("cpu", cpu.as_bytes());
        }
        if cpu.as_deref() == Some("native") {
            key = key.field("host cpu", &toolchain::host_cpu()?);
        }
        if let Some(features) = features {
            key = key.field("features", features.as_bytes());
        }
        Ok(key)
    }

    fn link_fields(&self, mut key: KeyBuilder) -> KeyBuilder {
        let LinkOptions {
            export,
            version_script: _,
            gc_sections,
            cpu_dispatch,
            whole_archive: _,
            debug,
        } = self.link_options;
        key = key
            .number("gc sections", (*gc_sections).into())
            .number("cpu dispatch", (*cpu_dispatch).into())
            .number("debug", *debug as u64);
        for name in export {
            key = key.field("export", name.as_bytes());
        }
        if let Some(text) = self.version_script {
            key = key.field("version script", text.as_bytes());
        }
        key
    }

    /// For people: the names, and the options that are not the usual ones.
    fn label(&self) -> String {
        let mut words = vec!["image of".to_owned()];
        words.extend(self.inputs.iter().map(|input| input.name()));
        if self.has_ir {
            words.push(format!("-O{}", self.options.level));
            let target = self.options.target.iter();
            words.extend(target.map(|target| format!("--target={target}")));
            let part_size = self.options.part_size.iter();
            words.extend(part_size.map(|size| format!("--part-size={size}")));
            words.extend(self.options.cpu.iter().map(|cpu| format!("--cpu={cpu}")));
            words.extend((self.options.features.iter()).map(|list| format!("--features={list}")));
        }
        let link = self.link_options;
        words.extend(link.export.iter().map(|name| format!("--export={name}")));
        words.extend(
            (link.version_script.iter()).map(|path| format!("--version-script={}", path.display())),
        );
        words.extend(
            (link.whole_archive.iter()).map(|path| format!("--whole-archive={}", path.display())),
        );
        for (is_set, option) in [
            (self.has_ir && self.options.optimized_ir, "--optimized-ir"),
            (
                self.has_ir && self.options.allow_absolute_addresses,
                "--allow-absolute-addresses",
            ),
            (link.gc_sections, "--gc-sections"),
            (link.cpu_dispatch, "--cpu-dispatch"),
            (link.debug == Debug::Keep, "--debug=keep"),
            (link.debug == Debug::Split, "--debug=split"),
        ] {
            words.extend(is_set.then(|| option.to_owned()));
        }
        words.join(" ")
    }
}
