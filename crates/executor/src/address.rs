//! Where an executor listens.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::Error;

/// Where an executor listens: `unix:PATH`, `tcp:HOST:PORT` or `tls:HOST:PORT`.
///
/// ```
/// use farcall_executor::Address;
///
/// let address: Address = "tcp:[::1]:7000".parse()?;
/// assert_eq!(address, Address::Tcp { host: "::1".to_owned(), port: 7000 });
/// assert_eq!(address.to_string(), "tcp:[::1]:7000");
/// # Ok::<(), farcall_executor::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// A TCP port.
    Tcp {
        /// A host name or an IP address, an IPv6 one without brackets.
        host: String,
        /// The port; 0 to listen on one that is free.
        port: u16,
    },
    /// A TCP port with TLS on it, where both sides show certificates.
    Tls {
        /// As of [`Tcp`](Self::Tcp).
        host: String,
        /// As of [`Tcp`](Self::Tcp).
        port: u16,
    },
}

impl Address {
    /// The same address with another port, if it has one.
    pub(crate) fn with_port(&self, port: u16) -> Self {
        let mut address = self.clone();
        match &mut address {
            Self::Unix(_) => {}
            Self::Tcp { port: old, .. } | Self::Tls { port: old, .. } => *old = port,
        }
        address
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let error = |reason| Error::Address {
            text: text.to_owned(),
            reason,
        };
        match text.split_once(':') {
            Some(("unix", "")) => Err(error("no path")),
            Some(("unix", path)) => Ok(Self::Unix(path.into())),
            Some((kind @ ("tcp" | "tls"), rest)) => {
                let (host, port) = host_and_port(rest).map_err(error)?;
                Ok(if kind == "tcp" {
                    Self::Tcp { host, port }
                } else {
                    Self::Tls { host, port }
                })
            }
            _ => Err(error(
                "neither unix:PATH nor tcp:HOST:PORT nor tls:HOST:PORT",
            )),
        }
    }
}

/// The parts of `HOST:PORT`, or what is wrong with it.
fn host_and_port(text: &str) -> Result<(String, u16), &'static str> {
    let (host, port) = text.rsplit_once(':').ok_or("no port")?;
    let host = match host.strip_prefix('[') {
        Some(host) => host.strip_suffix(']').ok_or("'[' without ']'")?,
        None if host.contains(':') => return Err("an IPv6 address stands in brackets"),
        None => host,
    };
    if host.is_empty() {
        return Err("no host");
    }
    let port = port
        .parse()
        .map_err(|_| "the port is no number up to 65535")?;
    Ok((host.to_owned(), port))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, host, port) = match self {
            Self::Unix(path) => return write!(f, "unix:{}", path.display()),
            Self::Tcp { host, port } => ("tcp", host, port),
            Self::Tls { host, port } => ("tls", host, port),
        };
        if host.contains(':') {
            write!(f, "{kind}:[{host}]:{port}")
        } else {
            write!(f, "{kind}:{host}:{port}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_a_round_trip() {
        for text in [
            "unix:/run/farcall.sock",
            "unix:a:b",
            "tcp:localhost:0",
            "tcp:127.0.0.1:65535",
            "tcp:[fe80::1%lo]:1",
            "tls:example.org:7000",
            "tls:[::1]:7000",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "neither"),
            ("/run/farcall.sock", "neither"),
            ("unix:", "no path"),
            ("tcp:", "no port"),
            ("tcp::1", "no host"),
            ("tcp:host", "no port"),
            ("tcp:host:http", "no number"),
            ("tcp:host:65536", "no number"),
            ("tcp:::1:80", "brackets"),
            ("tcp:[::1:80", "without"),
            ("tls:host", "no port"),
            ("tls::1", "no host"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
