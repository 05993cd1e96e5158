//! Images that come through memory, with digests that the controller has compared.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, also outside of the functions that are marked as tests"
)]

mod common;

use std::fs::File;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt as _;

use common::{Served, assert_fails, hello, image, number, serve, small_service};
use farcall_executor::{Argument, Connection, ErrorKind, Executor, Failure, Service, Value};
use farcall_image::Image;
use farcall_protocol::{Form, Request, Response, encode};
use farcall_testkit::{require_tools, tools};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

/// A controller over a Unix socket.
fn controller(service: &Service) -> Executor {
    Executor::speak(Connection::unix(serve(service).stream)).unwrap()
}

/// A controller that sends large images through memory from now on: it has sent two.
fn settled(service: &Service) -> Executor {
    let executor = controller(service);
    for number in 0..2 {
        let bytes = large(&format!("int settles{number}(void) {{ return fill[0]; }}"));
        let module = executor.load(&Image::parse(&bytes).unwrap()).unwrap();
        executor.unload(&module).unwrap();
    }
    executor
}

/// A large image, with what is given.
fn large(source: &str) -> Vec<u8> {
    image(&format!("const char fill[400000] = {{1}}; {source}"))
}

/// What is sent instead of an image.
fn damaged(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    // Among the zeros.
    let zeros = bytes.windows(5000).position(|it| it == [0; 5000]);
    bytes[zeros.unwrap() + 2500] = 1;
    bytes
}

#[test]
fn images_come_through_memory_one_after_the_other() {
    require_tools!("clang-22");
    let executor = controller(&Service::default());
    let mut passed = 0;
    for round in 0..5 {
        let missing = large(&format!(
            "void nowhere(void); int f{round}(void) {{ nowhere(); return 0; }}"
        ));
        let missing = Image::parse(&missing).unwrap();
        assert_fails(executor.load(&missing), ErrorKind::Load, "nowhere");
        let bytes = large(&format!("int f(void) {{ return {round} + fill[0]; }}"));
        let image = Image::parse(&bytes).unwrap();
        let options = farcall_executor::LoadOptions::default();
        let called = executor.load_and_call(&image, options, "f", Some("i32 ()"), &mut []);
        let (module, value) = called.unwrap();
        assert_eq!(
            value,
            Value::Int {
                bits: 32,
                value: round + 1
            }
        );
        assert!(module.was_sent && !module.was_loaded);
        passed += missing.bytes().len() + bytes.len();
        let traffic = executor.traffic();
        assert_eq!(traffic.passed, passed as u64);
        assert_eq!(executor.statistics().unwrap().passed, passed as u64);
        // The memory comes with a request of its own, beside the second image.
        assert_eq!(traffic.requests, 1 + 4 * round + 3);
    }
    assert_eq!(executor.list().unwrap().len(), 5);
}

#[test]
fn nothing_runs_of_an_image_that_its_sender_finds_to_be_wrong() {
    require_tools!("clang-22");
    let service = Service::default();
    let executor = settled(&service);
    let started = image("int n; int count(void) { return n; }");
    let started = executor.load(&Image::parse(&started).unwrap()).unwrap();
    let mut sources = vec![
        "extern int n; __attribute__((constructor)) static void start(void) { n++; } int f(void) { return fill[0]; }",
    ];
    if !tools::is_emulated() {
        // One that has to run to be loaded.
        sources.push(
            "extern int n; static int one(void) { return 1; } static void *choose(void) { n++; return one; } \
             int chosen(void) __attribute__((ifunc(\"choose\"))); int f(void) { return chosen(); }",
        );
    }
    for (source, before) in sources.into_iter().zip(0..) {
        let bytes = large(source);
        let wrong = damaged(&bytes);
        let wrong = Image::parse(&wrong).unwrap();
        let options = farcall_executor::LoadOptions::default();
        let called = executor.load_and_call(&wrong, options, "f", Some("i32 ()"), &mut []);
        assert_fails(called, ErrorKind::Image, "the bytes were changed");
        assert_eq!(number(&executor, &started, "count"), before);
        let image = Image::parse(&bytes).unwrap();
        let called = executor.load_and_call(&image, options, "f", Some("i32 ()"), &mut []);
        assert_eq!(called.unwrap().1, Value::Int { bits: 32, value: 1 });
        assert_eq!(number(&executor, &started, "count"), before + 1);
    }
}

