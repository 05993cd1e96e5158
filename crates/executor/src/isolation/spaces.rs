//! Functions that lead where a controller says when they are first called, of all controllers.
//!
//! All that define the same space mean the same functions, and each worker's calls go to its own controller: so each function has one number and
//! place here, whoever defines it.

use std::collections::{HashMap, HashSet};

use farcall_image::Digest;
use farcall_protocol::{ErrorKind, Failure, FirstCall};

/// The spaces that were defined.
#[derive(Debug, Default)]
pub(super) struct Spaces(HashMap<Digest, Space>);

#[derive(Debug)]
pub(super) struct Space {
    pub(super) number: u64,
    /// By their names.
    functions: HashMap<String, Function>,
}

#[derive(Debug)]
struct Function {
    place: u64,
    value_type: Option<String>,
}

/// Functions of a space that nobody has defined before.
#[derive(Debug)]
pub(super) struct FirstCalls {
    pub(super) space: Digest,
    pub(super) number: u64,
    /// The place of the first.
    pub(super) first: u64,
    /// Name, other name and type.
    pub(super) functions: Vec<(String, String, Option<String>)>,
}

impl Spaces {
    /// A space, which has this number if it is new.
    pub(super) fn get(&mut self, space: Digest, number: impl FnOnce() -> u64) -> &mut Space {
        self.0.entry(space).or_insert_with(|| Space {
            number: number(),
            functions: HashMap::new(),
        })
    }
}

impl Space {
    /// Those of the functions that are not there.
    pub(super) fn missing(
        &self,
        space: Digest,
        functions: &[FirstCall<'_>],
    ) -> Result<FirstCalls, Failure> {
        let mut missing = FirstCalls {
            space,
            number: self.number,
            first: u64::try_from(self.functions.len()).unwrap_or(u64::MAX),
            functions: Vec::new(),
        };
        let mut names = HashSet::new();
        for &FirstCall {
            name,
            alias,
            value_type,
        } in functions
        {
            match self.functions.get(name) {
                // Of two of one name the first counts.
                None if !names.insert(name) => {}
                None => {
                    let value_type = value_type.map(str::to_owned);
                    let function = (name.to_owned(), alias.to_owned(), value_type);
                    missing.functions.push(function);
                }
                Some(known) if known.value_type.as_deref() == value_type => {}
                Some(known) => {
                    let known = known.value_type.as_deref().unwrap_or("unknown");
                    return Err(Failure {
                        kind: ErrorKind::Definition,
                        message: format!("{name}: it is there already, with the type {known}"),
                    });
                }
            }
        }
        Ok(missing)
    }

    /// Notes what has been defined.
    pub(super) fn add(&mut self, defined: &FirstCalls) {
        for ((name, _, value_type), place) in defined.functions.iter().zip(defined.first..) {
            let value_type = value_type.clone();
            let function = Function { place, value_type };
            self.functions.insert(name.clone(), function);
        }
    }

    /// Where functions are that have been defined.
    pub(super) fn places(&self, functions: &[FirstCall<'_>]) -> Vec<u64> {
        let place = |function: &FirstCall<'_>| {
            let known = self.functions.get(function.name);
            known.map_or(u64::MAX, |known| known.place)
        };
        functions.iter().map(place).collect()
    }
}
