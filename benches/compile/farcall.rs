//! farcall's compiler, linker and loader.

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
}

impl Farcall {
    pub(crate) fn new(work: Work) -> Self {
        Self {
            compiler: compiler(work),
            loader: Loader::new(),
            loaded: Vec::new(),
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

impl Jit for Farcall {
    fn callable(&mut self, modules: &[&[u8]], names: &[String]) -> Vec<u64> {
        let inputs: Vec<_> = modules.iter().map(|ir| (NAME, *ir)).collect();
        let compiled = self.compiler.compile_parts(&inputs).into_iter();
        let addresses = compiled.zip(names).map(|(objects, name)| {
            let image = link(&objects.unwrap());
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
