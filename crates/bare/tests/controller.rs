//! A controller whose executor is not what it should be.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use farcall_executor::{Argument, BareExecutor, Error, ErrorKind, Failure, PlaceOptions};
use farcall_image::Image;
use farcall_protocol::{BareHello, Outcome, Outcomes, Step, decode, encode};
use farcall_testkit::require_tools;

/// What a false executor makes of a request: the id, how many steps it has, and which request it is, from 0.
type Answers = dyn Fn(u64, &[Step<'_>], usize) -> Vec<u8> + Send;

fn hello() -> BareHello {
    BareHello {
        software: "a test".to_owned(),
        machine: std::env::consts::ARCH.to_owned(),
        features: u128::MAX,
        frame_limit: 1 << 20,
        page_size: 4096,
    }
}

fn frame(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut payload = vec![0; u32::from_le_bytes(length) as usize];
    stream.read_exact(&mut payload).ok()?;
    Some(payload)
}

/// A controller of a false executor, which hangs up after what is no whole frame.
fn controller(
    hello: &BareHello,
    answers: Box<Answers>,
) -> (Result<BareExecutor, Error>, JoinHandle<()>) {
    let (stream, mut other) = UnixStream::pair().unwrap();
    let patience = Some(Duration::from_secs(20));
    stream.set_read_timeout(patience).unwrap();
    let mut greeting = Vec::new();
    hello.encode(&mut greeting).unwrap();
    let thread = thread::spawn(move || {
        other.write_all(&greeting).unwrap();
        frame(&mut other);
        for index in 0.. {
            let Some(payload) = frame(&mut other) else {
                return;
            };
            let request = decode::<Vec<Step<'_>>>(&payload).unwrap();
            let answer = answers(request.id, &request.message, index);
            let length = answer
                .first_chunk()
                .map(|it| u32::from_le_bytes(*it) as usize);
            let is_whole = length.is_some_and(|length| answer.len() >= 4 + length);
            if other.write_all(&answer).is_err() || !is_whole {
                return;
            }
        }
    });
    (
        BareExecutor::over(stream.try_clone().unwrap(), stream),
        thread,
    )
}

fn encoded(id: u64, done: Vec<Outcome>, body: &[u8]) -> Vec<u8> {
    let failure = None;
    let mut frame = Vec::new();
    let outcomes = Outcomes { done, failure };
    encode(&mut frame, id, &outcomes, body.len(), u32::MAX).unwrap();
    frame.extend(body);
    frame
}

/// As many symbols as were asked for, and a reservation.
fn first_answer(steps: &[Step<'_>], address: u64) -> Vec<Outcome> {
    let Some(Step::Lookup { names }) = steps.first() else {
        panic!("names are looked up first: {steps:?}");
    };
    let addresses = vec![0x1000; names.len()];
    vec![
        Outcome::Symbols { addresses },
        Outcome::Reserved { address },
    ]
}

#[test]
fn a_hello_that_cannot_be_is_refused() {
    let nothing = || Box::new(|_: u64, _: &[Step<'_>], _: usize| Vec::new());
    for (page_size, frame_limit) in [(0, 1 << 20), (3, 1 << 20), (u64::MAX, 1 << 20), (4096, 0)] {
        let wrong = BareHello {
            page_size,
            frame_limit,
            ..hello()
        };
        let (executor, thread) = controller(&wrong, nothing());
        assert!(matches!(executor, Err(Error::OutOfPlace { .. })));
        drop(executor);
        thread.join().unwrap();
    }
}

#[test]
fn an_image_is_not_placed_on_a_machine_that_is_not_known() {
    require_tools!("clang-22");
    let bytes = common::sources::image("int f(void) { return 1; }");
    let image = Image::parse(&bytes).unwrap();
    let other = if cfg!(target_arch = "aarch64") {
        "x86_64"
    } else {
        "aarch64"
    };
    for (machine, part) in [("pdp11", "does not know"), (other, "built for")] {
        let hello = BareHello {
            machine: machine.to_owned(),
            ..hello()
        };
        let (executor, thread) = controller(&hello, Box::new(|_, _, _| Vec::new()));
        let executor = executor.unwrap();
        let error = executor.place(&image, PlaceOptions::default()).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(executor.traffic().requests, 0);
        drop(executor);
        thread.join().unwrap();
    }
}

#[test]
fn answers_that_are_none_are_errors() {
    require_tools!("clang-22");
    let bytes = common::sources::image(
        "int puts(const char *);
         __attribute__((constructor)) static void start(void) { puts(\"started\"); }
         int f(char *out) { return out[0]; }",
    );
    let image = Image::parse(&bytes).unwrap();
    let done = |steps: &[Step<'_>]| vec![Outcome::Done; steps.len()];
    const GOOD: u64 = 1 << 40;
    let cases: Vec<(&str, Box<Answers>)> = vec![
        ("nothing", Box::new(|_, _, _| Vec::new())),
        ("half a frame", Box::new(|_, _, _| vec![9, 0, 0, 0, 1])),
        (
            "a frame that is too long",
            Box::new(|_, _, _| vec![0xff; 8]),
        ),
        ("no message", Box::new(|_, _, _| vec![2, 0, 0, 0, 1, 0xff])),
        ("no outcomes", Box::new(|id, _, _| encoded(id, vec![], b""))),
        (
            "outcomes of other steps",
            Box::new(move |id, steps, _| encoded(id, done(steps), b"")),
        ),
        (
            "of another request",
            Box::new(move |id, steps, _| encoded(id + 1, first_answer(steps, GOOD), b"")),
        ),
        (
            "too few symbols",
            Box::new(|id, _, _| {
                let addresses = vec![0; 2];
                let symbols = Outcome::Symbols { addresses };
                encoded(id, vec![symbols, Outcome::Reserved { address: GOOD }], b"")
            }),
        ),
        (
            "more outcomes than steps",
            Box::new(|id, steps, _| {
                let mut outcomes = first_answer(steps, GOOD);
                outcomes.push(Outcome::Done);
                encoded(id, outcomes, b"")
            }),
        ),
        (
            "a misaligned reservation",
            Box::new(|id, steps, index| match index {
                0 => encoded(id, first_answer(steps, GOOD + 8), b""),
                _ => Vec::new(),
            }),
        ),
        (
            "a reservation beyond the last address",
            Box::new(|id, steps, index| match index {
                0 => encoded(id, first_answer(steps, u64::MAX << 20), b""),
                _ => Vec::new(),
            }),
        ),
        (
            "no result of the call",
            Box::new(move |id, steps, index| match index {
                0 => encoded(id, first_answer(steps, GOOD), b""),
                _ => encoded(id, done(steps), b""),
            }),
        ),
        (
            "a body without buffers",
            Box::new(move |id, steps, index| match index {
                0 => encoded(id, first_answer(steps, GOOD), b""),
                _ => {
                    let mut outcomes = done(steps);
                    *outcomes.last_mut().unwrap() = Outcome::Returned { bits: 0 };
                    encoded(id, outcomes, b"longer than the buffers")
                }
            }),
        ),
        (
            "a failure after all steps",
            Box::new(move |id, steps, _| {
                let message = String::new();
                let kind = ErrorKind::Internal;
                let outcomes = Outcomes {
                    done: done(steps),
                    failure: Some(Failure { kind, message }),
                };
                let mut frame = Vec::new();
                encode(&mut frame, id, &outcomes, 0, u32::MAX).unwrap();
                frame
            }),
        ),
    ];
    for (what, answers) in cases {
        let (executor, thread) = controller(&hello(), answers);
        let executor = executor.unwrap();
        let mut out = [0; 4];
        let result = executor.place_and_call(
            &image,
            PlaceOptions::default(),
            "f",
            Some("i32 (ptr)"),
            &mut [Argument::Out(&mut out)],
        );
        let error = result.map(|(module, value)| (module.base(), value));
        assert!(
            !matches!(error, Ok(_) | Err(Error::Failed(_))),
            "{what}: {error:?}"
        );
        drop(executor);
        thread.join().unwrap();
    }
}

#[test]
fn a_failure_gives_the_memory_back_and_starts_nothing() {
    require_tools!("clang-22");
    let bytes = common::sources::image("int f(void) { return 1; }");
    let image = Image::parse(&bytes).unwrap();
    let (executor, thread) = controller(
        &hello(),
        Box::new(|id, steps, index| match index {
            0 => encoded(id, first_answer(steps, 1 << 40), b""),
            1 => {
                let failure = Failure {
                    kind: ErrorKind::Memory,
                    message: "no memory".to_owned(),
                };
                let outcomes = Outcomes {
                    done: vec![Outcome::Done],
                    failure: Some(failure),
                };
                let mut frame = Vec::new();
                encode(&mut frame, id, &outcomes, 0, u32::MAX).unwrap();
                frame
            }
            _ => {
                // No unwind tables are forgotten that were never known.
                assert_eq!(steps, [Step::Free { address: 1 << 40 }]);
                encoded(id, vec![Outcome::Done], b"")
            }
        }),
    );
    let executor = executor.unwrap();
    let refused = executor.place(&image, PlaceOptions::default());
    common::assert_fails(refused, ErrorKind::Memory, "no memory");
    assert_eq!(executor.traffic().requests, 3);
    drop(executor);
    thread.join().unwrap();
}
