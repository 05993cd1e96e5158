//! farcall's controller. All that it uses of farcall is the client of `farcall_executor`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use farcall_benches::{Remote, Subject};
use farcall_executor::{Address, Argument, Executor, RemoteModule, Value};
use farcall_image::Image;

/// A controller and its executor, at the other end of a Unix socket.
pub(crate) struct Farcall {
    process: Child,
    executor: Executor,
    bytes: Vec<u8>,
    entry: &'static str,
    module: Option<RemoteModule>,
}

/// The type of the subjects' entries. Not all images know it.
const ENTRY: Option<&str> = Some("i32 ()");

impl Farcall {
    /// Starts the program `farcall-executor` and connects to it.
    pub(crate) fn start(program: &Path, subject: Subject, image: &Path) -> Self {
        let socket = image.with_extension(format!("{}.socket", std::process::id()));
        let address = Address::Unix(socket);
        let mut process = Command::new(program)
            .args(["--listen", &address.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        output.read_line(&mut String::new()).unwrap();
        Self {
            process,
            executor: Executor::connect(&address).unwrap(),
            bytes: fs::read(image).unwrap(),
            entry: subject.entry().to_str().unwrap(),
            module: None,
        }
    }
}

impl Remote for Farcall {
    fn load_and_call(&mut self) -> i32 {
        let image = Image::parse(&self.bytes).unwrap();
        self.module = Some(self.executor.load(&image).unwrap());
        self.call()
    }

    fn call(&mut self) -> i32 {
        let module = self.module.as_ref().unwrap();
        let value = self.executor.call(module, self.entry, ENTRY, &mut []);
        result(value.unwrap())
    }

    fn unload(&mut self) {
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
        .arg("--stdio")
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
