//! Peers that are not let in, and what both sides say of it.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use farcall_executor::{
    Address, Connection, Error, Executor, Options, Service, Timeouts, TlsClient, TlsServer,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::certificates::{
    HOST, Served, client, connect, of_ca, of_peers, serve, serve_within, server, text,
};

fn serve_new(server: &TlsServer) -> Served {
    serve(&Service::default(), server)
}

/// Of an executor and a controller that wait two seconds for who they are.
const SOON: Timeouts = Timeouts {
    greeting: Duration::from_secs(2),
    silence: Duration::from_secs(40),
};

fn serve_soon(server: &TlsServer) -> Served {
    let options = Options {
        timeouts: SOON,
        ..Options::default()
    };
    serve_within(&Service::new(options), server, SOON)
}

/// The text of an error that is TLS's.
#[track_caller]
fn refusal(result: Result<Executor, Error>) -> String {
    match result {
        Err(error @ Error::Tls { .. }) => error.to_string(),
        other => panic!("not refused: {other:?}"),
    }
}

#[track_caller]
fn assert_refused(server: &TlsServer, client: &TlsClient, by_server: &str, by_client: &str) {
    let served = serve_new(server);
    let at_client = refusal(connect(client, served.port));
    let at_server = served.failed();
    assert!(at_server.contains(by_server), "{at_server}");
    assert!(at_client.contains(by_client), "{at_client}");
    assert!(at_server.contains("127.0.0.1:"), "{at_server}");
    assert!(at_client.starts_with("tls:127.0.0.1:"), "{at_client}");
}

#[track_caller]
fn assert_accepted(server: &TlsServer, client: &TlsClient) {
    let served = serve_new(server);
    let executor = connect(client, served.port).unwrap();
    executor.ping().unwrap();
    drop(executor);
    served.end().unwrap();
}

#[test]
fn peers_of_a_ca_and_peers_that_are_listed_are_let_in() {
    assert_accepted(&server(), &client());
    let listed = TlsServer::new(&of_peers("executor", &["stranger", "controller"])).unwrap();
    let controller = TlsClient::new(&of_peers("controller", &["executor"])).unwrap();
    assert_accepted(&listed, &controller);
    // Each side trusts in its own way, and in several.
    let both = of_ca("server", "other").trust_peers(text("controller.pem"));
    let of_ca = TlsClient::new(&of_ca("controller", "ca")).unwrap();
    assert_accepted(&TlsServer::new(&both).unwrap(), &of_ca);
    // A certificate of a CA's can be listed too, and then does not expire.
    let listed = TlsServer::new(&of_peers("server-expired", &["client-expired"])).unwrap();
    let expired = TlsClient::new(&of_peers("client-expired", &["server-expired"])).unwrap();
    assert_accepted(&listed, &expired);
}

#[test]
fn peers_that_are_not_listed_are_not_let_in() {
    let listed = TlsServer::new(&of_peers("executor", &["controller"])).unwrap();
    let stranger = TlsClient::new(&of_peers("stranger", &["executor"])).unwrap();
    let by_server = "neither it nor its CA is trusted here: one of them has to be listed";
    let by_client = "refused by the peer: it trusts neither our certificate nor its CA";
    assert_refused(&listed, &stranger, by_server, by_client);

    // A CA among the peers is a peer, and vouches for nobody.
    let listed = TlsServer::new(&of_peers("executor", &["ca"])).unwrap();
    let of_ca = TlsClient::new(&of_peers("client", &["executor"])).unwrap();
    assert_refused(&listed, &of_ca, by_server, by_client);

    let controller = TlsClient::new(&of_peers("controller", &["stranger"])).unwrap();
    let listed = TlsServer::new(&of_peers("executor", &["controller"])).unwrap();
    assert_refused(
        &listed,
        &controller,
        "it trusts neither our certificate nor its CA",
        "neither it nor its CA is trusted here",
    );
    // One that is listed is not to stand in for another.
    let stranger = TlsServer::new(&of_peers("stranger", &["controller"])).unwrap();
    assert_refused(
        &stranger,
        &controller,
        "not for the name that the peer connected to",
        "it is for stranger, not for 127.0.0.1: connect by a name that it has",
    );
}

