//! farcall's session; and its compiler and linker, for images.

use farcall_benches::{Jit, Work};
use farcall_compiler::{Builder, Compiler, OptLevel};
use farcall_session::{Session, Unit, When};
use farcall_testkit::Linker;

use crate::artefacts::NAME;

/// Modules that are added at once are a unit.
pub(crate) struct Farcall {
    compiler: Compiler,
    session: Session,
    units: Vec<Unit>,
}

impl Farcall {
    pub(crate) fn new(work: Work) -> Self {
        let builder = Session::builder().compiler(options(work));
        Self {
            compiler: compiler(work),
            // SAFETY: what is compiled is the bench's, and wants nothing of its host.
            session: unsafe { builder.build() },
            units: Vec::new(),
        }
    }
}

fn options(work: Work) -> Builder {
    let level = match work {
        Work::Quick => OptLevel::O0,
        Work::Generate | Work::Optimize => OptLevel::O2,
    };
    let builder = Compiler::builder().opt_level(level);
    builder.optimized_ir(work == Work::Generate)
}

/// The compiler for some work.
pub(crate) fn compiler(work: Work) -> Compiler {
    options(work).build().unwrap()
}

/// The image of a module, compiled on one thread.
pub(crate) fn image(compiler: &Compiler, ir: &[u8]) -> Vec<u8> {
    let object = compiler.compile_ir(NAME, ir).unwrap();
    let mut linker = Linker::new();
    linker.add(&object.name, &object.bytes);
    linker.link().unwrap()
}

impl Jit for Farcall {
    fn callable(&mut self, modules: &[&[u8]], names: &[String]) -> Vec<u64> {
        let inputs: Vec<_> = modules.iter().map(|ir| (NAME, *ir)).collect();
        let unit = match inputs[..] {
            [(name, ir)] => self.session.add(name, ir, When::Eager),
            _ => self.session.add_all(&inputs, When::Eager),
        };
        self.units.push(unit.unwrap());
        let library = self.session.main();
        let addresses = names.iter().map(|name| {
            let address = library.address(name).unwrap();
            address.expose_provenance() as u64
        });
        addresses.collect()
    }

    fn clear(&mut self) {
        for unit in self.units.drain(..) {
            unit.remove().unwrap();
        }
    }

    fn image(&mut self, ir: &[u8]) -> usize {
        image(&self.compiler, ir).len()
    }
}
