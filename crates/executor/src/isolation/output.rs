//! What workers print, on its way to whoever called them, and their ends.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};
use std::thread;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use super::crash;
use super::pool::Worker;
use super::supervisor::Supervisor;
use crate::workers::Workers;

/// Tells when workers have printed something, and when they have ended.
#[derive(Debug)]
pub(super) struct Outputs {
    epoll: OwnedFd,
}

/// Beside the number of a process: that it has ended.
const ENDED: u64 = 1 << 32;

/// Told once, until what is there has been read.
const PRINTED: EventFlags = EventFlags::IN.union(EventFlags::ONESHOT);

impl Outputs {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self { epoll })
    }

    /// Watches a worker.
    pub(super) fn watch(&self, worker: &Worker) -> io::Result<()> {
        let number = EventData::new_u64(worker.process.into());
        epoll::add(
            &self.epoll,
            worker.handle(),
            EventData::new_u64(ENDED | u64::from(worker.process)),
            PRINTED,
        )?;
        for output in worker.outputs() {
            epoll::add(&self.epoll, output, number, PRINTED)?;
        }
        Ok(())
    }

    fn watch_again(&self, worker: &Worker) {
        let number = EventData::new_u64(worker.process.into());
        for output in worker.outputs() {
            // One that has ended is not in the set any more.
            let _ = epoll::modify(&self.epoll, output, number, PRINTED);
        }
    }

    /// The workers that have printed something, after one has.
    fn wait(&self) -> io::Result<Vec<u64>> {
        let mut events = Vec::with_capacity(16);
        epoll::wait(&self.epoll, spare_capacity(&mut events), None)?;
        let events = events.iter().map(|event| (event.data.u64(), event.flags));
        // What was closed and has nothing in it is of no interest: whole pools of workers may end at once.
        let events = events.filter(|(_, flags)| flags.contains(EventFlags::IN));
        Ok(events.map(|(number, _)| number).collect())
    }
}

/// Has threads of `threads` pass on what workers print, one for each, so that a controller that does not read keeps nobody else waiting. Their ends are seen
/// to by one thread, as there is one template to wait for: all may end at once, and each thread takes memory.
pub(super) fn pass_on(supervisor: &Arc<Supervisor>, threads: Workers) -> io::Result<()> {
    let weak = Arc::downgrade(supervisor);
    thread::Builder::new()
        .name("output".to_owned())
        .spawn(move || watch(&weak, &threads))?;
    Ok(())
}

fn watch(supervisor: &Weak<Supervisor>, threads: &Workers) {
    let Some(outputs) = supervisor.upgrade().map(|it| Arc::clone(&it.outputs)) else {
        return;
    };
    let ends = Workers::at_most(1);
    while let Some(printed) = wait(&outputs) {
        let Some(supervisor) = supervisor.upgrade() else {
            return;
        };
        for event in printed {
            let worker = u32::try_from(event & !ENDED).ok();
            let Some(worker) = worker.and_then(|process| supervisor.worker(process)) else {
                continue;
            };
            if event & ENDED != 0 {
                let supervisor = Arc::clone(&supervisor);
                let note = move || {
                    supervisor.end(&worker);
                    crash::note(&supervisor, &worker);
                };
                let _ = ends.run(Box::new(note));
                continue;
            }
            let outputs = Arc::clone(&outputs);
            let job = move || {
                if worker.pass_on_to_the_end() {
                    outputs.watch_again(&worker);
                }
            };
            // Without a thread it waits until the worker is asked for something again.
            let _ = threads.run(Box::new(job));
        }
    }
}

fn wait(outputs: &Outputs) -> Option<Vec<u64>> {
    loop {
        match outputs.wait() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other.ok(),
        }
    }
}
