//! Applying an image's relocations: arithmetic over bytes, safe, with no knowledge of where the
//! bytes are.
//!
//! It goes in three steps, each of which needs what the one before has written: what all threads
//! share ([`apply_shared`]); then thread-local variables ([`apply_thread_local`]), whose initial
//! values the first step completes; last, when code runs, indirect functions (`indirect`).
//!
//! To serve another relocation: its row in `arch` gives the expression; give it a value here.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use farcall_arch::Expression;
use farcall_image::{DynamicRelocation, Image, SymbolIndex, SymbolKind};

use crate::indirect::IndirectWord;
use crate::sys::tls_descriptor::DescriptorFunctions;
use crate::tls::{self, TlsIndex};

/// What the symbols and the image itself are at run time.
#[derive(Debug)]
pub(crate) struct Values<'a> {
    /// What is added to an address of the image.
    pub(crate) bias: u64,
    /// The imports, by index in the symbol table; the one at 0 is none.
    pub(crate) imports: &'a [Value],
}

/// Where thread-local variables are at run time.
#[derive(Debug)]
pub(crate) struct ThreadLocalValues<'a> {
    /// The identity of the image's own.
    pub(crate) own_module: Option<u64>,
    /// Where blocks are from the thread pointer, by identity, for those that are at one distance in
    /// every thread.
    pub(crate) static_blocks: &'a HashMap<u64, u64>,
    /// What TLS descriptors name, for an image that has some: the first question costs as much as loading.
    pub(crate) functions: fn() -> DescriptorFunctions,
}

/// What an import is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    /// A function or variable, or null.
    Address(u64),
    /// A thread-local variable.
    ThreadLocal {
        /// The identity of the module that has it.
        module: u64,
        /// Its offset in that module's block.
        offset: u64,
    },
}

/// A relocation that asks for what its symbol is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RelocationError {
    /// A thread-local variable's address, where code wants one for all threads.
    ThreadLocal,
    /// A thread's copy of a variable that all threads share.
    NotThreadLocal,
    /// One distance from every thread's pointer, where there is none, of this symbol.
    NotStatic(SymbolIndex),
}

/// Applies the relocations of `image` whose values all threads share to its segments' bytes, and
/// gives the words that its code is to decide.
///
/// # Panics
///
/// If `memory` does not have all resident bytes of the image.
pub(crate) fn apply_shared(
    image: &Image<'_>,
    memory: &mut SegmentBytes<'_>,
    values: &Values<'_>,
) -> Result<Vec<IndirectWord>, RelocationError> {
    for address in image.relative_words() {
        let word = memory.word(address);
        *word = u64::from_le_bytes(*word)
            .wrapping_add(values.bias)
            .to_le_bytes();
    }
    let mut indirect = Vec::new();
    for relocation in image.relocations() {
        let (place, addend) = (relocation.place, relocation.addend.cast_unsigned());
        let value = match relocation.expression {
            Expression::Relative => Shared::Address(values.bias.wrapping_add(addend)),
            Expression::Symbol => symbol_address(image, relocation.symbol, values)?.plus(addend),
            Expression::GlobDat => symbol_address(image, relocation.symbol, values)?,
            Expression::IndirectRelative => Shared::Indirect(addend, 0),
            // Thread-local ones: an image has no other expression.
            _ => continue,
        };
        match value {
            Shared::Address(address) => *memory.word(place) = address.to_le_bytes(),
            Shared::Indirect(resolver, addend) => indirect.push(IndirectWord {
                place,
                resolver,
                addend,
            }),
        }
    }
    Ok(indirect)
}

