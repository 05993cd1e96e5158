//! farcall's compiler, linker and loader.

use std::thread;

use farcall_benches::{Jit, Work};
use farcall_compiler::{Compiler, Object, OptLevel};
use farcall_image::Image;
use farcall_loader::{Loader, Module, TrustedImage};
use farcall_testkit::Linker;

use crate::artefacts::NAME;

/// Each module is an image of its own.
pub(crate) struct Farcall {
    compiler: Compiler,
    loader: Loader,
    loaded: Vec<Module>,
    /// Asked once: the answer takes as long as compiling a small module does.
    n_threads: usize,
}

impl Farcall {
    pub(crate) fn new(work: Work) -> Self {
        Self {
            compiler: compiler(work),
            loader: Loader::new(),
            loaded: Vec::new(),
            n_threads: thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// The compiler for some work.
pub(crate) fn compiler(work: Work) -> Compiler {
    let level = match work {
        Work::Quick => OptLevel::O0,
        Work::Generate | Work::Optimize => OptLevel::O2,
    };
    let builder = Compiler::builder().opt_level(level);
    builder
        .optimized_ir(work == Work::Generate)
        .build()
        .unwrap()
}

/// The image of a module, compiled on one thread.
pub(crate) fn image(compiler: &Compiler, ir: &[u8]) -> Vec<u8> {
    link(&[compiler.compile_ir(NAME, ir).unwrap()])
}

fn link(objects: &[Object]) -> Vec<u8> {
    let mut linker = Linker::new();
    for object in objects {
        linker.add(&object.name, &object.bytes);
    }
    linker.link().unwrap()
}

/// Images of many modules, on all cores.
fn link_all(modules: &[Vec<Object>], n_threads: usize) -> Vec<Vec<u8>> {
    let mut shares = modules.chunks(modules.len().div_ceil(n_threads).max(1));
    let link_share = |share: &[Vec<Object>]| share.iter().map(|it| link(it)).collect();
    let first = shares.next().unwrap_or_default();
    thread::scope(|scope| {
        let others: Vec<_> = shares
            .map(|share| scope.spawn(move || link_share(share)))
            .collect();
        let mut images: Vec<Vec<u8>> = link_share(first);
        for other in others {
            let share: Vec<Vec<u8>> = other.join().unwrap();
            images.extend(share);
        }
        images
    })
}

impl Jit for Farcall {
    fn callable(&mut self, modules: &[&[u8]], names: &[String]) -> Vec<u64> {
        let inputs: Vec<_> = modules.iter().map(|ir| (NAME, *ir)).collect();
        let compiled = self.compiler.compile_parts(&inputs).into_iter();
        let objects: Vec<Vec<Object>> = compiled.map(Result::unwrap).collect();
        let addresses = link_all(&objects, self.n_threads)
            .into_iter()
            .zip(names)
            .map(|(image, name)| {
                let image = Image::parse(&image).unwrap();
                // SAFETY: the bench compiled it, of sources that want nothing of their host.
                let image = unsafe { TrustedImage::assume_trusted(image) };
                let module = self.loader.load(&image, &[]).unwrap();
                let address = module.address(name).unwrap();
                self.loaded.push(module);
                address.expose_provenance() as u64
            });
        addresses.collect()
    }

    fn clear(&mut self) {
        for module in self.loaded.drain(..) {
            module.unload().unwrap();
        }
    }

    fn image(&mut self, ir: &[u8]) -> usize {
        image(&self.compiler, ir).len()
    }
}
