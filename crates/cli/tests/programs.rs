//! Runs every program of `testdata/run/` natively and through `farcall`, and compares what an outsider can see:
//! the bytes of standard output and standard error, the exit code, the signal.
//!
//! To add a program: put one `.c` or `.cpp` file into `testdata/run/`. No expected output is written down, since the
//! same sources, linked natively, say what is right; the output must not depend on the optimisation level, on
//! addresses or on time. Lines at the top of the file say how to build and run it:
//!
//! | line | meaning | default |
//! |---|---|---|
//! | `// Args: a "b c"` | arguments; double quotes group | none |
//! | `// Env: NAME=value` | one more variable; may be repeated | `PATH` only |
//! | `// Stdin: text` | standard input; `\n` is a newline, `\\` a backslash | empty |
//! | `// Stdin-lines: N` | standard input of N numbered lines | |
//! | `// Files: parts/x.c` | the program's other sources, in link order | none |
//! | `// Archive: parts/y.c` | sources whose objects are members of an archive, linked last | none |
//! | `// Flags: -pthread` | for the compiler | none |
//! | `// Libs: z` | libraries beyond libc, libm and libstdc++ | none |
//! | `// Exit: 3`, `// Signal: SIGABRT` | how the native run ends, which is checked too | `Exit: 0` |
//! | `// Optimised: why` | not at `-O0` | every level |
//! | `// Pie-objects: why not` | no objects compiled without `-fPIC` | both kinds |
//!
//! `testdata/run/later/` holds programs that nothing runs yet; their `// Todo:` says what they wait for.
//!
//! Environment: `FARCALL_PROGRAMS=text` picks the programs whose name has the text; `FARCALL_ALL_FORMS=1` runs every
//! form at every level (by default the form rotates with the level) and checks that the native levels agree.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, also outside of the one function that is marked as a test"
)]

use std::env;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use farcall_testkit::{Level, paths, require_tools, tools};

/// What went wrong with one run, as text for a person.
type Failure = String;

const WORKERS: usize = 2;
const TIME_LIMIT: Duration = Duration::from_secs(60);

#[test]
fn programs_behave_as_if_linked_natively() {
    require_tools!("clang-22", "clang++-22", "ar");
    let all_forms = env::var_os("FARCALL_ALL_FORMS").is_some();
    let programs = programs();
    assert!(!programs.is_empty(), "no program has been picked");

    let next = AtomicUsize::new(0);
    let runs = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(program) = programs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (count, found) = check(program, all_forms);
                    runs.fetch_add(count, Ordering::Relaxed);
                    failures.lock().unwrap().extend(found);
                }
            });
        }
    });

    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    let runs = runs.into_inner();
    println!("{} programs, {runs} runs", programs.len());
    assert!(
        failures.is_empty(),
        "{} failures in {runs} runs:\n\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// Runs one program in all the forms wanted; returns how many those were, and what differed.
fn check(program: &Program, all_forms: bool) -> (usize, Vec<Failure>) {
    // Its objects are among those that farcall gets: nothing is compiled for this alone.
    let native = match program.native(Level::O2) {
        Ok(native) => native,
        Err(why) => return (0, vec![format!("{}: native: {why}", program.name)]),
    };
    let mut failures = Vec::new();
    if let Err(why) = native.is_as_declared(program) {
        failures.push(format!("{}: native: {why}", program.name));
    }
    let forms = program.forms(all_forms);
    for &(level, form) in &forms {
        let outcome = program.through_farcall(level, form);
        if let Err(why) = outcome.and_then(|farcall| native.compare(&farcall)) {
            failures.push(format!("{} {level} {form:?}: {why}", program.name));
        }
    }
    if all_forms {
        for level in program.levels() {
            let outcome = program.native(level);
            if let Err(why) = outcome.and_then(|other| native.compare(&other)) {
                failures.push(format!("{}: native {level}: {why}", program.name));
            }
        }
    }
    (forms.len(), failures)
}

/// What is handed to `farcall run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// IR as text, as clang's defaults emit it (position-independent for an executable).
    Text,
    /// The same IR as bitcode.
    Bitcode,
    /// Objects compiled with `-fPIC`.
    Objects,
    /// Objects compiled with `-fPIE`, which is clang's default.
    PieObjects,
    /// An image that `farcall build` made of bitcode.
    Image,
    /// The same, compiled in parts of ten instructions.
    Parts,
    /// An image that `farcall build` made of objects.
    ImageOfObjects,
}

impl Form {
    const ALL: [Self; 7] = [
        Self::Text,
        Self::Bitcode,
        Self::Objects,
        Self::PieObjects,
        Self::Image,
        Self::Parts,
        Self::ImageOfObjects,
    ];

