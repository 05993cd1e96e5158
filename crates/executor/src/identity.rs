//! Who is at the other end of a connection, as far as the system and a certificate tell.

use std::fmt;
use std::sync::Arc;

use crate::json::Object;
use crate::tls::{Certificate, Session};
use crate::transport::{Endpoint, Socket};

/// Where a connection comes from. Who it is can be asked when hands have been shaken.
pub(crate) enum Origin {
    Socket(Socket),
    Tls(Arc<Session>),
    Stream,
}

/// Who is at the other end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identity {
    endpoint: Endpoint,
    certificate: Option<Certificate>,
}

impl Origin {
    pub(crate) fn identity(&self) -> Identity {
        match self {
            Self::Socket(socket) => Identity {
                endpoint: socket.endpoint(),
                certificate: None,
            },
            Self::Tls(session) => Identity {
                endpoint: session.socket().endpoint(),
                certificate: session.certificate(),
            },
            Self::Stream => Identity::default(),
        }
    }
}

impl Identity {
    pub(crate) fn object(&self) -> Object {
        let mut object = Object::new();
        match &self.endpoint {
            Endpoint::Unknown => object.text("transport", "stream"),
            Endpoint::Process { pid, uid } => {
                let object = object.text("transport", "unix");
                object
                    .number("pid", (*pid).into())
                    .number("uid", (*uid).into())
            }
            Endpoint::Address(address) => {
                let transport = match self.certificate {
                    Some(_) => "tls",
                    None => "tcp",
                };
                let object = object.text("transport", transport);
                object.text("address", &address.to_string())
            }
        };
        if let Some(Certificate { name, fingerprint }) = &self.certificate {
            if let Some(name) = name {
                object.text("name", name);
            }
            object.text("fingerprint", fingerprint);
        }
        object
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.endpoint {
            Endpoint::Unknown => f.write_str("a stream"),
            Endpoint::Process { pid, uid } => write!(f, "process {pid} of user {uid}"),
            Endpoint::Address(address) => write!(f, "{address}"),
        }?;
        match &self.certificate {
            None => Ok(()),
            Some(Certificate {
                name: Some(name),
                fingerprint,
            }) => write!(f, " with {name}'s certificate sha256:{fingerprint}"),
            Some(Certificate { fingerprint, .. }) => {
                write!(f, " with certificate sha256:{fingerprint}")
            }
        }
    }
}
