//! The executor that `farcall call --on` calls in: one with a loader, or a bare one.

use std::path::Path;

use farcall::executor::{
    self, Address, Argument, BareExecutor, Executor, LoadOptions, PlaceOptions, TlsClient, Value,
};
use farcall::{Bundle, Image, protocol};

use crate::timings::Timings;
use crate::top::escaped;

/// A connection to an executor of either kind.
pub(crate) enum Remote {
    Loading(Executor),
    Bare(Box<BareExecutor>),
}

/// Connects to the executor at `address`, of whatever kind it says that it is.
pub(crate) fn connect(
    address: &Address,
    tls: Option<&TlsClient>,
    timings: &mut Timings,
) -> anyhow::Result<Remote> {
    let connect = || match tls {
        Some(tls) => Executor::connect_tls(address, tls).map(Remote::Loading),
        None => match Executor::connect(address) {
            Err(executor::Error::Protocol(protocol::Error::Bare)) => {
                BareExecutor::connect(address).map(|bare| Remote::Bare(Box::new(bare)))
            }
            other => other.map(Remote::Loading),
        },
    };
    let remote = timings.stage("connect", connect);
    let remote = remote.map_err(|error| at_address(error, address))?;
    let executor = match &remote {
        Remote::Loading(executor) => {
            executor.print_output();
            &executor.hello().software
        }
        Remote::Bare(executor) => &executor.hello().software,
    };
    tracing::info!(%address, executor, "connected");
    Ok(remote)
}

impl Remote {
    /// The image of a bundle for the executor's CPU, compared with its digest.
    pub(crate) fn image_of<'data>(
        &self,
        name: &str,
        bytes: &'data [u8],
    ) -> anyhow::Result<Image<'data>> {
        let choose = || {
            let bundle = Bundle::parse(bytes)?;
            let image = match self {
                Self::Loading(executor) => executor.choose(&bundle)?,
                Self::Bare(executor) => executor.choose(&bundle)?,
            };
            image.verify_digest()?;
            Ok(image)
        };
        choose()
            .map_err(|error: executor::Error| anyhow::Error::new(error).context(name.to_owned()))
    }

    /// Calls a function of an image there. In an executor with a loader the image stays, under `name`; in a bare one, where nobody
    /// else could find it, it does not.
    pub(crate) fn call(
        &self,
        image: &Image<'_>,
        name: &str,
        function: &str,
        signature: &str,
        arguments: &mut [Argument<'_>],
        timings: &mut Timings,
    ) -> Result<Value, executor::Error> {
        match self {
            Self::Loading(remote) => {
                let sent = remote.traffic().shipped();
                let options = LoadOptions {
                    name,
                    ..LoadOptions::default()
                };
                let load = || remote.load_with(image, options);
                let module = timings.stage("ship, load", load)?;
                timings.bytes(remote.traffic().shipped() - sent);
                let call = || remote.call(&module, function, Some(signature), arguments);
                timings.stage("call", call)
            }
            Self::Bare(remote) => {
                let sent = remote.traffic().sent;
                let options = PlaceOptions::default();
                let module = timings.stage("ship, place", || remote.place(image, options))?;
                timings.bytes(remote.traffic().sent - sent);
                let call = || remote.call(&module, function, Some(signature), arguments);
                let value = timings.stage("call", call);
                let freed = remote.free(module);
                value.and_then(|value| freed.map(|()| value))
            }
        }
    }
}

/// What an image is called in an executor, whose audit and logs have it: the name of its file, without folders and without what a terminal would obey.
pub(crate) fn name_of(path: &Path) -> String {
    const MOST_BYTES: usize = 256;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut shown = escaped(&name);
    shown.truncate(shown.floor_char_boundary(MOST_BYTES));
    shown
}

/// The error with the executor's address, which some name already.
pub(crate) fn at_address(error: executor::Error, address: &Address) -> anyhow::Error {
    let is_named = matches!(
        error,
        executor::Error::Connect { .. }
            | executor::Error::Tls { .. }
            | executor::Error::Silent { .. }
    );
    let error = anyhow::Error::new(error);
    if is_named {
        error
    } else {
        error.context(address.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_called_like_its_file() {
        let folders = "../".repeat(100) + &"ä".repeat(200);
        for (path, name) in [
            ("twice.img", "twice.img"),
            ("/a/b/../twice", "twice"),
            ("..", ""),
            ("a/x\n\u{1b}[2J\u{202e}y", "x\\n\\u{1b}[2J\\u{202e}y"),
            (folders.as_str(), "ä".repeat(128).as_str()),
        ] {
            assert_eq!(name_of(Path::new(path)), name, "{path:?}");
        }
    }

    #[test]
    fn an_address_is_named_once() {
        let address: Address = "unix:/s".parse().unwrap();
        let silent = executor::Error::Silent {
            address: address.clone(),
        };
        for error in [silent, executor::Error::NoHello] {
            let message = crate::report::message(&at_address(error, &address));
            assert!(message.starts_with("unix:/s: "), "{message}");
            assert_eq!(message.matches("unix:/s").count(), 1, "{message}");
        }
    }
}
