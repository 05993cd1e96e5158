//! A pool of executors on different machines, of which one is emulated.

#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use common::{Process, start};
use farcall_executor::{In, Pool};
use farcall_image::{Bundle, Image, Machine};
use farcall_testkit::{Linker, paths, require_targets, require_tools, tools};

const AARCH64: &str = "aarch64-unknown-linux-gnu";

/// An executor for AArch64, built by cargo as it is for the tests that run there.
fn start_emulated(listen: &str) -> Process {
    let mut cargo = tools::cargo();
    cargo.args(["build", "--quiet", "--package", "farcall-executor"]);
    cargo.args(["--bin", "farcall-executor", "--target", AARCH64]);
    cargo.arg("--target-dir").arg(paths::target_dir());
    cargo.env(
        "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER",
        "aarch64-linux-gnu-gcc",
    );
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let program = paths::target_dir()
        .join(AARCH64)
        .join("debug/farcall-executor");
    let mut command = Command::new("qemu-aarch64-static");
    command.args(["-L", "/usr/aarch64-linux-gnu"]).arg(program);
    let mut child = command
        .args(["--listen", listen, "--trust-unsigned", "--in-process"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("listening on ").unwrap();
    Process {
        address: address.parse().unwrap(),
        child,
        stdout,
    }
}

/// An image for a machine that says which one it is, and computes.
fn variant(machine: Machine, answer: i32) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let [c, object] = ["variant.c", "variant.o"].map(|name| folder.path().join(name));
    let source = format!(
        "int machine(void) {{ return {answer}; }}
         double scale(const double *numbers, long n, double by) {{
             double sum = 0;
             while (n--) sum += *numbers++ * by;
             return sum;
         }}"
    );
    std::fs::write(&c, source).unwrap();
    let target = format!("--target={}-linux-gnu", machine.name());
    let [c, o] = [&c, &object].map(|path| path.to_str().unwrap());
    let args = [target.as_str(), "-fPIC", "-O1", "-c", c, "-o", o];
    tools::run("clang-22", &args).unwrap();
    let object = std::fs::read(object).unwrap();
    Linker::new().add("variant.o", &object).link().unwrap()
}

#[test]
fn executors_on_different_machines_share_the_calls() {
    require_tools!("clang-22", "qemu-aarch64-static", "aarch64-linux-gnu-gcc");
    require_targets!(AARCH64);
    let folder = tempfile::tempdir().unwrap();
    let listen = |name| format!("unix:{}", folder.path().join(name).display());
    let processes = [
        start(&listen("native")),
        start_emulated(&listen("emulated")),
    ];
    let pool = Pool::connect(processes.iter().map(|it| it.address.clone())).unwrap();
    assert!(pool.health().iter().all(|it| it.is_there), "{pool:?}");

    let variants = [variant(Machine::X86_64, 1), variant(Machine::Aarch64, 2)];
    let images: Vec<_> = variants
        .iter()
        .map(|it| Image::parse(it).unwrap())
        .collect();
    let module = pool.load(Bundle::write(&images).unwrap()).unwrap();
    let machine = pool.typed::<fn() -> i32>(&module, "machine").unwrap();
    let mut machines: Vec<_> = (0..10).map(|_| machine.call().unwrap()).collect();
    machines.sort_unstable();
    assert_eq!(machines, [1, 1, 1, 1, 1, 2, 2, 2, 2, 2]);
    let scale = pool
        .typed::<fn(In<f64>, i64, f64) -> f64>(&module, "scale")
        .unwrap();
    for _ in 0..10 {
        assert_eq!(scale.call(&[1.0, 2.5], 2, 2.0).unwrap(), 7.0);
    }
    // An image for one of them cannot be loaded on the other, and then is on none.
    let error = pool.load(&*variants[0]).unwrap_err();
    assert!(
        error.to_string().starts_with(&listen("emulated")),
        "{error}"
    );
    for process in &processes {
        assert_eq!(process.connect().list().unwrap().len(), 1);
    }
}
