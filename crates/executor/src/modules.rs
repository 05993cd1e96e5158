//! What is loaded and what is defined, for all connections.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use farcall_image::{Digest, Image, Machine, Signature};
use farcall_loader::invoke::{Invocable, Value};
use farcall_loader::{Error as LoadError, Loader, Module, SealedFile, TrustedImage};
use farcall_protocol::{
    Argument, Definition, ErrorKind, Failure, MAX_ANNOUNCED_MODULES, ModuleInfo, ModuleName, Symbol,
};

use crate::buffers::Buffer;
use crate::definitions::{Defined, Definitions, Prepared, Wanted};
use crate::entry::{Entry, Needs};
use crate::exec;
use crate::failures::{in_use, loading, not_meant, unknown};
use crate::memory::{Buffers, Memory, number};

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
    definitions: Definitions,
    /// The digests that are being loaded or unloaded, by one thread each.
    busy: HashSet<Digest>,
    next: u64,
}

/// A function of a module, and its type.
#[derive(Debug)]
pub(crate) struct Function {
    entry: Arc<Entry>,
    found: Invocable,
    name: String,
    signature: Signature,
}

impl Function {
    /// Calls it on this thread. `kept` are the buffers that are passed, with their addresses.
    pub(crate) fn call(
        &self,
        arguments: &[Argument],
        buffers: &mut Buffers,
        kept: &[(Arc<Buffer>, u64)],
    ) -> Result<Value, Failure> {
        let kept: Vec<u64> = kept.iter().map(|&(_, address)| address).collect();
        let module = &self.entry.module;
        exec::call(
            module,
            self.found,
            &self.name,
            &self.signature,
            arguments,
            buffers,
            &kept,
        )
        .map_err(loading)
    }
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
        file: Option<&SealedFile>,
        name: &str,
        scope: Option<&[Digest]>,
    ) -> Result<bool, Failure> {
        check_name(name)?;
        let shown = shown(name, digest);
        let image = check_image(bytes).map_err(|error| Failure {
            kind: ErrorKind::Image,
            message: format!("{shown}: {error}"),
        })?;
        if image.digest() != digest {
            return Err(not_meant(&shown, image.digest()));
        }

        let mut state = self.wait_for(digest);
        if state.by_digest.contains_key(&digest) {
            state.give_name(name, digest);
            return Ok(true);
        }
        let scope = state.scope(scope)?;
        let prepared = state.prepare(Wanted::ImportsOf(&image))?;
        let _busy = self.occupy(&mut state, digest);
        drop(state);

        let image = exec::trust(image, &shown);
        let (module, needs) = self.bind(&image, file, scope, prepared)?;
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
    ///
    /// Takes `scope`, so that it is let go of while the digest is still busy: see `unload`.
    fn bind(
        &self,
        image: &TrustedImage<'_>,
        file: Option<&SealedFile>,
        scope: Vec<Arc<Entry>>,
        mut prepared: Prepared,
    ) -> Result<(Module, Needs), Failure> {
        let scope: Vec<&Module> = scope.iter().map(|entry| &entry.module).collect();
        let load = |loader: &Loader| match file {
            None => loader.load(image, &scope),
            Some(file) => loader.load_sealed(image, file, &scope),
        };
        let mut loaded = load(&prepared.loader);
        if let Err(LoadError::Missing { .. }) = loaded {
            // Once more with all definitions, so that the message can name similar ones.
            prepared = self.lock().prepare(Wanted::All)?;
            loaded = load(&prepared.loader);
        }
        Ok((loaded.map_err(loading)?, prepared.needs))
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
        self.lock().definitions.insert(name, defined);
        Ok(address)
    }

    /// Finds an export.
    pub(crate) fn lookup(&self, module: ModuleName<'_>, name: &str) -> Result<Symbol, Failure> {
        self.with(module, |entry| entry.export(name))?
    }

    /// Finds a function. As long as it is there its module is in use.
    pub(crate) fn function(
        &self,
        module: ModuleName<'_>,
        function: &str,
        signature: Option<&str>,
    ) -> Result<Function, Failure> {
        let entry = self.with(module, Arc::clone)?;
        let signature = match signature {
            Some(text) => text.parse().map_err(|error| Failure {
                kind: ErrorKind::Arguments,
                message: format!("{}: {function}: {error}", entry.module.name()),
            })?,
            None => entry.signature(function)?,
        };
        let found = entry.module.invocable(function, &signature);
        let found = found.map_err(loading)?;
        Ok(Function {
            entry,
            found,
            name: function.to_owned(),
            signature,
        })
    }

    /// How many modules there are, and the bytes of their images.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let state = self.lock();
        let sizes = state.modules.values().map(|entry| number(entry.size));
        (number(state.modules.len()), sizes.sum())
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

    /// A loader with the definitions wanted.
    fn prepare(&self, wanted: Wanted<'_>) -> Result<Prepared, Failure> {
        self.definitions.prepare(wanted, |digest| self.get(digest))
    }
}

fn check_image(bytes: &[u8]) -> farcall_image::Result<Image<'_>> {
    let image = Image::parse(bytes)?;
    image.verify_digest()?;
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
