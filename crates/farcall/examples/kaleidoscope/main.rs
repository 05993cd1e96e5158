//! A small language, compiled line by line, that runs here or in an executor.
//!
//! The language is Kaleidoscope, that of LLVM's tutorial: functions of doubles, operators of one's own.
//!
//! ```text
//! cargo run --example kaleidoscope                             # here
//! cargo run --example kaleidoscope -- --on unix:/tmp/farcall   # in `farcall-executor --listen unix:/tmp/farcall`
//! cargo run --example kaleidoscope -- program.kal
//! ```

mod codegen;
mod engine;
mod lexer;
mod parser;
mod syntax;

use std::collections::HashMap;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use farcall::OptLevel;

use codegen::{CodegenError, Known, generate};
use engine::{Engine, Here, KNOWN, There, Times};
use parser::{Operators, ParseError, parse};
use syntax::{Function, Item, Place, Prototype};

const HELP: &str = "\
  def f(x y) x + y          a function; defined again, all its callers call the new one
  extern sin(x)             one of the C library, or one that is defined later
  f(1, 2)                   is computed at once
  if a then b else c        for i = 1, i < 9, 1 in body        var x = 1, y in x = y + 2
  def unary!(x) if x then 0 else 1          def binary| 5 (a b) if a then 1 else if b then 1 else 0
  printd(x), putchard(x)    print a number, a character
  :ir NAME   :time on|off   :help   :quit";

/// What the loop knows.
struct Repl {
    engine: Box<dyn Engine>,
    operators: Operators,
    known: Known,
    /// The IR of each function.
    texts: HashMap<String, String>,
    n_computed: usize,
    times_are_shown: bool,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("kaleidoscope: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all went well.
fn run() -> anyhow::Result<bool> {
    let mut level = OptLevel::O2;
    let mut address = None;
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
            "--level" => {
                level = match &*value()? {
                    "0" => OptLevel::O0,
                    "1" => OptLevel::O1,
                    "2" => OptLevel::O2,
                    "3" => OptLevel::O3,
                    other => bail!("--level {other}: it is 0, 1, 2 or 3"),
                }
            }
            option if option.starts_with('-') => {
                bail!("{option}: unknown; usage: kaleidoscope [--on ADDRESS] [--level N] [FILE]")
            }
            _ => file = Some(argument),
        }
    }
    let engine: Box<dyn Engine> = match &address {
        Some(address) => Box::new(There::connect(address, level)?),
        None => Box::new(Here::new(level)?),
    };
    let mut repl = Repl {
        engine,
        operators: Operators::default(),
        known: KNOWN
            .iter()
            .map(|(name, n)| ((*name).to_owned(), *n))
            .collect(),
        texts: HashMap::new(),
        n_computed: 0,
        times_are_shown: false,
    };
    if let Some(file) = file {
        let text = std::fs::read_to_string(&file).with_context(|| file.clone())?;
        return Ok(repl.all_of(&text));
    }
    repl.interactive()
}

impl Repl {
    /// A file: its items, to the first one that is wrong.
    fn all_of(&mut self, text: &str) -> bool {
        match parse(text, &mut self.operators) {
            Ok(items) => self.items(&items, text),
            Err(ParseError::Unfinished) => {
                eprintln!("error: the file ends in the middle of something");
                false
            }
            Err(ParseError::At(place, message)) => {
                complain(text, Some(place), &message);
                false
            }
        }
    }

