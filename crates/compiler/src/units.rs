//! Modules that belong together, on all cores: small ones are merged before they are compiled, a large one is divided afterwards.
//!
//! Most of the time that a small module takes is LLVM's for beginning and ending: passes that find nothing to do, an object. Merged,
//! modules share it.

use std::{iter, ops::Range, sync::Arc};

use inkwell::{context::Context, module::Module};

use crate::{
    Compiler, Error, Object,
    backends::Backends,
    compiler::{failed, generate},
    functions,
    input::Input,
    llvm::{self, BackendOptions, Diagnostics, Split},
    types, worker,
};

/// More parts than this are of no use to any machine for long.
const MOST_PARTS: u16 = 64;

/// Modules that are merged to one: as few as keep all cores busy when there are many, as many as make what they share a small
/// part of what each takes.
const MOST_MERGED: usize = 32;
/// Bytes of IR that are merged. Of more, what the modules share is a small part anyway.
const MOST_MERGED_BYTES: usize = 128 << 10;

/// Modules, each with its name.
type Modules = [(String, Vec<u8>)];

impl Compiler {
    /// Compiles many modules, on all cores: each as [`compile_ir`](Self::compile_ir) does, with an object or an error of its own.
    pub fn compile_all(&self, inputs: &[(&str, &[u8])]) -> Vec<Result<Object, Error>> {
        let parts = self.compile(inputs, apart(inputs.len()), None).into_iter();
        parts
            .map(|parts| parts.map(|mut parts| parts.remove(0)))
            .collect()
    }

    /// Compiles many modules, on all cores, and a large one on more than one of them: it becomes several objects, which belong
    /// together. Link all of them.
    ///
    /// A module is optimized as a whole. Then its functions are divided into parts of [`Builder::part_size`](crate::Builder::part_size)
    /// instructions or more, for which code is generated as for the whole; names of its own that more than one part uses become hidden
    /// symbols. The objects depend on the module and the options, and not on the number of cores. Modules with debug information that is not
    /// [left out](crate::Builder::strip_debug), assembly of their own or variables that are retained (`llvm.used`) stay in one part.
    pub fn compile_parts(&self, inputs: &[(&str, &[u8])]) -> Vec<Result<Vec<Object>, Error>> {
        self.compile(inputs, apart(inputs.len()), Some(self.part_size))
    }

    /// Compiles units of modules, on all cores. The modules of a unit belong together: they become objects of which all are to be linked to
    /// one image. Each unit has objects, or an error, of its own.
    ///
    /// A large module is compiled in parts, as by [`compile_parts`](Self::compile_parts). Small ones that follow one another, up to 32 of them and
    /// 128 KiB of IR, are merged to one before they are optimized, so that a thousand take a third of the time. Their names mean the
    /// same as in objects that are linked; what one module defines may be inlined in another, and what two call the same and keep
    /// to themselves is told apart by a number (`helper.1`). The objects depend on the unit and the options. Modules that are not for the
    /// same processor, or have assembly of their own, or define what others define, are compiled apart.
    pub fn compile_units(&self, units: &[&[(&str, &[u8])]]) -> Vec<Result<Vec<Object>, Error>> {
        let modules: Vec<_> = units.concat();
        let mut first = 0;
        let units = units.iter().map(|unit| {
            let sizes = unit.iter().map(|(_, ir)| ir.len());
            let batches = batches(sizes).into_iter();
            let of_unit = batches.map(|batch| first + batch.start..first + batch.end);
            let of_unit = of_unit.collect();
            first += unit.len();
            of_unit
        });
        let units = units.collect();
        self.compile(&modules, units, Some(self.part_size))
    }

