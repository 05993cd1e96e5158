//! What is loaded and what is defined, for all connections.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use farcall_image::{Digest, Image, Machine, Signature, SymbolKind};
use farcall_loader::invoke::Value;
use farcall_loader::{Error as LoadError, Loader, Module, TrustedImage};
use farcall_protocol::{
    Argument, Definition, ErrorKind, Failure, MAX_ANNOUNCED_MODULES, ModuleInfo, ModuleName, Symbol,
};

use crate::exec;
use crate::memory::{Buffers, Memory};

/// The system's C and C++ libraries: what a compiler driver links without being asked. Each is
/// opened when a name was found nowhere before it.
const LIBRARIES: [&str; 5] = [
    "libc.so.6",
    "libm.so.6",
    "libpthread.so.0",
    "libgcc_s.so.1",
    "libstdc++.so.6",
];

/// What a list of modules may take in one response, in bytes of their names and a little for each.
const LIST_SIZE: usize = 512 << 10;

/// How many names of a module a list has.
const MAX_LISTED_NAMES: usize = 16;

/// The longest name of a module, in bytes.
const MAX_NAME_SIZE: usize = 256;

/// The modules and definitions of an executor.
///
/// No shipped code runs while the lock is held: neither constructors nor destructors nor calls.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    state: Mutex<State>,
    /// Notified whenever a digest leaves `State::busy`.
    idle: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// By the order in which they were loaded.
    modules: BTreeMap<u64, Arc<Entry>>,
    /// `by_digest[d] == n` exactly if `modules[n].module.digest() == d`.
    by_digest: HashMap<Digest, u64>,
    names: HashMap<String, Digest>,
    definitions: HashMap<String, Defined>,
    /// The digests that are being loaded or unloaded, by one thread each.
    busy: HashSet<Digest>,
    next: u64,
}

/// A module, and what it must not outlive: fields drop in order.
#[derive(Debug)]
struct Entry {
    module: Module,
    needs: Needs,
    size: usize,
    n_exports: usize,
    order: u64,
}

/// What the values of a module's definitions live in.
#[derive(Debug, Default)]
struct Needs {
    memory: Vec<Arc<Memory>>,
    modules: Vec<Arc<Entry>>,
}

/// A definition of a controller's.
#[derive(Debug, Clone)]
enum Defined {
    Number(u64),
    Function(u64, Signature),
    Memory(Arc<Memory>),
    Export { module: Digest, name: String },
}

/// A loader with the definitions that an image wants.
struct Prepared {
    loader: Loader,
    needs: Needs,
}

/// A digest that this thread alone loads or unloads.
struct Busy<'modules> {
    modules: &'modules Modules,
    digest: Digest,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.modules.lock().busy.remove(&self.digest);
        self.modules.idle.notify_all();
    }
}

impl Modules {
    /// The digests of the newest modules, oldest first.
    pub(crate) fn announced(&self) -> Vec<Digest> {
        let state = self.lock();
        let newest = state.modules.values().rev().take(MAX_ANNOUNCED_MODULES);
        let mut digests: Vec<_> = newest.map(|entry| entry.module.digest()).collect();
        digests.reverse();
        digests
    }

    /// Names the module of this digest, if it is there. Waits while it is being loaded.
    pub(crate) fn offer(&self, digest: Digest, name: &str) -> Result<bool, Failure> {
        check_name(name)?;
        let mut state = self.wait_for(digest);
        let is_loaded = state.by_digest.contains_key(&digest);
        if is_loaded {
            state.give_name(name, digest);
        }
        Ok(is_loaded)
    }

    /// Loads the image in `bytes`. Returns whether it had been loaded before.
    pub(crate) fn load(
        &self,
        digest: Digest,
        bytes: &[u8],
        name: &str,
        scope: Option<&[Digest]>,
    ) -> Result<bool, Failure> {
        check_name(name)?;
        let shown = shown(name, digest);
        let image = check_image(bytes, digest).map_err(|error| Failure {
            kind: ErrorKind::Image,
            message: format!("{shown}: {error}"),
        })?;

        let mut state = self.wait_for(digest);
        if state.by_digest.contains_key(&digest) {
            state.give_name(name, digest);
            return Ok(true);
        }
        let scope = state.scope(scope)?;
        let prepared = state.prepare(&image, false)?;
        let _busy = self.occupy(&mut state, digest);
        drop(state);

        let image = exec::trust(image, &shown);
        let (module, needs) = self.bind(&image, &scope, prepared)?;
        // Before the digest is free again: what only this load held can be unloaded then.
        drop(scope);
        let n_exports = module.exports().count();
        tracing::info!(
            "{shown}: loaded, {} bytes, {n_exports} exports",
            bytes.len()
        );

        let mut state = self.lock();
        let order = state.next;
        state.next += 1;
        state.insert(Arc::new(Entry {
            module,
            needs,
            size: bytes.len(),
            n_exports,
            order,
        }));
        state.give_name(name, digest);
        drop(state);
        Ok(false)
    }

