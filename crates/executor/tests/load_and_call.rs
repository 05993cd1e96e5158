//! Loading an image and calling what it defines, at once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::io::Read as _;

use common::{assert_fails, controller, hello, image, serve, small_service};
use farcall_executor::{
    Argument, Connection, Error, ErrorKind, Executor, LoadOptions, Order, RemoteModule, SealedFile,
    Service, Value,
};
use farcall_image::Image;
use farcall_protocol::{Callee, Deframer, Form, Request, Response, decode, encode};
use farcall_testkit::require_tools;

const SOURCE: &str = "
    int add(int a, int b) { return a + b; }
    void fill(unsigned char *bytes, int n) { while (n--) *bytes++ = 7; }
";

/// A connection on which several requests can be on their way.
fn pipelined(service: &Service) -> Executor {
    Executor::speak(Connection::unix(serve(service).stream)).unwrap()
}

fn add(executor: &Executor, image: &Image<'_>) -> Result<(RemoteModule, Value), Error> {
    let mut arguments = [Argument::Int(40), Argument::Int(2)];
    let signature = Some("i32 (i32, i32)");
    executor.load_and_call(
        image,
        LoadOptions::default(),
        "add",
        signature,
        &mut arguments,
    )
}

const SUM: Value = Value::Int {
    bits: 32,
    value: 42,
};

#[test]
fn whatever_the_executor_has_it_is_loaded_once_and_called_once() {
    require_tools!("clang-22");
    let small = image(SOURCE);
    let large = image(&format!("const char large[100000] = {{[7] = 1}}; {SOURCE}"));
    for bytes in [small, large] {
        let image = Image::parse(&bytes).unwrap();
        for connect in [pipelined, controller] {
            let service = small_service();
            let executor = connect(&service);
            let done = |expected: (bool, bool)| {
                let calls = executor.statistics().unwrap().calls;
                let (module, value) = add(&executor, &image).unwrap();
                assert_eq!(
                    (module.digest, (module.was_sent, module.was_loaded)),
                    (image.digest(), expected)
                );
                assert_eq!(value, SUM);
                assert_eq!(executor.statistics().unwrap().calls, calls + 1);
            };
            done((true, false));
            done((false, true));
            // What is unloaded by somebody else is sent again.
            controller(&service).unload(image.digest()).unwrap();
            done((true, false));
        }
    }
}

#[test]
fn one_file_in_memory_goes_to_many_executors() {
    require_tools!("clang-22");
    let sealed = |n_bytes: usize| {
        let source = format!("const char large[{n_bytes}] = {{[7] = 1}}; {SOURCE}");
        SealedFile::new(&image(&source)).unwrap()
    };
    let file = sealed(200_000);
    let image = Image::parse(file.bytes()).unwrap();
    // That of another image says nothing, and a small one is no file any more.
    let other = sealed(200_001);
    assert!(file.file().is_some() && sealed(8).file().is_none());
    let signature = Some("i32 (i32, i32)");
    for file in [&file, &file, &other] {
        let executor = pipelined(&Service::default());
        let options = LoadOptions {
            file: Some(file),
            ..LoadOptions::default()
        };
        let mut arguments = [Argument::Int(40), Argument::Int(2)];
        // Once the file has been mapped twice, the executor keeps the mapping.
        for _ in 0..3 {
            let called = executor.load_and_call(&image, options, "add", signature, &mut arguments);
            let (module, value) = called.unwrap();
            assert_eq!((module.was_sent, value), (true, SUM));
            executor.unload(&module).unwrap();
        }
        assert_eq!(executor.traffic().passed, 3 * image.bytes().len() as u64);
    }
    // Nobody's code changed it.
    image.verify_digest().unwrap();
}

#[test]
fn buffers_come_out() {
    require_tools!("clang-22");
    let bytes = image(SOURCE);
    let image = Image::parse(&bytes).unwrap();
    let mut filled = [0; 5];
    let mut arguments = [Argument::Out(&mut filled), Argument::Int(4)];
    let options = LoadOptions {
        name: "filling",
        ..LoadOptions::default()
    };
    let signature = Some("void (ptr, i32)");
    let executor = pipelined(&small_service());
    let called = executor.load_and_call(&image, options, "fill", signature, &mut arguments);
    assert_eq!(called.unwrap().1, Value::Void);
    assert_eq!(filled, [7, 7, 7, 7, 0]);
    assert_eq!(executor.list().unwrap()[0].names, ["filling"]);
}

#[test]
fn the_first_failure_is_the_one_that_is_reported() {
    require_tools!("clang-22");
    for connect in [pipelined, controller] {
        let executor = connect(&small_service());
        let missing = image("int absent(void); int add(int a, int b) { return absent() + a + b; }");
        let missing = Image::parse(&missing).unwrap();
        assert_fails(add(&executor, &missing), ErrorKind::Load, "absent");
        assert_eq!(executor.list().unwrap(), []);

        let other = image("int subtract(int a, int b) { return a - b; }");
        let other = Image::parse(&other).unwrap();
        assert_fails(add(&executor, &other), ErrorKind::UnknownSymbol, "add");
        // It was loaded all the same.
        assert_eq!(executor.list().unwrap()[0].digest, other.digest());
        executor.ping().unwrap();
    }
}

#[test]
fn both_answers_are_written_at_once() {
    require_tools!("clang-22");
    let bytes = image(SOURCE);
    let image = Image::parse(&bytes).unwrap();
    let mut served = serve(&small_service());
    served.send(&hello());
    served.read_frame();
    let load = Request::Load {
        digest: image.digest(),
        size: bytes.len() as u64,
        name: "",
        scope: None,
        form: Form::Plain,
    };
    let call = Request::Call {
        function: Callee::Export {
            module: image.digest().into(),
            name: "add",
            signature: Some("i32 (i32, i32)"),
        },
        arguments: vec![
            farcall_protocol::Argument::Int(1),
            farcall_protocol::Argument::Int(2),
        ],
        order: Order::WithAnswersBefore,
    };
    let mut requests = Vec::new();
    encode(&mut requests, 1, &load, bytes.len(), 1 << 20).unwrap();
    requests.extend_from_slice(&bytes);
    encode(&mut requests, 2, &call, 0, 1 << 20).unwrap();
    served.send(&requests);

    // A Unix socket does not divide what was written at once.
    let mut answers = Deframer::new(1 << 20);
    let n_bytes = served.stream.read(answers.space()).unwrap();
    answers.filled(n_bytes);
    let mut next = || {
        let frame = answers.take_frame().unwrap().unwrap();
        let answer = decode::<Response>(&frame).unwrap();
        (answer.id, answer.message)
    };
    assert_eq!(next(), (1, Response::Loaded { was_loaded: false }));
    let value = farcall_protocol::Value::Int { bits: 32, value: 3 };
    assert_eq!(next(), (2, Response::Returned { value }));
}
