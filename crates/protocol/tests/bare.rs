//! Every message of a bare executor survives a round trip; what is none is an error and never a panic.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

use farcall_protocol::{
    Access, Argument, BARE_MAGIC, BARE_VERSION, BareHello, Error, ErrorKind, Failure, Hello,
    Outcome, Outcomes, ResultRegister, Step, decode, encode,
};

fn hello() -> BareHello {
    BareHello {
        software: "farcall-bare 0.1.0".to_owned(),
        machine: "x86_64".to_owned(),
        features: u128::MAX,
        frame_limit: 1 << 20,
        page_size: 4096,
    }
}

fn steps() -> Vec<Step<'static>> {
    vec![
        Step::Reserve {
            size: u64::MAX,
            align: 4096,
        },
        Step::Lookup {
            names: vec!["malloc", "é", ""],
        },
        Step::Write {
            address: 1 << 40,
            size: 3,
        },
        Step::Protect {
            address: 4096,
            size: 1,
            access: Access::Read,
        },
        Step::Protect {
            address: 4096,
            size: 1,
            access: Access::ReadExecute,
        },
        Step::Protect {
            address: 4096,
            size: 1,
            access: Access::ReadWrite,
        },
        Step::Run {
            functions: vec![1, u64::MAX],
        },
        Step::Resolve {
            functions: Vec::new(),
        },
        Step::Call {
            function: 1,
            result: ResultRegister::Integer,
            arguments: vec![Argument::Int(u64::MAX), Argument::InOut { size: 3 }],
        },
        Step::Call {
            function: 1,
            result: ResultRegister::Float,
            arguments: vec![Argument::Double(0.5)],
        },
        Step::Free { address: 4096 },
    ]
}

fn outcomes() -> Outcomes {
    Outcomes {
        done: vec![
            Outcome::Done,
            Outcome::Reserved { address: 4096 },
            Outcome::Symbols {
                addresses: vec![0, u64::MAX],
            },
            Outcome::Returned { bits: u64::MAX },
        ],
        failure: Some(Failure {
            kind: ErrorKind::Memory,
            message: "no memory".to_owned(),
        }),
    }
}

/// The payload of a frame.
fn payload(frame: &[u8]) -> &[u8] {
    &frame[4..]
}

#[test]
fn every_message_survives_a_round_trip() {
    let mut frame = Vec::new();
    hello().encode(&mut frame).unwrap();
    assert_eq!(BareHello::decode(payload(&frame)).unwrap(), hello());

    let mut frame = Vec::new();
    encode(&mut frame, 7, &steps(), 3, u32::MAX).unwrap();
    frame.extend(b"abc");
    let received = decode::<Vec<Step<'_>>>(payload(&frame)).unwrap();
    assert_eq!(
        (received.id, received.message, received.body),
        (7, steps(), &b"abc"[..])
    );

    let mut frame = Vec::new();
    encode(&mut frame, 7, &outcomes(), 0, u32::MAX).unwrap();
    let received = decode::<Outcomes>(payload(&frame)).unwrap();
    assert_eq!((received.message, received.body), (outcomes(), &b""[..]));
}

#[test]
fn what_is_cut_short_is_no_message() {
    let mut frame = Vec::new();
    hello().encode(&mut frame).unwrap();
    for end in 0..payload(&frame).len() {
        BareHello::decode(&payload(&frame)[..end]).unwrap_err();
    }
    let mut frame = Vec::new();
    encode(&mut frame, 7, &steps(), 0, u32::MAX).unwrap();
    for end in 0..payload(&frame).len() {
        decode::<Vec<Step<'_>>>(&payload(&frame)[..end]).unwrap_err();
    }
    let mut frame = Vec::new();
    encode(&mut frame, 7, &outcomes(), 0, u32::MAX).unwrap();
    for end in 0..payload(&frame).len() {
        decode::<Outcomes>(&payload(&frame)[..end]).unwrap_err();
    }
}

#[test]
fn each_kind_of_executor_is_known_by_its_hello() {
    let mut frame = Vec::new();
    hello().encode(&mut frame).unwrap();
    assert_eq!(Hello::decode(payload(&frame)), Err(Error::Bare));
    let ordinary = Hello {
        software: String::new(),
        machine: String::new(),
        features: 0,
        frame_limit: 1,
        docks: false,
        modules: Vec::new(),
    };
    let mut frame = Vec::new();
    ordinary.encode(&mut frame).unwrap();
    assert_eq!(BareHello::decode(payload(&frame)), Err(Error::NotFarcall));
    let newer = [&BARE_MAGIC[..], &(BARE_VERSION + 1).to_le_bytes()].concat();
    let expected = Error::Version {
        found: BARE_VERSION + 1,
        known: BARE_VERSION,
    };
    assert_eq!(BareHello::decode(&newer), Err(expected));
}
