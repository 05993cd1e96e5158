//! Reading a channel: frames as they come, and where each belongs.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use farcall_protocol::{Envelope, FIRST_CALLBACK, Frame, LENGTH_SIZE, NO_REQUEST};

use super::inbox::{End, Inbox, Interest};
use super::{Channel, MOST_AHEAD, MOST_FILES, MOST_QUEUED, Receiver, Side, Word, add, lock};
use crate::patience::Patience;

impl Channel {
    /// Reads requests that are there, so that it is known which of them are cancelled.
    pub(crate) fn look_ahead(&self) {
        if !self.start_reading() {
            return;
        }
        loop {
            let frame = self.receive_now();
            let mut inbox = self.inbox();
            let is_full =
                inbox.n_requests() >= MOST_QUEUED / 2 || inbox.request_bytes() >= MOST_AHEAD;
            let Some(frame) = frame else {
                return self.stop_reading(&mut inbox);
            };
            self.deliver(&mut inbox, frame);
            if inbox.end.is_some() || is_full {
                return self.stop_reading(&mut inbox);
            }
        }
    }

    /// The next frame if it is there.
    fn receive_now(&self) -> Option<Result<Option<Frame>, End>> {
        let mut receiver = lock(&self.incoming);
        let Receiver {
            stream, deframer, ..
        } = &mut *receiver;
        while !deframer.has_frame().unwrap_or(true) {
            let mut files = Vec::new();
            let read = stream.read_now(deframer.space(), &mut files);
            if let Err(end) = self.keep(files) {
                return Some(Err(end));
            }
            // An end or an error comes again when it is waited for.
            match read {
                Ok(Some(n_bytes)) if n_bytes > 0 => deframer.filled(n_bytes),
                _ => return None,
            }
        }
        drop(receiver);
        Some(self.receive())
    }

    /// Keeps files for the requests which they belong to.
    fn keep(&self, files: Vec<OwnedFd>) -> Result<(), End> {
        if !files.is_empty() {
            let waiting = &mut lock(&self.files).waiting;
            waiting.extend(files);
            if waiting.len() > MOST_FILES {
                return Err(End::OutOfPlace("more files than requests"));
            }
        }
        Ok(())
    }

    /// Makes this thread the one that reads, if none is.
    pub(super) fn start_reading(&self) -> bool {
        !std::mem::replace(&mut self.inbox().reading, true)
    }

    pub(super) fn stop_reading(&self, inbox: &mut Inbox) {
        inbox.reading = false;
        if inbox.n_waiting > 0 {
            self.changed.notify_all();
        }
    }

    /// Puts a frame where it is waited for.
    pub(super) fn deliver(&self, inbox: &mut Inbox, frame: Result<Option<Frame>, End>) {
        let end = match frame {
            Ok(Some(frame)) => self.sort(inbox, frame).err(),
            Ok(None) => Some(End::Closed { in_frame: false }),
            Err(end) => Some(end),
        };
        if let Some(end) = end {
            inbox.end.get_or_insert(end);
        }
    }

    fn sort(&self, inbox: &mut Inbox, frame: Frame) -> Result<(), End> {
        let by_executor = self.side.asks();
        let envelope = Envelope::decode(&frame, by_executor).map_err(End::Protocol)?;
        let id = envelope.id;
        let is_answer = (id < FIRST_CALLBACK) == by_executor;
        if !is_answer {
            if inbox.n_requests().max(inbox.files.len()) >= MOST_QUEUED {
                return Err(End::OutOfPlace("too many requests in the middle of a call"));
            }
            inbox.cancelled.extend(envelope.cancels);
            if envelope.has_file
                && let Some(file) = self.next_file()
            {
                inbox.files.insert(id, file);
            }
            match envelope.within {
                Some(within) => inbox.within.push((within, frame)),
                None => inbox.requests.push_back(frame),
            }
        } else if let (NO_REQUEST, Side::Controller(read)) = (id, self.side) {
            match read(&frame).map_err(End::Protocol)? {
                Word::Last(failure) => return Err(End::Failed(failure)),
                Word::Printed { is_error, n_bytes } => {
                    if let Some(printed) = self.printed.get() {
                        printed(is_error, &frame[frame.len() - n_bytes..]);
                    }
                }
                Word::Other => return Err(End::OutOfPlace("an answer to no request")),
            }
        } else {
            match inbox.expected.remove(&id) {
                None => return Err(End::OutOfPlace("an answer to another request")),
                Some(Interest::Abandoned) => {}
                Some(Interest::Sent | Interest::Awaited) => {
                    inbox.answers.insert(id, frame);
                    inbox.futures.answered(id);
                }
            }
        }
        Ok(())
    }

    /// The first frame; `None` at the end.
    pub(super) fn receive_first(&self) -> Result<Option<Frame>, End> {
        self.inbox().is_at_rest = true;
        self.part_if_at_rest();
        let frame = self.receive();
        let mut inbox = self.inbox();
        inbox.is_greeted = true;
        inbox.is_at_rest = false;
        frame
    }

    /// The next frame; `None` at the end. One thread at a time calls it.
    pub(super) fn receive(&self) -> Result<Option<Frame>, End> {
        let mut receiver = lock(&self.incoming);
        let Receiver {
            stream,
            deframer,
            patience,
        } = &mut *receiver;
        while !deframer.has_frame().map_err(End::Protocol)? {
            // Nobody is to wait for what waits here.
            self.flush().map_err(End::of)?;
            let limited = patience.as_ref().map_or(Ok(()), Patience::limit_read);
            limited.map_err(|error| End::System(error.kind(), error.to_string()))?;
            let mut files = Vec::new();
            let read = stream.read(deframer.space(), &mut files);
            self.keep(files)?;
            match read {
                Ok(0) if deframer.is_in_frame() => return Err(End::Closed { in_frame: true }),
                Ok(0) => return Ok(None),
                Ok(n_bytes) => deframer.filled(n_bytes),
                Err(error) => return Err(End::System(error.kind(), error.to_string())),
            }
        }
        let frame = deframer.take_frame().map_err(End::Protocol)?;
        // What is wrong with the next is said when it is read.
        let has_more = deframer.has_frame().unwrap_or(false);
        self.has_more.store(has_more, Ordering::Relaxed);
        let size = frame.as_ref().map_or(0, |frame| frame.len() + LENGTH_SIZE);
        add(&self.meter.received, size);
        Ok(frame)
    }
}
