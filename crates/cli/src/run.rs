//! `farcall run`.

use std::collections::HashSet;
use std::ffi::{CString, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use farcall::{Image, Module};

use crate::build::{LinkOptions, link, read};
use crate::cache::CacheOptions;
use crate::compile_process::CompileOptions;
use crate::input::{Input, Kind, checked_image};
use crate::libraries;
use crate::policy::PolicyOptions;
use crate::timings::Timings;
use crate::trusted::{run_program, trusted};

/// What `farcall run` was asked.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The program: IR (.ll, .bc), objects (.o), archives (.a), images, bundles
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// Search this system library too
    #[arg(short = 'l', value_name = "NAME")]
    libraries: Vec<String>,
    #[command(flatten)]
    options: CompileOptions,
    #[command(flatten)]
    cache: CacheOptions,
    #[command(flatten)]
    policy: PolicyOptions,
    /// The program's arguments
    #[arg(last = true, value_name = "ARGS")]
    arguments: Vec<OsString>,
}

impl Run {
    /// Returns only errors: the program's end is the process's.
    pub(crate) fn execute(self, timings: &mut Timings, verbose: u8) -> anyhow::Result<()> {
        if let Some(cpus) = self.options.cpu.as_ref().filter(|cpus| cpus.contains(',')) {
            anyhow::bail!(
                "--cpu {cpus}: what is run is compiled for one CPU: name one, or farcall build a bundle"
            );
        }
        let inputs = timings.stage("read", || read(&self.inputs))?;
        let (ready, raw): (Vec<&Input>, Vec<&Input>) =
            inputs.iter().partition(|input| input.kind == Kind::Image);
        let name = inputs[0].name();
        let built = match raw.is_empty() {
            true => None,
            false => Some(link(
                &raw,
                &self.options,
                &LinkOptions::default(),
                &self.cache,
                timings,
                verbose,
            )?),
        };
        let mut images = Vec::new();
        if let (Some(built), Some(first)) = (&built, raw.first()) {
            images.push((first.name(), Image::parse(&built.image)?));
        }
        for input in ready {
            images.push((input.name(), checked_image(&input.name(), &input.bytes)?));
        }
        let has_main = |image: &Image<'_>| image.exports().lookup(b"main").is_some();
        let mains: Vec<usize> = (images.iter().enumerate())
            .filter_map(|(index, (_, image))| has_main(image).then_some(index))
            .collect();
        let (program_name, program) = match mains[..] {
            [main] => images.remove(main),
            [] => anyhow::bail!("{name}: it has no function main"),
            [first, second, ..] => anyhow::bail!(
                "main: defined twice: in {} and in {}",
                images[first].0,
                images[second].0
            ),
        };

        let mut loader = libraries::loader(&self.libraries)?;
        self.policy.apply(&mut loader)?;
        let mut modules: Vec<Module> = Vec::new();
        for index in order(&images) {
            let (name, image) = images[index].clone();
            tracing::info!(name, "loading");
            let scope: Vec<&Module> = modules.iter().collect();
            let load = || loader.load(&trusted(image, name), &scope);
            let module = timings.stage("load", load)?;
            modules.push(module);
        }
        tracing::info!(name = program_name, "running");
        // The program's own end is this process's.
        timings.print();

        let mut arguments = vec![c_string(self.inputs[0].as_os_str().as_bytes().to_vec())?];
        for argument in self.arguments {
            arguments.push(c_string(argument.into_vec())?);
        }
        let scope: Vec<&Module> = modules.iter().collect();
        match run_program(&loader, &trusted(program, program_name), &scope, arguments)? {}
    }
}

fn c_string(bytes: Vec<u8>) -> anyhow::Result<CString> {
    CString::new(bytes).context("an argument holds a zero byte")
}

/// An order in which images can be loaded: each after those that define what it imports. Images
/// that need each other stay in the order given, and loading them says what is missing.
fn order(images: &[(String, Image<'_>)]) -> Vec<usize> {
    let imports: Vec<HashSet<&[u8]>> = (images.iter())
        .map(|(_, image)| image.imports().map(|(_, symbol)| symbol.name).collect())
        .collect();
    let needs = |user: usize, definer: usize| {
        let exports = images[definer].1.exports();
        user != definer
            && imports[user]
                .iter()
                .any(|name| exports.lookup(name).is_some())
    };
    let mut left: Vec<usize> = (0..images.len()).collect();
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let is_ready = |&user: &usize| !left.iter().any(|&definer| needs(user, definer));
        let next = left.iter().position(is_ready).unwrap_or(0);
        ordered.push(left.remove(next));
    }
    ordered
}
