//! What an image's imports are bound to.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::ffi::CStr;
use std::fmt;
use std::io;
use std::sync::Arc;

use farcall_image::{Binding, Manifest, Referrer, Symbol, SymbolIndex, SymbolKind, nearest};

use crate::definition::Provider;
use crate::demangle::demangle;
use crate::error::{ForbiddenImport, MissingSymbol, Result, TypeMismatch, listed};
use crate::held::{Held, Kept};
use crate::host_symbols::{HostSymbols, Unreadable};
use crate::kind::Kind;
use crate::lazy::{LazyImport, LazyImports};
use crate::relocate::{self, Value};
use crate::sys::host::{self, Library};
use crate::together::{Fellow, Group, GroupExport, Member};
use crate::unbound::Unbound;
use crate::{
    Definition, ImportBinding, Loader, Module, Permission, TrustedImage, thread_exit, tls,
};

/// What the imports of an image are bound to, and what must stay for that.
#[derive(Debug, Default)]
pub(crate) struct Resolution {
    /// By index in the symbol table. The one at 0 is none, and not there if there are no imports.
    pub(crate) values: Vec<Value>,
    /// Those whose value is not known yet, because they are exports of an image that is loaded together
    /// with this one.
    pub(crate) fellows: Vec<Fellow>,
    pub(crate) providers: Vec<Kept>,
    /// Those that are bound at their first call, which have no value yet either.
    pub(crate) lazy_imports: LazyImports,
    pub(crate) libraries: Vec<Arc<Library>>,
}

/// Finds every import of `image`.
///
/// # Errors
///
/// [`Error::Forbidden`](crate::Error::Forbidden) with all that the host forbids, or that the image may not use of it, else
/// [`Error::Missing`](crate::Error::Missing) with all that are not found, else
/// [`Error::Mismatched`](crate::Error::Mismatched) with all that are something else.
pub(crate) fn resolve(
    image: &TrustedImage<'_>,
    loader: &Loader,
    scope: &[&Module],
    permission: &Permission,
) -> Result<Resolution> {
    resolve_in(image, loader, scope, None, permission).or_else(|unbound| {
        unbound.into_result()?;
        unreachable!("an image of which nothing is unbound is resolved")
    })
}

/// Finds every import of `image`, one of a group if it is loaded together with others.
pub(crate) fn resolve_in(
    image: &TrustedImage<'_>,
    loader: &Loader,
    scope: &[&Module],
    group: Option<Member<'_>>,
    permission: &Permission,
) -> Result<Resolution, Unbound> {
    let imports: Vec<_> = image.image().imports().collect();
    if imports.is_empty() {
        return Ok(Resolution::default());
    }
    let mut values = vec![Value::Address(0); imports.len() + 1];
    let scope: Vec<_> = scope.iter().map(|module| module.loaded()).collect();
    let manifest = image.image().manifest();
    let mut search = Search::new(image.name(), manifest, loader, &scope, permission);
    search.group = group;
    let mut lazy_imports = Vec::new();
    let forbidden = imports.iter().filter(|(_, it)| search.is_forbidden(it));
    let forbidden: Vec<_> = forbidden
        .map(|(index, symbol)| search.forbidden(*index, symbol))
        .collect();
    if !forbidden.is_empty() {
        return Err(Unbound {
            forbidden,
            ..Unbound::default()
        });
    }
    let thread_local = relocate::thread_local_imports(image.image());
    let mut missing = HashSet::new();
    let mut denied = Vec::new();
    let mut mismatched = Vec::new();
    // Strong ones first: they decide which libraries are open when weak ones are looked for.
    for binding in [Binding::Global, Binding::Weak] {
        for &(index, symbol) in imports.iter().filter(|(_, it)| it.binding == binding) {
            let import = Import {
                index,
                symbol,
                thread_local: thread_local.contains(&index),
                permitted: permission.allows(symbol.name),
            };
            let given = search.find_given(&import);
            if matches!(given, Ok(None))
                && let Some(lazy) = search.lazy(&import)
            {
                lazy_imports.push((index, lazy));
                continue;
            }
            let found = given.and_then(|given| match given {
                None => search.find_elsewhere(&import),
                found => Ok(found),
            });
            match found {
                Ok(Some(value)) => values[to_usize(index)] = value,
                Ok(None) if binding == Binding::Weak && !import.thread_local => {}
                Ok(None) if !import.permitted => denied.push((index, symbol)),
                Ok(None) => drop(missing.insert(index)),
                Err(mismatch) => mismatched.push((index, mismatch)),
            }
        }
    }
    mismatched.sort_by_key(|(index, _)| *index);
    let unbound = Unbound {
        forbidden: (denied.iter())
            .map(|(index, symbol)| search.denied(*index, symbol))
            .collect(),
        missing: (imports.iter().filter(|(index, _)| missing.contains(index)))
            .enumerate()
            .map(|(nth, (index, symbol))| search.missing(nth, *index, symbol))
            .collect(),
        mismatched: (mismatched.into_iter())
            .map(|(_, mismatch)| *mismatch)
            .collect(),
        searched: match missing.is_empty() {
            true => Vec::new(),
            false => search.places(),
        },
    };
    if !unbound.is_empty() {
        return Err(unbound);
    }
    Ok(Resolution {
        values,
        providers: search.kept(),
        lazy_imports: LazyImports::new(
            image.name(),
            loader.lazy.as_ref(),
            lazy_imports,
            permission,
        ),
        libraries: search.libraries(),
        fellows: search.fellows,
    })
}