    /// Loads the image, and gives the module with what it must not outlive.
    fn bind(
        &self,
        image: &TrustedImage<'_>,
        scope: &[Arc<Entry>],
        prepared: Prepared,
    ) -> Result<(Module, Needs), Failure> {
        let scope: Vec<&Module> = scope.iter().map(|entry| &entry.module).collect();
        let mut prepared = prepared;
        let mut loaded = prepared.loader.load(image, &scope);
        if let Err(LoadError::Missing { .. }) = loaded {
            // Once more with all definitions, so that the message can name similar ones.
            prepared = self.lock().prepare(image.image(), true)?;
            loaded = prepared.loader.load(image, &scope);
        }
        Ok((loaded.map_err(failure)?, prepared.needs))
    }

    /// Defines a symbol. Returns its value.
    pub(crate) fn define(
        &self,
        name: &str,
        value_type: Option<&str>,
        definition: Definition<'_>,
        body: &[u8],
    ) -> Result<u64, Failure> {
        let wrong = |message| Failure {
            kind: ErrorKind::Definition,
            message: format!("{name}: {message}"),
        };
        let signature: Option<Signature> = match value_type {
            // A variable's type is not compared: the loader knows those of functions.
            Some(text) if text.trim_end().ends_with(')') => Some(
                text.parse()
                    .map_err(|error: farcall_image::ParseTypeError| wrong(error.to_string()))?,
            ),
            _ => None,
        };
        let (defined, address) = match definition {
            Definition::Address(address) => match signature {
                Some(signature) => (Defined::Function(address, signature), address),
                None => (Defined::Number(address), address),
            },
            Definition::Bytes => {
                let memory = Memory::holding(body)?;
                let address = number(memory.address().expose_provenance());
                (Defined::Memory(Arc::new(memory)), address)
            }
            Definition::Export {
                module,
                name: export,
            } => {
                let (module, address) = self.with(module, |entry| {
                    (entry.module.digest(), entry.address(export))
                })?;
                let name = export.to_owned();
                (Defined::Export { module, name }, address?)
            }
        };
        self.lock().definitions.insert(name.to_owned(), defined);
        Ok(address)
    }

    /// Finds an export.
    pub(crate) fn lookup(&self, module: ModuleName<'_>, name: &str) -> Result<Symbol, Failure> {
        self.with(module, |entry| entry.export(name))?
    }

    /// Calls a function on this thread. Returns its result and the buffers to send back.
    pub(crate) fn call(
        &self,
        module: ModuleName<'_>,
        function: &str,
        signature: Option<&str>,
        arguments: &[Argument],
        mut buffers: Buffers,
    ) -> Result<(Value, Vec<u8>), Failure> {
        let entry = self.with(module, Arc::clone)?;
        let signature = match signature {
            Some(text) => text.parse().map_err(|error| Failure {
                kind: ErrorKind::Arguments,
                message: format!("{}: {function}: {error}", entry.module.name()),
            })?,
            None => entry.signature(function)?,
        };
        let value = exec::call(&entry.module, function, &signature, arguments, &mut buffers)
            .map_err(failure)?;
        Ok((value, buffers.into_body(arguments)))
    }