#[test]
fn an_image_goes_another_way_while_something_is_on_its_way() {
    require_tools!("clang-22");
    let executor = settled(&Service::default());
    executor
        .define_function("wait", "void ()", |_, _| Ok(Value::Void))
        .unwrap();
    let slow = image("void wait(void); int slow(void) { wait(); return 7; }");
    let slow = executor.load(&Image::parse(&slow).unwrap()).unwrap();
    let slow = executor.function(&slow, "slow", Some("i32 ()")).unwrap();
    // It calls back, which nobody answers who waits for room.
    let calls: Vec<_> = (0..3).map(|_| slow.start(&[]).unwrap()).collect();
    let bytes = large("int f(void) { return fill[0]; }");
    let image = Image::parse(&bytes).unwrap();
    let load = executor
        .start_load(&image, farcall_executor::LoadOptions::default())
        .unwrap();
    for call in calls {
        assert_eq!(call.wait().unwrap(), Value::Int { bits: 32, value: 7 });
    }
    let module = load.wait().unwrap();
    assert_eq!(number(&executor, &module, "f"), 1);
}

#[test]
fn several_threads_send_images() {
    require_tools!("clang-22");
    let executor = controller(&Service::default());
    let images: Vec<_> = (0..4)
        .map(|it| large(&format!("int f(int x) {{ return x + {it}; }}")))
        .collect();
    std::thread::scope(|scope| {
        for (bytes, number) in images.iter().zip(0..) {
            let executor = &executor;
            scope.spawn(move || {
                let image = Image::parse(bytes).unwrap();
                for round in 0..20 {
                    let module = executor.load(&image).unwrap();
                    let mut arguments = [Argument::Int(round)];
                    let sum = executor.call(&module, "f", Some("i32 (i32)"), &mut arguments);
                    let value = round + number;
                    assert_eq!(sum.unwrap(), Value::Int { bits: 32, value });
                    executor.unload(&module).unwrap();
                }
            });
        }
    });
}

// What a peer may send.

/// Of each ring.
const RING: u32 = 1 << 20;

/// A connection on which so much memory is shared.
fn docked(service: &Service) -> (Served, File) {
    let mut served = serve(service);
    served.send(&hello());
    served.read_frame();
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = rustix::fs::memfd_create("test", flags).unwrap();
    rustix::fs::ftruncate(&file, 4096 + 2 * u64::from(RING)).unwrap();
    rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW).unwrap();
    assert_eq!(
        ask(&mut served, &Request::Dock, Some(&file)),
        Response::Done
    );
    (served, file.into())
}

fn ask(served: &mut Served, request: &Request<'_>, file: Option<&OwnedFd>) -> Response {
    let mut frame = Vec::new();
    encode(&mut frame, 1, request, 0, u32::MAX).unwrap();
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut room);
    let files: Vec<_> = file.into_iter().map(AsFd::as_fd).collect();
    if !files.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&files));
    }
    let flags = SendFlags::empty();
    rustix::net::sendmsg(&served.stream, &[IoSlice::new(&frame)], &mut control, flags).unwrap();
    served.read_response().1
}

/// A request to load an image of `size` bytes.
fn load<'a>(image: &Image<'_>, size: usize) -> Request<'a> {
    Request::Load {
        digest: image.digest(),
        size: size as u64,
        name: "",
        scope: None,
        form: Form::Docked,
    }
}

fn failed(response: Response) -> Failure {
    match response {
        Response::Failed(failure) => failure,
        other => panic!("{other:?} is no failure"),
    }
}

/// Writes to the ring what was not written before; `ends` says that there is no more.
fn write(memory: &File, bytes: &[u8], ends: bool) {
    memory.write_all_at(bytes, 4096).unwrap();
    let gone = u32::from(ends).to_le_bytes();
    memory.write_all_at(&gone, 260).unwrap();
    let written = u32::try_from(bytes.len()).unwrap();
    memory.write_all_at(&written.to_le_bytes(), 0).unwrap();
}

#[test]
fn an_image_is_what_its_sender_says() {
    require_tools!("clang-22");
    let right = large("int f(void) { return fill[0]; }");
    let wrong = damaged(&right);
    let image = Image::parse(&right).unwrap();
    let loaded = Response::Loaded { was_loaded: false };
    let cases = [
        (&right, 1, None),
        // Whoever may say so may do anything.
        (&wrong, 1, None),
        (&wrong, 0, Some("the bytes were changed")),
        (&right, 0, Some("its sender says")),
        (&right, 2, Some("its sender says")),
    ];
    for (bytes, word, refused) in cases {
        let (mut served, memory) = docked(&small_service());
        write(&memory, &[&bytes[..], &[word]].concat(), false);
        let answer = ask(&mut served, &load(&image, bytes.len()), None);
        match refused {
            None => assert_eq!(answer, loaded),
            Some(part) => {
                let failure = failed(answer);
                assert_eq!(failure.kind, ErrorKind::Image, "{failure}");
                assert!(failure.message.contains(part), "{failure}");
                let listed = ask(&mut served, &Request::List { skip: 0 }, None);
                assert!(
                    matches!(&listed, Response::Modules { n_total: 0, .. }),
                    "{listed:?}"
                );
            }
        }
        served.hang_up().unwrap();
    }
}