    /// The form that stands for all others at this level.
    fn of(level: Level) -> Self {
        match level {
            Level::O0 => Self::Text,
            Level::O1 => Self::Bitcode,
            Level::O2 => Self::Objects,
            Level::O3 => Self::Parts,
        }
    }
}

/// The programs that the environment picks, in the order of their names.
fn programs() -> Vec<Program> {
    let folder = paths::workspace_root().join("testdata/run");
    let picked = env::var("FARCALL_PROGRAMS").unwrap_or_default();
    let mut sources: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "c" || e == "cpp"))
        .filter(|path| stem(path).contains(&picked))
        .collect();
    sources.sort();
    sources.iter().map(|path| Program::read(path)).collect()
}

/// One program of `testdata/run/`: what its file says.
#[derive(Debug)]
struct Program {
    name: String,
    sources: farcall_testkit::Program,
    archive: Option<farcall_testkit::Program>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    stdin: Vec<u8>,
    libs: Vec<String>,
    exit: i32,
    signal: Option<String>,
    optimised_only: bool,
    pie_objects: bool,
}

impl Program {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let name = stem(path);
        let mut sources = farcall_testkit::Program::new(&name).source(path);
        let header = path.with_file_name(format!("parts/{name}.h"));
        if header.exists() {
            sources = sources.header(header);
        }
        let mut program = Self {
            name,
            // A C driver does not add libm by itself, farcall does.
            sources: sources.library("m"),
            archive: None,
            args: Vec::new(),
            env: Vec::new(),
            stdin: Vec::new(),
            libs: Vec::new(),
            exit: 0,
            signal: None,
            optimised_only: false,
            pie_objects: true,
        };
        for line in text.lines().map_while(|line| line.strip_prefix("// ")) {
            // A line without a key that is known is prose.
            if let Some((key, value)) = line.split_once(": ") {
                program = program.directive(key, value, path);
            }
        }
        program
    }

    fn directive(mut self, key: &str, value: &str, path: &Path) -> Self {
        let words = value.split_whitespace();
        match key {
            "Args" => self.args = quoted_words(value),
            "Env" => {
                let (name, value) = value.split_once('=').expect("Env: NAME=value");
                self.env.push((name.to_owned(), value.to_owned()));
            }
            "Stdin" => self.stdin = unescaped(value).into_bytes(),
            "Stdin-lines" => self.stdin = numbered_lines(value.parse().unwrap()),
            "Files" => {
                self.sources = words.fold(self.sources, |sources, word| {
                    sources.source(path.with_file_name(word))
                });
            }
            "Archive" => {
                let members = farcall_testkit::Program::new(format!("{}-archive", self.name));
                self.archive = Some(words.fold(members, |members, word| {
                    members.source(path.with_file_name(word))
                }));
            }
            "Flags" => self.sources = words.fold(self.sources, farcall_testkit::Program::flag),
            "Libs" => {
                self.libs = words.map(str::to_owned).collect();
                let libs = self.libs.iter();
                self.sources = libs.fold(self.sources, farcall_testkit::Program::library);
            }
            "Exit" => self.exit = value.parse().unwrap(),
            "Signal" => self.signal = Some(value.to_owned()),
            "Optimised" => self.optimised_only = true,
            "Pie-objects" => self.pie_objects = false,
            _ => {}
        }
        self
    }

    fn levels(&self) -> impl Iterator<Item = Level> {
        let lowest = usize::from(self.optimised_only);
        Level::ALL.into_iter().skip(lowest)
    }

    /// Every form at every level, or one form a level.
    fn forms(&self, all: bool) -> Vec<(Level, Form)> {
        if !all {
            return self
                .levels()
                .map(|level| (level, Form::of(level)))
                .collect();
        }
        self.levels()
            .flat_map(|level| Form::ALL.map(|form| (level, form)))
            .filter(|&(_, form)| self.pie_objects || form != Form::PieObjects)
            .collect()
    }

    fn native(&self, level: Level) -> Result<Outcome, Failure> {
        let scratch = Scratch::new()?;
        // Called by its own name, which libc puts before its messages.
        let called = scratch.0.join(&self.name);
        match self.archive(level, &scratch)? {
            None => {
                symlink(self.sources.executable(level).map_err(text)?, &called).map_err(text)?;
            }
            Some(archive) => {
                let mut args = self.sources.objects(level).map_err(text)?;
                args.extend([archive, "-o".into(), called.clone()]);
                tools::run("clang++-22", &args).map_err(text)?;
            }
        }
        self.run(&mut Command::new(called), &scratch)
    }

    /// Makes the archive, if the program has one, of objects in any form of the program.
    fn archive(&self, level: Level, scratch: &Scratch) -> Result<Option<PathBuf>, Failure> {
        let Some(members) = &self.archive else {
            return Ok(None);
        };
        let archive = scratch.0.join("archive.a");
        let mut args = vec!["rcs".into(), archive.clone()];
        args.extend(members.objects(level).map_err(text)?);
        tools::run("ar", &args).map_err(text)?;
        Ok(Some(archive))
    }

    /// Runs through `farcall`, which builds an image before if the form is one.
    fn through_farcall(&self, level: Level, form: Form) -> Result<Outcome, Failure> {
        let (files, extension) = match form {
            Form::Text => (self.sources.assembly(level), "ll"),
            Form::Bitcode | Form::Image | Form::Parts => (self.sources.bitcode(level), "bc"),
            Form::Objects | Form::ImageOfObjects => (self.sources.objects(level), "o"),
            // The last of two contrary flags counts.
            Form::PieObjects => (self.sources.clone().flag("-fPIE").objects(level), "o"),
        };
        let files = files.map_err(text)?;
        let scratch = Scratch::new()?;
        let mut inputs = vec![scratch.0.join(format!("{}.{extension}", self.name))];
        symlink(&files[0], &inputs[0]).map_err(text)?;
        inputs.extend_from_slice(&files[1..]);
        inputs.extend(self.archive(level, &scratch)?);

        let farcall = env!("CARGO_BIN_EXE_farcall");
        let libs = || self.libs.iter().flat_map(|lib| ["-l", lib]);
        let mut repeat = String::new();
        if matches!(form, Form::Image | Form::Parts | Form::ImageOfObjects) {
            let image = scratch.0.join(&self.name);
            let digit = level.to_string().replace('O', "");
            let mut command = Command::new(farcall);
            command.env("FARCALL_CACHE", "off");
            command.arg("build").args(&inputs);
            command.arg("-o").arg(&image).args(["-O", &digit]);
            if form == Form::Parts {
                command.args(["--part-size", "10"]);
            }
            repeat = shown(&command, &scratch, &files[0]);
            let output = command.output().map_err(text)?;
            if !output.status.success() {
                let stderr = String::from_utf8_lossy(&output.stderr);
                return Err(format!("build: {}\n{stderr}  {repeat}\n", output.status));
            }
            inputs = vec![image];
        }
        let mut command = Command::new(farcall);
        command.env("FARCALL_CACHE", "off");
        command.arg("run").args(&inputs).args(libs());
        if !self.args.is_empty() {
            command.arg("--");
        }
        let called = inputs[0].file_name().unwrap().to_string_lossy();
        let mut outcome = self.run(&mut command, &scratch)?;
        // The input's name may keep its extension when it names the program; natively there is none.
        outcome.stderr = renamed(&outcome.stderr, &called, &self.name);
        outcome.command = format!("{repeat}  {}", shown(&command, &scratch, &files[0]));
        Ok(outcome)
    }

    /// Runs `command` with the program's arguments, environment and input, in an empty folder.
    fn run(&self, command: &mut Command, scratch: &Scratch) -> Result<Outcome, Failure> {
        let place = scratch.0.join("cwd");
        let [stdin, stdout, stderr] =
            ["stdin", "stdout", "stderr"].map(|name| scratch.0.join(name));
        fs::create_dir(&place).map_err(text)?;
        fs::write(&stdin, &self.stdin).map_err(text)?;
        command
            .args(&self.args)
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .envs(self.env.iter().cloned())
            .current_dir(&place)
            .stdin(File::open(&stdin).map_err(text)?)
            .stdout(File::create(&stdout).map_err(text)?)
            .stderr(File::create(&stderr).map_err(text)?);
        let ended = status_within(command, TIME_LIMIT);
        let outcome = Outcome {
            stdout: fs::read(&stdout).map_err(text)?,
            stderr: fs::read(&stderr).map_err(text)?,
            status: match ended {
                Ok(status) => status,
                Err(why) => {
                    let stderr = fs::read(&stderr).map_err(text)?;
                    return Err(format!("{why}\n{}", String::from_utf8_lossy(&stderr)));
                }
            },
            command: String::new(),
        };
        Ok(outcome)
    }
}

