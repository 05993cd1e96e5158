//! What a controller and an executor say to each other: frames, messages, versions.
//!
//! Bytes in, bytes out: nothing here reads or writes a connection. [`Deframer`] takes what has
//! been received and gives whole frames; [`Hello`], [`Request`] and [`Response`] are what frames
//! hold. `docs/protocol.md` has the same for a reader of another language.
//!
//! # To add a message
//!
//! Add its variant last in [`Request`] or [`Response`], raise [`VERSION`], and add its row to
//! `docs/protocol.md` and its line to the round-trip test.

#![forbid(unsafe_code)]

mod bare;
mod codec;
mod error;
mod frame;
mod hello;
mod message;
mod statistics;

pub use bare::{
    Access, BARE_MAGIC, BARE_VERSION, BareHello, Outcome, Outcomes, ResultRegister, Step,
};
pub use codec::{
    Envelope, FIRST_CALLBACK, HEAD_LIMIT, NO_REQUEST, Received, decode, decode_request, encode,
    encode_again, is_failure,
};
pub use error::{Error, Result};
pub use frame::{DEFAULT_FRAME_LIMIT, Deframer, Frame, LENGTH_SIZE};
pub use hello::{HELLO_LIMIT, Hello, MAGIC, MAX_ANNOUNCED_MODULES, VERSION};
pub use message::{
    Argument, Callee, Definition, ErrorKind, Failure, FirstCall, Form, ModuleName, Order, Request,
    Response, Symbol, SymbolKind, Value,
};
pub use statistics::{Latency, ModuleInfo, Statistics};

pub use farcall_image::Digest;
