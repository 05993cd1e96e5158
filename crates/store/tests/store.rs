//! One process: what is kept, what is not, and what is done about damage.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, also outside of the functions that are marked as tests"
)]

use std::convert::Infallible;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use farcall_store::{Key, KeyBuilder, Limits, Origin, Store};
use tempfile::TempDir;

struct Cache {
    folder: TempDir,
    store: Store,
}

impl Cache {
    fn new(bytes: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits {
            bytes,
            ..Limits::default()
        };
        let store = Store::open(folder.path(), limits).unwrap();
        Self { folder, store }
    }

    fn file(&self, key: &Key) -> PathBuf {
        self.folder.path().join("entries").join(key.to_string())
    }

    /// Bytes of all entries, as the limit counts them.
    fn size(&self) -> u64 {
        let entries = self.store.entries().unwrap();
        entries
            .iter()
            .map(|entry| entry.size.next_multiple_of(4096))
            .sum()
    }

    fn make(&self, key: &Key, bytes: &[u8]) -> (Vec<u8>, Origin) {
        let make = || Ok::<_, Infallible>(bytes.to_vec());
        self.store.get_or_make(key, "label", make).unwrap()
    }
}

fn key(number: u64) -> Key {
    KeyBuilder::new("test").number("number", number).finish()
}

#[test]
fn what_is_kept_is_found_by_its_key() {
    let cache = Cache::new(1 << 20);
    assert_eq!(cache.store.get(&key(1)), None);
    assert_eq!(cache.make(&key(1), b"one"), (b"one".to_vec(), Origin::Made));
    assert_eq!(cache.make(&key(1), b"new"), (b"one".to_vec(), Origin::Kept));
    assert_eq!(cache.make(&key(2), b""), (Vec::new(), Origin::Made));
    assert_eq!(cache.store.get(&key(2)), Some(Vec::new()));
    let other = Store::open(cache.folder.path(), Limits::default()).unwrap();
    assert_eq!(other.get(&key(1)), Some(b"one".to_vec()));
    let entries = cache.store.entries().unwrap();
    assert_eq!(entries.len(), 2);
    assert!(
        entries
            .iter()
            .all(|entry| entry.label.as_deref() == Some("label"))
    );
}

