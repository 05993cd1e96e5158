//! What can go wrong.

use std::fmt;
use std::sync::Arc;

use farcall_image::nearest;

/// Why something was not done. It can be cloned: all who wait for a unit get the same error.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// LLVM cannot make code of a unit.
    #[error(transparent)]
    Compile(Arc<farcall_compiler::Error>),
    /// A process that compiles has failed or crashed ([`Builder::compile_process`](crate::Builder::compile_process)).
    #[error("{unit}: {reason}")]
    CompileProcess {
        /// The name of the unit.
        unit: String,
        /// What the process has said, or what ended it.
        reason: String,
    },
    /// A unit's objects cannot be linked.
    #[error("{unit}: {source}")]
    Link {
        /// The name of the unit.
        unit: String,
        /// What is wrong.
        source: Arc<farcall_linker::Errors>,
    },
    /// Bytes that should be an image are none.
    #[error("{unit}: {source}")]
    Image {
        /// The name of the unit.
        unit: String,
        /// What is wrong.
        source: Arc<farcall_image::Error>,
    },
    /// An image cannot be loaded: of symbols that are missing, all are named.
    #[error(transparent)]
    Load(Arc<farcall_loader::Error>),
    /// A name is defined already.
    #[error(
        "{unit}: {name} is defined by {other} already, in library {library}: remove or replace that, or use another library"
    )]
    Duplicate {
        /// The unit that was to be added, or that a definition was.
        unit: String,
        /// The name.
        name: String,
        /// Who defines it.
        other: String,
        /// The name of the library.
        library: String,
    },
    /// A name was looked up that nothing defines.
    #[error("{name}: not found in {}{}", searched.join(", "), Suggestions(nearest))]
    NotFound {
        /// The name.
        name: String,
        /// The libraries that were searched, in order.
        searched: Vec<String>,
        /// Names like it, the nearest first.
        nearest: Vec<String>,
    },
    /// A unit cannot be removed.
    #[error("{unit}: in use by {}: remove those first, or all at once", users.join(", "))]
    InUse {
        /// The name of the unit.
        unit: String,
        /// The units that use it, by name.
        users: Vec<String>,
    },
    /// A unit is being started, replaced or removed at this moment, by this thread or one that waits for it.
    #[error(
        "{unit}: this thread, or one that waits for it, is running its constructors or destructors: do it when these are done"
    )]
    Busy {
        /// The name of the unit.
        unit: String,
    },
    /// Units that are to be removed together are of different sessions.
    #[error("{unit}: it is of another session: remove it by itself")]
    OtherSession {
        /// The name of the unit.
        unit: String,
    },
    /// A unit was removed before.
    #[error("{unit}: it was removed from the session")]
    Removed {
        /// The name of the unit.
        unit: String,
    },
    /// A new version lacks a function that others call.
    #[error(
        "{unit}: the new version does not define {}, which {} call",
        names.join(", "),
        users.join(", ")
    )]
    Incomplete {
        /// The name of the new version.
        unit: String,
        /// The functions.
        names: Vec<String>,
        /// The units that import from the old version.
        users: Vec<String>,
    },
}

/// `Ok`, or an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<farcall_loader::Error> for Error {
    fn from(error: farcall_loader::Error) -> Self {
        Self::Load(Arc::new(error))
    }
}

impl From<farcall_compiler::Error> for Error {
    fn from(error: farcall_compiler::Error) -> Self {
        Self::Compile(Arc::new(error))
    }
}

impl Error {
    pub(crate) fn link(unit: &str, errors: farcall_linker::Errors) -> Self {
        Self::Link {
            unit: unit.to_owned(),
            source: Arc::new(errors),
        }
    }

    pub(crate) fn image(unit: &str, error: farcall_image::Error) -> Self {
        Self::Image {
            unit: unit.to_owned(),
            source: Arc::new(error),
        }
    }

    pub(crate) fn not_found<'a>(
        name: &str,
        searched: Vec<String>,
        names: impl Iterator<Item = &'a [u8]>,
    ) -> Self {
        Self::NotFound {
            name: name.to_owned(),
            searched,
            nearest: nearest(name.as_bytes(), names),
        }
    }
}

struct Suggestions<'a>(&'a [String]);

impl fmt::Display for Suggestions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => Ok(()),
            names => write!(f, "; did you mean {}?", names.join(" or ")),
        }
    }
}
