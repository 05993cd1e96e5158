//! The protocol on standard input and output.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;

use crate::transport::Connection;

/// Takes standard input and output away from the rest of the process, so that shipped code which
/// reads or prints does not get between the frames: from now on it reads nothing, and prints to
/// standard error.
pub(crate) fn take() -> io::Result<Connection> {
    let reader = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let writer = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    Ok(Connection::pipes(reader, writer))
}