    /// Unloads a module. Waits while others are being loaded or unloaded.
    pub(crate) fn unload(&self, module: ModuleName<'_>) -> Result<(), Failure> {
        let digest = self.lock().digest_of(module)?;
        // A load holds all modules in its scope, so that only calls hold one when none is going on.
        let mut state = (self.idle)
            .wait_while(self.lock(), |state| !state.busy.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        let entry = state.remove(digest).ok_or_else(|| unknown(module))?;
        let entry = match Arc::try_unwrap(entry) {
            Ok(entry) => entry,
            Err(entry) => {
                let users: Vec<&str> = (state.modules.values())
                    .filter(|other| {
                        other
                            .needs
                            .modules
                            .iter()
                            .any(|used| Arc::ptr_eq(used, &entry))
                    })
                    .map(|other| other.module.name())
                    .collect();
                let failure = in_use(entry.module.name(), &users);
                state.insert(entry);
                return Err(failure);
            }
        };
        let _busy = self.occupy(&mut state, digest);
        drop(state);

        let Entry {
            module,
            needs,
            size,
            n_exports,
            order,
        } = entry;
        let name = module.name().to_owned();
        let Err(error) = module.unload() else {
            tracing::info!("{name}: unloaded");
            self.lock().names.retain(|_, named| *named != digest);
            return Ok(());
        };
        let failure = Failure {
            kind: ErrorKind::InUse,
            message: error.to_string(),
        };
        self.lock().insert(Arc::new(Entry {
            module: error.module,
            needs,
            size,
            n_exports,
            order,
        }));
        Err(failure)
    }

    /// Unloads all modules that are not in a call, newest first.
    pub(crate) fn unload_all(&self) {
        loop {
            let mut state = self.lock();
            let Some((_, entry)) = state.modules.pop_last() else {
                return;
            };
            state.by_digest.remove(&entry.module.digest());
            drop(state);
            // Runs its destructors, unless a call holds it too.
            drop(entry);
        }
    }

    /// As many modules after the first `skip` as one response holds, and how many there are.
    pub(crate) fn list(&self, skip: u64) -> (Vec<ModuleInfo>, u64) {
        let state = self.lock();
        let mut names: HashMap<Digest, Vec<&str>> = HashMap::new();
        for (name, digest) in &state.names {
            names.entry(*digest).or_default().push(name);
        }
        let mut modules = Vec::new();
        let mut size = 0;
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        for entry in state.modules.values().skip(skip) {
            let digest = entry.module.digest();
            let mut names = names.remove(&digest).unwrap_or_default();
            names.sort_unstable();
            names.truncate(MAX_LISTED_NAMES);
            size += 64 + names.iter().map(|name| 4 + name.len()).sum::<usize>();
            if size > LIST_SIZE {
                break;
            }
            modules.push(ModuleInfo {
                digest,
                names: names.into_iter().map(str::to_owned).collect(),
                size: number(entry.size),
                n_exports: number(entry.n_exports),
            });
        }
        (modules, number(state.modules.len()))
    }

    /// What `read` gives for a module. Waits while it is being loaded or unloaded.
    fn with<T>(
        &self,
        module: ModuleName<'_>,
        read: impl FnOnce(&Arc<Entry>) -> T,
    ) -> Result<T, Failure> {
        let digest = self.lock().digest_of(module)?;
        let state = self.wait_for(digest);
        state.get(digest).map(read).ok_or_else(|| unknown(module))
    }

    /// The state, once nobody loads or unloads `digest`.
    fn wait_for(&self, digest: Digest) -> MutexGuard<'_, State> {
        self.idle
            .wait_while(self.lock(), |state| state.busy.contains(&digest))
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps others from loading or unloading `digest`.
    fn occupy(&self, state: &mut State, digest: Digest) -> Busy<'_> {
        state.busy.insert(digest);
        Busy {
            modules: self,
            digest,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while it is held is a bug of ours, but no reason to lose what is loaded: every
        // change is made in steps that each leave it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn get(&self, digest: Digest) -> Option<&Arc<Entry>> {
        self.modules.get(self.by_digest.get(&digest)?)
    }

    fn insert(&mut self, entry: Arc<Entry>) {
        self.by_digest.insert(entry.module.digest(), entry.order);
        self.modules.insert(entry.order, entry);
    }

    fn remove(&mut self, digest: Digest) -> Option<Arc<Entry>> {
        self.modules.remove(&self.by_digest.remove(&digest)?)
    }

    fn give_name(&mut self, name: &str, digest: Digest) {
        if !name.is_empty() {
            self.names.insert(name.to_owned(), digest);
        }
    }

    fn digest_of(&self, module: ModuleName<'_>) -> Result<Digest, Failure> {
        match module {
            ModuleName::Digest(digest) => Ok(digest),
            ModuleName::Name(name) => {
                (self.names.get(name).copied()).ok_or_else(|| unknown(module))
            }
        }
    }

    fn scope(&self, scope: Option<&[Digest]>) -> Result<Vec<Arc<Entry>>, Failure> {
        let Some(scope) = scope else {
            return Ok(self.modules.values().cloned().collect());
        };
        let entry = |&digest| {
            (self.get(digest).cloned()).ok_or_else(|| unknown(ModuleName::Digest(digest)))
        };
        scope.iter().map(entry).collect()
    }

    /// A loader with the definitions that `image` imports, or with all.
    fn prepare(&self, image: &Image<'_>, all: bool) -> Result<Prepared, Failure> {
        let mut prepared = Prepared {
            loader: Loader::new(),
            needs: Needs::default(),
        };
        for library in LIBRARIES {
            prepared.loader.library(library);
        }
        if all {
            for (name, defined) in &self.definitions {
                self.add(&mut prepared, name, defined)?;
            }
            return Ok(prepared);
        }
        for (_, import) in image.imports() {
            let name = std::str::from_utf8(import.name).ok();
            if let Some((name, defined)) =
                name.and_then(|name| self.definitions.get_key_value(name))
            {
                self.add(&mut prepared, name, defined)?;
            }
        }
        Ok(prepared)
    }

    fn add(&self, prepared: &mut Prepared, name: &str, defined: &Defined) -> Result<(), Failure> {
        use farcall_loader::Definition;
        let definition = match defined {
            Defined::Number(value) => Definition::absolute(*value),
            Defined::Function(address, signature) => exec::function_at(*address, signature.clone()),
            Defined::Memory(memory) => {
                prepared.needs.memory.push(memory.clone());
                exec::variable_in(memory)
            }
            Defined::Export {
                module,
                name: export,
            } => {
                // The module may have gone since; then the name means nothing.
                let Some(entry) = self.get(*module) else {
                    return Ok(());
                };
                prepared.needs.modules.push(entry.clone());
                let address = entry.address(export)?;
                match entry.module.signature(export) {
                    Some(signature) => exec::function_at(address, signature),
                    None => Definition::absolute(address),
                }
            }
        };
        prepared.loader.define(name, definition);
        Ok(())
    }
}

impl Entry {
    fn address(&self, name: &str) -> Result<u64, Failure> {
        let address = self.module.address(name).map_err(failure)?;
        Ok(number(address.expose_provenance()))
    }

