//! What could not be bound, of one image or of several that are loaded together: one error with the causes.

use std::collections::HashMap;

use crate::error::{Error, ForbiddenImport, MissingSymbol, Result, TypeMismatch};

/// What could not be bound.
#[derive(Debug, Default)]
pub(crate) struct Unbound {
    pub(crate) forbidden: Vec<ForbiddenImport>,
    pub(crate) missing: Vec<MissingSymbol>,
    pub(crate) mismatched: Vec<TypeMismatch>,
    /// The places searched, known where something is missing.
    pub(crate) searched: Vec<String>,
}

impl Unbound {
    pub(crate) fn is_empty(&self) -> bool {
        self.forbidden.is_empty() && self.missing.is_empty() && self.mismatched.is_empty()
    }

    /// Adds what another image of those loaded together has.
    pub(crate) fn add(&mut self, other: Self) {
        self.forbidden.extend(other.forbidden);
        self.missing.extend(other.missing);
        self.mismatched.extend(other.mismatched);
        if self.searched.len() < other.searched.len() {
            self.searched = other.searched;
        }
    }

    /// The error that says it; what was refused is said before what was not found, and that before
    /// what was found as something else.
    pub(crate) fn into_result(self) -> Result<()> {
        if let Some(first) = self.forbidden.first() {
            return Err(Error::Forbidden {
                image: first.image.clone(),
                symbols: self.forbidden,
            });
        }
        if let Some(first) = self.missing.first() {
            return Err(Error::Missing {
                image: first.image.clone(),
                symbols: once_each(self.missing),
                searched: self.searched,
            });
        }
        match self.mismatched.first() {
            Some(first) => Err(Error::Mismatched {
                image: first.image.clone(),
                symbols: self.mismatched,
            }),
            None => Ok(()),
        }
    }
}

/// A symbol that several images miss is one cause, not several.
fn once_each(missing: Vec<MissingSymbol>) -> Vec<MissingSymbol> {
    let mut positions = HashMap::new();
    let mut symbols: Vec<MissingSymbol> = Vec::new();
    for symbol in missing {
        let position = *(positions.entry(symbol.name.clone())).or_insert(symbols.len());
        match symbols.get_mut(position) {
            Some(known) => known.others.push(symbol.image),
            None => symbols.push(symbol),
        }
    }
    symbols
}
