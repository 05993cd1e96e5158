//! Running shipped code for another process.
//!
//! An *executor* ([`run`], [`Service`]) takes images over a connection, loads them and calls their
//! functions for *controllers* ([`Executor`]). What is loaded belongs to the executor, not to the
//! connection: it stays when a controller goes, and the next one can call it.
//!
//! Whoever can connect can run code; over TLS ([`TlsServer`], [`TlsClient`]) those can whose certificates are trusted. [`run`] loads only what the policy lets, or, for controllers of this machine, everything if it is told so ([`Trust`]). A crash of shipped code ends
//! the executor's process, unless calls run in workers ([`Isolation`]).
//!
//! # Examples
//!
//! ```no_run
//! use farcall_executor::{Address, Argument, Executor, In, Value};
//! use farcall_image::Image;
//!
//! let bytes = std::fs::read("sum.image")?;
//! let image = Image::parse(&bytes)?;
//!
//! let executor = Executor::connect(&"unix:/run/farcall.sock".parse::<Address>()?)?;
//! let module = executor.load(&image)?;
//! // By a type that is known when this is compiled, found once for many calls:
//! let sum = executor.typed::<fn(In<u8>, usize) -> i64>(&module, "sum")?;
//! assert_eq!(sum.call(&[1, 2, 3], 3)?, 6);
//! // By one that is known when it is called:
//! let mut arguments = [Argument::In(&[1, 2, 3]), Argument::Int(3)];
//! let sum = executor.call(&module, "sum", Some("i64 (ptr, i64)"), &mut arguments)?;
//! assert_eq!(sum, Value::Int { bits: 64, value: 6 });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`AsyncExecutor`] is the same connection for futures, [`Pool`] several executors as one.

mod address;
mod admission;
mod argument;
mod arriving;
mod asking;
mod asynchronous;
mod audit;
mod bare;
mod block_on;
mod buffers;
mod callback;
mod channel;
mod client;
mod closures;
mod compress;
mod connect;
mod connections;
mod counters;
mod definitions;
mod dock;
mod doing;
mod entry;
mod error;
mod exchange;
mod exec;
mod failures;
mod first_call;
mod identity;
mod isolation;
mod json;
mod listener;
mod loads;
mod log;
mod looking;
mod memory;
mod metrics;
mod modules;
mod notify;
mod operate;
mod patience;
mod peer;
mod pending;
mod pool;
mod refusing;
mod remote;
mod remote_buffer;
mod ring;
mod run;
mod serve;
mod share;
mod shared;
mod shipment;
mod signals;
mod starting;
mod stdio;
mod timeouts;
mod tls;
mod traffic;
mod transport;
mod typed;
mod workers;

pub use address::Address;
pub use admission::Trust;
pub use argument::Argument;
pub use asynchronous::AsyncExecutor;
pub use audit::Audit;
pub use bare::{BareError, BareExecutor, PlaceOptions, PlacedModule};
pub use client::{Executor, LoadOptions, RemoteModule};
pub use closures::Serving;
pub use connections::Running;
pub use error::{Error, Result};
pub use isolation::{Isolation, Keep, run_template};
pub use log::{LogFormat, log_to_stderr};
pub use pending::{Pending, PendingLoad};
pub use pool::{MemberHealth, Pool, PoolFunction, PoolModule, PoolOptions};
pub use remote::RemoteFunction;
pub use remote_buffer::RemoteBuffer;
pub use run::{Listen, Watch, run, run_watched};
pub use serve::{Options, Service};
pub use timeouts::Timeouts;
pub use tls::{CredentialFault, Credentials, TlsClient, TlsFailure, TlsServer};
pub use traffic::Traffic;
pub use transport::Connection;
pub use typed::{
    Callable, FunctionType, In, InOut, Out, Parameter, Pointer, Returned, TypedFunction,
    TypedPending,
};

pub use farcall_loader::SealedFile;
pub use farcall_loader::invoke::Value;
pub use farcall_protocol::{
    BareHello, Definition, ErrorKind, Failure, FirstCall, Hello, Latency, ModuleInfo, ModuleName,
    Order, Statistics, Symbol, SymbolKind,
};
