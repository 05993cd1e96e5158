//! What is loaded and what is defined, for all connections.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use farcall_image::{Digest, Signature};
use farcall_loader::invoke::{Invocable, Value};
use farcall_loader::{
    Error as LoadError, Loader, Module, Permission, SealedFile, Start, TrustedImage,
};
use farcall_protocol::{
    Argument, Definition, ErrorKind, Failure, MAX_ANNOUNCED_MODULES, ModuleInfo, ModuleName, Symbol,
};

use crate::admission::{Admission, Signed, Trust};
use crate::audit::{Audit, Load};
use crate::buffers::Buffer;
use crate::connections::Called;
use crate::counters::count;
use crate::definitions::{Defined, Definitions, Prepared, Wanted};
use crate::dock::Arrived;
use crate::entry::{Entry, Needs};
use crate::exec;
use crate::failures::{Shown, in_use, loading, not_meant, unknown};
use crate::first_call::Space;
use crate::isolation;
use crate::memory::{Buffers, Memory, number};
use crate::refusing::{check_image, check_name};
use crate::starting::Starting;

/// What a list of modules may take in one response, in bytes of their names and a little for each.
const LIST_SIZE: usize = 512 << 10;

/// How many names of a module a list has.
const MAX_LISTED_NAMES: usize = 16;

/// The modules and definitions of an executor.
///
/// No shipped code runs while the lock is held: neither constructors nor destructors nor calls.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    pub(crate) admission: Admission,
    /// Whether modules start when they are loaded.
    when: Mutex<When>,
    state: Mutex<State>,
    /// Notified whenever a digest leaves `State::busy`.
    idle: Condvar,
}

/// When what is loaded starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum When {
    /// At once.
    #[default]
    AtLoad,
    /// Never: what is loaded is for processes that are forked off.
    Never,
    /// When it is first used; what has to run to be loaded, at once.
    AtUse,
}

#[derive(Debug, Default)]
struct State {
    /// By the order in which they were loaded.
    modules: BTreeMap<u64, Arc<Entry>>,
    /// `by_digest[d] == n` exactly if `modules[n].module.digest() == d`.
    by_digest: HashMap<Digest, u64>,
    names: HashMap<String, Digest>,
    definitions: Definitions,
    /// What names mean to images in whose scopes these digests are.
    spaces: HashMap<Digest, Space>,
    /// The digests that are being loaded or unloaded, by one thread each.
    busy: HashMap<Digest, ThreadId>,
    /// How many threads wait until some are not.
    n_waiting: usize,
    next: u64,
}

/// A function of a module, and its type.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) entry: Arc<Entry>,
    found: Invocable,
    called: Arc<Called>,
    signature: Signature,
}

impl Function {
    /// What it is, for people.
    pub(crate) fn called(&self) -> Arc<Called> {
        Arc::clone(&self.called)
    }

    /// Calls it on this thread. `kept` are the buffers that are passed, with their addresses.
    pub(crate) fn call(
        &self,
        arguments: &[Argument],
        buffers: &mut Buffers,
        kept: &[(Arc<Buffer>, u64)],
    ) -> Result<Value, Failure> {
        count(&self.entry.calls);
        let kept: Vec<u64> = kept.iter().map(|&(_, address)| address).collect();
        let module = &self.entry.module;
        exec::call(
            module,
            self.found,
            &self.called.name,
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
        let mut state = self.modules.lock();
        state.busy.remove(&self.digest);
        // A notification is a system call, whether anybody waits or not.
        if state.n_waiting > 0 {
            self.modules.idle.notify_all();
        }
    }
}

impl Modules {
    /// Nothing loaded, and a rule for what may be.
    pub(crate) fn new(trust: Trust, audit: Audit) -> Self {
        Self {
            admission: Admission::new(trust, audit),
            ..Self::default()
        }
    }

    /// The digests of the newest modules, oldest first.
    pub(crate) fn announced(&self) -> Vec<Digest> {
        let state = self.lock();
        let newest = state.modules.values().rev().take(MAX_ANNOUNCED_MODULES);
        let mut digests: Vec<_> = newest.map(|entry| entry.module.digest()).collect();
        digests.reverse();
        digests
    }

