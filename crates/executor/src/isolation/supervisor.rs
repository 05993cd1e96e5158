//! Keeping images, the template and the workers.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use farcall_image::Digest;
use farcall_protocol::{
    ErrorKind, Failure, FirstCall, ModuleInfo, ModuleName, Request, Response, Statistics,
};

use super::blame::Blame;
use super::change::{Change, Defined, Kept, Value, is_answer};
use super::limits::Limits;
use super::output::{self, Outputs};
use super::overseen::Overseen;
use super::pool::{Worker, lock};
use super::spaces::Spaces;
use super::tending::{TASKS, repeat};
use super::{Isolation, Keep};
use crate::admission::Signed;
use crate::client::{Executor, out_of_place, size};
use crate::counters::count;
use crate::failures::unknown;
use crate::transport::Connection;
use crate::workers::Workers;
use crate::{Error, Result};

/// How long a call waits for a worker when there are as many as there may be.
const WAITING: Duration = Duration::from_secs(10);

/// A worker with more changes to do than this is not worth it: another is forked off that has them.
const MOST_TODO: usize = 4;

/// How long a template that has ended is let be, before another is started: so that one that cannot live does not take all time.
pub(super) const RESTART: Duration = Duration::from_millis(200);

/// What an executor has whose calls run in workers.
pub(crate) struct Supervisor {
    pub(super) options: Isolation,
    pub(super) blame: Blame,
    /// Held by who changes what is loaded.
    template: Mutex<Option<TemplateProcess>>,
    pub(super) overseen: Overseen,
    pub(super) state: Mutex<State>,
    /// Notified when workers come and go.
    pub(super) changed: Condvar,
    warned: Once,
    /// Workers that were started.
    n_started: AtomicU64,
    n_crashes: AtomicU64,
    n_late: AtomicU64,
    /// The last number of a function of some controller's.
    last_number: AtomicU64,
    /// Held by who changes what is in them.
    spaces: Mutex<Spaces>,
    pub(super) outputs: Arc<Outputs>,
}

struct TemplateProcess {
    executor: Executor,
    process: Child,
}

impl Drop for TemplateProcess {
    /// Nothing is left of it, also where it has not become one.
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

fn end(process: &mut Child) {
    // It fails when it has ended.
    let _ = process.kill();
    let _ = process.wait();
}

#[derive(Default)]
pub(super) struct State {
    /// What is loaded and defined, in order.
    changes: BTreeMap<u64, Arc<Change>>,
    last: u64,
    images: HashMap<Digest, u64>,
    names: HashMap<String, Digest>,
    /// What the template could not load, for each worker to load itself.
    outside: Vec<u64>,
    /// All workers, by their processes.
    pub(super) workers: HashMap<u32, Arc<Worker>>,
    /// Those that wait for something to do.
    pub(super) ready: Vec<Arc<Worker>>,
    /// Processes that were told to end.
    pub(super) leaving: Vec<(Instant, Arc<Worker>)>,
    /// Workers, and such as are being started.
    pub(super) n_workers: usize,
    pub(super) has_stopped: bool,
    /// When it was last looked whose controllers have gone.
    pub(super) looked: Option<Instant>,
}

impl Supervisor {
    /// Starts a template.
    ///
    /// `threads` are for calls that run at the same time.
    pub(crate) fn start(options: Isolation, threads: Workers) -> Result<Arc<Self>> {
        let supervisor = Arc::new(Self {
            blame: Blame::new(options.quarantine),
            options,
            template: Mutex::new(None),
            overseen: Overseen::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
            warned: Once::new(),
            n_started: AtomicU64::new(0),
            n_crashes: AtomicU64::new(0),
            n_late: AtomicU64::new(0),
            last_number: AtomicU64::new(0),
            spaces: Mutex::default(),
            outputs: Arc::new(Outputs::new().map_err(Error::system("watch pipes"))?),
        });
        output::pass_on(&supervisor, threads).map_err(Error::system("start a thread"))?;
        let template = supervisor.start_template()?;
        *lock(&supervisor.template) = Some(template);
        for (name, does) in TASKS {
            let weak = Arc::downgrade(&supervisor);
            thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || repeat(&weak, does))
                .map_err(Error::system("start a thread"))?;
        }
        Ok(supervisor)
    }

