//! What functions say of the processor that they are for.

use inkwell::{attributes::AttributeLoc, context::Context, module::Module, values::FunctionValue};

use crate::{
    Error,
    target::{Cpu, Machine},
};

const CPU: &str = "target-cpu";
const TUNE: &str = "tune-cpu";
const FEATURES: &str = "target-features";

/// Refuses functions that are for a processor that the machine does not have.
///
/// LLVM takes no notice of a name that it does not know, and ends the process at a processor without 64-bit mode.
pub(crate) fn check(input: &str, module: &Module<'_>, machine: &Machine) -> Result<(), Error> {
    for function in module.get_functions() {
        let refuse = |attribute: &'static str, value: &str| {
            let function = function.get_name().to_string_lossy().into_owned();
            let (input, value) = (input.to_owned(), value.to_owned());
            Err(Error::FunctionTarget {
                input,
                function,
                attribute,
                value,
                machine: machine.name,
            })
        };
        if let Some(cpu) =
            value(function, CPU).filter(|cpu| !cpu.is_empty() && !machine.has_cpu(cpu))
        {
            return refuse(CPU, &cpu);
        }
        if let Some(features) = value(function, FEATURES)
            && let Some(mode) = machine.mode_change(&features)
        {
            return refuse(FEATURES, mode);
        }
    }
    Ok(())
}

/// Puts the caller's choice above the functions'.
pub(crate) fn override_cpu(context: &Context, module: &Module<'_>, cpu: &Cpu, cpu_given: bool) {
    for function in module.get_functions() {
        if cpu_given {
            // A function without these is compiled for the target machine's processor.
            function.remove_string_attribute(AttributeLoc::Function, CPU);
            function.remove_string_attribute(AttributeLoc::Function, TUNE);
        }
        // A function without features of its own has the target machine's.
        if !cpu.features.is_empty()
            && let Some(own) = value(function, FEATURES)
        {
            let all = if own.is_empty() {
                cpu.features.clone()
            } else {
                format!("{own},{}", cpu.features)
            };
            let attribute = context.create_string_attribute(FEATURES, &all);
            function.add_attribute(AttributeLoc::Function, attribute);
        }
    }
}

fn value(function: FunctionValue<'_>, key: &str) -> Option<String> {
    let attribute = function.get_string_attribute(AttributeLoc::Function, key)?;
    Some(attribute.get_string_value().to_string_lossy().into_owned())
}
