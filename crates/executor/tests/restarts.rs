//! Executors, and machines with them, that start again at the address that they had: with nothing of what they had.

// What machines do is the system's, and an emulator starts none.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::fs;

use common::watch::ends;
use common::{Process, command_trusting, image, number, start_command, start_with};
use farcall_executor::{Address, Error, Executor, Pool, PoolModule};
use farcall_image::Image;
use farcall_testkit::net::{Cable, End, Host, skips_without_hosts};
use farcall_testkit::require_tools;
use farcall_trust::{SecretKey, Terms};
use rustix::process::Signal;

const SOURCE: &str = "static int n; int count(void) { return ++n; }";

const MODES: [&[&str]; 3] = [
    &["--in-process"],
    &["--workers=session"],
    &["--workers=call"],
];

fn kill(mut process: Process) {
    process.signal(Signal::KILL);
    process.ended();
}

/// Has a controller send the image, if it is to be sent, and call it once.
fn load_and_count(executor: &Executor, bytes: &[u8]) -> (bool, u64) {
    let module = executor.load(&Image::parse(bytes).unwrap()).unwrap();
    (module.was_sent, number(executor, &module, "count"))
}

/// A call of a pool, which may be repeated.
fn count(pool: &Pool, module: &PoolModule) -> Result<i32, Error> {
    let count = pool.typed::<fn() -> i32>(module, "count")?;
    count.repeatable().call()
}

#[test]
fn an_executor_at_the_address_of_one_that_was_killed_gets_all_again() {
    require_tools!("clang-22");
    let bytes = image(SOURCE);
    let folder = tempfile::tempdir().unwrap();
    let unix = format!("unix:{}", folder.path().join("socket").display());
    for mode in MODES {
        for listen in [&unix, "tcp:127.0.0.1:0"] {
            let mut process = start_with(listen, mode);
            let address = process.address.clone();
            let pool = Pool::connect([address.clone()]).unwrap();
            let module = pool.load(bytes.clone()).unwrap();
            assert_eq!(count(&pool, &module).unwrap(), 1);
            let executor = process.connect();
            assert!(!load_and_count(&executor, &bytes).0, "the pool has sent it");
            // Whatever meets the end of the connection.
            let first: [fn(&Pool); 3] = [
                |_| {},
                |pool| pool.define_number("number", 1).unwrap(),
                |pool| {
                    pool.load(image("int other;")).unwrap();
                },
            ];
            for (first, n_modules) in first.iter().zip([1, 1, 2]) {
                kill(process);
                // With connections that are not forgotten by the system.
                process = start_with(&address.to_string(), mode);
                assert_eq!(process.address, address);
                first(&pool);
                assert_eq!(count(&pool, &module).unwrap(), 1, "{mode:?}");
                let other = process.connect();
                assert_eq!(other.list().unwrap().len(), n_modules);
            }
            // A connection is to one process, and says so as often as it is asked.
            for _ in 0..2 {
                let error = executor.ping().unwrap_err();
                assert!(!matches!(error, Error::Failed(_)), "{error}");
            }
        }
    }
}

#[test]
fn a_connection_to_the_next_executor_sends_the_image_again() {
    require_tools!("clang-22");
    let bytes = image(SOURCE);
    for mode in MODES {
        let mut process = start_with("tcp:127.0.0.1:0", mode);
        let address = process.address.to_string();
        for _ in 0..2 {
            let executor = process.connect();
            assert_eq!(load_and_count(&executor, &bytes), (true, 1), "{mode:?}");
            kill(process);
            process = start_with(&address, mode);
        }
    }
}

/// A machine that loses its power says nothing to those who were connected. The next one at its address does not know them.
#[test]
fn a_machine_that_starts_again_gets_all_again() {
    require_tools!("clang-22");
    if skips_without_hosts() {
        return;
    }
    let key = SecretKey::generate("machines".parse().unwrap()).unwrap();
    let policy = tempfile::NamedTempFile::new().unwrap();
    fs::write(&policy, format!("key {}\nhost *\n", key.public())).unwrap();
    let plain = image(SOURCE);
    let plain = Image::parse(&plain).unwrap();
    let bytes = key.sign_image(&plain, &Terms::default()).unwrap();
    let start = |listen: &str| {
        let mut command = command_trusting(listen);
        command.arg("--policy").arg(policy.path());
        start_command(command)
    };

    let [here, there] = [Host::new().unwrap(), Host::new().unwrap()];
    let mut cable = Cable::between(&here, &there).unwrap();
    let mut process = there.run(|| start("tcp:0.0.0.0:0"));
    let listen = process.address.to_string();
    let Address::Tcp { port, .. } = process.address else {
        panic!("it listens at a port");
    };
    let host = cable.address(End::Second).to_string();
    let address = Address::Tcp { host, port };
    let (pool, module) = here.run(|| {
        let pool = Pool::connect([address.clone()]).unwrap();
        let module = pool.load(bytes.clone()).unwrap();
        assert_eq!(count(&pool, &module).unwrap(), 1);
        (pool, module)
    });
    for n_lost in 1..=2 {
        let executor = here.run(|| Executor::connect(&address)).unwrap();
        executor.ping().unwrap();
        cable.cut();
        kill(process);
        let (there, new) = cable.restart(End::Second).unwrap();
        cable = new;
        process = there.run(|| start(&listen));
        // Long before its silence says anything.
        let error = ends("a ping", move || executor.ping()).unwrap_err();
        assert!(matches!(error, Error::Connection(_)), "{error}");
        let (pool, module, here) = (pool.clone(), module, here.clone());
        let counted = ends("a call", move || {
            here.run(|| (count(&pool, &module).unwrap(), pool.health()[0].lost))
        });
        assert_eq!(counted, (1, n_lost));
    }
    let executor = here.run(|| Executor::connect(&address)).unwrap();
    assert_eq!(load_and_count(&executor, &bytes), (false, 1));
}