#[test]
fn clients_whose_certificates_are_not_in_order() {
    let refused = "the peer's certificate is refused: ";
    for (name, by_server, by_client) in [
        (
            "client-expired",
            "it has expired: the peer needs a new one",
            "our certificate has expired",
        ),
        (
            "client-early",
            "it is not valid yet: the clock",
            "or is not valid yet by the clock there",
        ),
        (
            "client-other",
            "neither it nor its CA is trusted here",
            "it trusts neither our certificate nor its CA",
        ),
        (
            "client-twin",
            "it is not signed by the CA that is trusted here by that name",
            "not that of the CA which it trusts by that name",
        ),
        (
            "server",
            "it is not for this purpose",
            "our certificate is not for this purpose",
        ),
    ] {
        let client = TlsClient::new(&of_ca(name, "ca")).unwrap();
        let by_server = format!("{refused}{by_server}");
        assert_refused(&server(), &client, &by_server, by_client);
    }
}

#[test]
fn servers_whose_certificates_are_not_in_order() {
    for (name, by_server, by_client) in [
        (
            "server-expired",
            "our certificate has expired",
            "it has expired",
        ),
        (
            "server-other",
            "it trusts neither our certificate nor its CA",
            "neither it nor its CA is trusted here",
        ),
        (
            "client",
            "our certificate is not for this purpose",
            "it is not for this purpose",
        ),
        (
            "server-elsewhere",
            "not for the name that the peer connected to",
            "it is for elsewhere.example, not for 127.0.0.1",
        ),
    ] {
        let server = TlsServer::new(&of_ca(name, "ca")).unwrap();
        assert_refused(&server, &client(), by_server, by_client);
    }
}

#[test]
fn a_server_with_another_name_is_the_one_that_is_wanted_if_that_is_said() {
    let server = TlsServer::new(&of_ca("server-elsewhere", "ca")).unwrap();
    let client = client().with_server_name("elsewhere.example").unwrap();
    assert_accepted(&server, &client);
    let wrong = client.with_server_name("not a name").unwrap_err();
    let wrong = wrong.to_string();
    assert!(wrong.contains("no name that a certificate has"), "{wrong}");
}

/// A TLS client of these protocols without a certificate.
fn nameless(protocols: &[&str], socket: TcpStream) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(text("ca.pem").as_bytes());
    roots.add(root.unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let protocols = protocols.iter().map(|name| name.as_bytes().to_vec());
    config.alpn_protocols = protocols.collect();
    let name = ServerName::try_from(HOST).unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(connection, socket)
}

#[test]
fn a_client_without_a_certificate() {
    for protocols in [&["farcall"][..], &[]] {
        let served = serve_new(&server());
        let mut stream = nameless(protocols, served.raw());
        // Not even who the executor is.
        let error = stream.read(&mut [0; 8]).unwrap_err();
        assert!(error.to_string().contains("CertificateRequired"), "{error}");
        let error = served.failed();
        assert!(error.contains("has shown no certificate"), "{error}");
    }
}

#[test]
fn a_client_that_wants_another_protocol() {
    let served = serve_new(&server());
    let mut stream = nameless(&["h2"], served.raw());
    let error = stream.read(&mut [0; 8]).unwrap_err();
    assert!(
        error.to_string().contains("NoApplicationProtocol"),
        "{error}"
    );
    let error = served.failed();
    assert!(error.contains("no farcall"), "{error}");
}

/// A ClientHello of TLS 1.2, with one cipher suite, group and signature scheme, as a record.
fn old_client_hello() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    let extensions = [
        0, 10, 0, 4, 0, 2, 0, 0x1d, 0, 13, 0, 4, 0, 2, 4, 3, 0, 11, 0, 2, 1, 0,
    ];
    body.extend([0, u8::try_from(extensions.len()).unwrap()]);
    body.extend(extensions);
    handshake_record(1, &body)
}

/// A record with one message of the handshake.
fn handshake_record(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).unwrap();
    let mut record = vec![22, 3, 3, 0, length + 4, kind, 0, 0, length];
    record.extend(body);
    record
}

/// The record of a fatal alert.
const fn alert(number: u8) -> [u8; 7] {
    [21, 3, 3, 0, 2, 2, number]
}

#[test]
fn a_client_that_speaks_tls_1_2_only() {
    let served = serve_new(&server());
    let mut stream = served.raw();
    stream.write_all(&old_client_hello()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, alert(70), "protocol_version");
    let error = served.failed();
    assert!(error.contains("does not offer TLS 1.3"), "{error}");
}

