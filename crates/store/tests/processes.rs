//! Many processes and one directory. This file's program is its own children: see [`child`].

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, also outside of the functions that are marked as tests"
)]

use std::convert::Infallible;
use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use farcall_store::{Key, KeyBuilder, Limits, Origin, Store};

/// How often a process is killed; more by an environment variable.
const N_KILLS: u32 = 200;
const N_KEYS: u64 = 12;
/// Less than all keys take, so that there is eviction all the time.
const LIMIT: u64 = 1 << 20;

fn key(number: u64) -> Key {
    KeyBuilder::new("test").number("number", number).finish()
}

/// What belongs to a key: from nothing to 300 KB.
fn content(number: u64) -> Vec<u8> {
    let seed = number.to_le_bytes()[0];
    let size = usize::try_from(number * number * 2500).unwrap();
    (0..size)
        .map(|place| seed ^ place.to_le_bytes()[place % 2])
        .collect()
}

fn open(folder: &Path) -> Store {
    let limits = Limits {
        bytes: LIMIT,
        ..Limits::default()
    };
    Store::open(folder, limits).unwrap()
}

/// Starts this program as a child that does `what`.
fn start(what: &str, folder: &Path) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
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
        "make once" => make_once(folder),
        "make for ever" => make_for_ever(folder),
        "make some" => (0..300).for_each(|round| make_one(&open(folder), round)),
        "hold" => hold(folder),
        "no room" => no_room(folder),
        other => panic!("{other}"),
    }
}

fn make_once(folder: &Path) {
    let (bytes, _) = open(&folder.join("cache"))
        .get_or_make(&key(7), "", || {
            let mut log = OpenOptions::new();
            let mut log = log.append(true).create(true).open(folder.join("log"))?;
            log.write_all(b"x")?;
            std::thread::sleep(Duration::from_millis(300));
            Ok::<_, std::io::Error>(content(7))
        })
        .unwrap();
    assert!(bytes == content(7));
}

fn make_for_ever(folder: &Path) {
    let store = open(folder);
    for round in 0.. {
        make_one(&store, round);
        if round % 16 == 15 {
            // So that there is something to make.
            store.reduce(LIMIT / 4).unwrap();
        }
    }
}

fn make_one(store: &Store, round: u64) {
    let number = random(round) % N_KEYS;
    let make = || Ok::<_, Infallible>(content(number));
    let (bytes, _) = store.get_or_make(&key(number), "", make).unwrap();
    assert!(bytes == content(number), "wrong bytes of {number}");
}

fn hold(folder: &Path) {
    let made = open(folder).get_or_make(&key(1), "", || {
        fs::write(folder.join("held"), "").unwrap();
        std::thread::sleep(Duration::from_secs(600));
        Ok::<_, Infallible>(Vec::new())
    });
    panic!("it is killed before {made:?}");
}

/// Under a limit of 64 KiB a file.
fn no_room(folder: &Path) {
    let store = open(folder);
    for _ in 0..3 {
        let make = || Ok::<_, Infallible>(content(11));
        let (bytes, origin) = store.get_or_make(&key(11), "", make).unwrap();
        assert!(bytes == content(11));
        assert_eq!(origin, Origin::Made);
        assert_eq!(store.get(&key(11)), None);
    }
    // What has room is kept.
    let small = || store.get_or_make(&key(1), "", || Ok::<_, Infallible>(content(1)));
    assert_eq!(small().unwrap().1, Origin::Made);
    assert_eq!(small().unwrap().1, Origin::Kept);
}

fn random(salt: u64) -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seed = now.unwrap().subsec_nanos();
    let builder = KeyBuilder::new("random").number("time", seed.into());
    let mixed = builder
        .number("process", std::process::id().into())
        .number("salt", salt);
    u64::from_le_bytes(mixed.finish().as_bytes()[..8].try_into().unwrap())
}

#[test]
fn eight_processes_make_a_key_once() {
    let folder = tempfile::tempdir().unwrap();
    let children: Vec<Child> = (0..8).map(|_| start("make once", folder.path())).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(fs::read(folder.path().join("log")).unwrap(), b"x");
}

