//! Several executors that have the same modules and share the calls.

mod function;
mod link;
mod members;
mod mend;
mod step;

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use farcall_image::{Bundle, Image};
use farcall_protocol::Statistics;

use crate::block_on::{All, all, block_on, poll_until};
use crate::{Address, Error, Result, TlsClient};
pub use function::PoolFunction;
use link::Link;
use members::{For, Members, Patience, Turn};
use step::{Action, Meaning, Step};

/// Several executors, on any machines: what is loaded is loaded on all, and a call goes to the one that has the least to do. Clones are the same
/// pool, which threads and futures may share.
///
/// An executor that is lost is connected to anew in the background, at once and then with pauses of up to half a second, and gets the modules and
/// definitions that the pool has, in their order, before it takes calls again. What its code had stored is gone; what the others have stored, they have.
///
/// It has a connection to each executor, and for each a thread while it is connected to, and one that reads once a future has waited. No call has one here.
///
/// ```no_run
/// use farcall_executor::{Address, Pool};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let addresses = ["unix:/run/farcall.sock", "tcp:10.0.0.2:7000"].map(str::parse::<Address>);
/// let pool = Pool::connect(addresses.into_iter().collect::<Result<Vec<_>, _>>()?)?;
/// // An image, or a bundle, of which each executor gets what fits its CPU.
/// let module = pool.load(std::fs::read("score.farcall")?)?;
/// let score = pool.typed::<fn(i64) -> f64>(&module, "score")?.repeatable();
/// let best = score.call(7)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Pool {
    handle: Arc<Handle>,
}

/// How a pool treats its executors.
#[derive(Debug, Clone, Copy)]
pub struct PoolOptions {
    /// How many calls an executor has at a time, at the most; others wait. 64 if nothing is said. An executor runs no more than 1024 for a connection.
    pub most_in_flight: usize,
    /// How long a call waits for an executor when none is there, in any case until each has been tried once more. A second if nothing is
    /// said.
    pub patience: Duration,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            most_in_flight: 64,
            patience: Duration::from_secs(1),
        }
    }
}

/// A module that all executors of a pool have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoolModule {
    number: u64,
}

/// How an executor of a pool is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberHealth {
    /// Its address.
    pub address: Address,
    /// Whether it takes calls.
    pub is_there: bool,
    /// Why it is not there, or was not the last time.
    pub reason: Option<String>,
    /// Calls that it has now.
    pub in_flight: usize,
    /// Calls that were given to it so far.
    pub calls: u64,
    /// How often it was lost.
    pub lost: u64,
}

/// What the clones of a pool share: with the last of them the pool ends.
struct Handle {
    members: Arc<Members>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        let links = self.members.change(|state| {
            state.is_closed = true;
            let links = state.members.iter_mut().map(|member| member.link.take());
            links.collect::<Vec<_>>()
        });
        drop(links);
    }
}

/// What has come of what all were to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judged {
    Done,
    /// Nobody has done it, and it is to be tried again with those who come.
    Again,
}

/// Whether what was asked of executors that were lost, all of them, is to be asked again. Of a connection that has ended long before that shows only when
/// it is used; of a new one it is what was asked that ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Again {
    #[default]
    Once,
    Never,
}

/// Numbers of modules, definitions and functions: of all pools, so that one's mean nothing to another.
fn next_number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    1 + LAST.fetch_add(1, Ordering::Relaxed)
}

impl Pool {
    /// Connects to the executors at these addresses, to all at the same time.
    ///
    /// Waits until each is there or has been tried once. Those that are not there are tried again in the background.
    ///
    /// # Errors
    ///
    /// [`Error::NoExecutor`] when none is there.
    pub fn connect(addresses: impl IntoIterator<Item = Address>) -> Result<Self> {
        Self::connect_with(addresses, PoolOptions::default())
    }

    /// The same, with options.
    ///
    /// # Errors
    ///
    /// As [`Pool::connect`].
    pub fn connect_with(
        addresses: impl IntoIterator<Item = Address>,
        options: PoolOptions,
    ) -> Result<Self> {
        block_on(Self::connect_async(addresses, options))
    }

    /// The same as a future.
    ///
    /// # Errors
    ///
    /// As [`Pool::connect`].
    pub async fn connect_async(
        addresses: impl IntoIterator<Item = Address>,
        options: PoolOptions,
    ) -> Result<Self> {
        Self::connect_over(addresses, None, options).await
    }

