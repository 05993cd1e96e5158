//! Every message survives a round trip; what is no message is an error and never a panic.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

use farcall_protocol::{
    Argument, Callee, Definition, Digest, Envelope, Error, ErrorKind, FIRST_CALLBACK, Failure,
    FirstCall, Form, HEAD_LIMIT, HELLO_LIMIT, Hello, Latency, MAX_ANNOUNCED_MODULES, ModuleInfo,
    ModuleName, NO_REQUEST, Order, Request, Response, Statistics, Symbol, SymbolKind, VERSION,
    Value, decode, decode_request, encode, is_failure,
};

const DIGEST: Digest = Digest::from_bytes([0xab; 32]);

fn hello() -> Hello {
    Hello {
        software: "farcall 0.1.0".to_owned(),
        machine: "x86_64".to_owned(),
        features: u128::MAX,
        frame_limit: 1 << 20,
        docks: true,
        modules: vec![DIGEST],
    }
}

fn requests() -> Vec<Request<'static>> {
    vec![
        Request::Load {
            digest: DIGEST,
            size: 1 << 40,
            name: "sqlite",
            scope: None,
            form: Form::Plain,
        },
        Request::Load {
            digest: DIGEST,
            size: 0,
            name: "",
            scope: Some(vec![DIGEST, DIGEST]),
            form: Form::Plain,
        },
        Request::Define {
            name: "answer",
            value_type: Some("i32"),
            definition: Definition::Address(u64::MAX),
        },
        Request::Define {
            name: "table",
            value_type: None,
            definition: Definition::Bytes,
        },
        Request::Define {
            name: "alias",
            value_type: None,
            definition: Definition::Export {
                module: ModuleName::Name("sqlite"),
                name: "sqlite3_open",
            },
        },
        Request::Lookup {
            module: ModuleName::Digest(DIGEST),
            name: "main",
        },
        Request::Call {
            function: Callee::Export {
                module: ModuleName::Name("é"),
                name: "f",
                signature: Some("i32 (i32, ptr)"),
            },
            arguments: vec![
                Argument::Int(u64::MAX),
                Argument::Float(1.5),
                Argument::Double(-0.0),
                Argument::Pointer(0),
                Argument::In { size: 3 },
                Argument::Out { size: 1 << 33 },
                Argument::InOut { size: 0 },
            ],
            order: Order::InTurn,
        },
        Request::Unload {
            module: ModuleName::Digest(DIGEST),
        },
        Request::List { skip: 300 },
        Request::Ping,
        Request::Prepare {
            module: ModuleName::Name("m"),
            function: "f",
            signature: None,
        },
        Request::Release { function: 9 },
        Request::Call {
            function: Callee::Prepared(3),
            arguments: vec![Argument::Buffer {
                buffer: 4,
                offset: 5,
            }],
            order: Order::Concurrent,
        },
        Request::Call {
            function: Callee::Prepared(3),
            arguments: vec![],
            order: Order::WithAnswersBefore,
        },
        Request::Allocate {
            size: u64::MAX,
            shared: false,
        },
        Request::Allocate {
            size: 64,
            shared: true,
        },
        Request::Write {
            buffer: 1,
            offset: 2,
        },
        Request::Read {
            buffer: 1,
            offset: 2,
            size: 3,
        },
        Request::Free { buffer: 1 },
        Request::Peek {
            address: 1,
            size: 2,
        },
        Request::Poke { address: 1 },
        Request::Cancel { id: 1 << 40 },
        Request::Define {
            name: "ask",
            value_type: Some("i32 (i32)"),
            definition: Definition::Callback { number: 3 },
        },
        Request::Statistics,
        Request::Fork {
            memory: Some(1 << 30),
            sandbox: true,
        },
        Request::Reap { process: 7 },
        Request::Pardon { digest: DIGEST },
        Request::Share,
        Request::Dock,
        Request::Permit {
            digest: Digest::from_bytes([7; 32]),
            by: "key 1",
            host: vec!["malloc", "free"],
        },
        Request::CalledBack(Ok(Value::Int { bits: 8, value: 9 })),
        Request::CalledBack(Err("no such table".to_owned())),
        Request::Within {
            callback: FIRST_CALLBACK,
        },
        Request::DefineOnFirstCall {
            space: DIGEST,
            number: 3,
            first: 1000,
            functions: vec![FirstCall {
                name: "f",
                alias: "f.address",
                value_type: Some("i32 (i32)"),
            }],
        },
    ]
}

