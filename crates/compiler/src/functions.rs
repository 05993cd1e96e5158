//! What functions say of the processor that they are for.

use std::collections::HashMap;

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
            set_features(context, function, &all);
        }
    }
}

/// Drops names of features and of processors to tune for that LLVM does not know, with a warning to `tracing`.
///
/// LLVM would take no notice of them either, but say so on standard error, twice for each function. They come with IR of other
/// versions of LLVM.
pub(crate) fn drop_unknown(context: &Context, module: &Module<'_>, machine: &Machine) {
    let mut seen: HashMap<String, String> = HashMap::new();
    for function in module.get_functions() {
        if value(function, TUNE).is_some_and(|cpu| !machine.has_cpu(&cpu)) {
            function.remove_string_attribute(AttributeLoc::Function, TUNE);
        }
        let Some(features) = value(function, FEATURES) else {
            continue;
        };
        let known = seen
            .entry(features)
            .or_insert_with_key(|features| known(features, machine));
        if value(function, FEATURES).as_ref() != Some(known) {
            set_features(context, function, known);
        }
    }
}

fn known(features: &str, machine: &Machine) -> String {
    let mut known = Vec::new();
    for item in features.split(',').filter(|item| !item.is_empty()) {
        if machine.knows(item.trim_start_matches(['+', '-'])) {
            known.push(item);
        } else {
            tracing::warn!("cpu feature `{item}`: unknown on {}, ignored", machine.name);
        }
    }
    known.join(",")
}

fn set_features(context: &Context, function: FunctionValue<'_>, features: &str) {
    let attribute = context.create_string_attribute(FEATURES, features);
    function.add_attribute(AttributeLoc::Function, attribute);
}

fn value(function: FunctionValue<'_>, key: &str) -> Option<String> {
    let attribute = function.get_string_attribute(AttributeLoc::Function, key)?;
    Some(attribute.get_string_value().to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::X86_64;

    #[test]
    fn unknown_features_go() {
        assert_eq!(known("+sse2,-mpx,+avx,+3dnow,", &X86_64), "+sse2,+avx");
        assert_eq!(known("", &X86_64), "");
        assert_eq!(known("+64bit,+fma", &X86_64), "+64bit,+fma");
    }
}