    /// Connects to executors of which those with addresses for TLS are reached over that.
    ///
    /// # Errors
    ///
    /// As [`Pool::connect`].
    pub fn connect_tls(
        addresses: impl IntoIterator<Item = Address>,
        tls: &TlsClient,
        options: PoolOptions,
    ) -> Result<Self> {
        block_on(Self::connect_tls_async(addresses, tls, options))
    }

    /// The same as a future.
    ///
    /// # Errors
    ///
    /// As [`Pool::connect`].
    pub async fn connect_tls_async(
        addresses: impl IntoIterator<Item = Address>,
        tls: &TlsClient,
        options: PoolOptions,
    ) -> Result<Self> {
        Self::connect_over(addresses, Some(tls.clone()), options).await
    }

    async fn connect_over(
        addresses: impl IntoIterator<Item = Address>,
        tls: Option<TlsClient>,
        options: PoolOptions,
    ) -> Result<Self> {
        let members = Members::new(addresses.into_iter().collect(), tls, options);
        let members = Arc::new(members);
        let pool = Self {
            handle: Arc::new(Handle { members }),
        };
        let members = pool.members();
        members.mend_all(&mut members.lock());
        let connected = members.wait_async(For::Change, |state| {
            if state.members.iter().any(|member| member.n_attempts == 0) {
                return None;
            }
            let is_one_there = state.links().next().is_some();
            Some(if is_one_there {
                Ok(())
            } else {
                Err(state.no_executor())
            })
        });
        connected.await?;
        Ok(pool)
    }

    fn members(&self) -> &Arc<Members> {
        &self.handle.members
    }

    /// Loads an image on all executors, or of a bundle on each the variant that uses most of its CPU; with no name and all modules in scope. The pool keeps
    /// the bytes.
    ///
    /// # Errors
    ///
    /// As [`Pool::load_with`].
    pub fn load(&self, bytes: impl Into<Vec<u8>>) -> Result<PoolModule> {
        self.load_with(bytes, "", None)
    }

    /// Loads an image or a bundle on all executors, with a name for the module, empty for none, and the modules to import from, in this order; `None` for
    /// all that an executor has, oldest first. On all at the same time; after what others load or define, and before what they load or
    /// define later.
    ///
    /// # Errors
    ///
    /// [`Error::Image`] when the bytes are neither an image nor a bundle; [`Error::Member`] when it cannot be loaded on one of them: then it is on none. [`Error::NoExecutor`].
    pub fn load_with(
        &self,
        bytes: impl Into<Vec<u8>>,
        name: &str,
        scope: Option<&[PoolModule]>,
    ) -> Result<PoolModule> {
        block_on(self.load_async(bytes, name, scope))
    }

    /// The same as a future. One that is dropped may have loaded it on some, which then have it until they are lost.
    ///
    /// # Errors
    ///
    /// As [`Pool::load_with`].
    pub async fn load_async(
        &self,
        bytes: impl Into<Vec<u8>>,
        name: &str,
        scope: Option<&[PoolModule]>,
    ) -> Result<PoolModule> {
        let bytes = bytes.into();
        if Bundle::is_bundle(&bytes) {
            Bundle::parse(&bytes)?;
        } else {
            Image::parse(&bytes)?;
        }
        let number = self.step(Action::Load {
            bytes,
            name: name.to_owned(),
            scope: scope.map(|modules| modules.iter().map(|it| it.number).collect()),
        });
        let number = number.await?;
        Ok(PoolModule { number })
    }

    /// Defines a variable that holds `bytes` on all executors, as [`Executor::define_bytes`](crate::Executor::define_bytes) does on one.
    ///
    /// # Errors
    ///
    /// [`Error::Member`] when one of them refuses; others may have it then. [`Error::NoExecutor`].
    pub fn define_bytes(&self, name: &str, bytes: &[u8]) -> Result<()> {
        block_on(self.define_bytes_async(name, bytes))
    }

    /// The same as a future.
    ///
    /// # Errors
    ///
    /// As [`Pool::define_bytes`].
    pub async fn define_bytes_async(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.define(name, None, Meaning::Bytes(bytes.to_vec()))
            .await
    }

    /// Defines a number on all executors: a symbol with this value.
    ///
    /// # Errors
    ///
    /// As [`Pool::define_bytes`].
    pub fn define_number(&self, name: &str, number: u64) -> Result<()> {
        block_on(self.define_number_async(name, number))
    }

