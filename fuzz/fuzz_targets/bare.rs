//! A bare executor in a conversation with whatever says these bytes: it answers or hangs up, and never touches what is not reserved.
//!
//! The fuzzer cannot know where a reservation is. So an address in what it says is the reservation's number in the upper half, and an
//! offset into it in the lower one. Nothing is called.
#![no_main]

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::sync::LazyLock;

use farcall_bare::{Options, Service};
use farcall_protocol::{BareHello, Deframer, Outcome, Outcomes, Received, Step, decode, encode};

#[path = "../conversation.rs"]
#[allow(dead_code, reason = "each target uses a part")]
mod conversation;

/// One for all inputs, which leave nothing there.
static SERVICE: LazyLock<Service> = LazyLock::new(|| {
    Service::new(Options {
        frame_limit: 1 << 20,
        memory_limit: 64 << 20,
        ..Options::default()
    })
});

/// The most reservations that are asked for.
const MOST: usize = 64;

/// A controller: what it is to say, and what it was told.
struct Controller<'data> {
    pieces: Box<dyn Iterator<Item = &'data [u8]> + 'data>,
    said: Vec<u8>,
    told: Deframer,
    reservations: Vec<u64>,
    n_requests: u64,
    n_answers: u64,
    is_done: bool,
}

impl Controller<'_> {
    /// The next request, or the last one, which gives everything back.
    fn speak(&mut self) {
        let Some(piece) = self.pieces.next() else {
            if !std::mem::replace(&mut self.is_done, true) {
                let free = |&address: &u64| Step::Free { address };
                let steps: Vec<_> = self.reservations.iter().map(free).collect();
                // What was freed before is an error, after which nothing is done.
                steps
                    .iter()
                    .for_each(|step| self.ask(std::slice::from_ref(step), &[]));
            }
            return;
        };
        let payload = [&[1], piece].concat();
        let Ok(received) = decode::<Vec<Step<'_>>>(&payload) else {
            // Whatever it is: nothing after it is read.
            self.said.extend((payload.len() as u32).to_le_bytes());
            self.said.extend(&payload);
            self.is_done = true;
            return;
        };
        let Received { message, body, .. } = received;
        let room = MOST - self.reservations.len().min(MOST);
        let n_reserved = message
            .iter()
            .filter(|step| matches!(step, Step::Reserve { .. }));
        if n_reserved.count() > room {
            return;
        }
        let steps = message.into_iter().filter_map(|step| self.harmless(step));
        let steps: Vec<_> = steps.collect();
        self.ask(&steps, body);
    }

    fn ask(&mut self, steps: &[Step<'_>], body: &[u8]) {
        self.n_requests += 1;
        let id = self.n_requests;
        encode(&mut self.said, id, &steps, body.len(), 1 << 20).expect("it is short");
        self.said.extend(body);
    }

    /// A step without calls, and with an address that means something.
    fn harmless<'step>(&self, step: Step<'step>) -> Option<Step<'step>> {
        let place = |address: u64| match self.reservations.len() {
            0 => address,
            n => {
                self.reservations[(address >> 32) as usize % n].wrapping_add(address & 0xffff_ffff)
            }
        };
        Some(match step {
            Step::Write { address, size } => Step::Write {
                address: place(address),
                size,
            },
            Step::Protect {
                address,
                size,
                access,
            } => Step::Protect {
                address: place(address),
                size,
                access,
            },
            Step::Free { address } => Step::Free {
                address: place(address),
            },
            Step::Run { .. } | Step::Resolve { .. } | Step::Call { .. } => return None,
            other => other,
        })
    }

    fn listen(&mut self) {
        while let Some(payload) = self.told.next_frame().expect("its frames are short") {
            self.n_answers += 1;
            if self.n_answers == 1 {
                BareHello::decode(payload).expect("the first one is a hello");
                continue;
            }
            let outcomes = decode::<Outcomes>(payload)
                .expect("it is an answer")
                .message;
            for outcome in outcomes.done {
                if let Outcome::Reserved { address } = outcome {
                    self.reservations.push(address);
                }
            }
        }
    }
}

struct End<'data, 'all>(&'all RefCell<Controller<'data>>);

impl Read for End<'_, '_> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let mut controller = self.0.borrow_mut();
        while controller.said.is_empty() && !controller.is_done {
            controller.speak();
        }
        let n_bytes = space.len().min(controller.said.len());
        space[..n_bytes].copy_from_slice(&controller.said[..n_bytes]);
        controller.said.drain(..n_bytes);
        Ok(n_bytes)
    }
}

impl Write for End<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut controller = self.0.borrow_mut();
        let space = controller.told.space();
        let n_bytes = space.len().min(bytes.len());
        space[..n_bytes].copy_from_slice(&bytes[..n_bytes]);
        controller.told.filled(n_bytes);
        controller.listen();
        Ok(n_bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&way, rest)) = bytes.split_first() else {
        return;
    };
    let mut said = Vec::new();
    if way % 8 == 0 {
        // No conversation at all.
        said.extend(rest);
    } else {
        let hello = BareHello {
            software: String::new(),
            machine: String::new(),
            features: 0,
            frame_limit: 1 << 20,
            page_size: 0,
        };
        hello.encode(&mut said).expect("it is short");
    }
    let controller = RefCell::new(Controller {
        pieces: Box::new(conversation::pieces(if way % 8 == 0 { &[] } else { rest })),
        said,
        told: Deframer::new(1 << 20),
        reservations: Vec::new(),
        n_requests: 0,
        n_answers: 0,
        is_done: false,
    });
    let _ = SERVICE.serve(&mut End(&controller), &mut End(&controller));
    let mut controller = controller.into_inner();
    // What was said wrong ended the conversation before everything was given back, and all of it was protected or is gone.
    let reservations = std::mem::take(&mut controller.reservations);
    if !reservations.is_empty() {
        give_back(reservations);
    }
});

/// Frees what is left of an input's reservations.
fn give_back(reservations: Vec<u64>) {
    let mut said = Vec::new();
    let hello = BareHello {
        software: String::new(),
        machine: String::new(),
        features: 0,
        frame_limit: 1 << 20,
        page_size: 0,
    };
    hello.encode(&mut said).expect("it is short");
    for address in reservations {
        let steps = [Step::Free { address }];
        encode(&mut said, 1, &&steps[..], 0, 1 << 20).expect("it is short");
    }
    let served = SERVICE.serve(&mut io::Cursor::new(said), &mut io::sink());
    served.expect("it was a conversation");
}
