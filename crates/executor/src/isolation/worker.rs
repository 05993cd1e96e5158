//! A worker: a process that runs shipped code for a supervisor.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, PipeReader};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal, setpgid};

use super::limits::Limits;
use super::sandbox::{Enforced, Sandbox};
use super::system;
use crate::modules::When;
use crate::peer::Peer;
use crate::serve::Shared;
use crate::transport::Connection;

/// The exit status of a worker whose connection has ended: of interest only where it was not the supervisor that ended it.
pub(super) const CUT_OFF: i32 = 76;

/// What a supervisor has of a worker beside the connection.
pub(super) struct Belongings {
    /// The file that it writes to when it crashes.
    pub(super) report: File,
    /// What it prints: standard output and standard error.
    pub(super) output: [PipeReader; 2],
    /// What of the sandbox is there.
    pub(super) enforced: Enforced,
}

/// What a worker is to do.
#[derive(Debug)]
pub(super) struct Beginning {
    /// Where it serves its supervisor.
    pub(super) socket: OwnedFd,
    pub(super) limits: Limits,
    /// Who has started it.
    pub(super) template: Pid,
}

/// Serves a supervisor to its end, and ends the process.
pub(super) fn run(shared: &Arc<Shared>, beginning: Beginning) -> ! {
    let Beginning {
        socket,
        limits,
        template: parent,
    } = beginning;
    let socket = UnixStream::from(socket);
    let template = shared.template.as_ref();
    let sandbox = template.and_then(|template| template.sandbox(limits));
    let started = prepare(&socket, limits, sandbox, parent);
    let status = match started {
        Ok(()) => {
            shared.modules.start(When::AtUse);
            // What ends the connection the supervisor knows, unless shipped code has ended it.
            let _ = Peer::serve(shared, Connection::unix(socket));
            shared.modules.unload_all();
            CUT_OFF
        }
        // The supervisor sees that it ends.
        Err(_) => 125,
    };
    std::process::exit(status)
}

/// Makes the process a worker, and hands its belongings over.
fn prepare(
    socket: &UnixStream,
    limits: Limits,
    sandbox: Option<&Sandbox>,
    template: Pid,
) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // Of a template that has ended before that no signal comes, and nobody would end this process.
    if getppid() != Some(template) {
        return Err(io::ErrorKind::NotConnected.into());
    }
    // What it starts, where it may, ends with it.
    setpgid(None, None)?;
    let (output, stdout) = io::pipe()?;
    let (errors, stderr) = io::pipe()?;
    rustix::stdio::dup2_stdout(stdout)?;
    rustix::stdio::dup2_stderr(stderr)?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let report = memfd_create(c"farcall-crash", flags)?;
    // It stays as small as it is: shipped code can write to it too.
    ftruncate(&report, system::REPORT_SIZE)?;
    fcntl_add_seals(
        &report,
        SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
    )?;
    system::prepare_first_thread()?;
    let copy = report.try_clone()?;
    system::report_to(copy)?;
    limits.impose()?;
    let enforced = sandbox.map_or(Enforced::from_byte(0), Sandbox::enter);
    hand_over(socket, &report, &output, &errors, enforced)
}

fn hand_over(
    socket: &UnixStream,
    report: &OwnedFd,
    output: &PipeReader,
    errors: &PipeReader,
    enforced: Enforced,
) -> io::Result<()> {
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = SendAncillaryBuffer::new(&mut room);
    let files = [report.as_fd(), output.as_fd(), errors.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&files));
    // Files go with a byte.
    sendmsg(
        socket,
        &[IoSlice::new(&[enforced.byte()])],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

impl Belongings {
    /// Takes what a worker hands over.
    pub(super) fn take(socket: &UnixStream) -> io::Result<Self> {
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut control = RecvAncillaryBuffer::new(&mut room);
        let mut byte = [0];
        let mut space = [IoSliceMut::new(&mut byte)];
        recvmsg(socket, &mut space, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        let mut files = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                files.extend(fds);
            }
        }
        let [report, output, errors] = <[OwnedFd; 3]>::try_from(files)
            .map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        Ok(Self {
            report: report.into(),
            output: [output.into(), errors.into()],
            enforced: Enforced::from_byte(byte[0]),
        })
    }
}
