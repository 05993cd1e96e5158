//! Connecting to executors that are not there, each on a thread that ends when it is.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use farcall_image::Digest;

use super::link::Link;
use super::members::{For, Members, State};
use super::step::Step;
use crate::block_on::block_on;
use crate::{Address, Error, Executor, Result};

/// The first pause between two attempts, which doubles each time, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// A connection that held for so long was a good one: when it is lost, nobody waits before the first attempt.
const GOOD: Duration = Duration::from_secs(1);

/// How long to wait before an executor is connected to that was lost after so long.
pub(super) fn pause_after(pause: Duration, held: Duration) -> Duration {
    if held >= GOOD {
        Duration::ZERO
    } else {
        longer(pause)
    }
}

fn longer(pause: Duration) -> Duration {
    let (first, most) = PAUSES;
    (pause * 2).clamp(first, most)
}

impl Members {
    /// Has all connected to that are not there. Those for whom there is no thread now get one the next time.
    pub(super) fn mend_all(self: &Arc<Self>, state: &mut State) {
        for (index, member) in state.members.iter_mut().enumerate() {
            if member.link.is_some() || member.is_mended {
                continue;
            }
            let members = Arc::clone(self);
            let thread = thread::Builder::new().name("farcall-pool".to_owned());
            match thread.spawn(move || members.mend(index)) {
                Ok(_) => member.is_mended = true,
                Err(error) => {
                    member.n_attempts += 1;
                    member.reason = Some(Error::system("start a thread")(error).to_string());
                }
            }
        }
    }

    /// Connects to a member, until that succeeds or the pool ends.
    fn mend(self: Arc<Self>, index: usize) {
        let (address, mut pause) = {
            let member = &self.lock().members[index];
            (member.address.clone(), member.pause)
        };
        loop {
            self.pause(pause);
            if self.lock().is_closed {
                return;
            }
            let connected = match (&address, &self.tls) {
                (Address::Tls { .. }, Some(tls)) => Executor::connect_tls(&address, tls),
                _ => Executor::connect(&address),
            };
            let attempt =
                connected.and_then(|executor| self.catch_up(&Arc::new(Link::new(executor, index))));
            let Err(error) = attempt else {
                return;
            };
            tracing::debug!("{error}");
            pause = longer(pause);
            self.change(|state| {
                let member = &mut state.members[index];
                member.n_attempts += 1;
                member.pause = pause;
                member.reason = Some(error.to_string());
            });
        }
    }

    /// Gives an executor what all have, and has it take calls.
    fn catch_up(self: &Arc<Self>, link: &Arc<Link>) -> Result<()> {
        let mut last = 0;
        loop {
            // What changes now comes to it by the next round, or later by whoever changes it, and not by both.
            let missing = self.wait(For::Change, |state| {
                let waits = state.is_changing && !state.is_closed;
                (!waits).then(|| self.missing(state, link, last))
            });
            match missing {
                Missing::Step(step) => {
                    block_on(step.apply(link))?;
                    last = step.number;
                }
                Missing::Unload(number, digest) => {
                    // Others may use it.
                    let _ = link.executor.unload(digest);
                    link.has_no_module(number);
                }
                Missing::Nothing => {
                    self.change(|_| ());
                    return Ok(());
                }
            }
        }
    }

    /// What an executor does not have yet, or has still. One that misses nothing is there from now on.
    fn missing(&self, state: &mut State, link: &Arc<Link>, last: u64) -> Missing {
        let is_there = |number| state.steps.iter().any(|step| step.number == number);
        let mut modules = link.modules().into_iter();
        if let Some((number, digest)) = modules.find(|&(number, _)| !is_there(number)) {
            return Missing::Unload(number, digest);
        }
        if let Some(step) = state.steps.iter().find(|step| step.number > last) {
            return Missing::Step(Arc::clone(step));
        }
        let member = &mut state.members[link.member];
        member.link = Some(Arc::clone(link));
        member.n_attempts += 1;
        member.is_mended = false;
        Missing::Nothing
    }
}

enum Missing {
    Step(Arc<Step>),
    Unload(u64, Digest),
    Nothing,
}
