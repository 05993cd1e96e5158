//! From bytes to verified IR for the right machine.

use inkwell::{
    context::Context,
    memory_buffer::MemoryBuffer,
    module::Module,
    targets::{TargetData, TargetTriple},
};

use crate::{
    Error,
    backends::Backends,
    llvm::{self, Backend, BackendOptions, CodeModel},
    target::{Cpu, Machine},
};

/// What LLVM calls the input: the name that the caller gives must not get into the object.
const BUFFER: &str = "ir";

/// A module that LLVM's verifier has passed, and the backend that it was checked against.
pub(crate) struct Input<'c> {
    pub(crate) module: Module<'c>,
    pub(crate) options: BackendOptions,
    pub(crate) backend: Backend,
}

/// How machine code is to be made.
pub(crate) struct Generation<'a> {
    pub(crate) machine: &'static Machine,
    /// For IR that has no triple of its own.
    pub(crate) triple: &'a str,
    /// 0 to 3.
    pub(crate) level: u8,
    /// Whether the level is the code generator's alone.
    pub(crate) optimized_ir: bool,
    pub(crate) cpu: &'a Cpu,
}

/// Reads and checks `ir`, text or bitcode.
pub(crate) fn read<'c>(
    context: &'c Context,
    name: &str,
    ir: &[u8],
    generation: &Generation<'_>,
    backends: &mut Backends,
) -> Result<Input<'c>, Error> {
    if ir
        .iter()
        .all(|byte| byte.is_ascii_whitespace() || *byte == 0)
    {
        return Err(Error::Empty {
            input: name.to_owned(),
        });
    }
    let is_bitcode = is_bitcode(ir);
    let mut module = parse(context, name, ir, is_bitcode)?;
    verify(name, &module)?;

    let triple = set_triple(name, &module, generation)?;
    let options = BackendOptions {
        triple: triple.as_str().to_string_lossy().into_owned(),
        cpu: generation.cpu.name.clone(),
        features: generation.cpu.features.clone(),
        level: generation.level,
        optimized_ir: generation.optimized_ir,
        model: code_model(name, &module)?,
    };
    let backend = (backends.take(&options)).map_err(|message| Error::NoTarget {
        triple: options.triple.clone(),
        message,
    })?;
    let expected = backend.layout();
    let found = module
        .get_data_layout()
        .as_str()
        .to_string_lossy()
        .into_owned();
    if found.is_empty() && !is_bitcode {
        // An alignment that the text leaves out is chosen while it is read: it must be read again, by this layout.
        let mut text = format!("target datalayout = \"{expected}\"\n").into_bytes();
        text.extend_from_slice(ir);
        module = parse(context, name, &text, false)?;
        module.set_triple(&triple);
    } else if found.is_empty() {
        module.set_data_layout(&TargetData::create(&expected).get_data_layout());
    } else if found != expected {
        return Err(Error::DataLayout {
            input: name.to_owned(),
            found,
            expected,
        });
    }
    Ok(Input {
        module,
        options,
        backend,
    })
}

/// LLVM's verifier.
pub(crate) fn verify(name: &str, module: &Module<'_>) -> Result<(), Error> {
    module.verify().map_err(|message| {
        let message = message.to_string().trim_end().to_owned();
        Error::Invalid {
            input: name.to_owned(),
            message,
        }
    })
}

/// Bitcode begins with `BC` 0xC0DE, or with the wrapper's 0x0B17C0DE (LLVM Bitcode File Format, Magic Numbers).
fn is_bitcode(ir: &[u8]) -> bool {
    ir.starts_with(b"BC\xC0\xDE") || ir.starts_with(&0x0B17_C0DE_u32.to_le_bytes())
}

fn parse<'c>(
    context: &'c Context,
    name: &str,
    ir: &[u8],
    is_bitcode: bool,
) -> Result<Module<'c>, Error> {
    let buffer = MemoryBuffer::create_from_memory_range_copy(ir, BUFFER);
    llvm::parse(context, &buffer).map_err(|message| {
        // LLVM writes `ir:3:14: error: message`, the line and the caret; of bitcode `ir: error: message`.
        let message = message.trim_end();
        let rest = message
            .strip_prefix(BUFFER)
            .and_then(|rest| rest.strip_prefix(':'))
            .unwrap_or(message);
        let located = located(rest).filter(|_| !is_bitcode);
        let input = name.to_owned();
        match located {
            Some((line, column, rest)) => {
                let (message, source_line) = rest.split_once('\n').unwrap_or((rest, ""));
                let (message, source_line) = (message.to_owned(), source_line.to_owned());
                Error::Parse {
                    input,
                    line,
                    column,
                    message,
                    source_line,
                }
            }
            None => {
                let message = rest.trim_start();
                let message = message
                    .strip_prefix("error: ")
                    .unwrap_or(message)
                    .to_owned();
                if is_bitcode {
                    Error::Bitcode { input, message }
                } else {
                    Error::Parse {
                        input,
                        line: 1,
                        column: 1,
                        message,
                        source_line: String::new(),
                    }
                }
            }
        }
    })
}

/// Splits `3:14: error: rest`.
fn located(message: &str) -> Option<(u32, u32, &str)> {
    let (line, rest) = message.split_once(':')?;
    let (column, rest) = rest.split_once(':')?;
    let rest = rest.trim_start_matches(' ');
    Some((
        line.parse().ok()?,
        column.parse().ok()?,
        rest.strip_prefix("error: ").unwrap_or(rest),
    ))
}

/// The module's own triple when it is this machine's: musl and GNU differ in what the C library has.
fn set_triple(
    name: &str,
    module: &Module<'_>,
    generation: &Generation<'_>,
) -> Result<TargetTriple, Error> {
    let triple = module.get_triple();
    let found = triple.as_str().to_string_lossy();
    if found.is_empty() {
        let triple = TargetTriple::create(generation.triple);
        module.set_triple(&triple);
        return Ok(triple);
    }
    if !generation.machine.accepts(&found) {
        return Err(Error::Triple {
            input: name.to_owned(),
            other: Machine::of(&found).map(|machine| machine.triple),
            found: found.into_owned(),
            expected: generation.triple.to_owned(),
        });
    }
    drop(found);
    Ok(triple)
}

/// The code model that the module asks for: LLVM leaves it to the driver to follow this flag.
fn code_model(name: &str, module: &Module<'_>) -> Result<CodeModel, Error> {
    match llvm::module_flag(module, "Code Model") {
        None | Some(1) => Ok(CodeModel::Small),
        Some(3) => Ok(CodeModel::Medium),
        Some(4) => Ok(CodeModel::Large),
        Some(found) => Err(Error::CodeModel {
            input: name.to_owned(),
            found,
        }),
    }
}
