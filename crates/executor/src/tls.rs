//! TCP with TLS 1.3, where both sides show a certificate.

mod certificate;
mod credentials;
mod failure;
mod session;
mod trusted;

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;
use rustls::crypto::ring::cipher_suite::{TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384};
use rustls::crypto::ring::kx_group::{SECP256R1, X25519};
use rustls::pki_types::ServerName;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

use self::trusted::Trusted;
use crate::connect::connect_tcp;
use crate::transport::Socket;
use crate::{Address, Connection, Error, Result, Timeouts};

pub(crate) use self::certificate::Certificate;
use self::credentials::Files;
pub use self::credentials::{CredentialFault, Credentials};
pub use self::failure::TlsFailure;
pub(crate) use self::session::Session;

/// The name in ALPN, which keeps what is meant for another protocol that has TLS from being taken for ours. Versions are the hello's to
/// compare, because it can say which ones met.
const PROTOCOL: &[u8] = b"farcall";

/// How long a peer may take to end the connection after it was told that it is not served.
const LEAVE_TIME: Duration = Duration::from_secs(2);

/// How an executor is reached over TLS. Clones share it.
#[derive(Debug, Clone)]
pub struct TlsServer {
    config: Arc<ServerConfig>,
    /// Where its credentials are from.
    files: Option<Files>,
}

impl TlsServer {
    /// An executor that shows these credentials' certificate, and is for controllers that these credentials trust. Any such
    /// controller can run code.
    ///
    /// # Errors
    ///
    /// [`Error::Credentials`], which names what cannot be used.
    pub fn new(credentials: &Credentials) -> Result<Self> {
        let provider = Arc::new(provider());
        let identity = credentials.identity(&provider)?;
        let of_cas = match credentials.roots()? {
            None => None,
            Some(roots) => Some(
                WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
                    .build()
                    .map_err(credentials.unusable())?,
            ),
        };
        let trusted: Trusted<dyn ClientCertVerifier> = Trusted {
            peers: credentials.peers()?,
            of_cas,
            algorithms: provider.signature_verification_algorithms,
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(credentials.unusable())?
            .with_client_cert_verifier(Arc::new(trusted))
            .with_cert_resolver(identity);
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        // A session that is taken up again is one whose certificates nobody looks at any more.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self {
            config: Arc::new(config),
            files: credentials.files().cloned(),
        })
    }

    /// The same executor, with what its files have now: for connections that come, as those that there are stay as they are. Nothing if its credentials are
    /// not [from files](Credentials::from_files).
    ///
    /// # Errors
    ///
    /// As [`Credentials::from_files`] and [`TlsServer::new`]: for one, when a certificate has been replaced and its key has not yet.
    #[must_use]
    pub fn read_again(&self) -> Option<Result<Self>> {
        let read = self.files.as_ref()?.read();
        Some(read.and_then(|credentials| Self::new(&credentials)))
    }

    /// A connection to a peer that has connected. Nothing is said yet: hands are shaken when it is read from for the first
    /// time, until when what is written is kept; reading fails if the peer is not to be served, and the peer has been told why. It
    /// has 10 seconds to be, and to say something.
    ///
    /// # Errors
    ///
    /// The system's, when the socket is none of a connection.
    pub fn accept(&self, stream: TcpStream) -> io::Result<Connection> {
        self.accept_with(stream, Timeouts::default())
    }

    /// As [`accept`](Self::accept), with other times than 10 seconds for the handshake and 40 of silence.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn accept_with(&self, stream: TcpStream, timeouts: Timeouts) -> io::Result<Connection> {
        let peer = stream.peer_addr()?.to_string();
        let connection = ServerConnection::new(Arc::clone(&self.config));
        let connection = connection.map_err(io::Error::other)?;
        let socket = Socket::tcp(stream, timeouts)?;
        let session = Session::new(connection.into(), socket, peer, timeouts.greeting);
        Ok(Connection::tls(session))
    }
}

/// How a controller reaches executors over TLS. Clones share it.
#[derive(Debug, Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

impl TlsClient {
    /// A controller that shows these credentials' certificate, and takes an executor for the one it wants if that shows a certificate
    /// which these credentials trust, for its host's name.
    ///
    /// # Errors
    ///
    /// [`Error::Credentials`], which names what cannot be used.
    pub fn new(credentials: &Credentials) -> Result<Self> {
        let provider = Arc::new(provider());
        let identity = credentials.identity(&provider)?;
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(credentials.unusable())?;
        let mut config = config
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(servers(credentials, provider)?))
            .with_client_cert_resolver(identity);
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self {
            config: Arc::new(config),
            server_name: None,
        })
    }

    /// With the name or IP address that the executor's certificate has to have, if it is another than that of the host.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] when it is no such name.
    pub fn with_server_name(mut self, name: &str) -> Result<Self> {
        let parsed = parse_server_name(name).map_err(|failure| Error::Tls {
            peer: name.to_owned(),
            failure,
        })?;
        self.server_name = Some(parsed);
        Ok(self)
    }

    /// Connects, shakes hands and waits until the executor has said something, each for as long as `timeouts` say of a greeting.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`] when nobody listens there, [`Error::Tls`] when it is not the executor that is wanted, or it does not
    /// want this controller.
    pub fn connect(&self, host: &str, port: u16, timeouts: Timeouts) -> Result<Connection> {
        let address = Address::Tls {
            host: host.to_owned(),
            port,
        };
        let peer = address.to_string();
        let greet = |socket| {
            let name = match &self.server_name {
                Some(name) => name.clone(),
                None => parse_server_name(host)?,
            };
            let connection = ClientConnection::new(Arc::clone(&self.config), name)?;
            let session = Session::new(connection.into(), socket, peer.clone(), timeouts.greeting);
            session.wait_for_peer()?;
            Ok(session)
        };
        let socket = connect_tcp(host, port, timeouts.greeting)
            .and_then(|stream| Socket::tcp(stream, timeouts))
            .map_err(Error::cannot_connect(&address))?;
        let session = greet(socket).map_err(|failure| Error::Tls {
            peer: peer.clone(),
            failure,
        })?;
        Ok(Connection::tls(session))
    }
}

/// What both sides compute with. ChaCha20 and P-384 as a group are left out, because all that has TLS 1.3 has what is here (RFC 8446, 9.1)
/// and their code is a twentieth of the program.
fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384],
        kx_groups: vec![X25519, SECP256R1],
        ..ring::default_provider()
    }
}

/// What decides about a server's certificate.
fn servers(
    credentials: &Credentials,
    provider: Arc<CryptoProvider>,
) -> Result<Trusted<dyn ServerCertVerifier>> {
    let algorithms = provider.signature_verification_algorithms;
    let of_cas: Option<Arc<dyn ServerCertVerifier>> = match credentials.roots()? {
        None => None,
        Some(roots) => Some(
            WebPkiServerVerifier::builder_with_provider(roots, provider)
                .build()
                .map_err(credentials.unusable())?,
        ),
    };
    Ok(Trusted {
        peers: credentials.peers()?,
        of_cas,
        algorithms,
    })
}

fn parse_server_name(name: &str) -> Result<ServerName<'static>, TlsFailure> {
    ServerName::try_from(name.to_owned()).map_err(|_| TlsFailure::ServerName {
        name: name.to_owned(),
    })
}
