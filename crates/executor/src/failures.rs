//! What controllers are told of what cannot be done.

use std::borrow::Cow;
use std::fmt;

use farcall_image::Digest;
use farcall_loader::Error as LoadError;
use farcall_protocol::{ErrorKind, Failure, ModuleName};

use crate::doing::DEEPEST;

/// The longest message of a failure, in bytes: one that names thousands of symbols tells no more
/// than one that names a thousand.
const MAX_MESSAGE_SIZE: usize = 256 << 10;

/// What messages call an image: its name, or the start of its digest. Most are never written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown<'a> {
    pub(crate) name: &'a str,
    pub(crate) digest: Digest,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            "" => f.write_str(&self.digest.to_string()[..16]),
            _ => f.write_str(&self.name()),
        }
    }
}

impl<'a> Shown<'a> {
    /// The name alone. It is for messages and logs, whose lines are ours.
    pub(crate) fn name(&self) -> Cow<'a, str> {
        if self.name.contains(char::is_control) {
            self.name.replace(char::is_control, "?").into()
        } else {
            self.name.into()
        }
    }
}

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
pub(crate) fn not_meant(shown: Shown<'_>, found: Digest) -> Failure {
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
        // The loader forbids only what a policy does.
        LoadError::Refused { .. } | LoadError::Forbidden { .. } => ErrorKind::Refused,
        LoadError::RunsCode { .. } => ErrorKind::RunsCode,
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

/// What answers a call back is no request.
pub(crate) fn no_callback() -> Failure {
    Failure {
        kind: ErrorKind::Malformed,
        message: "no call waits for an answer with this id".to_owned(),
    }
}

pub(crate) fn too_deep() -> Failure {
    Failure {
        kind: ErrorKind::CallBack,
        message: format!("more than {DEEPEST} calls within one another"),
    }
}

pub(crate) fn cancelled() -> Failure {
    Failure {
        kind: ErrorKind::Cancelled,
        message: "cancelled before it began".to_owned(),
    }
}

pub(crate) fn stopping() -> Failure {
    Failure {
        kind: ErrorKind::Stopping,
        message: "the executor is stopping: this was not begun".to_owned(),
    }
}

pub(crate) fn bug() -> Failure {
    Failure {
        kind: ErrorKind::Internal,
        message: "a bug of the executor: its log has more".to_owned(),
    }
}

pub(crate) fn malformed(error: &farcall_protocol::Error) -> Failure {
    Failure {
        kind: ErrorKind::Malformed,
        message: error.to_string(),
    }
}

pub(crate) fn no_function(number: u64) -> Failure {
    Failure {
        kind: ErrorKind::UnknownBuffer,
        message: format!("no function with the number {number} is prepared on this connection"),
    }
}

pub(crate) fn too_many(what: &str, most: usize) -> Failure {
    Failure {
        kind: ErrorKind::Memory,
        message: format!("more than {most} {what} on one connection"),
    }
}

/// Cuts `message` to [`MAX_MESSAGE_SIZE`], saying so.
pub(crate) fn shorten(message: &mut String) {
    let end = message.floor_char_boundary(MAX_MESSAGE_SIZE);
    let n_cut = message.len() - end;
    if n_cut > 0 {
        message.truncate(end);
        message.push_str(&format!("… ({n_cut} bytes more)"));
    }
}

/// What is told of a call for which the system gives no thread.
pub(crate) fn no_thread(error: &std::io::Error) -> Failure {
    Failure {
        kind: ErrorKind::Memory,
        message: format!("no thread for the call: {error}"),
    }
}

pub(crate) fn not_isolated() -> Failure {
    Failure {
        kind: ErrorKind::Malformed,
        message: "calls run in the process of this executor: it has no workers".to_owned(),
    }
}
