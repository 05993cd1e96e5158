//! Why an image does not load, or a name is not found.

use std::fmt;

use farcall_image::Signature;

use crate::cpu::Missing;
use crate::demangle::demangle;
use crate::invoke;
use crate::sys::host;

/// The result of loading and looking up.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an image does not load, or a name is not found in a module.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The bytes are not an image, or not one for this machine.
    #[error("{image}: {source}")]
    Image {
        /// The image's name.
        image: String,
        /// What is wrong with it.
        source: farcall_image::Error,
    },
    /// The image is of a form that this loader does not serve.
    #[error("{image}: {what}")]
    Unsupported {
        /// The image's name.
        image: String,
        /// What it does not serve.
        what: &'static str,
    },
    /// The image's code uses instructions that this CPU lacks.
    #[error("{}", unsuited(image, compiled_for, missing, level))]
    Cpu {
        /// The image's name.
        image: String,
        /// The CPUs that it was compiled for, if the manifest knows.
        compiled_for: Vec<String>,
        /// All that is missing.
        missing: Missing,
        /// What to compile it for, so that it runs here: see [`crate::cpu::level`].
        level: &'static str,
    },
    /// The system refused something.
    #[error("{image}: {call}: {source}")]
    System {
        /// The image's name.
        image: String,
        /// The call that failed, with its size in bytes where it has one.
        call: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// The image was verified, and is not to be loaded.
    #[error("{image}: refused: {source}")]
    Refused {
        /// The image's name.
        image: String,
        /// Why, by whoever verified it: see [`Loader::verify_images`](crate::Loader::verify_images).
        source: crate::Refusal,
    },
    /// Imports that the host forbids: all of them; nothing was searched. Or, of an image that was verified, those that it may
    /// not use of the host and that no other image has.
    #[error("{}", forbidden(image, symbols))]
    Forbidden {
        /// The image's name; of images loaded together the first that has one.
        image: String,
        /// The imports, in the order of the image's symbol table.
        symbols: Vec<ForbiddenImport>,
    },
    /// Imports that were found nowhere: all of them.
    #[error("{}", missing(image, symbols, searched))]
    Missing {
        /// The image's name; of images loaded together the first that has one.
        image: String,
        /// The imports, each once, in the order of the image's symbol table.
        symbols: Vec<MissingSymbol>,
        /// The places searched, in order.
        searched: Vec<String>,
    },
    /// Imports that were found, but as something else: all of them.
    #[error("{}", mismatched(image, symbols))]
    Mismatched {
        /// The image's name; of images loaded together the first that has one.
        image: String,
        /// The imports, in the order of the image's symbol table.
        symbols: Vec<TypeMismatch>,
    },
    /// There is no room for thread-local variables that code uses in the initial-exec model.
    #[error(
        "{image}: no room for its thread-local variables ({size} bytes, aligned to {align}), which its code uses in the \
         initial-exec model: {reason}: compile with -fPIC and without -ftls-model{more}",
        more = host::MORE_STATIC_TLS
    )]
    NoStaticTls {
        /// The image's name.
        image: String,
        /// Their size in bytes.
        size: u64,
        /// Their alignment in bytes.
        align: u64,
        /// What the C library says.
        reason: String,
    },
    /// The C library is given thread-local variables that code uses in the initial-exec model in a file in memory, and there is none to be had.
    #[error(
        "{image}: its code uses its thread-local variables in the initial-exec model, which takes a file in memory: {call}: {source}: \
         compile with -fPIC and without -ftls-model, or let the process make such files, as workers with a memory limit may not"
    )]
    NoFileForTls {
        /// The image's name.
        image: String,
        /// The system call that failed.
        call: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Code uses a thread-local variable of another's in the initial-exec model, but it is not at
    /// one distance from every thread's pointer.
    #[error(
        "{image}: {name}: used in the initial-exec model, but each thread has this thread-local variable somewhere else: \
         compile with -fPIC and without -ftls-model"
    )]
    NotStaticTls {
        /// The image's name.
        image: String,
        /// The variable.
        name: String,
    },
    /// Code of the image has to run for it to be loaded, which is not wanted ([`crate::Loader::load_dormant`]).
    #[error(
        "{image}: cannot be loaded without running: it has indirect functions, which its code chooses"
    )]
    RunsCode {
        /// The image's name.
        image: String,
    },
    /// A constructor or destructor is not code.
    #[error("{image}: entry {index} of the {table} table, {address:#x}, is not code")]
    NotCode {
        /// The image's name.
        image: String,
        /// `constructor` or `destructor`.
        table: &'static str,
        /// The entry's index.
        index: usize,
        /// The address that it holds.
        address: u64,
    },
    /// A module does not export a name.
    #[error("{module}: no export is named {name}{}", nearest_names(nearest))]
    NoExport {
        /// The module's name.
        module: String,
        /// The name looked up.
        name: String,
        /// The exports whose names are most like it.
        nearest: Vec<String>,
    },
    /// An export is not what the caller believes.
    #[error("{module}: {name} is {found}, not {expected}")]
    WrongType {
        /// The module's name.
        module: String,
        /// The export.
        name: String,
        /// What the caller believes.
        expected: String,
        /// What the manifest or the symbol table says.
        found: String,
    },
    /// A function cannot be called like this.
    #[error("{module}: {name}: {source}, which is {signature}")]
    Call {
        /// The module's name.
        module: String,
        /// The function.
        name: String,
        /// Its type.
        signature: Box<Signature>,
        /// What is wrong with the call.
        source: invoke::CallError,
    },
    /// A callback cannot be of this type.
    #[error("a callback of type {signature}: {}: {source}", parameter_or_result(*parameter))]
    Callback {
        /// The type.
        signature: Box<Signature>,
        /// The number of the parameter that cannot be, from 1; `None` when it is the result.
        parameter: Option<usize>,
        /// Why.
        source: invoke::CallError,
    },
    /// A function that was called threw an exception, and nothing in the module caught it.
    #[error("{module}: {name}: threw {}, which nothing caught", exception.as_deref().unwrap_or("an exception"))]
    Threw {
        /// The module's name.
        module: String,
        /// The function.
        name: String,
        /// The type of the exception, where it is C++.
        exception: Option<String>,
    },
}