/// A folder of its own for one run, removed after it.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, Failure> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let id = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{id}", std::process::id()));
        fs::create_dir_all(&path).map_err(text)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed stays under `target`.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The command to repeat a run by hand: with the input as it is kept, not by its name in the removed folder.
fn shown(command: &Command, scratch: &Scratch, input: &Path) -> String {
    let folder = scratch.0.to_string_lossy().into_owned() + "/";
    let mut text = String::new();
    for word in [command.get_program()]
        .into_iter()
        .chain(command.get_args())
    {
        let word = word.to_string_lossy();
        let has_extension = Path::new(word.as_ref()).extension().is_some();
        let word = match word.strip_prefix(&folder) {
            Some(_) if has_extension => input.to_string_lossy().into_owned(),
            Some(image) => format!("/tmp/{image}"),
            None => word.into_owned(),
        };
        let quote = if word.is_empty() || word.contains([' ', '"']) {
            "'"
        } else {
            ""
        };
        let _ = write!(text, "{quote}{word}{quote} ");
    }
    text.push('\n');
    text
}

fn text(error: impl std::fmt::Display) -> Failure {
    error.to_string()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

/// Splits at blanks outside double quotes; `""` is an empty word.
fn quoted_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// `\n` becomes a newline and `\\` a backslash; any other backslash stays.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let escaped = chars.next_if(|next| c == '\\' && matches!(next, 'n' | '\\'));
        out.push(if escaped == Some('n') { '\n' } else { c });
    }
    out
}

