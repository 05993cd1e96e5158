//! The connections that an executor serves, what runs for each, and their end.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use farcall_image::Digest;

use crate::channel::Channel;
use crate::workers::Workers;

/// How long controllers on TCP have to end their side when they were told that nothing more is done, so that nothing of it is lost on the way.
const LEAVE_TIME: Duration = Duration::from_millis(500);

/// How often it is looked who is still there.
const TICK: Duration = Duration::from_millis(20);

/// All connections of an executor.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    state: Mutex<State>,
    /// Notified when one ends.
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_stopping: bool,
    /// In the order in which they came, in which they are stopped too.
    open: BTreeMap<u64, Open>,
    last: u64,
}

struct Open {
    channel: Arc<Channel>,
    calls: Arc<Calls>,
}

/// A connection that is served, until this is dropped.
pub(crate) struct Entered<'a> {
    connections: &'a Connections,
    number: u64,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.connections.lock().open.remove(&self.number);
        self.connections.ended.notify_all();
    }
}

impl Connections {
    /// Enters a connection; `None` when the executor is stopping.
    pub(crate) fn enter(&self, channel: &Arc<Channel>, calls: &Arc<Calls>) -> Option<Entered<'_>> {
        let mut state = self.lock();
        if state.is_stopping {
            return None;
        }
        state.last += 1;
        let number = state.last;
        let open = Open {
            channel: Arc::clone(channel),
            calls: Arc::clone(calls),
        };
        state.open.insert(number, open);
        Some(Entered {
            connections: self,
            number,
        })
    }

    /// Takes no others.
    pub(crate) fn refuse_new(&self) {
        self.lock().is_stopping = true;
    }

    /// Ends all when what was asked for is done, and takes no others. `threads` are for those that have to be told without waiting for one another.
    ///
    /// # Errors
    ///
    /// What still runs after `most`.
    pub(crate) fn stop(&self, most: Duration, threads: &Workers) -> Result<(), Vec<Running>> {
        let start = Instant::now();
        let mut state = self.lock();
        state.is_stopping = true;
        let channels: Vec<_> = (state.open.values())
            .map(|open| Arc::clone(&open.channel))
            .collect();
        drop(state);
        for channel in &channels {
            channel.stop_taking();
        }
        for channel in channels {
            let job = Box::new(move || channel.part_if_at_rest());
            // Without a thread its controller is not told: it is cut off at the end.
            let _ = threads.run(job);
        }
        let mut told = None;
        let mut state = self.lock();
        while !state.open.is_empty() {
            let are_told = state.open.values().all(|open| open.channel.has_parted());
            let since = *told.get_or_insert_with(Instant::now);
            match are_told {
                false => told = None,
                true if since.elapsed() > 2 * LEAVE_TIME => {
                    // One reads from what cannot be shut, such as a pipe. Nothing is done for it any more.
                    return Ok(());
                }
                true if since.elapsed() > LEAVE_TIME => {
                    state.open.values().for_each(|open| open.channel.close());
                }
                true => {}
            }
            if !are_told && start.elapsed() > most {
                let running = state.open.values().filter(|it| !it.channel.has_parted());
                return Err(running.flat_map(|open| open.calls.running()).collect());
            }
            let waited = self.ended.wait_timeout(state, TICK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What runs for one connection.
#[derive(Debug, Default)]
pub(crate) struct Calls(Mutex<Now>);

#[derive(Debug, Default)]
struct Now {
    last: u64,
    /// With their numbers, ascending.
    running: Vec<(u64, Instant, Arc<Called>)>,
}

/// What is called, for people.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) name: String,
    pub(crate) image: Digest,
}

impl Called {
    /// What a load is called while its constructors run.
    pub(crate) fn load(name: &str, image: Digest) -> Arc<Self> {
        let name = match name {
            "" => "loading".to_owned(),
            _ => format!("loading {name}"),
        };
        Arc::new(Self { name, image })
    }
}

/// Something that runs, until this is dropped.
pub(crate) struct Call<'a> {
    calls: &'a Calls,
    number: u64,
}

/// Something that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The function's name.
    pub function: String,
    /// The digest of its image.
    pub image: Digest,
    /// For how long it has run.
    pub time: Duration,
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            function,
            image,
            time,
        } = self;
        let function = function.replace(char::is_control, "?");
        write!(
            f,
            "{function} of image {image}, for {:.1} s",
            time.as_secs_f64()
        )
    }
}

impl Calls {
    /// Notes that something runs, which was asked for at `start`.
    pub(crate) fn begin(&self, called: Arc<Called>, start: Instant) -> Call<'_> {
        let mut now = self.lock();
        now.last += 1;
        let number = now.last;
        now.running.push((number, start, called));
        Call {
            calls: self,
            number,
        }
    }

    fn running(&self) -> Vec<Running> {
        let now = self.lock();
        let running = now.running.iter().map(|(_, start, called)| Running {
            function: called.name.clone(),
            image: called.image,
            time: start.elapsed(),
        });
        running.collect()
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let mut now = self.calls.lock();
        let own = now.running.iter().rposition(|it| it.0 == self.number);
        let ended = own.map(|own| now.running.remove(own));
        drop(now);
        drop(ended);
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").finish_non_exhaustive()
    }
}
