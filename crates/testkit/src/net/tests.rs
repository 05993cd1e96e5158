use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::{Cable, End, Host, Quality, skips_without_hosts};
use crate::tools;

fn joined() -> (Host, Host, Cable) {
    let [here, there] = [Host::new().unwrap(), Host::new().unwrap()];
    let cable = Cable::between(&here, &there).unwrap();
    (here, there, cable)
}

/// Sockets at both ends, of which the first sends to the second.
fn sockets() -> (UdpSocket, UdpSocket, Cable) {
    let (here, there, cable) = joined();
    let [first, second] = [(here, End::First), (there, End::Second)].map(|(host, end)| {
        let address = (cable.address(end), 7000);
        host.run(|| UdpSocket::bind(address)).unwrap()
    });
    first.connect(second.local_addr().unwrap()).unwrap();
    second
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    (first, second, cable)
}

/// What says that all before it have arrived, if none overtakes another.
const MARK: u8 = u8::MAX;

/// Sends the numbers up to `count`, and gives those that arrive.
fn arrived(first: &UdpSocket, second: &UdpSocket, count: u8) -> Vec<u8> {
    (0..count).for_each(|number| assert_eq!(first.send(&[number]).unwrap(), 1));
    let mut all = Vec::new();
    let mut number = [0];
    loop {
        first.send(&[MARK]).unwrap();
        while second.recv(&mut number).is_ok() && number != [MARK] {
            all.push(number[0]);
        }
        if number == [MARK] {
            break;
        }
    }
    // Nobody sends any more: what has been late, and marks.
    while second.recv(&mut number).is_ok() {
        all.extend((number != [MARK]).then_some(number[0]));
    }
    all
}

/// That nothing arrives.
#[track_caller]
fn assert_silence(first: &UdpSocket, second: &UdpSocket) {
    first.send(&[1]).unwrap();
    let error = loop {
        let error = second.recv(&mut [0]).unwrap_err();
        // A process that was stopped meanwhile, by a debugger for one, has to ask again.
        if error.kind() != io::ErrorKind::Interrupted {
            break error;
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn machines_are_joined_by_nothing_but_cables() {
    if skips_without_hosts() {
        return;
    }
    let (here, there, cable) = joined();
    let address = (cable.address(End::Second), 7000);
    let listener = there.run(|| TcpListener::bind(address)).unwrap();
    let mut stream = here.run(|| TcpStream::connect(address)).unwrap();
    stream.write_all(b"over there").unwrap();
    drop(stream);
    let (mut stream, peer) = listener.accept().unwrap();
    assert_eq!(peer.ip(), cable.address(End::First));
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "over there");
    assert!(cable.carried(End::First).bytes > 10 && cable.carried(End::Second).frames > 0);
    // Another machine has the same address for itself, and does not see this one.
    let another = Host::new().unwrap();
    assert!(another.run(|| TcpStream::connect(address)).is_err());
    assert!(
        another
            .run(|| TcpListener::bind(("127.0.0.1", 7000)))
            .is_ok()
    );
}

#[test]
fn processes_are_where_they_were_started() {
    if skips_without_hosts() {
        return;
    }
    let (here, _, cable) = joined();
    let output = here
        .run(|| tools::run("ip", &["-4", "-brief", "address"]))
        .unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.contains(&cable.address(End::First).to_string()),
        "{output}"
    );
    drop(cable);
    let output = here.run(|| tools::run("ip", &["-brief", "link"])).unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        output.lines().count(),
        1,
        "its card goes with a cable: {output}"
    );
}

#[test]
fn a_cut_cable_carries_nothing_until_it_is_mended() {
    if skips_without_hosts() {
        return;
    }
    let (first, second, cable) = sockets();
    assert_eq!(arrived(&first, &second, 3), [0, 1, 2]);
    cable.cut();
    assert_silence(&first, &second);
    cable.mend();
    assert_eq!(arrived(&first, &second, 3), [0, 1, 2]);
    // Each is a byte with 42 of heads before it.
    cable.cut_after(End::First, 3 * 43);
    (0..5).for_each(|number| assert_eq!(first.send(&[number]).unwrap(), 1));
    let mut number = [0];
    for expected in [0, 1] {
        second.recv(&mut number).unwrap();
        assert_eq!(number, [expected]);
    }
    assert_silence(&first, &second);
    assert!(cable.is_cut());
    cable.mend();
    cable.pull_out(End::Second).unwrap();
    assert_silence(&first, &second);
    cable.plug_in(End::Second).unwrap();
    assert_eq!(arrived(&first, &second, 3), [0, 1, 2]);
}

#[test]
fn a_bad_cable_loses_delays_and_disorders() {
    if skips_without_hosts() {
        return;
    }
    let (first, second, cable) = sockets();
    cable.set_quality(Quality {
        loss: 20,
        ..Quality::default()
    });
    let some = arrived(&first, &second, 200);
    assert!(
        some.is_sorted() && some.len() < 190 && some.len() > 100,
        "{some:?}"
    );
    let delay = Duration::from_millis(100);
    cable.set_quality(Quality {
        delay,
        overtaking: 20,
        ..Quality::default()
    });
    let all = arrived(&first, &second, 200);
    assert!(!all.is_sorted() && all.len() == 200, "{all:?}");
    cable.set_quality(Quality {
        delay,
        ..Quality::default()
    });
    let start = Instant::now();
    assert_eq!(arrived(&first, &second, 1), [0]);
    assert!(start.elapsed() >= delay, "no frame is early");
}
