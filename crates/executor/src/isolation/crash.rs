//! What a controller is told of a worker's end.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use farcall_image::{Digest, Image, SymbolKind};
use farcall_loader::demangle;
use farcall_protocol::{ErrorKind, Failure};

use super::blame::Ends;
use super::front::Front;
use super::pool::{Ended, Gone, Worker, lock};
use super::report::{Crash, Frame};
use super::supervisor::Supervisor;
use super::worker::CUT_OFF;

/// For what is no image's fault.
pub(super) const NO_IMAGE: Digest = Digest::from_bytes([0; 32]);

/// A worker's end, told, and whose fault it is.
struct Told {
    failure: Failure,
    blamed: Option<Digest>,
}

impl Front {
    /// What a controller is told of a worker that has ended in the middle of `what`, which counts against an image.
    pub(super) fn lost(&self, worker: &Worker, gone: Gone, what: &str, image: Digest) -> Failure {
        self.supervisor.end(worker);
        let mut state = lock(&self.state);
        let is_ours = |own: &mut Arc<Worker>| std::ptr::eq(&raw const **own, worker);
        state.worker.take_if(is_ours);
        drop(state);
        let name = self.supervisor.kept(image, |kept| kept.name.clone());
        let what = name.map_or_else(|| what.to_owned(), |name| format!("{name}: {what}"));
        let ended = worker.last_words();
        let told = tell(&self.supervisor, &ended, gone, &what, image);
        let failure = told.failure;
        count(&self.supervisor, worker, told.blamed, &failure);
        failure
    }
}

/// Notes the end of a worker that nobody waited for: a thread that went on after the call which started it, or what runs at the end of a process.
pub(super) fn note(supervisor: &Supervisor, worker: &Worker) {
    let ended = worker.last_words();
    // Without a report nobody knows whose it was.
    if worker.has_a_caller() || ended.is_late || ended.crash.is_none() {
        return;
    }
    let gone = Gone { was_late: false };
    let told = tell(supervisor, &ended, gone, "between calls", NO_IMAGE);
    let blamed = told.blamed.filter(|&image| image != NO_IMAGE);
    count(supervisor, worker, blamed, &told.failure);
}

/// Counts the end of a worker against an image, once, whoever is told of it.
fn count(supervisor: &Supervisor, worker: &Worker, blamed: Option<Digest>, failure: &Failure) {
    if let Some(blamed) = blamed
        && worker.is_to_blame()
    {
        let is_late = worker.last_words().is_late;
        supervisor.count_end(is_late);
        let Ends { crashes, late } = supervisor.blame.count(blamed, is_late);
        tracing::warn!(digest = %blamed, crashes, late, "{failure}");
    }
}

/// Tells how a worker has ended in the middle of `what`, which is something of the image `image`.
fn tell(supervisor: &Supervisor, ended: &Ended, gone: Gone, what: &str, image: Digest) -> Told {
    if ended.is_late {
        let deadline = supervisor.options.deadline.unwrap_or(Duration::ZERO);
        let (kind, message) = if gone.was_late {
            let message = format!("{what}: took longer than {deadline:?}, and was ended");
            (ErrorKind::TimedOut, message)
        } else {
            let message = format!(
                "{what}: ended with its process, in which something else took longer than {deadline:?}"
            );
            (ErrorKind::Crashed, message)
        };
        return Told {
            failure: Failure { kind, message },
            blamed: gone.was_late.then_some(image),
        };
    }
    if ended.was_abandoned {
        let message = format!("{what}: its controller has gone, and it did not end by itself");
        return Told {
            failure: crashed(message),
            blamed: None,
        };
    }
    if ended.was_cut_off {
        let message =
            format!("{what}: closed the connection of its process or wrote to it, and was ended");
        return Told {
            failure: crashed(message),
            blamed: Some(image),
        };
    }
    let Some(status) = ended.status else {
        return Told {
            failure: crashed(format!(
                "{what}: its worker is gone, and it is not known why"
            )),
            blamed: None,
        };
    };
    if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == CUT_OFF {
        let message = format!("{what}: closed the connection of its process, which ended");
        return Told {
            failure: crashed(message),
            blamed: Some(image),
        };
    }
    if libc::WIFEXITED(status) {
        let code = libc::WEXITSTATUS(status);
        return Told {
            failure: crashed(format!("{what}: ended its process: exit status {code}")),
            blamed: Some(image),
        };
    }
    let signal = libc::WTERMSIG(status);
    let crash = ended
        .crash
        .as_deref()
        .filter(|crash| crash.signal() == signal);
    let Some(crash) = crash else {
        let hint = match signal {
            libc::SIGKILL => ": somebody else ended it, or the system for want of memory",
            libc::SIGSEGV => {
                ": where is not known, as its stack is used up on a thread of its own, or it does not have the signal handled"
            }
            _ => "",
        };
        return Told {
            failure: crashed(format!("{what}: ended by {}{hint}", name_of(signal))),
            // Not what others do to it.
            blamed: (signal != libc::SIGKILL).then_some(image),
        };
    };
    let frames: Vec<_> = crash
        .frames()
        .map(|frame| Shown::of(supervisor, frame))
        .collect();
    // What comes before the image's code was called is the worker's own.
    let n_shown = frames.iter().rposition(|frame| frame.image.is_some());
    let n_shown = n_shown.map_or(frames.len().min(8), |last| last + 1);
    let mut message = format!("{what}: {}", reason(crash));
    if let Some(first) = frames.iter().find(|frame| frame.image.is_some()) {
        let _ = write!(message, " at {}", first.text);
    }
    let mut nth = 0;
    for alike in frames[..n_shown].chunk_by(|one, other| one.text == other.text) {
        // Of a function that calls itself there are many.
        match alike.len() {
            1 => {
                let _ = write!(message, "\n  #{nth} {}", alike[0].text);
            }
            more => {
                let last = nth + more - 1;
                let _ = write!(message, "\n  #{nth} to #{last} {}", alike[0].text);
            }
        }
        nth += alike.len();
    }
    Told {
        blamed: Some(frames.iter().find_map(|frame| frame.image).unwrap_or(image)),
        failure: crashed(message),
    }
}