    /// The same as a future.
    ///
    /// # Errors
    ///
    /// As [`Pool::define_bytes`].
    pub async fn define_number_async(&self, name: &str, number: u64) -> Result<()> {
        self.define(name, None, Meaning::Number(number)).await
    }

    /// Defines a name for an export of a module on all executors, with its type in LLVM's syntax if that is to be compared.
    ///
    /// # Errors
    ///
    /// As [`Pool::define_bytes`].
    pub fn define_export(
        &self,
        name: &str,
        value_type: Option<&str>,
        module: &PoolModule,
        export: &str,
    ) -> Result<()> {
        block_on(self.define_export_async(name, value_type, module, export))
    }

    /// The same as a future.
    ///
    /// # Errors
    ///
    /// As [`Pool::define_bytes`].
    pub async fn define_export_async(
        &self,
        name: &str,
        value_type: Option<&str>,
        module: &PoolModule,
        export: &str,
    ) -> Result<()> {
        let meaning = Meaning::Export {
            module: module.number,
            name: export.to_owned(),
        };
        self.define(name, value_type, meaning).await
    }

    async fn define(&self, name: &str, value_type: Option<&str>, meaning: Meaning) -> Result<()> {
        let action = Action::Define {
            name: name.to_owned(),
            value_type: value_type.map(str::to_owned),
            meaning,
        };
        self.step(action).await.map(|_| ())
    }

    /// Does something on all executors, and on those that come.
    async fn step(&self, action: Action) -> Result<u64> {
        let members = self.members();
        let mut step = Step { number: 0, action };
        let mut again = Again::default();
        let turn = loop {
            let (turn, links) = self.turn().await?;
            // In the order of turns.
            step.number = next_number();
            let done = all(links.iter().map(|link| step.apply(link))).await;
            let are_done: Vec<bool> = done.iter().map(Result::is_ok).collect();
            match self.judge(&links, done, &mut again) {
                Ok(Judged::Done) => break turn,
                Ok(Judged::Again) => {}
                Err(error) => {
                    let done = links.iter().zip(are_done).filter(|(_, is_done)| *is_done);
                    // What cannot be undone, because something uses it, is nobody's business but its executor's.
                    let _ = all(done.map(|(link, _)| step.undo(link))).await;
                    return Err(error);
                }
            }
        };
        let number = step.number;
        let mut state = members.lock();
        // Of what nobody has used there is no need to know.
        if let Some(last) = state.steps.iter().rposition(|it| step.replaces(it))
            && (state.steps[last..].iter()).all(|it| matches!(it.action, Action::Define { .. }))
        {
            state.steps.remove(last);
        }
        state.steps.push(Arc::new(step));
        drop(state);
        drop(turn);
        Ok(number)
    }

    /// Unloads a module on all executors, and forgets it.
    ///
    /// # Errors
    ///
    /// [`Error::Member`] when one of them says that another module imports from it, a function of it is there, or a call into it is running:
    /// then it is loaded again on those that had unloaded it. [`Error::NoExecutor`].
    pub fn unload(&self, module: &PoolModule) -> Result<()> {
        block_on(self.unload_async(module))
    }

    /// The same as a future.
    ///
    /// # Errors
    ///
    /// As [`Pool::unload`].
    pub async fn unload_async(&self, module: &PoolModule) -> Result<()> {
        let members = self.members();
        let (turn, links) = self.turn().await?;
        let is_it = |step: &Arc<Step>| step.number == module.number;
        let step = members.lock().steps.iter().find(|it| is_it(it)).cloned();
        let Some(step) = step else {
            return Err(links[0].module(module.number).map_or_else(
                |error| error,
                |_| {
                    // A definition's number is no module's.
                    crate::client::out_of_place()
                },
            ));
        };
        let undone = all(links.iter().map(|link| step.undo(link))).await;
        let are_undone: Vec<bool> = undone.iter().map(Result::is_ok).collect();
        // Those that are stopping lose it anyway.
        if let Err(error) = self.judge(&links, undone, &mut Again::Never) {
            let undone = links
                .iter()
                .zip(are_undone)
                .filter(|(_, is_undone)| *is_undone);
            let _ = all(undone.map(|(link, _)| step.apply(link))).await;
            return Err(error);
        }
        members.lock().steps.retain(|step| !is_it(step));
        drop(turn);
        Ok(())
    }

