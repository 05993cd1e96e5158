//! Placing: what an image's bytes are at an address, with its imports bound.
//!
//! Arithmetic and nothing else: any host places for any machine. Nothing is mapped and nothing runs,
//! so what only running code can decide is refused.

#![deny(unsafe_code)]

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use farcall_arch::{Expression, Machine};
use farcall_image::{
    Binding, DynamicRelocation, Image, PlacedSegment, PlacedSymbol, Symbol, SymbolKind, executable,
};

use crate::indirect::IndirectWord;
use crate::relocate::{self, RelocationError, SegmentBytes, ThreadLocalValues, Value, Values};
use crate::sys::tls_descriptor::DescriptorFunctions;

/// An image's bytes, final for one address.
#[derive(Debug)]
pub struct Placed<'data> {
    image: Image<'data>,
    base: u64,
    /// The bytes of each segment.
    segments: Vec<Vec<u8>>,
    /// What the imports are bound to, by index in the symbol table.
    imports: Vec<Value>,
    /// The functions that indirect ones are, by the address in the image of the code that chose.
    chosen: HashMap<u64, u64>,
}

/// An image's bytes for one address, final but for what its own code decides: which functions its indirect ones are.
#[derive(Debug)]
pub struct Unresolved<'data> {
    placed: Placed<'data>,
    words: Vec<IndirectWord>,
    /// The addresses in the image of the code that chooses, each once.
    resolvers: Vec<u64>,
}

/// Why an image cannot be placed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// The address is not one that the image's segments can start at.
    #[error("{base:#x}: not a multiple of the image's alignment, {align:#x}")]
    Misaligned {
        /// The address.
        base: u64,
        /// The alignment in bytes.
        align: u64,
    },
    /// The image would end beyond the last address, or is larger than what is placed in memory.
    #[error("{base:#x}: an image of {span:#x} bytes does not fit there")]
    TooLarge {
        /// The address.
        base: u64,
        /// The image's size in memory in bytes.
        span: u64,
    },
    /// Imports for which no address was given.
    #[error("not defined: {}", names.join(", "))]
    Missing {
        /// All their names.
        names: Vec<String>,
    },
    /// Thread-local variables, in a process whose threads only a loader can give some.
    #[error("it has thread-local variables ({}), which take a loader there", if names.is_empty() { "of its own".to_owned() } else { names.join(", ") })]
    ThreadLocal {
        /// The names of those that have one outside of the image.
        names: Vec<String>,
    },
    /// Something that only a loader can do.
    #[error("it has {what}, which take a loader")]
    NeedsLoader {
        /// What it has.
        what: &'static str,
    },
}

/// The largest image that is placed, in bytes: the bytes are in memory.
const MAX_SPAN: u64 = 1 << 32;

/// Places an image at `base`, its load bias. `define` gives the addresses of imports; weak ones that it
/// does not give are null.
///
/// It costs a copy of the image and its relocations, and takes no lock.
///
/// Thread-local variables get their places as in a program that is linked statically: they are the
/// first module's.
///
/// # Errors
///
/// A [`PlaceError`]; for imports that are not defined it has all of them.
pub fn place<'data>(
    image: &Image<'data>,
    base: u64,
    define: impl Fn(&[u8]) -> Option<u64>,
) -> Result<Placed<'data>, PlaceError> {
    let unresolved = place_shared(image, base, define)?;
    if !unresolved.words.is_empty() {
        return Err(PlaceError::NeedsLoader {
            what: "indirect functions",
        });
    }
    let mut placed = unresolved.placed;
    placed.place_thread_locals()?;
    Ok(placed)
}