fn crashed(message: String) -> Failure {
    let kind = ErrorKind::Crashed;
    Failure { kind, message }
}

/// A frame as people read it.
struct Shown {
    image: Option<Digest>,
    text: String,
}

impl Shown {
    fn of(supervisor: &Supervisor, frame: Frame) -> Self {
        let Frame { image, offset } = frame;
        let Some(digest) = image else {
            let text = format!("{offset:#x} in the host");
            return Self { image, text };
        };
        let found = supervisor.kept(digest, |kept| {
            let function = kept.image.with(|bytes| function_at(bytes, offset));
            let function = function.ok().flatten();
            let place = function.unwrap_or_else(|| format!("{offset:#x}"));
            format!("{place} in {}", kept.name)
        });
        let text = found.unwrap_or_else(|| format!("{offset:#x} in {digest}"));
        Self { image, text }
    }
}

/// The function at an address of an image: that whose code it is in if it is exported, and where in it.
fn function_at(bytes: &[u8], address: u64) -> Option<String> {
    let image = Image::parse(bytes).ok()?;
    let exports = image.all_exports();
    let (_, symbol) = exports
        .filter(|(_, symbol)| !matches!(symbol.kind, SymbolKind::Data | SymbolKind::Tls))
        .filter(|(_, symbol)| {
            let end = symbol.value.saturating_add(symbol.size.max(1));
            (symbol.value..end).contains(&address)
        })
        // One that has a size rather than one that ends where it starts.
        .max_by_key(|(_, symbol)| (symbol.value, symbol.size))?;
    let name = String::from_utf8_lossy(symbol.name);
    let name = demangle(&name).unwrap_or_else(|| name.into_owned());
    Some(format!("{name}+{:#x}", address - symbol.value))
}

/// What the processor or the code had to say.
fn reason(crash: &Crash) -> String {
    let signal = crash.signal();
    let name = name_of(signal);
    let address = crash.address();
    // sigaction(2), "The siginfo_t argument to a SA_SIGINFO handler"
    match (signal, crash.code()) {
        // The system's codes are positive. `abort` sends its signal likewise.
        (_, ..=0) if signal != libc::SIGABRT => {
            format!("{name}: somebody sent it, with raise or kill")
        }
        (libc::SIGSEGV, 1) if address < 4096 => {
            format!("{name}: used a null pointer (address {address:#x})")
        }
        // Below the stack of the first thread there is nothing, below those of others a page that is not for use.
        (libc::SIGSEGV, 1 | 2)
            if is_in_frame(address, crash.stack()) && !was_executed(crash, address) =>
        {
            format!("{name}: its stack is used up: {address:#x} is not of it")
        }
        (libc::SIGSEGV, 1) => format!("{name}: nothing is mapped at {address:#x}"),
        (libc::SIGSEGV, 2) => format!("{name}: {address:#x} is not for that"),
        (libc::SIGSEGV, _) => format!("{name}: an address that is none"),
        (libc::SIGFPE, 1) => format!("{name}: an integer was divided by zero"),
        (libc::SIGILL, _) => format!(
            "{name}: a trap, as where code cannot be reached, or an instruction that this processor does not have"
        ),
        // AArch64 has one instruction for both.
        (libc::SIGTRAP, _) => {
            format!("{name}: a trap, as where code cannot be reached, or a breakpoint")
        }
        (libc::SIGABRT, _) => format!("{name}: it called abort"),
        (libc::SIGSYS, _) => format!("{name}: a system call that workers may not make"),
        _ => name.into_owned(),
    }
}

/// Whether an address is in what a function has of a stack that has its end at `stack`, or just below, where calls put what they return to.
fn is_in_frame(address: u64, stack: u64) -> bool {
    const BELOW: u64 = 256;
    const FRAME: u64 = 64 << 10;
    address.wrapping_sub(stack.wrapping_sub(BELOW)) < BELOW + FRAME
}

/// Whether the address is that of the instruction, which a stack has none of.
fn was_executed(crash: &Crash, address: u64) -> bool {
    let is_place = |frame: Frame| frame.image.is_none() && frame.offset == address;
    crash.frames().next().is_some_and(is_place)
}

fn name_of(signal: i32) -> Cow<'static, str> {
    let name = match signal {
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGBUS => "SIGBUS",
        libc::SIGILL => "SIGILL",
        libc::SIGFPE => "SIGFPE",
        libc::SIGABRT => "SIGABRT",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGSYS => "SIGSYS",
        libc::SIGKILL => "SIGKILL",
        libc::SIGTERM => "SIGTERM",
        libc::SIGALRM => "SIGALRM",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGVTALRM => "SIGVTALRM",
        libc::SIGPROF => "SIGPROF",
        libc::SIGIO => "SIGIO",
        libc::SIGPWR => "SIGPWR",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGSTKFLT => "SIGSTKFLT",
        _ => return format!("signal {signal}").into(),
    };
    name.into()
}