/// Applies the relocations of `image` for thread-local variables. TLS descriptors name the pairs
/// that this gives, which must stay as long as the image.
///
/// # Panics
///
/// As [`apply_shared`].
pub(crate) fn apply_thread_local(
    image: &Image<'_>,
    memory: &mut SegmentBytes<'_>,
    values: &Values<'_>,
    thread_local: &ThreadLocalValues<'_>,
) -> Result<Box<[TlsIndex]>, RelocationError> {
    let variable = |relocation: &DynamicRelocation| {
        let index = thread_local_variable(image, relocation.symbol, values, thread_local)?;
        Ok(TlsIndex {
            offset: index.offset.wrapping_add(relocation.addend.cast_unsigned()),
            ..index
        })
    };
    let distance = |variable: TlsIndex| {
        let block = thread_local.static_blocks.get(&variable.module)?;
        Some(block.wrapping_add(variable.offset))
    };
    let descriptors = image
        .relocations()
        .filter(|relocation| relocation.expression == Expression::TlsDescriptorPair);
    let pairs: Box<[TlsIndex]> = descriptors
        .map(|relocation| variable(&relocation))
        .collect::<Result<_, _>>()?;
    let mut pairs_left = pairs.iter();
    for relocation in image.relocations() {
        let place = relocation.place;
        let value = match relocation.expression {
            Expression::TlsModule => variable(&relocation)?.module,
            Expression::TlsBlockOffset => variable(&relocation)?.offset,
            Expression::TlsOffset => distance(variable(&relocation)?)
                .ok_or(RelocationError::NotStatic(relocation.symbol))?,
            Expression::TlsDescriptorPair => {
                let pair = pairs_left.next().expect("each descriptor has a pair");
                let functions = (thread_local.functions)();
                let (function, argument) = match distance(*pair) {
                    Some(distance) => (functions.constant, distance),
                    None => {
                        let address = (&raw const *pair).expose_provenance() as u64;
                        let ours = tls::is_ours(pair.module);
                        (
                            if ours {
                                functions.ours
                            } else {
                                functions.hosts
                            },
                            address,
                        )
                    }
                };
                *memory.word(place + 8) = argument.to_le_bytes();
                function
            }
            _ => continue,
        };
        *memory.word(place) = value.to_le_bytes();
    }
    Ok(pairs)
}

/// The imports that code uses as thread-local: relocations say it, whatever the symbol table does.
pub(crate) fn thread_local_imports(image: &Image<'_>) -> HashSet<SymbolIndex> {
    let relocations = image.relocations();
    let thread_local = relocations.filter(|relocation| is_thread_local(relocation.expression));
    thread_local.map(|relocation| relocation.symbol).collect()
}

/// The relocations for which it matters whether a block is at one distance from every thread's
/// pointer: the imports' by index, 0 for the image's own.
pub(crate) fn wants_distance(
    image: &Image<'_>,
    expression: Expression,
) -> impl Iterator<Item = SymbolIndex> {
    let relocations = image.relocations();
    let wanting = relocations.filter(move |relocation| relocation.expression == expression);
    wanting.map(|relocation| {
        let symbol = image.symbol(relocation.symbol);
        symbol.map_or(0, |symbol| {
            if symbol.is_import {
                relocation.symbol
            } else {
                0
            }
        })
    })
}

/// Whether a relocation with this expression is for a thread-local variable.
pub(crate) fn is_thread_local(expression: Expression) -> bool {
    matches!(
        expression,
        Expression::TlsModule
            | Expression::TlsBlockOffset
            | Expression::TlsOffset
            | Expression::TlsDescriptorPair
    )
}

/// The words of a table of pointers, such as the constructors, after [`apply_shared`].
pub(crate) fn words(memory: &mut SegmentBytes<'_>, table: Range<u64>) -> Vec<u64> {
    let addresses = table.step_by(8);
    addresses
        .map(|address| u64::from_le_bytes(*memory.word(address)))
        .collect()
}

/// A value that all threads share.
#[derive(Debug, Clone, Copy)]
enum Shared {
    Address(u64),
    /// That of an indirect function: the address in the image of its resolver, and what is added.
    Indirect(u64, u64),
}

impl Shared {
    fn plus(self, more: u64) -> Self {
        match self {
            Self::Address(address) => Self::Address(address.wrapping_add(more)),
            Self::Indirect(resolver, addend) => Self::Indirect(resolver, addend.wrapping_add(more)),
        }
    }
}

