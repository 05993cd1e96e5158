//! What an image's imports are bound to.

use std::ffi::CStr;
use std::fmt;
use std::sync::Arc;

use farcall_image::{Binding, Manifest, Signature, Symbol, SymbolIndex, SymbolKind};

use crate::definition::DefinitionKind;
use crate::demangle::demangle;
use crate::error::{Error, MissingSymbol, Result, TypeMismatch};
use crate::loaded::Loaded;
use crate::nearest::nearest;
use crate::relocate::{self, Value};
use crate::sys::dynamic::{self, Library};
use crate::{Loader, Module, TrustedImage, thread_exit, tls};

/// What the imports of an image are bound to, and what must stay for that.
#[derive(Debug, Default)]
pub(crate) struct Resolution {
    /// By index in the symbol table. The one at 0 is none, and not there if there are no imports.
    pub(crate) values: Vec<Value>,
    pub(crate) providers: Vec<Arc<Loaded>>,
    pub(crate) libraries: Vec<Arc<Library>>,
}

/// Finds every import of `image`.
///
/// # Errors
///
/// [`Error::Missing`] with all that are not found, else [`Error::Mismatched`] with all that are
/// something else.
pub(crate) fn resolve(
    image: &TrustedImage<'_>,
    loader: &Loader,
    scope: &[&Module],
) -> Result<Resolution> {
    if image.image().imports().next().is_none() {
        return Ok(Resolution::default());
    }
    let mut search = Search {
        manifest: image.image().manifest(),
        loader,
        scope,
        used: vec![false; scope.len()],
        opened: Vec::new(),
        failed: Vec::new(),
    };
    let thread_local = relocate::thread_local_imports(image.image());
    let imports: Vec<_> = image.image().imports().collect();
    let mut values = vec![Value::Address(0); imports.len() + 1];
    let mut missing = Vec::new();
    let mut mismatched = Vec::new();
    // Strong ones first: they decide which libraries are open when weak ones are looked for.
    for binding in [Binding::Global, Binding::Weak] {
        for &(index, symbol) in imports.iter().filter(|(_, it)| it.binding == binding) {
            let import = Import {
                index,
                symbol,
                thread_local: thread_local.contains(&index),
            };
            match search.find(&import) {
                Ok(Some(value)) => values[to_usize(index)] = value,
                Ok(None) if binding == Binding::Weak && !import.thread_local => {}
                Ok(None) => missing.push(index),
                Err(mismatch) => mismatched.push((index, mismatch)),
            }
        }
    }
    if !missing.is_empty() {
        let mut symbols: Vec<_> = imports
            .iter()
            .filter(|it| missing.contains(&it.0))
            .collect();
        symbols.sort_by_key(|(index, _)| *index);
        return Err(Error::Missing {
            image: image.name().to_owned(),
            symbols: (symbols.iter())
                .map(|(index, symbol)| search.missing(*index, symbol))
                .collect(),
            searched: search.places(),
        });
    }
    if !mismatched.is_empty() {
        mismatched.sort_by_key(|(index, _)| *index);
        return Err(Error::Mismatched {
            image: image.name().to_owned(),
            symbols: mismatched
                .into_iter()
                .map(|(_, mismatch)| mismatch)
                .collect(),
        });
    }
    let providers = scope.iter().zip(&search.used).filter(|(_, used)| **used);
    Ok(Resolution {
        values,
        providers: providers
            .map(|(module, _)| Arc::clone(module.loaded()))
            .collect(),
        libraries: search
            .opened
            .into_iter()
            .map(|(_, library)| library)
            .collect(),
    })
}

struct Import<'data> {
    index: SymbolIndex,
    symbol: Symbol<'data>,
    thread_local: bool,
}

/// A search through all places.
struct Search<'a> {
    manifest: &'a Manifest<'a>,
    loader: &'a Loader,
    scope: &'a [&'a Module],
    /// Which modules of the scope something was found in.
    used: Vec<bool>,
    /// The libraries that had to be opened, by index among the loader's.
    opened: Vec<(usize, Arc<Library>)>,
    /// The libraries that could not be opened, and why.
    failed: Vec<(usize, String)>,
}

