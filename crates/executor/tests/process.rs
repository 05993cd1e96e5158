//! The executor as a process: where it listens, how it stops, what it leaves behind.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;

use common::{command, ended, start};
use farcall_executor::{Address, Executor};
use farcall_testkit::tools;
use rustix::process::Signal;
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("farcall")
        .tempdir()
        .unwrap()
}

fn listen_in(folder: &TempDir) -> String {
    format!("unix:{}", folder.path().join("socket").display())
}

#[test]
fn a_unix_socket_is_its_owner_s_alone_and_goes_with_the_executor() {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = folder();
        let path = folder.path().join("socket");
        let mut process = start(&listen_in(&folder));
        assert_eq!(process.address, Address::Unix(path.clone()));
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        process.connect().ping().unwrap();

        // An idle controller does not keep it from stopping.
        let idle = process.connect();
        process.signal(signal);
        assert_eq!(process.ended().code(), Some(0));
        assert!(!path.exists());
        assert!(idle.ping().is_err());
    }
}

#[test]
fn a_socket_in_use_is_refused_and_stays() {
    let folder = folder();
    let process = start(&listen_in(&folder));
    let output = command(&listen_in(&folder)).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("in use: another executor listens there"),
        "{stderr}"
    );
    assert_eq!(output.stdout, b"");
    process.connect().ping().unwrap();
}

#[test]
fn a_stale_socket_is_taken_over() {
    let folder = folder();
    drop(UnixListener::bind(folder.path().join("socket")).unwrap());
    start(&listen_in(&folder)).connect().ping().unwrap();

    // A killed executor leaves one behind too.
    let mut killed = start(&listen_in(&folder));
    killed.signal(Signal::KILL);
    killed.ended();
    assert!(folder.path().join("socket").exists());
    start(&listen_in(&folder)).connect().ping().unwrap();
}

#[test]
fn of_many_that_start_at_once_one_gets_the_socket() {
    let folder = folder();
    drop(UnixListener::bind(folder.path().join("socket")).unwrap());
    let mut children: Vec<_> = (0..8)
        .map(|_| command(&listen_in(&folder)).spawn().unwrap())
        .collect();
    let mut n_listening = 0;
    for child in &mut children {
        let mut first = [0];
        let n_read = child.stdout.as_mut().unwrap().read(&mut first).unwrap();
        n_listening += n_read;
        if n_read == 0 {
            assert_eq!(ended(child).code(), Some(1));
        }
    }
    assert_eq!(n_listening, 1);
    let address = listen_in(&folder).parse().unwrap();
    Executor::connect(&address).unwrap().ping().unwrap();
    for child in &mut children {
        let _ = child.kill();
        child.wait().unwrap();
    }
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let folder = folder();
    let path = folder.path().join("socket");
    fs::write(&path, "precious").unwrap();
    let output = command(&listen_in(&folder)).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("the file is not a socket"), "{stderr}");
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}

#[test]
fn a_place_where_it_cannot_listen_is_named() {
    let long = format!("unix:/tmp/{}", "x".repeat(200));
    for (listen, part) in [
        ("unix:/no/such/folder/socket", "No such file"),
        (&long, "cannot listen"),
        ("tcp:no.such.host.invalid:1", "cannot listen"),
    ] {
        let output = command(listen).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{listen}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        let start = format!("farcall-executor: {listen}: ");
        assert!(
            stderr.starts_with(&start) && stderr.contains(part),
            "{stderr}"
        );
    }
}

#[test]
fn a_socket_that_another_has_replaced_is_not_removed() {
    let folder = folder();
    let path = folder.path().join("socket");
    let mut process = start(&listen_in(&folder));
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    process.signal(Signal::TERM);
    assert_eq!(process.ended().code(), Some(0));
    assert!(path.exists());
}

#[test]
fn a_tcp_port_is_found_and_an_open_one_warned_of() {
    let mut process = start("tcp:127.0.0.1:0");
    let Address::Tcp { host, port } = process.address.clone() else {
        panic!("{}", process.address);
    };
    assert_eq!(host, "127.0.0.1");
    assert_ne!(port, 0);
    process.connect().ping().unwrap();
    let output = command(&process.address.to_string()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("in use"), "{stderr}");
    process.signal(Signal::TERM);
    assert_eq!(process.ended().code(), Some(0));
    let mut stderr = String::new();
    process
        .child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert_eq!(stderr, "");

    let mut open = start("tcp:0.0.0.0:0");
    open.signal(Signal::TERM);
    open.ended();
    open.child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert!(
        stderr.contains("anyone who can connect can run code"),
        "{stderr}"
    );
}

#[test]
fn standard_input_and_output_are_a_connection() {
    let mut child = tools::start(env!("CARGO_BIN_EXE_farcall-executor"))
        .arg("--stdio")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (stdout, stdin) = (child.stdout.take().unwrap(), child.stdin.take().unwrap());
    let executor = Executor::over(stdout, stdin).unwrap();
    executor.ping().unwrap();
    drop(executor);
    assert_eq!(ended(&mut child).code(), Some(0), "it ends with its input");
}

#[test]
fn a_process_survives_what_its_connections_bring() {
    let folder = folder();
    let process = start(&listen_in(&folder));
    let path = folder.path().join("socket");
    for bytes in [
        &b"garbage\n"[..],
        b"\xff\xff\xff\xff",
        b"\x10\0\0\0farcall\0\x09\0\0\0",
    ] {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(bytes).unwrap();
    }
    let many: Vec<_> = (0..64).map(|_| process.connect()).collect();
    for executor in many {
        executor.ping().unwrap();
    }
}

#[test]
fn it_says_what_it_takes() {
    let run = |args: &[&str]| {
        tools::start(env!("CARGO_BIN_EXE_farcall-executor"))
            .args(args)
            .output()
            .unwrap()
    };
    let help = run(&["--help"]);
    assert!(help.status.success());
    assert!(
        String::from_utf8(help.stdout)
            .unwrap()
            .contains("--listen unix:PATH")
    );
    let version = run(&["--version"]);
    assert!(version.stdout.starts_with(b"farcall-executor "));
    let wrong = run(&["--listen", "nowhere"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        String::from_utf8(wrong.stderr)
            .unwrap()
            .contains("\"nowhere\": not an address")
    );
}
