//! The compiler: options, then one module after another.

use inkwell::{context::Context, module::Module};

use crate::{
    Error, absolute,
    backends::Backends,
    functions,
    input::{self, Generation, Input},
    llvm::{self, Backend, Diagnostics},
    pic,
    target::{self, Cpu, Machine},
    types,
    worker::{self, Failure},
};

/// Turns LLVM IR into position-independent objects.
///
/// Options are fixed when it is built. It can be used from many threads at once. Each module is compiled in an LLVM context of
/// its own, on a thread of this crate, all of it, while the caller waits. The first compilation starts such a thread; it is
/// kept, with LLVM's passes set up, and the next module is compiled by it, in a fifth of the time when it is small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiler {
    pub(crate) opt_level: OptLevel,
    pub(crate) machine: &'static Machine,
    triple: String,
    pub(crate) cpu: Cpu,
    /// Whether `cpu` was given, and so overrides what functions say.
    cpu_given: bool,
    absolute_addresses: bool,
    optimized_ir: bool,
    pub(crate) shares_scope: bool,
    strip_debug: bool,
    pub(crate) part_size: usize,
}

/// How hard LLVM tries: the levels of `clang -O0` to `-O3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum OptLevel {
    /// No optimization.
    O0,
    /// Little time for it.
    O1,
    /// Most of it.
    #[default]
    O2,
    /// All of it, also where code grows.
    O3,
}

/// One relocatable ELF file (ET_REL).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The name that the input was given.
    pub name: String,
    /// The file's content.
    pub bytes: Vec<u8>,
}

/// Options of a [`Compiler`]; see [`Compiler::builder`].
#[derive(Debug, Clone)]
#[must_use = "nothing is built until `build` is called"]
pub struct Builder {
    target: Option<String>,
    opt_level: OptLevel,
    cpu: Option<String>,
    features: String,
    absolute_addresses: bool,
    optimized_ir: bool,
    shares_scope: bool,
    strip_debug: bool,
    part_size: usize,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            target: None,
            opt_level: OptLevel::default(),
            cpu: None,
            features: String::new(),
            absolute_addresses: false,
            optimized_ir: false,
            shares_scope: false,
            strip_debug: false,
            // Reading what all parts have in common takes a two-hundredth of the time that generating code of SQLite does, for each part.
            part_size: 25_000,
        }
    }
}

impl Compiler {
    /// A compiler with the default options: `O2`, code for every machine of this host's kind unless a function says otherwise.
    ///
    /// # Errors
    /// [`Error::NoTarget`] when the LLVM that is linked in cannot make code for the target.
    pub fn new() -> Result<Self, Error> {
        Self::builder().build()
    }

    /// Options, each at its default.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Compiles IR, text or bitcode (told apart by the first bytes).
    ///
    /// `name` names the input in errors and has no influence on the code.
    ///
    /// # Errors
    /// When the input cannot be read, is invalid, is for another machine, or LLVM cannot make code of it.
    pub fn compile_ir(&self, name: &str, ir: &[u8]) -> Result<Object, Error> {
        self.compile_all(&[(name, ir)]).remove(0)
    }

    /// Compiles a module that is in memory. It is only read: the work is done on a copy in another context.
    ///
    /// # Errors
    /// As [`Compiler::compile_ir`].
    pub fn compile_module(&self, name: &str, module: &Module<'_>) -> Result<Object, Error> {
        self.compile_ir(name, &bitcode_of(name, module)?)
    }

    /// The optimization level.
    #[must_use]
    pub fn opt_level(&self) -> OptLevel {
        self.opt_level
    }

    /// The triple of the target, for IR that names none.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.triple
    }

    /// The processor, by LLVM's name: `native` and other aliases are resolved.
    #[must_use]
    pub fn cpu(&self) -> &str {
        &self.cpu.name
    }

    /// Features switched on and off beyond the processor's: `+avx2,-bmi`.
    #[must_use]
    pub fn features(&self) -> &str {
        &self.cpu.features
    }

    /// Version of the LLVM that is linked in. Another one makes other code of the same IR.
    #[must_use]
    pub fn llvm_version() -> (u32, u32, u32) {
        inkwell::support::get_llvm_version()
    }
}

