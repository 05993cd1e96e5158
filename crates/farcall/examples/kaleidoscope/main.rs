//! A small language, compiled line by line, that runs here or in an executor.
//!
//! The language is Kaleidoscope, that of LLVM's tutorial: functions of doubles, operators of one's own.
//!
//! ```text
//! cargo run --example kaleidoscope                             # here
//! cargo run --example kaleidoscope -- --on unix:/tmp/farcall   # in `farcall-executor --trust-unsigned --listen unix:/tmp/farcall`
//! cargo run --example kaleidoscope -- program.kal
//! ```
//!
//! A line goes through these files: `lexer.rs` → `parser.rs` → `syntax.rs` → `codegen.rs` → `here.rs` or `there.rs`. Around
//! them is the loop, `repl.rs`.

mod codegen;
mod engine;
mod here;
mod lexer;
mod parser;
mod repl;
mod syntax;
mod there;

use std::fs::File;
use std::io::{self, BufReader, IsTerminal as _};
use std::process::ExitCode;
use std::thread;

use anyhow::{Context as _, bail};
use farcall::OptLevel;
use farcall::executor::Address;

use repl::{Repl, Source, level};

const USAGE: &str = "usage: kaleidoscope [--on ADDRESS] [--level 0..3] [FILE]";

/// Of the thread that reads, parses and runs, in bytes: for the deepest nesting that the lexer lets pass, without optimization.
const STACK_SIZE: usize = 512 << 20;

fn main() -> ExitCode {
    let thread = thread::Builder::new().stack_size(STACK_SIZE).spawn(run);
    let result = thread.map(thread::JoinHandle::join);
    match result {
        Ok(Ok(Ok(true))) => ExitCode::SUCCESS,
        Ok(Ok(Err(error))) => {
            eprintln!("kaleidoscope: {error:#}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("kaleidoscope: no thread: {error}");
            ExitCode::FAILURE
        }
        // What was wrong has been said.
        Ok(Ok(Ok(false)) | Err(_)) => ExitCode::FAILURE,
    }
}

/// Whether all went well.
fn run() -> anyhow::Result<bool> {
    let mut opt_level = OptLevel::O2;
    let mut address: Option<Address> = None;
    let mut file = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .with_context(|| format!("{argument}: needs a value"))
        };
        match &*argument {
            "--on" => address = Some(value()?.parse()?),
            "--level" => opt_level = level(&value()?)?,
            "--help" => {
                println!("{USAGE}");
                return Ok(true);
            }
            option if option.starts_with('-') => bail!("{option}: unknown; {USAGE}"),
            _ if file.is_some() => bail!("{argument}: one file at a time; {USAGE}"),
            _ => file = Some(argument),
        }
    }
    let mut repl = Repl::new(address, opt_level)?;
    match file {
        Some(name) => {
            let file = File::open(&name).with_context(|| name.clone())?;
            repl.all(BufReader::new(file), &Source::Script(format!("{name}:")))
        }
        None if io::stdin().is_terminal() => repl.all(io::stdin().lock(), &Source::Terminal),
        None => repl.all(io::stdin().lock(), &Source::Script(String::new())),
    }
}
