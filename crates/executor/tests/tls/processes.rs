//! The program `farcall-executor` with TLS, and processes that die.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use farcall_executor::{Address, Executor, Pool, PoolOptions, TlsClient};
use farcall_testkit::{require_tools, tools};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::certificates::{client, of_peers, text};
use crate::common::{self, Process, command, command_trusting, image};

/// A folder with the certificate and key of an executor.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["server.pem", "server.key", "ca.pem", "controller.pem"] {
        let path = folder.path().join(name);
        fs::write(&path, text(name)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    folder
}

/// The arguments that name files of a folder.
fn arguments(folder: &TempDir, files: &[(&str, &str)]) -> Vec<String> {
    let file =
        |(option, name): &(&str, &str)| format!("{option}={}", folder.path().join(name).display());
    files.iter().map(file).collect()
}

const FILES: [(&str, &str); 4] = [
    ("--tls-certificate", "server.pem"),
    ("--tls-key", "server.key"),
    ("--tls-ca", "ca.pem"),
    ("--tls-peer", "controller.pem"),
];

fn start(listen: &str) -> Process {
    start_command(command(listen))
}

/// One that runs calls itself, so that it has no processes that come and go.
pub(crate) fn start_in_process() -> Process {
    let mut command = command("tls:127.0.0.1:0");
    command.args(common::in_process());
    start_command(command)
}

fn start_command(mut command: Command) -> Process {
    // It is read before the executor listens.
    let folder = folder();
    command.args(arguments(&folder, &FILES));
    common::start_command(command)
}

pub(crate) fn connect(process: &Process) -> Executor {
    Executor::connect_tls(&process.address, &client()).unwrap()
}

#[test]
fn an_executor_with_tls_serves_whom_it_trusts_and_stops() {
    // Its address is that of all interfaces, and it warns of nothing: not anyone can run code.
    let policy = tempfile::NamedTempFile::new().unwrap();
    let mut command = command_trusting("tls:0.0.0.0:0");
    command.arg("--policy").arg(policy.path());
    let mut process = start_command(command);
    let Address::Tls { port, .. } = process.address else {
        panic!("{}", process.address);
    };
    process.address = Address::Tls {
        host: "localhost".to_owned(),
        port,
    };
    connect(&process).ping().unwrap();
    let listed = TlsClient::new(&of_peers("controller", &["server"])).unwrap();
    let idle = Executor::connect_tls(&process.address, &listed).unwrap();
    idle.ping().unwrap();
    let stranger = TlsClient::new(&of_peers("stranger", &["server"])).unwrap();
    Executor::connect_tls(&process.address, &stranger).unwrap_err();
    process.signal(Signal::TERM);
    assert_eq!(process.ended().code(), Some(0));
    let mut stderr = String::new();
    let pipe = process.child.stderr.as_mut().unwrap();
    pipe.read_to_string(&mut stderr).unwrap();
    assert_eq!(stderr, "");
}

#[test]
fn a_pool_of_executors_that_are_reached_over_tls() {
    require_tools!("clang-22");
    let mut lost = start("tls:127.0.0.1:0");
    let other = start("tls:127.0.0.1:0");
    let addresses = [&lost, &other].map(|process| process.address.clone());
    let pool = Pool::connect_tls(addresses, &client(), PoolOptions::default()).unwrap();
    let module = pool.load(image("long twice(long n) { return 2 * n; }"));
    let twice = pool
        .typed::<fn(i64) -> i64>(&module.unwrap(), "twice")
        .unwrap()
        .repeatable();
    for n in 0..100 {
        assert_eq!(twice.call(n).unwrap(), 2 * n);
    }
    lost.signal(Signal::KILL);
    lost.ended();
    for n in 0..100 {
        assert_eq!(twice.call(n).unwrap(), 2 * n);
    }
}

