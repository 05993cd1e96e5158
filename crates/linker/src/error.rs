//! Why a link fails.

use std::fmt;

use farcall_arch::{Machine, Range, UnsupportedMachine};

/// The result of a phase.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Where in an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The object, as the caller named it.
    pub object: String,
    /// The section.
    pub section: String,
    /// The offset in the section in bytes.
    pub offset: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}+{:#x}", self.object, self.section, self.offset)
    }
}

/// Who refers to a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Referrer {
    /// A relocation.
    Place(Place),
    /// An object that declares the name.
    Object(String),
}

impl fmt::Display for Referrer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place(place) => place.fmt(f),
            Self::Object(object) => object.fmt(f),
        }
    }
}

/// Why a name is not exported.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotExported {
    /// No input defines it.
    Undefined {
        /// Names that inputs define and that are like it, the nearest first; those of C++ that are so called there.
        nearest: Vec<String>,
    },
    /// An object keeps it to itself.
    Local {
        /// The object.
        object: String,
    },
    /// It is hidden, or internal.
    Hidden {
        /// The object that defines it, or the linker.
        object: String,
    },
    /// It is in a member of an archive that nothing refers to.
    NotLinked {
        /// The archive.
        archive: String,
    },
}

impl fmt::Display for NotExported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undefined { nearest } if nearest.is_empty() => {
                f.write_str("no input defines it: add the one that does, or correct the name")
            }
            Self::Undefined { nearest } => {
                let nearest = nearest.join(", ");
                write!(f, "no input defines it; similar: {nearest}")
            }
            Self::Local { object } => {
                write!(f, "{object} keeps it to itself: declare it without static")
            }
            Self::Hidden { object } => {
                write!(f, "{object} hides it: declare it with default visibility")
            }
            Self::NotLinked { archive } => write!(
                f,
                "nothing refers to the member of {archive} that defines it: link all members (--whole-archive {archive})"
            ),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no object to link.
    #[error("nothing to link: no object was given")]
    NoInputs,
    /// An input is not an ELF file and not an archive.
    #[error("{object}: not an object file or archive")]
    NotElf {
        /// The input.
        object: String,
    },
    /// An input is LLVM bitcode.
    #[error("{object}: LLVM bitcode, not machine code: compile it first")]
    Bitcode {
        /// The input.
        object: String,
    },
    /// An input is ELF, but no object.
    #[error("{object}: cannot be linked: {what}")]
    NotRelocatable {
        /// The input.
        object: String,
        /// What it is instead.
        what: &'static str,
    },
    /// An object is for a machine that farcall does not know.
    #[error("{object}: for {}", UnsupportedMachine(*e_machine))]
    UnknownMachine {
        /// The object.
        object: String,
        /// Its `e_machine`.
        e_machine: u16,
    },
    /// Objects for different machines.
    #[error(
        "{object}: for {machine}, but {first_object} is for {first_machine}: compile all for one machine"
    )]
    MixedMachines {
        /// The object that differs from the first.
        object: String,
        /// Its machine.
        machine: Machine,
        /// The first object.
        first_object: String,
        /// The first object's machine.
        first_machine: Machine,
    },
    /// An object breaks the rules of ELF.
    #[error("{object}: malformed object: {reason}")]
    MalformedObject {
        /// The object.
        object: String,
        /// The rule.
        reason: String,
    },
    /// An archive breaks the rules of its format.
    #[error("{archive}: malformed archive: {reason}")]
    MalformedArchive {
        /// The archive.
        archive: String,
        /// The rule.
        reason: String,
    },
    /// An archive that holds paths in place of members.
    #[error("{archive}: a thin archive holds no objects: make it without `ar --thin`")]
    ThinArchive {
        /// The archive.
        archive: String,
    },
    /// Relocations in a form that objects do not have.
    #[error(
        "{object}: {form} relocations, which only what is linked already has: give the objects that it was made of"
    )]
    RelocationForm {
        /// The object.
        object: String,
        /// The section type.
        form: &'static str,
    },
    /// Two definitions of one name.
    #[error(
        "{symbol}: defined twice: in {first} and in {second}: keep one, or make it static or weak"
    )]
    Duplicate {
        /// The name.
        symbol: String,
        /// The definition that came first.
        first: Box<Place>,
        /// The other.
        second: Box<Place>,
    },
    /// A name that must be defined in the image is not.
    #[error(
        "{referrer}: {symbol} is {visibility}, so the image must define it, but no input does: add the object that does, or \
         declare it with default visibility"
    )]
    UndefinedHidden {
        /// The reference, or the object alone when it declares the name and does not use it.
        referrer: Referrer,
        /// The name.
        symbol: String,
        /// `hidden`, `internal` or `protected`.
        visibility: &'static str,
    },
    /// A name that [`ExportList::only`](crate::ExportList::only) lists, and that nothing which could be exported has.
    #[error("{name}: is to be exported, but {reason}")]
    NotExported {
        /// The name, or the pattern.
        name: String,
        /// Why it is not.
        reason: NotExported,
    },
    /// A reference into a section that lost against another object's group.
    #[error(
        "{place}: refers to {symbol}, whose section was discarded for another object's copy: compile both objects with the same \
         compiler and options"
    )]
    Discarded {
        /// The reference.
        place: Place,
        /// The symbol.
        symbol: String,
    },
    /// A reference into unwind records, which move and go.
    #[error(
        "{place}: refers into the unwind records of {section}, which move and go, so nothing can refer to them"
    )]
    IntoUnwindRecords {
        /// The reference.
        place: Place,
        /// The section with the records.
        section: String,
    },
    /// A reference past the end of a section whose pieces are merged.
    #[error("{place}: refers to {section}{}, which is outside of it", Signed(*addend))]
    OutsideMergeable {
        /// The reference.
        place: Place,
        /// The section.
        section: String,
        /// The offset in it in bytes.
        addend: i64,
    },
    /// A relocation type that the machine does not have.
    #[error(
        "{place}: unknown relocation type {r_type} against {symbol}: the object is damaged, or of a newer ABI than this linker knows"
    )]
    UnknownRelocation {
        /// The relocation's place.
        place: Place,
        /// The type's number.
        r_type: u32,
        /// The symbol.
        symbol: String,
    },
    /// The size of an import.
    #[error(
        "{place}: {relocation} against {symbol}, which is imported: its size is not known: define it in the image"
    )]
    UnsupportedRelocation {
        /// The relocation's place.
        place: Place,
        /// The type's name.
        relocation: &'static str,
        /// The symbol.
        symbol: String,
    },
    /// A relocation that does not fit position-independent code.
    #[error(
        "{place}: {relocation} against {symbol} is not position-independent: compile with -fPIC"
    )]
    NotPic {
        /// The relocation's place.
        place: Place,
        /// The type's name.
        relocation: &'static str,
        /// The symbol.
        symbol: String,
    },
    /// A relocation that would have to be applied to read-only bytes at load.
    #[error(
        "{place}: {relocation} against {symbol} would change read-only bytes at load: compile with -fPIC"
    )]
    TextRelocation {
        /// The relocation's place.
        place: Place,
        /// The type's name.
        relocation: &'static str,
        /// The symbol.
        symbol: String,
    },
    /// A TLS model that code in a loaded image cannot use.
    #[error(
        "{place}: {relocation} against {symbol}: this TLS model needs a place in the static TLS block: compile with -fPIC and without -ftls-model"
    )]
    TlsModel {
        /// The relocation's place.
        place: Place,
        /// The type's name.
        relocation: &'static str,
        /// The symbol.
        symbol: String,
    },
    /// A thread-local variable that is used as an ordinary one, or the reverse.
    #[error(
        "{place}: {relocation} against {symbol}: {reason}: declare it alike where it is defined and where it is used"
    )]
    ThreadLocalConfusion {
        /// The relocation's place.
        place: Place,
        /// The type's name.
        relocation: &'static str,
        /// The symbol.
        symbol: String,
        /// Which of the two.
        reason: &'static str,
    },
    /// Debug information is at no address and has no GOT, so most relocations mean nothing there.
    #[error(
        "{place}: {relocation} against {symbol}: debug information cannot refer to that: link without it"
    )]
    DebugRelocation {
        /// The relocation's place.
        place: Place,
        /// Its name.
        relocation: &'static str,
        /// The symbol.
        symbol: String,
    },
    /// A relocation that reaches outside its section.
    #[error(
        "{place}: {relocation} against {symbol} lies outside its section: the object is damaged, make it anew"
    )]
    OutsideSection {
        /// The relocation's place.
        place: Place,
        /// The type's name.
        relocation: &'static str,
        /// The symbol.
        symbol: String,
    },
    /// A value that does not fit.
    #[error("{place}: {relocation} against {symbol} out of range: {} not in {range}", Hex(*value))]
    Overflow {
        /// The relocation's place.
        place: Place,
        /// The type's name.
        relocation: &'static str,
        /// The symbol.
        symbol: String,
        /// The value.
        value: i64,
        /// What would fit.
        range: Range,
    },
    /// A section that the linker cannot do yet, or never.
    #[error("{object}: section {section}: {reason}")]
    Section {
        /// The object.
        object: String,
        /// The section.
        section: String,
        /// Why not.
        reason: &'static str,
    },
    /// A definition that the linker cannot do yet.
    #[error("{object}: {symbol}: {reason}")]
    Symbol {
        /// The object.
        object: String,
        /// The symbol.
        symbol: String,
        /// Why not.
        reason: &'static str,
    },
    /// Unwind records that do not parse.
    #[error("{place}: malformed unwind record: {reason}")]
    UnwindRecord {
        /// The record.
        place: Place,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Sections that are mostly zeroes, or alignments, would make a file that is mostly padding.
    #[error("the image would hold {size:#x} bytes of padding: align sections less")]
    Padding {
        /// The size of the padding in bytes.
        size: u64,
    },
    /// Every thread would need a larger block than images allow.
    #[error(
        "the image would have {size:#x} bytes of thread-local variables: an image has at most 1 GiB"
    )]
    TlsTooLarge {
        /// Their size in bytes.
        size: u64,
    },
    /// The image would be larger than 32-bit displacements reach.
    #[error(
        "the image would be larger than 2 GiB: split it into several, or leave out what nothing needs (--gc-sections)"
    )]
    TooLarge,
}