impl Search<'_> {
    fn find(&mut self, import: &Import<'_>) -> Result<Option<Value>, TypeMismatch> {
        let name = import.symbol.name;
        if let Some(address) = own_runtime(name) {
            return Ok(Some(Value::Address(address)));
        }
        if let Some(value) = self.definition(import)? {
            return Ok(Some(value));
        }
        if let Some(value) = self.in_scope(import)? {
            return Ok(Some(value));
        }
        // What has no versions has the one that is asked for, as in ELF's own rules.
        if let Some(at) = name.iter().position(|&byte| byte == b'@') {
            let symbol = Symbol {
                name: &name[..at],
                ..import.symbol
            };
            let plain = Import { symbol, ..*import };
            if let Some(value) = self.definition(&plain)? {
                return Ok(Some(value));
            }
            if let Some(value) = self.in_scope(&plain)? {
                return Ok(Some(value));
            }
        }
        let Some(name) = dynamic::c_string(name) else {
            return Ok(None);
        };
        if self.loader.host_exports
            && let Some(address) = dynamic::global_symbol(&name)
        {
            return self.host_value(import, address, &"the host").map(Some);
        }
        match self.in_libraries(&name, import.symbol.binding == Binding::Global) {
            Some((library, address)) => self.host_value(import, address, &library).map(Some),
            None => Ok(None),
        }
    }

    fn definition(&self, import: &Import<'_>) -> Result<Option<Value>, TypeMismatch> {
        let Some(definition) = self.loader.definitions.get(import.symbol.name) else {
            return Ok(None);
        };
        let place = "the host's definition";
        let found = match &definition.kind {
            DefinitionKind::Function(signature) => Found::Function(signature.clone()),
            DefinitionKind::Data => Found::Variable,
            DefinitionKind::Absolute => Found::Unknown,
        };
        self.check(import, &found, &place)?;
        Ok(Some(Value::Address(definition.value)))
    }

    fn in_scope(&mut self, import: &Import<'_>) -> Result<Option<Value>, TypeMismatch> {
        for (position, module) in self.scope.iter().enumerate() {
            let Some(export) = module.loaded().export(import.symbol.name) else {
                continue;
            };
            let value_type = module.loaded().manifest().symbol_type(export.index);
            let found = match (export.symbol.kind, value_type) {
                (SymbolKind::Tls, _) => Found::ThreadLocal,
                (_, Some(value_type)) => Found::of_type(value_type),
                (SymbolKind::Function | SymbolKind::IndirectFunction, None) => {
                    Found::Function(None)
                }
                (SymbolKind::Data, None) => Found::Variable,
                (_, None) => Found::Unknown,
            };
            self.check(import, &found, &format_args!("module {}", module.name()))?;
            self.used[position] = true;
            return Ok(Some(export.value));
        }
        Ok(None)
    }

    /// The first library that has `name`, and the symbol's address. Libraries are opened if `open`.
    fn in_libraries(&mut self, name: &CStr, open: bool) -> Option<(String, u64)> {
        let loader = self.loader;
        for (index, named) in loader.libraries.iter().enumerate() {
            let opened = self.opened.iter().find(|(opened, _)| *opened == index);
            let library = match opened {
                Some((_, library)) => library,
                None if !open || self.failed.iter().any(|(failed, _)| *failed == index) => continue,
                None => match named.open() {
                    Ok(library) => {
                        self.opened.push((index, library));
                        &self.opened[self.opened.len() - 1].1
                    }
                    Err(reason) => {
                        self.failed.push((index, reason));
                        continue;
                    }
                },
            };
            if let Some(address) = library.symbol(name) {
                return Some((named.name.clone(), address));
            }
        }
        None
    }

    /// What an import is that the host's dynamic linker found at `address`.
    fn host_value(
        &self,
        import: &Import<'_>,
        address: u64,
        place: &dyn fmt::Display,
    ) -> Result<Value, TypeMismatch> {
        if !import.thread_local {
            return Ok(Value::Address(address));
        }
        // The dynamic linker gives the address of this thread's copy; its identity and offset are
        // what holds for all threads.
        let Some(tls) = dynamic::host_tls_at(address) else {
            return Err(self.mismatch(import, &Found::Variable, place));
        };
        Ok(Value::ThreadLocal {
            module: tls.module,
            offset: address - tls.block.start,
        })
    }

    fn check(
        &self,
        import: &Import<'_>,
        found: &Found,
        place: &dyn fmt::Display,
    ) -> Result<(), TypeMismatch> {
        let expected = self.expected(import);
        let agree = match (&expected, found) {
            (Found::ThreadLocal, _) | (_, Found::ThreadLocal) => *found == expected,
            (Found::Unknown, _) | (_, Found::Unknown) => true,
            (Found::Function(Some(expected)), Found::Function(Some(found))) => {
                expected.is_call_compatible(found)
            }
            (Found::Function(_), Found::Function(_)) | (Found::Variable, Found::Variable) => true,
            _ => false,
        };
        if agree {
            return Ok(());
        }
        Err(self.mismatch(import, found, place))
    }

    fn expected(&self, import: &Import<'_>) -> Found {
        if import.thread_local {
            return Found::ThreadLocal;
        }
        match self.manifest.symbol_type(import.index) {
            Some(value_type) => Found::of_type(value_type),
            None => Found::Unknown,
        }
    }

    fn mismatch(
        &self,
        import: &Import<'_>,
        found: &Found,
        place: &dyn fmt::Display,
    ) -> TypeMismatch {
        TypeMismatch {
            name: String::from_utf8_lossy(import.symbol.name).into_owned(),
            referrer: self.referrer(import.index),
            expected: self.expected(import).to_string(),
            found: found.to_string(),
            place: place.to_string(),
        }
    }

    fn missing(&self, index: SymbolIndex, symbol: &Symbol<'_>) -> MissingSymbol {
        let name = String::from_utf8_lossy(symbol.name).into_owned();
        let definitions = self.loader.definitions.keys().map(Vec::as_slice);
        let exports = self
            .scope
            .iter()
            .flat_map(|module| module.loaded().export_names());
        MissingSymbol {
            demangled: demangle(&name),
            referrer: self.referrer(index),
            nearest: nearest(symbol.name, definitions.chain(exports)),
            name,
        }
    }

    fn referrer(&self, index: SymbolIndex) -> Option<String> {
        self.manifest.referrer(index).map(ToString::to_string)
    }

    /// The places searched, in order, for people.
    fn places(&self) -> Vec<String> {
        let n_definitions = self.loader.definitions.len();
        let mut places = match n_definitions {
            0 => Vec::new(),
            1 => vec!["1 definition".to_owned()],
            _ => vec![format!("{n_definitions} definitions")],
        };
        places.extend(
            self.scope
                .iter()
                .map(|module| format!("module {}", module.name())),
        );
        if self.loader.host_exports {
            places.push("the host's exports".to_owned());
        }
        let libraries = self.loader.libraries.iter().enumerate();
        places.extend(libraries.map(|(index, library)| {
            match self.failed.iter().find(|(failed, _)| *failed == index) {
                Some((_, reason)) => format!("{} (not opened: {reason})", library.name),
                None => library.name.clone(),
            }
        }));
        places
    }
}

/// What something is known to be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Unknown,
    Function(Option<Signature>),
    Variable,
    ThreadLocal,
}

impl Found {
    /// What has this type in LLVM's syntax. Only a function's ends in a parenthesis.
    fn of_type(value_type: &str) -> Self {
        match value_type.parse() {
            Ok(signature) => Self::Function(Some(signature)),
            Err(_) => Self::Variable,
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("a symbol"),
            Self::Function(Some(signature)) => write!(f, "function {signature}"),
            Self::Function(None) => f.write_str("a function"),
            Self::Variable => f.write_str("a variable"),
            Self::ThreadLocal => f.write_str("a thread-local variable"),
        }
    }
}

/// The functions of the C runtime that must know which image calls, so that the loader's own
/// stand for them.
fn own_runtime(name: &[u8]) -> Option<u64> {
    let address = match name {
        b"__tls_get_addr" => tls::tls_get_addr as *const (),
        b"__cxa_thread_atexit" | b"__cxa_thread_atexit_impl" => {
            thread_exit::thread_atexit as *const ()
        }
        _ => return None,
    };
    Some(address.expose_provenance() as u64)
}

/// Lossless: farcall runs where an address has at least 32 bits.
fn to_usize(index: SymbolIndex) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}