#[test]
fn what_its_command_line_lacks_is_said() {
    let folder = folder();
    let exposed = folder.path().join("server.key");
    for (files, mode, status, part) in [
        (&FILES[..1], 0o600, 2, "needs --tls-certificate, --tls-key,"),
        (&FILES[..2], 0o600, 2, "and --tls-peer or --tls-ca"),
        (&FILES[..3], 0o644, 1, "server.key: others than its owner"),
        (
            &[
                ("--tls-certificate", "none.pem"),
                ("--tls-key", "server.key"),
                ("--tls-ca", "ca.pem"),
            ],
            0o600,
            1,
            "none.pem: cannot read: No such file",
        ),
    ] {
        fs::set_permissions(&exposed, fs::Permissions::from_mode(mode)).unwrap();
        let output = command("tls:127.0.0.1:0")
            .args(arguments(&folder, files))
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{stderr}");
        assert!(stderr.contains(part), "{stderr}");
    }
    // A certificate says who connects, not whose code it is.
    fs::set_permissions(&exposed, fs::Permissions::from_mode(0o600)).unwrap();
    let output = command("tls:0.0.0.0:0")
        .args(arguments(&folder, &FILES))
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("for controllers of this machine only"),
        "{stderr}"
    );
}

#[test]
fn an_executor_that_is_killed_is_an_error_for_its_controllers() {
    let mut process = start("tls:127.0.0.1:0");
    let executor = connect(&process);
    executor.ping().unwrap();
    let waiting = {
        let executor = executor.clone();
        std::thread::spawn(move || while executor.ping().is_ok() {})
    };
    process.signal(Signal::KILL);
    process.ended();
    waiting.join().unwrap();
    let error = executor.ping().unwrap_err().to_string();
    assert!(error.starts_with("connection: "), "{error}");
    let error = Executor::connect_tls(&process.address, &client()).unwrap_err();
    assert!(error.to_string().contains("cannot connect"), "{error}");
}

#[test]
fn a_controller_that_is_killed_costs_its_connection_alone() {
    let process = start("tls:127.0.0.1:0");
    let others = connect(&process);
    for _ in 0..10 {
        let mut killed = controller_process(&process.address);
        // It has connected, and goes on asking.
        let lines = BufReader::new(killed.stdout.take().unwrap()).lines();
        assert!(lines.map(Result::unwrap).any(|line| line == "connected"));
        killed.kill().unwrap();
        killed.wait().unwrap();
        others.ping().unwrap();
    }
    let start = std::time::Instant::now();
    while others.statistics().unwrap().connected != 1 {
        assert!(start.elapsed().as_secs() < 20, "connections are left");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(others.statistics().unwrap().connections, 11);
}

/// This test program as another process, which is a controller.
pub(crate) fn controller_process(address: &Address) -> std::process::Child {
    tools::start(std::env::current_exe().unwrap().to_str().unwrap())
        .args([
            "--exact",
            "processes::controller_to_be_killed",
            "--nocapture",
        ])
        .env(CONTROLLER, address.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The address of the executor that a controller's process is to connect to.
const CONTROLLER: &str = "FARCALL_TEST_TLS_CONTROLLER";

/// What [`controller_process`] runs; by itself it does nothing.
#[test]
fn controller_to_be_killed() {
    let Ok(address) = std::env::var(CONTROLLER) else {
        return;
    };
    let executor = Executor::connect_tls(&address.parse().unwrap(), &client()).unwrap();
    executor.ping().unwrap();
    println!("connected");
    while executor.ping().is_ok() {}
}

/// The audit knows a controller by its certificate.
#[test]
fn whose_certificate_loads_what_is_kept() {
    require_tools!("clang-22");
    let folder = folder();
    let audit = folder.path().join("audit");
    let mut arguments = arguments(&folder, &FILES);
    arguments.push(format!("--audit={}", audit.display()));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let process = crate::common::start_with("tls:127.0.0.1:0", &arguments);
    let bytes = image("int f(void) { return 1; }");
    let image = farcall_image::Image::parse(&bytes).unwrap();
    connect(&process).load(&image).unwrap();
    let line: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&audit).unwrap()).unwrap();
    let peer = &line["peer"];
    assert_eq!(peer["transport"], "tls");
    assert!(peer["address"].as_str().unwrap().starts_with("127.0.0.1:"));
    // What `openssl x509 -in client.pem -noout -subject -fingerprint -sha256` prints.
    assert_eq!(peer["name"], "client");
    assert_eq!(
        peer["fingerprint"],
        "77e856d79a6fcfc15276408248dbb0b08c4e3f80515139441747b72bb7625bbb"
    );
}