    fn start_template(self: &Arc<Self>) -> Result<TemplateProcess> {
        let system = || Error::system("start a template");
        let (program, arguments) = &self.options.program;
        let start = || {
            let (own, theirs) = UnixStream::pair()?;
            let process = Command::new(program)
                .args(arguments)
                .stdin(OwnedFd::from(theirs))
                // The service manager is told by one process.
                .env_remove("NOTIFY_SOCKET")
                // What a terminal sends to all that it has started is for the supervisor to heed: calls are to end first.
                .process_group(0)
                .spawn()?;
            io::Result::Ok((own, process))
        };
        let (own, mut process) = start().map_err(system())?;
        let overseen = self.overseen.oversee(&process);
        overseen
            .map_err(system())
            .inspect_err(|_| end(&mut process))?;
        let speak = Executor::speak(Connection::unix(own));
        let executor = speak.inspect_err(|_| end(&mut process))?;
        let template = TemplateProcess { executor, process };
        let mut state = lock(&self.state);
        let changes: Vec<_> = (state.changes.iter())
            .map(|(&order, change)| (order, Arc::clone(change)))
            .collect();
        state.outside.clear();
        drop(state);
        for (order, change) in changes {
            self.overseen.begins();
            match change.apply(&template.executor) {
                Ok(_) => {}
                Err(error) if is_answer(&error) => lock(&self.state).outside.push(order),
                Err(error) => return Err(error),
            }
        }
        self.overseen.rests();
        Ok(template)
    }

    /// Does something with the template. One that has ended is started anew.
    fn with_template<T>(self: &Arc<Self>, act: impl Fn(&Executor) -> Result<T>) -> Result<T> {
        let mut template = lock(&self.template);
        let act = |template: &TemplateProcess| {
            self.overseen.begins();
            let done = act(&template.executor);
            self.overseen.rests();
            done
        };
        if let Some(running) = &*template {
            match act(running) {
                Err(error) if !is_answer(&error) => {
                    // When the executor stops it is ended.
                    if !lock(&self.state).has_stopped {
                        tracing::warn!("the template has ended: {error}");
                    }
                }
                done => return done,
            }
        }
        if template.take().is_some() {
            thread::sleep(RESTART);
        }
        // The system has ended its workers with it.
        let mut state = lock(&self.state);
        if state.has_stopped {
            return Err(Error::Stopping);
        }
        let processes: Vec<_> = state.workers.keys().copied().collect();
        let workers = processes.iter().filter_map(|&process| state.gone(process));
        let workers: Vec<_> = workers.collect();
        drop(state);
        workers
            .iter()
            .for_each(|worker| worker.set_ended(Some(libc::SIGKILL)));
        let started = template.insert(self.start_template()?);
        act(started)
    }

    /// Whether an image is there that `is_let` still lets in; gives it a name then.
    pub(super) fn offer(
        &self,
        digest: Digest,
        name: &str,
        is_let: impl FnOnce(&Kept) -> bool,
    ) -> bool {
        let is_there = self.kept(digest, is_let).unwrap_or(false);
        let mut state = lock(&self.state);
        let is_there = is_there && state.images.contains_key(&digest);
        if is_there && !name.is_empty() {
            state.names.insert(name.to_owned(), digest);
        }
        is_there
    }

    /// Keeps an image and has the template load it. What its constructors do only a worker will tell.
    pub(super) fn load(self: &Arc<Self>, name: &str, kept: Kept) -> Result<Arc<Change>, Failure> {
        let digest = kept.digest;
        let change = Arc::new(Change::Load(kept));
        let has_outside = !lock(&self.state).outside.is_empty();
        let loaded = self.with_template(|template| change.apply(template));
        let is_outside = match loaded {
            Ok(_) => false,
            Err(Error::Failed(failure)) => {
                // What runs when it is loaded, or imports from what does, a worker loads.
                let may_load = failure.kind == ErrorKind::RunsCode || has_outside;
                if !may_load {
                    return Err(failure);
                }
                true
            }
            Err(error) => return Err(internal(&error)),
        };
        let mut state = lock(&self.state);
        let order = state.add(&change, is_outside);
        state.images.insert(digest, order);
        if !name.is_empty() {
            state.names.insert(name.to_owned(), digest);
        }
        if is_outside {
            state.outside.push(order);
        }
        Ok(change)
    }

