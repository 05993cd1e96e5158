//! Frames are found however the bytes arrive, and take no more memory than has arrived.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

use farcall_protocol::{Deframer, Error, HELLO_LIMIT};

fn frame(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    [&length.to_le_bytes(), payload].concat()
}

/// Gives `bytes` to `deframer` in pieces of at most `piece` bytes, and collects the frames.
fn feed(deframer: &mut Deframer, bytes: &[u8], piece: usize) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for mut part in bytes.chunks(piece) {
        while !part.is_empty() {
            let space = deframer.space();
            let n_bytes = space.len().min(part.len());
            space[..n_bytes].copy_from_slice(&part[..n_bytes]);
            deframer.filled(n_bytes);
            part = &part[n_bytes..];
            while let Some(frame) = deframer.next_frame().unwrap() {
                frames.push(frame.to_vec());
            }
        }
    }
    frames
}

#[test]
fn frames_are_found_in_pieces_of_any_size() {
    let large: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let payloads = [&b"one"[..], b"", &large, b"two", &large[..70_000], b"end"];
    let bytes: Vec<u8> = payloads.iter().flat_map(|each| frame(each)).collect();
    for piece in [1, 3, 4, 5, 1000, 65_536, 65_537, bytes.len()] {
        let mut deframer = Deframer::new(1 << 20);
        assert_eq!(feed(&mut deframer, &bytes, piece), payloads, "{piece}");
        assert!(!deframer.is_in_frame());
    }
}

#[test]
fn several_frames_at_once_are_given_one_by_one() {
    let mut deframer = Deframer::new(16);
    let bytes = [frame(b"one"), frame(b"two"), frame(b"cut")].concat();
    let n_bytes = bytes.len() - 1;
    deframer.space()[..n_bytes].copy_from_slice(&bytes[..n_bytes]);
    deframer.filled(n_bytes);
    assert_eq!(deframer.peek().unwrap(), Some(&b"one"[..]));
    assert_eq!(deframer.next_frame().unwrap(), Some(&b"one"[..]));
    assert_eq!(deframer.peek().unwrap(), Some(&b"two"[..]));
    assert_eq!(deframer.next_frame().unwrap(), Some(&b"two"[..]));
    assert_eq!(deframer.peek().unwrap(), None);
    assert_eq!(deframer.next_frame().unwrap(), None);
    assert!(deframer.is_in_frame());
}

#[test]
fn space_is_given_even_when_frames_wait() {
    let mut deframer = Deframer::new(1 << 20);
    let bytes = frame(b"waiting").repeat(20_000);
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let space = deframer.space();
        assert!(!space.is_empty());
        let n_bytes = space.len().min(rest.len());
        space[..n_bytes].copy_from_slice(&rest[..n_bytes]);
        deframer.filled(n_bytes);
        rest = &rest[n_bytes..];
    }
    let mut n_frames = 0;
    while let Some(frame) = deframer.next_frame().unwrap() {
        assert_eq!(frame, b"waiting");
        n_frames += 1;
    }
    assert_eq!(n_frames, 20_000);
}

#[test]
fn a_frame_over_the_limit_is_refused_before_it_arrives() {
    let mut deframer = Deframer::new(100);
    assert_eq!(feed(&mut deframer, &frame(&[7; 100]), 9).len(), 1);
    deframer.space()[..4].copy_from_slice(&101_u32.to_le_bytes());
    deframer.filled(4);
    let error = Error::FrameTooLong {
        length: 101,
        limit: 100,
    };
    assert_eq!(deframer.next_frame(), Err(error));
    assert!(!deframer.space().is_empty());
}

#[test]
fn the_start_of_a_tls_record_is_told_from_a_frame_that_is_too_long() {
    for record in [[22, 3, 1, 2], [21, 3, 3, 0]] {
        let mut deframer = Deframer::new(HELLO_LIMIT);
        deframer.space()[..4].copy_from_slice(&record);
        deframer.filled(4);
        assert_eq!(deframer.next_frame(), Err(Error::Tls));
        // As a length it is as good as any other.
        deframer.set_limit(u32::MAX);
        assert_eq!(deframer.next_frame(), Ok(None));
    }
}

#[test]
fn an_announced_length_takes_no_memory() {
    let mut deframer = Deframer::new(u32::MAX);
    deframer.space()[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    deframer.filled(4);
    let mut n_received = 4;
    for _ in 0..100 {
        assert_eq!(deframer.next_frame().unwrap(), None);
        let n_space = deframer.space().len();
        assert!(n_space <= n_received + (64 << 10), "{n_space}");
        deframer.filled(n_space.min(10_000));
        n_received += n_space.min(10_000);
    }
}
