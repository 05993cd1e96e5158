//! Functions that shipped code calls and that are a controller's.
//!
//! The thread that calls one sends what is passed and waits. What the controller asks for in order to answer it does itself, because the
//! connection's own thread may be in the middle of a call, or wait for this one.

use std::panic::resume_unwind;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use farcall_image::{Parameter, Signature, ValueType};
use farcall_loader::callback::Argument;
use farcall_protocol::{
    ErrorKind, Failure, Frame, NO_REQUEST, Request, Response, Value, decode, encode,
};

use crate::channel::{Channel, Event, Haste, Others};
use crate::doing::Doing;
use crate::peer::Peer;
use crate::pending::loaders_value;

/// The way to the controller whose functions some are. It ends when the controller goes, not when the last module does that imports them.
#[derive(Debug, Default)]
pub(crate) struct Line(Mutex<Weak<Peer>>);

impl Line {
    pub(crate) fn lead_to(&self, peer: &Arc<Peer>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(peer);
    }

    /// Forgets whom it led to.
    pub(crate) fn lead_nowhere(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Weak::new();
    }

    /// # Errors
    ///
    /// When it has gone, and why there is no answer then.
    pub(crate) fn peer(&self) -> Result<Arc<Peer>, String> {
        let peer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        peer.upgrade().ok_or_else(|| GONE.to_owned())
    }
}

impl Peer {
    /// A function that is the controller's with this number. When it fails, it unwinds with a [`Failure`].
    pub(crate) fn callback(
        self: &Arc<Self>,
        name: &str,
        signature: Signature,
        number: u64,
    ) -> farcall_loader::Result<farcall_loader::Definition> {
        let line = Arc::clone(&self.line);
        let (name, own) = (name.to_owned(), signature.clone());
        farcall_loader::Definition::callback(signature, move |arguments| {
            let peer = line.peer();
            match peer.and_then(|peer| peer.call_back(number, &own, arguments)) {
                Ok(value) => loaders_value(value),
                Err(message) => unwind(&name, &message),
            }
        })
    }

    /// Has the controller do what it has under a number, and gives the value, which is of the result's type.
    pub(crate) fn call_back(
        self: &Arc<Self>,
        number: u64,
        signature: &Signature,
        arguments: &[Argument],
    ) -> Result<Value, String> {
        let arguments = (arguments.iter().zip(&signature.parameters))
            .map(|(&argument, parameter)| passed(argument, parameter))
            .collect();
        let request = Response::CallBack {
            request: Doing::of(&self.channel).unwrap_or(NO_REQUEST),
            number,
            arguments,
        };
        let id = self.next_callback.fetch_add(1, Ordering::Relaxed);
        let wait = || call_back(&self.channel, id, &request, |frame| self.handle(frame));
        let value = self.shared.workers.while_away(wait)?;
        fitting(value, &signature.result)
    }
}

/// Has the other side do something, and waits until it has. `handle` does what that asks for in order to do it.
pub(crate) fn call_back(
    channel: &Channel,
    id: u64,
    request: &Response,
    handle: impl Fn(Frame) -> crate::Result<()>,
) -> Result<Value, String> {
    let mut head = Vec::new();
    encode(&mut head, id, request, 0, channel.peer_limit()).map_err(|error| error.to_string())?;
    if !channel.expect_here(id) {
        return Err("too many calls wait for the controller".to_owned());
    }
    channel
        .send(&head, &[], Haste::Now)
        .map_err(|_| GONE.to_owned())?;
    loop {
        match channel.wait(Some(id), Others::None) {
            Ok(Some(Event::Answer(frame))) => {
                let received = decode::<Request<'_>>(&frame);
                return match received.map(|received| received.message) {
                    Ok(Request::CalledBack(result)) => result,
                    _ => Err("the controller's answer is none".to_owned()),
                };
            }
            Ok(Some(Event::Request(frame))) => {
                if let Err(error) = handle(frame) {
                    channel.fail(error);
                }
            }
            Ok(Some(Event::Other(_)) | None) | Err(_) => return Err(GONE.to_owned()),
        }
    }
}

/// Ends the call of shipped code that called the function `name`.
pub(crate) fn unwind(name: &str, message: &str) -> ! {
    resume_unwind(Box::new(Failure {
        kind: ErrorKind::CallBack,
        message: format!("{name}: {message}"),
    }))
}

pub(crate) const GONE: &str = "the controller that defined it has gone";

/// What is passed for a parameter.
fn passed(argument: Argument, parameter: &Parameter) -> Value {
    match argument {
        Argument::Int(value) => {
            let bits = match parameter.value_type {
                ValueType::Int(bits) => bits,
                _ => 64,
            };
            let value = value & low_bits(bits);
            Value::Int { bits, value }
        }
        Argument::Float(value) => Value::Float(value),
        Argument::Double(value) => Value::Double(value),
        Argument::Pointer(value) => Value::Pointer(value),
    }
}

/// The value, if it is one of the result's type.
fn fitting(value: Value, result: &Parameter) -> Result<Value, String> {
    let found = match value {
        Value::Void => ValueType::Void,
        Value::Int { bits, value } if value & !low_bits(bits) == 0 => ValueType::Int(bits),
        Value::Int { .. } => return Err("gave an integer of more bits than it says".to_owned()),
        Value::Float(_) => ValueType::Float,
        Value::Double(_) => ValueType::Double,
        Value::Pointer(_) => ValueType::Ptr,
    };
    if found == result.value_type {
        Ok(value)
    } else {
        let expected = &result.value_type;
        Err(format!("gave {found} where {expected} is its result"))
    }
}

fn low_bits(bits: u32) -> u64 {
    let unused = 64_u32.saturating_sub(bits);
    u64::MAX.checked_shr(unused).unwrap_or(0)
}
