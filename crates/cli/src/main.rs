//! The `farcall` command.

#![deny(unsafe_code)]

mod arguments;
mod build;
mod bundle;
mod cache;
mod call;
mod compile_process;
mod executor;
mod input;
mod inspect;
mod key;
mod libraries;
mod place;
mod policy;
mod recipe;
mod remote;
mod report;
mod run;
mod sign;
mod timings;
mod tls;
mod toolchain;
mod top;
mod trusted;
mod variants;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use timings::Timings;

/// Compile LLVM IR once, run it in any process, on any machine.
#[derive(Debug, Parser)]
#[command(name = "farcall", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Log to standard error; more with each v
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Print the time of each stage to standard error
    #[arg(long, global = true)]
    timings: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build an image from IR (.ll, .bc), objects (.o) and archives (.a)
    Build(build::Build),
    /// Join images for different CPUs in one file, of which each CPU takes the best
    Bundle(bundle::Join),
    /// Run a program: build what must be built, load it here and call its main
    Run(run::Run),
    /// Call a function of an image, here or in an executor
    Call(call::Call),
    /// Place an image at a fixed address, as an ELF executable: for checking a link byte by byte
    Place(place::Place),
    /// Print what an image, or a bundle of images, is made of
    Inspect(inspect::Inspect),
    /// Sign images, so that policies can say whose load
    Sign(sign::Sign),
    /// Make, show and revoke the keys that images are signed with
    Key(key::Key),
    /// Look after the images that build and run keep, so as to make them once
    Cache(cache::Cache),
    /// Run an executor: load and call what controllers ship
    Executor(executor::Executor),
    /// What an executor starts workers from
    #[command(name = executor::TEMPLATE, hide = true)]
    Template,
    /// Watch executors: their modules, calls a second, latency, crashes
    Top(top::Top),
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return report::command_line(&error),
    };
    start_log(arguments.verbose, &arguments.command);
    let mut timings = Timings::new(arguments.timings);
    let verbose = arguments.verbose;
    let result = match arguments.command {
        Command::Build(build) => build.execute(&mut timings, verbose),
        Command::Bundle(join) => join.execute(),
        Command::Run(run) => run.execute(&mut timings, verbose),
        Command::Call(call) => call.execute(&mut timings),
        Command::Place(place) => place.execute(),
        Command::Inspect(inspect) => inspect.execute(),
        Command::Sign(sign) => sign.execute(),
        Command::Key(key) => key.execute(),
        Command::Cache(cache) => cache.execute(),
        Command::Executor(executor) => executor.execute(),
        Command::Template => executor::template(),
        Command::Top(top) => top.execute(),
    };
    timings.print();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report::failure(&error),
    }
}

fn start_log(verbose: u8, command: &Command) {
    let level = match verbose {
        0 => return,
        1 => tracing::Level::INFO,
        2 => tracing::Level::DEBUG,
        _ => tracing::Level::TRACE,
    };
    if let Command::Executor(executor) = command {
        farcall::executor::log_to_stderr(level, executor.log_format());
        return;
    }
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
}