impl Compiler {
    /// Reads IR and refuses what there can be no code of.
    pub(crate) fn read<'c>(
        &self,
        context: &'c Context,
        name: &str,
        ir: &[u8],
        backends: &mut Backends,
    ) -> Result<Input<'c>, Error> {
        let generation = Generation {
            machine: self.machine,
            triple: &self.triple,
            level: self.opt_level as u8,
            optimized_ir: self.optimized_ir,
            cpu: &self.cpu,
        };
        let input = input::read(context, name, ir, &generation, backends)?;
        functions::override_cpu(context, &input.module, &self.cpu, self.cpu_given);
        functions::check(name, &input.module, self.machine)?;
        if !self.absolute_addresses {
            absolute::check(name, &input.module, self.machine)?;
        }
        // After what says where in the source something is; a look at all instructions if there is any.
        if self.strip_debug && input.module.get_global_metadata_size("llvm.dbg.cu") > 0 {
            input.module.strip_debug_info();
        }
        Ok(input)
    }

    /// Runs the passes over a module, and makes it one for an image.
    pub(crate) fn optimize(
        &self,
        name: &str,
        module: &mut Module<'_>,
        diagnostics: &Diagnostics<'_>,
        backend: &mut Backend,
    ) -> Result<(), Error> {
        pic::bind_definitions(module);
        if self.shares_scope {
            llvm::share_scope(module);
        }
        backend.optimize(module);
        if let [message, ..] = diagnostics.take_errors().as_slice() {
            return Err(Error::Optimize {
                input: name.to_owned(),
                message: message.clone(),
            });
        }
        pic::unbind_declarations(module);
        Ok(())
    }

    /// Has a thread with backends do something with IR, while the caller waits.
    pub(crate) fn on_worker<T: Send + 'static>(
        &self,
        name: &str,
        ir: &[u8],
        job: impl Fn(&Self, &str, &[u8], &mut Backends) -> Result<T, Error> + Send + Sync + 'static,
    ) -> Result<T, Error> {
        let (compiler, input, bytes) = (self.clone(), name.to_owned(), ir.to_vec());
        let job = move |_, backends: &mut Backends| job(&compiler, &input, &bytes, backends);
        let mut results = worker::run_all(1, job);
        let result = results.pop().expect("there is one for each job");
        result.unwrap_or_else(|failure| Err(failed(name, failure)))
    }
}

/// The bitcode of a module that is in memory.
///
/// # Errors
/// [`Error::Invalid`] when LLVM's verifier refuses it.
pub fn bitcode_of(name: &str, module: &Module<'_>) -> Result<Vec<u8>, Error> {
    // Writing bitcode of an invalid module is not defined.
    input::verify(name, module)?;
    Ok(module.write_bitcode_to_memory().as_slice().to_vec())
}

pub(crate) fn generate(
    name: &str,
    module: Module<'_>,
    target: &str,
    diagnostics: &Diagnostics<'_>,
    backend: &mut Backend,
) -> Result<Object, Error> {
    types::add_sections(&module, target);
    debug_assert_eq!(
        module.verify(),
        Ok(()),
        "what was done to the module keeps it valid"
    );
    let bytes = backend.generate(module);
    let messages = diagnostics.take_errors();
    let name = name.to_owned();
    if messages.is_empty() {
        Ok(Object { name, bytes })
    } else {
        Err(Error::Generate {
            input: name,
            messages,
        })
    }
}

pub(crate) fn failed(input: &str, failure: Failure) -> Error {
    let input = input.to_owned();
    match failure {
        Failure::GaveUp(reason) => Error::GaveUp { input, reason },
        Failure::Thread(reason) => Error::Thread { input, reason },
    }
}

impl Builder {
    /// Sets the target, by its triple: `x86_64-unknown-linux-gnu` and `aarch64-unknown-linux-gnu`, with their short forms and
    /// their neighbours with musl; `x86_64` and `aarch64` alone are those with glibc. By default it is this host's machine. Any host compiles for any target.
    pub fn target(mut self, triple: impl Into<String>) -> Self {
        self.target = Some(triple.into());
        self
    }

    /// Sets the optimization level, by default [`OptLevel::O2`].
    pub fn opt_level(mut self, level: OptLevel) -> Self {
        self.opt_level = level;
        self
    }

    /// Sets the processor, by LLVM's name, or `native`: this host's, with its features.
    ///
    /// It overrides the processor that the IR's functions name. Unset, they keep theirs, and those that name none get the
    /// machine's baseline.
    pub fn cpu(mut self, cpu: impl Into<String>) -> Self {
        self.cpu = Some(cpu.into());
        self
    }

