//! What is wrong with a store's directory.

use std::io;
use std::path::PathBuf;

/// Why a directory cannot be a store.
///
/// Only opening fails. What goes wrong later is a miss.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No environment variable says where the directory is.
    #[error("no directory for the cache: none of FARCALL_CACHE, XDG_CACHE_HOME and HOME is set")]
    NoFolder,
    /// It does not exist and cannot be made, or cannot be looked at.
    #[error("{}: cannot be the cache's directory: {source}", folder.display())]
    Io {
        /// The directory.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others could put code into it that then runs.
    #[error("{}: not used as the cache's directory, because {why}, and what is in it is run", folder.display())]
    Insecure {
        /// The directory, or the one above it that is the reason.
        folder: PathBuf,
        /// Who else can write to it.
        why: Writers,
    },
}

/// Who can write to a directory besides its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Writers {
    /// Its owner, who is someone else.
    #[error("it belongs to user {0}")]
    Owner(u32),
    /// Group or others, by its mode.
    #[error("others may write to it (mode {0:03o}; chmod go-w)")]
    Others(u32),
}
