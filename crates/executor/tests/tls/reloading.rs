//! Certificates that are replaced while an executor serves.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;

use farcall_executor::{Executor, TlsClient};
use rustix::process::Signal;

use crate::certificates::{of_peers, text};
use crate::common::{command_trusting, start_command};

#[test]
fn certificates_are_read_again_for_connections_that_come() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let put = |name: &str, of: &str| {
        fs::write(path(name), text(of)).unwrap();
        fs::set_permissions(path(name), fs::Permissions::from_mode(0o600)).unwrap();
    };
    put("own.pem", "server.pem");
    put("own.key", "server.key");
    put("peers.pem", "controller.pem");
    let option = |option: &str, name: &str| format!("{option}={}", path(name).display());
    let options = [
        option("--tls-certificate", "own.pem"),
        option("--tls-key", "own.key"),
        option("--tls-peer", "peers.pem"),
        "-v".to_owned(),
    ];
    fs::write(path("policy"), "").unwrap();
    fs::set_permissions(path("policy"), fs::Permissions::from_mode(0o600)).unwrap();
    let mut with = command_trusting("tls:127.0.0.1:0");
    with.args(options).arg("--policy").arg(path("policy"));
    let mut process = start_command(with);
    let mut log = BufReader::new(process.child.stderr.take().unwrap());
    let mut logged = |part: &str| {
        let mut line = String::new();
        while !line.contains(part) {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "{part}");
        }
    };
    let client = |own: &str, server: &str| TlsClient::new(&of_peers(own, &[server])).unwrap();
    let connect = |own: &str, server: &str| {
        let client = client(own, server).with_server_name("localhost").unwrap();
        Executor::connect_tls(&process.address, &client)
    };
    let first = connect("controller", "server").unwrap();
    connect("stranger", "server").unwrap_err();

    // Other peers, for those who come; who is there stays.
    put("peers.pem", "stranger.pem");
    process.signal(Signal::HUP);
    logged("certificates: read again");
    let second = connect("stranger", "server").unwrap();
    connect("controller", "server").unwrap_err();
    first.ping().unwrap();

    // A certificate without its key changes nothing, nor does a file that is none.
    put("own.pem", "controller.pem");
    process.signal(Signal::HUP);
    logged("the certificates stay as they were");
    connect("stranger", "server").unwrap();
    put("peers.pem", "server.key");
    put("own.pem", "server.pem");
    process.signal(Signal::HUP);
    logged("the certificates stay as they were");
    connect("stranger", "server").unwrap();
    second.ping().unwrap();

    process.signal(Signal::TERM);
    assert_eq!(process.ended().code(), Some(0));
    first.ping().unwrap_err();
}
