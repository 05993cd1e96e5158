//! The two system calls that nobody has wrapped.

#![allow(unsafe_code, reason = "system calls")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Moves the calling thread into a network namespace of its own.
pub(super) fn leave_network() -> io::Result<()> {
    // SAFETY: of all that threads share, this thread stops sharing the network only.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
    Ok(())
}

/// Linux's `struct ifreq`, with what says of what kind an interface is to be.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; 16],
    flags: libc::c_short,
    rest: [u8; 22],
}

/// `IFF_TAP`, frames of Ethernet, and `IFF_NO_PI`, with nothing before them.
const ETHERNET: libc::c_short = 0x0002 | 0x1000;

/// Makes an Ethernet interface in the calling thread's network: its frames are what is read from and written to `device`.
pub(super) fn make_interface(device: &File, name: &str) -> io::Result<()> {
    let mut request = InterfaceRequest {
        name: [0; 16],
        flags: ETHERNET,
        rest: [0; 22],
    };
    // The last byte stays 0.
    for (to, from) in request.name[..15].iter_mut().zip(name.bytes()) {
        *to = from;
    }
    // SAFETY: the request is a whole `ifreq`, which is there while the system reads and writes it.
    match unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw mut request) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
