//! Compiling in processes of their own, so that what kills LLVM kills nothing else.
//!
//! The program is `farcall-compile`: it reads modules from its standard input, each with its size before it, and writes their objects:
//! for each module how many, and each with its size. Numbers are little-endian `u64`.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Output, Stdio};
use std::thread;

use farcall_compiler::Object;
use farcall_store::build;

use crate::{Error, Result};

/// The program, and its arguments but for the modules' names.
#[derive(Debug)]
pub(crate) struct CompileProcess {
    program: PathBuf,
    arguments: Vec<String>,
}

type Modules<'a> = [(&'a str, &'a [u8])];

impl CompileProcess {
    pub(crate) fn new(program: &Path, arguments: Vec<String>) -> Self {
        Self {
            program: program.to_owned(),
            arguments,
        }
    }

    /// What tells the program's build from others: that of each file that it maps, which only it knows.
    pub(crate) fn build(&self) -> io::Result<Vec<u8>> {
        let output = Command::new(&self.program).arg("--libraries").output()?;
        let files = output
            .stdout
            .split(|&byte| byte == 0)
            .filter(|it| !it.is_empty());
        let mut builds = Vec::new();
        for file in files {
            builds.push(build::of_file(Path::new(OsStr::from_bytes(file)))?);
        }
        if !output.status.success() || builds.is_empty() {
            let reason = format!("{} does not say what it is made of", self.program.display());
            return Err(io::Error::other(reason));
        }
        // Where they lie does not matter.
        builds.sort();
        Ok(builds.concat())
    }

    /// Compiles modules in one process. If that fails, each is compiled in one of its own: which of them it was is known then.
    pub(crate) fn compile(&self, modules: &Modules<'_>) -> Vec<Result<Vec<Object>>> {
        match self.run(modules) {
            Ok(objects) => objects.into_iter().map(Ok).collect(),
            Err(error) if modules.len() == 1 => vec![Err(error)],
            Err(_) => {
                let each = modules.iter().map(|module| self.run(&[*module]));
                each.map(|objects| Ok(objects?.remove(0))).collect()
            }
        }
    }

    fn run(&self, modules: &Modules<'_>) -> Result<Vec<Vec<Object>>> {
        if modules.is_empty() {
            return Ok(Vec::new());
        }
        let names = || modules.iter().map(|(name, _)| *name);
        let failed = |reason: String| Error::CompileProcess {
            unit: names().collect::<Vec<_>>().join(", "),
            reason,
        };
        let started = |error: io::Error| failed(format!("{}: {error}", self.program.display()));
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .arg("--")
            .args(names())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(started)?;
        let stdin = child.stdin.take();
        let output = thread::scope(|scope| {
            // When it has gone, its end says why.
            scope.spawn(|| stdin.map(|stdin| send(modules, stdin)));
            child.wait_with_output()
        });
        let Output {
            status,
            stdout,
            stderr,
        } = output.map_err(started)?;
        if !status.success() {
            let said = String::from_utf8_lossy(&stderr);
            let said = said.trim_end().trim_start_matches("farcall: ");
            return Err(failed(match status.code() {
                Some(_) if !said.is_empty() => said.to_owned(),
                _ => format!("the compiler crashed ({status})"),
            }));
        }
        let wrong = || {
            failed(format!(
                "{} gave something else than objects",
                self.program.display()
            ))
        };
        split(&stdout, modules).ok_or_else(wrong)
    }
}

fn send(modules: &Modules<'_>, mut to: ChildStdin) -> io::Result<()> {
    for (_, ir) in modules {
        to.write_all(&(ir.len() as u64).to_le_bytes())?;
        to.write_all(ir)?;
    }
    Ok(())
}

/// The objects in the program's output, those of each module.
fn split(mut output: &[u8], modules: &Modules<'_>) -> Option<Vec<Vec<Object>>> {
    let mut all = Vec::with_capacity(modules.len());
    for (name, _) in modules {
        let mut objects = Vec::new();
        for _ in 0..number(&mut output)? {
            let size = number(&mut output)?;
            let (bytes, rest) = output.split_at_checked(size)?;
            objects.push(Object {
                name: (*name).to_owned(),
                bytes: bytes.to_vec(),
            });
            output = rest;
        }
        all.push(objects);
    }
    output.is_empty().then_some(all)
}

fn number(output: &mut &[u8]) -> Option<usize> {
    let (number, rest) = output.split_first_chunk()?;
    *output = rest;
    usize::try_from(u64::from_le_bytes(*number)).ok()
}
