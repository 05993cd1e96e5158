//! `farcall-executor`: an executor and nothing else.

#![forbid(unsafe_code)]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use farcall_executor::{
    Address, Credentials, Error, Isolation, Keep, Listen, Options, TlsServer, Trust, log_to_stderr,
    run_template, run_watched,
};
use farcall_trust::{PolicyError, PolicyFile};
use tracing::Level;

mod watching;

use watching::Watching;

const USAGE: &str = "\
usage: farcall-executor --listen ADDRESS --policy FILE [OPTIONS]
       farcall-executor --listen unix:PATH --trust-unsigned [OPTIONS]
       farcall-executor --stdio ...

Loads the images that controllers send, and calls their functions: those that
a key of its policy has signed, in processes of their own.

  --listen unix:PATH      a Unix socket, for processes of this user
  --listen tcp:HOST:PORT  a TCP port; neither authenticated nor encrypted
  --listen tls:HOST:PORT  a TCP port with TLS 1.3, for controllers that are trusted
    --tls-certificate FILE  the certificate to show, and the chain to its CA
    --tls-key FILE          its private key, for nobody else to read
    --tls-peer FILE         the certificates of controllers that are trusted
    --tls-ca FILE           CAs: who has a certificate of theirs is trusted
  --stdio                 one controller on standard input and output
  --silence SECONDS       on TCP, how long a controller's machine may give no sign (40)
  --max-connections N     serve so many at a time and refuse others (512)
  --greeting-time SECONDS close a connection on which nobody has said by then who it is (10)
  --unread-time SECONDS   close a connection whose controller has read none of its answers
                          for so long (300)
  --stop-time SECONDS     when it is told to stop, how long it waits for what was asked before (30)
  --policy FILE           load only images that a key of this policy has signed
  --trust-unsigned        load unsigned images too: whoever can connect can run code;
                          on a Unix socket, loopback or standard input only
  --workers session|call  what a worker, a process that runs calls, is for: one connection, so that
                          variables keep their values, or one call (session)
    --ready N               so many are started before they are needed (2)
    --deadline SECONDS      a call that takes longer is ended (never)
    --memory MIB            what a worker may take beyond what it starts with (anything)
    --no-sandbox            let shipped code use files, the network and other processes
    --quarantine N          refuse an image after so many crashes; 0 for never (0)
  --in-process            run calls in this process: faster, but a crash is the end of it all
  --metrics ADDRESS       OpenMetrics over HTTP at unix:PATH or tcp:HOST:PORT, /metrics
  --audit FILE            a line for each load: whose image, from whom, and whether it was let in
  --log-format text|json  for people or for programs (text)
  -v, -vv                 log to standard error; more with each v
  -h, --help              print this text
  -V, --version           print the version
";

/// The argument with which a supervisor starts its template.
const TEMPLATE: &str = "--template";

const IN_PROCESS: &str = "--in-process";

/// The options of workers, and the one for none.
const WORKERS: [&str; 7] = [
    IN_PROCESS,
    "--workers",
    "--ready",
    "--deadline",
    "--memory",
    "--no-sandbox",
    "--quarantine",
];

/// Options whose value may follow a `=`, and those of [`FILES`].
const TAKE_VALUES: [&str; 7] = [
    "--listen",
    "--policy",
    "--silence",
    "--max-connections",
    "--greeting-time",
    "--unread-time",
    "--stop-time",
];

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Run(Place, Options, Option<Level>, Whose),
    Help,
    Version,
}

/// Where controllers are.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    At(Address),
    Tls(Address, Box<Files>),
    Stdio,
}

/// Whose images are to be loaded.
#[derive(Debug, PartialEq, Eq)]
enum Whose {
    Unsigned,
    Policy(PathBuf),
}

impl Whose {
    fn read(self) -> Result<Trust, PolicyError> {
        Ok(match self {
            Self::Unsigned => Trust::Unsigned,
            Self::Policy(path) => Trust::Policy(PolicyFile::open(path)?),
        })
    }
}

/// The options of [`Files`], in their order.
const FILES: [&str; 4] = ["--tls-certificate", "--tls-key", "--tls-peer", "--tls-ca"];

