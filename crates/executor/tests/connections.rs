//! What a connection may bring, and that it costs no more than that connection.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::io;
use std::time::Duration;

use common::{assert_fails, controller, frame, hello, serve, small_service};
use farcall_executor::{
    Argument, Definition, Error, ErrorKind, Executor, Failure, ModuleName, Service, Timeouts,
};
use farcall_image::Digest;
use farcall_protocol::{
    Callee, Form, HELLO_LIMIT, Hello, NO_REQUEST, Order, Request, Response, VERSION, encode,
};

const DIGEST: Digest = Digest::from_bytes([7; 32]);

/// That the service still serves.
fn assert_lives(service: &Service) {
    controller(service).ping().unwrap();
}

fn encoded(id: u64, request: &Request<'_>, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    encode(&mut frame, id, request, body.len(), u32::MAX).unwrap();
    frame.extend_from_slice(body);
    frame
}

#[test]
fn an_executor_says_who_it_is_and_answers() {
    let executor = controller(&small_service());
    let hello = executor.hello().clone();
    assert!(hello.software.starts_with("farcall "), "{hello:?}");
    assert_eq!(hello.machine, std::env::consts::ARCH);
    assert_eq!((hello.frame_limit, hello.modules.len()), (1 << 20, 0));
    let before = executor.traffic();
    executor.ping().unwrap();
    assert_eq!(executor.list().unwrap(), []);
    let after = executor.traffic();
    // A ping is 6 bytes each way; a list 7 there, and 8 back when it is empty.
    assert_eq!(after.sent - before.sent, 6 + 7);
    assert_eq!(after.received - before.received, 6 + 8);
    assert_eq!(after.requests - before.requests, 2);
}

#[test]
fn requests_may_follow_each_other_before_any_answer() {
    let mut served = serve(&small_service());
    let mut bytes = hello();
    for id in 1..=100 {
        bytes.extend(encoded(id, &Request::Ping, b""));
    }
    served.send(&bytes);
    Hello::decode(&served.read_frame()).unwrap();
    for id in 1..=100 {
        assert_eq!(served.read_response(), (id, Response::Done));
    }
    served.hang_up().unwrap();
}

#[test]
fn what_is_not_there_is_an_error_and_the_connection_lives() {
    let executor = controller(&small_service());
    let unknown = ErrorKind::UnknownModule;
    assert_fails(
        executor.lookup("sqlite", "f"),
        unknown,
        "sqlite: no such module",
    );
    let digest = DIGEST.to_string();
    assert_fails(executor.call(DIGEST, "f", None, &mut []), unknown, &digest);
    assert_fails(executor.unload("sqlite"), unknown, "sqlite");
    let alias = Definition::Export {
        module: ModuleName::Name("sqlite"),
        name: "f",
    };
    assert_fails(executor.define("g", None, alias), unknown, "sqlite");
    let wrong = Definition::Address(1);
    assert_fails(
        executor.define("g", Some("i32 (void)"), wrong),
        ErrorKind::Definition,
        "g: \"i32 (void)\": not a function type",
    );
    executor.ping().unwrap();
}

#[test]
fn definitions_have_values() {
    let executor = controller(&small_service());
    let answer = executor.define("answer", None, Definition::Address(42));
    assert_eq!(answer.unwrap(), 42);
    let table = executor.define_bytes("table", &[1, 2, 3]).unwrap();
    assert_ne!(table, 0);
    assert_eq!(table % 64, 0);
    let other = executor.define_bytes("other", &[]).unwrap();
    assert_eq!(other % 64, 0);
}

#[test]
fn bytes_that_are_no_image_are_refused() {
    let service = small_service();
    let mut served = serve(&service);
    served.send(&hello());
    served.read_frame();
    let load = |size, name| Request::Load {
        digest: DIGEST,
        size,
        name,
        scope: None,
        form: Form::Plain,
    };
    let long = "n".repeat(257);
    for (id, (request, body, kind, part)) in (1..).zip([
        (
            load(5, ""),
            &b"bytes"[..],
            ErrorKind::Image,
            "not an ELF file",
        ),
        (
            load(5, "lib"),
            b"bytes",
            ErrorKind::Image,
            "lib: not an ELF file",
        ),
        (
            load(6, ""),
            b"bytes",
            ErrorKind::Malformed,
            "5 bytes of an image of 6",
        ),
        (
            load(1 << 40, ""),
            b"",
            ErrorKind::Image,
            "longer than the limit",
        ),
        (load(5, &long), b"bytes", ErrorKind::Load, "257 bytes"),
        (
            Request::Ping,
            b"x",
            ErrorKind::Malformed,
            "a body of 1 bytes",
        ),
    ]) {
        served.send(&encoded(id, &request, body));
        let (answered, Response::Failed(failure)) = served.read_response() else {
            panic!("{request:?} was done");
        };
        assert_eq!((answered, failure.kind), (id, kind));
        assert!(failure.message.contains(part), "{failure}");
    }
    served.send(&encoded(9, &load(5, ""), b""));
    assert_eq!(served.read_response(), (9, Response::Needed));
    served.hang_up().unwrap();
}

#[test]
fn a_connection_cut_anywhere_leaves_the_executor_alive() {
    let service = small_service();
    let request = Request::Call {
        function: Callee::Export {
            module: ModuleName::Name("m"),
            name: "f",
            signature: None,
        },
        arguments: vec![],
        order: Order::InTurn,
    };
    let bytes = [hello(), encoded(1, &request, b"")].concat();
    let n_hello = hello().len();
    for end in 0..=bytes.len() {
        let mut served = serve(&service);
        served.send(&bytes[..end]);
        let result = served.hang_up();
        match result {
            // At the edge of a frame it is the end, within one an error.
            Ok(()) => assert!([0, n_hello, bytes.len()].contains(&end), "{end}"),
            Err(Error::Closed { in_frame }) => assert!(in_frame, "{end}"),
            // It may write when nobody reads any more.
            Err(Error::Connection(error)) => {
                let kinds = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset];
                assert!(kinds.contains(&error.kind()), "{end}: {error}");
            }
            Err(error) => panic!("{end}: {error}"),
        }
    }
    assert_lives(&service);
}