    /// Forgets an image that could not be loaded after all.
    pub(super) fn withdraw(self: &Arc<Self>, digest: Digest) {
        let change = Arc::new(Change::Unload(digest));
        let _ = self.with_template(|template| change.apply(template));
        lock(&self.state).remove(digest, &change);
    }

    /// Defines a symbol. Gives its value in the template, and so in workers from now on.
    pub(super) fn define(
        self: &Arc<Self>,
        name: &str,
        value_type: Option<&str>,
        value: Value,
    ) -> Result<u64, Failure> {
        let change = Arc::new(Change::Define(Defined {
            name: name.to_owned(),
            value_type: value_type.map(str::to_owned),
            value,
        }));
        let defined = self.with_template(|template| change.apply(template));
        let address = match defined.map_err(failure)? {
            Response::Defined { address } => address,
            _ => return Err(internal(&out_of_place())),
        };
        let mut state = lock(&self.state);
        // Modules that are bound to an earlier one of the name stay so; what is loaded from now on is bound to this.
        state.changes.retain(
            |_, earlier| !matches!(&**earlier, Change::Define(earlier) if earlier.name == name),
        );
        state.add(&change, false);
        Ok(address)
    }

    /// A number for a function of some controller's.
    pub(super) fn next_number(&self) -> u64 {
        1 + self.last_number.fetch_add(1, Ordering::Relaxed)
    }

    /// Defines functions that lead where a controller says. Gives the number of the space, and their places in it.
    pub(super) fn define_on_first_call(
        self: &Arc<Self>,
        digest: Digest,
        functions: &[FirstCall<'_>],
    ) -> Result<(u64, Vec<u64>), Failure> {
        let mut spaces = lock(&self.spaces);
        let space = spaces.get(digest, || self.next_number());
        let change = Change::DefineOnFirstCall(space.missing(digest, functions)?);
        let change = Arc::new(change);
        if let Change::DefineOnFirstCall(missing) = &*change
            && (!missing.functions.is_empty() || functions.is_empty())
        {
            let defined = self.with_template(|template| change.apply(template));
            defined.map_err(failure)?;
            lock(&self.state).add(&change, false);
            space.add(missing);
        }
        Ok((space.number, space.places(functions)))
    }

    /// Unloads a module in the template and has workers do so.
    pub(super) fn unload(self: &Arc<Self>, digest: Digest) -> Result<(), Failure> {
        let state = lock(&self.state);
        let order = state.images.get(&digest).copied();
        let order = order.ok_or_else(|| unknown(ModuleName::Digest(digest)))?;
        let is_outside = state.outside.contains(&order);
        drop(state);
        let change = Arc::new(Change::Unload(digest));
        if !is_outside {
            let unloaded = self.with_template(|template| change.apply(template));
            unloaded.map_err(failure)?;
        }
        lock(&self.state).remove(digest, &change);
        Ok(())
    }

    /// The digest of the module that is meant.
    pub(super) fn digest_of(&self, module: ModuleName<'_>) -> Result<Digest, Failure> {
        let state = lock(&self.state);
        let digest = match module {
            ModuleName::Digest(digest) => Some(digest),
            ModuleName::Name(name) => state.names.get(name).copied(),
        };
        let digest = digest.filter(|digest| state.images.contains_key(digest));
        digest.ok_or_else(|| unknown(module))
    }

    /// Whether the template could not load an image.
    pub(super) fn is_outside(&self, digest: Digest) -> bool {
        let state = lock(&self.state);
        let order = state.images.get(&digest);
        !state.outside.is_empty() && order.is_some_and(|order| state.outside.contains(order))
    }

    /// What is kept of an image.
    pub(super) fn kept<T>(&self, digest: Digest, read: impl FnOnce(&Kept) -> T) -> Option<T> {
        let state = lock(&self.state);
        let change = state.changes.get(state.images.get(&digest)?)?;
        let change = Arc::clone(change);
        drop(state);
        match &*change {
            Change::Load(kept) => Some(read(kept)),
            _ => None,
        }
    }

    /// The digests of the newest modules, oldest first.
    pub(crate) fn announced(&self, most: usize) -> Vec<Digest> {
        let state = lock(&self.state);
        let mut digests: Vec<_> = (state.changes.values().rev())
            .filter_map(|change| loaded(change))
            .take(most)
            .map(|kept| kept.digest)
            .collect();
        digests.reverse();
        digests
    }

    /// How many modules there are, and the bytes of their images.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let state = lock(&self.state);
        let sizes = state.changes.values().filter_map(|change| loaded(change));
        let sizes = sizes.map(|kept| kept.image.size());
        (size(state.images.len()), sizes.sum())
    }

