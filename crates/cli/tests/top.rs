//! `farcall top` as a process: its tables as text, and what it leaves of a terminal.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, also outside of the functions that are marked as tests"
)]

mod common;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::{Executor, Folder, Outcome, ended, farcall, farcall_in, run};
use farcall::Image;
use farcall::executor::{Argument, Connection, LoadOptions, Service};
use rustix::io::ioctl_fionbio;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// How long a terminal is waited for.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Serves connections on a socket in the folder, on threads of this process, and gives the address.
fn serve(folder: &Folder, name: &str) -> String {
    let path = folder.file(name);
    let listener = UnixListener::bind(&path).unwrap();
    let service = Service::default();
    thread::spawn(move || {
        thread::scope(|threads| {
            for stream in listener.incoming() {
                let connection = Connection::unix(stream.unwrap());
                threads.spawn(|| service.serve(connection));
            }
        });
    });
    format!("unix:{}", path.display())
}

fn top(arguments: &[&str]) -> Outcome {
    run(&mut farcall(
        [&["top", "--interval", "0.2"], arguments].concat(),
    ))
}

/// The cells of a line.
fn cells(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[test]
fn tables_of_executors_and_modules() {
    let folder = Folder::new();
    let ir = "define i32 @next(i32 %x) { %r = add i32 %x, 1 ret i32 %r }";
    folder.write("next.ll", ir);
    let image = fs::read(folder.build("next", &["next.ll"])).unwrap();
    let image = Image::parse(&image).unwrap();
    let digest = image.digest().to_string();
    let busy = serve(&folder, "busy");
    let idle = serve(&folder, "idle");
    let address = busy.parse().unwrap();
    let executor = farcall::Executor::connect(&address).unwrap();
    let options = LoadOptions {
        name: "next\x1b[2J",
        ..LoadOptions::default()
    };
    let module = executor.load_with(&image, options).unwrap();
    for number in 0..70 {
        let call = executor.call(&module, "next", None, &mut [Argument::Int(number)]);
        call.unwrap();
    }
    // Standard output is no terminal.
    let printed = top(&[&busy, &idle]).printed();
    assert_eq!(top(&["--once", &busy, &idle]).printed().lines().count(), 6);
    let lines: Vec<&str> = printed.lines().collect();
    let width = busy.len();
    let titles =
        "STATE UPTIME CALLS/S RUN P50≤ P99≤ FAIL/S CRASH LATE REFUSE MODS IMAGES CONNS WORK LOAD/S";
    let titles: Vec<&str> = titles.split(' ').collect();
    assert_eq!(cells(lines[0])[1..], titles);
    assert_eq!(&lines[0][..width], format!("{:width$}", "EXECUTOR"));
    let busy_cells = cells(lines[1]);
    assert_eq!(busy_cells[..2], [busy.as_str(), "up"]);
    // No call was in this interval: calls a second, then running; one module; this connection and that of the test.
    assert_eq!(busy_cells[3..5], ["0", "0"], "{printed}");
    assert_eq!((busy_cells[11], busy_cells[13]), ("1", "2"), "{printed}");
    let idle_cells = cells(lines[2]);
    assert_eq!(idle_cells[..2], [idle.as_str(), "up"]);
    assert_eq!((idle_cells[11], idle_cells[13]), ("0", "1"), "{printed}");
    assert_eq!(lines[3], "");
    let titles = [
        "EXECUTOR", "MODULE", "CALLS/S", "CALLS", "CRASH", "LATE", "STATE", "SIZE", "EXPORTS",
        "KEY", "DIGEST",
    ];
    assert_eq!(cells(lines[4]), titles);
    let module = cells(lines[5]);
    let expected = [busy.as_str(), "next\\u{1b}[2J", "0", "70", "0", "0", "ok"];
    assert_eq!(module[..7], expected);
    assert_eq!(module[8..], ["1", "-", &digest]);
    assert_eq!(lines.len(), 6);
}

#[test]
fn an_executor_that_cannot_be_asked_is_a_line_and_a_status() {
    let folder = Folder::new();
    let good = serve(&folder, "good");
    let gone = format!("unix:{}", folder.file("gone").display());
    // It takes connections and says nothing.
    let path = folder.file("mute");
    let mute = format!("unix:{}", path.display());
    let _listener = UnixListener::bind(&path).unwrap();
    let outcome = top(&["--once", &gone, &mute, &good]);
    assert_eq!(outcome.end, 1);
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(cells(lines[1])[..3], [gone.as_str(), "down", "-"]);
    assert_eq!(cells(lines[2])[..3], [mute.as_str(), "down", "-"]);
    assert_eq!(cells(lines[3])[..2], [good.as_str(), "up"]);
    let said: Vec<&str> = outcome.stderr.lines().collect();
    let expected = format!("farcall: {gone}: cannot connect: No such file or directory");
    assert!(said[0].starts_with(&expected), "{said:?}");
    assert!(
        said[1].starts_with(&format!("farcall: {mute}: no answer")),
        "{said:?}"
    );
    assert_eq!(said.len(), 2);
}

#[test]
fn executors_are_watched_over_tls_by_whom_they_trust() {
    let folder = Folder::new();
    folder.certificates(&["executor", "controller", "stranger"]);
    let executor = Executor::with_tls(&folder);
    let as_who = |name: &str| {
        let arguments = [
            "top",
            "--once",
            "--interval=0.2",
            "--tls-peer=executor.pem",
            &format!("--tls-certificate={name}.pem"),
            &format!("--tls-key={name}.key"),
            &executor.address,
        ];
        farcall_in(&folder, &arguments)
    };
    let printed = as_who("controller").printed();
    let line = printed.lines().nth(1).unwrap();
    assert_eq!(cells(line)[..2], [executor.address.as_str(), "up"]);
    let refused = as_who("stranger");
    assert_eq!(refused.end, 1, "{refused:?}");
    let line = refused.stdout.lines().nth(1).unwrap();
    assert_eq!(cells(line)[..2], [executor.address.as_str(), "down"]);
    let why = "it trusts neither our certificate nor its CA";
    assert!(refused.stderr.contains(why), "{refused:?}");
    // Whose certificate is none of a peer's that is trusted is not asked.
    let mut other = farcall(["top", "--once", &executor.address]);
    other.args([
        "--tls-certificate=controller.pem",
        "--tls-key=controller.key",
    ]);
    let other = run(other
        .arg("--tls-peer=stranger.pem")
        .current_dir(folder.path()));
    assert_eq!(other.end, 1, "{other:?}");
    assert!(other.stderr.contains(&executor.address), "{other:?}");
}

#[test]
fn an_executor_that_stops_answering_holds_nothing_up_for_ever() {
    let folder = Folder::new();
    let executor = Executor::in_folder(&folder);
    let pid = Pid::from_child(&executor.child);
    let command = &mut farcall(["top", "--once", "--interval", "1", &executor.address]);
    let outcome = thread::scope(|threads| {
        let asked = threads.spawn(|| run(command));
        // Whenever it is stopped, before or after it is connected to, there is no answer.
        thread::sleep(Duration::from_millis(300));
        kill_process(pid, Signal::STOP).unwrap();
        asked.join().unwrap()
    });
    kill_process(pid, Signal::CONT).unwrap();
    assert_eq!(outcome.end, 1, "{outcome:?}");
    assert!(outcome.stderr.contains(": no answer"), "{outcome:?}");
}

#[test]
fn wrong_arguments() {
    let folder = Folder::new();
    let refused = |arguments: &[&str]| farcall_in(&folder, arguments).refused();
    assert!(refused(&["top"]).contains("ADDRESS"));
    assert!(refused(&["top", "nowhere"]).contains("not an address"));
    for interval in ["0", "-1", "nan", "1e9", "x"] {
        let interval = format!("--interval={interval}");
        let message = refused(&["top", &interval, "unix:a"]);
        assert!(message.contains("from 0.1 to 3600"), "{message}");
    }
    let message = refused(&["top", "unix:a", "tls:127.0.0.1:1"]);
    assert!(message.contains("needs --tls-certificate"), "{message}");
    let message = refused(&["top", "unix:a", "--tls-name", "a"]);
    assert!(message.contains("for tls:HOST:PORT only"), "{message}");
}

/// A process that is killed when nothing has ended it.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `farcall top` on a terminal of its own.
struct OnTerminal {
    process: Process,
    /// Closed when this is dropped, also for the thread that reads.
    terminal: Arc<File>,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl OnTerminal {
    fn start(address: &str) -> Self {
        let terminal =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&terminal, size).unwrap();
        let other_end = ptsname(&terminal, Vec::new()).unwrap();
        let open = || {
            let mut options = File::options();
            options
                .read(true)
                .write(true)
                .open(other_end.to_str().unwrap())
                .unwrap()
        };
        let mut command = farcall(["top", address]);
        command
            .env("TERM", "xterm-256color")
            .stdin(open())
            .stdout(open())
            .stderr(open());
        // What it sends to its group is not for this test.
        command.process_group(0);
        let process = Process(command.spawn().unwrap());
        ioctl_fionbio(&terminal, true).unwrap();
        let terminal = Arc::new(File::from(terminal));
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (reader, bytes) = (Arc::downgrade(&terminal), shown.clone());
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Some(terminal) = reader.upgrade() {
                match (&*terminal).read(&mut buffer) {
                    Ok(n) => bytes.lock().unwrap().extend_from_slice(&buffer[..n]),
                    // There is nothing, or nobody at the other end.
                    Err(_) => {
                        drop(terminal);
                        thread::sleep(Duration::from_millis(2));
                    }
                }
            }
        });
        Self {
            process,
            terminal,
            shown,
        }
    }

    fn press(&self, keys: &str) {
        (&*self.terminal).write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until so much has been shown after what `from` was.
    #[track_caller]
    fn wait_for(&self, text: &str, from: usize) -> usize {
        let start = Instant::now();
        loop {
            let shown = self.shown.lock().unwrap();
            let rest = String::from_utf8_lossy(&shown[from..]).into_owned();
            if rest.contains(text) {
                return shown.len();
            }
            drop(shown);
            let is_in_time = start.elapsed() < TIME_LIMIT;
            assert!(is_in_time, "no {text:?} in {} bytes", rest.len());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether keys come as they are pressed, and are not shown.
    fn is_raw(&self) -> bool {
        let modes = tcgetattr(&self.terminal).unwrap().local_modes;
        !modes.intersects(LocalModes::ICANON | LocalModes::ECHO)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process.0), signal).unwrap();
    }

    /// Waits until the process is stopped.
    fn wait_until_stopped(&self) {
        let start = Instant::now();
        let stat = format!("/proc/{}/stat", self.process.0.id());
        while !fs::read_to_string(&stat).unwrap().contains(") T ") {
            assert!(start.elapsed() < TIME_LIMIT, "it is not stopped");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The last word of a whole screen: what is drawn has no spaces where there are some already.
const LAST_WORD: &str = "pardon";
const OTHER_SCREEN: &str = "\x1b[?1049h";
const FIRST_SCREEN: &str = "\x1b[?1049l";

#[test]
fn a_terminal_is_given_back() {
    let folder = Folder::new();
    let address = serve(&folder, "socket");
    for end in ["q", "\x03", "TERM", "HUP"] {
        let mut top = OnTerminal::start(&address);
        let before = top.wait_for(LAST_WORD, 0);
        assert!(top.is_raw());
        assert!(top.wait_for(OTHER_SCREEN, 0) >= before);
        let expected = match end {
            "TERM" => {
                top.signal(Signal::TERM);
                (None, Some(15))
            }
            "HUP" => {
                top.signal(Signal::HUP);
                (None, Some(1))
            }
            keys => {
                top.press(keys);
                (Some(0), None)
            }
        };
        let status = ended(&mut top.process.0);
        assert_eq!((status.code(), status.signal()), expected, "{end:?}");
        top.wait_for(FIRST_SCREEN, before);
        assert!(!top.is_raw(), "{end:?}");
    }
}

#[test]
fn a_terminal_is_given_back_while_it_is_stopped() {
    let folder = Folder::new();
    let address = serve(&folder, "socket");
    let mut top = OnTerminal::start(&address);
    let mut shown = top.wait_for(LAST_WORD, 0);
    for is_key in [true, false] {
        if is_key {
            top.press("\x1a");
        } else {
            top.signal(Signal::TSTP);
        }
        top.wait_until_stopped();
        shown = top.wait_for(FIRST_SCREEN, shown);
        assert!(!top.is_raw());
        top.signal(Signal::CONT);
        // All of it is drawn anew.
        shown = top.wait_for(LAST_WORD, shown);
        assert!(top.is_raw());
    }
    top.press("q");
    assert_eq!(ended(&mut top.process.0).code(), Some(0));
    assert!(!top.is_raw());
}

#[test]
fn a_terminal_that_is_gone_ends_it_without_a_panic() {
    let folder = Folder::new();
    let address = serve(&folder, "socket");
    let top = OnTerminal::start(&address);
    top.wait_for(LAST_WORD, 0);
    let OnTerminal {
        mut process,
        terminal,
        ..
    } = top;
    drop(terminal);
    // It has no controlling terminal, so that there is no signal: what is drawn next fails.
    assert_eq!(ended(&mut process.0).code(), Some(1));
}
