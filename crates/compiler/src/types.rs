//! The types of symbols, written into the object beside the code.
//!
//! A type is LLVM syntax as the ABI sees it: `zeroext i8 (ptr sret, i32 signext, ...)`. What does not change how a call is
//! made or a variable is read is left out, and structures are spelled out, since their names mean nothing elsewhere.

use std::sync::LazyLock;

use inkwell::module::Module;
use llvm_sys::LLVMLinkage as Linkage;

use crate::{
    llvm::{self, AttributeKind, Backend, Global, GlobalKind, Place, Shape, Type},
    target::{Cpu, Machine},
};

/// Name of the section of types: records of `symbol NUL type NUL`, in the order of the IR.
///
/// There is a record for every function and variable that the object defines for others or wants from others.
pub const TYPES_SECTION: &str = ".farcall.types";

/// Name of the section that says what the code was made for: `cpu NUL features NUL`.
///
/// The features are those beyond the machine's baseline that every function of the object may use, by LLVM's names,
/// implied ones too, sorted, with commas between: `avx,avx2,bmi`. Where some functions have more than others, as versions
/// of one that is chosen by what the processor has, the code as a whole needs what all of them have. Features that cannot
/// make an instruction unknown to a processor are not recorded.
pub const TARGET_SECTION: &str = ".farcall.target";

/// Name of the section that names, `symbol NUL`, the weak definitions that are hidden from all but images of their scope, although the
/// symbols say otherwise ([`Builder::share_scope`](crate::Builder::share_scope)).
pub const HIDDEN_SECTION: &str = ".farcall.hidden";

/// Attributes that change how a call is made.
static ABI_ATTRIBUTES: LazyLock<Vec<AttributeKind>> = LazyLock::new(|| {
    let names = [
        "inreg",
        "nest",
        "noext",
        "signext",
        "swiftasync",
        "swifterror",
        "swiftself",
        "zeroext",
        "byref",
        "byval",
        "inalloca",
        "preallocated",
        "sret",
    ];
    names.into_iter().filter_map(AttributeKind::named).collect()
});

/// Adds the sections, that of the target with what [`target`] has said. No pass may run after it.
pub(crate) fn add_sections(module: &Module<'_>, target: &str) {
    let mut records = Vec::new();
    let mut hidden = Vec::new();
    for global in llvm::globals(module)
        .iter()
        .filter(|global| is_symbol(global))
    {
        let Some(symbol) = symbol(global) else {
            continue;
        };
        records.extend_from_slice(symbol);
        records.push(0);
        if global.is_hidden_in_scope() {
            hidden.extend_from_slice(symbol);
            hidden.push(0);
        }
        records.extend_from_slice(notation(global).as_bytes());
        records.push(0);
    }
    if !records.is_empty() {
        llvm::add_excluded_section(module, c".farcall.types", &records);
    }
    if !hidden.is_empty() {
        llvm::add_excluded_section(module, c".farcall.hidden", &hidden);
    }
    llvm::add_excluded_section(module, c".farcall.target", target.as_bytes());
}

/// What the section of the target says of an optimized module; `cpu` is that of functions that name none.
///
/// Each part of a module says what the whole does: functions of one part may be chosen by what the processor has.
pub(crate) fn target(
    module: &Module<'_>,
    machine: &Machine,
    cpu: &Cpu,
    backend: &Backend,
) -> String {
    let (common, mut features) = backend.common_subtarget(module);
    features.retain(|name| machine.is_instruction_set(name));
    let cpu = common.as_ref().unwrap_or(&cpu.name);
    format!("{cpu}\0{}\0", features.join(","))
}

/// The name of a global's symbol, unless it is none.
pub(crate) fn symbol<'m>(global: &'m Global<'_>) -> Option<&'m [u8]> {
    let name = global.name();
    // `\01` keeps LLVM from decorating a name and is no part of the symbol.
    let symbol = name.strip_prefix(b"\x01").unwrap_or(name);
    (!symbol.is_empty() && !symbol.contains(&0)).then_some(symbol)
}

/// Whether a global is called, or what it is an alias of.
pub(crate) fn is_function(global: &Global<'_>) -> bool {
    matches!(global.value_type().shape(), Shape::Function { .. })
}

/// Whether other objects or images can meet this global by its name.
pub(crate) fn is_symbol(global: &Global<'_>) -> bool {
    let local = matches!(
        global.linkage(),
        Linkage::LLVMInternalLinkage | Linkage::LLVMPrivateLinkage | Linkage::LLVMAppendingLinkage
    );
    !local && !global.name().starts_with(b"llvm.") && (!global.is_declaration() || global.is_used())
}

/// The type of a global, with what the ABI needs of its attributes.
pub(crate) fn notation(global: &Global<'_>) -> String {
    let mut text = String::new();
    let Shape::Function {
        result,
        parameters,
        variadic,
    } = global.value_type().shape()
    else {
        write_type(&mut text, global.value_type());
        return text;
    };
    write_calling_convention(&mut text, global.calling_convention());
    for attribute in global.attributes(Place::Result, &ABI_ATTRIBUTES) {
        text.push_str(attribute);
        text.push(' ');
    }
    write_type(&mut text, result);
    text.push_str(" (");
    let mut separator = "";
    for (nth, parameter) in parameters.into_iter().enumerate() {
        text.push_str(separator);
        write_type(&mut text, parameter);
        for attribute in global.attributes(Place::Parameter(nth), &ABI_ATTRIBUTES) {
            text.push(' ');
            text.push_str(attribute);
        }
        separator = ", ";
    }
    if variadic {
        text.push_str(separator);
        text.push_str("...");
    }
    text.push(')');
    debug_assert!(global.kind != GlobalKind::Variable);
    text
}

/// Writes the convention as IR does, before the result; C's, the usual one, is not written.
fn write_calling_convention(text: &mut String, number: u32) {
    match number {
        0 => {}
        8 => text.push_str("fastcc "),
        9 => text.push_str("coldcc "),
        number => text.push_str(&format!("cc{number} ")),
    }
}

fn write_type(text: &mut String, ty: Type<'_>) {
    match ty.shape() {
        Shape::Leaf(spelling) => text.push_str(&spelling),
        Shape::Opaque => text.push_str("opaque"),
        Shape::Array { length, element } => {
            text.push_str(&format!("[{length} x "));
            write_type(text, element);
            text.push(']');
        }
        Shape::Struct { fields, packed } => {
            let empty = fields.is_empty();
            text.push_str(if packed { "<{" } else { "{" });
            let mut separator = " ";
            for field in fields {
                text.push_str(separator);
                write_type(text, field);
                separator = ", ";
            }
            text.push_str(if empty { "" } else { " " });
            text.push_str(if packed { "}>" } else { "}" });
        }
        // Function types stand only at functions; a pointer to one is `ptr`.
        Shape::Function { result, .. } => write_type(text, result),
    }
}
