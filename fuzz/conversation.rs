//! Inputs as what one end of a conversation says.
//!
//! The first byte of an input says how the rest is one: as it is, after a hello, or after a hello in pieces, each of which starts with its
//! size in a byte and is a frame whose id is the next one. The last way is that in which a fuzzer finds messages.

use farcall_protocol::{LENGTH_SIZE, Request, decode};

/// What is said, after `hello` if the input wants one.
pub fn said(input: &[u8], hello: Vec<u8>) -> Vec<u8> {
    let Some((way, rest)) = input.split_first() else {
        return Vec::new();
    };
    match way % 4 {
        0 => rest.to_vec(),
        1 => [&hello, rest].concat(),
        _ => {
            let mut said = hello;
            for (id, piece) in (1_u8..0x80).zip(pieces(rest)) {
                said.extend((1 + piece.len() as u32).to_le_bytes());
                said.push(id);
                said.extend(piece);
            }
            said
        }
    }
}

/// The pieces of an input.
pub fn pieces(mut input: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (&size, rest) = input.split_first()?;
        let (piece, rest) = rest.split_at(rest.len().min(size.into()));
        input = rest;
        Some(piece)
    })
}

/// What is said to an executor, without what writes to any memory of its process: that it may is what an executor is for.
pub fn without_pokes(said: &[u8]) -> Vec<u8> {
    let is_poke = |payload| {
        let request = decode::<Request<'_>>(payload);
        request.is_ok_and(|request| matches!(request.message, Request::Poke { .. }))
    };
    let mut kept = Vec::new();
    let mut rest = said;
    while let Some((length, more)) = rest.split_first_chunk() {
        let length = u32::from_le_bytes(*length) as usize;
        let Some((payload, after)) = more.split_at_checked(length) else {
            break;
        };
        if !is_poke(payload) {
            kept.extend(&rest[..LENGTH_SIZE + length]);
        }
        rest = after;
    }
    kept.extend(rest);
    kept
}