fn responses() -> Vec<Response> {
    let returned = |value| Response::Returned { value };
    let found = |kind, value_type: Option<&str>| {
        Response::Found(Symbol {
            address: 0x7f00_0000_1000,
            kind,
            value_type: value_type.map(str::to_owned),
        })
    };
    let mut responses = vec![
        Response::Loaded { was_loaded: true },
        Response::Needed,
        Response::Defined { address: 16 },
        found(SymbolKind::Unknown, None),
        found(SymbolKind::Function, Some("void ()")),
        found(SymbolKind::Data, Some("[4 x i32]")),
        returned(Value::Void),
        returned(Value::Int {
            bits: 64,
            value: u64::MAX,
        }),
        returned(Value::Float(f32::MIN)),
        returned(Value::Double(f64::INFINITY)),
        returned(Value::Pointer(0xdead)),
        Response::Modules {
            modules: vec![ModuleInfo {
                digest: DIGEST,
                names: vec!["a".to_owned(), String::new()],
                size: 7,
                n_exports: 8,
                calls: 9,
                crashes: u64::MAX,
                late: 10,
                is_quarantined: true,
                signer: Some("5a1c9d9dbe21a0c4".to_owned()),
            }],
            n_total: 1,
        },
        Response::Done,
        Response::Prepared { function: u64::MAX },
        Response::Allocated {
            buffer: 1,
            address: 64,
        },
        Response::Bytes,
        Response::Forked { process: 7 },
        Response::Ended { status: Some(-1) },
        Response::Printed { is_error: true },
        Response::CallBack {
            request: 7,
            number: 3,
            arguments: vec![Value::Pointer(64), Value::Void],
        },
        Response::Statistics(Box::new(Statistics {
            uptime: 1,
            connections: 2,
            connected: 3,
            loads: 4,
            modules: 5,
            image_bytes: 6,
            calls: 7,
            running: 8,
            failures: u64::MAX,
            hits: 9,
            failed_loads: 10,
            received: 11,
            sent: 12,
            passed: 13,
            crashes: 14,
            late: 15,
            refused: 16,
            quarantined: 17,
            not_served: 18,
            workers: 19,
            workers_started: 20,
            calling: Latency {
                buckets: std::array::from_fn(|n| 1 << n),
                sum: u64::MAX,
            },
            loading: Latency::default(),
        })),
    ];
    for kind in [
        ErrorKind::TooLong,
        ErrorKind::Malformed,
        ErrorKind::Image,
        ErrorKind::Load,
        ErrorKind::UnknownModule,
        ErrorKind::UnknownSymbol,
        ErrorKind::Arguments,
        ErrorKind::Definition,
        ErrorKind::InUse,
        ErrorKind::Memory,
        ErrorKind::Internal,
        ErrorKind::Threw,
        ErrorKind::Cancelled,
        ErrorKind::UnknownBuffer,
        ErrorKind::NoFile,
        ErrorKind::RunsCode,
        ErrorKind::Crashed,
        ErrorKind::TimedOut,
        ErrorKind::Quarantined,
        ErrorKind::Busy,
        ErrorKind::NotServed,
        ErrorKind::Refused,
        ErrorKind::CallBack,
        ErrorKind::Stopping,
    ] {
        responses.push(Response::Failed(Failure {
            kind,
            message: "a: b: c".to_owned(),
        }));
    }
    responses
}

/// The payload of the frame that `encode` starts, with `body`.
fn payload<M: serde::Serialize>(id: u64, message: &M, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    encode(&mut frame, id, message, body.len(), u32::MAX).unwrap();
    frame.extend_from_slice(body);
    let (length, payload) = frame.split_first_chunk().unwrap();
    assert_eq!(payload.len(), u32::from_le_bytes(*length) as usize);
    payload.to_vec()
}

