//! What a symbol is known to be, and whether two believe the same of it.

use std::fmt;

use farcall_image::{Signature, SymbolKind};

/// What a symbol is known to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing is known.
    Unknown,
    /// A function, of this type if known.
    Function(Option<Signature>),
    /// A variable that all threads share.
    Variable,
    /// A variable of which each thread has its own.
    ThreadLocal,
}

impl Kind {
    /// What has this type in LLVM's syntax. Only a function's ends in a parenthesis.
    pub(crate) fn of_type(value_type: &str) -> Self {
        match value_type.parse() {
            Ok(signature) => Self::Function(Some(signature)),
            Err(_) => Self::Variable,
        }
    }

    /// What an export is, by its symbol and by its type where the manifest knows.
    pub(crate) fn of_export(symbol: SymbolKind, value_type: Option<&str>) -> Self {
        match (symbol, value_type) {
            (SymbolKind::Tls, _) => Self::ThreadLocal,
            (_, Some(value_type)) => Self::of_type(value_type),
            (SymbolKind::Function | SymbolKind::IndirectFunction, None) => Self::Function(None),
            (SymbolKind::Data, None) => Self::Variable,
            (_, None) => Self::Unknown,
        }
    }

    /// Whether who believes in `self` may use `found`.
    pub(crate) fn accepts(&self, found: &Self) -> bool {
        match (self, found) {
            (Self::ThreadLocal, _) | (_, Self::ThreadLocal) => self == found,
            (Self::Unknown, _) | (_, Self::Unknown) => true,
            (Self::Function(Some(expected)), Self::Function(Some(found))) => {
                expected.is_call_compatible(found)
            }
            (Self::Function(_), Self::Function(_)) | (Self::Variable, Self::Variable) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("a symbol"),
            Self::Function(Some(signature)) => write!(f, "function {signature}"),
            Self::Function(None) => f.write_str("a function"),
            Self::Variable => f.write_str("a variable"),
            Self::ThreadLocal => f.write_str("a thread-local variable"),
        }
    }
}
