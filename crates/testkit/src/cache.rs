//! Files that are costly to make, made once: `target/testkit/<program>/<file>`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process;

use crate::{Error, paths};

/// The file `target/testkit/<folder>/<name>`, made by `make` unless it is there already.
///
/// `name` must say all that decides the content. Tests of several processes may ask for the same file at the same
/// time: one makes it, the others wait; and a file that has its final name is whole, whatever was killed when.
pub(crate) fn file(
    folder: &str,
    name: &str,
    make: impl FnOnce(&Path) -> Result<(), Error>,
) -> Result<PathBuf, Error> {
    let folder = paths::target_dir().join("testkit").join(folder);
    let path = folder.join(name);
    if path.exists() {
        return Ok(path);
    }
    fs::create_dir_all(&folder).map_err(Error::io(&folder, "create"))?;
    let lock_path = folder.join(format!("{name}.lock"));
    let lock = File::create(&lock_path).map_err(Error::io(&lock_path, "create"))?;
    // Given back by the kernel when `lock` closes, so a killed test blocks nobody.
    lock.lock().map_err(Error::io(&lock_path, "lock"))?;
    if !path.exists() {
        let unfinished = folder.join(format!("{name}.{}.tmp", process::id()));
        make(&unfinished)?;
        fs::rename(&unfinished, &path).map_err(Error::io(&path, "create"))?;
    }
    // Closing would give it back only when no process has it that another thread forked off meanwhile.
    lock.unlock().map_err(Error::io(&lock_path, "unlock"))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn racing_threads_make_a_file_once() {
        let name = format!("once-{}", process::id());
        let made = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let path = file("cache-test", &name, |path| {
                        made.fetch_add(1, Ordering::Relaxed);
                        fs::write(path, "whole").map_err(Error::io(path, "write"))
                    });
                    assert_eq!(fs::read(path.unwrap()).unwrap(), b"whole");
                });
            }
        });
        assert_eq!(made.into_inner(), 1);
        fs::remove_dir_all(paths::target_dir().join("testkit/cache-test")).unwrap();
    }

    #[test]
    fn a_failure_leaves_no_file() {
        let refused = || Error::ToolMissing {
            tool: "maker".to_owned(),
        };
        assert!(file("cache-failure-test", "never", |_| Err(refused())).is_err());
        assert!(
            !paths::target_dir()
                .join("testkit/cache-failure-test/never")
                .exists()
        );
    }
}
