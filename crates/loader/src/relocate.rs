//! Applying an image's relocations: arithmetic over bytes, safe, with no knowledge of where the
//! bytes are.
//!
//! To serve another relocation: its row in `arch` gives the expression; give it a value here.

use std::ops::Range;

use farcall_image::{DynamicRelocation, Image, SymbolKind};

use farcall_arch::Expression;

/// What the symbols and the image itself are at run time.
#[derive(Debug)]
pub(crate) struct Values<'a> {
    /// What is added to an address of the image.
    pub(crate) bias: u64,
    /// The identity of the image's own thread-local variables.
    pub(crate) tls_module: Option<u64>,
    /// The imports, by index in the symbol table; the one at 0 is none.
    pub(crate) imports: &'a [Value],
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
}

/// Applies all relocations of `image` to its segments' bytes.
///
/// # Panics
///
/// If `segments` are not as long and as many as the image's.
pub(crate) fn apply(
    image: &Image<'_>,
    segments: &mut [&mut [u8]],
    values: &Values<'_>,
) -> Result<(), RelocationError> {
    let ranges: Vec<_> = image
        .segments()
        .iter()
        .map(|it| it.memory.clone())
        .collect();
    let mut memory = Memory {
        ranges: &ranges,
        segments,
        last: 0,
    };
    for address in image.relative_words() {
        let word = memory.word(address);
        *word = u64::from_le_bytes(*word)
            .wrapping_add(values.bias)
            .to_le_bytes();
    }
    for relocation in image.relocations() {
        let value = evaluate(image, &relocation, values)?;
        *memory.word(relocation.place) = value.to_le_bytes();
    }
    Ok(())
}

/// The words of a table of pointers, such as the constructors, after [`apply`].
pub(crate) fn words(image: &Image<'_>, segments: &mut [&mut [u8]], table: Range<u64>) -> Vec<u64> {
    let ranges: Vec<_> = image
        .segments()
        .iter()
        .map(|it| it.memory.clone())
        .collect();
    let mut memory = Memory {
        ranges: &ranges,
        segments,
        last: 0,
    };
    let addresses = table.step_by(8);
    addresses
        .map(|address| u64::from_le_bytes(*memory.word(address)))
        .collect()
}

fn evaluate(
    image: &Image<'_>,
    relocation: &DynamicRelocation,
    values: &Values<'_>,
) -> Result<u64, RelocationError> {
    let addend = relocation.addend.cast_unsigned();
    let address = || match symbol_value(image, relocation.symbol, values)? {
        Some(Value::Address(address)) => Ok(address),
        Some(Value::ThreadLocal { .. }) => Err(RelocationError::ThreadLocal),
        None => Ok(0),
    };
    let thread_local = || match symbol_value(image, relocation.symbol, values)? {
        Some(Value::ThreadLocal { module, offset }) => Ok((module, offset)),
        Some(Value::Address(_)) => Err(RelocationError::NotThreadLocal),
        // No symbol is the image itself.
        None => Ok((own_module(values)?, 0)),
    };
    Ok(match relocation.expression {
        Expression::Relative => values.bias.wrapping_add(addend),
        Expression::GlobDat => address()?,
        Expression::TlsModule => thread_local()?.0,
        Expression::TlsBlockOffset => thread_local()?.1.wrapping_add(addend),
        // `Symbol`: an image has no other expression.
        _ => address()?.wrapping_add(addend),
    })
}

/// What the symbol at `index` is; `None` for no symbol.
fn symbol_value(
    image: &Image<'_>,
    index: u32,
    values: &Values<'_>,
) -> Result<Option<Value>, RelocationError> {
    let Some(symbol) = image.symbol(index) else {
        return Ok(None);
    };
    let value = if symbol.is_import {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let import = values.imports.get(index);
        *import.expect("every import is bound before relocations are applied")
    } else if symbol.kind == SymbolKind::Tls {
        Value::ThreadLocal {
            module: own_module(values)?,
            offset: symbol.value,
        }
    } else if symbol.is_absolute {
        Value::Address(symbol.value)
    } else {
        Value::Address(values.bias.wrapping_add(symbol.value))
    };
    Ok(Some(value))
}

fn own_module(values: &Values<'_>) -> Result<u64, RelocationError> {
    values.tls_module.ok_or(RelocationError::NotThreadLocal)
}

/// Segments' bytes by address.
struct Memory<'a, 'bytes> {
    ranges: &'a [Range<u64>],
    segments: &'a mut [&'bytes mut [u8]],
    /// The segment of the word before: the next one is mostly there too.
    last: usize,
}

impl Memory<'_, '_> {
    /// The 8 bytes at `address`.
    fn word(&mut self, address: u64) -> &mut [u8; 8] {
        if !self
            .ranges
            .get(self.last)
            .is_some_and(|range| range.contains(&address))
        {
            let found = self
                .ranges
                .iter()
                .position(|range| range.contains(&address));
            self.last = found.expect("parsing has found a segment for each place");
        }
        let start = usize::try_from(address - self.ranges[self.last].start);
        let rest = self.segments[self.last].get_mut(start.expect("segments are in memory")..);
        let word = rest.and_then(|rest| rest.first_chunk_mut());
        word.expect("parsing has found each place to be whole")
    }
}