    /// How long a worker is kept.
    pub(crate) fn keep(&self) -> Keep {
        self.options.keep
    }

    /// Counts a worker that was ended by what it ran, or because that took too long.
    pub(super) fn count_end(&self, is_late: bool) {
        count(if is_late {
            &self.n_late
        } else {
            &self.n_crashes
        });
    }

    /// Says how workers fare.
    pub(crate) fn tell(&self, statistics: &mut Statistics) {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        statistics.workers = size(lock(&self.state).workers.len());
        statistics.workers_started = of(&self.n_started);
        statistics.crashes = of(&self.n_crashes);
        statistics.late = of(&self.n_late);
    }

    /// As many modules after the first `skip` as `most` names, and how many there are.
    ///
    /// `signer` says who has signed what.
    pub(super) fn list(
        &self,
        skip: u64,
        most: usize,
        signer: impl Fn(&Signed) -> Option<String>,
    ) -> (Vec<ModuleInfo>, u64) {
        let state = lock(&self.state);
        let mut names: HashMap<Digest, Vec<String>> = HashMap::new();
        for (name, digest) in &state.names {
            names.entry(*digest).or_default().push(name.clone());
        }
        let modules = (state.changes.values())
            .filter_map(|change| loaded(change))
            .skip(usize::try_from(skip).unwrap_or(usize::MAX))
            .take(most)
            .map(|kept| {
                let mut names = names.remove(&kept.digest).unwrap_or_default();
                names.sort_unstable();
                names.truncate(16);
                let (ends, is_quarantined) = self.blame.of(kept.digest);
                ModuleInfo {
                    digest: kept.digest,
                    names,
                    size: kept.image.size(),
                    n_exports: kept.n_exports,
                    calls: kept.calls.load(Ordering::Relaxed),
                    crashes: ends.crashes,
                    late: ends.late,
                    is_quarantined,
                    signer: signer(&kept.signature),
                }
            })
            .collect();
        (modules, size(state.images.len()))
    }

