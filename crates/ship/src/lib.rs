//! IR to another process, each function when it is called.
//!
//! [`ship`] has a session compile for an executor. What is compiled when is said in the session's word, [`When`]; by default all of it at
//! once, to one image. With [`When::OnFirstCall`] the executor gets the module's variables and a stub for each function. The first call of a stub asks
//! this process, the *compile service*, which compiles the function's part, loads it there, and says where it is; the stub leads there from
//! then on. Only this process has LLVM.
//!
//! ```no_run
//! use farcall_executor::{Argument, Executor};
//! use farcall_session::{Session, When};
//! use farcall_ship::{Options, ship};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // SAFETY: nothing is added to it.
//! let session = unsafe { Session::new() };
//! let executor = Executor::connect(&"unix:/run/farcall.sock".parse()?)?;
//! let ir = std::fs::read("query.ll")?;
//! let query = ship(&session, &executor, "query.ll", &ir, When::OnFirstCall)?;
//! let run = query.function("run")?;
//! run.call(&mut [Argument::Int(7)])?;
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod error;
mod service;
mod shipped;

pub use error::{Error, Result};
pub use shipped::{Options, Shipped, ship};

pub use farcall_session::{Partition, When};
