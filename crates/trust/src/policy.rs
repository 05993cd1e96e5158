//! What a policy says, and how it is written.
//!
//! A policy is lines of words. `#` starts a comment.
//!
//! ```text
//! key 1027e035b26b605d PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw= build
//!     host  malloc free mem* str*
//!     from  2026-01-01
//!     until 2027-01-01T12:00:00Z
//! revoke key   0011223344556677
//! revoke image 5f0c…
//! ```

use std::collections::{HashMap, HashSet};
use std::str::FromStr;

use farcall_image::{Digest, KeyId, ParseDigestError, ParseKeyIdError, ParseUtcError, Utc};

use crate::key::ParseKeyError;
use crate::verify::Cache;
use crate::{KeyName, Patterns, PublicKey};

/// Whose images load. It does not change: see [`crate::PolicyFile`] for one that does.
#[derive(Debug, Default)]
pub struct Policy {
    pub(crate) keys: HashMap<KeyId, TrustedKey>,
    pub(crate) revoked_keys: HashSet<KeyId>,
    pub(crate) revoked_images: HashSet<Digest>,
    /// What it has said, which holds for it alone.
    pub(crate) cache: Cache,
}

/// A key that a policy trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKey {
    /// The key.
    pub key: PublicKey,
    /// What of the host its images may use: nothing unless it says so.
    pub host: Patterns,
    /// From when on it is trusted.
    pub from: Utc,
    /// From when on it is not.
    pub until: Utc,
}

