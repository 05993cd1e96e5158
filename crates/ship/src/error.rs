//! What can go wrong.

/// The result of shipping.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a module, or a part of it, is not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It cannot be compiled or linked.
    #[error(transparent)]
    Session(#[from] farcall_session::Error),
    /// What was linked is no image.
    #[error(transparent)]
    Image(#[from] farcall_image::Error),
    /// The executor could not load it, or is gone.
    #[error(transparent)]
    Executor(#[from] farcall_executor::Error),
    /// The module has no such function.
    #[error("{module}: {function}: no such function")]
    NoFunction {
        /// The module's name.
        module: String,
        /// The function's.
        function: String,
    },
}
