//! IR in parts that are compiled one by one, each when it is needed.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use inkwell::{context::Context, memory_buffer::MemoryBuffer, module::Module};

use crate::{
    Compiler, DefinedSymbol, Error, Object,
    backends::Backends,
    compiler::{failed, generate},
    functions,
    input::Input,
    llvm::{self, BackendOptions, Diagnostics, Division, Global, GlobalKind},
    outline::is_definition,
    types, worker,
};

/// What is added to a function's name to make that of its address: see [`Divided`].
pub const ADDRESS_SUFFIX: &str = ".address";

/// A module of IR in parts, of which each becomes an image of its own: see [`Compiler::divide`].
///
/// Part 0 has the variables, the constructors, and what must be with them; each other part has functions, and constants only if labels
/// of its functions are in them. So a part with another number may be compiled more than once, and the code that was called before
/// may give way to better one. What parts share has a name that all of them see: what was local to the module has `.local` after its
/// name, and is exported by its part.
///
/// In the part of a function `f` the symbol `f` is its code, and whatever calls it there calls that. Its address, where it is stored,
/// compared or passed, is that of the symbol `f.address` ([`ADDRESS_SUFFIX`]), which nobody defines: whoever loads the parts gives it an address that
/// stays, whatever code there is. Other parts import `f`. The same goes for aliases of functions.
///
/// Cheap to clone. Threads may share it.
#[derive(Clone)]
pub struct Divided {
    shared: Arc<Shared>,
}

struct Shared {
    options: BackendOptions,
    /// Bitcode.
    parts: Vec<Vec<u8>>,
    /// What errors call each.
    names: Vec<String>,
    symbols: Vec<PartSymbol>,
    has_data: bool,
}

/// A symbol that a part defines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartSymbol {
    /// The symbol.
    pub symbol: DefinedSymbol,
    /// The part that defines it.
    pub part: u32,
    /// Whether others than the module's own parts see it.
    pub is_exported: bool,
}

impl Divided {
    /// How many parts there are: at least the one for variables.
    #[must_use]
    pub fn n_parts(&self) -> u32 {
        // They were numbered so.
        u32::try_from(self.shared.parts.len()).unwrap_or(u32::MAX)
    }

    /// What errors and the object call a part: the module's name, and that of its function or the first one of them, `m.ll: f and 2 more`.
    ///
    /// # Panics
    /// When there is no such part.
    #[must_use]
    pub fn part_name(&self, part: u32) -> &str {
        &self.shared.names[part as usize]
    }

    /// What the parts define for each other and for others.
    #[must_use]
    pub fn symbols(&self) -> &[PartSymbol] {
        &self.shared.symbols
    }

    /// Whether part 0 has anything: a variable, a constructor, assembly.
    #[must_use]
    pub fn has_data(&self) -> bool {
        self.shared.has_data
    }

    /// A part, as bitcode, in a form that is for [`Compiler::compile_part`] alone: what decides its object, with that compiler's options.
    ///
    /// # Panics
    /// When there is no such part.
    #[must_use]
    pub fn part(&self, part: u32) -> &[u8] {
        &self.shared.parts[part as usize]
    }
}

impl fmt::Debug for Divided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Divided")
            .field("name", &self.part_name(0))
            .field("n_parts", &self.n_parts())
            .finish_non_exhaustive()
    }
}

impl Compiler {
    /// Reads and checks IR, text or bitcode, and divides it: variables into part 0, functions into others, as `group` says: it is
    /// given the name of each function that has a body, and functions with one number are one part. What must be in one object is in one part:
    /// aliases, labels whose address is taken, distances between symbols, symbols that assembly refers to directly. If a variable is
    /// among that, or a constructor, or a section whose beginning or end is asked for, it is part 0.
    ///
    /// Modules with assembly of their own are part 0 altogether, and so are those with assembly inside functions that retain local symbols for it
    /// (`llvm.used`, `llvm.compiler.used`). Groups of sections are forgotten: their symbols are weak, each by itself.
    ///
    /// Costs reading and writing it, each part with the names that it refers to; no code is made.
    ///
    /// # Errors
    /// As [`compile_ir`](Self::compile_ir) has when it reads.
    pub fn divide(
        &self,
        name: &str,
        ir: &[u8],
        group: impl Fn(&str) -> u64 + Send + Sync + 'static,
    ) -> Result<Divided, Error> {
        self.on_worker(name, ir, move |compiler, name, ir, backends| {
            compiler.divide_here(name, ir, &group, backends)
        })
    }