/// An import that the host forbids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForbiddenImport {
    /// The image that imports it.
    pub image: String,
    /// Its name.
    pub name: String,
    /// Its name as its source language writes it, where it is mangled.
    pub demangled: Option<String>,
    /// The first place that refers to it, if the manifest knows.
    pub referrer: Option<String>,
    /// Who lets the image use other names of the host and not this one; `None` where the host forbids it to all images.
    pub by: Option<String>,
}

/// An import that was found nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingSymbol {
    /// The image that imports it.
    pub image: String,
    /// The other images, of those loaded together, that import it.
    pub others: Vec<String>,
    /// Its name.
    pub name: String,
    /// Its name as its source language writes it, where it is mangled.
    pub demangled: Option<String>,
    /// The first place that refers to it, if the manifest knows.
    pub referrer: Option<String>,
    /// What could have been found whose names are most like it: definitions, exports of modules in
    /// scope and of images loaded together, symbols of the host's table. Not what the host exports,
    /// of which no interface has a list.
    pub nearest: Vec<String>,
}

/// An import that was found as something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeMismatch {
    /// The image that imports it.
    pub image: String,
    /// Its name.
    pub name: String,
    /// The first place that refers to it, if the manifest knows.
    pub referrer: Option<String>,
    /// What the image believes that it is.
    pub expected: String,
    /// What was found.
    pub found: String,
    /// Where it was found.
    pub place: String,
}

impl fmt::Display for ForbiddenImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_used(f, &self.name, self.demangled.as_deref(), &self.referrer)
    }
}

impl fmt::Display for MissingSymbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_used(f, &self.name, self.demangled.as_deref(), &self.referrer)?;
        if !self.others.is_empty() {
            write!(f, ", and by {}", listed(&self.others))?;
        }
        f.write_str(&nearest_names(&self.nearest))
    }
}

