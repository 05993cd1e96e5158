//! An image that has been placed in a bare executor.

use std::collections::HashSet;
use std::ops::Range;

use farcall_image::{Image, Signature, Symbol, SymbolKind, nearest};
use farcall_loader::Placed;
use farcall_loader::invoke::{self, Value};
use farcall_protocol::{Argument as Wire, ResultRegister, Step};

use super::steps::Steps;
use super::{BareError, PlaceOptions};
use crate::Argument;

/// The functions of the executor's process that a module is started and ended with, if it has them: of the unwinder (LSB
/// Core 5.0, "Interface Definitions for libgcc_s") and of the C library (Itanium C++ ABI, "DSO Object Destruction Runtime
/// API").
pub(super) const HOST_FUNCTIONS: [&str; 3] =
    ["__register_frame", "__deregister_frame", "__cxa_finalize"];

/// An image that has been placed in a bare executor, which knows nothing of it but its bytes: names and types are looked
/// up here.
#[derive(Debug)]
pub struct PlacedModule<'data> {
    image: Image<'data>,
    base: u64,
    /// The addresses of [`HOST_FUNCTIONS`]; 0 for one that there is not.
    host: [u64; 3],
    contents: Contents,
}

/// What is in the memory of a module.
#[derive(Debug)]
enum Contents {
    /// Nothing that has run.
    Reserved,
    /// The image, whose constructors have run.
    Started {
        destructors: Vec<u64>,
        /// The functions that its indirect exports are.
        chosen: Vec<(u64, u64)>,
    },
}

/// A call that fits its function.
pub(super) struct Call {
    pub(super) step: Step<'static>,
    signature: Signature,
}

impl Call {
    /// The result that a register holds.
    pub(super) fn result(&self, bits: u64) -> Value {
        invoke::value(&self.signature.result.value_type, bits)
    }
}

impl<'data> PlacedModule<'data> {
    pub(super) fn reserved(image: Image<'data>, base: u64, host: [u64; 3]) -> Self {
        Self {
            image,
            base,
            host,
            contents: Contents::Reserved,
        }
    }

    /// The address of the image's first byte in the executor's process.
    #[must_use]
    pub fn base(&self) -> u64 {
        self.base
    }

    /// The image.
    #[must_use]
    pub fn image(&self) -> &Image<'data> {
        &self.image
    }

    /// The address of an export in the executor's process: of a function, or of a variable that all threads share.
    ///
    /// # Errors
    ///
    /// [`BareError::NoExport`] when there is none of this name.
    pub fn address(&self, name: &str) -> Result<u64, BareError> {
        let address = self.export(name.as_bytes());
        address.map(|(_, address)| address).ok_or_else(|| {
            let names = self.image.all_exports().map(|(_, symbol)| symbol.name);
            BareError::NoExport {
                name: name.to_owned(),
                nearest: nearest(name.as_bytes(), names),
            }
        })
    }

    pub(super) fn export(&self, name: &[u8]) -> Option<(Symbol<'data>, u64)> {
        let index = self.image.exports().lookup(name)?;
        let symbol = self.image.symbol(index)?;
        let address = match (symbol.kind, &self.contents) {
            (SymbolKind::Tls, _) => return None,
            (SymbolKind::IndirectFunction, Contents::Started { chosen, .. }) => {
                chosen
                    .iter()
                    .find(|(resolver, _)| *resolver == symbol.value)?
                    .1
            }
            (SymbolKind::IndirectFunction, Contents::Reserved) => return None,
            _ if symbol.is_absolute => symbol.value,
            _ => self.base.wrapping_add(symbol.value),
        };
        Some((symbol, address))
    }

    /// The image has been placed, and these steps start it. They register its unwind tables and run its constructors.
    pub(super) fn start(&mut self, placed: &Placed<'_>) -> Result<Steps<'static>, BareError> {
        let constructors = self.functions(placed, self.image.init_array())?;
        let mut destructors = self.functions(placed, self.image.fini_array())?;
        destructors.reverse();
        let exports = self.image.all_exports();
        let indirect = exports.filter(|(_, it)| it.kind == SymbolKind::IndirectFunction);
        let chosen = indirect.map(|(_, symbol)| (symbol.value, placed.address(&symbol)));
        self.contents = Contents::Started {
            destructors,
            chosen: chosen.collect(),
        };
        let mut steps = Steps::default();
        self.unwind_step(self.host[0], &mut steps);
        run(constructors, &mut steps);
        Ok(steps)
    }

    /// It did not come to [`PlacedModule::start`]'s last step.
    pub(super) fn forget_start(&mut self) {
        self.contents = Contents::Reserved;
    }

    /// Runs exit handlers and destructors, the last registered first, and gives the memory back.
    pub(super) fn end(&self) -> Steps<'static> {
        let mut steps = Steps::default();
        if let Contents::Started { destructors, .. } = &self.contents {
            if self.host[2] != 0 {
                let dso_handle = self.base.wrapping_add(self.image.dso_handle());
                steps.push(call_with_address(self.host[2], dso_handle));
            }
            run(destructors.clone(), &mut steps);
            self.unwind_step(self.host[1], &mut steps);
        }
        steps.push(Step::Free { address: self.base });
        steps
    }

    /// Calls a function with the image's unwind records, if there are both.
    fn unwind_step(&self, function: u64, steps: &mut Steps<'static>) {
        // An unwinder that could not forget them must not know them.
        let is_usable = self.host[0] != 0 && self.host[1] != 0;
        if let Some(records) = self
            .image
            .eh_frame()
            .filter(|it| is_usable && !it.is_empty())
        {
            steps.push(call_with_address(function, self.base + records.start));
        }
    }

    /// The functions of a table of the image, which have to be its own.
    fn functions(&self, placed: &Placed<'_>, table: Range<u64>) -> Result<Vec<u64>, BareError> {
        let bytes = placed.bytes(table).unwrap_or(&[]);
        let functions = bytes
            .as_chunks()
            .0
            .iter()
            .map(|word| u64::from_le_bytes(*word));
        let segments = self.image.segments();
        let is_code = |address: u64| {
            let mut code = segments.iter().filter(|segment| segment.executable);
            code.any(|segment| segment.memory.contains(&address.wrapping_sub(self.base)))
        };
        functions
            .map(|address| match is_code(address) {
                true => Ok(address),
                false => Err(BareError::NotCode { address }),
            })
            .collect()
    }

    /// A call of an export, as the executor is asked for it.
    pub(super) fn call(
        &self,
        name: &str,
        signature: Option<&str>,
        arguments: &[Argument<'_>],
    ) -> Result<Call, BareError> {
        let function = self.address(name)?;
        let signature = self.signature(name, signature)?;
        let wrong = |source| BareError::Call {
            name: name.to_owned(),
            signature: signature.to_string(),
            source,
        };
        let mut local: Vec<_> = arguments.iter().map(local).collect();
        let words = invoke::words(&signature, &mut local).map_err(wrong)?;
        let pairs = arguments.iter().zip(words);
        let arguments = pairs.map(|(argument, word)| match argument {
            Argument::Int(_) => Wire::Int(word),
            other => other.on_the_wire(),
        });
        let register = match signature.result.value_type {
            farcall_image::ValueType::Float | farcall_image::ValueType::Double => {
                ResultRegister::Float
            }
            _ => ResultRegister::Integer,
        };
        Ok(Call {
            step: Step::Call {
                function,
                result: register,
                arguments: arguments.collect(),
            },
            signature,
        })
    }

    /// The type of a function: the manifest's, or for an image that does not know it the one given.
    fn signature(&self, name: &str, given: Option<&str>) -> Result<Signature, BareError> {
        let index = self.image.exports().lookup(name.as_bytes());
        let symbol = index.and_then(|index| self.image.symbol(index));
        let not_a_function = || BareError::NotAFunction {
            name: name.to_owned(),
        };
        if symbol.is_some_and(|symbol| symbol.kind == SymbolKind::Data) {
            return Err(not_a_function());
        }
        let known = index.and_then(|index| self.image.manifest().symbol_type(index));
        let known = known.map(|text| text.parse().map_err(|_| not_a_function()));
        let known: Option<Signature> = known.transpose()?;
        let given = given.map(|text| {
            text.parse().map_err(|_| BareError::Signature {
                text: text.to_owned(),
            })
        });
        let given: Option<Signature> = given.transpose()?;
        match (known, given) {
            (Some(known), Some(given)) if !known.is_call_compatible(&given) => {
                Err(BareError::OtherType {
                    name: name.to_owned(),
                    known: known.to_string(),
                    given: given.to_string(),
                })
            }
            (_, Some(signature)) | (Some(signature), None) => Ok(signature),
            (None, None) => Err(BareError::NoType {
                name: name.to_owned(),
            }),
        }
    }
}

