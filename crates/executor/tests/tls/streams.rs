//! What is carried, and what becomes of connections that are cut or changed.

use std::io::{Read, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use farcall_executor::{Argument, Executor, In, InOut, RemoteModule, Service};
use farcall_image::Image;
use farcall_testkit::{require_tools, tools};
use futures_executor::block_on;

use crate::certificates::{HOST, client, connect, controller, serve, server};
use crate::common::{image, int};

const SOURCE: &str = "
    #include <string.h>
    long add(long a, long b) { return a + b; }
    void invert(const unsigned char *from, unsigned char *to, long n)
    { for (long i = 0; i < n; i++) to[i] = ~from[i]; }
";

fn load(executor: &Executor) -> RemoteModule {
    let bytes = image(SOURCE);
    executor.load(&Image::parse(&bytes).unwrap()).unwrap()
}

#[test]
fn images_and_calls_go_through_it() {
    require_tools!("clang-22");
    let service = Service::default();
    let executor = controller(&service);
    assert_eq!(executor.hello().machine, std::env::consts::ARCH);
    let module = load(&executor);
    let add = executor.function(&module, "add", Some("i64 (i64, i64)"));
    let add = add.unwrap();
    for n in 0..1000 {
        let sum = add.call(&mut [Argument::Int(n), Argument::Int(1)]);
        assert_eq!(sum.unwrap(), int(64, n + 1));
    }
}

/// Neither side may wait for the other to read: 16 calls, each with more than the sockets hold in both directions.
#[test]
fn a_hundred_megabytes_each_way_with_calls_on_their_way_at_once() {
    require_tools!("clang-22");
    let size = tools::rounds(6_250_007);
    let executor = controller(&Service::default());
    let module = load(&executor);
    let invert = executor.function(&module, "invert", Some("void (ptr, ptr, i64)"));
    let invert = invert.unwrap();
    let bytes: Vec<u8> = (0..size).map(|n| ((n * n) >> 3).to_le_bytes()[0]).collect();
    let mut buffers = vec![vec![0; size]; 16];
    let calls: Vec<_> = (buffers.iter_mut())
        .map(|buffer| {
            let size = Argument::Int(size as u64);
            let call = invert.start(&[Argument::In(&bytes), Argument::Out(buffer), size]);
            call.unwrap()
        })
        .collect();
    for (call, buffer) in calls.into_iter().zip(&mut buffers) {
        let arguments = &mut [Argument::In(&[]), Argument::Out(buffer)];
        call.wait_into(arguments).unwrap();
    }
    let inverted: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
    assert!(buffers.iter().all(|buffer| *buffer == inverted));
}

#[test]
fn futures_go_through_it_that_do_not_wait_for_the_socket() {
    require_tools!("clang-22");
    const SIZE: usize = 300_000;
    let executor = controller(&Service::default());
    let module = load(&executor);
    let executor = executor.asynchronous();
    let invert = block_on(executor.typed::<fn(In<u8>, InOut<u8>, i64)>(&module, "invert"));
    let (invert, from, size) = (&invert.unwrap(), &vec![1; SIZE], 300_000);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(move || {
                for _ in 0..12 {
                    let mut inverted = vec![0; SIZE];
                    let call = invert.call_async(from, &mut inverted, size);
                    block_on(call).unwrap();
                    assert!(inverted.iter().all(|&byte| byte == !1));
                }
            });
        }
    });
}

#[test]
fn a_frame_that_is_longer_than_all_buffers() {
    require_tools!("clang-22");
    let size = tools::rounds(100 << 20);
    let executor = controller(&Service::default());
    let module = load(&executor);
    let bytes = vec![0x5a; size];
    let mut inverted = vec![0; size];
    let mut arguments = [
        Argument::In(&bytes),
        Argument::Out(&mut inverted),
        Argument::Int(size as u64),
    ];
    let signature = Some("void (ptr, ptr, i64)");
    executor
        .call(&module, "invert", signature, &mut arguments)
        .unwrap();
    assert!(inverted.iter().all(|&byte| byte == 0xa5));
}

#[test]
fn threads_share_a_connection() {
    require_tools!("clang-22");
    let executor = controller(&Service::default());
    let module = load(&executor);
    thread::scope(|scope| {
        for thread in 0..8 {
            let executor = &executor;
            scope.spawn(move || {
                for n in 0..500 {
                    let mut arguments = [Argument::Int(thread), Argument::Int(n)];
                    let signature = Some("i64 (i64, i64)");
                    let sum = executor.call(&module, "add", signature, &mut arguments);
                    assert_eq!(sum.unwrap(), int(64, thread + n));
                }
            });
        }
    });
}

