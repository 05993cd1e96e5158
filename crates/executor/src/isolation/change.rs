//! What a supervisor has been told to load and define, as it is told to its template and its workers.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use farcall_image::Digest;
use farcall_loader::SealedFile;
use farcall_protocol::{Definition, FirstCall, Form, ModuleName, Request, Response};

use super::spaces::FirstCalls;
use crate::admission::{Permit, Signed};
use crate::channel::Interest;
use crate::client::{Executor, size};
use crate::shipment::LARGE_IMAGE;
use crate::{Error, Result};

/// A change of what is loaded and defined.
#[derive(Debug)]
pub(super) enum Change {
    Load(Kept),
    Define(Defined),
    DefineOnFirstCall(FirstCalls),
    Unload(Digest),
}

/// An image that the supervisor keeps for its workers.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) digest: Digest,
    /// What messages call it.
    pub(super) name: String,
    pub(super) scope: Option<Vec<Digest>>,
    pub(super) n_exports: u64,
    /// What of the host it may use, where a policy says so.
    pub(super) permit: Option<Permit>,
    /// Its code signature, the one that came last.
    pub(super) signature: Signed,
    /// Calls of its functions that have begun.
    pub(super) calls: Arc<AtomicU64>,
    pub(super) image: Bytes,
}

/// The bytes of an image.
#[derive(Debug)]
pub(super) enum Bytes {
    Few(Vec<u8>),
    InFile { file: OwnedFd, size: usize },
}

/// A definition.
#[derive(Debug)]
pub(super) struct Defined {
    pub(super) name: String,
    pub(super) value_type: Option<String>,
    pub(super) value: Value,
}

/// What is defined.
#[derive(Debug)]
pub(super) enum Value {
    Address(u64),
    Bytes(Vec<u8>),
    Export {
        module: Digest,
        name: String,
    },
    /// A function of a controller's, by the supervisor's number.
    Callback(u64),
}

impl Bytes {
    /// Keeps bytes, and the sealed file that they are in if they came in one.
    pub(super) fn keep(bytes: &[u8], file: Option<OwnedFd>) -> std::io::Result<Self> {
        let size = bytes.len();
        Ok(match file {
            Some(file) => Self::InFile { file, size },
            None if size < LARGE_IMAGE => Self::Few(bytes.to_vec()),
            None => Self::InFile {
                file: SealedFile::create(bytes)?,
                size,
            },
        })
    }

    pub(super) fn size(&self) -> u64 {
        size(match self {
            Self::Few(bytes) => bytes.len(),
            Self::InFile { size, .. } => *size,
        })
    }

    /// What `read` makes of them.
    pub(super) fn with<T>(&self, read: impl FnOnce(&[u8]) -> T) -> std::io::Result<T> {
        match self {
            Self::Few(bytes) => Ok(read(bytes)),
            Self::InFile { file, .. } => {
                let file = SealedFile::open(file.try_clone()?)?;
                Ok(read(file.bytes()))
            }
        }
    }
}

impl Change {
    /// Has an executor do it.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] when it cannot; another when the connection has failed.
    pub(super) fn apply(&self, executor: &Executor) -> Result<Response> {
        let id = self.send(executor)?;
        Ok(executor.answer(id)?.response)
    }

    /// Sends the request to do it, and gives its id.
    pub(super) fn send(&self, executor: &Executor) -> Result<u64> {
        if let Self::Load(Kept {
            digest,
            permit: Some(permit),
            ..
        }) = self
        {
            // It is done before the load. Without it nothing is permitted.
            executor.send_and_forget(&permit.request(*digest));
        }
        let (request, body, file) = self.request();
        let file = file.map(AsFd::as_fd);
        executor.send_for(Interest::Awaited, &request, &[body], file)
    }

    fn request(&self) -> (Request<'_>, &[u8], Option<&OwnedFd>) {
        match self {
            Self::Load(kept) => {
                let (form, body, file) = match &kept.image {
                    Bytes::Few(bytes) => (Form::Plain, &bytes[..], None),
                    Bytes::InFile { file, .. } => (Form::File, &[][..], Some(file)),
                };
                let request = Request::Load {
                    digest: kept.digest,
                    size: kept.image.size(),
                    name: &kept.name,
                    scope: kept.scope.clone(),
                    form,
                };
                (request, body, file)
            }
            Self::Define(defined) => {
                let (definition, body) = match &defined.value {
                    Value::Address(address) => (Definition::Address(*address), &[][..]),
                    Value::Bytes(bytes) => (Definition::Bytes, &bytes[..]),
                    Value::Export { module, name } => {
                        let module = ModuleName::Digest(*module);
                        (Definition::Export { module, name }, &[][..])
                    }
                    &Value::Callback(number) => (Definition::Callback { number }, &[][..]),
                };
                let request = Request::Define {
                    name: &defined.name,
                    value_type: defined.value_type.as_deref(),
                    definition,
                };
                (request, body, None)
            }
            Self::DefineOnFirstCall(first_calls) => {
                let functions = first_calls.functions.iter();
                let functions = functions.map(|(name, alias, value_type)| FirstCall {
                    name,
                    alias,
                    value_type: value_type.as_deref(),
                });
                let request = Request::DefineOnFirstCall {
                    space: first_calls.space,
                    number: first_calls.number,
                    first: first_calls.first,
                    functions: functions.collect(),
                };
                (request, &[], None)
            }
            Self::Unload(digest) => {
                let module = ModuleName::Digest(*digest);
                (Request::Unload { module }, &[], None)
            }
        }
    }
}

/// Whether an error is the other side's answer, and not the end of the connection.
pub(super) fn is_answer(error: &Error) -> bool {
    matches!(error, Error::Failed(_))
}