impl Resolution {
    /// Gives the imports that are bound at their first call something to be bound to until then.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(crate) fn make_stubs(&mut self) -> io::Result<()> {
        let values = &mut self.values;
        let set = |index, stub| values[to_usize(index)] = Value::Address(stub);
        self.lazy_imports.make_stubs(set)
    }
}

/// What a function is that is looked for at its first call, and what must stay for that.
#[derive(Debug)]
pub(crate) struct LateResolution {
    pub(crate) address: u64,
    pub(crate) providers: Vec<Kept>,
    pub(crate) libraries: Vec<Arc<Library>>,
}

/// Finds one function, which `image` is about to call for the first time.
///
/// # Errors
///
/// As [`resolve`].
pub(crate) fn resolve_late(
    image: &str,
    function: &LazyImport,
    loader: &Loader,
    scope: &[&Held],
    permission: &Permission,
) -> Result<LateResolution> {
    // What the image's manifest says of this one.
    const INDEX: SymbolIndex = 1;
    let manifest = function.manifest(INDEX);
    let import = Import {
        index: INDEX,
        symbol: Symbol {
            name: &function.name,
            value: 0,
            size: 0,
            kind: SymbolKind::Function,
            binding: Binding::Global,
            is_hidden: false,
            is_import: true,
            is_absolute: false,
        },
        thread_local: false,
        permitted: permission.allows(&function.name),
    };
    let mut search = Search::new(image, &manifest, loader, scope, permission);
    let mut unbound = Unbound::default();
    if search.is_forbidden(&import.symbol) {
        unbound.forbidden = vec![search.forbidden(INDEX, &import.symbol)];
    } else {
        match search.find(&import) {
            Ok(Some(Value::Address(address))) => {
                return Ok(LateResolution {
                    address,
                    providers: search.kept(),
                    libraries: search.libraries(),
                });
            }
            Ok(_) if !import.permitted => {
                unbound.forbidden = vec![search.denied(INDEX, &import.symbol)];
            }
            Ok(_) => {
                unbound.missing = vec![search.missing(0, INDEX, &import.symbol)];
                unbound.searched = search.places();
            }
            Err(mismatch) => unbound.mismatched = vec![*mismatch],
        }
    }
    unbound.into_result()?;
    unreachable!("something is unbound")
}

struct Import<'data> {
    index: SymbolIndex,
    symbol: Symbol<'data>,
    thread_local: bool,
    /// Whether it may be bound to what the host has.
    permitted: bool,
}

impl Import<'_> {
    /// The same without the version that is asked for, if one is: what has no versions has it, as in ELF's own
    /// rules.
    fn unversioned(&self) -> Option<Self> {
        let name = self.symbol.name;
        let at = name.iter().position(|&byte| byte == b'@')?;
        let symbol = Symbol {
            name: &name[..at],
            ..self.symbol
        };
        Some(Self { symbol, ..*self })
    }
}