    fn export(&self, name: &str) -> Result<Symbol, Failure> {
        let address = self.address(name)?;
        let export = (self.module.exports()).find(|export| export.name == name.as_bytes());
        Ok(Symbol {
            address,
            kind: match export.as_ref().map(|export| export.kind) {
                Some(SymbolKind::Data) => farcall_protocol::SymbolKind::Data,
                Some(SymbolKind::Function | SymbolKind::IndirectFunction) => {
                    farcall_protocol::SymbolKind::Function
                }
                // `address` gives none for a thread-local variable.
                None | Some(SymbolKind::Unknown | SymbolKind::Tls) => {
                    farcall_protocol::SymbolKind::Unknown
                }
            },
            value_type: export.and_then(|export| export.value_type.map(str::to_owned)),
        })
    }

    /// The type of a function that the image knows the type of.
    fn signature(&self, function: &str) -> Result<Signature, Failure> {
        if let Some(signature) = self.module.signature(function) {
            return Ok(signature);
        }
        // Says when there is no such function.
        self.address(function)?;
        Err(Failure {
            kind: ErrorKind::Arguments,
            message: format!(
                "{}: {function}: the image does not know its type: a signature such as \
                 \"i32 (i32, ptr)\" is needed",
                self.module.name()
            ),
        })
    }
}

fn check_image(bytes: &[u8], digest: Digest) -> farcall_image::Result<Image<'_>> {
    let image = Image::parse(bytes)?;
    image.verify_digest()?;
    if image.digest() != digest {
        return Err(farcall_image::Error::DigestMismatch {
            expected: digest,
            found: image.digest(),
        });
    }
    match Machine::host() {
        Some(expected) if image.machine() != expected => Err(farcall_image::Error::WrongMachine {
            found: image.machine(),
            expected,
        }),
        _ => Ok(image),
    }
}

fn check_name(name: &str) -> Result<(), Failure> {
    if name.len() <= MAX_NAME_SIZE {
        return Ok(());
    }
    Err(Failure {
        kind: ErrorKind::Load,
        message: format!(
            "a module's name of {} bytes: longer than {MAX_NAME_SIZE}",
            name.len()
        ),
    })
}

/// What messages call an image: its name, or the start of its digest.
fn shown(name: &str, digest: Digest) -> String {
    if name.is_empty() {
        digest.to_string()[..16].to_owned()
    } else {
        name.to_owned()
    }
}

fn unknown(module: ModuleName<'_>) -> Failure {
    let module = match module {
        ModuleName::Digest(digest) => digest.to_string(),
        ModuleName::Name(name) => name.to_owned(),
    };
    Failure {
        kind: ErrorKind::UnknownModule,
        message: format!("{module}: no such module is loaded"),
    }
}

fn in_use(name: &str, users: &[&str]) -> Failure {
    let users = if users.is_empty() {
        "a call".to_owned()
    } else {
        users.join(", ")
    };
    Failure {
        kind: ErrorKind::InUse,
        message: format!("{name}: in use by {users}"),
    }
}

/// What a controller is told of the loader's error.
fn failure(error: LoadError) -> Failure {
    let kind = match error {
        LoadError::Image { .. } | LoadError::Unsupported { .. } => ErrorKind::Image,
        LoadError::NoExport { .. } => ErrorKind::UnknownSymbol,
        LoadError::WrongType { .. } | LoadError::Call { .. } => ErrorKind::Arguments,
        LoadError::System { .. } => ErrorKind::Memory,
        _ => ErrorKind::Load,
    };
    Failure {
        kind,
        message: error.to_string(),
    }
}

/// Lossless: farcall runs where a size has at most 64 bits.
fn number(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}