/// What TLS needs.
#[derive(Debug, PartialEq, Eq)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    peers: Option<PathBuf>,
    cas: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args: Vec<String> = (std::env::args_os().skip(1))
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
    if args == [TEMPLATE] {
        return match run_template() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("farcall-executor: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let isolation = match take_workers(&mut args) {
        Ok(isolation) => isolation,
        Err(wrong) => return misused(&wrong),
    };
    let watching = match Watching::take(&mut args) {
        Ok(watching) => watching,
        Err(wrong) => return misused(&wrong),
    };
    match parse(&args) {
        Ok(Command::Help) => print(USAGE),
        Ok(Command::Version) => print(concat!(
            "farcall-executor ",
            env!("CARGO_PKG_VERSION"),
            "\n"
        )),
        Ok(Command::Run(place, options, level, whose)) => {
            if let Some(level) = level {
                log_to_stderr(level, watching.format);
            }
            let failed = |error: &dyn std::fmt::Display| {
                eprintln!("farcall-executor: {error}");
                ExitCode::FAILURE
            };
            let trust = match whose.read() {
                Ok(trust) => trust,
                Err(error) => return failed(&error),
            };
            let watch = match watching.open() {
                Ok(watch) => watch,
                Err(wrong) => return failed(&wrong),
            };
            let serve = |listen| run_watched(&listen, options, isolation, trust, watch);
            match listen(place).and_then(serve) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => failed(&error),
            }
        }
        Err(wrong) => misused(&wrong),
    }
}

fn misused(wrong: &str) -> ExitCode {
    let usage = USAGE.split("\n\n").next().unwrap_or_default();
    eprintln!("farcall-executor: {wrong}\n\n{usage}\n\nMore: farcall-executor --help");
    ExitCode::from(2)
}

/// Takes the options of workers away: how calls are kept apart, unless they are not.
fn take_workers(args: &mut Vec<&str>) -> Result<Option<Isolation>, String> {
    let mut isolation = Isolation::with_template(
        // Without a name of its own it cannot be started again, and says so then.
        std::env::current_exe().unwrap_or_default(),
        vec![TEMPLATE.into()],
    );
    let mut is_in_process = false;
    let mut for_workers = None;
    let mut rest = Vec::new();
    let mut given = args.iter().copied();
    while let Some(arg) = given.next() {
        let (option, value) = arg
            .split_once('=')
            .map_or((arg, None), |(option, value)| (option, Some(value)));
        if !WORKERS.contains(&option) {
            rest.push(arg);
            continue;
        }
        if option == IN_PROCESS {
            is_in_process = true;
            continue;
        }
        for_workers = Some(option);
        if option == "--no-sandbox" {
            isolation.sandbox = false;
            continue;
        }
        let value = value.or_else(|| given.next());
        let value = value.ok_or_else(|| format!("{option}: no value"))?;
        let number = || {
            let number = value.parse::<u32>().ok();
            number.ok_or_else(|| format!("{option}: {value:?}: not a number"))
        };
        let positive = || match number()? {
            0 => Err(format!("{option}: {value:?}: not a number from 1 on")),
            number => Ok(number),
        };
        match option {
            "--workers" => {
                isolation.keep = match value {
                    "session" => Keep::Session,
                    "call" => Keep::Call,
                    _ => return Err(format!("--workers: {value:?}: session or call")),
                };
            }
            "--ready" => isolation.ready = usize::try_from(number()?).unwrap_or(usize::MAX),
            "--deadline" => isolation.deadline = Some(Duration::from_secs(positive()?.into())),
            "--memory" => isolation.memory = Some(u64::from(positive()?) << 20),
            _ => isolation.quarantine = number()?,
        }
    }
    *args = rest;
    match (is_in_process, for_workers) {
        (true, Some(option)) => Err(format!("{option}: with {IN_PROCESS} there are no workers")),
        (true, None) => Ok(None),
        (false, _) => Ok(Some(isolation)),
    }
}

/// Reads what a place needs.
fn listen(place: Place) -> Result<Listen, Error> {
    match place {
        Place::At(address) => Ok(Listen::At(address)),
        Place::Stdio => Ok(Listen::Stdio),
        Place::Tls(address, files) => {
            let (cas, peers) = (files.cas.as_deref(), files.peers.as_deref());
            let credentials = Credentials::from_files(&files.certificate, &files.key, cas, peers)?;
            Ok(Listen::Tls(address, TlsServer::new(&credentials)?))
        }
    }
}