#[test]
fn a_frame_over_the_limit_ends_its_connection() {
    let service = small_service();
    for length in [(1 << 20) + 1, u32::MAX] {
        let mut served = serve(&service);
        served.send(&hello());
        served.read_frame();
        served.send(&length.to_le_bytes());
        let failure = Failure {
            kind: ErrorKind::TooLong,
            message: format!("frame of {length} bytes: longer than the limit of 1048576 bytes"),
        };
        assert_eq!(
            served.read_response(),
            (NO_REQUEST, Response::Failed(failure))
        );
        assert!(matches!(served.closed(), Error::Protocol(_)));
    }
    // A hello has a limit of its own.
    let mut served = serve(&service);
    served.read_frame();
    served.send(&(HELLO_LIMIT + 1).to_le_bytes());
    assert!(matches!(served.read_response().1, Response::Failed(_)));
    served.closed();
    assert_lives(&service);
}

#[test]
fn garbage_ends_its_connection() {
    let service = small_service();
    let mut newer = hello();
    newer[12..16].copy_from_slice(&(VERSION + 1).to_le_bytes());
    let other = format!("version {} of the protocol", VERSION + 1);
    for (bytes, part) in [
        (frame(b"garbage"), "does not speak"),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "longer than the limit"),
        (newer, other.as_str()),
        ([hello(), frame(b"")].concat(), "0 bytes"),
        ([hello(), frame(&[1, 99])].concat(), "2 bytes"),
        ([hello(), frame(&[0xff; 64])].concat(), "64 bytes"),
    ] {
        let mut served = serve(&service);
        served.send(&bytes);
        served.read_frame();
        let (id, Response::Failed(failure)) = served.read_response() else {
            panic!("{bytes:?} was understood");
        };
        assert_eq!(id, NO_REQUEST);
        assert!(failure.message.contains(part), "{failure}");
        served.closed();
    }
    assert_lives(&service);
}

#[test]
fn a_controller_refuses_what_is_no_executor() {
    let newer = |mut bytes: Vec<u8>| {
        bytes[12..16].copy_from_slice(&(VERSION + 1).to_le_bytes());
        bytes
    };
    let other = format!("speaks version {} of the protocol", VERSION + 1);
    for (bytes, part) in [
        (vec![], "closed by the peer before it answered"),
        (b"\x07\0\0\0gar".to_vec(), "in the middle of a frame"),
        (frame(b"garbage"), "does not speak farcall's protocol"),
        (
            b"SSH-2.0-OpenSSH".to_vec(),
            "does not speak farcall's protocol",
        ),
        (newer(hello()), other.as_str()),
    ] {
        let error = Executor::over(io::Cursor::new(bytes), io::sink()).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn a_controller_refuses_answers_out_of_place() {
    let answer = |id, response: &Response, body: &[u8]| {
        let mut frame = hello();
        encode(&mut frame, id, response, body.len(), u32::MAX).unwrap();
        frame.extend_from_slice(body);
        Executor::over(io::Cursor::new(frame), io::sink()).unwrap()
    };
    let returned = Response::Returned {
        value: farcall_protocol::Value::Void,
    };
    let error = answer(2, &Response::Done, b"").ping().unwrap_err();
    assert!(matches!(error, Error::OutOfPlace { .. }), "{error}");
    let error = answer(1, &returned, b"").ping().unwrap_err();
    assert!(matches!(error, Error::OutOfPlace { .. }), "{error}");
    let mut out = [0; 2];
    for body in [&b"1"[..], b"123"] {
        let mut arguments = [Argument::Out(&mut out)];
        let error = answer(1, &returned, body).call("m", "f", None, &mut arguments);
        assert!(matches!(error, Err(Error::OutOfPlace { .. })), "{error:?}");
    }
    let error = answer(1, &Response::Done, b"").list().unwrap_err();
    assert!(matches!(error, Error::OutOfPlace { .. }), "{error}");
}

#[test]
fn what_the_executor_does_not_take_is_not_sent() {
    let executor = controller(&small_service());
    let sent = executor.traffic().sent;
    let error = executor.define_bytes("table", &[0; 1 << 20]).unwrap_err();
    assert!(
        error.to_string().contains("longer than the limit"),
        "{error}"
    );
    assert_eq!(executor.traffic().sent, sent);
    executor.ping().unwrap();
}

#[test]
fn seeded_garbage_after_a_hello_never_ends_the_service() {
    let service = small_service();
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[2]
    };
    for _ in 0..300 {
        let mut served = serve(&service);
        let mut bytes = hello();
        for _ in 0..random() % 4 {
            let payload: Vec<u8> = (0..random() % 40).map(|_| random() % 8).collect();
            bytes.extend(frame(&payload));
        }
        served.send(&bytes);
        let _ = served.hang_up();
    }
    assert_lives(&service);
}

#[test]
fn a_peer_that_stays_silent_is_an_error_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("silent.sock");
    let _silent = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let address = format!("unix:{}", path.display()).parse().unwrap();
    let timeouts = Timeouts {
        greeting: Duration::from_secs(1),
        ..Timeouts::default()
    };
    let error = Executor::connect_with(&address, timeouts)
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("so it is no executor, or a busy one"),
        "{error}"
    );
}
