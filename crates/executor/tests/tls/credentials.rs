//! Files of certificates and keys, and what is wrong with them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use farcall_executor::{Credentials, Error, TlsClient, TlsServer};
use tempfile::TempDir;

use crate::certificates::{of_ca, text};

struct Files {
    _folder: TempDir,
    certificate: PathBuf,
    key: PathBuf,
    cas: PathBuf,
    peers: PathBuf,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text(name)).unwrap();
            path
        };
        let files = Self {
            certificate: file("server.pem"),
            key: file("server.key"),
            cas: file("ca.pem"),
            peers: file("controller.pem"),
            _folder: folder,
        };
        files.set_mode(0o600);
        files
    }

    fn set_mode(&self, mode: u32) {
        fs::set_permissions(&self.key, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn load(&self) -> Result<TlsServer, Error> {
        let credentials = Credentials::from_files(
            &self.certificate,
            &self.key,
            Some(&self.cas),
            Some(&self.peers),
        )?;
        TlsClient::new(&credentials)?;
        TlsServer::new(&credentials)
    }

    /// Loads them, and looks for `file` and `part` in the error.
    #[track_caller]
    fn fail(&self, file: &Path, part: &str) {
        let error = self.load().unwrap_err().to_string();
        assert!(error.starts_with(&file.display().to_string()), "{error}");
        assert!(error.contains(part), "{error}");
    }
}

fn put(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

#[test]
fn files_that_are_in_order() {
    let mut files = Files::new();
    files.load().unwrap();
    // A certificate and its key may be in one file.
    put(&files.key, &(text("server.pem") + &text("server.key")));
    files.certificate.clone_from(&files.key);
    files.load().unwrap();
}

#[test]
fn a_key_that_others_may_use() {
    let files = Files::new();
    for mode in [0o640, 0o604, 0o666] {
        files.set_mode(mode);
        files.fail(
            &files.key,
            &format!("(mode {mode:04o}), so it is no secret"),
        );
    }
    files.set_mode(0o400);
    files.load().unwrap();
}

#[test]
fn files_that_are_not_what_they_should_be() {
    let files = Files::new();
    for list in [&files.cas, &files.peers] {
        let was = fs::read_to_string(list).unwrap();
        put(list, "no certificate\n");
        files.fail(list, "no certificate in it");
        fs::remove_file(list).unwrap();
        files.fail(list, "No such file");
        put(list, &was);
    }
    put(&files.certificate, &text("server.key"));
    files.fail(&files.certificate, "no certificate in it");
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    put(&files.certificate, broken);
    files.fail(&files.certificate, "BadEncoding");

    let files = Files::new();
    let broken = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for (contents, part) in [
        (text("server.pem"), "no private key in it"),
        (
            broken.replace("PRIVATE", "ENCRYPTED PRIVATE"),
            "the key is encrypted",
        ),
        (broken.to_owned(), "or a damaged one"),
        ("-----BEGIN PRIVATE KEY-----\n".to_owned(), "end"),
        ("x".repeat(2 << 20), "too long"),
        (text("client.key"), "not the key of the certificate in"),
    ] {
        put(&files.key, &contents);
        files.fail(&files.key, part);
    }
}

#[test]
fn whoever_trusts_nobody_is_told() {
    let credentials = Credentials::new(text("server.pem"), text("server.key"));
    for error in [
        TlsServer::new(&credentials).unwrap_err(),
        TlsClient::new(&credentials).unwrap_err(),
    ] {
        let error = error.to_string();
        assert!(error.contains("neither CAs nor peers"), "{error}");
    }
}

#[test]
fn what_is_shown_for_debugging_is_not_the_key() {
    let secret = text("server.key").lines().nth(1).unwrap().to_owned();
    let credentials = of_ca("server", "ca");
    let server = TlsServer::new(&credentials).unwrap();
    let shown = format!("{credentials:?} {server:?}");
    assert!(shown.contains("the certificate"), "{shown}");
    assert!(!shown.contains(&secret), "{shown}");
}
