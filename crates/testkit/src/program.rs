//! C and C++ programs, compiled by `clang-22` to bitcode, to objects and to native executables.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;

use crate::{Error, cache, tools};

/// A program of one or several C or C++ files, and the flags that they are compiled with.
///
/// What it is compiled to stays in `target/testkit/<name>` and is made again only when a source file, a flag or the
/// compiler changes.
///
/// # Examples
///
/// ```no_run
/// use farcall_testkit::{Level, Program, paths};
///
/// let program = Program::new("exceptions")
///     .source(paths::program_source("throws.cpp"))
///     .source(paths::program_source("catches.cpp"));
/// let [throws, catches] = &program.bitcode(Level::O0)?[..] else { unreachable!("one file for each source") };
/// let native = program.executable(Level::O0)?;
/// # Ok::<(), farcall_testkit::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Program {
    name: String,
    sources: Vec<PathBuf>,
    headers: Vec<PathBuf>,
    flags: Vec<OsString>,
    libraries: Vec<String>,
}

/// The optimisation level of a compilation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// `-O0`.
    O0,
    /// `-O1`.
    O1,
    /// `-O2`.
    O2,
    /// `-O3`.
    O3,
}

impl Level {
    /// All levels, lowest first.
    pub const ALL: [Level; 4] = [Level::O0, Level::O1, Level::O2, Level::O3];
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Program {
    /// A program of no files yet. `name` names its folder under `target/testkit`.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Program {
        Program {
            name: name.into(),
            sources: Vec::new(),
            headers: Vec::new(),
            flags: Vec::new(),
            libraries: Vec::new(),
        }
    }

    /// Adds a file: C++ if it ends in `.cpp`, else what clang takes it for.
    #[must_use]
    pub fn source(mut self, path: impl Into<PathBuf>) -> Program {
        self.sources.push(path.into());
        self
    }

    /// Names a header that the sources include, so that they are compiled again when it changes.
    ///
    /// Only our own headers need it: those of real programs change with the version in their path.
    #[must_use]
    pub fn header(mut self, path: impl Into<PathBuf>) -> Program {
        self.headers.push(path.into());
        self
    }

    /// Adds a flag for the compilation of each file: `-fno-plt`, `-DNAME=1`.
    #[must_use]
    pub fn flag(mut self, flag: impl Into<OsString>) -> Program {
        self.flags.push(flag.into());
        self
    }

    /// Adds a folder to search for headers.
    #[must_use]
    pub fn include(self, folder: &Path) -> Program {
        let mut flag = OsString::from("-I");
        flag.push(folder);
        self.flag(flag)
    }

    /// Adds a library of the system for native linking, by the name that `-l` takes.
    #[must_use]
    pub fn library(mut self, name: impl Into<String>) -> Program {
        self.libraries.push(name.into());
        self
    }

    /// The libraries of the system that the program has to be linked with, beside those the compiler driver adds.
    #[must_use]
    pub fn libraries(&self) -> &[String] {
        &self.libraries
    }

    /// One bitcode file for each source, in order: `clang-22 -O<level> -c -emit-llvm`.
    ///
    /// # Errors
    ///
    /// When `clang-22` is missing or refuses a source, or the file system refuses.
    pub fn bitcode(&self, level: Level) -> Result<Vec<PathBuf>, Error> {
        self.compile(level, "bc", &["-c", "-emit-llvm"])
    }

    /// One LLVM assembly file for each source, in order: as [`bitcode`](Program::bitcode), with `-S`.
    ///
    /// # Errors
    ///
    /// As for [`bitcode`](Program::bitcode).
    pub fn assembly(&self, level: Level) -> Result<Vec<PathBuf>, Error> {
        self.compile(level, "ll", &["-S", "-emit-llvm"])
    }

    /// One position-independent object for each source, in order: `clang-22 -O<level> -c -fPIC`.
    ///
    /// # Errors
    ///
    /// As for [`bitcode`](Program::bitcode).
    pub fn objects(&self, level: Level) -> Result<Vec<PathBuf>, Error> {
        self.compile(level, "o", &["-c", "-fPIC"])
    }

    /// The program linked natively: what farcall's own way is compared with.
    ///
    /// # Errors
    ///
    /// As for [`bitcode`](Program::bitcode), and when the link fails.
    pub fn executable(&self, level: Level) -> Result<PathBuf, Error> {
        self.link(level, "", &[])
    }

    /// The program linked natively to a shared object.
    ///
    /// # Errors
    ///
    /// As for [`executable`](Program::executable).
    pub fn shared_object(&self, level: Level) -> Result<PathBuf, Error> {
        self.link(level, ".so", &["-shared"])
    }

    fn link(&self, level: Level, ending: &str, mode: &[&str]) -> Result<PathBuf, Error> {
        let objects = self.objects(level)?;
        let driver = if self.sources.iter().any(|source| is_cpp(source)) {
            "clang++-22"
        } else {
            "clang-22"
        };
        let mut args: Vec<OsString> = mode.iter().map(OsString::from).collect();
        args.extend(objects.into_iter().map(PathBuf::into_os_string));
        args.extend(self.libraries.iter().map(|name| format!("-l{name}").into()));
        // The objects' names carry the digests of all that decided them.
        let digest = digest("clang-22", &args, [])?;
        let name = format!("{}-{level}-{digest:016x}{ending}", self.name);
        cache::file(&self.name, &name, |output| clang(driver, &args, output))
    }

