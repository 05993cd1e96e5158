//! Executors whose calls run in workers.

use std::path::PathBuf;
use std::time::Duration;

use farcall_executor::{
    Connection, ErrorKind, Executor, Failure, Isolation, Keep, Options, Service,
};
use farcall_image::{Digest, Image};
use farcall_testkit::tools;

use super::{failure, image, number, serve};

/// Both ways to keep a worker.
pub const KEEPS: [Keep; 2] = [Keep::Session, Keep::Call];

/// Workers of the program that is tested, which an emulator starts where the machine is emulated.
pub fn isolation(keep: Keep) -> Isolation {
    let mut words: Vec<_> = tools::emulator().into_iter().map(Into::into).collect();
    words.push(env!("CARGO_BIN_EXE_farcall-executor").into());
    words.push("--template".into());
    let program = PathBuf::from(words.remove(0));
    Isolation {
        keep,
        ..Isolation::with_template(program, words)
    }
}

pub fn isolated(isolation: Isolation) -> Service {
    Service::isolated(Options::default(), isolation).unwrap()
}

pub fn load(executor: &Executor, source: &str) -> Digest {
    let bytes = image(source);
    let image = Image::parse(&bytes).unwrap();
    executor.load(&image).unwrap().digest
}

/// Calls a function that crashes, after which the one that is `fine` works at once. Gives what was said of it.
#[track_caller]
pub fn crash(executor: &Executor, module: Digest, function: &str) -> Failure {
    let failure = failure(executor.call(module, function, Some("i32 ()"), &mut []));
    assert_eq!(failure.kind, ErrorKind::Crashed, "{function}: {failure}");
    assert_eq!(number(executor, module, "fine"), 7, "after {function}");
    failure
}

/// A deadline for code that does not end. What does ends long before.
pub fn deadline() -> Option<Duration> {
    Some(Duration::from_secs(if tools::is_emulated() {
        5
    } else {
        2
    }))
}

/// A connection on which several requests can be on their way.
pub fn pipelined(service: &Service) -> Executor {
    let stream = serve(service).stream;
    stream.set_read_timeout(None).unwrap();
    Executor::speak(Connection::unix(stream)).unwrap()
}
