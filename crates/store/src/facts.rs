//! What was found out about files, and holds until one of them changes: the digest of an archive, what a compiler is made of.
//!
//! A file is the same as long as its device, inode, size and times are. The time of the last change (`st_ctime`) cannot be set
//! back, so that only what changes within one tick of the clock goes unnoticed; what has changed a moment ago is not remembered.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::{KeyBuilder, Store};

/// What was found out, and what it depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// The answer.
    pub answer: [u8; 32],
    /// The files and folders that decide it, also those that do not exist. Of a folder, the names in it count, not what they hold.
    pub witnesses: Vec<PathBuf>,
}

impl Store {
    /// The answer to a question about files, which is asked again when one of those that decided it has changed.
    ///
    /// `question` is all that is asked, with the paths in it, and a purpose of its own. Costs a small entry and a `stat` of each
    /// witness.
    ///
    /// # Errors
    /// Those of `ask`.
    pub fn fact(
        &self,
        question: KeyBuilder,
        label: &str,
        ask: impl FnOnce() -> io::Result<Fact>,
    ) -> io::Result<[u8; 32]> {
        let key = question.finish();
        if let Some(answer) = self.get(&key).and_then(|known| still_true(&known)) {
            return Ok(answer);
        }
        let fact = ask()?;
        if let Some(known) = written(&fact) {
            self.put(&key, label, &known);
        }
        Ok(fact.answer)
    }

    /// The BLAKE3 digest of a file, which is read again only when the file has changed.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn digest_of_file(&self, path: &Path) -> io::Result<[u8; 32]> {
        let question =
            KeyBuilder::new("digest of a file").field("path", path.as_os_str().as_bytes());
        self.fact(question, &format!("digest of {}", path.display()), || {
            Ok(Fact {
                answer: *blake3::hash(&std::fs::read(path)?).as_bytes(),
                witnesses: vec![path.to_owned()],
            })
        })
    }
}

/// The answer, then for each witness its path, a zero byte and its state, a line.
fn written(fact: &Fact) -> Option<Vec<u8>> {
    let mut bytes = fact.answer.to_vec();
    for witness in &fact.witnesses {
        let state = state(witness);
        if state.is_fresh {
            return None;
        }
        bytes.extend(witness.as_os_str().as_bytes());
        bytes.push(0);
        bytes.extend(state.text.as_bytes());
        bytes.push(b'\n');
    }
    Some(bytes)
}

fn still_true(known: &[u8]) -> Option<[u8; 32]> {
    let (answer, mut rest) = known.split_first_chunk()?;
    while !rest.is_empty() {
        let (path, after) = split(rest, 0)?;
        let (before, after) = split(after, b'\n')?;
        if state(Path::new(OsStr::from_bytes(path))).text.as_bytes() != before {
            return None;
        }
        rest = after;
    }
    Some(*answer)
}

fn split(bytes: &[u8], end: u8) -> Option<(&[u8], &[u8])> {
    let position = bytes.iter().position(|&byte| byte == end)?;
    Some((&bytes[..position], &bytes[position + 1..]))
}

struct State {
    text: String,
    /// Changed so lately that another change might have the same time.
    is_fresh: bool,
}

fn state(path: &Path) -> State {
    const FRESH: Duration = Duration::from_secs(2);
    let Ok(file) = path.metadata() else {
        return State {
            text: "missing".to_owned(),
            is_fresh: false,
        };
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = now.map_or(0, |now| now.saturating_sub(FRESH).as_secs());
    let text = format!(
        "{} {} {} {}.{} {}.{}",
        file.dev(),
        file.ino(),
        file.size(),
        file.mtime(),
        file.mtime_nsec(),
        file.ctime(),
        file.ctime_nsec(),
    );
    State {
        text,
        is_fresh: u64::try_from(file.ctime()).is_ok_and(|changed| changed >= seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;
    use std::cell::Cell;
    use std::fs;

    /// Whether the question had to be asked.
    fn asked(store: &Store, witnesses: &[&Path]) -> bool {
        let is_asked = Cell::new(false);
        let answer = store.fact(KeyBuilder::new("test"), "", || {
            is_asked.set(true);
            Ok(Fact {
                answer: [7; 32],
                witnesses: witnesses.iter().map(|path| path.to_path_buf()).collect(),
            })
        });
        assert_eq!(answer.unwrap(), [7; 32]);
        is_asked.get()
    }

    #[test]
    fn a_fact_is_remembered_until_a_witness_changes() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("cache"), Limits::default()).unwrap();
        let file = folder.path().join("file");
        // Something that has not changed for long, and something that is not there.
        let witnesses = [Path::new("/usr"), &file];
        assert!(asked(&store, &witnesses));
        assert!(!asked(&store, &witnesses));
        fs::write(&file, "now it is there").unwrap();
        assert!(asked(&store, &witnesses));
        assert!(asked(&store, &witnesses), "it has changed a moment ago");
        fs::remove_file(&file).unwrap();
        assert!(!asked(&store, &witnesses), "as it was");
    }

    #[test]
    fn a_digest_is_of_the_content() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("cache"), Limits::default()).unwrap();
        let file = folder.path().join("file");
        for content in ["one", "two", "six"] {
            fs::write(&file, content).unwrap();
            let digest = store.digest_of_file(&file).unwrap();
            assert_eq!(digest, *blake3::hash(content.as_bytes()).as_bytes());
        }
        assert!(store.digest_of_file(folder.path()).is_err());
    }
}
