//! The executor as a process: where it listens, how it stops, what it leaves behind.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;

use common::{command, command_trusting, ended, program, start, start_command};
use farcall_executor::{Address, Executor};
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
        stderr.contains("in use: another process listens there"),
        "{stderr}"
    );
    // Its template ends too, and has nothing to say of that.
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
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
    assert_eq!(
        stderr,
        "warning: loading unsigned images: whoever can connect can run code here\n"
    );

    let folder = folder();
    let policy = folder.path().join("policy");
    fs::write(&policy, "").unwrap();
    let mut open = command_trusting("tcp:0.0.0.0:0");
    open.arg("--policy").arg(policy);
    let mut open = start_command(open);
    open.signal(Signal::TERM);
    open.ended();
    open.child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert!(
        stderr.contains("anyone who can connect can call what signed images export"),
        "{stderr}"
    );
}

#[test]
fn standard_input_and_output_are_a_connection() {
    let mut child = program()
        .args(["--stdio", "--trust-unsigned"])
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
    let run = |args: &[&str]| program().args(args).output().unwrap();
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

// An emulated executor starts no template.
#[test]
#[cfg(target_arch = "x86_64")]
fn the_unit_for_systemd_starts_it() {
    use farcall_testkit::paths::workspace_root;
    let unit = workspace_root().join("contrib/farcall-executor.service");
    let unit = fs::read_to_string(unit).unwrap().replace("\\\n", " ");
    let setting = |name: &str| {
        let mut lines = unit.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    };
    let folder = folder();
    let policy = folder.path().join("policy");
    fs::write(&policy, "").unwrap();
    let mut words = setting("ExecStart").unwrap().split_whitespace();
    assert_eq!(words.next(), Some("/usr/local/bin/farcall-executor"));
    let mut with = program();
    let mut stop_time = 0;
    while let Some(word) = words.next() {
        with.arg(word);
        match word {
            "--listen" => {
                let listen = words.next().unwrap();
                // What RuntimeDirectory makes.
                let runtime = format!("unix:/run/{}/", setting("RuntimeDirectory").unwrap());
                assert!(listen.starts_with(&runtime), "{listen}");
                with.arg(listen_in(&folder));
            }
            "--policy" => {
                assert_eq!(words.next(), Some("/etc/farcall/policy"));
                with.arg(&policy);
            }
            "--stop-time" => {
                let time = words.next().unwrap();
                stop_time = time.parse::<u32>().unwrap();
                with.arg(time);
            }
            _ => {}
        }
    }
    // Else systemd would kill it before it has said what still runs.
    let most: u32 = setting("TimeoutStopSec").unwrap().parse().unwrap();
    assert!(stop_time < most, "{stop_time} {most}");
    with.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = start_command(with);
    process.connect().ping().unwrap();
    process.signal(Signal::TERM);
    assert_eq!(process.ended().code(), Some(0));
}