    /// What is typed, or comes through a pipe: an item is complete when it can be read, and a line ends it.
    fn interactive(&mut self) -> anyhow::Result<bool> {
        let input = std::io::stdin();
        let is_terminal = input.is_terminal();
        let mut all_went_well = true;
        let mut pending = String::new();
        if is_terminal {
            println!("Kaleidoscope. :help says what there is.");
        }
        let mut lines = input.lock().lines();
        loop {
            if is_terminal {
                print!("{}", if pending.is_empty() { "> " } else { "| " });
                std::io::stdout().flush()?;
            }
            let line = lines.next().transpose()?;
            let is_end = line.is_none();
            let line = line.unwrap_or_default();
            if pending.is_empty() && line.starts_with(':') {
                if line.trim() == ":quit" {
                    return Ok(all_went_well);
                }
                self.command(line.trim());
                continue;
            }
            // An empty line gives up what was begun.
            let is_given_up = line.trim().is_empty();
            pending.push_str(&line);
            pending.push('\n');
            match parse(&pending, &mut self.operators) {
                Ok(items) => all_went_well &= self.items(&items, &pending),
                Err(ParseError::Unfinished) if !is_given_up && !is_end => continue,
                Err(ParseError::Unfinished) => {
                    all_went_well = false;
                    eprintln!("error: it ends in the middle of something");
                }
                Err(ParseError::At(place, message)) => {
                    all_went_well = false;
                    complain(&pending, Some(place), &message);
                }
            }
            pending.clear();
            if is_end {
                return Ok(all_went_well || is_terminal);
            }
        }
    }

    fn items(&mut self, items: &[Item], text: &str) -> bool {
        items.iter().all(|item| match self.item(item) {
            Ok(times) => {
                if self.times_are_shown {
                    let times = times
                        .iter()
                        .map(|(what, time)| format!("{what} {time:.1?}"));
                    println!("  {}", times.collect::<Vec<_>>().join(", "));
                }
                true
            }
            Err(Failure::Code(CodegenError { place, message })) => {
                complain(text, place, &message);
                false
            }
            Err(Failure::Engine(error)) => {
                complain(text, None, &format!("{error:#}"));
                false
            }
        })
    }

    fn item(&mut self, item: &Item) -> Result<Times, Failure> {
        match item {
            Item::Extern(prototype) => {
                self.check(prototype)?;
                self.known
                    .insert(prototype.name.clone(), prototype.parameters.len());
                Ok(Times::new())
            }
            Item::Definition(function) => {
                let prototype = &function.prototype;
                self.check(prototype)?;
                let code = generate(function, &self.known, false)?;
                let times = self.engine.define(&code)?;
                self.known
                    .insert(prototype.name.clone(), prototype.parameters.len());
                self.texts.insert(code.name, code.text);
                Ok(times)
            }
            Item::Expression(expression) => {
                self.n_computed += 1;
                let prototype = Prototype {
                    name: format!("computed {}", self.n_computed),
                    parameters: Vec::new(),
                };
                let body = expression.clone();
                let code = generate(&Function { prototype, body }, &self.known, true)?;
                std::io::stdout().flush().map_err(anyhow::Error::from)?;
                let (value, times) = self.engine.run(&code)?;
                println!("= {value}");
                Ok(times)
            }
        }
    }

    /// That a name has the number of parameters that its callers know.
    fn check(&self, prototype: &Prototype) -> Result<(), CodegenError> {
        let Prototype { name, parameters } = prototype;
        match self.known.get(name) {
            Some(&known) if known != parameters.len() => Err(CodegenError {
                place: None,
                message: format!(
                    "{name} has {known} parameters, as its callers know it, and {} here",
                    parameters.len()
                ),
            }),
            _ => Ok(()),
        }
    }

    fn command(&mut self, line: &str) {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            [":help"] => println!("{HELP}"),
            [":time", "on"] => self.times_are_shown = true,
            [":time", "off"] => self.times_are_shown = false,
            [":ir", name] => match self.texts.get(name) {
                Some(text) => print!("{text}"),
                None => eprintln!("error: {name} is not defined here"),
            },
            _ => eprintln!("error: {line}: unknown; :help says what there is"),
        }
    }
}

enum Failure {
    Code(CodegenError),
    Engine(anyhow::Error),
}

impl From<CodegenError> for Failure {
    fn from(error: CodegenError) -> Self {
        Self::Code(error)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Engine(error)
    }
}

/// Says what is wrong, and where.
fn complain(text: &str, place: Option<Place>, message: &str) {
    let Some(Place { line, column }) = place else {
        eprintln!("error: {message}");
        return;
    };
    eprintln!("error: {line}:{column}: {message}");
    if let Some(content) = text.lines().nth(line - 1) {
        eprintln!("  {content}\n  {:>column$}", '^');
    }
}
