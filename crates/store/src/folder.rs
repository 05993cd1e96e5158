//! Where the directory is, and whether it is one that only its owner writes to.

use std::env;
use std::ffi::OsString;
use std::fs::{DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::{Error, Writers};

const ENTRIES: &str = "entries";
const MAKING: &str = "making";
const ROOT: u32 = 0;

/// Where the cache is unless someone says otherwise: `$FARCALL_CACHE`, else `farcall` in `$XDG_CACHE_HOME`, else
/// `~/.cache/farcall`. `None` when none of the variables says.
#[must_use]
pub fn default_folder() -> Option<PathBuf> {
    folder_from(|name| env::var_os(name))
}

fn folder_from(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    // The XDG base directory specification has relative paths ignored.
    let absolute = |name| path(name).filter(|path| path.is_absolute());
    path("FARCALL_CACHE")
        .or_else(|| Some(absolute("XDG_CACHE_HOME")?.join("farcall")))
        .or_else(|| Some(absolute("HOME")?.join(".cache/farcall")))
}

/// A store's directory.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes it where it is missing, and checks who else can write to it.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let error = |source| Error::Io {
            folder: path.to_owned(),
            source,
        };
        make(path).map_err(error)?;
        let path = path.canonicalize().map_err(error)?;
        let folder = Self(path);
        // One that is complete already may be read-only.
        folder.make_parts().map_err(error)?;
        for part in [&folder.0, &folder.0.join(ENTRIES), &folder.0.join(MAKING)] {
            let metadata = part.metadata().map_err(error)?;
            if let Some(why) = writers(&metadata) {
                return Err(Error::Insecure {
                    folder: part.clone(),
                    why,
                });
            }
        }
        // Who can write to a directory above can put another in its place, unless it is like /tmp.
        for above in folder.0.ancestors().skip(1) {
            let mode = above.metadata().map_err(error)?.mode();
            if mode & 0o002 != 0 && mode & 0o1000 == 0 {
                return Err(Error::Insecure {
                    folder: above.to_owned(),
                    why: Writers::Others(mode & 0o777),
                });
            }
        }
        Ok(folder)
    }

    /// Makes what is missing in it, for when someone has removed it.
    pub(crate) fn make_parts(&self) -> io::Result<()> {
        make(&self.0.join(ENTRIES))?;
        make(&self.0.join(MAKING))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn entries(&self) -> PathBuf {
        self.0.join(ENTRIES)
    }

    pub(crate) fn making(&self) -> PathBuf {
        self.0.join(MAKING)
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.0.join("ledger")
    }
}

fn make(path: &Path) -> io::Result<()> {
    match path.is_dir() {
        true => Ok(()),
        false => DirBuilder::new().recursive(true).mode(0o700).create(path),
    }
}

fn writers(metadata: &Metadata) -> Option<Writers> {
    let user = rustix::process::geteuid().as_raw();
    if ![user, ROOT].contains(&metadata.uid()) {
        return Some(Writers::Owner(metadata.uid()));
    }
    let mode = metadata.mode() & 0o777;
    (mode & 0o022 != 0).then_some(Writers::Others(mode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn variables_say_where() {
        let from = |set: &[(&str, &str)]| {
            folder_from(|name| {
                let found = set.iter().find(|(variable, _)| *variable == name);
                found.map(|(_, value)| value.into())
            })
        };
        let all = [
            ("FARCALL_CACHE", "c"),
            ("XDG_CACHE_HOME", "/x"),
            ("HOME", "/h"),
        ];
        assert_eq!(from(&all), Some("c".into()));
        assert_eq!(from(&all[1..]), Some("/x/farcall".into()));
        assert_eq!(from(&all[2..]), Some("/h/.cache/farcall".into()));
        assert_eq!(from(&[]), None);
        let odd = [("FARCALL_CACHE", ""), ("XDG_CACHE_HOME", "x"), ("HOME", "")];
        assert_eq!(from(&odd), None);
    }

    #[test]
    fn it_is_made_for_its_owner_alone() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("a/b");
        Folder::open(&path).unwrap();
        for part in ["", "entries", "making"] {
            let mode = path.join(part).metadata().unwrap().mode();
            assert_eq!(mode & 0o777, 0o700, "{part}");
        }
    }

    #[test]
    fn one_that_others_write_to_is_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("above/cache");
        Folder::open(&path).unwrap();
        let above = temporary.path().join("above");
        for (part, mode, is_refused) in [
            (path.clone(), 0o755, false),
            (path.clone(), 0o720, true),
            (path.clone(), 0o702, true),
            (path.join("entries"), 0o777, true),
            (path.join("making"), 0o770, true),
            (above.clone(), 0o777, true),
            (above, 0o1777, false),
        ] {
            fs::set_permissions(&part, Permissions::from_mode(mode)).unwrap();
            let opened = Folder::open(&path);
            let shown = part.display();
            match opened {
                Ok(_) => assert!(!is_refused, "{shown}: mode {mode:o}"),
                Err(error) => {
                    assert!(is_refused, "{error}");
                    assert!(
                        error.to_string().contains("others may write to it"),
                        "{error}"
                    );
                }
            }
            fs::set_permissions(&part, Permissions::from_mode(0o700)).unwrap();
        }
    }

    #[test]
    fn a_file_is_no_directory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(Folder::open(file.path()), Err(Error::Io { .. })));
    }
}