/// A number with its sign, whichever it is.
struct Signed(i64);

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "" } else { "+" };
        write!(f, "{sign}{}", Hex(self.0))
    }
}

struct Hex(i64);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{:#x}", self.0.unsigned_abs())
    }
}

/// Everything wrong that one phase found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors {
    /// Not empty.
    errors: Vec<Error>,
    /// How many more there are.
    n_more: usize,
}

impl Errors {
    /// No more than this many are kept: one cause often shows in thousands of places.
    const MAX: usize = 20;

    /// `Ok` when `errors` is empty.
    pub(crate) fn check(mut errors: Vec<Error>) -> Result<(), Self> {
        let n_more = errors.len().saturating_sub(Self::MAX);
        errors.truncate(Self::MAX);
        if errors.is_empty() {
            Ok(())
        } else {
            Err(Self { errors, n_more })
        }
    }

    /// The errors, at least one, in the order of the inputs.
    pub fn iter(&self) -> impl Iterator<Item = &Error> {
        self.errors.iter()
    }
}

impl From<Error> for Errors {
    fn from(error: Error) -> Self {
        Self {
            errors: vec![error],
            n_more: 0,
        }
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for error in &self.errors {
            write!(f, "{separator}{error}")?;
            separator = "\n";
        }
        if self.n_more > 0 {
            write!(f, "\nand {} more", self.n_more)?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}