#[test]
fn every_request_survives() {
    for (id, request) in (0..).map(|n: u64| n << 33).zip(requests()) {
        let payload = payload(id, &request, b"body");
        let received = decode::<Request<'_>>(&payload).unwrap();
        assert_eq!(
            (received.id, &received.message, received.body),
            (id, &request, &b"body"[..])
        );
    }
}

#[test]
fn every_response_survives() {
    for response in responses() {
        let payload = payload(1, &response, b"");
        let received = decode::<Response>(&payload).unwrap();
        assert_eq!((&received.message, received.body), (&response, &b""[..]));
        let has_failed = matches!(response, Response::Failed(_));
        assert_eq!(is_failure(&payload), has_failed, "{response:?}");
    }
}

#[test]
fn a_hello_survives_and_keeps_the_newest_modules() {
    let mut frame = Vec::new();
    let mut hello = hello();
    hello.encode(&mut frame).unwrap();
    assert_eq!(Hello::decode(&frame[4..]).unwrap(), hello);

    hello.modules = (0..MAX_ANNOUNCED_MODULES + 5)
        .map(|n| Digest::from_bytes([u8::try_from(n % 251).unwrap(); 32]))
        .collect();
    frame.clear();
    hello.encode(&mut frame).unwrap();
    assert!(frame.len() <= HELLO_LIMIT as usize);
    assert_eq!(
        Hello::decode(&frame[4..]).unwrap().modules,
        hello.modules[5..]
    );
}

#[test]
fn another_version_or_another_protocol_is_told_apart() {
    let mut frame = Vec::new();
    hello().encode(&mut frame).unwrap();
    let payload = &frame[4..];

    let mut newer = payload[..12].to_vec();
    newer[8..].copy_from_slice(&(VERSION + 1).to_le_bytes());
    newer.extend_from_slice(b"whatever comes then");
    let version = Error::Version {
        found: VERSION + 1,
        known: VERSION,
    };
    assert_eq!(Hello::decode(&newer), Err(version));
    assert_eq!(Hello::decode(b"GET / HTTP/1.1\r\n"), Err(Error::NotFarcall));
    assert_eq!(Hello::decode(&payload[..11]), Err(Error::NotFarcall));
    let malformed = |length| Err(Error::Malformed { length });
    assert_eq!(Hello::decode(&payload[..20]), malformed(20));
    let longer = [payload, b"x"].concat();
    assert_eq!(Hello::decode(&longer), malformed(longer.len()));
}

#[test]
fn what_is_longer_than_its_limit_is_not_encoded() {
    let mut out = b"before".to_vec();
    let ping = Request::Ping;
    assert_eq!(encode(&mut out, 1, &ping, 8, 10), Ok(()));
    assert_eq!(out.len(), 6 + 4 + 2);
    out.truncate(6);
    let too_long = |length, limit| Err(Error::FrameTooLong { length, limit });
    assert_eq!(encode(&mut out, 1, &ping, 9, 10), too_long(11, 10));
    assert_eq!(
        encode(&mut out, 1, &ping, 1 << 32, u32::MAX),
        too_long((1 << 32) + 2, u32::MAX)
    );
    let name = "x".repeat(HEAD_LIMIT);
    let request = Request::Lookup {
        module: ModuleName::Name("m"),
        name: &name,
    };
    let error = encode(&mut out, 1, &request, 0, u32::MAX);
    assert_eq!(error, Err(Error::HeadTooLong { limit: HEAD_LIMIT }));
    assert_eq!(out, b"before");
}