/// As [`place`], for an image that will be where its code can run before all of its bytes are there. It may have indirect
/// functions, of which [`Unresolved::resolvers`] says whom to ask, and no thread-local variables.
///
/// # Errors
///
/// As [`place`], and [`PlaceError::ThreadLocal`].
pub fn place_unresolved<'data>(
    image: &Image<'data>,
    base: u64,
    define: impl Fn(&[u8]) -> Option<u64>,
) -> Result<Unresolved<'data>, PlaceError> {
    let mut relocations = image.relocations();
    if image.tls().is_some() || relocations.any(|it| relocate::is_thread_local(it.expression)) {
        let imports = relocate::thread_local_imports(image);
        let imports = imports.iter().filter_map(|&index| image.symbol(index));
        let exports = image.all_exports().map(|(_, symbol)| symbol);
        let exports = exports.filter(|symbol| symbol.kind == SymbolKind::Tls);
        let names = imports.chain(exports);
        let names = names.map(|symbol| String::from_utf8_lossy(symbol.name).into_owned());
        let names: BTreeSet<String> = names.collect();
        return Err(PlaceError::ThreadLocal {
            names: names.into_iter().collect(),
        });
    }
    place_shared(image, base, define)
}

/// Places all but thread-local variables.
fn place_shared<'data>(
    image: &Image<'data>,
    base: u64,
    define: impl Fn(&[u8]) -> Option<u64>,
) -> Result<Unresolved<'data>, PlaceError> {
    let (align, span) = (image.align(), image.span());
    if !base.is_multiple_of(align) {
        return Err(PlaceError::Misaligned { base, align });
    }
    if span > MAX_SPAN || base.checked_add(span).is_none() {
        return Err(PlaceError::TooLarge { base, span });
    }
    let imports = imports(image, define)?;
    let segments = image.segments().iter().map(|segment| {
        let file = &image.bytes()[segment.file.clone()];
        let size = usize::try_from(segment.memory.end - segment.memory.start);
        // The system gives zeros without touching them, and there may be many at the end.
        let mut bytes = vec![0; size.unwrap_or(usize::MAX)];
        bytes[..file.len()].copy_from_slice(file);
        bytes
    });
    let mut placed = Placed {
        image: image.clone(),
        base,
        segments: segments.collect(),
        imports,
        chosen: HashMap::new(),
    };
    let words = placed.apply(|image, memory, values| {
        relocate::apply_shared(image, memory, values).map_err(needs_loader)
    })?;
    let exports = image.all_exports();
    let exports = exports.filter(|(_, symbol)| symbol.kind == SymbolKind::IndirectFunction);
    let exports = exports.map(|(_, symbol)| symbol.value);
    let mut resolvers: Vec<u64> = words.iter().map(|word| word.resolver).collect();
    resolvers.extend(exports);
    resolvers.sort_unstable();
    resolvers.dedup();
    Ok(Unresolved {
        placed,
        words,
        resolvers,
    })
}

/// What a C library calls the module that is linked statically.
const FIRST_MODULE: u64 = 1;

/// Where the image's thread-local variables are from the thread pointer in a program that is linked
/// statically: Drepper, "ELF Handling For Thread-Local Storage", variants I and II.
fn static_block(image: &Image<'_>) -> u64 {
    const TCB_SIZE: u64 = 16;
    let Some(tls) = image.tls() else { return 0 };
    match image.machine() {
        Machine::Aarch64 => TCB_SIZE.next_multiple_of(tls.align),
        _ => tls.memory_size.next_multiple_of(tls.align).wrapping_neg(),
    }
}

fn imports(
    image: &Image<'_>,
    define: impl Fn(&[u8]) -> Option<u64>,
) -> Result<Vec<Value>, PlaceError> {
    let mut imports = vec![Value::Address(0)];
    let mut names = Vec::new();
    for (_, symbol) in image.imports() {
        let address = define(symbol.name);
        if address.is_none() && symbol.binding == Binding::Global {
            names.push(String::from_utf8_lossy(symbol.name).into_owned());
        }
        imports.push(Value::Address(address.unwrap_or(0)));
    }
    if names.is_empty() {
        Ok(imports)
    } else {
        Err(PlaceError::Missing { names })
    }
}

fn needs_loader(error: RelocationError) -> PlaceError {
    let what = match error {
        RelocationError::ThreadLocal => "thread-local variables used as ordinary ones",
        RelocationError::NotThreadLocal | RelocationError::NotStatic(_) => {
            "thread-local variables of other images"
        }
    };
    PlaceError::NeedsLoader { what }
}

