//! What is in the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use farcall_benches::{Bar, Row, Work};
use farcall_store::{Key, KeyBuilder, Limits, Origin, Store, build};

use crate::artefacts::{self, Artefacts};
use crate::command;
use crate::farcall;

const HITS: usize = 30;
const MAKES: usize = 50;
const COMMAND_MAKES: usize = 5;

pub(crate) fn cache(artefacts: &Artefacts) -> Vec<Row> {
    let store = Store::open(&artefacts.cache("in-process"), Limits::default()).unwrap();
    let build = build::of_process().unwrap();
    let row = |title: &str, hits, made, most: Option<f64>| {
        let title = format!("cache hit, {title}");
        Row::new(
            title,
            hits,
            vec![("compiling it", made)],
            most.map(Bar::AtMost),
        )
    };

    let tiny = artefacts.tiny();
    let ir = fs::read(&tiny).unwrap();
    let compiler = farcall::compiler(Work::Optimize);
    let made = (0..MAKES).map(|_| timed(|| drop(farcall::image(&compiler, &ir))));
    let made = made.collect();
    let hits = in_process(&store, &build, &ir, &farcall::image(&compiler, &ir));
    let (command_hits, command_made) = of_command(artefacts, &tiny, COMMAND_MAKES);

    let sqlite = artefacts::sqlite();
    let (sqlite_command_hits, sqlite_made) = of_command(artefacts, &sqlite, 1);
    // The command takes no more than the call: it uses all cores.
    let image = fs::read(built(artefacts)).unwrap();
    let sqlite_hits = in_process(&store, &build, &fs::read(&sqlite).unwrap(), &image);
    let most = Some(1.0 / 500.0);
    vec![
        row("tiny module, in process", hits, made, Some(1.0 / 20.0)),
        row(
            "tiny module, `farcall build`",
            command_hits,
            command_made,
            None,
        ),
        row("SQLite, in process", sqlite_hits, sqlite_made.clone(), most),
        row(
            "SQLite, `farcall build`",
            sqlite_command_hits,
            sqlite_made,
            most,
        ),
    ]
}

/// From IR and options to the image's bytes, by the key of both.
fn in_process(store: &Store, build: &[u8], ir: &[u8], image: &[u8]) -> Vec<f64> {
    let get = || {
        let made = store.get_or_make(&key(build, ir), "bench", || Ok::<_, String>(image.to_vec()));
        made.unwrap()
    };
    get();
    let hits = (0..HITS).map(|_| {
        timed(|| {
            let (image, origin) = get();
            assert_eq!((image.is_empty(), origin), (false, Origin::Kept));
        })
    });
    hits.collect()
}

fn key(build: &[u8], ir: &[u8]) -> Key {
    KeyBuilder::new("bench")
        .field("build", build)
        .number("level", 2)
        .field("ir", ir)
        .finish()
}

/// The command, with a cache that has it and without one.
fn of_command(artefacts: &Artefacts, ir: &Path, makes: usize) -> (Vec<f64>, Vec<f64>) {
    let run = |cache: &Path| {
        let mut command = command::farcall();
        command.arg("build").arg(ir).arg("-o").arg(built(artefacts));
        command::run(command.env("FARCALL_CACHE", cache)).wall
    };
    let cache = artefacts.cache("of-command");
    let mut made: Vec<f64> = (1..makes).map(|_| run(Path::new("off"))).collect();
    made.push(run(&cache));
    let hits = (0..HITS).map(|_| run(&cache)).collect();
    (hits, made)
}

fn built(artefacts: &Artefacts) -> PathBuf {
    artefacts.folder().join("built")
}

fn timed(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_nanos() as f64
}
