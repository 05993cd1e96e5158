//! Bundles: of several variants the executor's own goes over the wire, and no other.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use common::{Process, command, ended, number, program, small_service, start, start_command};
use farcall_executor::{Connection, Credentials, Error, Executor, Hello, Service, TlsClient};
use farcall_image::{Bundle, CpuFeatures, Image, Machine};
use farcall_testkit::{Linker, require_tools, tools};

/// An image that answers, with some constants, of code that needs these features.
fn variant(machine: Machine, features: &str, answer: i32, n_bytes: usize) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let [c, o] = ["answer.c", "answer.o"].map(|name| folder.path().join(name));
    let source = format!(
        "__asm__(\".pushsection .farcall.target,\\\"e\\\",@progbits\\n\"
            \".asciz \\\"a-cpu\\\"\\n.asciz \\\"{features}\\\"\\n.popsection\");
         const volatile char constants[{n_bytes}] = {{ [{n_bytes} - 1] = {answer} }};
         int answer(void) {{ return constants[{n_bytes} - 1]; }}"
    );
    fs::write(&c, source).unwrap();
    let target = format!("--target={}-linux-gnu", machine.name());
    let [c, object] = [&c, &o].map(|path| path.to_str().unwrap());
    tools::run(
        "clang-22",
        &[&target, "-fPIC", "-O1", "-c", c, "-o", object],
    )
    .unwrap();
    let object = fs::read(o).unwrap();
    Linker::new().add("answer.o", &object).link().unwrap()
}

fn bundle(variants: &[Vec<u8>]) -> Vec<u8> {
    let images = variants.iter().map(|bytes| Image::parse(bytes).unwrap());
    Bundle::write(&images.collect::<Vec<_>>()).unwrap()
}

/// The names of all features of a machine, of which no CPU has all.
fn all(machine: Machine) -> String {
    let names = machine.cpu_feature_names(CpuFeatures::from_bits(u128::MAX));
    names.collect::<Vec<_>>().join(",")
}

/// For both machines, and for what no CPU is. The sizes tell them apart on the wire.
fn variants(size: usize) -> Vec<Vec<u8>> {
    vec![
        variant(Machine::X86_64, "", 1, size),
        variant(Machine::Aarch64, "", 2, 2 * size),
        variant(Machine::X86_64, &all(Machine::X86_64), 3, 3 * size),
        variant(Machine::Aarch64, &all(Machine::Aarch64), 3, 4 * size),
    ]
}

/// The variant of [`variants`] for the machine that the tests run on.
fn own_index() -> usize {
    usize::from(Machine::host() == Some(Machine::Aarch64))
}

/// How an image gets to the executor.
enum Way {
    Bytes,
    File,
}

fn ships_one(executor: &Executor, variants: &[Vec<u8>], way: Way) {
    let own = &variants[own_index()];
    let bytes = bundle(variants);
    let bundle = Bundle::parse(&bytes).unwrap();
    let before = executor.traffic();
    let image = executor.choose(&bundle).unwrap();
    assert_eq!(executor.traffic(), before, "choosing asks nobody");
    let module = executor.load(&image).unwrap();
    assert!(module.was_sent);
    let after = executor.traffic();
    let n_bytes = match way {
        Way::Bytes => own.len() as u64,
        Way::File => 0,
    };
    let sent = after.sent - before.sent;
    let passed = after.passed - before.passed;
    assert_eq!(passed + n_bytes, own.len() as u64);
    assert!(
        (n_bytes..n_bytes + 200).contains(&sent),
        "{sent}, not {n_bytes}"
    );
    assert_eq!(after.requests - before.requests, 1);
    let answer = 1 + own_index() as u64;
    assert_eq!(number(executor, &module, "answer"), answer);

    let before = executor.traffic();
    let again = executor.choose(&bundle).unwrap();
    assert!(!executor.load(&again).unwrap().was_sent);
    assert!(executor.traffic().sent - before.sent < 64);
}

/// Run for AArch64 too, where the other variant goes.
#[test]
fn the_variant_for_the_executor_is_all_that_is_sent() {
    require_tools!("clang-22");
    let controller = |service: &Service| common::controller(service);
    let [small, large] = [1000, 100_000].map(variants);
    ships_one(&controller(&small_service()), &small, Way::Bytes);
    ships_one(&controller(&small_service()), &large, Way::Bytes);
    let folder = tempfile::tempdir().unwrap();
    let process = start(&format!("unix:{}", folder.path().join("socket").display()));
    ships_one(&process.connect(), &small, Way::Bytes);
    ships_one(&process.connect(), &large, Way::File);
}