    /// Compiles each source by `mode`, as many at a time as the machine has processors.
    fn compile(&self, level: Level, extension: &str, mode: &[&str]) -> Result<Vec<PathBuf>, Error> {
        let waiting = Mutex::new(self.sources.iter().enumerate());
        let next = || {
            waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .next()
        };
        let work = || {
            let mut done = Vec::new();
            while let Some((index, source)) = next() {
                done.push((index, self.compile_one(source, level, extension, mode)));
            }
            done
        };
        let n_threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let mut done: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..n_threads).map(|_| scope.spawn(work)).collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().expect("compiling returns its errors"))
                .collect()
        });
        done.sort_by_key(|(index, _)| *index);
        done.into_iter().map(|(_, compiled)| compiled).collect()
    }

    fn compile_one(
        &self,
        source: &Path,
        level: Level,
        extension: &str,
        mode: &[&str],
    ) -> Result<PathBuf, Error> {
        let mut args: Vec<OsString> = mode.iter().map(OsString::from).collect();
        args.push(format!("-{level}").into());
        args.extend(self.flags.iter().cloned());
        args.push(source.into());
        let stem = source.file_stem().unwrap_or_default().display();
        let name = format!(
            "{stem}-{level}-{:016x}.{extension}",
            digest(
                "clang-22",
                &args,
                [source]
                    .into_iter()
                    .chain(self.headers.iter().map(PathBuf::as_path))
            )?
        );
        let driver = if is_cpp(source) {
            "clang++-22"
        } else {
            "clang-22"
        };
        cache::file(&self.name, &name, |output| clang(driver, &args, output))
    }
}

fn is_cpp(source: &Path) -> bool {
    source.extension() == Some(OsStr::new("cpp"))
}

fn clang(driver: &str, args: &[OsString], output: &Path) -> Result<(), Error> {
    let mut args = args.to_vec();
    args.extend(tools::CLANG_TARGET.iter().map(OsString::from));
    args.extend([OsString::from("-o"), output.into()]);
    tools::run(driver, &args).map(drop)
}

/// The object that `compiler args... -c source` makes: in `target/testkit/<folder>`, and made again only when the compiler, an
/// argument, the source or one of its headers changes.
///
/// # Errors
///
/// When the compiler is missing or refuses the source, or the file system refuses.
pub fn object(
    folder: &str,
    compiler: &str,
    args: &[OsString],
    source: &Path,
    headers: &[PathBuf],
) -> Result<PathBuf, Error> {
    let mut args = args.to_vec();
    args.extend(["-c".into(), source.into()]);
    let files = [source]
        .into_iter()
        .chain(headers.iter().map(PathBuf::as_path));
    let digest = digest(compiler, &args, files)?;
    let stem = source.file_stem().unwrap_or_default().display();
    cache::file(folder, &format!("{stem}-{digest:016x}.o"), |output| {
        args.extend([OsString::from("-o"), output.into()]);
        tools::run(compiler, &args).map(drop)
    })
}

/// A number that differs when the compiler, its arguments or the bytes of `files` do.
fn digest<'a>(
    compiler: &str,
    args: &[OsString],
    files: impl IntoIterator<Item = &'a Path>,
) -> Result<u64, Error> {
    let mut hasher = DefaultHasher::new();
    compiler.hash(&mut hasher);
    version(compiler)?.hash(&mut hasher);
    tools::CLANG_TARGET.hash(&mut hasher);
    args.hash(&mut hasher);
    for file in files {
        fs::read(file)
            .map_err(Error::io(file, "read"))?
            .hash(&mut hasher);
    }
    Ok(hasher.finish())
}

/// What a compiler says that it is, asked once.
fn version(compiler: &str) -> Result<Vec<u8>, Error> {
    static VERSIONS: LazyLock<Mutex<HashMap<String, Vec<u8>>>> = LazyLock::new(Mutex::default);
    let mut versions = VERSIONS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(version) = versions.get(compiler) {
        return Ok(version.clone());
    }
    let version = tools::run(compiler, &["--version"])?.stdout;
    versions.insert(compiler.to_owned(), version.clone());
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_compiled_at_each_level() {
        crate::require_tools!("clang-22");
        let folder = crate::paths::target_dir().join("testkit/program-test");
        fs::create_dir_all(&folder).unwrap();
        let sources = [
            ("answer.c", "int answer(void) { return ANSWER; }"),
            (
                "use.c",
                "int answer(void); int main(void) { return answer(); }",
            ),
        ];
        let mut program = Program::new("program-test").flag("-DANSWER=42");
        for (name, text) in sources {
            let path = folder.join(format!("{}-{name}", std::process::id()));
            fs::write(&path, text).unwrap();
            program = program.source(path);
        }

        for level in Level::ALL {
            let bitcode = program.bitcode(level).unwrap();
            assert_eq!(bitcode.len(), sources.len());
            for file in &bitcode {
                assert_eq!(fs::read(file).unwrap()[..4], *b"BC\xc0\xde");
            }
            assert_eq!(bitcode, program.bitcode(level).unwrap(), "made once");
            let native = program.executable(level).unwrap();
            assert_eq!(tools::start(native).status().unwrap().code(), Some(42));
        }
        let other = program.clone().flag("-DOTHER");
        assert_ne!(
            program.bitcode(Level::O0).unwrap(),
            other.bitcode(Level::O0).unwrap()
        );
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn clang_s_message_is_in_the_error() {
        crate::require_tools!("clang-22");
        let program = Program::new("error-test")
            .flag("-Werror=no-such-flag")
            .source(crate::paths::program_source("missing.c"));
        assert!(matches!(
            program.bitcode(Level::O0),
            Err(Error::Io { action: "read", .. })
        ));
        let program = Program::new("error-test")
            .source(crate::paths::workspace_root().join("Cargo.toml"))
            .flag("-xc");
        let error = program.bitcode(Level::O0).unwrap_err().to_string();
        assert!(error.contains("error:"), "{error}");
    }
}