/// A search through all places.
struct Search<'a> {
    /// The name of the image that imports.
    image: &'a str,
    manifest: &'a Manifest<'a>,
    loader: &'a Loader,
    scope: &'a [&'a Held],
    group: Option<Member<'a>>,
    permission: &'a Permission,
    /// The positions of the modules of the scope that something was found in.
    used: Vec<usize>,
    /// What definitions found keep, each once.
    defined: Vec<Arc<Provider>>,
    fellows: Vec<Fellow>,
    /// The host's symbol table, once something was looked for there.
    host_symbols: OnceCell<Result<&'static HostSymbols, Unreadable>>,
    /// The libraries that had to be opened, by index among the loader's.
    opened: Vec<(usize, Arc<Library>)>,
    /// The libraries that could not be opened, and why.
    failed: Vec<(usize, String)>,
}

impl<'a> Search<'a> {
    fn new(
        image: &'a str,
        manifest: &'a Manifest<'a>,
        loader: &'a Loader,
        scope: &'a [&'a Held],
        permission: &'a Permission,
    ) -> Self {
        Self {
            image,
            manifest,
            loader,
            scope,
            group: None,
            permission,
            used: Vec::new(),
            defined: Vec::new(),
            fellows: Vec::new(),
            host_symbols: OnceCell::new(),
            opened: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// The modules and redirects that something was found in.
    fn kept(&self) -> Vec<Kept> {
        let used = self.used.iter();
        let modules = used.map(|&at| Kept::Module(self.scope[at].clone()));
        let defined = self.defined.iter();
        modules
            .chain(defined.map(|provider| provider.kept.clone()))
            .collect()
    }

    /// The libraries that had to be opened.
    fn libraries(&mut self) -> Vec<Arc<Library>> {
        let opened = std::mem::take(&mut self.opened).into_iter();
        opened.map(|(_, library)| library).collect()
    }

    /// What the loader itself has is no matter of the host's.
    fn is_forbidden(&self, symbol: &Symbol<'_>) -> bool {
        let Some(filter) = &self.loader.filter else {
            return false;
        };
        own_runtime(symbol.name).is_none() && !filter.allows(symbol.name)
    }

    fn find(&mut self, import: &Import<'_>) -> Result<Option<Value>, Box<TypeMismatch>> {
        match self.find_given(import)? {
            None => self.find_elsewhere(import),
            found => Ok(found),
        }
    }

    /// What an import is by what the loader itself has and the caller of the load gave.
    fn find_given(&mut self, import: &Import<'_>) -> Result<Option<Value>, Box<TypeMismatch>> {
        if let Some(address) = own_runtime(import.symbol.name) {
            return Ok(Some(Value::Address(address)));
        }
        if let Some(value) = self.given(import)? {
            return Ok(Some(value));
        }
        match import.unversioned() {
            Some(unversioned) => self.given(&unversioned),
            None => Ok(None),
        }
    }

    /// The import, if it waits for its first call unless it was given.
    fn lazy(&self, import: &Import<'_>) -> Option<LazyImport> {
        let waits = self.loader.lazy.is_some() && !import.thread_local;
        let lazy = || LazyImport::new(self.manifest, import.index, &import.symbol);
        waits.then(lazy).flatten()
    }

    /// What an import is that was not given.
    fn find_elsewhere(&mut self, import: &Import<'_>) -> Result<Option<Value>, Box<TypeMismatch>> {
        let name = import.symbol.name;
        if !import.permitted {
            return Ok(None);
        }
        if self.loader.host_exports
            && let Some(address) = host::exported(name)
        {
            return self.host_value(import, address, &"the host").map(Some);
        }
        if self.loader.host_symbols
            && let Some(value) =
                self.in_host_symbols(import.unversioned().as_ref().unwrap_or(import))?
        {
            return Ok(Some(value));
        }
        let Some(c_name) = host::c_string(name) else {
            return Ok(None);
        };
        match self.in_libraries(&c_name, import.symbol.binding == Binding::Global) {
            Some((library, address)) => self.host_value(import, address, &library).map(Some),
            None => Ok(None),
        }
    }

    /// What the name means by what the caller of the load gave.
    fn given(&mut self, import: &Import<'_>) -> Result<Option<Value>, Box<TypeMismatch>> {
        let name = import.symbol.name;
        match self.group.and_then(|member| member.binding(name)) {
            Some(ImportBinding::To(definition)) => {
                return self.defined_by(import, &definition).map(Some);
            }
            Some(ImportBinding::Image { position, name }) => {
                let member = self.group.expect("it has given the binding");
                if let Some(export) = member.export_of(position, &name) {
                    return self.fellow(import, &export).map(Some);
                }
            }
            None => {}
        }
        if let Some(value) = self.definition(import)? {
            return Ok(Some(value));
        }
        if let Some(value) = self.in_group(import)? {
            return Ok(Some(value));
        }
        self.in_scope(import)
    }

    fn definition(&mut self, import: &Import<'_>) -> Result<Option<Value>, Box<TypeMismatch>> {
        let loader = self.loader;
        let definition = loader.definitions.get(import.symbol.name);
        let definition = definition.filter(|_| import.permitted);
        definition
            .map(|definition| self.defined_by(import, definition))
            .transpose()
    }

    fn defined_by(
        &mut self,
        import: &Import<'_>,
        definition: &Definition,
    ) -> Result<Value, Box<TypeMismatch>> {
        let Some(provider) = &definition.provider else {
            self.check(import, &definition.kind, &"the host's definition")?;
            return Ok(definition.value);
        };
        let place = format_args!("the host's definition ({})", provider.description);
        self.check(import, &definition.kind, &place)?;
        let mut known = self.defined.iter();
        if !known.any(|known| known.kept.is(&provider.kept)) {
            self.defined.push(Arc::clone(provider));
        }
        Ok(definition.value)
    }

    /// What another of the images loaded together will have.
    fn in_group(&mut self, import: &Import<'_>) -> Result<Option<Value>, Box<TypeMismatch>> {
        let export = self
            .group
            .and_then(|member| member.find(import.symbol.name));
        export
            .map(|export| self.fellow(import, &export))
            .transpose()
    }

    fn fellow(
        &mut self,
        import: &Import<'_>,
        export: &GroupExport<'_>,
    ) -> Result<Value, Box<TypeMismatch>> {
        self.check(import, &export.kind, &format_args!("{}", export.image))?;
        self.fellows.push(Fellow {
            import: import.index,
            member: export.member,
            export: export.index,
        });
        // Its own stands there once the other image is somewhere.
        Ok(Value::Address(0))
    }

    fn in_scope(&mut self, import: &Import<'_>) -> Result<Option<Value>, Box<TypeMismatch>> {
        for (position, module) in self.scope.iter().enumerate() {
            let Some(export) = module.export(import.symbol.name) else {
                continue;
            };
            let value_type = module.manifest().symbol_type(export.index);
            let found = Kind::of_export(export.symbol.kind, value_type);
            let place = format_args!("module {}", module.name.as_str());
            self.check(import, &found, &place)?;
            if let Err(place) = self.used.binary_search(&position) {
                self.used.insert(place, position);
            }
            return Ok(Some(export.value));
        }
        Ok(None)
    }

    /// What the host's own symbol table has.
    fn in_host_symbols(&self, import: &Import<'_>) -> Result<Option<Value>, Box<TypeMismatch>> {
        let table = self.host_symbols.get_or_init(HostSymbols::of_this_process);
        let Some((value, found)) = (table.as_ref().ok()).and_then(|it| it.find(import.symbol.name))
        else {
            return Ok(None);
        };
        self.check(import, &found, &"the host's symbol table")?;
        Ok(Some(value))
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
    ) -> Result<Value, Box<TypeMismatch>> {
        if !import.thread_local {
            return Ok(Value::Address(address));
        }
        // The dynamic linker gives the address of this thread's copy; its identity and offset are
        // what holds for all threads.
        let Some(tls) = host::host_tls_at(address) else {
            return Err(self.mismatch(import, &Kind::Variable, place));
        };
        Ok(Value::ThreadLocal {
            module: tls.module,
            offset: address - tls.block.start,
        })
    }

    fn check(
        &self,
        import: &Import<'_>,
        found: &Kind,
        place: &dyn fmt::Display,
    ) -> Result<(), Box<TypeMismatch>> {
        if self.expected(import).accepts(found) {
            return Ok(());
        }
        Err(self.mismatch(import, found, place))
    }

    fn expected(&self, import: &Import<'_>) -> Kind {
        if import.thread_local {
            return Kind::ThreadLocal;
        }
        match self.manifest.symbol_type(import.index) {
            Some(value_type) => Kind::of_type(value_type),
            None => Kind::Unknown,
        }
    }

    fn mismatch(
        &self,
        import: &Import<'_>,
        found: &Kind,
        place: &dyn fmt::Display,
    ) -> Box<TypeMismatch> {
        Box::new(TypeMismatch {
            image: self.image.to_owned(),
            name: String::from_utf8_lossy(import.symbol.name).into_owned(),
            referrer: self.referrer(import.index),
            expected: self.expected(import).to_string(),
            found: found.to_string(),
            place: place.to_string(),
        })
    }

    fn forbidden(&self, index: SymbolIndex, symbol: &Symbol<'_>) -> ForbiddenImport {
        let name = String::from_utf8_lossy(symbol.name).into_owned();
        ForbiddenImport {
            image: self.image.to_owned(),
            demangled: demangle(&name),
            referrer: self.referrer(index),
            by: None,
            name,
        }
    }

    /// What no image has, and the host only might.
    fn denied(&self, index: SymbolIndex, symbol: &Symbol<'_>) -> ForbiddenImport {
        ForbiddenImport {
            by: self.permission.by().map(str::to_owned),
            ..self.forbidden(index, symbol)
        }
    }

    /// The `nth` of those that are missing.
    fn missing(&self, nth: usize, index: SymbolIndex, symbol: &Symbol<'_>) -> MissingSymbol {
        let name = String::from_utf8_lossy(symbol.name).into_owned();
        let definitions = self.loader.definitions.keys().map(Vec::as_slice);
        let group = self.group.map(|member| member.group);
        let fellows = group.into_iter().flat_map(Group::export_names);
        let exports = self.scope.iter().flat_map(|module| module.export_names());
        // A host may have a million names.
        let host = self
            .host_symbols
            .get()
            .filter(|_| nth < MAX_NEAREST_OF_HOST);
        let host = host.into_iter().flatten().flat_map(|table| table.names());
        let candidates = definitions.chain(fellows).chain(exports).chain(host);
        MissingSymbol {
            image: self.image.to_owned(),
            others: Vec::new(),
            demangled: demangle(&name),
            referrer: self.referrer(index),
            nearest: nearest(symbol.name, candidates),
            name,
        }
    }

    fn referrer(&self, index: SymbolIndex) -> Option<String> {
        let Referrer { object, place, .. } = self.manifest.referrer(index)?;
        let demangled = demangle(place);
        Some(format!(
            "{object}: {}",
            demangled.as_deref().unwrap_or(place)
        ))
    }

    /// The places searched, in order, for people.
    fn places(&self) -> Vec<String> {
        let n_definitions = self.loader.definitions.len();
        let mut places = match n_definitions {
            0 => Vec::new(),
            1 => vec!["1 definition".to_owned()],
            _ => vec![format!("{n_definitions} definitions")],
        };
        places.extend(self.group.and_then(|member| member.group.place()));
        let modules = self
            .scope
            .iter()
            .map(|module| module.name.as_str().to_owned());
        match modules.collect::<Vec<_>>().as_slice() {
            [] => {}
            [module] => places.push(format!("module {module}")),
            modules => places.push(format!("modules {}", listed(modules))),
        }
        if self.loader.host_exports {
            places.push(host::EXPORTS.to_owned());
        }
        if self.loader.host_symbols {
            places.push(match self.host_symbols.get() {
                Some(Err(reason)) => format!("the host's symbol table ({reason})"),
                _ => "the host's symbol table".to_owned(),
            });
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

/// For how many missing symbols names like theirs are looked for in the host's symbol table.
const MAX_NEAREST_OF_HOST: usize = 8;

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