    /// Names the module of this digest, if it is there. Waits while it is being loaded. One that would not be let in any more is as
    /// good as not there: whoever offers it sends it, with a signature that the policy lets, or is told why not.
    pub(crate) fn offer(&self, digest: Digest, name: &str, load: &Load) -> Result<bool, Failure> {
        check_name(name)?;
        let mut state = self.wait_for(digest)?;
        let is_let = |entry: &Arc<Entry>| {
            let signature = entry.signature.get();
            (self.admission.check(digest, signature.as_deref(), load)).is_ok()
        };
        let is_loaded = state.get(digest).is_some_and(is_let);
        if is_loaded {
            state.give_name(name, digest);
        }
        Ok(is_loaded)
    }

    /// Loads an image. Returns whether it had been loaded before.
    pub(crate) fn load(
        &self,
        digest: Digest,
        mut arrived: Arrived<'_, '_>,
        name: &str,
        scope: Option<&[Digest]>,
        asked: &Arc<Load>,
    ) -> Result<bool, Failure> {
        check_name(name)?;
        let shown = Shown { name, digest };
        let bytes = arrived.bytes;
        // With a policy it is compared when it is verified, with the signature.
        let compares = arrived.word.is_none() && !self.admission.has_policy();
        let image = check_image(bytes, compares).map_err(|error| Failure {
            kind: ErrorKind::Image,
            message: format!("{shown}: {error}"),
        })?;
        if image.digest() != digest {
            return Err(not_meant(shown, image.digest()));
        }

        let mut state = self.wait_for(digest)?;
        let permitted = self.admission.take_permitted(digest);
        if let Some(entry) = state.get(digest) {
            let signature = image.code_signature();
            let checked = self.admission.check(digest, signature, asked);
            checked.map_err(|refusal| asked.refuse(&refusal))?;
            entry.signature.set(signature);
            state.give_name(name, digest);
            return Ok(true);
        }
        let is_chosen = scope.is_some();
        let (mut scope, spaces) = state.scope(scope)?;
        if is_chosen {
            scope.iter().try_for_each(|entry| self.check_call(entry))?;
        } else {
            scope.retain(|entry| self.check_call(entry).is_ok());
        }
        let prepared = state.prepare(Wanted::ImportsOf(&image), &spaces)?;
        let _busy = self.occupy(&mut state, digest);
        drop(state);

        let n_exports = image.exports().len();
        let image = exec::trust(image, &shown.name());
        let (module, mut start, needs) = self.bind(
            &image,
            &mut arrived,
            shown,
            (scope, &spaces),
            prepared,
            (permitted.as_ref(), asked),
        )?;
        if let Some(word) = arrived.word {
            word.wait(bytes, shown)?;
            start
                .take()
                .map_or(Ok(()), |start| start.run(&module).map_err(loading))?;
        }

        let mut state = self.lock();
        let order = state.next;
        state.next += 1;
        let entry = Arc::new(Entry {
            module,
            needs,
            signature: Signed::with(image.image().code_signature()),
            starting: Starting::new(start),
            size: bytes.len(),
            n_exports,
            calls: AtomicU64::new(0),
            order,
        });
        state.insert(Arc::clone(&entry));
        state.give_name(name, digest);
        drop(state);
        let when = self.when();
        if when != When::AtLoad {
            let bias = entry.module.load_bias();
            for segment in image.image().segments() {
                let at = |address: u64| bias.wrapping_add(address);
                let range = at(segment.memory.start)..at(segment.memory.end);
                isolation::remember_module(digest, range, bias);
            }
        }
        Ok(false)
    }

    /// Whether a module may be called still.
    pub(crate) fn check_call(&self, entry: &Entry) -> Result<(), Failure> {
        let module = &entry.module;
        let name = || module.name().to_owned();
        (self.admission).check_call(name, module.digest(), &entry.signature)
    }

