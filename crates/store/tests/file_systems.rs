//! File systems that are full, and such as have no locks. This file's program is its own children: see [`child`].

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, also outside of the functions that are marked as tests"
)]

use std::convert::Infallible;
use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};

use farcall_store::{Key, KeyBuilder, Limits, Origin, Store};
use farcall_testkit::{Level, Program, paths, require_tools, tools};

/// What the small file system has room for: fewer than all entries.
const ROOM: u64 = 1 << 20;
const N_KEYS: u64 = 24;

fn key(number: u64) -> Key {
    KeyBuilder::new("test").number("number", number).finish()
}

/// What belongs to a key: up to 115 KB, and 1.3 MB for all.
fn content(number: u64) -> Vec<u8> {
    let size = usize::try_from(number * 5000).unwrap();
    let seed = number.to_le_bytes()[0];
    let byte = |place: usize| seed ^ place.to_le_bytes()[place % 2];
    (0..size).map(byte).collect()
}

fn open(folder: &Path) -> Store {
    Store::open(folder, Limits::default()).unwrap()
}

/// Asks for each key, and says how many were kept before and are kept now.
fn make_all(store: &Store) -> (u64, u64) {
    let mut n_kept = (0, 0);
    for number in 0..N_KEYS {
        let make = || Ok::<_, Infallible>(content(number));
        let (bytes, origin) = store.get_or_make(&key(number), "", make).unwrap();
        assert!(bytes == content(number), "wrong bytes of {number}");
        n_kept.0 += u64::from(origin == Origin::Kept);
        if let Some(bytes) = store.get(&key(number)) {
            assert!(bytes == content(number), "wrong bytes of {number}");
            n_kept.1 += 1;
        }
    }
    n_kept
}

fn n_unfinished(folder: &Path) -> usize {
    fs::read_dir(folder.join("making")).unwrap().count()
}

/// Starts this program as a child that does `what`.
fn child_of(mut command: Command, what: &str, folder: &Path) -> Child {
    command.arg(env::current_exe().unwrap());
    command.args(["--exact", "child", "--ignored", "--nocapture"]);
    command.env("CHILD_DOES", what).env("CHILD_FOLDER", folder);
    command.stdout(Stdio::null()).spawn().unwrap()
}

/// Not a test: what the children of the others run.
#[test]
#[ignore = "it is what the processes that the other tests start do"]
fn child() {
    let Some(folder) = env::var_os("CHILD_FOLDER") else {
        return;
    };
    let folder = Path::new(&folder);
    match env::var("CHILD_DOES").unwrap().as_str() {
        "fill" => fill(folder),
        "make all" => drop(make_all(&open(folder))),
        "make for ever" => loop {
            let store = open(folder);
            make_all(&store);
            store.reduce(ROOM / 4).unwrap();
        },
        other => panic!("{other}"),
    }
}

/// In a file system of its own.
fn fill(folder: &Path) {
    let cache = folder.join("cache");
    let store = open(&cache);
    // Some are too large for what is left, from several threads at a time.
    thread::scope(|scope| {
        (0..3).for_each(|_| drop(scope.spawn(|| make_all(&store))));
    });
    // By now all that has room is there.
    let (_, n_kept) = make_all(&store);
    assert_eq!(make_all(&store), (n_kept, n_kept));
    assert!((2..N_KEYS).contains(&n_kept), "{n_kept}");
    assert_eq!(n_unfinished(&cache), 0);

    // To the last byte, and without a ledger.
    let rest = folder.join("rest");
    fill_up(&rest);
    fs::remove_file(cache.join("ledger")).unwrap();
    assert_eq!(make_all(&store), (n_kept, n_kept));
    assert_eq!(make_all(&open(&cache)), (n_kept, n_kept));
    let size = (store.entries().unwrap().into_iter()).map(|entry| entry.size);
    assert!(size.sum::<u64>() < ROOM);
    assert_eq!(n_unfinished(&cache), 0);
    // Removing needs no room.
    let removed = store.reduce(ROOM / 2);
    let n_left = store.entries().unwrap().len() as u64;
    assert!(n_left < n_kept, "{removed:?}");

    // It was not told that there is room again.
    fs::remove_file(rest).unwrap();
    store.reduce(0).unwrap();
    for number in 0..10 {
        let make = || store.get_or_make(&key(number), "", || Ok::<_, Infallible>(content(number)));
        assert_eq!(make(), Ok((content(number), Origin::Made)));
        assert_eq!(make(), Ok((content(number), Origin::Kept)));
    }
}

/// Writes to a file until its file system has no room at all.
fn fill_up(path: &Path) {
    let mut file = File::create(path).unwrap();
    for size in [4096, 1] {
        let error = loop {
            if let Err(error) = file.write_all(&vec![1; size]) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }
}

#[test]
fn a_full_file_system_keeps_what_has_room_and_fails_nothing() {
    require_tools!("unshare", "mount");
    let folder = tempfile::tempdir().unwrap();
    if let Some(command) = tools::with_file_system(folder.path(), ROOM) {
        let mut child = child_of(command, "fill", folder.path());
        assert!(child.wait().unwrap().success());
    }
}

/// A command for a program that no file system gives a lock.
fn without_locks(has_daemon: bool) -> Command {
    let library = Program::new("no_locks").source(paths::program_source("no_locks.c"));
    let mut command = Command::new("env");
    command.env("LD_PRELOAD", library.shared_object(Level::O1).unwrap());
    if !has_daemon {
        command.env("NO_LOCK_DAEMON", "1");
    }
    command
}

#[test]
fn without_locks_each_process_makes_it() {
    require_tools!("clang-22");
    for has_daemon in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let start = || child_of(without_locks(has_daemon), "make all", folder.path());
        let children: Vec<Child> = (0..4).map(|_| start()).collect();
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
        assert_eq!(make_all(&open(folder.path())), (N_KEYS, N_KEYS));
        assert_eq!(n_unfinished(folder.path()), 0);
    }
}

#[test]
fn without_locks_a_killed_process_leaves_right_entries_only() {
    require_tools!("clang-22");
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let start = || child_of(without_locks(false), "make for ever", folder.path());
    let mut children = [start(), start()];
    let mut n_found = 0;
    for round in 0..60 {
        thread::sleep(Duration::from_millis(20 + round % 7));
        let mut child = std::mem::replace(&mut children[usize::from(round % 2 == 0)], start());
        assert_eq!(child.try_wait().unwrap(), None, "a child has failed");
        child.kill().unwrap();
        child.wait().unwrap();
        for number in 0..N_KEYS {
            if let Some(bytes) = store.get(&key(number)) {
                assert!(bytes == content(number), "wrong bytes of {number}");
                n_found += 1;
            }
        }
    }
    for child in &mut children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(n_found > 0, "nothing was ever kept");

    // Nothing tells that their makers are dead but that they are old.
    store.reduce(0).unwrap();
    assert!(
        n_unfinished(folder.path()) > 0,
        "none was killed while it made one"
    );
    let long_ago = SystemTime::now() - Duration::from_secs(30 * 60 * 60);
    for left in fs::read_dir(folder.path().join("making")).unwrap() {
        let file = OpenOptions::new().write(true).open(left.unwrap().path());
        file.unwrap().set_modified(long_ago).unwrap();
    }
    store.reduce(0).unwrap();
    assert_eq!(n_unfinished(folder.path()), 0);
}
