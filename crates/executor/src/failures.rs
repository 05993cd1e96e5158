//! What controllers are told of what cannot be done.

use farcall_image::Digest;
use farcall_loader::Error as LoadError;
use farcall_protocol::{ErrorKind, Failure, ModuleName};

/// No such module.
pub(crate) fn unknown(module: ModuleName<'_>) -> Failure {
    let module = match module {
        ModuleName::Digest(digest) => digest.to_string(),
        ModuleName::Name(name) => name.to_owned(),
    };
    Failure {
        kind: ErrorKind::UnknownModule,
        message: format!("{module}: no such module is loaded"),
    }
}

/// An image of another digest than was asked for.
pub(crate) fn not_meant(shown: &str, found: Digest) -> Failure {
    Failure {
        kind: ErrorKind::Image,
        message: format!("{shown}: not the image that was meant: its digest is {found}"),
    }
}

/// A module that the modules named use, or else a call.
pub(crate) fn in_use(name: &str, users: &[&str]) -> Failure {
    let users = if users.is_empty() {
        "a call".to_owned()
    } else {
        users.join(", ")
    };
    Failure {
        kind: ErrorKind::InUse,
        message: format!("{name}: in use by {users}"),
    }
}

/// What a controller is told of the loader's error.
pub(crate) fn loading(error: LoadError) -> Failure {
    let kind = match error {
        LoadError::Image { .. } | LoadError::Cpu { .. } | LoadError::Unsupported { .. } => {
            ErrorKind::Image
        }
        LoadError::NoExport { .. } => ErrorKind::UnknownSymbol,
        LoadError::WrongType { .. } | LoadError::Call { .. } => ErrorKind::Arguments,
        LoadError::Threw { .. } => ErrorKind::Threw,
        LoadError::System { .. } => ErrorKind::Memory,
        _ => ErrorKind::Load,
    };
    Failure {
        kind,
        message: error.to_string(),
    }
}
