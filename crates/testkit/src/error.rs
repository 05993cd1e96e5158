//! The crate's errors.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

/// Why a program, a source folder or a fact about a file could not be had.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A program is not installed.
    ToolMissing {
        /// The program's name, as looked for on `PATH`.
        tool: String,
    },
    /// A program ran and failed.
    ToolFailed {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it wrote to its standard error.
        stderr: String,
    },
    /// The operating system refused something.
    Io {
        /// The file or program concerned.
        path: PathBuf,
        /// What was tried, as an infinitive: "create".
        action: &'static str,
        /// Its answer.
        source: io::Error,
    },
    /// A crate that `testdata/sources` pins does not carry the sources expected in it.
    SourcesMissing {
        /// The crate's name.
        package: String,
        /// What was looked for, from the crate's root.
        path: PathBuf,
    },
    /// `cargo metadata` answered something unexpected.
    Metadata {
        /// The manifest that it was asked about.
        manifest: PathBuf,
        /// What was wrong with the answer.
        detail: String,
    },
}

impl Error {
    /// For `map_err`: the operating system refused `action` on `path`.
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io {
            path,
            action,
            source,
        }
    }

    /// `command` ran and ended in `status`.
    pub(crate) fn failed(command: &Command, status: ExitStatus, stderr: &[u8]) -> Error {
        Error::ToolFailed {
            command: format!("{command:?}"),
            status,
            stderr: String::from_utf8_lossy(stderr).trim_end().to_owned(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::ToolMissing { tool } => {
                write!(
                    f,
                    "{tool}: not installed: `cargo xtask setup` installs what the tests need"
                )
            }
            Error::ToolFailed {
                command,
                status,
                stderr,
            } => write!(f, "{command}: {status}: {stderr}"),
            Error::Io {
                path,
                action,
                source,
            } => write!(f, "{}: cannot {action}: {source}", path.display()),
            Error::SourcesMissing { package, path } => {
                write!(f, "crate {package}: sources missing: {}", path.display())
            }
            Error::Metadata { manifest, detail } => {
                write!(f, "{}: cargo metadata: {detail}", manifest.display())
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