    /// The turn to change what all have, and the connections that are there. One that comes has to catch up first, which it cannot in the middle of a
    /// turn.
    async fn turn(&self) -> Result<(Turn<'_>, Vec<Arc<Link>>)> {
        loop {
            self.links().await?;
            let turn = self.members().turn().await;
            let links: Vec<_> = self.members().lock().links().cloned().collect();
            if !links.is_empty() {
                return Ok((turn, links));
            }
        }
    }

    /// The connections that are there.
    async fn links(&self) -> Result<Vec<Arc<Link>>> {
        let members = self.members();
        let mut patience = Patience::default();
        let take = |state: &mut _| members.links(state, &mut patience);
        members.wait_async(For::Change, take).await
    }

    /// What comes of what all were to do: those that were lost are to do it later, but one of them must have done it, and none may have refused.
    fn judge(
        &self,
        links: &[Arc<Link>],
        done: impl IntoIterator<Item = Result<()>>,
        again: &mut Again,
    ) -> Result<Judged> {
        let mut is_done = false;
        let mut is_stopping = false;
        let mut refused = None;
        for (link, done) in links.iter().zip(done) {
            match done {
                Ok(()) => is_done = true,
                Err(error) if members::is_stopping(&error) => {
                    is_stopping = true;
                    drop(self.members().leave(link, &error));
                }
                Err(error) if link.has_ended() => self.members().lost(link, &error),
                Err(error) => refused = refused.or(Some((link, error))),
            }
        }
        let state = self.members().lock();
        if let Some((link, error)) = refused {
            let address = state.members[link.member].address.clone();
            let source = Box::new(error);
            return Err(Error::Member { address, source });
        }
        match (is_done, is_stopping) {
            (true, _) => Ok(Judged::Done),
            // Those that were there have not begun it.
            (false, true) => Ok(Judged::Again),
            (false, false) => match std::mem::replace(again, Again::Never) {
                Again::Once => Ok(Judged::Again),
                Again::Never => Err(state.no_executor()),
            },
        }
    }

    /// How each executor is, as far as is known without asking: in the order of their addresses.
    #[must_use]
    pub fn health(&self) -> Vec<MemberHealth> {
        let state = self.members().lock();
        let health = state.members.iter().map(|member| MemberHealth {
            address: member.address.clone(),
            is_there: member.link.is_some(),
            reason: member.reason.clone(),
            in_flight: member.link.as_ref().map_or(0, |link| link.n_in_flight()),
            calls: member.n_calls,
            lost: member.n_lost,
        });
        health.collect()
    }

    /// What each executor that is there has done, asked at the same time. One that does not answer within this time counts as lost, and its calls as such
    /// that may have run; so does one whose connection has ended.
    #[must_use]
    pub fn check(&self, most: Duration) -> Vec<(Address, Result<Statistics>)> {
        let links: Vec<_> = self.members().lock().links().cloned().collect();
        let asked = links.iter().map(|link| {
            let executor = link.executor.asynchronous();
            async move { executor.statistics().await }
        });
        let mut asked = All::new(asked);
        let end = Instant::now().checked_add(most);
        poll_until(pin!(&mut asked), end);
        let answered = asked
            .into_outputs()
            .into_iter()
            .map(|answered| answered.unwrap_or(Err(Error::NoAnswer { waited: most })));
        self.checked(&links, answered)
    }

    /// The same as a future, which waits as long as it is waited for.
    pub async fn check_async(&self) -> Vec<(Address, Result<Statistics>)> {
        let links: Vec<_> = self.members().lock().links().cloned().collect();
        let asked = links.iter().map(|link| {
            let executor = link.executor.asynchronous();
            async move { executor.statistics().await }
        });
        let answered = all(asked).await;
        self.checked(&links, answered)
    }

    fn checked(
        &self,
        links: &[Arc<Link>],
        answered: impl IntoIterator<Item = Result<Statistics>>,
    ) -> Vec<(Address, Result<Statistics>)> {
        let mut checked = Vec::new();
        for (link, answered) in links.iter().zip(answered) {
            if let Err(error) = &answered
                && (link.has_ended() || matches!(error, Error::NoAnswer { .. }))
            {
                self.members().lost(link, error);
            }
            let address = self.members().lock().members[link.member].address.clone();
            checked.push((address, answered));
        }
        checked
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}
