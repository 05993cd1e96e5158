//! The real programs that tests and the demo run, and one of our own that does what C++ programs do.

use std::fs;
use std::path::{Path, PathBuf};

use crate::paths::program_source;
use crate::{Error, Program, sources};

/// SQLite's amalgamation alone: one source, a library with no `main`.
///
/// # Errors
///
/// When the sources cannot be fetched; the same goes for the other functions here.
pub fn sqlite() -> Result<Program, Error> {
    let folder = sources::sqlite()?;
    Ok(sqlite_flags(&folder).source(folder.join("sqlite3.c")))
}

/// The workload that works on [`sqlite`]: one source, `testdata/programs/sqlite_workload.c`, which says what it exports.
///
/// # Errors
///
/// As for [`sqlite`].
pub fn sqlite_workload() -> Result<Program, Error> {
    Ok(sqlite_flags(&sources::sqlite()?).source(program_source("sqlite_workload.c")))
}

/// SQLite, its workload and a `main` in three sources, in this order: `sqlite_main [ROWS]` prints the workload's report.
///
/// # Errors
///
/// As for [`sqlite`].
pub fn sqlite_main() -> Result<Program, Error> {
    Ok(sqlite()?
        .source(program_source("sqlite_workload.c"))
        .source(program_source("sqlite_main.c")))
}

/// Lua 5.4's library and an interpreter over it: `lua SCRIPT [ARG...]`, for example with `testdata/programs/script.lua`.
///
/// The interpreter, `testdata/programs/lua_main.c`, is the last source.
///
/// # Errors
///
/// As for [`sqlite`].
pub fn lua() -> Result<Program, Error> {
    let folder = sources::lua()?;
    let program = Program::new("lua")
        .flag("-DLUA_USE_LINUX")
        .include(&folder)
        .library("m");
    Ok(c_files(&folder)?
        .into_iter()
        .fold(program, Program::source)
        .source(program_source("lua_main.c")))
}

/// zlib and a program that takes bytes through all of it, `testdata/programs/zlib_roundtrip.c`, the last source.
///
/// # Errors
///
/// As for [`sqlite`].
pub fn zlib() -> Result<Program, Error> {
    let folder = sources::zlib()?;
    let program = Program::new("zlib")
        .flag("-DHAVE_UNISTD_H")
        .flag("-DHAVE_STDARG_H")
        .include(&folder);
    Ok(c_files(&folder)?
        .into_iter()
        .fold(program, Program::source)
        .source(program_source("zlib_roundtrip.c")))
}

/// A C++ program of two sources, `testdata/programs/inventory.cpp` and `inventory_main.cpp`, which says how it ends.
///
/// Strings, containers, exceptions and virtual functions across both, static constructors and destructors, inline
/// functions and variables that must exist once.
#[must_use]
pub fn inventory() -> Program {
    Program::new("inventory")
        .flag("-std=c++17")
        .header(program_source("inventory.hpp"))
        .source(program_source("inventory.cpp"))
        .source(program_source("inventory_main.cpp"))
}

fn sqlite_flags(folder: &Path) -> Program {
    Program::new("sqlite")
        .flag("-DSQLITE_THREADSAFE=1")
        .include(folder)
        .library("m")
}

/// The C files of a folder, sorted by name, so that the order does not depend on the file system.
fn c_files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(folder).map_err(Error::io(folder, "read"))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::io(folder, "read"))?.path();
        if path.extension().is_some_and(|extension| extension == "c") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