    /// Loads the image, and gives the module with what it must not outlive.
    ///
    /// Takes `entries`, which are in scope, so that it is let go of while the digest is still busy: see `unload`.
    fn bind(
        &self,
        image: &TrustedImage<'_>,
        arrived: &mut Arrived<'_, '_>,
        shown: Shown<'_>,
        (entries, spaces): (Vec<Arc<Entry>>, &[Digest]),
        mut prepared: Prepared,
        (permitted, asked): (Option<&Permission>, &Arc<Load>),
    ) -> Result<(Module, Option<Start>, Needs), Failure> {
        let scope: Vec<&Module> = entries.iter().map(|entry| &entry.module).collect();
        let file = arrived.file;
        let when = match arrived.word {
            // None of it runs before it is known to be right.
            Some(_) => When::AtUse,
            None => self.when(),
        };
        (self.admission).guard(&mut prepared.loader, permitted, asked)?;
        let mut loaded = load(&prepared.loader, image, file, when, &scope);
        if let Err(LoadError::Missing { .. }) = loaded {
            // Once more with all definitions, so that the message can name similar ones.
            prepared = self.lock().prepare(Wanted::All, spaces)?;
            (self.admission).guard(&mut prepared.loader, permitted, asked)?;
            loaded = load(&prepared.loader, image, file, when, &scope);
        }
        if let Err(LoadError::RunsCode { .. }) = loaded
            && when == When::AtUse
        {
            if let Some(word) = &mut arrived.word {
                word.wait(arrived.bytes, shown)?;
            }
            for entry in &entries {
                entry.start()?;
            }
            loaded = load(&prepared.loader, image, file, When::AtLoad, &scope);
        }
        let (module, start) = loaded.map_err(loading)?;
        let mut needs = prepared.needs;
        if self.when() != When::AtLoad {
            let providers = entries
                .into_iter()
                .filter(|entry| module.imports_from(&entry.module));
            needs.modules.extend(providers);
        }
        Ok((module, start, needs))
    }

    fn when(&self) -> When {
        *self.when.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says when what is loaded from now on starts.
    pub(crate) fn start(&self, when: When) {
        *self.when.lock().unwrap_or_else(PoisonError::into_inner) = when;
    }

    /// Defines a symbol, also a function of a controller's, which `callback` makes. Returns its value.
    pub(crate) fn define(
        &self,
        name: &str,
        value_type: Option<&str>,
        definition: Definition<'_>,
        body: &[u8],
        callback: impl FnOnce(Signature, u64) -> farcall_loader::Result<farcall_loader::Definition>,
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
            Definition::Callback { number: its_number } => {
                let signature = signature.ok_or_else(|| {
                    wrong("a function of the controller's needs its type".to_owned())
                })?;
                let made =
                    callback(signature, its_number).map_err(|error| wrong(error.to_string()))?;
                let address = made.address(name).map_err(loading)?;
                (Defined::Callback(made), number(address.expose_provenance()))
            }
        };
        self.lock().definitions.insert(name, defined);
        Ok(address)
    }

    /// Changes what names mean in a space.
    pub(crate) fn with_space<T>(&self, space: Digest, change: impl FnOnce(&mut Space) -> T) -> T {
        change(self.lock().spaces.entry(space).or_default())
    }

    /// The function of this name and type that a module exports at an address, the newest of several.
    pub(crate) fn export_at(
        &self,
        name: &str,
        value_type: Option<&str>,
        address: u64,
    ) -> Result<farcall_loader::Definition, String> {
        let state = self.lock();
        let mut entries = state.modules.values().rev();
        let entry = entries
            .find(|entry| entry.address(name).is_ok_and(|at| at == address))
            .ok_or_else(|| format!("no module has it at {address:#x}"))?;
        let entry = Arc::clone(entry);
        drop(state);
        entry.start().map_err(|failure| failure.message)?;
        let found = entry.module.signature(name);
        let expected = value_type.and_then(|text| text.parse::<Signature>().ok());
        if let (Some(expected), Some(found)) = (expected, found)
            && !expected.is_call_compatible(&found)
        {
            return Err(format!("{}: {found}, not {expected}", entry.module.name()));
        }
        let definition = farcall_loader::Definition::export(&entry.module, name);
        definition.map_err(|error| error.to_string())
    }

    /// Finds an export.
    pub(crate) fn lookup(&self, module: ModuleName<'_>, name: &str) -> Result<Symbol, Failure> {
        let entry = self.with(module, Arc::clone)?;
        entry.start()?;
        entry.export(name)
    }

