//! Frames and messages: what can be read can be said again, and is read as the same.
//!
//! The first byte says how many bytes come at once, the others come.
#![no_main]

use farcall_protocol::{
    BareHello, Deframer, Envelope, Hello, LENGTH_SIZE, NO_REQUEST, Outcomes, Request, Response,
    Step, decode, decode_request, encode,
};

/// The longest payload that is taken, in bytes.
const LIMIT: u32 = 1 << 16;

/// Reads a message, and gives its id, if it is one. What is said again is read as the same.
macro_rules! same {
    ($message:ty, $payload:expr) => {
        decode::<$message>($payload).ok().map(|received| {
            let mut again = Vec::new();
            // What is read may be longer than what may be written.
            if encode(&mut again, received.id, &received.message, 0, u32::MAX).is_ok() {
                let second = decode::<$message>(&again[LENGTH_SIZE..]).expect("it was written");
                assert_eq!((second.id, second.body), (received.id, &[][..]));
                // Text says what NaNs do not: that they are the same.
                let [first, second] =
                    [&received.message, &second.message].map(|it| format!("{it:?}"));
                assert_eq!(first, second);
            }
            received.id
        })
    };
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&piece, bytes)) = bytes.split_first() else {
        return;
    };
    message(bytes);
    let mut deframer = Deframer::new(LIMIT);
    for mut piece in bytes.chunks(1 + usize::from(piece)) {
        while !piece.is_empty() {
            let space = deframer.space();
            let n_bytes = space.len().min(piece.len());
            space[..n_bytes].copy_from_slice(&piece[..n_bytes]);
            deframer.filled(n_bytes);
            piece = &piece[n_bytes..];
        }
        loop {
            let has_frame = deframer.has_frame();
            let next = deframer.peek().map(|next| next.map(<[u8]>::to_vec));
            assert_eq!(has_frame, next.clone().map(|next| next.is_some()));
            match deframer.take_frame() {
                Ok(Some(frame)) => {
                    assert_eq!(next.as_ref().map(Option::as_deref), Ok(Some(&*frame)));
                    assert!(frame.len() <= LIMIT as usize);
                    message(&frame);
                }
                Ok(None) => break,
                // Nothing that follows can be read.
                Err(_) => return,
            }
        }
    }
});

/// Reads a payload as everything that it can be.
fn message(payload: &[u8]) {
    let mut again = Vec::new();
    if let Ok(hello) = Hello::decode(payload)
        && hello.encode(&mut again).is_ok()
    {
        assert_eq!(Hello::decode(&again[LENGTH_SIZE..]).as_ref(), Ok(&hello));
    }
    again.clear();
    if let Ok(hello) = BareHello::decode(payload)
        && hello.encode(&mut again).is_ok()
    {
        assert_eq!(
            BareHello::decode(&again[LENGTH_SIZE..]).as_ref(),
            Ok(&hello)
        );
    }
    let envelope = Envelope::decode(payload, false);
    if let Ok((request, within)) = decode_request(payload) {
        let envelope = envelope.clone().expect("it was read");
        let cancels = match request.message {
            Request::Cancel { id } => Some(id),
            _ => None,
        };
        assert_eq!(envelope.within, within.filter(|&id| id != NO_REQUEST));
        assert_eq!(envelope.cancels, cancels);
    }
    let id = envelope.map(|envelope| envelope.id);
    for read in [
        same!(Request<'_>, payload),
        same!(Response, payload),
        same!(Vec<Step<'_>>, payload),
        same!(Outcomes, payload),
    ] {
        assert!(read.is_none() || read == id.clone().ok());
    }
}
