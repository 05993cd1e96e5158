//! Calls in processes of their own, and what their crashes and those processes cost.

use std::fs;
use std::process::Child;
use std::thread;
use std::time::Instant;

use farcall_benches::{Bar, Memory, Row, Subject, Unit};
use farcall_executor::{Address, Executor, Value};
use farcall_image::Image;
use rustix::process::{Pid, Signal, kill_process};

use super::Running;
use crate::artefacts::{Artefacts, executor};
use crate::contender::Contender;
use crate::farcall::listen;

const ROUNDS: usize = 30;
const N_CRASHES: usize = 200;
/// How many workers there are, and how many there are then.
const N_WORKERS: [usize; 2] = [2, 34];

pub(crate) fn isolation(artefacts: &Artefacts) -> Vec<Row> {
    let mut rows = vec![calls(artefacts)];
    rows.extend(crashes(artefacts));
    rows.extend(memory(artefacts));
    rows
}

fn calls(artefacts: &Artefacts) -> Row {
    let contenders = [
        Contender::FarcallWorkers,
        Contender::OrcShared,
        Contender::OrcWrapper,
    ];
    let mut all = contenders.map(|each| Running::start(each, artefacts, Subject::Tiny));
    for round in 0..=ROUNDS {
        for each in &mut all {
            each.ask("calls 500");
            // What is set up once is so by now.
            if round == 0 {
                each.samples.clear();
            }
        }
    }
    let [ours, others @ ..] = all.map(Running::named);
    let title = "call of a trivial function in a worker, one at a time";
    Row::new(title, ours.1, others.to_vec(), Some(Bar::AtMost(1.0 / 2.0)))
}

/// An executor whose workers have SQLite.
struct Workers {
    process: Child,
    address: Address,
}

impl Workers {
    fn start(artefacts: &Artefacts, options: &[&str]) -> Self {
        let socket = artefacts.path("workers.socket");
        let (process, address) = listen(&executor(), socket, options);
        let workers = Self { process, address };
        let sqlite = fs::read(artefacts.image(Subject::Sqlite)).unwrap();
        let image = Image::parse(&sqlite).unwrap();
        // The worker of this connection goes with it.
        workers.connect().load(&image).unwrap();
        workers
    }

    fn connect(&self) -> Executor {
        Executor::connect(&self.address).unwrap()
    }

    /// PSS in KiB of all processes, with so many workers that have SQLite and have not run.
    fn memory(&self, n_workers: usize) -> f64 {
        // Those that were there before SQLite load it for themselves when they need it.
        let before = self.processes(n_workers);
        for &worker in &before[1..] {
            kill_process(Pid::from_raw(worker.cast_signed()).unwrap(), Signal::KILL).unwrap();
        }
        let all = loop {
            let all = self.processes(n_workers);
            if !all.iter().any(|process| before[1..].contains(process)) {
                break all;
            }
        };
        let processes = all.into_iter().chain([self.process.id()]);
        processes.map(|process| Memory::of(process).pss).sum()
    }

    /// Its template and its workers, when there are so many.
    fn processes(&self, n_workers: usize) -> Vec<u32> {
        loop {
            let processes = descendants(self.process.id());
            if processes.len() == 1 + n_workers {
                return processes;
            }
            thread::yield_now();
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn crashes(artefacts: &Artefacts) -> [Row; 2] {
    let workers = Workers::start(artefacts, &[]);
    let bytes = fs::read(artefacts.crash()).unwrap();
    let executor = workers.connect();
    let module = executor.load(&Image::parse(&bytes).unwrap()).unwrap();
    let call = |name| executor.call(&module, name, Some("i32 ()"), &mut []);
    let one = Value::Int { bits: 32, value: 1 };
    let [mut error, mut next] = [const { Vec::new() }; 2];
    for _ in 0..N_CRASHES {
        // In a worker that is there, as the one that crashes would be.
        assert_eq!(call("one").unwrap(), one);
        let start = Instant::now();
        call("crash").unwrap_err();
        error.push(start.elapsed().as_nanos() as f64);
        assert_eq!(call("one").unwrap(), one);
        next.push(start.elapsed().as_nanos() as f64);
    }
    let row = |title, samples| Row::new(title, samples, vec![], Some(Bar::Value(5e6)));
    [
        row("a crash with SQLite loaded, to its caller's error", error),
        row("the same, to the answer of the next call", next),
    ]
}

fn memory(artefacts: &Artefacts) -> [Row; 2] {
    let [less, more] = N_WORKERS.map(|n_workers| {
        let ready = format!("--ready={n_workers}");
        Workers::start(artefacts, &[&ready]).memory(n_workers)
    });
    let further = (more - less) / (N_WORKERS[1] - N_WORKERS[0]) as f64;
    let row = |title, samples, bar| Row::new(title, vec![samples], vec![], bar).counting(Unit::Kib);
    [
        row(
            "a further worker with SQLite: PSS",
            further,
            Some(Bar::Value(100.0)),
        ),
        row(
            "executor with SQLite and two workers: PSS of all",
            less,
            None,
        ),
    ]
}

/// The processes that it has started, and those that these have.
fn descendants(process: u32) -> Vec<u32> {
    // What ends meanwhile has none.
    let threads = fs::read_dir(format!("/proc/{process}/task"));
    let threads = threads.into_iter().flatten().flatten();
    let children = threads.map(|thread| {
        let children = thread.path().join("children");
        fs::read_to_string(children).unwrap_or_default()
    });
    let children: Vec<String> = children.collect();
    let children = children.iter().flat_map(|them| them.split_whitespace());
    children
        .map(|child| child.parse().unwrap())
        .flat_map(|child| [vec![child], descendants(child)].concat())
        .collect()
}