#[test]
fn a_head_longer_than_its_limit_is_not_read() {
    // A name that claims to be as long as the rest of the payload.
    let mut bytes = vec![1, 2, 0];
    bytes.extend_from_slice(&[0; 32]);
    let long = postcard::to_extend(&"x".repeat(HEAD_LIMIT), bytes).unwrap();
    assert_eq!(
        decode::<Request<'_>>(&long),
        Err(Error::Malformed { length: long.len() })
    );
    let mut short = long[..35].to_vec();
    short.extend_from_slice(&[1, b'x']);
    assert!(decode::<Request<'_>>(&short).is_ok());
}

#[test]
fn truncated_messages_are_errors() {
    for request in requests() {
        let whole = payload(1, &request, b"");
        for end in 0..whole.len() {
            assert_eq!(
                decode::<Request<'_>>(&whole[..end]),
                Err(Error::Malformed { length: end }),
                "{request:?}"
            );
        }
    }
    for response in responses() {
        let whole = payload(1, &response, b"");
        for end in 0..whole.len() {
            assert!(decode::<Response>(&whole[..end]).is_err(), "{response:?}");
        }
    }
}

#[test]
fn garbage_is_never_a_panic() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut seeds: Vec<Vec<u8>> = requests().iter().map(|r| payload(1, r, b"body")).collect();
    seeds.extend(responses().iter().map(|r| payload(1, r, b"")));
    let mut frame = Vec::new();
    hello().encode(&mut frame).unwrap();
    seeds.push(frame[4..].to_vec());
    for seed in seeds {
        for _ in 0..2000 {
            let mut bytes = seed.clone();
            for _ in 0..=random.below(4) {
                let at = random.below(bytes.len());
                bytes[at] = random.byte();
            }
            let _ = decode::<Request<'_>>(&bytes);
            let _ = decode::<Response>(&bytes);
            let _ = Hello::decode(&bytes);
        }
    }
    for _ in 0..2000 {
        let bytes: Vec<u8> = (0..random.below(64)).map(|_| random.byte()).collect();
        let _ = decode::<Request<'_>>(&bytes);
        let _ = decode::<Response>(&bytes);
        let _ = Hello::decode(&bytes);
    }
}

/// xorshift64: the same bytes in every run.
struct Random(u64);

impl Random {
    fn byte(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.to_le_bytes()[3]
    }

    fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }
}

#[test]
fn an_envelope_says_what_is_to_be_known_early() {
    let envelope = |within, cancels| Envelope {
        id: 5,
        within,
        cancels,
        has_file: false,
    };
    let has_file = |request: &Request<'_>| {
        matches!(
            request,
            Request::Load {
                form: Form::File,
                ..
            } | Request::Allocate { shared: true, .. }
                | Request::Fork { .. }
                | Request::Share
                | Request::Dock
        )
    };
    for request in requests() {
        let bytes = payload(5, &request, b"");
        let cancels = match request {
            Request::Cancel { id } => Some(id),
            _ => None,
        };
        let expected = match request {
            Request::Within { callback } => envelope(Some(callback), None),
            _ => envelope(None, cancels),
        };
        let has_file = has_file(&request);
        let expected = Envelope {
            has_file,
            ..expected
        };
        assert_eq!(Envelope::decode(&bytes, false).unwrap(), expected);

        let callback = FIRST_CALLBACK + 9;
        let nested = payload(5, &(Request::Within { callback }, request), b"");
        let expected = Envelope {
            has_file,
            ..envelope(Some(callback), cancels)
        };
        assert_eq!(Envelope::decode(&nested, false).unwrap(), expected);
    }
    for response in responses() {
        let bytes = payload(5, &response, b"");
        let within = match response {
            Response::CallBack { request, .. } => Some(request),
            _ => None,
        };
        let expected = envelope(within, None);
        assert_eq!(Envelope::decode(&bytes, true).unwrap(), expected);
    }
    let alone = Response::CallBack {
        request: NO_REQUEST,
        number: 1,
        arguments: Vec::new(),
    };
    let bytes = payload(5, &alone, b"");
    assert_eq!(
        Envelope::decode(&bytes, true).unwrap(),
        envelope(None, None)
    );
    assert!(Envelope::decode(b"", true).is_err());
}

#[test]
fn a_request_within_another_is_one_with_its_body() {
    let within = |request| (Request::Within { callback: 9 }, request);
    for request in requests() {
        let bytes = payload(5, &within(request.clone()), b"body");
        if matches!(request, Request::Within { .. }) {
            decode_request(&bytes).unwrap_err();
            continue;
        }
        let (received, callback) = decode_request(&bytes).unwrap();
        assert_eq!((received.id, callback), (5, Some(9)));
        assert_eq!((received.message, received.body), (request, &b"body"[..]));
    }
    decode_request(&payload(5, &Request::Within { callback: 9 }, b"")).unwrap_err();
    let bytes = payload(5, &Request::Ping, b"body");
    let (received, callback) = decode_request(&bytes).unwrap();
    assert_eq!((received.message, callback), (Request::Ping, None));
}
