//! What can go wrong between IR and object.

/// Why there is no object.
///
/// The message names the input first, then what was tried, then LLVM's own words where there are any.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No such CPU on the target machine.
    #[error("cpu `{cpu}`: unknown on {machine}{}{}", did_you_mean(.nearest), after_semicolon(.advice))]
    UnknownCpu {
        /// The name as given.
        cpu: String,
        /// The target machine.
        machine: &'static str,
        /// Known names that look like it, best first.
        nearest: Vec<&'static str>,
        /// What to do, if the name is something else.
        advice: Option<String>,
    },

    /// No such CPU feature on the target machine.
    #[error("cpu feature `{feature}`: unknown on {machine}{}{}", did_you_mean(.nearest), after_semicolon(.advice))]
    UnknownFeature {
        /// The name as given, without its sign.
        feature: String,
        /// The target machine.
        machine: &'static str,
        /// Known names that look like it, best first.
        nearest: Vec<&'static str>,
        /// What to do, if the name is something else.
        advice: Option<String>,
    },

    /// Features with spaces between.
    #[error("cpu features `{item}`: separate them by commas: `{list}`")]
    FeatureSeparator {
        /// What is between two commas, as given.
        item: String,
        /// The same with commas.
        list: String,
    },

    /// An item of the feature list has neither `+` nor `-` before it.
    #[error("cpu feature `{item}`: needs a `+` or a `-` before its name")]
    FeatureSign {
        /// The item as given.
        item: String,
    },

    /// `native` was asked for on a host that is not the target machine.
    #[error("cpu `native`: this host is {host}, the code is for {machine}")]
    NotNative {
        /// LLVM's triple of this host.
        host: String,
        /// The target machine.
        machine: &'static str,
    },

    /// There is no code for such a machine or system.
    #[error("{triple}: unknown target, did you mean `{}`", .known.join("` or `"))]
    UnknownTarget {
        /// The triple as given.
        triple: String,
        /// Triples of the machines that there is code for.
        known: Vec<&'static str>,
    },

    /// The LLVM that is linked in cannot make code for the target.
    #[error("{triple}: no such target in this LLVM: {message}")]
    NoTarget {
        /// The triple that was looked up.
        triple: String,
        /// LLVM's words.
        message: String,
    },

    /// The input has no bytes, or nothing but white space.
    #[error("{input}: empty, expected LLVM IR or bitcode")]
    Empty {
        /// The input's name.
        input: String,
    },

    /// Text IR that LLVM cannot read.
    #[error("{input}:{line}:{column}: {message}{}", on_next_line(.source_line))]
    Parse {
        /// The input's name.
        input: String,
        /// Line, from 1.
        line: u32,
        /// Column, from 1.
        column: u32,
        /// LLVM's words.
        message: String,
        /// The line in question and a caret under the column; empty when LLVM does not show it.
        source_line: String,
    },

    /// Bitcode that LLVM cannot read.
    #[error("{input}: cannot read bitcode: {message}")]
    Bitcode {
        /// The input's name.
        input: String,
        /// LLVM's words.
        message: String,
    },

    /// IR that can be read and breaks LLVM's rules.
    #[error("{input}: invalid IR: {message}")]
    Invalid {
        /// The input's name.
        input: String,
        /// The verifier's words, one line a finding.
        message: String,
    },

    /// The IR is for another machine, system or object format.
    #[error(
        "{input}: target triple: made for `{found}`, this compiler makes code for `{expected}`{}",
        .other.map(|target| format!(": choose the other target (--target {target})")).unwrap_or_default()
    )]
    Triple {
        /// The input's name.
        input: String,
        /// The IR's triple.
        found: String,
        /// The compiler's triple.
        expected: String,
        /// The target of the IR's machine, if there is code for it.
        other: Option<&'static str>,
    },

    /// The IR lays out data otherwise than the target.
    #[error("{input}: data layout: `{found}` in the IR, `{expected}` on the target")]
    DataLayout {
        /// The input's name.
        input: String,
        /// The IR's layout.
        found: String,
        /// The target's layout.
        expected: String,
    },

    /// The IR asks for a code model that position-independent code cannot have.
    #[error("{input}: code model {found}: expected small (1), medium (3) or large (4)")]
    CodeModel {
        /// The input's name.
        input: String,
        /// Value of the module flag `Code Model`.
        found: u64,
    },

    /// A function of the IR is for a CPU or a mode that the target does not have.
    #[error("{input}: function `{function}`: {attribute} `{value}` is unknown on {machine}")]
    FunctionTarget {
        /// The input's name.
        input: String,
        /// The function.
        function: String,
        /// `target-cpu` or `target-features`.
        attribute: &'static str,
        /// What the attribute says.
        value: String,
        /// The target machine.
        machine: &'static str,
    },

    /// A number is used as an address.
    #[error(
        "{input}: `{owner}`: {text}{}: a number that is an address in one process only: pass the address as an argument or \
         define a symbol for it at load, or allow absolute addresses (--allow-absolute-addresses)",
        .location.as_ref().map(|location| format!(" ({location})")).unwrap_or_default()
    )]
    AbsoluteAddress {
        /// The input's name.
        input: String,
        /// The function or variable.
        owner: String,
        /// The instruction or the constant, as LLVM writes it.
        text: String,
        /// Its file, line and column in the source, if debug information says so.
        location: Option<String>,
    },

    /// LLVM's pass pipeline failed.
    #[error("{input}: cannot optimize: {message}")]
    Optimize {
        /// The input's name.
        input: String,
        /// LLVM's words.
        message: String,
    },

    /// LLVM cannot make machine code of it.
    #[error("{input}: cannot generate code: {}", .messages.join("\n"))]
    Generate {
        /// The input's name.
        input: String,
        /// LLVM's words, one item an error.
        messages: Vec<String>,
    },

    /// LLVM cannot go on and does not report it as an error: the IR asks for what it does not have, or it has a bug.
    ///
    /// The thread of this compilation is parked for good, with its memory. Other compilations are not affected.
    #[error("{input}: LLVM gave up: {reason}")]
    GaveUp {
        /// The input's name.
        input: String,
        /// LLVM's words.
        reason: String,
    },

    /// The system has no thread for the compilation.
    #[error("{input}: cannot start a thread: {reason}")]
    Thread {
        /// The input's name.
        input: String,
        /// The system's words.
        reason: String,
    },
}

fn did_you_mean(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        names => format!(", did you mean `{}`", names.join("` or `")),
    }
}

fn after_semicolon(advice: &Option<String>) -> String {
    let advice = advice.iter();
    advice.map(|advice| format!("; {advice}")).collect()
}

fn on_next_line(source_line: &str) -> String {
    if source_line.is_empty() {
        String::new()
    } else {
        format!("\n{source_line}")
    }
}
