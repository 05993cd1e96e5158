//! What is kept of each load: whose image it was, who sent it, and whether it was let in.
//!
//! That an image is accepted is written before anything of it is mapped, and an image is not loaded of which that cannot be written: so no
//! code has run of which the audit says nothing. What becomes of the load afterwards is a line of its own if it fails.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use farcall_image::{CodeSignature, Digest, KeyId};
use farcall_protocol::{ErrorKind, Failure, Response};
use farcall_trust::Refusal;

use crate::counters::count;
use crate::failures::Shown;
use crate::identity::Identity;
use crate::json::{self, Object};

/// Where an executor writes what it loads and refuses to load, an object of JSON a line, beside its log. Clones share it; by default there is no such place.
///
/// Any thread may use it.
#[derive(Debug, Clone, Default)]
pub struct Audit(Arc<Kept>);

#[derive(Debug, Default)]
struct Kept {
    file: Option<AuditFile>,
    /// Loads that were refused, by their place in [`REASONS`].
    refused: [AtomicU64; REASONS.len()],
}

#[derive(Debug)]
struct AuditFile {
    path: PathBuf,
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// Whether the last line is not there as a whole.
    is_cut: bool,
}

/// Why loads are refused, as programs read it: [`reason`] says which of [`Refusal`] is which.
pub(crate) const REASONS: [&str; 17] = [
    "unsigned",
    "unreadable",
    "changed",
    "other_image",
    "unknown_key",
    "revoked_key",
    "wrong_signature",
    "revoked_image",
    "other_machine",
    "not_imported",
    "not_yet_valid",
    "expired",
    "key_not_valid",
    IMPORT,
    QUARANTINE,
    AUDIT,
    OTHER,
];
const OTHER: &str = "other";
const IMPORT: &str = "import";
const QUARANTINE: &str = "quarantine";
const AUDIT: &str = "audit";

fn reason(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Unsigned => "unsigned",
        Refusal::Unreadable { .. } => "unreadable",
        Refusal::Changed { .. } => "changed",
        Refusal::OtherImage { .. } => "other_image",
        Refusal::UnknownKey { .. } => "unknown_key",
        Refusal::RevokedKey { .. } => "revoked_key",
        Refusal::WrongSignature { .. } => "wrong_signature",
        Refusal::RevokedImage => "revoked_image",
        Refusal::OtherMachine { .. } => "other_machine",
        Refusal::NotImported { .. } => "not_imported",
        Refusal::NotYetValid { .. } => "not_yet_valid",
        Refusal::Expired { .. } => "expired",
        Refusal::KeyNotValid { .. } => "key_not_valid",
        // What a later version of policies says.
        _ => OTHER,
    }
}

impl Audit {
    /// Lines go to the end of this file, each in one write. A file that is made is for its owner alone (mode 0600).
    ///
    /// # Errors
    ///
    /// The system's, when it cannot be opened to write to its end.
    pub fn to_file(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let open = Mutex::new(open(&path)?);
        Ok(Self(Arc::new(Kept {
            file: Some(AuditFile { path, open }),
            ..Kept::default()
        })))
    }

    /// Opens the file of this name anew, after the one that was open has been given another, as by programs that rotate logs. Lines that are being written go to one of
    /// the two. When it fails the old one stays in use. Gives whether there is a file.
    ///
    /// # Errors
    ///
    /// As [`Audit::to_file`].
    pub fn reopen(&self) -> io::Result<bool> {
        let Some(file) = &self.0.file else {
            return Ok(false);
        };
        let new = open(&file.path)?;
        *file.open.lock().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(true)
    }