#[test]
fn the_variant_is_all_that_is_sent_over_every_transport() {
    require_tools!("clang-22");
    let folder = tempfile::tempdir().unwrap();
    let unix = start(&format!("unix:{}", folder.path().join("socket").display()));
    let tcp = start("tcp:127.0.0.1:0");
    let tls = start_tls(folder.path());
    let mut child = program()
        .args(["--stdio", "--trust-unsigned"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (reads, writes) = (child.stdout.take().unwrap(), child.stdin.take().unwrap());
    let stdio = Connection::pipes(OwnedFd::from(reads), OwnedFd::from(writes));
    let [small, large] = [1000, 100_000].map(variants);
    for (executor, way) in [
        (Executor::speak(stdio).unwrap(), Way::Bytes),
        (tcp.connect(), Way::Bytes),
        (connect_tls(&tls), Way::Bytes),
        (Executor::connect_shared(&unix.address).unwrap(), Way::File),
    ] {
        ships_one(&executor, &small, Way::Bytes);
        ships_one(&executor, &large, way);
    }
    assert!(ended(&mut child).success());
}

/// Where the tests of TLS have certificates.
fn certificate(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/tls/certificates")
        .join(name)
}

fn start_tls(folder: &Path) -> Process {
    // Nobody else may read it.
    let key = folder.join("server.key");
    fs::copy(certificate("server.key"), &key).unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let mut with = command("tls:127.0.0.1:0");
    with.arg("--tls-certificate")
        .arg(certificate("server.pem"))
        .arg("--tls-key")
        .arg(key)
        .arg("--tls-ca")
        .arg(certificate("ca.pem"));
    start_command(with)
}

fn connect_tls(process: &Process) -> Executor {
    let [own, key, ca] =
        ["client.pem", "client.key", "ca.pem"].map(|it| fs::read_to_string(certificate(it)));
    let credentials = Credentials::new(own.unwrap(), key.unwrap()).trust_cas(ca.unwrap());
    let client = TlsClient::new(&credentials).unwrap();
    Executor::connect_tls(&process.address, &client).unwrap()
}

#[test]
fn an_executor_says_what_its_cpu_has() {
    let executor = Executor::local().unwrap();
    let hello = executor.hello();
    assert_eq!(Machine::from_name(&hello.machine), Machine::host());
    assert_eq!(hello.features, farcall_loader::cpu::features().bits());
    assert_ne!(
        hello.features, 0,
        "the tests run on something newer than the baseline"
    );
}

/// A controller of an executor that says this of itself.
fn told(machine: &str, features: u128) -> Executor {
    let (stream, mut other) = UnixStream::pair().unwrap();
    let hello = Hello {
        software: "a test".to_owned(),
        machine: machine.to_owned(),
        features,
        frame_limit: 1 << 20,
        docks: false,
        modules: Vec::new(),
    };
    let mut frame = Vec::new();
    hello.encode(&mut frame).unwrap();
    other.write_all(&frame).unwrap();
    Executor::over(stream.try_clone().unwrap(), stream).unwrap()
}

#[test]
fn the_controller_chooses_by_what_the_executor_says() {
    require_tools!("clang-22");
    let mut variants = variants(10);
    variants.push(variant(Machine::X86_64, "avx,avx2", 4, 10));
    variants.push(variant(Machine::Aarch64, "sve", 5, 10));
    variants.push(variant(Machine::X86_64, "warp", 6, 10));
    let bytes = bundle(&variants);
    let bundle = Bundle::parse(&bytes).unwrap();
    let chosen = |machine, features| {
        let image = told(machine, features).choose(&bundle).unwrap();
        variants
            .iter()
            .position(|bytes| bytes == image.bytes())
            .unwrap()
    };
    let x86_64 = |name| Machine::X86_64.cpu_features(name).unwrap().bits();
    let sve = Machine::Aarch64.cpu_features("sve").unwrap().bits();
    assert_eq!(chosen("x86_64", 0), 0);
    assert_eq!(chosen("x86_64", x86_64("avx")), 0);
    assert_eq!(chosen("x86_64", x86_64("x86-64-v3")), 4);
    assert_eq!(chosen("x86_64", u128::MAX), 2);
    assert_eq!(chosen("aarch64", 0), 1);
    assert_eq!(chosen("aarch64", sve), 5);
    // Nobody has a feature that has no number.
    assert_eq!(chosen("x86_64", 1 << 127), 0);

    let error = told("riscv64", 0).choose(&bundle).unwrap_err();
    assert!(matches!(&error, Error::Machine { machine } if machine == "riscv64"));
    assert!(
        error
            .to_string()
            .contains("\"riscv64\", which this farcall does not know")
    );
    let only = self::bundle(&variants[4..5]);
    let refusal = |machine, features| {
        let error = told(machine, features).choose(&Bundle::parse(&only).unwrap());
        error.unwrap_err().to_string()
    };
    let message = refusal("x86_64", x86_64("x86-64-v2"));
    assert!(
        message.contains("x86_64 with avx, avx2: it lacks avx, avx2;"),
        "{message}"
    );
    let message = refusal("aarch64", sve);
    assert!(
        message.contains("x86_64 with avx, avx2: another machine;"),
        "{message}"
    );
}
