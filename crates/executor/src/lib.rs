//! Running shipped code for another process.
//!
//! An *executor* ([`run`], [`Service`]) takes images over a connection, loads them and calls their
//! functions for *controllers* ([`Executor`]). What is loaded belongs to the executor, not to the
//! connection: it stays when a controller goes, and the next one can call it.
//!
//! Whoever can connect can run code. A crash of shipped code ends the executor's process.
//!
//! # Examples
//!
//! ```no_run
//! use farcall_executor::{Address, Argument, Executor, Value};
//! use farcall_image::Image;
//!
//! let bytes = std::fs::read("sum.image")?;
//! let image = Image::parse(&bytes)?;
//!
//! let executor = Executor::connect(&"unix:/run/farcall.sock".parse::<Address>()?)?;
//! let module = executor.load(&image)?;
//! let mut arguments = [Argument::In(&[1, 2, 3]), Argument::Int(3)];
//! let sum = executor.call(&module, "sum", Some("i64 (ptr, i64)"), &mut arguments)?;
//! assert_eq!(sum, Value::Int { bits: 64, value: 6 });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod address;
mod argument;
mod bare;
mod buffers;
mod channel;
mod client;
mod compress;
mod definitions;
mod entry;
mod error;
mod exec;
mod failures;
mod listener;
mod memory;
mod modules;
mod peer;
mod pending;
mod remote;
mod remote_buffer;
mod run;
mod serve;
mod stdio;
mod stop;
mod traffic;
mod transport;
mod workers;

pub use address::Address;
pub use argument::Argument;
pub use bare::{BareError, BareExecutor, PlaceOptions, PlacedModule};
pub use client::{Executor, LoadOptions, RemoteModule};
pub use error::{Error, Result};
pub use pending::{Pending, PendingLoad};
pub use remote::RemoteFunction;
pub use remote_buffer::RemoteBuffer;
pub use run::{Listen, run};
pub use serve::{Options, Service};
pub use traffic::Traffic;
pub use transport::Connection;

pub use farcall_loader::invoke::Value;
pub use farcall_protocol::{
    BareHello, Definition, ErrorKind, Failure, Hello, ModuleInfo, ModuleName, Order, Statistics,
    Symbol, SymbolKind,
};