/// The address of the symbol at `index`; null for no symbol.
fn symbol_address(
    image: &Image<'_>,
    index: SymbolIndex,
    values: &Values<'_>,
) -> Result<Shared, RelocationError> {
    let Some(symbol) = image.symbol(index) else {
        return Ok(Shared::Address(0));
    };
    if symbol.is_import {
        return match values.import(index) {
            Value::Address(address) => Ok(Shared::Address(address)),
            Value::ThreadLocal { .. } => Err(RelocationError::ThreadLocal),
        };
    }
    Ok(match symbol.kind {
        SymbolKind::Tls => return Err(RelocationError::ThreadLocal),
        SymbolKind::IndirectFunction => Shared::Indirect(symbol.value, 0),
        _ if symbol.is_absolute => Shared::Address(symbol.value),
        _ => Shared::Address(values.bias.wrapping_add(symbol.value)),
    })
}

/// The thread-local variable that the symbol at `index` is; for no symbol the image's block itself.
fn thread_local_variable(
    image: &Image<'_>,
    index: SymbolIndex,
    values: &Values<'_>,
    thread_local: &ThreadLocalValues<'_>,
) -> Result<TlsIndex, RelocationError> {
    let own = |offset| {
        let module = thread_local.own_module;
        let module = module.ok_or(RelocationError::NotThreadLocal)?;
        Ok(TlsIndex { module, offset })
    };
    match image.symbol(index) {
        None => own(0),
        Some(symbol) if symbol.is_import => match values.import(index) {
            Value::ThreadLocal { module, offset } => Ok(TlsIndex { module, offset }),
            Value::Address(_) => Err(RelocationError::NotThreadLocal),
        },
        Some(symbol) if symbol.kind == SymbolKind::Tls => own(symbol.value),
        Some(_) => Err(RelocationError::NotThreadLocal),
    }
}

impl Values<'_> {
    fn import(&self, index: SymbolIndex) -> Value {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let import = self.imports.get(index);
        *import.expect("every import is bound before relocations are applied")
    }
}

/// The bytes of an image's segments that are in memory, by address.
#[derive(Debug, Default)]
pub(crate) struct SegmentBytes<'a> {
    parts: Vec<(Range<u64>, &'a mut [u8])>,
    /// The segment of the word before: the next one is mostly there too.
    last: usize,
}

impl<'a> SegmentBytes<'a> {
    /// None yet, with room for the bytes of `count` segments.
    pub(crate) fn with_capacity(count: usize) -> Self {
        Self {
            parts: Vec::with_capacity(count),
            last: 0,
        }
    }

    /// Adds the bytes of a segment that start at `address`.
    pub(crate) fn push(&mut self, address: u64, bytes: &'a mut [u8]) {
        let end = address.saturating_add(bytes.len() as u64);
        self.parts.push((address..end, bytes));
    }

    /// The bytes at these addresses, if one segment has them all.
    pub(crate) fn range(&self, range: Range<u64>) -> Option<&[u8]> {
        self.parts.iter().find_map(|(addresses, bytes)| {
            let start = usize::try_from(range.start.checked_sub(addresses.start)?).ok()?;
            let end = usize::try_from(range.end.checked_sub(addresses.start)?).ok()?;
            bytes.get(start..end)
        })
    }

    /// The 8 bytes at `address`.
    fn word(&mut self, address: u64) -> &mut [u8; 8] {
        let holds = |(addresses, _): &(Range<u64>, &mut [u8])| addresses.contains(&address);
        if !self.parts.get(self.last).is_some_and(holds) {
            let found = self.parts.iter().position(holds);
            self.last = found.expect("parsing has found a segment for each place");
        }
        let (addresses, bytes) = &mut self.parts[self.last];
        let start = usize::try_from(address - addresses.start);
        let rest = bytes.get_mut(start.expect("segments are in memory")..);
        let word = rest.and_then(|rest| rest.first_chunk_mut());
        word.expect("parsing has found each place to be whole")
    }
}