fn write_used(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    demangled: Option<&str>,
    referrer: &Option<String>,
) -> fmt::Result {
    match demangled {
        Some(demangled) => write!(f, "{demangled} ({name})")?,
        None => f.write_str(name)?,
    }
    match referrer {
        Some(referrer) => write!(f, ", used by {referrer}"),
        None => Ok(()),
    }
}

impl fmt::Display for TypeMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            expected,
            found,
            place,
            ..
        } = self;
        write!(f, "{name}: imported as {expected}, but {place} has {found}")?;
        match &self.referrer {
            Some(referrer) => write!(f, ", used by {referrer}"),
            None => Ok(()),
        }
    }
}

fn parameter_or_result(parameter: Option<usize>) -> String {
    parameter.map_or_else(
        || "the result".to_owned(),
        |index| format!("parameter {index}"),
    )
}

fn unsuited(image: &str, compiled_for: &[String], missing: &Missing, level: &str) -> String {
    let mut text = format!("{image}: ");
    if !compiled_for.is_empty() {
        text += &format!("compiled for {}: ", compiled_for.join(", "));
    }
    if !missing.features.is_empty() {
        text += &format!("this CPU lacks {}", missing.features.join(", "));
    }
    if !missing.unknown.is_empty() {
        let and = match missing.features.is_empty() {
            true => "",
            false => ", and ",
        };
        let unknown = missing.unknown.join(", ");
        text += &format!("{and}it requires {unknown}, which this loader does not know");
    }
    // A flag of ours changes neither objects nor features that functions of the IR name.
    text + &format!(
        "; compile it for what this CPU has: --cpu {level}, or its source anew where IR names features or it is an object"
    )
}

fn forbidden(image: &str, symbols: &[ForbiddenImport]) -> String {
    let by = symbols.first().and_then(|symbol| symbol.by.as_deref());
    let (who, note) = match by {
        None => ("the host", ""),
        Some(by) => (by, " from the host, and no image in scope has it"),
    };
    match symbols {
        [symbol] => format!("{image}: {who} forbids this import{note}: {symbol}"),
        _ => format!(
            "{image}: {who} forbids {} imports{}{}",
            symbols.len(),
            note.replace("it", "them"),
            lines(image, symbols, |symbol| &symbol.image)
        ),
    }
}

fn missing(image: &str, symbols: &[MissingSymbol], searched: &[String]) -> String {
    let searched = searched.join(", ");
    match symbols {
        [symbol] => format!("{image}: missing symbol: {symbol} (searched: {searched})"),
        _ => format!(
            "{image}: {} missing symbols (searched: {searched}){}",
            symbols.len(),
            lines(image, symbols, |symbol| &symbol.image)
        ),
    }
}

fn mismatched(image: &str, symbols: &[TypeMismatch]) -> String {
    match symbols {
        [symbol] => format!("{image}: {symbol}"),
        _ => format!(
            "{image}: {} imports have another type{}",
            symbols.len(),
            lines(image, symbols, |symbol| &symbol.image)
        ),
    }
}

/// A line for each. Those of other images than `image` say of which.
fn lines<T: fmt::Display>(image: &str, items: &[T], image_of: impl Fn(&T) -> &str) -> String {
    let line = |item| match image_of(item) {
        own if own == image => format!("\n  {item}"),
        other => format!("\n  {other}: {item}"),
    };
    items.iter().map(line).collect()
}

/// How many names are written out where there may be thousands.
const MAX_LISTED: usize = 8;

/// Names for people: all of a few, some of many.
pub(crate) fn listed(names: &[String]) -> String {
    match names.len().checked_sub(MAX_LISTED) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..MAX_LISTED].join(", ")),
    }
}

fn nearest_names(nearest: &[String]) -> String {
    if nearest.is_empty() {
        return String::new();
    }
    let text = |name: &String| match demangle(name) {
        Some(demangled) => format!("{demangled} ({name})"),
        None => name.clone(),
    };
    let names: Vec<_> = nearest.iter().map(text).collect();
    format!("; similar: {}", names.join(", "))
}
