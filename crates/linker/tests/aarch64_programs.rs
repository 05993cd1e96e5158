//! The programs of `testdata/run/`, compiled for AArch64, linked by us and run under `qemu-aarch64`, against the same
//! objects linked natively.
//!
//! An emulated host loads the image with the C library's `dlopen` and calls its `main`. What the programs print and how
//! they end must be the same. The head of `crates/cli/tests/programs.rs` says what the lines at the top of a program mean;
//! those about arguments, input, files and flags count here too.
//!
//! Environment: `FARCALL_PROGRAMS=text` picks the programs whose name has the text; `FARCALL_ALL_FORMS=1` tries every form
//! of each (by default two, in turn).

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, also outside of the functions that are marked as tests"
)]

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, thread};

use farcall_linker::Linker;
use farcall_testkit::{object, paths, require_tools, tools};

const WORKERS: usize = 2;
const SYSTEM: &str = "/usr/aarch64-linux-gnu";

/// Ways to compile: the C and the C++ compiler, and options.
const FORMS: &[(Compiler, &[&str])] = &[
    (Compiler::Gcc, &["-O0", "-fPIC"]),
    (
        Compiler::Clang,
        &["-O2", "-fPIC", "-mbranch-protection=standard"],
    ),
    (
        Compiler::Gcc,
        &[
            "-O2",
            "-fPIC",
            "-mtls-dialect=trad",
            "-mbranch-protection=standard",
        ],
    ),
    (
        Compiler::Clang,
        &[
            "-O1",
            "-fPIC",
            "-ffunction-sections",
            "-fdata-sections",
            "-g",
        ],
    ),
    // Made for executables: thread-local variables are local-exec.
    (Compiler::Gcc, &["-O3", "-fPIE"]),
    (Compiler::Clang, &["-O0", "-fPIE"]),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compiler {
    Gcc,
    Clang,
}

/// Programs that are about x86-64, or about what Debian has no AArch64 package of.
const NOT_HERE: &[&str] = &[
    "builtins",
    "code_model_large",
    "hardened",
    "ifunc",
    "inline_assembly",
    "integers_wide",
    "libgcc_members",
    "section_kinds",
    "simd",
    "symbol_versions",
    "tls_descriptors",
    "zlib_library",
];

/// Programs with options that only clang has.
const CLANG_ONLY: &[&str] = &["debug_information", "emulated_tls", "hidden_visibility"];

/// Programs with more local-exec variables, or more strictly aligned ones, than the C library has room for in what it loads late.
const NOT_FOR_EXECUTABLES: &[&str] = &["tls_c"];

const HOST: &str = r#"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
extern char **environ;
int main(int argc, char **argv) {
    void *image = dlopen(getenv("FARCALL_IMAGE"), RTLD_NOW | RTLD_GLOBAL);
    if (!image) { printf("dlopen: %s\n", dlerror()); return 99; }
    unsetenv("FARCALL_IMAGE");
    int (*run)(int, char **, char **) = (int (*)(int, char **, char **))dlsym(image, "main");
    if (!run) { printf("dlsym: %s\n", dlerror()); return 99; }
    exit(run(argc, argv, environ));
}
"#;

#[test]
fn programs_behave_as_if_linked_natively() {
    require_tools!(
        "clang-22",
        "clang++-22",
        "aarch64-linux-gnu-gcc",
        "aarch64-linux-gnu-g++",
        "aarch64-linux-gnu-ar",
        "qemu-aarch64-static"
    );
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let all_forms = env::var_os("FARCALL_ALL_FORMS").is_some();
    let runs: Vec<_> = (programs().into_iter().enumerate())
        .flat_map(|(index, program)| {
            let forms = program.forms(all_forms, index);
            forms.into_iter().map(move |form| (program.clone(), form))
        })
        .collect();
    assert!(!runs.is_empty(), "no program has been picked");
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some((program, form)) = runs.get(index) else {
                        return;
                    };
                    let scratch = folder.path().join(index.to_string());
                    fs::create_dir(&scratch).unwrap();
                    if let Err(why) = program.check(*form, &scratch, &host) {
                        let name = &program.name;
                        let (compiler, options) = FORMS[*form];
                        let options = options.join(" ");
                        (failures.lock().unwrap())
                            .push(format!("{name}: {compiler:?} {options}: {why}"));
                    }
                    fs::remove_dir_all(&scratch).unwrap();
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    let n_runs = runs.len();
    assert!(
        failures.is_empty(),
        "{} of {n_runs}:\n\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// Has the C++ library and libatomic in it, so that images need not say where they are.
fn host(folder: &Path) -> PathBuf {
    let (source, host) = (folder.join("host.c"), folder.join("host"));
    fs::write(&source, HOST).unwrap();
    let libraries = "-rdynamic -Wl,--no-as-needed -lstdc++ -lm -lgcc_s -latomic";
    let mut args = vec![source.as_os_str(), "-o".as_ref(), host.as_os_str()];
    args.extend(libraries.split(' ').map(OsStr::new));
    tools::run("aarch64-linux-gnu-gcc", &args).unwrap();
    host
}

fn programs() -> Vec<Program> {
    let folder = paths::workspace_root().join("testdata/run");
    let picked = env::var("FARCALL_PROGRAMS").unwrap_or_default();
    let paths = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.is_file()).collect();
    paths.sort();
    let programs = paths.iter().map(|path| Program::read(path));
    programs
        .filter(|program| program.name.contains(&picked))
        .filter(|program| !NOT_HERE.contains(&program.name.as_str()))
        .collect()
}

/// One program: what its file says.
#[derive(Debug, Default, Clone)]
struct Program {
    name: String,
    sources: Vec<PathBuf>,
    /// Sources of an archive's members.
    archive: Vec<PathBuf>,
    args: Vec<String>,
    stdin: String,
    flags: Vec<String>,
    /// Whether it is none for `-O0`.
    is_optimised: bool,
}

impl Program {
    fn read(path: &Path) -> Self {
        let mut program = Self {
            name: path.file_stem().unwrap().to_string_lossy().into_owned(),
            sources: vec![path.to_owned()],
            ..Self::default()
        };
        let text = fs::read_to_string(path).unwrap();
        for line in text.lines().map_while(|line| line.strip_prefix("// ")) {
            let Some((key, value)) = line.split_once(": ") else {
                continue;
            };
            let words = value.split_whitespace().map(str::to_owned);
            let files = || {
                value
                    .split_whitespace()
                    .map(|file| path.with_file_name(file))
            };
            match key {
                "Args" => program.args = words.map(|word| word.replace('"', "")).collect(),
                "Stdin" => program.stdin = value.replace("\\n", "\n"),
                "Stdin-lines" => {
                    let n: u32 = value.parse().unwrap();
                    program.stdin = (0..n).map(|line| format!("line {line}\n")).collect();
                }
                "Files" => program.sources.extend(files()),
                "Archive" => program.archive.extend(files()),
                "Optimised" => program.is_optimised = true,
                "Flags" => program.flags = words.collect(),
                _ => {}
            }
        }
        program
    }

    /// Indices of the forms to try: all, or two that depend on the place among the programs.
    fn forms(&self, all: bool, place: usize) -> Vec<usize> {
        let is_possible = |&form: &usize| {
            let (compiler, options) = FORMS[form];
            let is_known = compiler == Compiler::Clang || !CLANG_ONLY.contains(&self.name.as_str());
            let is_for_executables = options.contains(&"-fPIE");
            is_known
                && !(is_for_executables && NOT_FOR_EXECUTABLES.contains(&self.name.as_str()))
                && !(self.is_optimised && options.contains(&"-O0"))
        };
        let possible: Vec<usize> = (0..FORMS.len()).filter(is_possible).collect();
        match all {
            true => possible,
            false => (0..2)
                .map(|turn| possible[(place + 3 * turn) % possible.len()])
                .collect(),
        }
    }

    fn check(&self, form: usize, scratch: &Path, host: &Path) -> Result<(), String> {
        let (compiler, options) = FORMS[form];
        let objects = self.compile(compiler, options, &self.sources)?;
        let members = self.compile(compiler, options, &self.archive)?;
        let archive = scratch.join("archive.a");
        if !members.is_empty() {
            let mut args = vec![OsStr::new("qc"), archive.as_os_str()];
            args.extend(members.iter().map(|member| member.as_os_str()));
            tools::run("aarch64-linux-gnu-ar", &args).map_err(text)?;
        }
        let inputs: Vec<&PathBuf> = (objects.iter())
            .chain((!members.is_empty()).then_some(&archive))
            .collect();

        let native = scratch.join(&self.name);
        let mut args: Vec<&OsStr> = inputs.iter().map(|input| input.as_os_str()).collect();
        args.extend(["-o".as_ref(), native.as_os_str()]);
        args.extend(["-lm", "-latomic", "-pthread"].map(OsStr::new));
        tools::run("aarch64-linux-gnu-g++", &args).map_err(text)?;

        let image = scratch.join("image");
        let inputs = inputs
            .iter()
            .map(|path| (path.display().to_string(), fs::read(path).unwrap()));
        let inputs: Vec<_> = inputs.collect();
        let mut linker = Linker::new();
        linker.export("main");
        for (name, bytes) in &inputs {
            linker.add(name.as_str(), bytes);
        }
        let runtime = compiler_runtime();
        linker.library("libgcc.a", &runtime);
        fs::write(&image, linker.link().map_err(text)?).unwrap();

        let expected = self.run(&native, None, scratch)?;
        let found = self.run(host, Some(&image), scratch)?;
        match expected == found {
            true => Ok(()),
            false => Err(format!("\nours:\n{found}\nnatively:\n{expected}")),
        }
    }

    /// Compiles once for all profiles of the tests, which differ in nothing that decides what comes of it.
    fn compile(
        &self,
        compiler: Compiler,
        options: &[&str],
        sources: &[PathBuf],
    ) -> Result<Vec<PathBuf>, String> {
        let is_header = |path: &PathBuf| path.extension().is_some_and(|end| end == "h");
        let headers = self.sources[0].with_file_name("parts");
        let headers = fs::read_dir(headers).unwrap();
        let mut headers: Vec<_> = headers.map(|entry| entry.unwrap().path()).collect();
        headers.retain(is_header);
        headers.sort();
        let compile_one = |source: &PathBuf| {
            let is_cpp = source
                .extension()
                .is_some_and(|extension| extension == "cpp");
            let (program, target) = match (compiler, is_cpp) {
                (Compiler::Gcc, false) => ("aarch64-linux-gnu-gcc", None),
                (Compiler::Gcc, true) => ("aarch64-linux-gnu-g++", None),
                (Compiler::Clang, false) => ("clang-22", Some("--target=aarch64-linux-gnu")),
                (Compiler::Clang, true) => ("clang++-22", Some("--target=aarch64-linux-gnu")),
            };
            let mut args: Vec<_> = target.into_iter().map(OsString::from).collect();
            args.extend(self.flags.iter().map(OsString::from));
            args.extend(options.iter().map(OsString::from));
            args.push("-w".into());
            let folder = format!("{}-aarch64", self.name);
            object(&folder, program, &args, source, &headers).map_err(text)
        };
        sources.iter().map(compile_one).collect()
    }

    /// What an executable, or the host with an image, prints, and how it ends.
    fn run(
        &self,
        executable: &Path,
        image: Option<&Path>,
        scratch: &Path,
    ) -> Result<String, String> {
        let (stdin, place) = (scratch.join("stdin"), scratch.join("place"));
        fs::write(&stdin, &self.stdin).unwrap();
        // Empty for each run: programs write files.
        let _ = fs::remove_dir_all(&place);
        fs::create_dir(&place).unwrap();
        let mut command = Command::new(tools::find("timeout").map_err(text)?);
        command.args(["120", "qemu-aarch64-static", "-L", SYSTEM, "-0"]);
        command.arg(&self.name).arg(executable).args(&self.args);
        command
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default());
        if let Some(image) = image {
            command.env("FARCALL_IMAGE", image);
        }
        command
            .current_dir(&place)
            .stdin(File::open(&stdin).unwrap());
        let output = command.output().map_err(text)?;
        Ok(format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            output.status
        ))
    }
}

/// The cross compiler's own archive, as a driver links it last.
fn compiler_runtime() -> Vec<u8> {
    let said = tools::run("aarch64-linux-gnu-gcc", &["-print-libgcc-file-name"]).unwrap();
    let path = String::from_utf8(said.stdout).unwrap();
    fs::read(path.trim()).unwrap()
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
