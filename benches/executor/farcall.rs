//! farcall's controller. All that it uses of farcall is the client of `farcall_executor`.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use farcall_benches::{Remote, Subject};
use farcall_executor::{
    Address, Argument, Executor, LoadOptions, Pending, RemoteFunction, RemoteModule, SealedFile,
    Value,
};
use farcall_image::Image;

/// A controller and its executor, at the other end of a Unix socket.
pub(crate) struct Farcall {
    process: Child,
    executor: Executor,
    /// Read, or in a file in memory.
    bytes: Vec<u8>,
    file: Option<SealedFile>,
    entry: &'static str,
    module: Option<RemoteModule>,
    /// The entry, found once for all calls.
    function: Option<RemoteFunction>,
}

/// How frames and images go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Socket,
    /// Images are in a file in memory before.
    File,
    /// Frames go through shared memory.
    Shared,
    /// Calls run in a process of their own.
    Workers,
}

/// How many calls are on their way at once.
const IN_FLIGHT: usize = 256;

/// The type of the subjects' entries. Not all images know it.
const ENTRY: Option<&str> = Some("i32 ()");

impl Farcall {
    /// Starts the program `farcall-executor` and connects to it.
    pub(crate) fn start(program: &Path, subject: Subject, image: &Path, way: Way) -> Self {
        let socket = image.with_extension(format!("{}.socket", std::process::id()));
        let options = (way != Way::Workers).then_some("--in-process");
        let (process, address) = listen(program, socket, options.as_slice());
        let executor = match way {
            Way::Socket | Way::File | Way::Workers => Executor::connect(&address),
            Way::Shared => Executor::connect_shared(&address),
        };
        let mut bytes = fs::read(image).unwrap();
        let file = (way == Way::File).then(|| SealedFile::new(&bytes).unwrap());
        if file.is_some() {
            bytes = Vec::new();
        }
        Self {
            process,
            executor: executor.unwrap(),
            bytes,
            file,
            entry: subject.entry().to_str().unwrap(),
            module: None,
            function: None,
        }
    }

    fn function(&mut self) -> &RemoteFunction {
        self.function.get_or_insert_with(|| {
            let module = self.module.as_ref().unwrap();
            let function = self.executor.function(module, self.entry, ENTRY);
            function.unwrap()
        })
    }
}

/// Starts the program `farcall-executor`, and waits until it listens.
pub(crate) fn listen(program: &Path, socket: PathBuf, options: &[&str]) -> (Child, Address) {
    let address = Address::Unix(socket);
    let mut process = Command::new(program)
        .args(["--listen", &address.to_string(), "--trust-unsigned"])
        .args(options)
        .stdout(Stdio::piped())
        // It says that it trusts us.
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    output.read_line(&mut String::new()).unwrap();
    (process, address)
}

impl Remote for Farcall {
    fn load_and_call(&mut self) -> i32 {
        let file = self.file.as_ref();
        let image = Image::parse(file.map_or(&self.bytes[..], SealedFile::bytes)).unwrap();
        let options = LoadOptions {
            file,
            ..LoadOptions::default()
        };
        let called = (self.executor).load_and_call(&image, options, self.entry, ENTRY, &mut []);
        let (module, value) = called.unwrap();
        self.module = Some(module);
        result(value)
    }

    fn call(&mut self) -> i32 {
        result(self.function().call(&mut []).unwrap())
    }

    fn call_many(&mut self, count: usize, check: impl Fn(i32)) {
        let function = self.function();
        let mut calls: VecDeque<Pending> = VecDeque::with_capacity(IN_FLIGHT);
        let finish = |call: Pending| check(result(call.wait().unwrap()));
        for _ in 0..count {
            if calls.len() == IN_FLIGHT {
                calls.pop_front().into_iter().for_each(finish);
            }
            calls.push_back(function.start(&[]).unwrap());
        }
        calls.into_iter().for_each(finish);
    }

    fn unload(&mut self) {
        self.function = None;
        let module = self.module.take().unwrap();
        self.executor.unload(&module).unwrap();
    }

    fn executor(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Farcall {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Starts an executor that serves its standard input and output, and has it run a program's `main` with a script. The executor ends when
/// this process has.
#[expect(
    clippy::zombie_processes,
    reason = "nobody waits for what comes after the result"
)]
pub(crate) fn first(program: &Path, image: &Path, script: &str) {
    let mut process = Command::new(program)
        .args(["--stdio", "--trust-unsigned", "--in-process"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (reader, writer) = (process.stdout.take(), process.stdin.take());
    let executor = Executor::over(reader.unwrap(), writer.unwrap()).unwrap();
    let bytes = fs::read(image).unwrap();
    let image = Image::parse(&bytes).unwrap();
    let module = executor.load(&image).unwrap();
    let name = "lua\0";
    let words = format!("{name}{script}\0");
    let words = executor.define_bytes("words", words.as_bytes()).unwrap();
    let pointers = [words, words + name.len() as u64, 0].map(u64::to_le_bytes);
    let mut arguments = [Argument::Int(2), Argument::In(pointers.as_flattened())];
    let main = executor.call(&module, "main", Some("i32 (i32, ptr)"), &mut arguments);
    assert_eq!(result(main.unwrap()), 0);
}

/// What an `int` function returned.
fn result(value: Value) -> i32 {
    let Value::Int { bits: 32, value } = value else {
        panic!("{value:?} is no int");
    };
    u32::try_from(value).unwrap().cast_signed()
}