/// Where it listens, with these files, in the order of [`FILES`].
fn place(address: Option<Address>, files: [Option<PathBuf>; 4]) -> Result<Place, String> {
    match (address, files) {
        (Some(address @ Address::Tls { .. }), [Some(certificate), Some(key), peers, cas])
            if peers.is_some() || cas.is_some() =>
        {
            let files = Files {
                certificate,
                key,
                peers,
                cas,
            };
            Ok(Place::Tls(address, Box::new(files)))
        }
        (Some(address @ Address::Tls { .. }), _) => {
            let [certificate, key, peers, cas] = FILES;
            Err(format!(
                "{address}: needs {certificate}, {key}, and {peers} or {cas}"
            ))
        }
        (address, [None, None, None, None]) => Ok(address.map_or(Place::Stdio, Place::At)),
        _ => Err(format!("{}: for tls:HOST:PORT only", FILES.join(", "))),
    }
}

fn parse(args: &[&str]) -> Result<Command, String> {
    let mut listen = None;
    let mut files = [const { None }; FILES.len()];
    let mut options = Options::default();
    let mut level = None;
    let mut whose = None;
    let mut args = args.iter().copied();
    while let Some(arg) = args.next() {
        let (option, value) = match arg.split_once('=') {
            Some((option, value)) if TAKE_VALUES.contains(&option) || FILES.contains(&option) => {
                (option, Some(value))
            }
            _ => (arg, None),
        };
        let mut value = || value.or_else(|| args.next());
        let mut number = || {
            let text = value().ok_or_else(|| format!("{option}: no number"))?;
            let number = text.parse::<u32>().ok().filter(|&number| number > 0);
            number.ok_or_else(|| format!("{option}: {text:?}: not a number from 1 on"))
        };
        let mut seconds = || number().map(|seconds| Duration::from_secs(seconds.into()));
        let new = match option {
            "-h" | "--help" => return Ok(Command::Help),
            "-V" | "--version" => return Ok(Command::Version),
            "-v" => {
                level = Some(Level::INFO);
                continue;
            }
            "-vv" => {
                level = Some(Level::DEBUG);
                continue;
            }
            "--silence" => {
                options.timeouts.silence = seconds()?;
                continue;
            }
            "--max-connections" => {
                options.connection_limit = usize::try_from(number()?).unwrap_or(usize::MAX);
                continue;
            }
            "--greeting-time" => {
                options.timeouts.greeting = seconds()?;
                continue;
            }
            "--unread-time" => {
                options.unread_time = seconds()?;
                continue;
            }
            "--stop-time" => {
                options.stop_time = seconds()?;
                continue;
            }
            "--trust-unsigned" | "--policy" => {
                let new = match option {
                    "--policy" => Whose::Policy(value().ok_or("--policy: no file")?.into()),
                    _ => Whose::Unsigned,
                };
                if whose.replace(new).is_some() {
                    return Err(format!("{option}: it is said already whose images load"));
                }
                continue;
            }
            "--stdio" => None,
            "--listen" => {
                let address = value().ok_or("--listen: no address")?;
                let address: Result<Address, _> = address.parse();
                Some(address.map_err(|error| format!("--listen: {error}"))?)
            }
            _ => {
                let file = FILES.iter().position(|name| *name == option);
                let file = file.ok_or_else(|| format!("{arg}: unknown option"))?;
                let path = value().ok_or_else(|| format!("{option}: no file"))?;
                files[file] = Some(PathBuf::from(path));
                continue;
            }
        };
        if listen.replace(new).is_some() {
            return Err(format!("{option}: it can listen at one place only"));
        }
    }
    let place = place(listen.ok_or("nothing to listen at")?, files)?;
    // Nobody's is no use, and everybody's is nothing to be had by forgetting an option.
    let whose = whose.ok_or(
        "whose images is it to load? --policy FILE says which keys are trusted; \
         --trust-unsigned loads everybody's who can connect",
    )?;
    Ok(Command::Run(place, options, level, whose))
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_calls_are_kept_apart_is_understood() {
        let taken = |args: &[&'static str]| {
            let mut args = args.to_vec();
            take_workers(&mut args).map(|isolation| (args, isolation))
        };
        let (rest, isolation) = taken(&["--stdio"]).unwrap();
        assert_eq!(rest, ["--stdio"]);
        let isolation = isolation.unwrap();
        assert_eq!((isolation.keep, isolation.sandbox), (Keep::Session, true));
        assert_eq!(
            taken(&["--in-process", "--stdio"]),
            Ok((vec!["--stdio"], None))
        );
        let (rest, isolation) = taken(&[
            "--stdio",
            "--workers=call",
            "--deadline",
            "3",
            "--memory=64",
            "--no-sandbox",
            "-v",
        ])
        .unwrap();
        let isolation = isolation.unwrap();
        assert_eq!(rest, ["--stdio", "-v"]);
        assert_eq!(isolation.keep, Keep::Call);
        assert_eq!(isolation.deadline, Some(Duration::from_secs(3)));
        assert_eq!(isolation.memory, Some(64 << 20));
        assert!(!isolation.sandbox);
        for (args, wrong) in [
            (&["--workers", "all"][..], "session or call"),
            (&["--workers"], "--workers: no value"),
            (
                &["--deadline", "3", "--in-process"],
                "--deadline: with --in-process there are no workers",
            ),
            (&["--workers=call", "--ready", "-1"], "\"-1\": not a number"),
            (&["--deadline", "0"], "\"0\": not a number from 1 on"),
            (&["--memory=0"], "\"0\": not a number from 1 on"),
        ] {
            let error = taken(args).unwrap_err();
            assert!(error.contains(wrong), "{error}");
        }
    }

    /// What is understood of a command line that ends in `--trust-unsigned`.
    fn unsigned(args: &[&str]) -> Result<Command, String> {
        parse(&[args, &["--trust-unsigned"]].concat())
    }

    fn run(place: Place, options: Options, level: Option<Level>) -> Result<Command, String> {
        Ok(Command::Run(place, options, level, Whose::Unsigned))
    }

    #[test]
    fn the_command_line_is_understood() {
        let unix = || Place::At("unix:/s".parse().unwrap());
        assert_eq!(
            unsigned(&["--listen", "unix:/s"]),
            run(unix(), Options::default(), None)
        );
        assert_eq!(
            unsigned(&["-v", "--listen=unix:/s"]),
            run(unix(), Options::default(), Some(Level::INFO))
        );
        let mut options = Options::default();
        options.timeouts.silence = Duration::from_secs(3);
        for args in [
            &["--stdio", "--silence", "3"][..],
            &["--silence=3", "--stdio"],
        ] {
            assert_eq!(unsigned(args), run(Place::Stdio, options, None));
        }
        let policy = || {
            let options = Options::default();
            let policy = Whose::Policy("/p".into());
            Ok(Command::Run(Place::Stdio, options, None, policy))
        };
        assert_eq!(parse(&["--stdio", "--policy=/p"]), policy());
        assert_eq!(parse(&["--policy", "/p", "--stdio"]), policy());
        let tls = ["--listen", "tls:h:1", "--tls-certificate", "c"];
        let files = Files {
            certificate: "c".into(),
            key: "k".into(),
            peers: Some("p".into()),
            cas: None,
        };
        let place = Place::Tls("tls:h:1".parse().unwrap(), Box::new(files));
        assert_eq!(
            unsigned(&[&tls[..], &["--tls-key=k", "--tls-peer", "p"]].concat()),
            run(place, Options::default(), None)
        );
        let mut limited = Options {
            connection_limit: 3,
            unread_time: Duration::from_secs(60),
            stop_time: Duration::from_secs(9),
            ..Options::default()
        };
        limited.timeouts.greeting = Duration::from_secs(2);
        let args = [
            "--stdio",
            "--max-connections=3",
            "--greeting-time",
            "2",
            "--unread-time=60",
            "--stop-time=9",
        ];
        assert_eq!(unsigned(&args), run(Place::Stdio, limited, None));
        assert_eq!(parse(&["--stdio", "--help"]), Ok(Command::Help));
        assert_eq!(parse(&["-V"]), Ok(Command::Version));
        for (args, wrong) in [
            (&[][..], "nothing to listen at"),
            (&["--listen"], "no address"),
            (&["--listen", "here"], "\"here\": not an address"),
            (&["--stdio", "--listen", "unix:/s"], "one place only"),
            (&["--silence", "-1"], "\"-1\": not a number from 1 on"),
            (&["--stdio", "--policy"], "no file"),
            (&["--policy", "p", "--trust-unsigned"], "whose images load"),
            (&["--stdio"], "whose images is it to load?"),
            (&["--silence"], "--silence: no number"),
            (&["--port"], "--port: unknown option"),
            (&tls, "needs --tls-certificate, --tls-key, and --tls-peer"),
            (&["--listen", "tls:h:1", "--tls-key"], "--tls-key: no file"),
            (&["--stdio", "--tls-key", "k"], "for tls:HOST:PORT only"),
            (&["--max-connections"], "--max-connections: no number"),
            (&["--unread-time=0"], "\"0\": not a number from 1 on"),
            (&["--greeting-time", "soon"], "\"soon\": not a number"),
        ] {
            let error = parse(args).unwrap_err();
            assert!(error.contains(wrong), "{error}");
        }
    }
}