impl<'data> Unresolved<'data> {
    /// The addresses of the functions to call for the addresses of indirect ones, each once, in the order in which
    /// [`Unresolved::resolve`] takes what they give. Their code is final, and what it reads, but for the words that hold such
    /// addresses.
    pub fn resolvers(&self) -> impl ExactSizeIterator<Item = u64> {
        let base = self.placed.base;
        self.resolvers.iter().map(move |resolver| base + resolver)
    }

    /// The image as it is for now.
    #[must_use]
    pub fn placed(&self) -> &Placed<'data> {
        &self.placed
    }

    /// The addresses of the words that [`Unresolved::resolve`] writes.
    pub fn words(&self) -> impl ExactSizeIterator<Item = u64> {
        let base = self.placed.base;
        self.words.iter().map(move |word| base + word.place)
    }

    /// The final bytes, with the functions that the resolvers have chosen; for one that is missing null.
    #[must_use]
    pub fn resolve(self, chosen: &[u64]) -> Placed<'data> {
        let Self {
            mut placed,
            words,
            resolvers,
        } = self;
        placed.chosen = resolvers.into_iter().zip(chosen.iter().copied()).collect();
        for word in words {
            let function = placed.chosen.get(&word.resolver).copied().unwrap_or(0);
            let value = function.wrapping_add(word.addend);
            placed.set_word(word.place, value);
        }
        placed
    }
}

impl<'data> Placed<'data> {
    /// Applies relocations to the segments' bytes.
    fn apply<T>(
        &mut self,
        apply: impl FnOnce(&Image<'data>, &mut SegmentBytes<'_>, &Values<'_>) -> Result<T, PlaceError>,
    ) -> Result<T, PlaceError> {
        let values = Values {
            bias: self.base,
            imports: &self.imports,
        };
        let mut memory = SegmentBytes::with_capacity(self.segments.len());
        for (segment, bytes) in self.image.segments().iter().zip(&mut self.segments) {
            memory.push(segment.memory.start, bytes);
        }
        apply(&self.image, &mut memory, &values)
    }

    /// Gives thread-local variables their places in a program that is linked statically.
    fn place_thread_locals(&mut self) -> Result<(), PlaceError> {
        let is_descriptor =
            |each: DynamicRelocation| each.expression == Expression::TlsDescriptorPair;
        if self.image.relocations().any(is_descriptor) {
            return Err(PlaceError::NeedsLoader {
                what: "TLS descriptors",
            });
        }
        let own_module = self.image.tls().map(|_| FIRST_MODULE);
        let static_blocks = HashMap::from([(FIRST_MODULE, static_block(&self.image))]);
        self.apply(|image, memory, values| {
            let thread_local = ThreadLocalValues {
                own_module,
                static_blocks: &static_blocks,
                functions: || DescriptorFunctions {
                    constant: 0,
                    ours: 0,
                    hosts: 0,
                },
            };
            let applied = relocate::apply_thread_local(image, memory, values, &thread_local);
            applied.map(|_| ()).map_err(needs_loader)
        })
    }

    fn set_word(&mut self, address: u64, value: u64) {
        let segments = self.image.segments().iter().zip(&mut self.segments);
        for (segment, bytes) in segments {
            if segment.memory.contains(&address) {
                let start = usize::try_from(address - segment.memory.start);
                let word = bytes.get_mut(start.unwrap_or(usize::MAX)..);
                let word = word.and_then(|rest| rest.first_chunk_mut());
                *word.expect("parsing has found each place to be whole") = value.to_le_bytes();
            }
        }
    }

    /// The address of an export that is no thread-local variable; 0 for an indirect function that nothing has chosen.
    #[must_use]
    pub fn address(&self, symbol: &Symbol<'_>) -> u64 {
        match symbol.kind {
            SymbolKind::IndirectFunction => self.chosen.get(&symbol.value).copied().unwrap_or(0),
            _ if symbol.is_absolute => symbol.value,
            _ => self.base.wrapping_add(symbol.value),
        }
    }

    /// The bytes at these addresses of the image, if one segment has them all.
    #[must_use]
    pub fn bytes(&self, range: Range<u64>) -> Option<&[u8]> {
        let mut segments = self.image.segments().iter().zip(&self.segments);
        segments.find_map(|(segment, bytes)| {
            let start = usize::try_from(range.start.checked_sub(segment.memory.start)?).ok()?;
            let end = usize::try_from(range.end.checked_sub(segment.memory.start)?).ok()?;
            bytes.get(start..end)
        })
    }

    /// The segments with their final addresses and bytes.
    pub fn segments(&self) -> impl Iterator<Item = PlacedSegment<'_>> {
        let relro = self.image.relro();
        self.image
            .segments()
            .iter()
            .zip(&self.segments)
            .map(move |(segment, bytes)| PlacedSegment {
                address: self.base + segment.memory.start,
                bytes,
                file_size: segment.file.len(),
                writable: segment.writable && !relro.contains(&segment.memory.start),
                executable: segment.executable,
            })
    }

