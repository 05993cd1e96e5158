//! `farcall-bare`: a process that offers memory and calls, and nothing else.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use farcall_bare::{Options, Service};
use rustix::fs::Mode;

const USAGE: &str = "\
usage: farcall-bare [-l LIBRARY]... --listen unix:PATH | --listen tcp:HOST:PORT | --stdio

Offers memory to controllers, which place images there, and calls what they placed.
Whoever can connect can run code.

  --listen unix:PATH      a Unix socket, for processes of this user
  --listen tcp:HOST:PORT  a TCP port; neither authenticated nor encrypted
  --stdio                 one controller on standard input and output
  -l LIBRARY              look for symbols in this shared object too; without any, in
                          libm.so.6, libgcc_s.so.1 and libstdc++.so.6, if they are there
  -h, --help              print this text
  -V, --version           print the version
";

/// The stack of a thread that calls shipped code, in bytes: what a main thread usually has.
const STACK_SIZE: usize = 8 << 20;

/// How long to wait when the system is short of what a connection needs.
const SHORTAGE: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    let arguments: Vec<String> = (std::env::args_os().skip(1))
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let mut arguments = arguments.iter().map(String::as_str);
    let mut place = None;
    let mut libraries = Vec::new();
    while let Some(argument) = arguments.next() {
        match argument {
            "-h" | "--help" => return print(USAGE),
            "-V" | "--version" => {
                return print(concat!("farcall-bare ", env!("CARGO_PKG_VERSION"), "\n"));
            }
            "--stdio" if place.is_none() => place = Some(argument),
            "--listen" if place.is_none() => match arguments.next() {
                Some(address) => place = Some(address),
                None => return wrong("--listen: no address"),
            },
            "-l" => match arguments.next() {
                Some(library) => libraries.push(library.to_owned()),
                None => return wrong("-l: no library"),
            },
            "--stdio" | "--listen" => return wrong("it can listen at one place only"),
            other => return wrong(&format!("{other}: unknown option")),
        }
    }
    if libraries.is_empty() {
        let usual = ["libm.so.6", "libgcc_s.so.1", "libstdc++.so.6"];
        libraries.extend(usual.map(str::to_owned));
    }
    let service = Service::new(Options {
        libraries,
        ..Options::default()
    });
    let served = match place.map(|place| (place, place.split_once(':'))) {
        None => return wrong("nothing to listen at"),
        Some(("--stdio", _)) => stdio(&service),
        Some((_, Some(("unix", path)))) => listen_unix(&service, path),
        Some((_, Some(("tcp", address)))) => listen_tcp(&service, address),
        Some((other, _)) => {
            return wrong(&format!("{other}: neither unix:PATH nor tcp:HOST:PORT"));
        }
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("farcall-bare: {}: {error}", place.unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}

/// Serves one controller. Standard input and output are taken away from the rest of the process, so that shipped code which
/// reads or prints does not get between the frames.
fn stdio(service: &Service) -> io::Result<()> {
    let mut reader = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut writer = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    let served = service.serve(&mut reader, &mut writer);
    served.map_err(io::Error::other)
}

fn listen_unix(service: &Service, path: &str) -> io::Result<()> {
    let bind = || {
        // The socket is its owner's from the moment it exists.
        let before = rustix::process::umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
        let bound = UnixListener::bind(path);
        rustix::process::umask(before);
        bound
    };
    let listener = match bind() {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path) => {
            std::fs::remove_file(path)?;
            bind()?
        }
        other => other?,
    };
    say(&format!("unix:{path}"))?;
    for connection in listener.incoming() {
        spawn(service, connection, UnixStream::try_clone);
    }
    Ok(())
}

/// Whether the file at `path` is a socket that nobody listens at any more.
fn is_stale(path: &str) -> bool {
    UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

fn listen_tcp(service: &Service, address: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    let actual = listener.local_addr()?;
    if !actual.ip().is_loopback() {
        eprintln!("warning: tcp:{actual}: anyone who can connect can run code here");
    }
    say(&format!("tcp:{actual}"))?;
    for connection in listener.incoming() {
        // A frame is written at once: waiting for more to send with it only costs time.
        let connection = connection.and_then(|it| it.set_nodelay(true).map(|()| it));
        spawn(service, connection, |it| it.try_clone());
    }
    Ok(())
}

/// Serves a connection on a thread of its own.
fn spawn<S: Read + Write + Send + 'static>(
    service: &Service,
    connection: io::Result<S>,
    try_clone: impl Fn(&S) -> io::Result<S>,
) {
    let start = || {
        let mut writer = connection?;
        let mut reader = try_clone(&writer)?;
        let service = service.clone();
        let serve = move || {
            // What ends the connection, its controller knows too.
            let _ = service.serve(&mut reader, &mut writer);
        };
        let builder = thread::Builder::new().stack_size(STACK_SIZE);
        builder.spawn(serve)
    };
    if let Err(error) = start() {
        eprintln!("farcall-bare: cannot accept: {error}");
        thread::sleep(SHORTAGE);
    }
}

fn say(address: &str) -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on {address}")?;
    stdout.flush()
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn wrong(what: &str) -> ExitCode {
    eprintln!("farcall-bare: {what}\n\n{USAGE}");
    ExitCode::from(2)
}
