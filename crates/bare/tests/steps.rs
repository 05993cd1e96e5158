//! What a controller may ask for, and that what it may not is an error for it and nothing else.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use common::{Served, Speaker, controller, hello, serve, service};
use farcall_bare::Service;
use farcall_executor::{Address, BareExecutor};
use farcall_protocol::{
    Access, Argument, BARE_MAGIC, BareHello, ErrorKind, HELLO_LIMIT, NO_REQUEST, Outcome, Outcomes,
    ResultRegister, Step, decode, encode,
};
use farcall_testkit::tools;

/// The code of a function that gives 42.
#[cfg(target_arch = "x86_64")]
const GIVES_42: &[u8] = &[0xb8, 42, 0, 0, 0, 0xc3]; // mov eax, 42; ret
#[cfg(target_arch = "aarch64")]
const GIVES_42: &[u8] = &[0x40, 0x05, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6]; // mov w0, #42; ret

const fn write(address: u64, size: u64) -> Step<'static> {
    Step::Write { address, size }
}

const fn protect(address: u64, size: u64, access: Access) -> Step<'static> {
    Step::Protect {
        address,
        size,
        access,
    }
}

const fn call(function: u64) -> Step<'static> {
    Step::Call {
        function,
        result: ResultRegister::Integer,
        arguments: Vec::new(),
    }
}

/// Places a function that gives 42, and gives its address.
fn place_42(speaker: &mut Speaker) -> u64 {
    let address = speaker.reserve(1);
    let size = GIVES_42.len() as u64;
    let steps = [
        write(address, size),
        protect(address, 1, Access::ReadExecute),
    ];
    speaker.does(&steps, GIVES_42);
    address
}

#[test]
fn steps_of_one_request_are_done_in_order_until_one_fails() {
    let mut speaker = Speaker::new(&service());
    let code = speaker.reserve(2);
    let size = GIVES_42.len() as u64;
    let steps = [
        write(code, size),
        protect(code, 1, Access::ReadExecute),
        call(code),
        write(code + speaker.page - 1, 2),
        call(code),
    ];
    let (outcomes, _) = speaker.ask(&steps, &[GIVES_42, b"xy"].concat());
    assert_eq!(
        outcomes.done,
        [Outcome::Done, Outcome::Done, Outcome::Returned { bits: 42 }]
    );
    let failure = outcomes.failure.unwrap();
    assert_eq!(failure.kind, ErrorKind::Arguments, "{failure}");
    assert!(failure.message.contains("are protected"), "{failure}");
    // No steps, no outcomes.
    assert_eq!(speaker.does(&[], b""), []);
}

#[test]
fn reservations_have_limits() {
    let mut speaker = Speaker::new(&service());
    let reserve = |size, align| Step::Reserve { size, align };
    for size in [(1 << 30) + 1, 1 << 47, u64::MAX - 4095, u64::MAX] {
        let part = "cannot be reserved";
        speaker.refuses(reserve(size, 1), b"", ErrorKind::Memory, part);
    }
    for (size, align) in [(0, 1), (1, 0), (1, 3), (1, 1 << 31), (1, u64::MAX)] {
        speaker.refuses(
            reserve(size, align),
            b"",
            ErrorKind::Arguments,
            "a reservation has",
        );
    }
    for align in [1, 1 << 12, 1 << 16, 1 << 24, 1 << 30] {
        let done = speaker.does(&[reserve(1, align)], b"");
        let [Outcome::Reserved { address }] = done[..] else {
            panic!("{done:?}");
        };
        assert!(address != 0 && address.is_multiple_of(align));
        speaker.does(&[Step::Free { address }], b"");
    }
    // All of the limit, after all was given back.
    let done = speaker.does(&[reserve(1 << 30, 1)], b"");
    let [Outcome::Reserved { address }] = done[..] else {
        panic!("{done:?}");
    };
    speaker.refuses(reserve(1, 1), b"", ErrorKind::Memory, "the limit leaves 0");
    speaker.does(&[Step::Free { address }], b"");
}