#[test]
fn killing_processes_at_any_time_leaves_right_entries_only() {
    let n_kills = env::var("FARCALL_STORE_KILLS").map_or(N_KILLS, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let spawn = || start("make for ever", folder.path());
    let mut children: Vec<Child> = (0..3).map(|_| spawn()).collect();
    let (mut n_found, mut n_left) = (0, 0);
    for round in 0..n_kills {
        std::thread::sleep(Duration::from_micros(random(round.into()) % 40_000));
        let mut child = std::mem::replace(&mut children[(round % 3) as usize], spawn());
        assert_eq!(child.try_wait().unwrap(), None, "a child has failed");
        child.kill().unwrap();
        child.wait().unwrap();
        n_left += fs::read_dir(folder.path().join("making")).unwrap().count();
        for number in 0..N_KEYS {
            if let Some(bytes) = store.get(&key(number)) {
                assert!(bytes == content(number), "wrong bytes of {number}");
                n_found += 1;
            }
        }
    }
    for mut child in children {
        assert_eq!(child.try_wait().unwrap(), None, "a child has failed");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(
        n_found > 0 && n_left > 0,
        "{n_found} found, {n_left} files seen that are being made"
    );
    // Nothing is blocked, and what was left behind goes.
    for number in 0..N_KEYS {
        make_one(&store, number);
    }
    store.reduce(LIMIT).unwrap();
    assert_eq!(
        fs::read_dir(folder.path().join("making")).unwrap().count(),
        0
    );
}

#[test]
fn the_limit_holds_while_processes_write() {
    let folder = tempfile::tempdir().unwrap();
    let mut children: Vec<Child> = (0..4).map(|_| start("make some", folder.path())).collect();
    let store = open(folder.path());
    let mut n_looks = 0;
    while children
        .iter_mut()
        .any(|child| child.try_wait().unwrap().is_none())
    {
        // Each entry is counted that was there at some time while the folder was read, so only what is there all the time is.
        let before = store.entries().unwrap();
        let after = store.entries().unwrap();
        let stayed = after
            .iter()
            .filter(|entry| before.iter().any(|was| was.key == entry.key));
        let size: u64 = stayed.map(|entry| entry.size.next_multiple_of(4096)).sum();
        assert!(size <= LIMIT, "{size}");
        n_looks += 1;
    }
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert!(n_looks > 3);
    let size: u64 = store
        .entries()
        .unwrap()
        .iter()
        .map(|entry| entry.size)
        .sum();
    assert!(size <= LIMIT && size > 0, "{size}");
}

#[test]
fn when_the_maker_dies_the_next_one_makes_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = start("hold", folder.path());
    let start = Instant::now();
    while !folder.path().join("held").exists() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "it never made anything"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    // Whoever does not want to wait makes it meanwhile, and leaves the keeping to the one that is at it.
    let impatient = Limits {
        bytes: LIMIT,
        patience: Duration::ZERO,
    };
    let impatient = Store::open(folder.path(), impatient).unwrap();
    let made = impatient.get_or_make(&key(1), "", || Ok::<_, Infallible>(content(1)));
    assert_eq!(made, Ok((content(1), Origin::Made)));
    assert_eq!(impatient.get(&key(1)), None);
    let waiting = std::thread::spawn({
        let store = open(folder.path());
        move || store.get_or_make(&key(1), "", || Ok::<_, Infallible>(content(1)))
    });
    std::thread::sleep(Duration::from_millis(50));
    assert!(!waiting.is_finished());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(waiting.join().unwrap(), Ok((content(1), Origin::Made)));
    assert_eq!(impatient.get(&key(1)), Some(content(1)));
}

#[test]
fn a_full_disk_keeps_nothing_and_fails_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // The limit on a file's size is the shell's; it counts in blocks of 512 bytes or of 1 KiB.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$@\"", "sh"]);
    command.arg(env::current_exe().unwrap());
    command.args(["--exact", "child", "--ignored", "--nocapture"]);
    command
        .env("CHILD_DOES", "no room")
        .env("CHILD_FOLDER", folder.path());
    assert!(command.stdout(Stdio::null()).status().unwrap().success());
    assert_eq!(
        fs::read_dir(folder.path().join("making")).unwrap().count(),
        0
    );
}
