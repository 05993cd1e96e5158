//! `farcall-executor`: an executor and nothing else.

#![forbid(unsafe_code)]

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use farcall_executor::{Listen, Options, run};
use tracing::Level;

const USAGE: &str = "\
usage: farcall-executor --listen unix:PATH | --listen tcp:HOST:PORT | --stdio

Loads the images that controllers send, and calls their functions.
Whoever can connect can run code.

  --listen unix:PATH      a Unix socket, for processes of this user
  --listen tcp:HOST:PORT  a TCP port; neither authenticated nor encrypted
  --stdio                 one controller on standard input and output
  -v, -vv                 log to standard error; more with each v
  -h, --help              print this text
  -V, --version           print the version
";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Run(Listen, Option<Level>),
    Help,
    Version,
}

fn main() -> ExitCode {
    let args: Vec<String> = (std::env::args_os().skip(1))
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match parse(&args) {
        Ok(Command::Help) => print(USAGE),
        Ok(Command::Version) => print(concat!(
            "farcall-executor ",
            env!("CARGO_PKG_VERSION"),
            "\n"
        )),
        Ok(Command::Run(listen, level)) => {
            if let Some(level) = level {
                tracing_subscriber::fmt()
                    .with_max_level(level)
                    .with_ansi(std::io::stderr().is_terminal())
                    .with_writer(std::io::stderr)
                    .init();
            }
            match run(&listen, Options::default()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("farcall-executor: {error}");
                    ExitCode::FAILURE
                }
            }
        }
        Err(wrong) => {
            eprintln!("farcall-executor: {wrong}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn parse(args: &[&str]) -> Result<Command, String> {
    let mut listen = None;
    let mut level = None;
    let mut args = args.iter().copied();
    while let Some(arg) = args.next() {
        let (option, value) = match arg.split_once('=') {
            Some((option, value)) if option == "--listen" => (option, Some(value)),
            _ => (arg, None),
        };
        let place = match option {
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
            "--stdio" => Listen::Stdio,
            "--listen" => {
                let address = value
                    .or_else(|| args.next())
                    .ok_or("--listen: no address")?;
                Listen::At(
                    address
                        .parse()
                        .map_err(|error| format!("--listen: {error}"))?,
                )
            }
            _ => return Err(format!("{arg}: unknown option")),
        };
        if listen.replace(place).is_some() {
            return Err(format!("{option}: it can listen at one place only"));
        }
    }
    let listen = listen.ok_or("nothing to listen at")?;
    Ok(Command::Run(listen, level))
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
    fn the_command_line_is_understood() {
        let unix = || Listen::At("unix:/s".parse().unwrap());
        assert_eq!(
            parse(&["--listen", "unix:/s"]),
            Ok(Command::Run(unix(), None))
        );
        assert_eq!(
            parse(&["-v", "--listen=unix:/s"]),
            Ok(Command::Run(unix(), Some(Level::INFO)))
        );
        assert_eq!(parse(&["--stdio"]), Ok(Command::Run(Listen::Stdio, None)));
        assert_eq!(parse(&["--stdio", "--help"]), Ok(Command::Help));
        assert_eq!(parse(&["-V"]), Ok(Command::Version));
        for (args, wrong) in [
            (&[][..], "nothing to listen at"),
            (&["--listen"], "no address"),
            (&["--listen", "here"], "\"here\": not an address"),
            (&["--stdio", "--listen", "unix:/s"], "one place only"),
            (&["--port"], "--port: unknown option"),
        ] {
            let error = parse(args).unwrap_err();
            assert!(error.contains(wrong), "{error}");
        }
    }
}
