//! Images that come through memory, to executors that take a controller's word for their digests.
//!
//! Where whoever connects can do anything in the executor's process, comparing an image with its digest keeps nobody from anything: it finds
//! bytes that are damaged. So the controller does it, while the executor copies and binds the image, and nothing of the image runs before it has said
//! that its bytes are right. Neither side waits for the other: what the executor copies was written a moment ago, and is in the processors' caches.
//!
//! The memory is that of a [`Ring`], which stays with the connection: a file in memory for each image takes as long for its pages as for all else.

use std::io::{self, IoSlice, Write as _};
use std::mem;
use std::os::fd::AsFd as _;
use std::result::Result;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use farcall_image::Image;
use farcall_loader::SealedFile;
use farcall_protocol::{ErrorKind, Failure, Form, Request};

use crate::channel::Interest;
use crate::client::{Executor, LoadOptions};
use crate::exchange::Encoded;
use crate::failures::Shown;
use crate::ring::{Ring, RingReader, RingWriter};
use crate::shipment::LARGE_IMAGE;

/// How many bytes are on their way before the controller does something else.
const RING_SIZE: usize = 256 << 10;

/// What is written, read or hashed at once, in bytes.
const PIECE: usize = 32 << 10;

/// The most memory, in bytes, that an executor keeps for the next image.
const MOST_KEPT: usize = 4 << 20;

/// How long an executor waits for a controller to say whether the bytes are right.
const TIME_TO_COMPARE: Duration = Duration::from_secs(10);

/// The controller's end.
#[derive(Debug, Default)]
pub(crate) enum Pier {
    /// No large image has been sent yet.
    #[default]
    New,
    /// One has, which may be all.
    Seen,
    /// The memory has been sent with this request, beside the second one, which so waits for nothing.
    Asked(u64, RingWriter),
    Open(RingWriter),
    Closed,
}

impl Executor {
    /// Sends a request to load an image, and `then` another, and the image through the dock. Gives the load's id; `None` if it is to go another
    /// way: one that is small or in a file, where nobody docks, or where something else is on its way, for which the executor would have
    /// this thread wait.
    pub(crate) fn send_docked(
        &self,
        image: &Image<'_>,
        options: LoadOptions<'_>,
        then: Option<&Encoded<'_>>,
    ) -> crate::Result<Option<u64>> {
        let is_to_dock = self.hello().docks
            && image.bytes().len() >= LARGE_IMAGE
            && options.file.is_none()
            && self.shared.channel.passes_files();
        if !is_to_dock {
            return Ok(None);
        }
        let mut pier = match self.shared.pier.try_lock() {
            Ok(pier) => pier,
            Err(TryLockError::Poisoned(pier)) => pier.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(None),
        };
        *pier = self.ahead(mem::take(&mut *pier));
        let Pier::Open(ring) = &mut *pier else {
            return Ok(None);
        };
        let request = self.load_request(image, options, Form::Docked);
        let request = self.encoded(&request, Vec::new())?;
        let Some(id) = self.send_alone(&request, then)? else {
            return Ok(None);
        };
        if write(ring, image).is_err() {
            // The answer says why.
            *pier = Pier::Closed;
        }
        Ok(Some(id))
    }

    /// What comes after, when another large image is sent. What is wrong with the connection is said by what is asked for next.
    fn ahead(&self, pier: Pier) -> Pier {
        match pier {
            Pier::New => Pier::Seen,
            Pier::Seen => self.ask_for_pier().unwrap_or(Pier::Closed),
            Pier::Asked(id, ring) => self.is_done(id).map_or(Pier::Closed, |()| Pier::Open(ring)),
            Pier::Open(_) | Pier::Closed => pier,
        }
    }

    fn ask_for_pier(&self) -> Option<Pier> {
        let socket = self.shared.channel.local()?;
        let (file, ring) = Ring::create(RING_SIZE, socket.peer()).ok()?;
        let id = self.send_for(Interest::Awaited, &Request::Dock, &[], Some(file.as_fd()));
        Some(Pier::Asked(id.ok()?, ring.writer))
    }
}

/// Writes an image, and whether it has its digest, which is found out where there is no room.
fn write(ring: &mut RingWriter, image: &Image<'_>) -> io::Result<()> {
    let mut check = image.digest_check();
    let mut rest = image.bytes();
    while !rest.is_empty() {
        let piece = &rest[..rest.len().min(PIECE)];
        let n_bytes = match ring.try_write_vectored(&[IoSlice::new(piece)]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if check.advance(PIECE) {
                    continue;
                }
                ring.write(piece)?
            }
            written => written?,
        };
        rest = &rest[n_bytes..];
    }
    let is_right = check.finish().is_ok();
    ring.write_all(&[u8::from(is_right)])
}

/// The executor's end, of a connection.
#[derive(Debug, Default)]
pub(crate) struct Dock(Mutex<Option<RingReader>>);

