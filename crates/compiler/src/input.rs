//! From bytes to verified IR for the right machine.

use inkwell::{
    OptimizationLevel,
    context::Context,
    memory_buffer::MemoryBuffer,
    module::Module,
    targets::{CodeModel, RelocMode, Target, TargetMachine, TargetTriple},
};

use crate::{Error, llvm, target};

/// What LLVM calls the input: the name that the caller gives must not get into the object.
const BUFFER: &str = "ir";

/// A module that LLVM's verifier has passed, and the machine that it was checked against.
pub(crate) struct Input<'c> {
    pub(crate) module: Module<'c>,
    pub(crate) machine: TargetMachine,
}

/// How machine code is to be made.
pub(crate) struct Generation<'a> {
    pub(crate) machine: &'static target::Machine,
    pub(crate) level: OptimizationLevel,
    pub(crate) cpu: &'a target::Cpu,
}

/// Reads and checks `ir`, text or bitcode.
pub(crate) fn read<'c>(
    context: &'c Context,
    name: &str,
    ir: &[u8],
    generation: &Generation<'_>,
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

    let triple = set_triple(name, &module, generation.machine)?;
    let machine = target_machine(name, &module, &triple, generation)?;
    let layout = machine.get_target_data().get_data_layout();
    let expected = layout.as_str().to_string_lossy();
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
        module.set_data_layout(&layout);
    } else if found != expected {
        return Err(Error::DataLayout {
            input: name.to_owned(),
            found,
            expected: expected.into_owned(),
        });
    }
    Ok(Input { module, machine })
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
    machine: &target::Machine,
) -> Result<TargetTriple, Error> {
    let triple = module.get_triple();
    let found = triple.as_str().to_string_lossy();
    if found.is_empty() {
        let triple = TargetTriple::create(machine.triple);
        module.set_triple(&triple);
        return Ok(triple);
    }
    if !machine.accepts(&found) {
        return Err(Error::Triple {
            input: name.to_owned(),
            found: found.into_owned(),
            expected: machine.triple,
        });
    }
    drop(found);
    Ok(triple)
}

fn target_machine(
    name: &str,
    module: &Module<'_>,
    triple: &TargetTriple,
    generation: &Generation<'_>,
) -> Result<TargetMachine, Error> {
    // LLVM leaves it to the driver to follow this flag.
    let model = match llvm::module_flag(module, "Code Model") {
        None | Some(1) => CodeModel::Small,
        Some(3) => CodeModel::Medium,
        Some(4) => CodeModel::Large,
        Some(found) => {
            return Err(Error::CodeModel {
                input: name.to_owned(),
                found,
            });
        }
    };
    let no_target = |message: String| Error::NoTarget {
        triple: triple.to_string(),
        message,
    };
    let target = Target::from_triple(triple).map_err(|message| no_target(message.to_string()))?;
    let cpu = generation.cpu;
    let machine = target
        .create_target_machine(
            triple,
            &cpu.name,
            &cpu.features,
            generation.level,
            RelocMode::PIC,
            model,
        )
        .ok_or_else(|| no_target("no code generator".to_owned()))?;
    llvm::use_init_array(&machine);
    Ok(machine)
}
