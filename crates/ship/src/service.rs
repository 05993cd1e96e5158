//! What a first call asks: compiles parts, and has the executor load them.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use farcall_compiler::DefinedKind;
use farcall_executor::{Executor, LoadOptions};
use farcall_image::{Digest, Image};
use farcall_session::Parts;

use crate::Result;

/// The longest name of a module that an executor takes, in bytes.
const MOST_NAME: usize = 256;

/// What becomes one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Piece {
    Part(u32),
    Whole,
}

/// A module that is shipped.
///
/// It has no executor: the executor's connection keeps it, as what first calls ask.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) parts: Parts,
    /// In the order of the executor's stubs.
    pub(crate) functions: Vec<Function>,
    /// What its images import from, in order.
    scope: Mutex<Vec<Digest>>,
    pieces: Mutex<HashMap<Piece, Phase>>,
    /// Notified when a piece is no longer being made.
    changed: Condvar,
}

/// A function of the module.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) value_type: String,
    pub(crate) part: u32,
    /// Whether others than the module's own parts see it.
    pub(crate) is_exported: bool,
}

/// How far a piece is.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// A thread makes it.
    Making,
    Loaded(Digest),
}

impl Service {
    pub(crate) fn new(parts: Parts, scope: Vec<Digest>) -> Self {
        let functions = parts.symbols().iter();
        let functions = functions.filter(|it| it.symbol.kind == DefinedKind::Function);
        let functions = functions.map(|it| Function {
            name: it.symbol.name.clone(),
            value_type: it.symbol.value_type.clone(),
            part: it.part,
            is_exported: it.is_exported,
        });
        Self {
            functions: functions.collect(),
            parts,
            scope: Mutex::new(scope),
            pieces: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn scope(&self) -> MutexGuard<'_, Vec<Digest>> {
        self.scope.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The address of the function that is called for the first time.
    pub(crate) fn find(&self, executor: &Executor, place: usize) -> Result<u64, String> {
        let function = self.functions.get(place).ok_or("no such function")?;
        let module = self.load(executor, Piece::Part(function.part));
        let module = module.map_err(|error| error.to_string())?;
        let found = executor.lookup(module, &function.name);
        Ok(found.map_err(|error| error.to_string())?.address)
    }

    /// Has the executor load a piece, which is compiled first if it was not. Threads that want the same wait for one of them; when
    /// that fails, the next one tries.
    pub(crate) fn load(&self, executor: &Executor, piece: Piece) -> Result<Digest> {
        let mut pieces = self.pieces();
        loop {
            match pieces.get(&piece) {
                None => break,
                Some(&Phase::Loaded(digest)) => return Ok(digest),
                Some(Phase::Making) => {
                    let woken = self.changed.wait(pieces);
                    pieces = woken.unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
        pieces.insert(piece, Phase::Making);
        drop(pieces);
        let mut making = Making {
            service: self,
            piece,
            loaded: None,
        };
        let bytes = match piece {
            Piece::Part(part) => self.parts.image(part)?,
            Piece::Whole => self.parts.whole()?,
        };
        let digest = self.load_image(executor, piece, &Image::parse(&bytes)?)?;
        making.loaded = Some(digest);
        Ok(digest)
    }

    /// Has the executor load a piece's image.
    fn load_image(&self, executor: &Executor, piece: Piece, image: &Image<'_>) -> Result<Digest> {
        let name = match piece {
            Piece::Part(part) => self.parts.part_name(part),
            Piece::Whole => self.parts.name(),
        };
        let scope = self.scope().clone();
        let options = LoadOptions {
            name: &name[..name.floor_char_boundary(MOST_NAME)],
            scope: Some(&scope),
            ..LoadOptions::default()
        };
        let module = executor.load_with(image, options)?;
        tracing::debug!(name, "shipped");
        Ok(module.digest)
    }

    fn pieces(&self) -> MutexGuard<'_, HashMap<Piece, Phase>> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A piece that this thread makes.
struct Making<'a> {
    service: &'a Service,
    piece: Piece,
    loaded: Option<Digest>,
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        let mut pieces = self.service.pieces();
        match self.loaded {
            Some(digest) => pieces.insert(self.piece, Phase::Loaded(digest)),
            None => pieces.remove(&self.piece),
        };
        drop(pieces);
        self.service.changed.notify_all();
    }
}