/// An image that has come.
#[derive(Debug)]
pub(crate) struct Arrived<'a, 'dock> {
    pub(crate) bytes: &'a [u8],
    pub(crate) file: Option<&'a SealedFile>,
    /// What the controller says of its digest; `None` where this side compares.
    pub(crate) word: Option<&'a mut Word<'dock>>,
}

/// What a controller has to say of an image. If it does not, nothing comes through the dock any more.
#[derive(Debug)]
pub(crate) struct Word<'dock> {
    dock: &'dock Dock,
    /// Until it is said.
    ring: Option<RingReader>,
    is_right: bool,
}

impl Dock {
    /// Takes memory that has come with a request, if images may come through it.
    pub(crate) fn open(&self, ring: Ring, docks: bool) -> Result<(), Failure> {
        if !docks {
            return Err(not_here());
        }
        self.put(Some(ring.reader));
        Ok(())
    }

    /// Takes no more through it, because what comes next is an image that nobody reads.
    pub(crate) fn close(&self) {
        self.put(None);
    }

    /// As [`Dock::close`], if the image of this request would come.
    pub(crate) fn close_after(&self, request: &Request<'_>) {
        if let Request::Load {
            form: Form::Docked, ..
        } = request
        {
            self.close();
        }
    }

    /// Reads an image of `size` bytes into memory, of which some may be there. If it fails, nothing comes any more.
    pub(crate) fn read<'dock>(
        &'dock self,
        size: u64,
        mut memory: Vec<u8>,
    ) -> Result<(Vec<u8>, Word<'dock>), Failure> {
        let mut ring = self.lock().take().ok_or_else(not_here)?;
        let too_large = || Failure {
            kind: ErrorKind::Memory,
            message: format!("no memory for an image of {size} bytes"),
        };
        let size = usize::try_from(size).map_err(|_| too_large())?;
        memory.truncate(size);
        let mut n_read = 0;
        while n_read < size {
            if n_read == memory.len() {
                let more = PIECE.min(size - n_read);
                // What is announced is not taken before it comes, but for so much that is kept afterwards.
                let room = if n_read == 0 {
                    size.min(MOST_KEPT)
                } else {
                    more
                };
                memory.try_reserve(room).map_err(|_| too_large())?;
                memory.resize(n_read + more, 0);
            }
            let end = memory.len().min(n_read + PIECE);
            let read = io::Read::read(&mut ring, &mut memory[n_read..end]);
            n_read += match read {
                Ok(0) => return Err(gone("it ended")),
                read => read.map_err(|error| gone(&error.to_string()))?,
            };
        }
        let word = Word {
            dock: self,
            ring: Some(ring),
            is_right: false,
        };
        Ok((memory, word))
    }

    fn put(&self, ring: Option<RingReader>) {
        let before = std::mem::replace(&mut *self.lock(), ring);
        // Not under the lock: the other side is woken.
        drop(before);
    }

    fn lock(&self) -> MutexGuard<'_, Option<RingReader>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Word<'_> {
    /// Waits for what is said of the image in `bytes`: an error if they are not what its digest says, or nothing is said.
    pub(crate) fn wait(&mut self, bytes: &[u8], shown: Shown<'_>) -> Result<(), Failure> {
        self.hear()?;
        if self.is_right {
            return Ok(());
        }
        let wrong = |message: String| Failure {
            kind: ErrorKind::Image,
            message: format!("{shown}: {message}"),
        };
        let compared = Image::parse(bytes).and_then(|image| image.verify_digest());
        compared.map_err(|error| wrong(error.to_string()))?;
        Err(wrong(
            "its sender says that it has another digest".to_owned(),
        ))
    }

    fn hear(&mut self) -> Result<(), Failure> {
        let Some(mut ring) = self.ring.take() else {
            return Ok(());
        };
        let mut word = [0];
        match ring.read_within(&mut word, TIME_TO_COMPARE) {
            Ok(0) => return Err(gone("it ended")),
            Ok(_) => {}
            Err(error) => return Err(gone(&error.to_string())),
        }
        self.is_right = word == [1];
        self.dock.put(Some(ring));
        Ok(())
    }
}

/// Memory for an image that comes, the last one's.
#[derive(Debug, Default)]
pub(crate) struct Spare(Mutex<Vec<u8>>);

impl Spare {
    pub(crate) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn give_back(&self, memory: Vec<u8>) {
        if memory.capacity() <= MOST_KEPT {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = memory;
        }
    }
}

/// Nothing comes through memory on this connection, or nothing does any more.
pub(crate) fn not_here() -> Failure {
    Failure {
        kind: ErrorKind::NoFile,
        message: "no memory is shared through which images come".to_owned(),
    }
}

fn gone(why: &str) -> Failure {
    Failure {
        kind: ErrorKind::NoFile,
        message: format!("an image that was to come through shared memory: {why}"),
    }
}