#[test]
fn only_what_is_reserved_is_written_and_protected() {
    let mut speaker = Speaker::new(&service());
    let (base, page) = (speaker.reserve(2), speaker.page);
    let here = (&raw const speaker).expose_provenance() as u64;
    let end = base + 2 * page;
    for (address, size) in [
        (base - 1, 1),
        (base - 1, 2),
        (end - 1, 2),
        (end, 1),
        (0, 1),
        (here, 8),
        (u64::MAX, 1),
        (u64::MAX - 1, 4),
    ] {
        let bytes = vec![1; usize::try_from(size).unwrap()];
        let part = "not all in one reservation";
        speaker.refuses(write(address, size), &bytes, ErrorKind::Arguments, part);
        let step = protect(address, size, Access::ReadWrite);
        speaker.refuses(step, b"", ErrorKind::Arguments, part);
    }
    for size in [2 * page + 1, 1 << 40, u64::MAX, u64::MAX - base] {
        let step = protect(base, size, Access::Read);
        speaker.refuses(step, b"", ErrorKind::Arguments, "reservation");
    }
    for (address, size) in [(base + 1, 1), (base, 0), (base + page - 1, page)] {
        let step = protect(address, size, Access::Read);
        speaker.refuses(step, b"", ErrorKind::Arguments, "they are no pages");
    }
    // A reservation beside another is another.
    let neighbours: Vec<u64> = (0..8).map(|_| speaker.reserve(1)).collect();
    for &address in neighbours
        .iter()
        .filter(|&&it| neighbours.contains(&(it + page)))
    {
        let step = write(address + page - 1, 2);
        speaker.refuses(step, b"ab", ErrorKind::Arguments, "reservation");
    }
    speaker.does(&[write(base + page - 1, 2)], b"ab");
}

#[test]
fn a_page_is_protected_once_and_never_written_after_it_may_run() {
    let mut speaker = Speaker::new(&service());
    let (base, page) = (speaker.reserve(4), speaker.page);
    let all = [Access::Read, Access::ReadExecute, Access::ReadWrite];
    for (index, access) in (0..).zip(all) {
        let at = base + index * page;
        speaker.does(&[write(at, 1), protect(at, page, access)], b"a");
        for other in all {
            for (address, size) in [(at, page), (at, 1), (base, 4 * page)] {
                let step = protect(address, size, other);
                speaker.refuses(step, b"", ErrorKind::Arguments, "are protected");
            }
        }
        if access == Access::ReadWrite {
            speaker.does(&[write(at, 1)], b"b");
        } else {
            speaker.refuses(write(at, 1), b"b", ErrorKind::Arguments, "are protected");
            let step = write(at + page - 1, 1);
            speaker.refuses(step, b"b", ErrorKind::Arguments, "are protected");
        }
    }
    // Across one that may be written and one that is not yet protected.
    let step = write(base + 3 * page - 1, 2);
    speaker.refuses(step, b"ab", ErrorKind::Arguments, "are protected");

    // What there is no word for cannot be asked for: neither writable and executable, nor nothing.
    let mut frame = Vec::new();
    encode(
        &mut frame,
        9,
        &[protect(base, page, Access::ReadWrite)],
        0,
        u32::MAX,
    )
    .unwrap();
    let last = frame.len() - 1;
    frame[last] = 3;
    let mut served = speaker.served;
    served.stream.write_all(&frame).unwrap();
    assert_last_word(&mut served, ErrorKind::Malformed);
    assert!(served.thread.join().unwrap().is_err());
}

#[test]
fn no_page_of_this_process_is_writable_and_executable() {
    let mut speaker = Speaker::new(&service());
    let function = place_42(&mut speaker);
    let data = speaker.reserve(1);
    speaker.does(&[protect(data, 1, Access::ReadWrite)], b"");
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let rights_of = |address: u64| {
        let line = maps.lines().find(|line| {
            let range = line.split_whitespace().next().unwrap();
            let (start, end) = range.split_once('-').unwrap();
            let number = |text| u64::from_str_radix(text, 16).unwrap();
            (number(start)..number(end)).contains(&address)
        });
        let line = line.unwrap();
        line.split_whitespace().nth(1).unwrap()[..3].to_owned()
    };
    assert_eq!(rights_of(function), "r-x");
    assert_eq!(rights_of(data), "rw-");
    assert!(!maps.lines().any(|line| line.contains("rwx")));
}

