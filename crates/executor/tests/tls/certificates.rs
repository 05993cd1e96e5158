//! Certificates of the tests, which `certificates/make.sh` has made, and connections between their owners.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use farcall_executor::{
    Address, Credentials, Error, Executor, Service, Timeouts, TlsClient, TlsServer,
};

/// The host for which servers have certificates.
pub(crate) const HOST: &str = "127.0.0.1";

/// The path of a certificate or key.
pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/tls/certificates")
        .join(name)
}

/// The text of a certificate or key.
pub(crate) fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap()
}

/// The credentials of whoever has the certificate of this name, and trusts a CA.
pub(crate) fn of_ca(name: &str, ca: &str) -> Credentials {
    credentials(name).trust_cas(text(&format!("{ca}.pem")))
}

/// The credentials of whoever has the certificate of this name, and trusts whoever has one of those.
pub(crate) fn of_peers(name: &str, peers: &[&str]) -> Credentials {
    let peers: String = peers
        .iter()
        .map(|peer| text(&format!("{peer}.pem")))
        .collect();
    credentials(name).trust_peers(peers)
}

fn credentials(name: &str) -> Credentials {
    Credentials::new(text(&format!("{name}.pem")), text(&format!("{name}.key")))
}

/// A server for clients of the CA's.
pub(crate) fn server() -> TlsServer {
    TlsServer::new(&of_ca("server", "ca")).unwrap()
}

pub(crate) fn client() -> TlsClient {
    TlsClient::new(&of_ca("client", "ca")).unwrap()
}

/// Where the next connection is served, and how that ends.
pub(crate) struct Served {
    pub(crate) port: u16,
    thread: JoinHandle<Result<(), Error>>,
}

/// Serves the next connection.
pub(crate) fn serve(service: &Service, server: &TlsServer) -> Served {
    serve_within(service, server, Timeouts::default())
}

/// Serves the next connection, whose peer is waited for as `timeouts` say.
pub(crate) fn serve_within(service: &Service, server: &TlsServer, timeouts: Timeouts) -> Served {
    let listener = TcpListener::bind((HOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (service, server) = (service.clone(), server.clone());
    let serve = move || {
        let stream = listener.accept().unwrap().0;
        service.serve(server.accept_with(stream, timeouts).unwrap())
    };
    Served {
        port,
        thread: thread::spawn(serve),
    }
}

impl Served {
    /// How the connection has ended.
    pub(crate) fn end(self) -> Result<(), Error> {
        self.thread.join().unwrap()
    }

    /// The text of the error that it has ended with.
    #[track_caller]
    pub(crate) fn failed(self) -> String {
        self.end().unwrap_err().to_string()
    }

    /// A TCP connection to it.
    pub(crate) fn raw(&self) -> TcpStream {
        TcpStream::connect((HOST, self.port)).unwrap()
    }
}

pub(crate) fn connect(client: &TlsClient, port: u16) -> Result<Executor, Error> {
    let host = HOST.to_owned();
    Executor::connect_tls(&Address::Tls { host, port }, client)
}

/// A controller of `service`.
pub(crate) fn controller(service: &Service) -> Executor {
    connect(&client(), serve(service, &server()).port).unwrap()
}