    /// A worker that nobody uses. There may be more than are wanted, so that this waits for one to end.
    pub(super) fn take_worker(self: &Arc<Self>) -> Result<Arc<Worker>, Failure> {
        let mut state = lock(&self.state);
        let start = Instant::now();
        loop {
            while let Some(worker) = state.ready.pop() {
                self.changed.notify_all();
                if worker.is_there() && worker.n_todo() <= MOST_TODO {
                    return Ok(worker);
                }
                worker.close();
                state.leaving.push((Instant::now(), worker));
            }
            if state.n_workers < self.options.most_workers {
                state.n_workers += 1;
                drop(state);
                return self.fork();
            }
            let left = WAITING.saturating_sub(start.elapsed());
            if left.is_zero() {
                let most = self.options.most_workers;
                return Err(Failure {
                    kind: ErrorKind::Busy,
                    message: format!("no worker is free: all {most} that there may be are in use"),
                });
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The worker that is this process.
    pub(super) fn worker(&self, process: u32) -> Option<Arc<Worker>> {
        lock(&self.state).workers.get(&process).cloned()
    }

    /// Starts a worker, which is counted already.
    pub(super) fn fork(self: &Arc<Self>) -> Result<Arc<Worker>, Failure> {
        let limits = Limits {
            memory: self.options.memory,
            sandbox: self.options.sandbox,
        };
        let started = self.with_template(|template| {
            let (own, theirs) = UnixStream::pair().map_err(|error| no_worker(&error))?;
            let request = Request::Fork {
                memory: limits.memory,
                sandbox: limits.sandbox,
            };
            let id = template.send(&request, &[], Some(theirs.as_fd()))?;
            let Response::Forked { process } = template.answer(id)?.response else {
                return Err(out_of_place());
            };
            // So that a worker which ends before it says anything is seen to.
            drop(theirs);
            // Changes wait until it is known, so that it misses none.
            let greeted = Worker::greet(process, own).and_then(|worker| {
                self.outputs.watch(&worker)?;
                Ok(Arc::new(worker))
            });
            let worker = greeted.map_err(|error| {
                // The template sees to it that nothing is left of it.
                template.send_and_forget(&Request::Reap { process });
                no_worker(&error)
            })?;
            self.warn(&worker);
            let mut state = lock(&self.state);
            state.workers.insert(process, Arc::clone(&worker));
            count(&self.n_started);
            for order in &state.outside {
                if let Some(change) = state.changes.get(order) {
                    worker.enqueue(Arc::clone(change), true);
                }
            }
            Ok(worker)
        });
        started.map_err(|error| {
            lock(&self.state).n_workers -= 1;
            failure(error)
        })
    }

    /// Says once what of the sandbox is missing.
    fn warn(&self, worker: &Worker) {
        if self.options.sandbox
            && let Some(missing) = worker.enforced().missing()
        {
            self.warned.call_once(|| eprintln!("warning: {missing}"));
        }
    }

    /// Notes that a worker has ended, and how. One that has closed its connection and goes on is ended.
    pub(super) fn end(self: &Arc<Self>, worker: &Worker) {
        if worker.has_ended() {
            return;
        }
        worker.see_end();
        let process = worker.process;
        // Whoever is first has the status.
        let status = self.with_template(|template| {
            if worker.has_ended() {
                return Ok(());
            }
            let id = template.send(&Request::Reap { process }, &[], None)?;
            let status = match template.answer(id)?.response {
                Response::Ended { status } => status,
                _ => None,
            };
            worker.set_ended(status);
            Ok(())
        });
        if status.is_err() {
            worker.set_ended(None);
        }
        lock(&self.state).gone(process);
        self.changed.notify_all();
    }

    /// Ends all workers and the template.
    pub(crate) fn stop(&self) {
        let mut state = lock(&self.state);
        state.has_stopped = true;
        let workers: Vec<_> = state.workers.values().cloned().collect();
        state.ready.clear();
        drop(state);
        self.changed.notify_all();
        workers.iter().for_each(|worker| worker.kill());
        // First, because somebody may wait for it.
        self.overseen.end();
        drop(lock(&self.template).take());
    }
}

impl State {
    /// Adds a change, which all workers have yet to do.
    fn add(&mut self, change: &Arc<Change>, is_outside: bool) -> u64 {
        self.last += 1;
        self.changes.insert(self.last, Arc::clone(change));
        for worker in self.workers.values() {
            worker.enqueue(Arc::clone(change), is_outside);
        }
        self.last
    }

    fn remove(&mut self, digest: Digest, change: &Arc<Change>) {
        if let Some(order) = self.images.remove(&digest) {
            self.changes.remove(&order);
            self.outside.retain(|&outside| outside != order);
            self.names.retain(|_, named| *named != digest);
            for worker in self.workers.values() {
                if !worker.forget(digest) {
                    worker.enqueue(Arc::clone(change), false);
                }
            }
        }
    }

    /// Forgets a worker that has ended.
    fn gone(&mut self, process: u32) -> Option<Arc<Worker>> {
        let worker = self.workers.remove(&process)?;
        self.n_workers = self.n_workers.saturating_sub(1);
        self.ready.retain(|worker| worker.process != process);
        self.leaving.retain(|(_, worker)| worker.process != process);
        Some(worker)
    }
}

fn loaded(change: &Arc<Change>) -> Option<&Kept> {
    match &**change {
        Change::Load(kept) => Some(kept),
        _ => None,
    }
}

/// A worker that cannot be started, which is no fault of the template's.
fn no_worker(error: &dyn fmt::Display) -> Error {
    Error::Failed(Failure {
        kind: ErrorKind::Memory,
        message: format!("cannot start a worker: {error}"),
    })
}

/// What a controller is told when the template does not do what it should.
pub(super) fn internal(error: &Error) -> Failure {
    Failure {
        kind: ErrorKind::Internal,
        message: format!("the template: {error}"),
    }
}

fn failure(error: Error) -> Failure {
    match error {
        Error::Failed(failure) => failure,
        other => internal(&other),
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
