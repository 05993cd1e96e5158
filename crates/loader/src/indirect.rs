//! Indirect functions: those of which the image's own code says, at load, which function they are.
//!
//! That code is called once for each such function, so that every word that holds the function's
//! address, every lookup and every module that imports it have the same one.

use std::collections::HashMap;

use farcall_image::{Image, SymbolKind};

use crate::mapping::Callable;
use crate::sys::{noexcept, resolver_arguments};

/// A word that gets the address of an indirect function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndirectWord {
    /// The word's address in the image.
    pub(crate) place: u64,
    /// The address in the image of the code that says which function it is.
    pub(crate) resolver: u64,
    /// What is added.
    pub(crate) addend: u64,
}

/// The functions that an image has chosen, by the address in the image of the code that chose.
#[derive(Debug, Default)]
pub(crate) struct IndirectFunctions(HashMap<u64, u64>);

impl IndirectFunctions {
    /// Asks for every indirect function that `image` uses or exports, and writes `words`.
    ///
    /// # Safety
    ///
    /// `memory` holds the image, vouched for by someone, with every other relocation applied and
    /// what those refer to kept. The words lie in its writable segments.
    pub(crate) unsafe fn choose(
        image: &Image<'_>,
        memory: &mut Callable,
        words: &[IndirectWord],
    ) -> Self {
        let mut chosen = Self::default();
        if words.is_empty() && !image.exports_indirect_functions() {
            return chosen;
        }
        let exports = image.all_exports();
        let exports = exports.filter(|(_, symbol)| symbol.kind == SymbolKind::IndirectFunction);
        let exports = exports.map(|(_, symbol)| symbol.value);
        let arguments = resolver_arguments();
        let resolvers = words.iter().map(|word| word.resolver).chain(exports);
        for resolver in resolvers {
            chosen.0.entry(resolver).or_insert_with(|| {
                let code = memory.bias().wrapping_add(resolver);
                // SAFETY: the image's form says that this is code; it takes these arguments or none. The
                // rest is the caller's contract.
                unsafe { noexcept::call(code, arguments) }
            });
        }
        for word in words {
            let function = chosen.0[&word.resolver];
            // SAFETY: the caller's contract; the code that was called has returned.
            unsafe { memory.write(word.place, function.wrapping_add(word.addend)) };
        }
        chosen
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The function that the code at this address of the image chose.
    pub(crate) fn get(&self, resolver: u64) -> Option<u64> {
        self.0.get(&resolver).copied()
    }
}