/// A server that answers whatever it is sent first with `answer`, and gives what it is told then.
fn answer_once(answer: Vec<u8>) -> (u16, thread::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind((HOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = move || {
        let mut stream = listener.accept().unwrap().0;
        assert_ne!(stream.read(&mut [0; 4096]).unwrap(), 0);
        stream.write_all(&answer).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        rest
    };
    (port, thread::spawn(serve))
}

#[test]
fn a_server_that_speaks_tls_1_2_only() {
    let mut hello = vec![3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0xc0, 0x2b, 0]);
    let (port, told) = answer_once(handshake_record(2, &hello));
    let error = refusal(connect(&client(), port));
    assert!(error.contains("does not offer TLS 1.3"), "{error}");
    assert_eq!(told.join().unwrap(), alert(70), "protocol_version");

    let (port, _) = answer_once(alert(70).to_vec());
    let error = refusal(connect(&client(), port));
    assert!(error.contains("it does not speak TLS 1.3"), "{error}");
}

#[test]
fn a_server_that_speaks_something_else_or_hangs_up() {
    let (port, _) = answer_once(b"220 mail.example ESMTP\r\n".to_vec());
    let error = refusal(connect(&client(), port));
    assert!(error.contains("does not speak TLS"), "{error}");
    let (port, _) = answer_once(Vec::new());
    let error = refusal(connect(&client(), port));
    assert!(error.contains("in the middle of the handshake"), "{error}");
}

#[test]
fn a_controller_and_an_executor_of_which_one_speaks_tls() {
    let served = serve_new(&server());
    let host = HOST.to_owned();
    let address = Address::Tcp {
        host,
        port: served.port,
    };
    let error = Executor::connect(&address).unwrap_err().to_string();
    assert!(
        error.contains("the peer speaks TLS: an address of its kind is tls:HOST:PORT"),
        "{error}"
    );
    let error = served.failed();
    assert!(error.contains("does not speak TLS"), "{error}");

    let listener = TcpListener::bind((HOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let plain = thread::spawn(move || {
        let stream = listener.accept().unwrap().0;
        Service::default().serve(Connection::tcp(stream).unwrap())
    });
    let error = refusal(connect(&client(), port));
    assert!(error.contains("does not speak TLS"), "{error}");
    let error = plain.join().unwrap().unwrap_err().to_string();
    assert!(error.contains("the peer speaks TLS"), "{error}");
}

#[test]
fn addresses_and_credentials_go_together() {
    let address: Address = "tls:127.0.0.1:1".parse().unwrap();
    let error = Executor::connect(&address).unwrap_err().to_string();
    assert!(error.contains("TLS needs a certificate"), "{error}");
    for text in ["tcp:127.0.0.1:1", "unix:/tmp/none"] {
        let address: Address = text.parse().unwrap();
        let error = Executor::connect_tls(&address, &client()).unwrap_err();
        assert!(error.to_string().contains("not tls:HOST:PORT"), "{error}");
    }
}

#[test]
fn garbage_instead_of_a_handshake() {
    let server = server();
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0xff; 70_000],
        &[22, 3, 1, 0, 1, 1],
        &[22, 3, 1],
        b"",
    ] {
        let served = serve_new(&server);
        let mut stream = served.raw();
        // The server may have stopped to listen.
        let _ = stream.write_all(garbage);
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let error = served.failed();
        assert!(
            error.contains("does not speak TLS") || error.contains("in the middle"),
            "{error}"
        );
        assert!(
            answer.is_empty() || answer.starts_with(&[21, 3, 3]),
            "{answer:?}"
        );
    }
}

#[test]
fn a_client_that_sends_a_byte_now_and_then_while_others_are_served() {
    let server = server();
    let served = serve_soon(&server);
    let mut slow = served.raw();
    let start = Instant::now();
    let writing = thread::spawn(move || {
        // A record of 16 KiB, the bytes of which hardly come.
        for byte in [22, 3, 1, 0x40, 0].into_iter().chain(std::iter::repeat(0)) {
            if slow.write_all(&[byte]).is_err() {
                break;
            }
            thread::sleep(Duration::from_millis(200));
            // A server that waits for ever shall not make the test do so.
            if start.elapsed() > Duration::from_secs(60) {
                break;
            }
        }
    });
    assert_accepted(&server, &client());
    let error = served.failed();
    assert!(error.contains("not a word within 2 seconds"), "{error}");
    writing.join().unwrap();
}

#[test]
fn a_client_that_shakes_hands_and_says_nothing() {
    let served = serve_soon(&server());
    let host = HOST.to_owned();
    // It has read the executor's hello, and has not sent its own.
    let silent = client().connect(&host, served.port, Timeouts::default());
    let silent = silent.unwrap();
    let error = served.failed();
    assert!(error.contains("not a word within 2 seconds"), "{error}");
    drop(silent);
}

#[test]
fn a_server_that_takes_the_connection_and_says_nothing() {
    let listener = TcpListener::bind((HOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let host = HOST.to_owned();
    let address = Address::Tls { host, port };
    let error = refusal(Executor::connect_tls_with(&address, &client(), SOON));
    assert!(error.contains("not a word within 2 seconds"), "{error}");
    drop(listener);
}