    /// How many loads were refused, for each reason.
    pub(crate) fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.0.refused.iter();
        let counts = counts.map(|count| count.load(Ordering::Relaxed));
        REASONS.into_iter().zip(counts)
    }

    fn count(&self, reason: &str) {
        let mut counts = REASONS.iter().zip(&self.0.refused);
        if let Some((_, refused)) = counts.find(|(name, _)| **name == reason) {
            count(refused);
        }
    }

    fn write(&self, line: &str) -> io::Result<()> {
        let Some(file) = &self.0.file else {
            return Ok(());
        };
        let mut open = file.open.lock().unwrap_or_else(PoisonError::into_inner);
        // What there is no room for is written in part: the next line starts afresh.
        let whole = if open.is_cut {
            format!("\n{line}")
        } else {
            line.to_owned()
        };
        let written = open.file.write(whole.as_bytes())?;
        open.is_cut = written < whole.len();
        match open.is_cut {
            true => Err(io::ErrorKind::WriteZero.into()),
            false => Ok(()),
        }
    }
}

fn open(path: &PathBuf) -> io::Result<Open> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    // A pipe that nobody reads is an error, now and when it is full: nothing waits for it.
    let file = options.custom_flags(libc::O_NONBLOCK).open(path)?;
    let is_cut = false;
    Ok(Open { file, is_cut })
}

/// A load that is asked for, until its end is known.
#[derive(Debug)]
pub(crate) struct Load {
    audit: Audit,
    pub(crate) digest: Digest,
    name: String,
    /// Of the image in bytes, as it is said.
    pub(crate) size: u64,
    peer: Arc<Identity>,
    start: Instant,
    /// The key that has signed it, or that it says has.
    claimed: OnceLock<Option<KeyId>>,
    verified: OnceLock<KeyId>,
    is_accepted: OnceLock<()>,
    /// Why it was refused: one of [`REASONS`].
    refused: OnceLock<&'static str>,
}

impl Load {
    /// Of a request that was read at `start`.
    pub(crate) fn new(
        audit: &Audit,
        peer: Arc<Identity>,
        shown: Shown<'_>,
        size: u64,
        start: Instant,
    ) -> Self {
        Self {
            audit: audit.clone(),
            digest: shown.digest,
            name: shorten(&shown.name()).to_owned(),
            size,
            peer,
            start,
            claimed: OnceLock::new(),
            verified: OnceLock::new(),
            is_accepted: OnceLock::new(),
            refused: OnceLock::new(),
        }
    }

    /// Notes who has signed an image, as its last bytes say.
    pub(crate) fn claim(&self, end: &[u8]) {
        let _ = self.claimed.set(CodeSignature::signer(end));
    }

    /// Notes that a policy has verified an image.
    pub(crate) fn verify(&self, key: KeyId) {
        let _ = self.verified.set(key);
    }

    /// Notes that a policy refuses the image, and gives what the controller is told.
    pub(crate) fn refuse(&self, refusal: &Refusal) -> Failure {
        let _ = self.refused.set(reason(refusal));
        self.refused(&format!("refused: {refusal}"))
    }

    /// Notes the same, where somebody else tells the controller.
    pub(crate) fn note(&self, refusal: &Refusal) {
        let _ = self.refused.set(reason(refusal));
    }

    /// Writes that the image is accepted, once. It is not to be loaded when that fails.
    pub(crate) fn accept(&self) -> io::Result<()> {
        if self.is_accepted.get().is_some() {
            return Ok(());
        }
        self.write("accepted", None)?;
        let _ = self.is_accepted.set(());
        Ok(())
    }

    /// As [`accept`](Self::accept), with what the controller is told.
    pub(crate) fn must_accept(&self) -> Result<(), Failure> {
        self.accept().map_err(|error| self.unwritten(&error))
    }