#[test]
fn only_code_is_called() {
    let mut speaker = Speaker::new(&service());
    let function = place_42(&mut speaker);
    assert_eq!(
        speaker.does(&[call(function)], b""),
        [Outcome::Returned { bits: 42 }]
    );
    let data = speaker.reserve(3);
    let page = speaker.page;
    let steps = [
        write(data, 1),
        protect(data, 1, Access::ReadWrite),
        write(data + page, 1),
        protect(data + page, 1, Access::Read),
        write(data + 2 * page, 1),
    ];
    speaker.does(&steps, b"abc");
    let here = (&raw const speaker).expose_provenance() as u64;
    let no_code = [0, 1, u64::MAX, here, data, data + page, data + 2 * page];
    for address in no_code {
        let part = "neither in executable pages nor looked up";
        let wrong = ErrorKind::Arguments;
        speaker.refuses(call(address), b"", wrong, part);
        let functions = vec![address];
        let (run, resolve) = (
            Step::Run {
                functions: functions.clone(),
            },
            Step::Resolve { functions },
        );
        speaker.refuses(run, b"", wrong, part);
        speaker.refuses(resolve, b"", wrong, part);
    }
    // A function of the process is called once it has been looked up.
    let names = vec!["labs", "no such function", "a\0b", ""];
    let done = speaker.does(&[Step::Lookup { names }], b"");
    let [Outcome::Symbols { addresses }] = &done[..] else {
        panic!("{done:?}");
    };
    assert!(addresses[0] != 0);
    assert_eq!(addresses[1..], [0, 0, 0]);
    let labs = Step::Call {
        function: addresses[0],
        result: ResultRegister::Integer,
        arguments: vec![Argument::Int((-5_i64).cast_unsigned())],
    };
    assert_eq!(speaker.does(&[labs], b""), [Outcome::Returned { bits: 5 }]);
    let many = Step::Call {
        function,
        result: ResultRegister::Integer,
        arguments: vec![Argument::Int(0); 100],
    };
    speaker.refuses(many, b"", ErrorKind::Arguments, "on the stack");
    speaker.does(&[Step::Free { address: function }], b"");
    speaker.refuses(call(function), b"", ErrorKind::Arguments, "executable");
}

#[test]
fn only_whole_reservations_are_given_back_and_once() {
    let mut speaker = Speaker::new(&service());
    let (base, page) = (speaker.reserve(2), speaker.page);
    for address in [base + page, base + 1, base - page, 0, u64::MAX] {
        let part = "no reservation starts there";
        speaker.refuses(Step::Free { address }, b"", ErrorKind::Arguments, part);
    }
    let address = base;
    speaker.does(&[Step::Free { address }], b"");
    let part = "no reservation starts there";
    speaker.refuses(Step::Free { address }, b"", ErrorKind::Arguments, part);
    speaker.refuses(write(base, 1), b"a", ErrorKind::Arguments, "reservation");
}

#[test]
fn a_body_has_what_its_steps_say_or_nothing_is_done() {
    let mut speaker = Speaker::new(&service());
    let base = speaker.reserve(1);
    let with = |argument| Step::Call {
        function: base,
        result: ResultRegister::Integer,
        arguments: vec![argument],
    };
    for (step, body) in [
        (write(base, 2), &b"a"[..]),
        (write(base, 2), b"abc"),
        (write(base, u64::MAX), b"abc"),
        (Step::Free { address: base }, b"a"),
        (with(Argument::In { size: 3 }), b"ab"),
        (with(Argument::InOut { size: u64::MAX }), b"ab"),
        (with(Argument::Out { size: 3 }), b"abc"),
    ] {
        speaker.refuses(step, body, ErrorKind::Malformed, "where");
    }
    let twice = [write(base, u64::MAX), write(base, 3)];
    let (outcomes, _) = speaker.ask(&twice, b"ab");
    assert_eq!(outcomes.failure.unwrap().kind, ErrorKind::Malformed);
    for size in [(1 << 20) + 1, u64::MAX] {
        let step = with(Argument::Out { size });
        speaker.refuses(step, b"", ErrorKind::Memory, "limit of 1048576 bytes");
    }
    speaker.does(&[write(base, 1)], b"a");
}

#[test]
fn a_connection_that_ends_leaves_what_may_run_and_nothing_else() {
    let service = service();
    let mut speaker = Speaker::new(&service);
    let function = place_42(&mut speaker);
    let (untouched, written) = (speaker.reserve(1), speaker.reserve(1));
    speaker.does(&[write(written, 1)], b"a");
    let mut other = Speaker::new(&service);
    other.does(&[write(untouched, 1)], b"a");

    // In the middle of a frame, as when a controller is killed.
    let Served { mut stream, thread } = speaker.served;
    stream.write_all(&[200, 0, 0, 0, 1, 2]).unwrap();
    stream.shutdown(Shutdown::Both).unwrap();
    assert!(thread.join().unwrap().is_err());
    for address in [untouched, written] {
        other.refuses(write(address, 1), b"a", ErrorKind::Arguments, "reservation");
    }
    let done = other.does(&[call(function), Step::Free { address: function }], b"");
    assert_eq!(done, [Outcome::Returned { bits: 42 }, Outcome::Done]);
}

