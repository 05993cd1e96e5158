//! An executor for a process that must not even have a loader.
//!
//! It offers memory and calls: a [`Service`] reserves address space, writes bytes to it, protects it, finds the process's own
//! symbols by name, and calls functions. All else is the controller's: it places an image at the address that was
//! offered, binds its imports to the addresses that were found, and sends bytes that are final there. So nothing here
//! knows what an image, a relocation or a constructor table is.
//!
//! Everything that a controller asks for is checked: what is outside of a reservation, or is no longer to be written, is an
//! error for the controller, never a fault. What the code does that it ships is the controller's to know: whoever can
//! connect can run code. The other end is `farcall_executor::BareExecutor`; `docs/protocol.md` has what they say.
//!
//! # Examples
//!
//! ```no_run
//! use std::os::unix::net::UnixListener;
//!
//! use farcall_bare::{Options, Service};
//!
//! let service = Service::new(Options::default());
//! let (stream, _) = UnixListener::bind("/run/plugin.sock")?.accept()?;
//! service.serve(&mut &stream, &mut &stream)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod call;
mod memory;
mod serve;
mod symbols;

pub use serve::{Error, Options, Service};