    /// Sets features to switch on and off, `+avx2,-bmi`, by LLVM's names.
    ///
    /// They come after the features that the IR's functions name, and so override them.
    pub fn features(mut self, features: impl Into<String>) -> Self {
        self.features = features.into();
        self
    }

    /// Allows pointers made of numbers that are addresses of a process, `inttoptr (i64 93824992231424 to ptr)`: of device
    /// registers, say. By default they are an error, because the code is for processes where something else is there.
    pub fn absolute_addresses(mut self, are_allowed: bool) -> Self {
        self.absolute_addresses = are_allowed;
        self
    }

    /// Says that the IR is optimized already: code of [`Builder::opt_level`] is generated of it as it is. Only passes that code generation
    /// needs run, those of `O0`, which inline what must always be inlined, for one. By default IR is optimized, also if it was before.
    pub fn optimized_ir(mut self, is_optimized: bool) -> Self {
        self.optimized_ir = is_optimized;
        self
    }

    /// Has the code be for images that are what objects are to one link: they mean the same by what is weak, whichever of them has it, and see each
    /// other's hidden names. So code reaches what is weak as it reaches an import. By default an image means its own.
    /// The linker's option of that name goes with it.
    pub fn share_scope(mut self, is_wanted: bool) -> Self {
        self.shares_scope = is_wanted;
        self
    }

    /// Leaves debug information out of objects, for who would drop it when they are linked: it is the larger part of most modules
    /// that have some. Where something is in the source is said in errors all the same.
    pub fn strip_debug(mut self, is_left_out: bool) -> Self {
        self.strip_debug = is_left_out;
        self
    }

    /// Sets how many instructions of optimized IR a part of a module has at least, by default 25,000: see
    /// [`Compiler::compile_parts`]. The objects depend on it.
    pub fn part_size(mut self, n_instructions: usize) -> Self {
        self.part_size = n_instructions;
        self
    }

    /// The same options as arguments of the program `farcall-compile`, which compiles in a process of its own.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        // Destructured, so that a new option is not forgotten.
        let Self {
            target,
            opt_level,
            cpu,
            features,
            absolute_addresses,
            optimized_ir,
            shares_scope,
            strip_debug,
            part_size,
        } = self;
        let mut arguments = vec![format!("-O{}", *opt_level as u8)];
        arguments.extend(target.iter().map(|target| format!("--target={target}")));
        arguments.extend(cpu.iter().map(|cpu| format!("--cpu={cpu}")));
        if !features.is_empty() {
            arguments.push(format!("--features={features}"));
        }
        if *absolute_addresses {
            arguments.push("--allow-absolute-addresses".to_owned());
        }
        if *optimized_ir {
            arguments.push("--optimized-ir".to_owned());
        }
        if *shares_scope {
            arguments.push("--share-scope".to_owned());
        }
        if *strip_debug {
            arguments.push("--strip-debug".to_owned());
        }
        arguments.push(format!("--part-size={part_size}"));
        arguments
    }

    /// The compiler.
    ///
    /// # Errors
    /// [`Error::UnknownTarget`], [`Error::UnknownCpu`], [`Error::UnknownFeature`], [`Error::FeatureSign`] or [`Error::NotNative`] when the target
    /// machine has no such processor or feature.
    pub fn build(self) -> Result<Compiler, Error> {
        llvm::initialize();
        let named = match &self.target {
            None => Some(Machine::host()),
            Some(name) => Machine::named(name),
        };
        let (machine, triple) = match (named, self.target) {
            (Some(machine), _) => (machine, machine.triple.to_owned()),
            (None, triple) => {
                let triple = triple.unwrap_or_default();
                let machine = Machine::of(&triple).ok_or_else(|| Error::UnknownTarget {
                    triple: triple.clone(),
                    known: target::MACHINES.map(|machine| machine.triple).into(),
                })?;
                (machine, target::normalized(triple))
            }
        };
        let cpu = machine.cpu(self.cpu.as_deref(), &self.features)?;
        let cpu_given = self.cpu.is_some();
        Ok(Compiler {
            opt_level: self.opt_level,
            machine,
            triple,
            cpu,
            cpu_given,
            absolute_addresses: self.absolute_addresses,
            optimized_ir: self.optimized_ir,
            shares_scope: self.shares_scope,
            strip_debug: self.strip_debug,
            part_size: self.part_size,
        })
    }
}
