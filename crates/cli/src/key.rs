//! `farcall key`, and finding keys for the commands that sign.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use farcall::image::KeyId;
use farcall::trust::{KeyName, Policy, PolicyFile, SecretKey};

use crate::report::{line, print};

/// What `farcall key` was asked.
#[derive(Debug, Args)]
pub(crate) struct Key {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    folder: KeyFolder,
}

/// Where keys are.
#[derive(Debug, Default, Args)]
pub(crate) struct KeyFolder {
    /// The folder of secret keys [default: $FARCALL_KEYS, $XDG_CONFIG_HOME/farcall/keys or ~/.config/farcall/keys]
    #[arg(long, global = true, value_name = "DIR")]
    key_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key to sign with, and print its line for policies
    New {
        /// What it is called: letters, digits and ._@+-
        name: KeyName,
    },
    /// Print the lines for policies of all keys, or of some
    Show {
        /// Their names, or the paths of their files
        #[arg(value_name = "KEY")]
        keys: Vec<String>,
    },
    /// Write to a policy that a key is not trusted any more
    Revoke {
        /// Its name in the policy, the path of its file, or its id
        #[arg(value_name = "KEY")]
        key: String,
        /// The policy
        #[arg(long, value_name = "FILE")]
        policy: PathBuf,
    },
}

impl Key {
    pub(crate) fn execute(self) -> anyhow::Result<()> {
        let folder = self.folder;
        match self.command {
            Command::New { name } => {
                let key = SecretKey::generate(name)?;
                let path = key.write_in(&folder.path()?)?;
                line(format_args!(
                    "farcall: {}: a new secret key",
                    path.display()
                ));
                print(&policy_line(&key))
            }
            Command::Show { keys } => {
                let keys = match keys.is_empty() {
                    true => folder.all()?,
                    false => keys
                        .iter()
                        .map(|key| folder.read(key))
                        .collect::<Result<_, _>>()?,
                };
                print(&keys.iter().map(policy_line).collect::<String>())
            }
            Command::Revoke { key, policy } => {
                let current = PolicyFile::open(&policy)?.current();
                let id = folder.id_in(&current, &key)?;
                let is_revoked = PolicyFile::revoke(&policy, id)?;
                match (is_revoked, current.key(id)) {
                    (false, _) => print(&format!("key {id} was revoked before\n")),
                    (true, Some(_)) => print(&format!("revoked key {id}\n")),
                    (true, None) => print(&format!(
                        "revoked key {id}, which the policy had not trusted\n"
                    )),
                }
            }
        }
    }
}

fn policy_line(key: &SecretKey) -> String {
    format!("key {}\n", key.public())
}

impl KeyFolder {
    fn path(&self) -> anyhow::Result<PathBuf> {
        let variable = |name| {
            let value = env::var_os(name).filter(|value| !value.is_empty());
            value.map(PathBuf::from)
        };
        // The XDG base directory specification has relative paths ignored.
        let absolute = |name| variable(name).filter(|path| path.is_absolute());
        let path = self.key_dir.clone().or_else(|| variable("FARCALL_KEYS"));
        let path = path.or_else(|| Some(absolute("XDG_CONFIG_HOME")?.join("farcall/keys")));
        let path = path.or_else(|| Some(absolute("HOME")?.join(".config/farcall/keys")));
        path.context("there is no folder for keys: name one with --key-dir")
    }

    /// The key of this name, or in this file: what has a slash is a path.
    pub(crate) fn read(&self, key: &str) -> anyhow::Result<SecretKey> {
        if key.contains('/') {
            return Ok(SecretKey::read(Path::new(key))?);
        }
        let path = SecretKey::path_in(&self.path()?, &key.parse::<KeyName>()?);
        let read = SecretKey::read(&path);
        read.with_context(|| format!("no key {key}"))
    }

    /// The id of a key that a policy is to revoke. By a name it is the policy's key of that name, because that is the one which is trusted: who revokes it need not
    /// have its secret, and a key of the same name in the folder may be another one.
    fn id_in(&self, policy: &Policy, key: &str) -> anyhow::Result<KeyId> {
        if let Ok(id) = key.parse() {
            return Ok(id);
        }
        let name = key.parse::<KeyName>();
        let named = name.as_ref().map(|name| policy.named(name));
        match named.as_deref() {
            Ok([id]) => Ok(*id),
            Ok([_, _, ..]) => {
                let ids: Vec<_> = named.iter().flatten().map(ToString::to_string).collect();
                anyhow::bail!(
                    "{key}: the policy has keys of this name with the ids {}: say which",
                    ids.join(", ")
                )
            }
            _ => {
                let read = self.read(key);
                let read = read.context("the policy has no key of this name");
                Ok(read?.public().id())
            }
        }
    }

    /// All keys of the folder, in the order of their names.
    fn all(&self) -> anyhow::Result<Vec<SecretKey>> {
        let folder = self.path()?;
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.with_context(|| folder.display().to_string())?,
        };
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.with_context(|| folder.display().to_string())?.path();
            if path.extension().is_some_and(|extension| extension == "key") {
                paths.push(path);
            }
        }
        paths.sort();
        let keys = paths.iter().map(|path| Ok(SecretKey::read(path)?));
        keys.collect()
    }
}