/// What is wrong with a line of a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A word that lines do not start with.
    #[error("{word:?}: not a word that lines start with: key, host, from, until and revoke are")]
    UnknownWord {
        /// The word.
        word: String,
    },
    /// A line that says something of a key, and none before that names one.
    #[error("{word} says something of a key, and there is none before it")]
    NoKey {
        /// The first word.
        word: String,
    },
    /// The same for a second time.
    #[error("{what} is there twice")]
    Twice {
        /// What.
        what: String,
    },
    /// A line that has too few or too many words.
    #[error("not of the form {form}")]
    Form {
        /// The form.
        form: &'static str,
    },
    /// A key that is never trusted.
    #[error("the key would be trusted from {from} until {until}, which is never")]
    Never {
        /// From when on.
        from: Utc,
        /// Until when.
        until: Utc,
    },
    /// What is to be a key and is none.
    #[error(transparent)]
    Key(#[from] ParseKeyError),
    /// What is to be a key's id and is none.
    #[error(transparent)]
    KeyId(#[from] ParseKeyIdError),
    /// What is to be an image's digest and is none.
    #[error(transparent)]
    Digest(#[from] ParseDigestError),
    /// What is to be a time and is none.
    #[error(transparent)]
    Time(#[from] ParseUtcError),
}

impl Policy {
    /// The key of this id, if the policy has it.
    #[must_use]
    pub fn key(&self, id: KeyId) -> Option<&TrustedKey> {
        self.keys.get(&id)
    }

    /// The ids of the keys of this name, ascending: names are for people, and two keys may have one.
    #[must_use]
    pub fn named(&self, name: &KeyName) -> Vec<KeyId> {
        let named = self.keys.iter();
        let named = named.filter(|(_, trusted)| trusted.key.name() == name);
        let mut ids: Vec<KeyId> = named.map(|(&id, _)| id).collect();
        ids.sort_unstable_by_key(ToString::to_string);
        ids
    }

    /// How many keys it trusts that it does not revoke.
    #[must_use]
    pub fn n_keys(&self) -> usize {
        let is_trusted = |id: &&KeyId| !self.revoked_keys.contains(id);
        self.keys.keys().filter(is_trusted).count()
    }

    /// Reads a policy.
    ///
    /// # Errors
    ///
    /// The number of the first line that is wrong, from 1, and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, (usize, Problem)> {
        let mut policy = Self::default();
        let mut current = None;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or(line);
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let Some((first, rest)) = words.split_first() else {
                continue;
            };
            let read = policy.read(first, rest, &mut current);
            read.map_err(|problem| (number, problem))?;
        }
        Ok(policy)
    }

    /// Reads a line. `current` is the key that it may say something of, and which words did.
    fn read<'text>(
        &mut self,
        first: &'text str,
        rest: &[&'text str],
        current: &mut Option<(KeyId, HashSet<&'text str>)>,
    ) -> Result<(), Problem> {
        match first {
            "key" => {
                let key: PublicKey = rest.join(" ").parse()?;
                let id = key.id();
                let trusted = TrustedKey {
                    key,
                    host: Patterns::default(),
                    from: Utc::START,
                    until: Utc::NEVER,
                };
                if self.keys.insert(id, trusted).is_some() {
                    let what = format!("key {id}");
                    return Err(Problem::Twice { what });
                }
                *current = Some((id, HashSet::new()));
                return Ok(());
            }
            "revoke" => return self.read_revoked(rest),
            "host" | "from" | "until" => {}
            _ => {
                return Err(Problem::UnknownWord {
                    word: first.to_owned(),
                });
            }
        }
        let said = current.as_mut().and_then(|(id, said)| {
            let key = self.keys.get_mut(id)?;
            Some((key, said))
        });
        let (key, said) = said.ok_or_else(|| Problem::NoKey {
            word: first.to_owned(),
        })?;
        if !said.insert(first) && first != "host" {
            let what = first.to_owned();
            return Err(Problem::Twice { what });
        }
        match (first, rest) {
            ("host", [_, ..]) => rest.iter().for_each(|pattern| key.host.add(pattern)),
            ("from", [time]) => key.from = time.parse()?,
            ("until", [time]) => key.until = time.parse()?,
            _ => {
                return Err(Problem::Form {
                    form: match first {
                        "host" => "host NAME…",
                        "from" => "from TIME",
                        _ => "until TIME",
                    },
                });
            }
        }
        let TrustedKey { from, until, .. } = *key;
        match from < until {
            true => Ok(()),
            false => Err(Problem::Never { from, until }),
        }
    }

    fn read_revoked(&mut self, what: &[&str]) -> Result<(), Problem> {
        match what {
            ["key", id] => drop(self.revoked_keys.insert(id.parse()?)),
            ["image", digest] => drop(self.revoked_images.insert(digest.parse()?)),
            _ => {
                return Err(Problem::Form {
                    form: "revoke key ID or revoke image DIGEST",
                });
            }
        }
        Ok(())
    }
}

impl FromStr for Policy {
    type Err = (usize, Problem);

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyName;

    fn key(byte: u8, name: &str) -> PublicKey {
        PublicKey::new([byte; 32], name.parse::<KeyName>().unwrap())
    }

    #[test]
    fn what_is_written_is_read() {
        let [build, old] = [key(1, "build"), key(2, "old")];
        let digest = "5f".repeat(32);
        let text = format!(
            "# Of this service\n\nkey {build} # a comment\n  host malloc free\n\thost str*\n  from 2026-01-01\n\
             until 2027-01-01T12:00:00Z\r\nkey {old}\nrevoke key {}\nrevoke image {digest}\n",
            old.id()
        );
        let policy: Policy = text.parse().unwrap();
        assert_eq!(policy.n_keys(), 1);
        assert_eq!(
            policy.key(build.id()),
            Some(&TrustedKey {
                key: build,
                host: Patterns::new(["malloc", "free", "str*"]),
                from: "2026-01-01".parse().unwrap(),
                until: "2027-01-01T12:00:00Z".parse().unwrap(),
            })
        );
        let old_key = policy.key(old.id()).unwrap();
        assert_eq!(old_key.host, Patterns::default());
        assert_eq!((old_key.from, old_key.until), (Utc::START, Utc::NEVER));
        assert!(policy.revoked_keys.contains(&old.id()));
        assert!(policy.revoked_images.contains(&digest.parse().unwrap()));
        assert_eq!(Policy::parse("").unwrap().n_keys(), 0);
    }

    #[test]
    fn errors_have_their_lines() {
        let one = format!("key {}", key(1, "one"));
        let cut = &one[..one.len() - 6];
        for (text, line, wrong) in [
            ("trust all".to_owned(), 1, "\"trust\": not a word"),
            (format!("{one}\n\n# more\n{one}"), 4, "is there twice"),
            ("host malloc".to_owned(), 1, "there is none before it"),
            (
                format!("revoke key 0123456789abcdef\nfrom 2026-01-01\n{one}"),
                2,
                "there is none before it",
            ),
            (format!("{one}\nhost"), 2, "not of the form host NAME"),
            (format!("{one}\nfrom"), 2, "not of the form from TIME"),
            (
                format!("{one}\nuntil 2026-01-01 2027-01-01"),
                2,
                "not of the form until TIME",
            ),
            (format!("{one}\nfrom 2026-13-01"), 2, "not a day"),
            (
                format!("{one}\nfrom 2026-01-01\nfrom 2026-01-02"),
                3,
                "from is there twice",
            ),
            (
                format!("{one}\nfrom 2026-01-01\nuntil 2026-01-01"),
                3,
                "which is never",
            ),
            (format!("\n{cut}"), 2, "not a key"),
            (format!("{one} more"), 1, "not a key"),
            ("key".to_owned(), 1, "not a key"),
            ("revoke".to_owned(), 1, "not of the form revoke"),
            ("revoke key".to_owned(), 1, "not of the form revoke"),
            ("revoke key 12".to_owned(), 1, "not a key id"),
            ("revoke image 12".to_owned(), 1, "not a digest"),
            ("revoke module 12".to_owned(), 1, "not of the form revoke"),
            ("\u{feff}key".to_owned(), 1, "not a word"),
            ("key\0".to_owned(), 1, "not a word"),
        ] {
            let (found, problem) = Policy::parse(&text).unwrap_err();
            assert_eq!(found, line, "{text}: {problem}");
            assert!(problem.to_string().contains(wrong), "{text}: {problem}");
        }
    }
}