fn numbered_lines(n: u32) -> Vec<u8> {
    let mut text = String::new();
    for i in 0..n {
        let hash = i.wrapping_mul(2_654_435_761);
        writeln!(text, "line {i} of {n}, {hash:08x}").unwrap();
    }
    text.into_bytes()
}

/// Waits for the command, and kills it at the limit.
fn status_within(command: &mut Command, limit: Duration) -> Result<ExitStatus, Failure> {
    let mut child = command.spawn().map_err(text)?;
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(text)? {
            return Ok(status);
        }
        if start.elapsed() > limit {
            child.kill().map_err(text)?;
            child.wait().map_err(text)?;
            return Err(format!("still running after {limit:?}"));
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// What an outsider sees of one run.
#[derive(Debug)]
struct Outcome {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    status: ExitStatus,
    /// How to run it again; empty for a native run.
    command: String,
}

impl Outcome {
    fn is_as_declared(&self, program: &Program) -> Result<(), Failure> {
        let is = match &program.signal {
            Some(name) => self.status.signal().map(signal_name) == Some(name),
            None => self.status.code() == Some(program.exit),
        };
        if is {
            return Ok(());
        }
        let stderr = String::from_utf8_lossy(&self.stderr);
        Err(format!(
            "{}, which the file does not say\n{stderr}",
            self.status
        ))
    }

    /// Compares another run with this one, which is right.
    fn compare(&self, other: &Self) -> Result<(), Failure> {
        let mut text = String::new();
        let end = |status: ExitStatus| (status.code(), status.signal());
        if end(self.status) != end(other.status) {
            let _ = writeln!(text, "{}, natively {}", other.status, self.status);
        }
        for (name, right, found) in [
            ("stdout", &self.stdout, &other.stdout),
            ("stderr", &self.stderr, &other.stderr),
        ] {
            if right != found {
                text += &difference(name, right, found);
            }
        }
        if text.is_empty() {
            return Ok(());
        }
        Err(format!("{text}{}", other.command))
    }
}

/// The first line that differs, and some lines after it.
fn difference(name: &str, right: &[u8], found: &[u8]) -> String {
    let lines = |bytes: &[u8]| -> Vec<String> {
        let lines = bytes.split_inclusive(|&b| b == b'\n');
        let shown = lines.map(|line| line.escape_ascii().take(300).map(char::from).collect());
        shown.collect()
    };
    let (right, found) = (lines(right), lines(found));
    let same = right.iter().zip(&found).take_while(|(a, b)| a == b).count();
    let line = |lines: &[String]| lines.get(same).map_or("(end)", String::as_str).to_owned();
    let mut text = format!("{name} line {}: {}\n", same + 1, line(&found));
    for line in found.iter().skip(same + 1).take(8) {
        let _ = writeln!(text, "  then: {line}");
    }
    let _ = writeln!(text, "  natively: {}", line(&right));
    text
}

/// Replaces `from: ` at the start of lines.
fn renamed(text: &[u8], from: &str, to: &str) -> Vec<u8> {
    let prefix = format!("{from}: ").into_bytes();
    let mut out = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|&b| b == b'\n') {
        match line.strip_prefix(prefix.as_slice()) {
            Some(rest) => {
                out.extend_from_slice(to.as_bytes());
                out.extend_from_slice(b": ");
                out.extend_from_slice(rest);
            }
            None => out.extend_from_slice(line),
        }
    }
    out
}

fn signal_name(number: i32) -> &'static str {
    match number {
        4 => "SIGILL",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        _ => "another signal",
    }
}