    /// Compiles the modules of units, which have them in batches.
    fn compile(
        &self,
        modules: &[(&str, &[u8])],
        units: Vec<Vec<Range<usize>>>,
        part_size: Option<usize>,
    ) -> Vec<Result<Vec<Object>, Error>> {
        let owned = |&(name, ir): &(&str, &[u8])| (name.to_owned(), ir.to_vec());
        let modules: Arc<Modules> = modules.iter().map(owned).collect();
        let batches: Vec<_> = units.iter().flatten().cloned().collect();
        let mut compiled = self.optimized(&modules, &batches, part_size).into_iter();
        let units: Vec<Result<Vec<Compiled>, Error>> = units
            .iter()
            .map(|batches| {
                // All are taken, also those after one that has failed.
                let batches: Vec<_> = compiled.by_ref().take(batches.len()).collect();
                Ok(batches.into_iter().collect::<Result<Vec<_>, _>>()?.concat())
            })
            .collect();

        let parts = units.iter().flatten().flatten();
        let parts: Arc<[_]> = parts.flat_map(Compiled::parts).collect();
        let worked_on = Arc::clone(&parts);
        let generated = worker::run_all(parts.len(), move |index, backends| {
            let (parts, number) = &worked_on[index];
            generate_part(parts, *number, backends)
        });
        let mut generated = generated.into_iter().zip(parts.iter());
        let mut objects = |compiled| match compiled {
            Compiled::Object(object) => vec![Ok(object)],
            Compiled::Split(parts) => {
                let generated = generated.by_ref().take(parts.split.n_parts());
                let part = |(part, (parts, _)): (Result<_, _>, &(Arc<Parts>, _))| {
                    part.unwrap_or_else(|failure| Err(failed(&parts.name, failure)))
                };
                generated.map(part).collect()
            }
        };
        let units = units.into_iter().map(|unit| {
            let objects: Vec<_> = unit?.into_iter().flat_map(&mut objects).collect();
            objects.into_iter().collect()
        });
        units.collect()
    }

    /// What becomes of the modules of each batch.
    fn optimized(
        &self,
        modules: &Arc<Modules>,
        batches: &[Range<usize>],
        part_size: Option<usize>,
    ) -> Vec<Result<Vec<Compiled>, Error>> {
        let (compiler, worked_on) = (self.clone(), Arc::clone(modules));
        let jobs: Arc<[Range<usize>]> = batches.into();
        let results = worker::run_all(jobs.len(), move |index, backends| {
            let modules = &worked_on[jobs[index].clone()];
            if modules.len() > 1
                && let Some(object) = compiler.compile_merged(modules, backends)?
            {
                return Ok(vec![Compiled::Object(object)]);
            }
            let each = modules.iter();
            each.map(|(name, ir)| compiler.compile_here(name, ir, part_size, backends))
                .collect()
        });
        let results = results.into_iter().zip(batches);
        let results = results.map(|(result, batch)| match result {
            Ok(result) => result,
            Err(failure) if batch.len() == 1 => Err(failed(&modules[batch.start].0, failure)),
            // LLVM does not say at which of them it gave up.
            Err(_) => {
                let each: Vec<_> = batch.clone().map(|module| module..module + 1).collect();
                let each = self.optimized(modules, &each, part_size).into_iter();
                Ok(each.collect::<Result<Vec<_>, _>>()?.concat())
            }
        });
        results.collect()
    }

    /// Compiles one module, up to where its code can be generated in parts.
    fn compile_here(
        &self,
        name: &str,
        ir: &[u8],
        part_size: Option<usize>,
        backends: &mut Backends,
    ) -> Result<Compiled, Error> {
        let context = Context::create();
        let diagnostics = Diagnostics::install(&context);
        let Input {
            mut module,
            options,
            mut backend,
        } = self.read(&context, name, ir, backends)?;
        functions::drop_unknown(&context, &module, self.machine);
        self.optimize(name, &mut module, &diagnostics, &mut backend)?;
        let target = types::target(&module, self.machine, &self.cpu, &backend);
        if let Some(split) = part_size.and_then(|size| Split::new(&mut module, size, MOST_PARTS)) {
            backends.give_back(options.clone(), backend);
            return Ok(Compiled::Split(Arc::new(Parts {
                name: name.to_owned(),
                split,
                options,
                target,
            })));
        }
        let object = generate(name, module, &target, &diagnostics, &mut backend)?;
        if backend.is_usable() {
            backends.give_back(options, backend);
        }
        Ok(Compiled::Object(object))
    }

