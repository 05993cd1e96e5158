//! An executor in a conversation with whatever says these bytes: it answers or hangs up, and serves the next one.
//!
//! Nothing is loaded, and the fuzzer finds no digest of an image, so that no code runs.
#![no_main]

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::thread;

use farcall_executor::{Connection, Executor, Options, Service};
use farcall_protocol::Hello;

#[path = "../conversation.rs"]
#[allow(dead_code, reason = "each target uses a part")]
mod conversation;

/// So many inputs have one executor: what they define stays, and its threads for a while.
const AGAIN: u32 = 200;

/// An executor, and how many inputs it has had.
static SERVICE: Mutex<Option<(Service, u32)>> = Mutex::new(None);

fn service() -> Service {
    let mut service = SERVICE.lock().expect("nothing here panics");
    if service
        .as_ref()
        .is_none_or(|(_, n_inputs)| *n_inputs >= AGAIN)
    {
        let options = Options {
            frame_limit: 1 << 20,
            buffer_limit: 1 << 20,
            ..Options::default()
        };
        *service = Some((Service::new(options), 0));
    }
    let (service, n_inputs) = service.as_mut().expect("it is there");
    *n_inputs += 1;
    service.clone()
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut hello = Vec::new();
    let controller = Hello {
        software: String::new(),
        machine: String::new(),
        features: 0,
        frame_limit: 1 << 20,
        docks: false,
        modules: Vec::new(),
    };
    controller.encode(&mut hello).expect("it is short");
    let said = conversation::without_pokes(&conversation::said(bytes, hello));

    let service = service();
    let (mut ours, theirs) = UnixStream::pair().expect("there are sockets");
    let serving = service.clone();
    let (served, answers) = thread::scope(|scope| {
        let serving = scope.spawn(move || serving.serve(Connection::unix(theirs)));
        let mut reader = ours.try_clone().expect("there are descriptors");
        let reading = scope.spawn(move || {
            let mut answers = Vec::new();
            // A connection may be reset, after what was said on it.
            let _ = reader.read_to_end(&mut answers);
            answers
        });
        let _ = ours.write_all(&said);
        let _ = ours.shutdown(Shutdown::Write);
        (serving.join(), reading.join())
    });
    let served = served.expect("no panic");
    let answers = answers.expect("no panic");

    // It said who it is, and then whole frames only.
    let mut rest = &answers[..];
    let mut n_frames = 0;
    while let Some((length, more)) = rest.split_first_chunk() {
        let length = u32::from_le_bytes(*length) as usize;
        let (payload, more) = more.split_at_checked(length).expect("the frame is whole");
        if n_frames == 0 {
            Hello::decode(payload).expect("the first one is a hello");
        } else {
            let answer = farcall_protocol::decode::<farcall_protocol::Response>(payload);
            answer.expect("it is an answer");
        }
        n_frames += 1;
        rest = more;
    }
    assert!(
        rest.is_empty() && (n_frames > 0 || served.is_err()),
        "{rest:?} {served:?}"
    );

    // The next one is served by a service that has nothing of this one.
    let (ours, theirs) = UnixStream::pair().expect("there are sockets");
    let serving = service.clone();
    let serving = thread::spawn(move || serving.serve(Connection::unix(theirs)));
    let executor = Executor::speak(Connection::unix(ours)).expect("it serves");
    let statistics = executor.statistics().expect("it answers");
    assert_eq!((statistics.connected, statistics.running), (1, 0));
    drop(executor);
    serving
        .join()
        .expect("no panic")
        .expect("it was hung up on");
});
