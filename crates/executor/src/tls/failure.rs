//! Why there is no TLS connection, in words for people.

use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError, PeerIncompatible};

/// Why there is no TLS connection with a peer, or no longer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsFailure {
    /// The handshake, or the peer's first word after it, took too long.
    #[error("not a word within {} seconds: the peer is busy, or no farcall", .0.as_secs())]
    Late(Duration),
    /// The peer ended the connection before it was one.
    #[error("the peer ended the connection in the middle of the handshake")]
    Abandoned,
    /// The connection ended without TLS's own end: somebody or something has cut it.
    #[error("the connection was cut: it ended without the peer's goodbye (close_notify)")]
    Cut,
    /// What the peer sent is no TLS.
    #[error("the peer does not speak TLS: an executor that does not is at tcp:HOST:PORT")]
    NotTls,
    /// The peer has another version or other algorithms.
    #[error("the peer does not offer TLS 1.3 as it is spoken here ({reason})")]
    Incompatible {
        /// What it lacks, as the TLS library names it.
        reason: String,
    },
    /// The peer speaks TLS, but for another protocol.
    #[error("the peer speaks TLS, but is no farcall (ALPN)")]
    NotFarcall,
    /// The peer has shown no certificate.
    #[error("the peer has shown no certificate: it needs one that is trusted here")]
    NoCertificate,
    /// The peer's certificate is none to be trusted.
    #[error("the peer's certificate is refused: {reason}")]
    Certificate {
        /// Why.
        reason: String,
    },
    /// The host's name is none that a certificate can have.
    #[error("{name:?}: no name that a certificate has; give the server's name")]
    ServerName {
        /// The name.
        name: String,
    },
    /// The peer does not want this side.
    #[error("refused by the peer: {reason}")]
    Refused {
        /// What its alert says.
        reason: String,
    },
    /// The peer breaks the rules of TLS, or bytes were changed on their way.
    #[error("{reason}")]
    Broken {
        /// What the TLS library says.
        reason: String,
    },
    /// The operating system's answer.
    #[error(transparent)]
    System(#[from] io::Error),
}

impl From<rustls::Error> for TlsFailure {
    fn from(error: rustls::Error) -> Self {
        use rustls::Error as Tls;
        match error {
            Tls::AlertReceived(AlertDescription::NoApplicationProtocol)
            | Tls::NoApplicationProtocol => Self::NotFarcall,
            Tls::AlertReceived(alert) => Self::Refused {
                reason: said_by(alert),
            },
            Tls::NoCertificatesPresented => Self::NoCertificate,
            Tls::InvalidCertificate(error) => Self::Certificate {
                reason: wrong_with(error),
            },
            Tls::PeerIncompatible(
                PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled,
            ) => Self::Incompatible {
                reason: "an older version only".to_owned(),
            },
            Tls::PeerIncompatible(lack) => Self::Incompatible {
                reason: format!("{lack:?}"),
            },
            error => Self::Broken {
                reason: error.to_string(),
            },
        }
    }
}

/// What an alert means to who gets it.
fn said_by(alert: AlertDescription) -> String {
    use AlertDescription as Alert;
    let reason = match alert {
        Alert::CertificateRequired => "it wants a certificate",
        Alert::UnknownCA => {
            "it trusts neither our certificate nor its CA: one of them has to be listed there"
        }
        Alert::CertificateExpired => {
            "our certificate has expired, or is not valid yet by the clock there: it needs a new one"
        }
        Alert::BadCertificate => {
            "our certificate is not in order, or not for the name that the peer connected to"
        }
        Alert::CertificateUnknown => "our certificate is none that it can use",
        Alert::UnsupportedCertificate => {
            "our certificate is not for this purpose (extended key usage)"
        }
        Alert::DecryptError => {
            "the signature of our certificate is not that of the CA which it trusts by that name, or our key is not that of the certificate"
        }
        Alert::ProtocolVersion => "it does not speak TLS 1.3",
        Alert::HandshakeFailure => "there is no version or algorithm of TLS that both have",
        Alert::DecodeError | Alert::UnexpectedMessage => "it does not take what we say for TLS",
        other => return format!("its alert is {other:?}"),
    };
    reason.to_owned()
}

/// What is wrong with a certificate.
fn wrong_with(error: CertificateError) -> String {
    use CertificateError as Certificate;
    let reason = match &error {
        Certificate::UnknownIssuer => {
            "neither it nor its CA is trusted here: one of them has to be listed"
        }
        Certificate::Expired | Certificate::ExpiredContext { .. } => {
            "it has expired: the peer needs a new one, or the clock here is wrong"
        }
        Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
            "it is not valid yet: the clock here or there is wrong"
        }
        Certificate::InvalidPurpose | Certificate::InvalidPurposeContext { .. } => {
            "it is not for this purpose (extended key usage)"
        }
        Certificate::BadSignature => {
            "it is not signed by the CA that is trusted here by that name, but by another one of the same name, or it was changed"
        }
        Certificate::BadEncoding => "it is malformed",
        Certificate::NotValidForNameContext {
            expected,
            presented,
        } => {
            let expected = expected.to_str();
            return if presented.is_empty() {
                format!("it is for no name at all (subjectAltName), and so not for {expected}")
            } else {
                // They come as Rust shows them, such as `DnsName("host")`.
                let names = presented.iter().map(|name| {
                    let name = name.split_once('(').map_or(&**name, |(_, name)| name);
                    name.trim_end_matches(')').trim_matches('"')
                });
                let presented = names.collect::<Vec<_>>().join(", ");
                format!(
                    "it is for {presented}, not for {expected}: connect by a name that it has, or say which one it is to have"
                )
            };
        }
        other => return other.to_string(),
    };
    reason.to_owned()
}
