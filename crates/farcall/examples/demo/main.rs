//! SQLite, compiled once and run in two other processes: `cargo xtask demo`.
//!
//! Takes bitcode of SQLite and of a workload over it (`testdata/programs/sqlite_workload.c`); and, to compare with, the same
//! program linked natively. Each stage prints its line when it is done.
//!
//! With `--machines` the processes are on machines of their own, which cables join: network namespaces.

#![forbid(unsafe_code)]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

use farcall::executor::{Address, Argument, Timeouts, Value};
use farcall::{Compiler, Executor, Image, Linker};

use key::Key;
use process::ExecutorProcess;
use table::{columns, heading, stage};

mod key;
mod machines;
mod process;
mod table;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// How many rows the workload inserts.
const ROWS: u64 = 100_000;

/// What the workload answers: its report, and the report's checksum.
#[derive(PartialEq)]
struct Answer {
    report: String,
    checksum: u64,
}

fn main() -> ExitCode {
    let args: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let result = match args.as_slice() {
        [sqlite, workload, native] => demo([sqlite, workload], native),
        [option, sqlite, workload, native] if option.as_os_str() == "--machines" => {
            machines::demo([sqlite, workload], native)
        }
        _ => Err(
            "usage: demo [--machines] SQLITE.bc WORKLOAD.bc NATIVE: `cargo xtask demo` makes them"
                .into(),
        ),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn demo(inputs: [&PathBuf; 2], native: &Path) -> Result<()> {
    columns();

    heading("here, once: IR to machine code, then to one image that fits any address");
    // The folder of the policy and the sockets goes with its variable.
    let folder = tempfile::tempdir()?;
    let key = Key::new(folder.path())?;
    let bytes = build(inputs, &key)?;
    let image = parse(&bytes)?;

    let start = |name| {
        let address = Address::Unix(folder.path().join(name));
        ExecutorProcess::start(address, Timeouts::default().silence, &key.policy)
    };
    let [first, second] = [start("first.sock")?, start("second.sock")?];
    heading("the first executor: a process with neither compiler nor linker");
    let (_, answer) = work(&first.address, Timeouts::default(), &image)?;
    heading("the second executor: the same bytes");
    let (_, other) = work(&second.address, Timeouts::default(), &image)?;
    first.stop()?;
    second.stop()?;
    compare(&[answer, other], native)
}

/// Compiles, links and signs.
fn build(inputs: [&PathBuf; 2], key: &Key) -> Result<Vec<u8>> {
    let compiler = Compiler::new()?;
    let mut objects = Vec::new();
    for path in inputs {
        let name = path.file_name().unwrap_or_default().display().to_string();
        let ir = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        // Only this needs LLVM, and only this takes long.
        let object = stage(&format!("compile {}", stem(&name)), "object", || {
            let object = compiler.compile_ir(&name, &ir)?;
            let size = object.bytes.len() as u64;
            Ok((object, size))
        })?;
        objects.push(object);
    }
    let mut linker = Linker::new();
    for object in &objects {
        linker.add(&object.name, &object.bytes);
    }
    let bytes = stage("link", "image", || {
        let bytes = linker.link()?;
        let size = bytes.len() as u64;
        Ok((bytes, size))
    })?;
    stage("sign", "the executors trust the key", || {
        let signed = key.sign(&bytes)?;
        let size = (signed.len() - bytes.len()) as u64;
        Ok((signed, size))
    })
}

/// No later step checks an offset again.
fn parse(bytes: &[u8]) -> Result<Image<'_>> {
    stage("parse", "all of it checked, once", || {
        Ok((Image::parse(bytes)?, 0))
    })
}

/// Shows what the native program answers, and compares the executors' answers with it.
fn compare(answers: &[Answer; 2], native: &Path) -> Result<()> {
    heading("natively: compiled and linked by clang, for comparison");
    let printed = stage(
        "run: both calls in one process",
        "its start included",
        || {
            let output = Command::new(native).arg(ROWS.to_string()).output();
            let output = output.map_err(|error| format!("{}: {error}", native.display()))?;
            Ok((String::from_utf8(output.stdout)?, 0))
        },
    )?;

    heading("the answer: count, sum, average; the same by sensor; the most frequent labels");
    let [answer, other] = answers;
    let expected = format!("{}checksum {}\n", answer.report, answer.checksum);
    println!("{expected}");
    if answer != other {
        return Err(format!("the second executor's answer differs:\n{}", other.report).into());
    }
    if printed != expected {
        return Err(format!("the native program's answer differs:\n{printed}").into());
    }
    println!("Both executors and the native program agree, over {ROWS} rows.");
    Ok(())
}

/// Ships the image to an executor, calls it there, and ships it again.
fn work(address: &Address, timeouts: Timeouts, image: &Image<'_>) -> Result<(Executor, Answer)> {
    let executor = stage("connect", "sent", || connect(address, timeouts))?;
    let what = match address {
        Address::Unix(_) => "sent: the image",
        Address::Tcp { .. } | Address::Tls { .. } => "sent: the image, compressed",
    };
    let module = stage("ship and load", what, || {
        counted(&executor, |executor| executor.load(image))
    })?;

    // The image knows the types of its functions, so that a call with other arguments is an error and no crash.
    let mut report = vec![0; 4096];
    let capacity = report.len() as u64;
    let length = stage("call workload_report", "sent: the arguments", || {
        let mut arguments = [
            Argument::Int(ROWS),
            Argument::Out(&mut report),
            Argument::Int(capacity),
        ];
        counted(&executor, |executor| {
            executor.call(&module, "workload_report", None, &mut arguments)
        })
    })?;
    let checksum = stage("call run_workload", "sent: the arguments", || {
        let mut arguments = [Argument::Int(ROWS)];
        counted(&executor, |executor| {
            executor.call(&module, "run_workload", None, &mut arguments)
        })
    })?;

    // An executor that has an image is only told its digest, by whichever controller.
    let again = stage("ship again", "sent: its digest, no code", || {
        counted(&executor, |executor| executor.load(image))
    })?;
    let (another, _) = connect(address, timeouts)?;
    let elsewhere = stage(
        "ship again, another controller",
        "sent: its digest, no code",
        || counted(&another, |executor| executor.load(image)),
    )?;
    if again.was_sent || elsewhere.was_sent {
        return Err("the image was sent again".into());
    }

    // A negative length is SQLite's error; as an unsigned number it is past the buffer's end.
    let report = usize::try_from(int(length)?)
        .ok()
        .and_then(|length| report.get(..length))
        .ok_or_else(|| format!("workload_report: it returned {length:?}"))?;
    let answer = Answer {
        report: String::from_utf8(report.to_vec())?,
        checksum: int(checksum)?,
    };
    Ok((executor, answer))
}

fn connect(address: &Address, timeouts: Timeouts) -> Result<(Executor, u64)> {
    let executor = Executor::connect_with(address, timeouts)?;
    let sent = executor.traffic().shipped();
    Ok((executor, sent))
}

/// What `ask` gives, and how many bytes it sent.
fn counted<T>(
    executor: &Executor,
    ask: impl FnOnce(&Executor) -> farcall::executor::Result<T>,
) -> Result<(T, u64)> {
    let before = executor.traffic().shipped();
    let answer = ask(executor)?;
    Ok((answer, executor.traffic().shipped() - before))
}

fn int(value: Value) -> Result<u64> {
    match value {
        Value::Int { value, .. } => Ok(value),
        other => Err(format!("{other:?} where an integer is expected").into()),
    }
}

/// The source's name in the name of a bitcode file that the build keeps: `sqlite3-O2-60498823e282fba4.bc`.
fn stem(name: &str) -> &str {
    name.split(['-', '.']).next().unwrap_or(name)
}