    /// The exports at their final addresses and the imports at what they are bound to.
    pub fn symbols(&self) -> impl Iterator<Item = PlacedSymbol<'_>> {
        let exports = self.image.all_exports().map(|(_, symbol)| {
            let moves = !symbol.is_absolute && symbol.kind != SymbolKind::Tls;
            PlacedSymbol {
                name: symbol.name,
                address: if moves {
                    self.base.wrapping_add(symbol.value)
                } else {
                    symbol.value
                },
                size: symbol.size,
                kind: symbol.kind,
                is_import: false,
            }
        });
        let imports = self.image.imports().zip(self.imports.iter().skip(1));
        let imports = imports.map(|((_, symbol), value)| PlacedSymbol {
            name: symbol.name,
            address: match value {
                Value::Address(address) => *address,
                Value::ThreadLocal { offset, .. } => *offset,
            },
            size: 0,
            kind: symbol.kind,
            is_import: true,
        });
        exports.chain(imports)
    }

    /// An ELF executable (`ET_EXEC`) with the segments and symbols. It starts at `_start`, else at
    /// `main`, if the image exports one.
    #[must_use]
    pub fn executable(&self) -> Vec<u8> {
        let segments: Vec<_> = self.segments().collect();
        let symbols: Vec<_> = self.symbols().collect();
        executable(self.image.machine(), &segments, &symbols)
    }
}

#[cfg(test)]
mod tests {
    use farcall_testkit::Linker;

    use super::*;
    use crate::made_object;

    /// The words of `own` and the initial value of `local`.
    fn words(placed: &Placed<'_>) -> [u64; 5] {
        let own = placed.symbols().find(|it| it.name == b"own").unwrap();
        let word_at = |address: u64| {
            let mut segments = placed.segments();
            let segment = segments
                .find(|it| (it.address..it.address + it.bytes.len() as u64).contains(&address));
            let segment = segment.unwrap();
            let at = usize::try_from(address - segment.address).unwrap();
            u64::from_le_bytes(*segment.bytes[at..].first_chunk().unwrap())
        };
        let template = placed.base + placed.image.tls().unwrap().vaddr;
        let [itself, other, absent, plain] =
            [0, 8, 16, 24].map(|offset| word_at(own.address + offset));
        assert_eq!(itself, own.address + made_object::PLAIN as u64);
        assert_eq!(word_at(template), own.address);
        [
            itself - placed.base,
            other,
            absent,
            plain,
            own.address - placed.base,
        ]
    }

    #[test]
    fn an_image_is_the_same_wherever_it_is_but_for_its_addresses() {
        for machine in [Machine::X86_64, Machine::Aarch64] {
            let object = made_object::object(machine);
            let image = Linker::new().add("made.o", &object).link().unwrap();
            let image = Image::parse(&image).unwrap();
            let define = |name: &[u8]| (name == b"other").then_some(0x7000_0000_1000);
            let at = |base| words(&place(&image, base, define).unwrap());
            let low = at(0);
            assert_eq!(low[1..4], [0x7000_0000_1004, 0, made_object::PLAIN_VALUE]);
            assert_eq!(low, at(0x5555_0000_0000));
            let missing = place(&image, 0, |_| None).unwrap_err();
            assert_eq!(missing.to_string(), "not defined: other");
            assert!(place(&image, 1, define).is_err());
        }
    }
}