    fn divide_here(
        &self,
        name: &str,
        ir: &[u8],
        group: &dyn Fn(&str) -> u64,
        backends: &mut Backends,
    ) -> Result<Divided, Error> {
        let context = Context::create();
        let _diagnostics = Diagnostics::install(&context);
        let Input {
            mut module,
            options,
            backend,
        } = self.read(&context, name, ir, backends)?;
        functions::drop_unknown(&context, &module, self.machine);
        let groups = groups(&module, group);
        let division = Division::new(&mut module, &groups);
        let globals = llvm::globals(&module);
        let visible = division.exported.iter().zip(&division.hidden);
        let visible = visible.map(|(exported, hidden)| (*exported, *hidden));
        let visible: Vec<_> = visible.collect();
        let places = division.parts.iter().zip(&visible);
        let symbols = globals.iter().zip(places);
        let symbols =
            symbols.filter(|(global, _)| types::is_symbol(global) && is_definition(global));
        let symbols = symbols.filter_map(|(global, (&part, &visible))| {
            let (is_exported, is_hidden) = visible;
            Some(PartSymbol {
                symbol: DefinedSymbol {
                    is_hidden,
                    ..DefinedSymbol::of(global)?
                },
                part,
                is_exported,
            })
        });
        let assembly = DefinedSymbol::of_assembly(&module).map(|symbol| PartSymbol {
            symbol,
            part: 0,
            is_exported: true,
        });
        let symbols: Vec<_> = symbols.chain(assembly).collect();
        let mut in_data = globals
            .iter()
            .zip(&division.parts)
            .filter(|(_, part)| **part == 0);
        let has_data =
            in_data.any(|(global, _)| is_definition(global)) || llvm::has_assembly(&module);
        let names = part_names(name, division.n_parts, &globals, &division.parts);
        drop(globals);
        let parts = division.extract(module, ADDRESS_SUFFIX);
        backends.give_back(options.clone(), backend);
        Ok(Divided {
            shared: Arc::new(Shared {
                options,
                parts,
                names,
                symbols,
                has_data,
            }),
        })
    }

    /// Compiles a part, at this compiler's level: the other options are those of the compiler that divided the module. Calls between parts are
    /// not inlined, unless the callee must be.
    ///
    /// Costs what compiling the part as a module of its own does. Several threads may compile parts, in any order, one
    /// part more than once.
    ///
    /// # Errors
    /// As [`compile_ir`](Self::compile_ir), with the [part's name](Divided::part_name).
    ///
    /// # Panics
    /// When there is no such part.
    pub fn compile_part(&self, divided: &Divided, part: u32) -> Result<Object, Error> {
        let mut objects = self.compile_divided(&[(divided, part)]);
        objects.pop().expect("there is one for each part")
    }

    /// Compiles parts, also of different modules, on all cores: each as [`compile_part`](Self::compile_part) does, with an object or
    /// an error of its own.
    ///
    /// # Panics
    /// When there is no such part.
    pub fn compile_divided(&self, parts: &[(&Divided, u32)]) -> Vec<Result<Object, Error>> {
        let compiler = self.clone();
        let owned = parts.iter().map(|&(divided, part)| (divided.clone(), part));
        let owned: Vec<_> = owned.collect();
        let compiled = worker::run_all(parts.len(), move |index, backends| {
            let (divided, part) = &owned[index];
            let name = divided.part_name(*part);
            compiler.compile_part_here(name, &divided.shared, *part, backends)
        });
        let results = parts.iter().zip(compiled);
        results
            .map(|(&(divided, part), result)| {
                result.unwrap_or_else(|failure| Err(failed(divided.part_name(part), failure)))
            })
            .collect()
    }

    fn compile_part_here(
        &self,
        name: &str,
        shared: &Shared,
        part: u32,
        backends: &mut Backends,
    ) -> Result<Object, Error> {
        let context = Context::create();
        let diagnostics = Diagnostics::install(&context);
        let ir = &shared.parts[part as usize];
        let buffer = MemoryBuffer::create_from_memory_range_copy(ir, "ir");
        let module = llvm::parse(&context, &buffer);
        let mut module = module.expect("LLVM reads what it has written");
        let mut options = shared.options.clone();
        options.level = self.opt_level as u8;
        let mut backend = backends.take(&options).map_err(|message| Error::NoTarget {
            triple: options.triple.clone(),
            message,
        })?;
        self.optimize(name, &mut module, &diagnostics, &mut backend)?;
        let target = types::target(&module, self.machine, &self.cpu, &backend);
        let object = generate(name, module, &target, &diagnostics, &mut backend)?;
        if backend.is_usable() {
            backends.give_back(options, backend);
        }
        Ok(object)
    }
}

/// The group of each function, from 1, in the order in which groups come first.
fn groups(module: &Module<'_>, group: &dyn Fn(&str) -> u64) -> Vec<u32> {
    let mut numbers = HashMap::new();
    let functions = llvm::globals(module);
    let functions = functions
        .iter()
        .filter(|global| global.kind == GlobalKind::Function);
    functions
        .map(|function| {
            if !is_definition(function) {
                return 0;
            }
            let name = String::from_utf8_lossy(function.name());
            let next = u32::try_from(numbers.len()).map_or(u32::MAX, |n| n.saturating_add(1));
            *numbers.entry(group(&name)).or_insert(next)
        })
        .collect()
}

/// What errors call each part: the module's name, and that of the part's first function.
fn part_names(module: &str, n_parts: u32, globals: &[Global<'_>], parts: &[u32]) -> Vec<String> {
    let mut functions = vec![(None, 0_usize); n_parts as usize];
    let placed = globals.iter().zip(parts);
    for (global, &part) in
        placed.filter(|(global, _)| global.kind == GlobalKind::Function && is_definition(global))
    {
        let (first, n_functions) = &mut functions[part as usize];
        first.get_or_insert_with(|| types::symbol(global).unwrap_or_default());
        *n_functions += 1;
    }
    let names = functions.into_iter().enumerate();
    names
        .map(|(part, (first, n_functions))| match first {
            Some(first) if part != 0 => {
                let more = match n_functions {
                    1 => String::new(),
                    _ => format!(" and {} more", n_functions - 1),
                };
                format!("{module}: {}{more}", String::from_utf8_lossy(first))
            }
            _ => module.to_owned(),
        })
        .collect()
}