impl PlaceOptions<'_> {
    /// What a name is by the definitions, then by the modules.
    pub(super) fn address(&self, name: &[u8]) -> Option<u64> {
        let mut definitions = self.definitions.iter();
        let defined = definitions.find(|(defined, _)| defined.as_bytes() == name);
        let exported = || {
            let mut modules = self.modules.iter();
            modules.find_map(|module| Some(module.export(name)?.1))
        };
        defined.map(|(_, address)| *address).or_else(exported)
    }
}

/// The names that are to be looked up in the executor's process: what the image imports and the options do not have,
/// with and without a version that a name ends in.
pub(super) fn wanted(image: &Image<'_>, options: PlaceOptions<'_>) -> HashSet<String> {
    let imports = image.imports().map(|(_, symbol)| symbol);
    let wanted = imports.filter(|symbol| define(symbol.name, |it| options.address(it)).is_none());
    let names = wanted.filter_map(|symbol| str::from_utf8(symbol.name).ok());
    names
        .flat_map(|name| [name, unversioned(name)])
        .map(str::to_owned)
        .collect()
}

/// What `find` has for a name, or for the name without its version.
pub(super) fn define(name: &[u8], find: impl Fn(&[u8]) -> Option<u64>) -> Option<u64> {
    find(name).or_else(|| find(unversioned(str::from_utf8(name).ok()?).as_bytes()))
}

fn unversioned(name: &str) -> &str {
    name.split_once('@').map_or(name, |(name, _)| name)
}

fn run(functions: Vec<u64>, steps: &mut Steps<'static>) {
    if !functions.is_empty() {
        steps.push(Step::Run { functions });
    }
}

fn call_with_address(function: u64, address: u64) -> Step<'static> {
    Step::Call {
        function,
        result: ResultRegister::Integer,
        arguments: vec![Wire::Pointer(address)],
    }
}

/// An argument as the loader's calls take it, to be compared with a parameter; its buffer does not matter.
fn local<'a>(argument: &Argument<'_>) -> invoke::Argument<'a> {
    match *argument {
        Argument::Int(value) => invoke::Argument::Int(value),
        Argument::Float(value) => invoke::Argument::Float(value),
        Argument::Double(value) => invoke::Argument::Double(value),
        Argument::Pointer(value) => invoke::Argument::Pointer(value),
        // The executor says that it has none.
        Argument::Buffer(..) => invoke::Argument::Pointer(0),
        Argument::In(_) | Argument::Out(_) | Argument::InOut(_) => {
            invoke::Argument::Buffer(&mut [])
        }
    }
}