    /// Compiles modules as one. None when they cannot be one, or when something is wrong that is to be said of one of them.
    ///
    /// # Errors
    /// When one of them cannot be read.
    fn compile_merged(
        &self,
        modules: &Modules,
        backends: &mut Backends,
    ) -> Result<Option<Object>, Error> {
        let context = Context::create();
        let diagnostics = Diagnostics::install(&context);
        let mut read: Vec<Module<'_>> = Vec::with_capacity(modules.len());
        let mut common: Option<(BackendOptions, Option<String>)> = None;
        for (name, ir) in modules {
            let Input {
                module,
                options,
                backend,
            } = self.read(&context, name, ir, backends)?;
            functions::drop_unknown(&context, &module, self.machine);
            // Of functions for different processors, the object would need what they have in common only.
            let target = has_code(&module)
                .then(|| types::target(&module, self.machine, &self.cpu, &backend));
            backends.give_back(options.clone(), backend);
            match &mut common {
                None => common = Some((options, target)),
                Some((of_all, _)) if *of_all != options => return Ok(None),
                Some((_, of_all @ None)) => *of_all = target,
                Some((_, of_all)) if target.is_some() && *of_all != target => return Ok(None),
                Some(_) => {}
            }
            read.push(module);
        }
        let (Some(mut module), Some((options, _))) = (llvm::merge(read), common) else {
            return Ok(None);
        };
        let name = format!("{} and {} more", modules[0].0, modules.len() - 1);
        let Ok(mut backend) = backends.take(&options) else {
            return Ok(None);
        };
        if self
            .optimize(&name, &mut module, &diagnostics, &mut backend)
            .is_err()
        {
            return Ok(None);
        }
        let target = types::target(&module, self.machine, &self.cpu, &backend);
        let object = generate(&name, module, &target, &diagnostics, &mut backend);
        if backend.is_usable() {
            backends.give_back(options, backend);
        }
        Ok(object.ok())
    }
}

/// Units of one module each.
fn apart(n_modules: usize) -> Vec<Vec<Range<usize>>> {
    let units = (0..n_modules).map(|module| iter::once(module..module + 1).collect());
    units.collect()
}

/// Batches of modules, by their sizes, that are merged: neighbours.
fn batches(sizes: impl Iterator<Item = usize>) -> Vec<Range<usize>> {
    let mut batches: Vec<Range<usize>> = Vec::new();
    let mut in_last = usize::MAX;
    for (module, size) in sizes.enumerate() {
        in_last = in_last.saturating_add(size);
        match batches.last_mut() {
            Some(last) if last.len() < MOST_MERGED && in_last <= MOST_MERGED_BYTES => {
                last.end = module + 1;
            }
            _ => {
                batches.push(module..module + 1);
                in_last = size;
            }
        }
    }
    batches
}

fn has_code(module: &Module<'_>) -> bool {
    let mut functions = module.get_functions();
    functions.any(|function| function.count_basic_blocks() != 0)
}

/// What becomes of a module.
#[derive(Clone)]
enum Compiled {
    Object(Object),
    /// No code yet.
    Split(Arc<Parts>),
}

/// A module without code yet.
struct Parts {
    name: String,
    split: Split,
    options: BackendOptions,
    target: String,
}

impl Compiled {
    /// The parts that have no code yet.
    fn parts(&self) -> impl Iterator<Item = (Arc<Parts>, usize)> {
        let parts = match self {
            Self::Object(_) => None,
            Self::Split(parts) => Some(parts),
        };
        parts.into_iter().flat_map(|parts| {
            let numbers = 0..parts.split.n_parts();
            numbers.map(|number| (Arc::clone(parts), number))
        })
    }
}

fn generate_part(parts: &Parts, number: usize, backends: &mut Backends) -> Result<Object, Error> {
    let context = Context::create();
    let diagnostics = Diagnostics::install(&context);
    let module = parts.split.part(&context, number);
    let options = &parts.options;
    let backend = backends.take(options);
    let mut backend = backend.map_err(|message| Error::NoTarget {
        triple: options.triple.clone(),
        message,
    })?;
    let object = generate(
        &parts.name,
        module,
        &parts.target,
        &diagnostics,
        &mut backend,
    )?;
    if backend.is_usable() {
        backends.give_back(options.clone(), backend);
    }
    Ok(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_that_are_small_are_a_batch() {
        // Where each ends.
        let of = |sizes: &[usize]| {
            let batches = batches(sizes.iter().copied());
            let mut end = 0;
            for batch in &batches {
                assert!(batch.start == end && batch.end > end);
                end = batch.end;
            }
            batches
                .into_iter()
                .map(|batch| batch.end)
                .collect::<Vec<_>>()
        };
        assert_eq!(of(&[]), []);
        assert_eq!(of(&[1]), [1]);
        assert_eq!(of(&[1, 2, 3]), [3]);
        let large = MOST_MERGED_BYTES;
        assert_eq!(of(&[1, large, 1, 2]), [1, 2, 4]);
        assert_eq!(of(&[1, large - 1, 1]), [2, 3]);
        assert_eq!(of(&[usize::MAX, usize::MAX]), [1, 2]);
        assert_eq!(of(&[1; 70]), [32, 64, 70]);
    }
}
