//! The demo on three machines: compiled and linked on one, run on two others, and what a cut cable does.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use farcall::executor::{Address, Argument, Order, Pending, Timeouts};
use farcall::{Executor, Image};
use farcall_testkit::net::{AS_ROOT, Cable, End, Host, Quality, can_have_hosts};

use crate::key::Key;
use crate::process::ExecutorProcess;
use crate::table::{columns, heading, stage};
use crate::{Answer, ROWS, Result, build, compare, connect, counted, int, parse, work};

/// How long the cables are: as far as light comes in this time, a thousand kilometres of glass.
const DELAY: Duration = Duration::from_millis(5);

/// How long a machine may give no sign: not the 40 seconds of the default, as somebody watches.
const SILENCE: Duration = Duration::from_secs(2);

const PORT: u16 = 7000;

/// A machine with an executor, at the other end of a cable.
struct There {
    name: &'static str,
    process: ExecutorProcess,
    cable: Cable,
}

pub(crate) fn demo(inputs: [&PathBuf; 2], native: &Path) -> Result<()> {
    can_have_hosts().map_err(|error| {
        format!("no network namespaces, which stand for machines: {error}: {AS_ROOT}")
    })?;
    let here = Host::new()?;
    let folder = tempfile::tempdir()?;
    let key = Key::new(folder.path())?;
    let second = There::start("second", &here, &key)?;
    let third = There::start("third", &here, &key)?;
    // Whatever follows is done on the first machine.
    here.run(|| from_here(inputs, &key, [&second, &third], native))?;
    second.process.stop()?;
    third.process.stop()
}

impl There {
    fn start(name: &'static str, here: &Host, key: &Key) -> Result<Self> {
        let host = Host::new()?;
        let cable = Cable::between(here, &host)?;
        cable.set_quality(Quality {
            delay: DELAY,
            ..Quality::default()
        });
        let address = Address::Tcp {
            host: cable.address(End::Second).to_string(),
            port: PORT,
        };
        let process = host.run(|| ExecutorProcess::start(address, SILENCE, &key.policy))?;
        Ok(Self {
            name,
            process,
            cable,
        })
    }
}

fn from_here(inputs: [&PathBuf; 2], key: &Key, there: [&There; 2], native: &Path) -> Result<()> {
    println!(
        "Three machines: network namespaces. A cable leads from the first to each of the others; {} ms there and back.\n",
        2 * DELAY.as_millis()
    );
    columns();
    heading("on the first, once: IR to machine code, then to one image that fits any address");
    let bytes = build(inputs, key)?;
    let image = parse(&bytes)?;

    let timeouts = Timeouts {
        silence: SILENCE,
        ..Timeouts::default()
    };
    let on = |there: &There, what| -> Result<(Executor, Answer)> {
        let address = &there.process.address;
        heading(&format!("on the {}, at {address}: {what}", there.name));
        let done = work(address, timeouts, &image)?;
        wire(&there.cable);
        Ok(done)
    };
    let (second, answer) = on(there[0], "an executor, with neither compiler nor linker")?;
    let (third, other) = on(there[1], "the same bytes")?;

    heading("both are at work, and the cable to the third is cut");
    let expected = answer.checksum;
    let running = [start(&second, &image)?, start(&third, &image)?];
    thread::sleep(4 * DELAY);
    there[1].cable.cut();
    let [to_second, to_third] = running;
    let checksum = stage("the second's call", "is not concerned", || {
        Ok((to_second.wait()?, 0))
    })?;
    let lost = stage("then the third's call", "ends in an error:", || {
        let error = to_third.wait().err();
        Ok((
            error.ok_or("it was answered through a cable that is cut")?,
            0,
        ))
    })?;
    println!("    {lost}");

    heading("the cable is mended: the executor and what is loaded there are as they were");
    there[1].cable.mend();
    let address = &there[1].process.address;
    let third = stage("connect", "sent", || connect(address, timeouts))?;
    let module = stage("ship again", "sent: its digest, no code", || {
        counted(&third, |third| third.load(&image))
    })?;
    let again = stage("call run_workload", "sent: the arguments", || {
        let mut arguments = [Argument::Int(ROWS)];
        counted(&third, |third| {
            third.call(&module, "run_workload", None, &mut arguments)
        })
    })?;
    if module.was_sent || [int(checksum)?, int(again)?] != [expected; 2] {
        return Err("what is computed after the cut differs".into());
    }
    compare(&[answer, other], native)
}

/// Sends the call of the workload, and does not wait.
fn start(executor: &Executor, image: &Image<'_>) -> Result<Pending> {
    let arguments = [Argument::Int(ROWS)];
    let digest = image.digest();
    Ok(executor.start_call(digest, "run_workload", None, Order::InTurn, &arguments)?)
}

/// Prints what went over a cable so far.
fn wire(cable: &Cable) {
    let [there, back] = [End::First, End::Second].map(|end| cable.carried(end));
    println!(
        "  over the cable: {} KB there in {} packets, {} KB back in {}, with all heads",
        there.bytes.div_ceil(1000),
        there.frames,
        back.bytes.div_ceil(1000),
        back.frames
    );
}
