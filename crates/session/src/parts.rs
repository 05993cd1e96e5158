//! IR in parts, for who loads them elsewhere.

use std::fmt;
use std::sync::Arc;

use farcall_compiler::{Divided, PartSymbol};
use farcall_store::KeyBuilder;

use crate::build::{Job, Module, Source, Tier, build_all};
use crate::divided::group;
use crate::session::Owner;
use crate::{Partition, Result, Session};

/// A module of IR in parts, each of which becomes an image when that is asked for. Nothing of it is loaded here: see [`Session::divide`].
///
/// Part 0 has the variables and constructors, the others functions. What they define for each other and for others are
/// [`Parts::symbols`]; `f` in a part is its code, and whoever loads the parts defines what `f` and `f.address` mean to the others
/// ([`farcall_compiler::Divided`]).
///
/// Clones are the same. Threads may share it.
#[derive(Clone)]
pub struct Parts {
    shared: Arc<Owner>,
    divided: Divided,
    name: Arc<str>,
    ir: Arc<[u8]>,
    digest: [u8; 32],
}

impl Session {
    /// Reads IR, text or bitcode, and divides it, as for [`When::OnFirstCall`](crate::When::OnFirstCall), without adding it. Images of its parts are compiled
    /// by this session's compiler or process, and kept in its store.
    ///
    /// # Errors
    /// [`Error::Compile`](crate::Error::Compile) when it is no IR.
    pub fn divide(&self, name: &str, ir: &[u8], partition: &Partition) -> Result<Parts> {
        let shared = &self.main().shared;
        let mut key = KeyBuilder::new("farcall parts 1")
            .field("name", name.as_bytes())
            .field("ir", ir);
        for option in shared.compiler_options(Tier::Last).arguments() {
            key = key.field("option", option.as_bytes());
        }
        let digest = *key.finish().as_bytes();
        // It is in what an image says of its imports, so that images of two modules that import something differ even where their code is the same.
        let [a, b, c, d, ..] = digest;
        let unique = format!("{name} ({:08x})", u32::from_be_bytes([a, b, c, d]));
        let compiler = shared.compiler(Tier::Last)?;
        Ok(Parts {
            divided: compiler.divide(&unique, ir, group(partition))?,
            shared: Arc::clone(shared),
            name: name.into(),
            ir: ir.into(),
            digest,
        })
    }
}

impl Parts {
    /// The name that it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What stands for the module and how it is compiled: of its name, its IR and the compiler's options.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// What the parts define for each other and for others.
    #[must_use]
    pub fn symbols(&self) -> &[PartSymbol] {
        self.divided.symbols()
    }

    /// Whether part 0 has anything.
    #[must_use]
    pub fn has_data(&self) -> bool {
        self.divided.has_data()
    }

    /// What errors call a part.
    ///
    /// # Panics
    /// When there is no such part.
    #[must_use]
    pub fn part_name(&self, part: u32) -> &str {
        self.divided.part_name(part)
    }

    /// Compiles and links a part, or takes its image from the store.
    ///
    /// # Errors
    /// Those of compiling and linking.
    ///
    /// # Panics
    /// When there is no such part.
    pub fn image(&self, part: u32) -> Result<Arc<[u8]>> {
        self.build(Job {
            name: self.divided.part_name(part).into(),
            source: Source::Divided {
                divided: self.divided.clone(),
                part,
                tier: Tier::Last,
            },
        })
    }

    /// Compiles and links all of it to one image, optimized as a whole.
    ///
    /// # Errors
    /// As [`Parts::image`].
    pub fn whole(&self) -> Result<Arc<[u8]>> {
        let module = Module {
            name: Arc::clone(&self.name),
            ir: self.ir.to_vec(),
        };
        self.build(Job {
            name: Arc::clone(&self.name),
            source: Source::Ir(Arc::new([module])),
        })
    }

    fn build(&self, job: Job) -> Result<Arc<[u8]>> {
        let compiled = build_all(&self.shared, &[job]).remove(0);
        Ok(compiled?.image)
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("name", &self.name)
            .field("divided", &self.divided)
            .finish_non_exhaustive()
    }
}
