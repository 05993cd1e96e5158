//! The compiler: options, then one module after another.

use inkwell::{
    OptimizationLevel, context::Context, module::Module, passes::PassBuilderOptions,
    targets::FileType,
};

use crate::{
    Error, absolute, functions,
    input::{self, Generation, Input},
    llvm::{self, Diagnostics},
    pic,
    target::{self, Cpu, Machine},
    types,
    worker::{self, Failure},
};

/// Turns LLVM IR into position-independent objects.
///
/// Options are fixed when it is built. It can be used from many threads at once; each module is compiled in an LLVM context
/// and on a thread of its own, all of it, while the caller waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiler {
    opt_level: OptLevel,
    machine: &'static Machine,
    cpu: Cpu,
    /// Whether `cpu` was given, and so overrides what functions say.
    cpu_given: bool,
    absolute_addresses: bool,
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
#[derive(Debug, Clone, Default)]
#[must_use = "nothing is built until `build` is called"]
pub struct Builder {
    opt_level: OptLevel,
    cpu: Option<String>,
    features: String,
    absolute_addresses: bool,
}

impl Compiler {
    /// A compiler with the default options: `O2`, code for every x86-64 machine unless a function says otherwise.
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
        let ir = ir.to_vec();
        let compiler = self.clone();
        let input = name.to_owned();
        worker::run(move || compiler.compile_here(&input, &ir)).unwrap_or_else(|failure| {
            let input = name.to_owned();
            Err(match failure {
                Failure::GaveUp(reason) => Error::GaveUp { input, reason },
                Failure::Thread(error) => Error::Thread {
                    input,
                    reason: error.to_string(),
                },
            })
        })
    }

    /// Compiles a module that is in memory. It is only read: the work is done on a copy in another context.
    ///
    /// # Errors
    /// As [`Compiler::compile_ir`].
    pub fn compile_module(&self, name: &str, module: &Module<'_>) -> Result<Object, Error> {
        // Writing bitcode of an invalid module is not defined.
        input::verify(name, module)?;
        self.compile_ir(name, module.write_bitcode_to_memory().as_slice())
    }

    /// The optimization level.
    #[must_use]
    pub fn opt_level(&self) -> OptLevel {
        self.opt_level
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

    fn compile_here(&self, name: &str, ir: &[u8]) -> Result<Object, Error> {
        let context = Context::create();
        let diagnostics = Diagnostics::install(&context);
        let generation = Generation {
            machine: self.machine,
            level: self.opt_level.code_generation(),
            cpu: &self.cpu,
        };
        let Input {
            mut module,
            machine,
        } = input::read(&context, name, ir, &generation)?;

        functions::override_cpu(&context, &module, &self.cpu, self.cpu_given);
        functions::check(name, &module, self.machine)?;
        if !self.absolute_addresses {
            absolute::check(name, &module)?;
        }
        functions::drop_unknown(&context, &module, self.machine);
        pic::bind_definitions(&module);

        let optimize = |message: String| Error::Optimize {
            input: name.to_owned(),
            message,
        };
        module
            .run_passes(self.opt_level.passes(), &machine, self.opt_level.tuning())
            .map_err(|message| optimize(message.to_string()))?;
        if let [message, ..] = diagnostics.take_errors().as_slice() {
            return Err(optimize(message.clone()));
        }

        pic::unbind_declarations(&mut module);
        let made = types::Made {
            cpu: &self.cpu,
            machine: self.machine,
            generator: &machine,
        };
        types::add_sections(&module, &made);
        debug_assert_eq!(
            module.verify(),
            Ok(()),
            "what was done to the module keeps it valid"
        );

        let generate = |messages: Vec<String>| Error::Generate {
            input: name.to_owned(),
            messages,
        };
        let buffer = machine
            .write_to_memory_buffer(&module, FileType::Object)
            .map_err(|message| generate(vec![message.to_string()]))?;
        let errors = diagnostics.take_errors();
        if !errors.is_empty() {
            return Err(generate(errors));
        }
        Ok(Object {
            name: name.to_owned(),
            bytes: buffer.as_slice().to_vec(),
        })
    }
}

impl Builder {
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

    /// The compiler.
    ///
    /// # Errors
    /// [`Error::UnknownCpu`], [`Error::UnknownFeature`], [`Error::FeatureSign`] or [`Error::NotNative`] when the target
    /// machine has no such processor or feature.
    pub fn build(self) -> Result<Compiler, Error> {
        llvm::initialize();
        let machine = &target::X86_64;
        let cpu = machine.cpu(self.cpu.as_deref(), &self.features)?;
        let cpu_given = self.cpu.is_some();
        Ok(Compiler {
            opt_level: self.opt_level,
            machine,
            cpu,
            cpu_given,
            absolute_addresses: self.absolute_addresses,
        })
    }
}

impl OptLevel {
    /// LLVM's pipeline. Code generation wants no `available_externally` body, and `O0` leaves them.
    fn passes(self) -> &'static str {
        match self {
            Self::O0 => "default<O0>,elim-avail-extern",
            Self::O1 => "default<O1>,elim-avail-extern",
            Self::O2 => "default<O2>,elim-avail-extern",
            Self::O3 => "default<O3>,elim-avail-extern",
        }
    }

    /// The switches that clang sets at this level and the pipeline does not by itself.
    fn tuning(self) -> PassBuilderOptions {
        let loops = self >= Self::O2;
        let options = PassBuilderOptions::create();
        options.set_loop_vectorization(loops);
        options.set_loop_slp_vectorization(loops);
        options.set_loop_unrolling(loops);
        options.set_loop_interleaving(loops);
        options.set_call_graph_profile(true);
        options
    }

    fn code_generation(self) -> OptimizationLevel {
        match self {
            Self::O0 => OptimizationLevel::None,
            Self::O1 => OptimizationLevel::Less,
            Self::O2 => OptimizationLevel::Default,
            Self::O3 => OptimizationLevel::Aggressive,
        }
    }
}
