#![forbid(unsafe_code)]
#![doc = include_str!("../../../README.md")]

pub use farcall_compiler::{Compiler, Object, OptLevel, inkwell};
pub use farcall_executor::{AsyncExecutor, Executor, Pool, RemoteModule};
pub use farcall_image::{Bundle, Digest, Image, Machine, Signature};
pub use farcall_linker::Linker;
pub use farcall_loader::{
    Definition, LazyScope, Loader, Module, Redirect, Symbol, TrustedImage, host_fn,
};
pub use farcall_session::{Library, Session, Unit, When};

/// From LLVM IR to objects: the only part that needs LLVM.
pub mod compiler {
    pub use farcall_compiler::*;
}
/// From objects and archives to an image.
pub mod linker {
    pub use farcall_linker::*;
}
/// The image: its form, its manifest, its digest.
pub mod image {
    pub use farcall_image::*;
}
/// From an image to running code in this process.
pub mod loader {
    pub use farcall_loader::*;
}
/// IR in, addresses out, in this process: eagerly, on lookup or on first call.
pub mod session {
    pub use farcall_session::*;
}
/// IR to an executor, each function compiled when it is first called there.
pub mod ship {
    pub use farcall_ship::*;
}
/// Running code in other processes: executors and their controllers.
pub mod executor {
    pub use farcall_executor::*;
}
/// What controllers and executors say to each other.
pub mod protocol {
    pub use farcall_protocol::*;
}
/// Keeping images in a local directory, so that what was made once is not made again.
pub mod store {
    pub use farcall_store::*;
}
/// Whose images load: keys, code signatures and policies.
pub mod trust {
    pub use farcall_trust::*;
}