#[test]
fn what_fails_is_not_kept() {
    let cache = Cache::new(1 << 20);
    let failed = cache.store.get_or_make(&key(1), "", || Err("no"));
    assert_eq!(failed, Err("no"));
    assert_eq!(cache.make(&key(1), b"one").1, Origin::Made);
    assert_eq!(
        fs::read_dir(cache.folder.path().join("making"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn a_damaged_entry_is_a_miss_and_is_made_again() {
    let cache = Cache::new(1 << 20);
    let bytes: Vec<u8> = (0..10_000_u32)
        .map(|number| number.to_le_bytes()[0])
        .collect();
    cache.make(&key(1), &bytes);
    let good = fs::read(cache.file(&key(1))).unwrap();
    // Each way of damage, at the first and last places and some between.
    let places = (0..64)
        .chain((64..good.len()).step_by(997))
        .chain(good.len() - 160..good.len());
    for place in places {
        let mut changed = good.clone();
        changed[place] ^= 0x10;
        for bad in [&changed[..], &good[..place]] {
            fs::write(cache.file(&key(1)), bad).unwrap();
            assert_eq!(cache.store.get(&key(1)), None, "byte {place}");
            assert!(!cache.file(&key(1)).exists(), "it is removed");
            fs::write(cache.file(&key(1)), bad).unwrap();
            assert_eq!(cache.make(&key(1), &bytes), (bytes.clone(), Origin::Made));
            assert!(
                fs::read(cache.file(&key(1))).unwrap() == good,
                "it is healed"
            );
        }
    }
}

#[test]
fn a_foreign_entry_is_a_miss() {
    let cache = Cache::new(1 << 20);
    cache.make(&key(1), b"one");
    // A good entry under another key, an empty file, a file of something else, one that is a folder.
    fs::copy(cache.file(&key(1)), cache.file(&key(2))).unwrap();
    fs::write(cache.file(&key(3)), "").unwrap();
    fs::copy("/proc/self/exe", cache.file(&key(4))).unwrap();
    for number in 2..=4 {
        assert_eq!(cache.make(&key(number), b"made").1, Origin::Made);
        assert_eq!(cache.make(&key(number), b"").1, Origin::Kept);
    }
    fs::create_dir(cache.file(&key(5))).unwrap();
    assert_eq!(cache.make(&key(5), b"made").1, Origin::Made);
    // Names that are no keys are left alone, and not looked at.
    fs::write(cache.folder.path().join("entries/README"), "mine").unwrap();
    cache.store.reduce(0).unwrap();
    assert!(cache.folder.path().join("entries/README").exists());
}

#[test]
fn the_limit_holds_and_what_is_used_stays() {
    const LIMIT: u64 = 1 << 20;
    let cache = Cache::new(LIMIT);
    let long_ago = |seconds| SystemTime::now() - Duration::from_secs(10_000 - seconds);
    for number in 0..500 {
        cache.make(&key(number), &vec![1; 10_000]);
        assert!(cache.size() <= LIMIT, "after {number}: {}", cache.size());
        // As if each were made a second after the one before; the first is used all the time.
        let file = fs::File::open(cache.file(&key(number))).unwrap();
        file.set_modified(long_ago(number)).unwrap();
        assert!(cache.store.get(&key(0)).is_some(), "used, after {number}");
    }
    assert!(
        cache.size() > LIMIT / 2,
        "it is made use of: {}",
        cache.size()
    );
    assert!(cache.store.get(&key(499)).is_some());
    assert!(cache.store.get(&key(1)).is_none());
}

#[test]
fn what_is_larger_than_the_limit_is_not_kept() {
    let cache = Cache::new(100_000);
    cache.make(&key(1), b"small");
    assert_eq!(cache.make(&key(2), &[0; 200_000]).1, Origin::Made);
    assert_eq!(cache.store.get(&key(2)), None);
    assert!(cache.store.get(&key(1)).is_some(), "it made no room");
}

#[test]
fn a_ledger_that_is_lost_or_wrong_is_made_again() {
    let cache = Cache::new(1 << 20);
    let ledger = cache.folder.path().join("ledger");
    for number in 0..300 {
        match number % 3 {
            0 => drop(fs::remove_file(&ledger)),
            1 => fs::write(&ledger, "nonsense").unwrap(),
            _ => fs::write(&ledger, [0xff; 16]).unwrap(),
        }
        cache.make(&key(number), &vec![1; 10_000]);
        assert!(cache.size() <= 1 << 20);
    }
    assert!(cache.size() > 1 << 19);
}

#[test]
fn reducing_removes_entries_and_what_the_dead_have_left() {
    let cache = Cache::new(1 << 20);
    for number in 0..10 {
        cache.make(&key(number), &[1; 1000]);
    }
    let left = cache.folder.path().join("making").join(key(11).to_string());
    fs::write(&left, "half").unwrap();
    let removed = cache.store.reduce(5 * 4096).unwrap();
    assert_eq!(
        (removed.entries, removed.bytes, removed.unfinished),
        (5, 5 * 4096, 1)
    );
    assert!(!left.exists());
    assert_eq!(cache.store.reduce(0).unwrap().entries, 5);
    assert_eq!(cache.store.entries().unwrap(), []);
    // What is being made stays, and is kept then.
    let made = cache.store.get_or_make(&key(1), "", || {
        assert_eq!(cache.store.reduce(0).unwrap().unfinished, 0);
        Ok::<_, Infallible>(vec![1])
    });
    assert_eq!(made, Ok((vec![1], Origin::Made)));
    assert!(cache.store.get(&key(1)).is_some());
}

#[test]
fn losing_the_directory_costs_time_only() {
    let cache = Cache::new(1 << 20);
    cache.make(&key(1), b"one");
    fs::remove_dir_all(cache.folder.path()).unwrap();
    assert_eq!(cache.make(&key(1), b"one"), (b"one".to_vec(), Origin::Made));
    assert_eq!(cache.make(&key(1), b"one"), (b"one".to_vec(), Origin::Kept));
    // And while one is being made.
    let made = cache.store.get_or_make(&key(2), "", || {
        fs::remove_dir_all(cache.folder.path()).unwrap();
        Ok::<_, Infallible>(vec![2])
    });
    assert_eq!(made, Ok((vec![2], Origin::Made)));
    assert_eq!(cache.make(&key(2), &[2]), (vec![2], Origin::Made));
    assert_eq!(cache.make(&key(2), &[2]), (vec![2], Origin::Kept));
}

#[test]
fn threads_make_a_key_once() {
    let cache = Cache::new(1 << 20);
    for store in [&cache.store, &Store::off()] {
        for round in 0..20 {
            let n_made = AtomicU32::new(0);
            let make = || {
                n_made.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
                Ok::<_, Infallible>(vec![round; 100])
            };
            let start = std::sync::Barrier::new(8);
            std::thread::scope(|scope| {
                let ask = || {
                    start.wait();
                    let (bytes, _) = store.get_or_make(&key(round.into()), "", make).unwrap();
                    assert_eq!(bytes, [round; 100]);
                };
                (0..8).for_each(|_| drop(scope.spawn(ask)));
            });
            // Without a directory, a thread that comes when it is done makes it again.
            let n_made = n_made.into_inner();
            assert!(
                n_made == 1 || store.folder().is_none() && n_made < 8,
                "{n_made}"
            );
        }
    }
}

#[test]
fn a_panic_while_making_is_not_the_next_ones() {
    let cache = Cache::new(1 << 20);
    let panicked = std::panic::catch_unwind(|| {
        let make = || -> Result<Vec<u8>, Infallible> { panic!("on purpose") };
        cache.store.get_or_make(&key(1), "", make)
    });
    assert!(panicked.is_err());
    assert_eq!(cache.make(&key(1), b"one").1, Origin::Made);
    assert_eq!(cache.make(&key(1), b"one").1, Origin::Kept);
}

/// Root may write anywhere, so this one looks at what cannot be made at all.
#[test]
fn without_a_place_to_write_everything_is_made() {
    let cache = Cache::new(1 << 20);
    cache.make(&key(1), b"one");
    for part in ["making", "ledger"] {
        let path = cache.folder.path().join(part);
        let aside = cache.folder.path().join("aside");
        fs::rename(&path, &aside).unwrap();
        // A file in place of a folder, a folder in place of a file.
        match aside.is_dir() {
            true => fs::write(&path, "").unwrap(),
            false => fs::create_dir(&path).unwrap(),
        }
        assert_eq!(cache.make(&key(1), b"one").1, Origin::Kept);
        for _ in 0..2 {
            assert_eq!(cache.make(&key(2), b"two"), (b"two".to_vec(), Origin::Made));
        }
        fs::rename(&path, cache.folder.path().join(format!("was-{part}"))).unwrap();
        fs::rename(&aside, &path).unwrap();
    }
    let mode =
        |mode| fs::set_permissions(cache.folder.path(), Permissions::from_mode(mode)).unwrap();
    mode(0o500);
    let read_only = Store::open(cache.folder.path(), Limits::default()).unwrap();
    assert_eq!(read_only.get(&key(1)), Some(b"one".to_vec()));
    mode(0o700);
}
