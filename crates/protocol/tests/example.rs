//! The worked example of `docs/protocol.md` is what the code encodes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

use farcall_protocol::{
    Argument, Callee, Hello, ModuleName, Order, Request, Response, Value, encode,
};

const DOCUMENT: &str = include_str!("../../../docs/protocol.md");

/// Of an x86-64 processor that has `cx16`, `popcnt` and `sse3`.
const FEATURES: u128 = 1 << 43 | 1 << 60 | 1 << 76;

/// The bytes of each `hex` block; what follows a `#` is a comment.
fn examples() -> Vec<Vec<u8>> {
    let blocks = DOCUMENT.split("```hex\n").skip(1);
    let blocks = blocks.map(|block| block.split("```").next().unwrap());
    blocks
        .map(|block| {
            let lines = block.lines().map(|line| line.split('#').next().unwrap());
            lines
                .flat_map(str::split_whitespace)
                .map(|byte| u8::from_str_radix(byte, 16).unwrap())
                .collect()
        })
        .collect()
}

fn hello(software: &str, machine: &str, features: u128) -> Vec<u8> {
    let mut frame = Vec::new();
    let hello = Hello {
        software: software.to_owned(),
        machine: machine.to_owned(),
        features,
        frame_limit: 1 << 30,
        docks: !machine.is_empty(),
        modules: Vec::new(),
    };
    hello.encode(&mut frame).unwrap();
    frame
}

#[test]
fn the_example_is_what_is_sent() {
    let body = [1, 2, 3];
    let request = Request::Call {
        function: Callee::Export {
            module: ModuleName::Name("m"),
            name: "sum",
            signature: Some("i64 (ptr, i64)"),
        },
        arguments: vec![Argument::In { size: 3 }, Argument::Int(3)],
        order: Order::InTurn,
    };
    let mut call = Vec::new();
    encode(&mut call, 1, &request, body.len(), 1 << 30).unwrap();
    call.extend_from_slice(&body);

    let value = Value::Int { bits: 64, value: 6 };
    let mut returned = Vec::new();
    encode(&mut returned, 1, &Response::Returned { value }, 0, 1 << 30).unwrap();

    let sent = [
        hello("farcall 0.1.0", "x86_64", FEATURES),
        hello("demo", "", 0),
        call,
        returned,
    ];
    for (documented, sent) in examples().iter().zip(&sent) {
        assert_eq!(documented, sent);
    }
    assert_eq!(examples().len(), sent.len());
}

#[test]
fn the_numbers_of_the_document_are_those_of_the_code() {
    use farcall_protocol::{
        DEFAULT_FRAME_LIMIT, HEAD_LIMIT, HELLO_LIMIT, MAGIC, MAX_ANNOUNCED_MODULES, VERSION,
    };
    assert!(DOCUMENT.contains(&format!("version **{VERSION}**")));
    assert!(DOCUMENT.contains("65,536 bytes for the first frame"));
    assert_eq!(HELLO_LIMIT, 65_536);
    assert_eq!((DEFAULT_FRAME_LIMIT, HEAD_LIMIT), (1 << 30, 1 << 20));
    assert!(DOCUMENT.contains("at most 1,024"));
    assert_eq!(MAX_ANNOUNCED_MODULES, 1024);
    let magic: Vec<_> = MAGIC.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(DOCUMENT.contains(&magic.join(" ")));
}