#[test]
fn what_a_call_is_in_is_not_given_back() {
    farcall_testkit::require_tools!("clang-22");
    let service = service();
    let bytes = common::sources::image(
        "static _Atomic int state;
         int wait(void) { state = 1; while (state == 1) {} return 5; }
         int look(void) { return state; }
         int release(void) { state = 2; return 0; }",
    );
    let executor = controller(&service);
    let module = common::place(&executor, &bytes);
    let caller = controller(&service);
    thread::scope(|scope| {
        let call = scope.spawn(|| common::number(&caller, &module, "wait"));
        while common::number(&executor, &module, "look") == 0 {
            thread::yield_now();
        }
        let address = module.base();
        let mut speaker = Speaker::new(&service);
        speaker.refuses(
            Step::Free { address },
            b"",
            ErrorKind::InUse,
            "in use by a call",
        );
        common::number(&executor, &module, "release");
        assert_eq!(call.join().unwrap(), 5);
        // The caller has its answer a moment before the executor lets go.
        let start = Instant::now();
        while speaker
            .ask(&[Step::Free { address }], b"")
            .0
            .failure
            .is_some()
        {
            assert!(start.elapsed() < Duration::from_secs(10));
        }
    });
}

/// That the service still serves.
fn assert_lives(service: &Service) {
    controller(service).ping().unwrap();
}

/// That the executor says what was wrong and hangs up.
fn assert_last_word(served: &mut Served, kind: ErrorKind) {
    let payload = served.read_frame();
    let last = decode::<Outcomes>(&payload).unwrap();
    assert_eq!(last.id, NO_REQUEST);
    assert_eq!(last.message.failure.unwrap().kind, kind);
    assert_eq!(served.stream.read(&mut [0]).unwrap_or(0), 0);
}

#[test]
fn what_is_not_the_protocol_ends_its_connection_alone() {
    let service = service();
    let version = |number: u32| {
        let mut payload = BARE_MAGIC.to_vec();
        payload.extend(number.to_le_bytes());
        common_frame(&payload)
    };
    for (bytes, kind) in [
        (common_frame(b"garbage"), ErrorKind::Malformed),
        (common_frame(b"farcall\0\x02\0\0\0"), ErrorKind::Malformed),
        (version(0), ErrorKind::Malformed),
        (version(2), ErrorKind::Malformed),
        (version(1), ErrorKind::Malformed),
        ((HELLO_LIMIT + 1).to_le_bytes().to_vec(), ErrorKind::TooLong),
        (vec![0xff; 4], ErrorKind::TooLong),
        ([hello(), vec![0xff; 4]].concat(), ErrorKind::TooLong),
        ([hello(), common_frame(b"")].concat(), ErrorKind::Malformed),
        (
            [hello(), common_frame(b"\x01\x01\x09")].concat(),
            ErrorKind::Malformed,
        ),
        // A list that announces more than there is.
        (
            [hello(), common_frame(&[1, 0xff, 0xff, 0xff, 0xff, 0x0f])].concat(),
            ErrorKind::Malformed,
        ),
    ] {
        let mut served = serve(&service);
        served.stream.write_all(&bytes).unwrap();
        BareHello::decode(&served.read_frame()).unwrap();
        assert_last_word(&mut served, kind);
        assert!(served.thread.join().unwrap().is_err());
    }
    // Cut short, at every byte.
    let mut whole = hello();
    encode(&mut whole, 1, &[write(4096, 3)], 3, u32::MAX).unwrap();
    whole.extend(b"abc");
    for end in 0..whole.len() {
        let served = serve(&service);
        (&served.stream).write_all(&whole[..end]).unwrap();
        served.stream.shutdown(Shutdown::Write).unwrap();
        let is_between = end == 0 || end == hello().len();
        assert_eq!(served.thread.join().unwrap().is_ok(), is_between, "{end}");
    }
    assert_lives(&service);
}

fn common_frame(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    [&length.to_le_bytes(), payload].concat()
}

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[2]
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        let index = usize::try_from(self.below(all.len() as u64));
        all[index.unwrap()]
    }
}

#[test]
fn random_bytes_are_survived() {
    let service = service();
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for _ in 0..tools::rounds(400) {
        let mut bytes = hello();
        for _ in 0..numbers.below(4) {
            let length = numbers.below(40);
            let payload: Vec<u8> = (0..length)
                .map(|_| numbers.byte() % if length.is_multiple_of(2) { 8 } else { 255 })
                .collect();
            bytes.extend(common_frame(&payload));
        }
        let Served { mut stream, thread } = serve(&service);
        let _ = stream.write_all(&bytes);
        stream.shutdown(Shutdown::Write).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
        let _ = thread.join().unwrap();
    }
    assert_lives(&service);
}

