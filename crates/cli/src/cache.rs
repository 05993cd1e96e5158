//! `farcall cache`, and the options of the commands that use the cache.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use farcall::store::{Error, Limits, Removed, Store, default_folder};

use crate::report::{line, print};

/// The value of `FARCALL_CACHE` that stands for no cache.
const OFF: &str = "off";

/// Whether and where images are kept.
#[derive(Debug, Default, Args)]
pub(crate) struct CacheOptions {
    /// Make the image, also when the cache has it, and do not keep it
    #[arg(long)]
    no_cache: bool,
    /// Keep images here [default: $FARCALL_CACHE (off: nowhere), $XDG_CACHE_HOME/farcall or ~/.cache/farcall]
    #[arg(long, value_name = "DIR", conflicts_with = "no_cache")]
    cache_dir: Option<PathBuf>,
}

/// What `farcall cache` was asked.
#[derive(Debug, Args)]
pub(crate) struct Cache {
    #[command(subcommand)]
    command: Command,
    /// The cache's directory [default: $FARCALL_CACHE, $XDG_CACHE_HOME/farcall or ~/.cache/farcall]
    #[arg(long, global = true, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List what is kept, last used first
    Ls,
    /// Remove what was not used for the longest time, and what was left unfinished
    Gc {
        /// How much may stay: bytes, or with K, M or G [default: $FARCALL_CACHE_SIZE or 1G]
        #[arg(long, value_name = "SIZE", value_parser = size)]
        size: Option<u64>,
    },
    /// Remove everything
    Clear,
    /// Print the directory
    Path,
}

impl CacheOptions {
    /// The cache. One that cannot be had is none: it saves time, and that is all.
    ///
    /// A directory that others may write to is an error when it was asked for, and a warning otherwise.
    pub(crate) fn open(&self) -> anyhow::Result<Store> {
        if self.no_cache {
            return Ok(Store::off());
        }
        let limits = limits()?;
        let opened = match &self.cache_dir {
            Some(folder) => Store::open(folder, limits),
            None if std::env::var_os("FARCALL_CACHE").is_some_and(|value| value == OFF) => {
                return Ok(Store::off());
            }
            None => default_folder()
                .ok_or(Error::NoFolder)
                .and_then(|folder| Store::open(&folder, limits)),
        };
        match opened {
            Ok(store) => Ok(store),
            Err(error @ Error::Insecure { .. }) if self.cache_dir.is_some() => Err(error.into()),
            Err(error @ Error::Insecure { .. }) => {
                line(format_args!("farcall: warning: {error}"));
                Ok(Store::off())
            }
            Err(error) => {
                tracing::warn!(%error, "nothing is kept");
                Ok(Store::off())
            }
        }
    }
}

impl Cache {
    pub(crate) fn execute(self) -> anyhow::Result<()> {
        let folder = self
            .cache_dir
            .or_else(default_folder)
            .ok_or(Error::NoFolder)?;
        if folder.as_os_str() == OFF {
            anyhow::bail!("the cache is off (FARCALL_CACHE)");
        }
        if let Command::Path = self.command {
            return print(&format!("{}\n", folder.display()));
        }
        let limits = limits()?;
        let store = Store::open(&folder, limits)?;
        let text = match self.command {
            Command::Ls | Command::Path => list(&store),
            Command::Gc { size } => store
                .reduce(size.unwrap_or(limits.bytes))
                .map(|removed| said(&removed)),
            Command::Clear => store.reduce(0).map(|removed| said(&removed)),
        };
        print(&text.with_context(|| folder.display().to_string())?)
    }
}

fn list(store: &Store) -> std::io::Result<String> {
    let entries = store.entries()?;
    let mut text = String::new();
    let now = SystemTime::now();
    for entry in &entries {
        let used = now.duration_since(entry.used).unwrap_or_default();
        let label = entry.label.as_deref().unwrap_or("damaged");
        // A label holds names of files, which may hold anything.
        let label = label.replace(char::is_control, "?");
        let key = entry.key.to_string();
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{}  {:>9}  {:>8} ago  {label}",
            &key[..16],
            bytes(entry.size),
            age(used)
        );
    }
    let total = entries.iter().map(|entry| entry.size).sum();
    let limit = bytes(store.limits().bytes);
    let _ = writeln!(
        text,
        "{} entries, {} of {limit}",
        entries.len(),
        bytes(total)
    );
    Ok(text)
}

fn said(removed: &Removed) -> String {
    let mut text = format!(
        "{} entries removed, {}",
        removed.entries,
        bytes(removed.bytes)
    );
    if removed.unfinished > 0 {
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "; {} left unfinished by processes that are gone",
            removed.unfinished
        );
    }
    text + "\n"
}

fn limits() -> anyhow::Result<Limits> {
    let mut limits = Limits::default();
    if let Some(text) = std::env::var_os("FARCALL_CACHE_SIZE").filter(|text| !text.is_empty()) {
        let text = text.to_string_lossy();
        limits.bytes =
            size(&text).map_err(|why| anyhow::anyhow!("FARCALL_CACHE_SIZE={text}: {why}"))?;
    }
    Ok(limits)
}

/// A number of bytes, or of 1024 of them, or of 1024 of those, and so on.
fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.char_indices().last() {
        Some((end, 'k' | 'K')) => (&text[..end], 10),
        Some((end, 'm' | 'M')) => (&text[..end], 20),
        Some((end, 'g' | 'G')) => (&text[..end], 30),
        _ => (text, 0),
    };
    let number: Option<u64> = digits.parse().ok();
    let bytes = number.and_then(|number| number.checked_mul(1 << shift));
    bytes.ok_or_else(|| "not a size such as 4096, 500M or 2G".to_owned())
}

fn bytes(number: u64) -> String {
    match number {
        0..=9999 => format!("{number} B"),
        10_000..=9_999_999 => format!("{} KiB", number >> 10),
        10_000_000.. => format!("{} MiB", number >> 20),
    }
}

fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        172_800.. => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("500M"), Ok(500 << 20));
        assert_eq!(size("2g"), Ok(2 << 30));
        for wrong in ["", "M", "1.5G", "-1", "é", "99999999999999G"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ages_and_sizes_are_short() {
        assert_eq!(age(Duration::from_secs(3)), "3 s");
        assert_eq!(age(Duration::from_secs(3 * 86_400)), "3 days");
        assert_eq!(bytes(1_215_000), "1186 KiB");
    }
}