    /// Finds a function. As long as it is there its module is in use.
    pub(crate) fn function(
        &self,
        module: ModuleName<'_>,
        function: &str,
        signature: Option<&str>,
    ) -> Result<Function, Failure> {
        let entry = self.with(module, Arc::clone)?;
        self.check_call(&entry)?;
        let signature = match signature {
            Some(text) => text.parse().map_err(|error| Failure {
                kind: ErrorKind::Arguments,
                message: format!("{}: {function}: {error}", entry.module.name()),
            })?,
            None => entry.type_of(function)?,
        };
        let found = entry.module.invocable(function, &signature);
        let found = found.map_err(loading)?;
        entry.start()?;
        let called = Called {
            name: function.to_owned(),
            image: entry.module.digest(),
        };
        Ok(Function {
            entry,
            found,
            called: Arc::new(called),
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
        let state = self.lock();
        let digest = state.digest_of(module)?;
        let own = thread::current().id();
        if state.busy.values().any(|&thread| thread == own) {
            // As in `wait_for`.
            let name = state.get(digest).map(|entry| entry.module.name());
            return Err(in_use(name.unwrap_or("what is being loaded"), &[]));
        }
        drop(state);
        // A load holds all modules in its scope, so that only calls hold one when none is going on.
        let mut state = self.wait_until(|state| state.busy.is_empty());
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
            signature,
            starting,
            size,
            n_exports,
            calls,
            order,
        } = entry;
        let name = module.name().to_owned();
        let Err(error) = module.unload() else {
            tracing::info!(name, %digest, "unloaded");
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
            signature,
            starting,
            size,
            n_exports,
            calls,
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
            size += 128 + names.iter().map(|name| 4 + name.len()).sum::<usize>();
            if size > LIST_SIZE {
                break;
            }
            modules.push(ModuleInfo {
                digest,
                names: names.into_iter().map(str::to_owned).collect(),
                size: number(entry.size),
                n_exports: number(entry.n_exports),
                calls: entry.calls.load(Ordering::Relaxed),
                // What crashes here takes the executor with it.
                crashes: 0,
                late: 0,
                is_quarantined: false,
                signer: self.admission.signer(&entry.signature),
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
        let state = self.wait_for(digest)?;
        state.get(digest).map(read).ok_or_else(|| unknown(module))
    }

    /// The state, once nobody loads or unloads `digest`.
    fn wait_for(&self, digest: Digest) -> Result<MutexGuard<'_, State>, Failure> {
        let state = self.wait_until(|state| match state.busy.get(&digest) {
            Some(&thread) => thread == thread::current().id(),
            None => true,
        });
        // Of what a constructor called back for: it would wait for itself.
        if state.busy.contains_key(&digest) {
            return Err(in_use(&digest.to_string(), &[]));
        }
        Ok(state)
    }

    fn wait_until(&self, is_ready: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        while !is_ready(&state) {
            state.n_waiting += 1;
            state = (self.idle.wait(state)).unwrap_or_else(PoisonError::into_inner);
            state.n_waiting -= 1;
        }
        state
    }

    /// Keeps others from loading or unloading `digest`.
    fn occupy(&self, state: &mut State, digest: Digest) -> Busy<'_> {
        state.busy.insert(digest, thread::current().id());
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

    /// The modules of a scope, and the spaces.
    fn scope(&self, scope: Option<&[Digest]>) -> Result<(Vec<Arc<Entry>>, Vec<Digest>), Failure> {
        let Some(scope) = scope else {
            return Ok((self.modules.values().cloned().collect(), Vec::new()));
        };
        let is_space = |digest: &Digest| self.spaces.contains_key(digest);
        let (spaces, modules): (Vec<_>, Vec<_>) = scope.iter().copied().partition(is_space);
        let entry =
            |digest| (self.get(digest).cloned()).ok_or_else(|| unknown(ModuleName::Digest(digest)));
        let modules = modules.into_iter().map(entry);
        Ok((modules.collect::<Result<_, _>>()?, spaces))
    }

    /// A loader with the definitions wanted.
    fn prepare(&self, wanted: Wanted<'_>, spaces: &[Digest]) -> Result<Prepared, Failure> {
        let find = |digest| self.get(digest);
        let mut prepared = self.definitions.prepare(wanted, find)?;
        // Those of the first come before others.
        for space in spaces
            .iter()
            .rev()
            .filter_map(|space| self.spaces.get(space))
        {
            prepared.add_space(wanted, space);
        }
        Ok(prepared)
    }
}

fn load(
    loader: &Loader,
    image: &TrustedImage<'_>,
    file: Option<&SealedFile>,
    when: When,
    scope: &[&Module],
) -> farcall_loader::Result<(Module, Option<Start>)> {
    if when != When::AtLoad {
        let (module, start) = loader.load_dormant(image, file, scope)?;
        return Ok((module, Some(start)));
    }
    let module = match file {
        None => loader.load(image, scope)?,
        Some(file) => loader.load_sealed(image, file, scope)?,
    };
    Ok((module, None))
}