#[test]
fn random_steps_do_what_they_may_and_nothing_else() {
    let mut speaker = Speaker::new(&service());
    let page = speaker.page;
    let mut numbers = Numbers(0x0123_4567_89ab_cdef);
    let mut bases: Vec<u64> = vec![4096];
    for _ in 0..tools::rounds(4000) {
        let base = numbers.one_of(&bases);
        let near = base
            .wrapping_add(numbers.below(8 * page))
            .wrapping_sub(page);
        let anywhere = numbers.next();
        let address = numbers.one_of(&[base, near, near / page * page, anywhere]);
        let some = numbers.below(4 * page);
        let size = numbers.one_of(&[0, 1, page, some, anywhere]);
        let access = [Access::Read, Access::ReadExecute, Access::ReadWrite];
        let (step, body) = match numbers.below(4) {
            0 if bases.len() < 50 => {
                let size = numbers.below(8 * page);
                let align = 1 << numbers.below(20);
                (Step::Reserve { size, align }, Vec::new())
            }
            1 => (Step::Free { address }, Vec::new()),
            2 => {
                let access = numbers.one_of(&access);
                (protect(address, size, access), Vec::new())
            }
            _ => {
                let size = size.min(4 * page);
                let byte = numbers.byte();
                let body = vec![byte; usize::try_from(size).unwrap()];
                (write(address, size), body)
            }
        };
        let is_free = matches!(step, Step::Free { .. });
        let (outcomes, _) = speaker.ask(&[step], &body);
        match outcomes.done[..] {
            [Outcome::Reserved { address }] => bases.push(address),
            [Outcome::Done] if is_free => bases.retain(|&base| base != address),
            _ => {}
        }
    }
    // Whatever it has come to, no page is both.
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(!maps.lines().any(|line| line.contains("rwx")));
    speaker.reserve(1);
}

#[test]
fn a_process_listens_and_survives_what_its_connections_bring() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listen = format!("unix:{}", path.display());
    let start = |listen: &str| {
        let mut child = tools::start(env!("CARGO_BIN_EXE_farcall-bare"))
            .args(["--listen", listen])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = Vec::new();
        let stdout = child.stdout.as_mut().unwrap();
        while line.last() != Some(&b'\n') {
            let mut byte = [0];
            assert_eq!(stdout.read(&mut byte).unwrap(), 1, "it does not listen");
            line.push(byte[0]);
        }
        let line = String::from_utf8(line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ").unwrap();
        (
            common::Process { child },
            address.parse::<Address>().unwrap(),
        )
    };
    let (mut first, address) = start(&listen);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for bytes in [
        &b"garbage\n"[..],
        b"\xff\xff\xff\xff",
        b"\x10\0\0\0farbare\0\x09\0\0\0",
    ] {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(bytes).unwrap();
    }
    let many: Vec<_> = (0..16)
        .map(|_| BareExecutor::connect(&address).unwrap())
        .collect();
    for executor in many {
        executor.ping().unwrap();
    }
    // Another does not take its place, but one that comes after it was killed does.
    let other = tools::start(env!("CARGO_BIN_EXE_farcall-bare"))
        .args(["--listen", &listen])
        .output()
        .unwrap();
    assert_eq!(other.status.code(), Some(1));
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    let (_second, address) = start(&listen);
    BareExecutor::connect(&address).unwrap().ping().unwrap();

    let (_tcp, address) = start("tcp:127.0.0.1:0");
    BareExecutor::connect(&address).unwrap().ping().unwrap();
}

#[test]
fn it_says_what_it_takes() {
    let run = |args: &[&str]| {
        tools::start(env!("CARGO_BIN_EXE_farcall-bare"))
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
    assert!(run(&["-V"]).stdout.starts_with(b"farcall-bare "));
    for (args, part) in [
        (&[][..], "nothing to listen at"),
        (&["--listen"], "no address"),
        (
            &["--listen", "nowhere"],
            "neither unix:PATH nor tcp:HOST:PORT",
        ),
        (&["--stdio", "--stdio"], "one place only"),
        (&["--port"], "--port: unknown option"),
    ] {
        let wrong = run(args);
        assert_eq!(wrong.status.code(), Some(2));
        let stderr = String::from_utf8(wrong.stderr).unwrap();
        assert!(stderr.contains(part), "{stderr}");
    }
}