#[test]
fn sixty_four_connections_at_once() {
    let service = Service::default();
    let (server, client) = (server(), client());
    thread::scope(|scope| {
        for _ in 0..64 {
            let (service, server, client) = (&service, &server, &client);
            scope.spawn(move || {
                let served = serve(service, server);
                let executor = connect(client, served.port).unwrap();
                for _ in 0..50 {
                    executor.ping().unwrap();
                }
                drop(executor);
                served.end().unwrap();
            });
        }
    });
    let statistics = controller(&service).statistics().unwrap();
    assert_eq!(statistics.connections, 65);
}

#[derive(Debug, Clone, Copy)]
enum Direction {
    ToServer,
    ToClient,
}

/// What a relay does to a byte that it carries in a direction.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// It, and all after it, is lost: both connections end.
    Cut(Direction, usize),
    /// It is changed.
    Change(Direction, usize),
}

/// Carries the next connection to `port`, with a fault, and gives the port to connect to.
fn relay(port: u16, fault: Fault) -> u16 {
    let listener = TcpListener::bind((HOST, 0)).unwrap();
    let here = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let client = listener.accept().unwrap().0;
        let server = TcpStream::connect((HOST, port)).unwrap();
        let (client, server) = (&client, &server);
        thread::scope(|scope| {
            scope.spawn(|| carry(client, server, fault, Direction::ToServer));
            carry(server, client, fault, Direction::ToClient);
        });
    });
    here
}

fn carry(mut from: &TcpStream, mut to: &TcpStream, fault: Fault, direction: Direction) {
    // Of a record whose length was changed both sides wait for the rest.
    from.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut bytes = [0; 1000];
    let mut n_before = 0;
    while let Ok(n_bytes @ 1..) = from.read(&mut bytes) {
        let mut bytes = &mut bytes[..n_bytes];
        let here = |place: usize| place.checked_sub(n_before).filter(|&place| place < n_bytes);
        let mut is_cut = false;
        match (fault, direction) {
            (Fault::Cut(Direction::ToServer, place), Direction::ToServer)
            | (Fault::Cut(Direction::ToClient, place), Direction::ToClient) => {
                if let Some(place) = here(place) {
                    bytes = &mut bytes[..place];
                    is_cut = true;
                }
            }
            (Fault::Change(Direction::ToServer, place), Direction::ToServer)
            | (Fault::Change(Direction::ToClient, place), Direction::ToClient) => {
                if let Some(place) = here(place) {
                    bytes[place] ^= 0x10;
                }
            }
            _ => {}
        }
        if to.write_all(bytes).is_err() || is_cut {
            break;
        }
        n_before += n_bytes;
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// What the handshake, both hellos and a ping with its answer are in bytes, about, in either direction.
const ALL: usize = 1800;

#[test]
fn connections_that_are_cut_at_any_byte_end_on_both_sides() {
    let (service, server, client) = (Service::default(), server(), client());
    for direction in [Direction::ToServer, Direction::ToClient] {
        for place in (0..ALL).step_by(37) {
            let served = serve(&service, &server);
            let port = relay(served.port, Fault::Cut(direction, place));
            // What is cut after the last byte that is needed is noticed later.
            let connected = connect(&client, port).and_then(|executor| {
                while executor.ping().is_ok() {}
                executor.ping()
            });
            connected.unwrap_err();
            let error = served.failed();
            assert!(
                error.contains("in the middle of the handshake")
                    || error.contains("the connection was cut"),
                "{error}"
            );
        }
    }
    controller(&service).ping().unwrap();
}

#[test]
fn bytes_that_are_changed_on_their_way_are_never_taken_for_what_was_sent() {
    let (service, server, client) = (Service::default(), server(), client());
    let (mut n_noticed, mut n_all) = (0, 0);
    for direction in [Direction::ToServer, Direction::ToClient] {
        for place in (0..ALL).step_by(41) {
            let served = serve(&service, &server);
            let port = relay(served.port, Fault::Change(direction, place));
            let pings = connect(&client, port).and_then(|executor| {
                // Enough to come to the byte.
                (0..200).try_for_each(|_| executor.ping())
            });
            // Nobody looks at the version in the head of a record, and at one that TLS 1.3 has for what is in the way only.
            let ended = served.end();
            n_noticed += usize::from(pings.is_err() && ended.is_err());
            n_all += 1;
            assert_eq!(pings.is_err(), ended.is_err(), "{pings:?} {ended:?}");
        }
    }
    // Those are two of the five bytes of a head; how many of them are met is chance.
    assert!(n_noticed * 10 >= n_all * 9, "{n_noticed} of {n_all}");
    controller(&service).ping().unwrap();
}