#[test]
fn a_sender_that_stops_halfway_has_its_request_fail_and_its_dock_closed() {
    require_tools!("clang-22");
    let service = small_service();
    let bytes = large("int f(void) { return fill[0]; }");
    let image = Image::parse(&bytes).unwrap();
    // In the middle, and before its word.
    for n_bytes in [0, 1, bytes.len() / 2, bytes.len()] {
        let (mut served, memory) = docked(&service);
        write(&memory, &bytes[..n_bytes], true);
        let failure = failed(ask(&mut served, &load(&image, bytes.len()), None));
        assert_eq!(failure.kind, ErrorKind::NoFile, "{failure}");
        assert!(failure.message.contains("it ended"), "{failure}");
        let failure = failed(ask(&mut served, &load(&image, bytes.len()), None));
        assert!(failure.message.contains("no memory is shared"), "{failure}");
        assert_eq!(ask(&mut served, &Request::Ping, None), Response::Done);
        served.hang_up().unwrap();

        // One that goes.
        let (mut served, memory) = docked(&service);
        write(&memory, &bytes[..n_bytes], false);
        let mut frame = Vec::new();
        encode(&mut frame, 1, &load(&image, bytes.len()), 0, u32::MAX).unwrap();
        served.send(&frame);
        let _ = served.hang_up();
    }
    // The image can be loaded by others.
    let executor = controller(&service);
    assert_eq!(executor.list().unwrap(), []);
    let module = executor.load(&image).unwrap();
    assert_eq!(number(&executor, &module, "f"), 1);
}

#[test]
fn nonsense_in_the_memory_is_a_failure() {
    require_tools!("clang-22");
    let service = small_service();
    let bytes = large("int f(void) { return fill[0]; }");
    let image = Image::parse(&bytes).unwrap();
    // More written than a ring has.
    let (mut served, memory) = docked(&service);
    memory.write_all_at(&(RING + 1).to_le_bytes(), 0).unwrap();
    let failure = failed(ask(&mut served, &load(&image, bytes.len()), None));
    assert_eq!(failure.kind, ErrorKind::NoFile, "{failure}");
    // More than the executor takes.
    for size in [(1 << 20) + 1, usize::MAX] {
        let (mut served, _memory) = docked(&service);
        let failure = failed(ask(&mut served, &load(&image, size), None));
        assert_eq!(failure.kind, ErrorKind::Image, "{failure}");
        assert!(
            failure.message.contains("longer than the limit"),
            "{failure}"
        );
    }
    // No image, and one of another digest.
    let other = large("int g(void) { return fill[0]; }");
    for (sent, part) in [
        (vec![7; 100_000], "ELF"),
        (other, "not the image that was meant"),
    ] {
        let (mut served, memory) = docked(&service);
        write(&memory, &[&sent[..], &[1]].concat(), false);
        let failure = failed(ask(&mut served, &load(&image, sent.len()), None));
        assert_eq!(failure.kind, ErrorKind::Image, "{failure}");
        assert!(failure.message.contains(part), "{failure}");
    }
    assert_eq!(controller(&service).list().unwrap(), []);
}

#[test]
fn without_memory_nothing_comes_through_it() {
    require_tools!("clang-22");
    let bytes = large("int f(void) { return fill[0]; }");
    let image = Image::parse(&bytes).unwrap();
    let mut served = serve(&small_service());
    served.send(&hello());
    served.read_frame();
    let failure = failed(ask(&mut served, &load(&image, bytes.len()), None));
    assert_eq!(failure.kind, ErrorKind::NoFile, "{failure}");
    let failure = failed(ask(&mut served, &Request::Dock, None));
    assert!(failure.message.contains("no file came"), "{failure}");
}

#[test]
fn executors_that_compare_take_nobodys_word() {
    require_tools!("clang-22");
    if tools::skips_emulated("an emulator starts no template") {
        return;
    }
    let service =
        common::isolated::isolated(common::isolated::isolation(farcall_executor::Keep::Session));
    let bytes = large("int f(void) { return fill[0]; }");
    let image = Image::parse(&bytes).unwrap();
    let executor = controller(&service);
    assert!(!executor.hello().docks);
    let wrong = damaged(&bytes);
    let wrong = executor.load(&Image::parse(&wrong).unwrap());
    assert_fails(wrong, ErrorKind::Image, "the bytes were changed");
    let module = executor.load(&image).unwrap();
    assert_eq!(number(&executor, &module, "f"), 1);
    // One that asks all the same.
    let mut served = serve(&service);
    served.send(&hello());
    served.read_frame();
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = rustix::fs::memfd_create("test", flags).unwrap();
    for request in [Request::Dock, load(&image, bytes.len())] {
        let failure = failed(ask(&mut served, &request, Some(&file)));
        assert_eq!(failure.kind, ErrorKind::NoFile, "{failure}");
    }
}