    /// Writes how it has ended. One that was there already has not been let in when that cannot be written.
    pub(crate) fn end(&self, loaded: Result<Response, Failure>) -> Result<Response, Failure> {
        match &loaded {
            Ok(Response::Loaded { was_loaded: true }) => self
                .write("present", None)
                .map_err(|error| self.unwritten(&error))?,
            Ok(Response::Loaded { was_loaded: false }) => tracing::info!(
                name = self.name,
                digest = %self.digest,
                bytes = self.size,
                micros = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX),
                "loaded"
            ),
            // Nothing but an offer.
            Ok(_) => {}
            Err(failure) => {
                let of_kind = match failure.kind {
                    ErrorKind::Quarantined => Some(QUARANTINE),
                    // What a policy says of images has been noted.
                    ErrorKind::Refused => Some(IMPORT),
                    _ => None,
                };
                let refused = self.refused.get().copied().or(of_kind);
                if let Some(refused) = refused {
                    self.audit.count(refused);
                }
                let outcome = if refused.is_some() {
                    "refused"
                } else {
                    "failed"
                };
                let reason = refused.unwrap_or("error");
                // It is not loaded in any case.
                let message = shorten(&failure.message);
                let _ = self.write(outcome, Some((reason, message)));
            }
        }
        loaded
    }

    fn unwritten(&self, error: &io::Error) -> Failure {
        let _ = self.refused.set(AUDIT);
        self.refused(&format!("refused: {}", Unwritten::text(error)))
    }

    fn refused(&self, why: &str) -> Failure {
        let (name, digest) = (self.name.as_str(), self.digest);
        Failure {
            kind: ErrorKind::Refused,
            message: format!("{}: {why}", Shown { name, digest }),
        }
    }

    /// Notes that the audit could not be written, and gives the error for a loader.
    pub(crate) fn note_unwritten(&self, error: &io::Error) -> Unwritten {
        let _ = self.refused.set(AUDIT);
        Unwritten(Unwritten::text(error))
    }

    fn write(&self, outcome: &str, why: Option<(&str, &str)>) -> io::Result<()> {
        // Nobody reads it, most often: then a load does nothing for it.
        if self.audit.0.file.is_none() && !tracing::enabled!(tracing::Level::WARN) {
            return Ok(());
        }
        let Self { digest, name, .. } = self;
        let (key, is_verified) = match (self.verified.get(), self.claimed.get()) {
            (Some(key), _) => (key.to_string(), true),
            (None, Some(Some(key))) => (key.to_string(), false),
            (None, Some(None)) => ("unsigned".to_owned(), false),
            // It was not looked at.
            (None, None) => ("unknown".to_owned(), false),
        };
        let (peer, size) = (&*self.peer, self.size);
        match why {
            None => {
                tracing::info!(name, %digest, bytes = size, key, is_verified, %peer, "load {outcome}");
            }
            Some((reason, message)) => {
                tracing::warn!(name, %digest, bytes = size, key, is_verified, %peer, reason, "load {outcome}: {message}");
            }
        }
        if self.audit.0.file.is_none() {
            return Ok(());
        }
        let mut object = Object::new();
        object
            .text("time", &json::now())
            .text("event", "load")
            .text("outcome", outcome)
            .text("digest", &digest.to_string())
            .text("name", name)
            .number("bytes", size)
            .text("key", &key)
            .flag("verified", is_verified)
            .object("peer", peer.object());
        if let Some((reason, message)) = why {
            object.text("reason", reason).text("message", message);
        }
        let written = self.audit.write(&object.line());
        if let Err(error) = &written {
            tracing::error!("{}", Unwritten::text(error));
        }
        written
    }
}

/// As much of a text as a line has of it.
fn shorten(text: &str) -> &str {
    &text[..text.floor_char_boundary(4096)]
}

/// An image whose load nothing would tell of is not loaded.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unwritten(String);

impl Unwritten {
    fn text(error: &io::Error) -> String {
        format!("the audit cannot be written, and nothing is loaded without: {error}")
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_pipe_that_nobody_reads_is_an_error_and_no_wait() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(
            Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        assert!(Audit::to_file(&pipe).is_err());
        let mut options = OpenOptions::new();
        let reader = options
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&pipe)
            .unwrap();
        let audit = Audit::to_file(&pipe).unwrap();
        let line = "x".repeat(4000) + "\n";
        let full = (0..1000).find_map(|_| audit.write(&line).err()).unwrap();
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        drop(reader);
        assert!(audit.reopen().is_err());
    }
}
