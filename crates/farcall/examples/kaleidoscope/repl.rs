//! The loop: reads items, has them computed, and knows what is defined.

use std::collections::BTreeMap;
use std::io::{BufRead, Write as _};

use anyhow::{anyhow, bail};
use farcall::OptLevel;
use farcall::executor::Address;

use crate::codegen::{Code, CodegenError, Known, Role, generate};
use crate::engine::{Engine, KNOWN, RESERVED, Times};
use crate::here::Here;
use crate::parser::{Operators, ParseError, counted, parse};
use crate::syntax::{Function, Item, Place, Prototype, shown};
use crate::there::There;

const HELP: &str = "The language:
  def f(x y) x + y          a function; when it is defined anew, all who call it call the new one
  extern sin(x)             one of the host's, such as the C library's, or one that is defined later
  f(1, 2)                   is computed at once; all values are doubles
  if a then b else c        what is not 0 is true
  for i = 1, i < 9, 2 in f(i)               asked before each round; the step may be left out; gives 0
  var x = 1, y in x = y + 2                 variables of the expression after `in`
  def unary!(x) if x then 0 else 1          an operator of one's own
  def binary| 5 (a b) if a then 1 else b    5 is its precedence: = 2, < > 10, + - 20, * / 40
  printd(x), putchard(x)    print a number, a character
  # a comment

An item is over at the end of a line that completes it, or at a semicolon. An empty line gives up what was begun.

Commands:
  :ir NAME    the IR of a function, or of one such as binary|
  :time on    how long the steps of each line take; :time off
  :level N    optimize so much, 0 to 3
  :help, :quit";

/// Where lines come from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Someone who is asked.
    Terminal,
    /// A file or a pipe. Errors begin with this.
    Script(String),
}

/// What is defined, and where it runs.
pub(crate) struct Repl {
    address: Option<Address>,
    engine: Box<dyn Engine>,
    operators: Operators,
    known: Known,
    functions: BTreeMap<String, Code>,
    /// How many codes there have been.
    n_codes: usize,
    times_are_shown: bool,
}

/// What is wrong, and where if that is known.
struct Failure {
    place: Option<Place>,
    message: String,
}

impl Repl {
    pub(crate) fn new(address: Option<Address>, level: OptLevel) -> anyhow::Result<Self> {
        Ok(Self {
            engine: engine(address.as_ref(), level)?,
            address,
            operators: Operators::default(),
            known: KNOWN
                .iter()
                .map(|&(name, n)| (name.to_owned(), n))
                .collect(),
            functions: BTreeMap::new(),
            n_codes: 0,
            times_are_shown: false,
        })
    }

    /// Runs all that is read. Whether all went well; what someone at a terminal got wrong, they have seen.
    pub(crate) fn all(&mut self, mut input: impl BufRead, source: &Source) -> anyhow::Result<bool> {
        let is_terminal = *source == Source::Terminal;
        let mut all_went_well = true;
        let mut n_lines = 0;
        let mut pending = String::new();
        if is_terminal {
            println!("Kaleidoscope. :help says what there is.");
        }
        loop {
            if is_terminal {
                print!("{}", if pending.is_empty() { "> " } else { "| " });
                std::io::stdout().flush()?;
            }
            let mut line = Vec::new();
            let is_end = input.read_until(b'\n', &mut line)? == 0;
            let line = String::from_utf8_lossy(&line);
            n_lines += usize::from(!is_end);
            if pending.is_empty() && line.starts_with(':') {
                if line.trim() == ":quit" {
                    return Ok(all_went_well || is_terminal);
                }
                if let Err(error) = self.command(line.trim()) {
                    all_went_well = false;
                    let place = Some(Place { line: 1, column: 1 });
                    let message = error.to_string();
                    complain(source, n_lines - 1, &line, &Failure { place, message });
                }
                continue;
            }
            let is_given_up = is_terminal && line.trim().is_empty();
            pending.push_str(&line);
            let result = match parse(&pending, &mut self.operators) {
                Err(ParseError::Unfinished(..)) if !is_given_up && !is_end => continue,
                Err(ParseError::Unfinished(place, message) | ParseError::At(place, message)) => {
                    let place = Some(place);
                    Err(Failure { place, message })
                }
                Ok(items) => self.items(items),
            };
            if let Err(failure) = result {
                all_went_well = false;
                let n_before = n_lines - pending.lines().count();
                complain(source, n_before, &pending, &failure);
            }
            pending.clear();
            if is_end {
                if is_terminal {
                    println!();
                }
                return Ok(all_went_well || is_terminal);
            }
        }
    }

    fn items(&mut self, items: Vec<(Place, Item)>) -> Result<(), Failure> {
        for (place, item) in items {
            let times = self.item(item).map_err(|mut failure| {
                failure.place.get_or_insert(place);
                failure
            })?;
            if self.times_are_shown {
                let times = times
                    .iter()
                    .map(|(what, time)| format!("{what} {time:.1?}"));
                println!("  {}", times.collect::<Vec<_>>().join(", "));
            }
        }
        Ok(())
    }

    fn item(&mut self, item: Item) -> Result<Times, Failure> {
        self.n_codes += 1;
        let start = std::time::Instant::now();
        match item {
            Item::Extern(prototype) => {
                self.check(&prototype, "extern")?;
                self.known
                    .insert(prototype.name, prototype.parameters.len());
                Ok(vec![])
            }
            Item::Definition(function) => {
                let prototype = &function.prototype;
                self.check(prototype, "def")?;
                let code = generate(&function, Role::Definition, self.n_codes, &self.known)?;
                self.known
                    .insert(code.name.clone(), prototype.parameters.len());
                self.functions.insert(code.name.clone(), code);
                Ok(vec![("IR", start.elapsed())])
            }
            Item::Expression(body) => {
                let prototype = Prototype {
                    place: Place { line: 1, column: 1 },
                    name: format!("line {}", self.n_codes),
                    parameters: Vec::new(),
                };
                let line = Function { prototype, body };
                let line = generate(&line, Role::Line, self.n_codes, &self.known)?;
                let mut times = vec![("IR", start.elapsed())];
                times.extend(self.compute(&line)?);
                Ok(times)
            }
        }
    }

    fn compute(&mut self, line: &Code) -> Result<Times, Failure> {
        let needs = needs(&self.functions, line);
        match self.engine.run(line, &needs) {
            Ok((value, times)) => {
                // In short, exactly: large and small ones with an exponent.
                let size = value.abs();
                match size != 0.0 && size.is_finite() && !(1e-5..1e16).contains(&size) {
                    true => println!("= {value:e}"),
                    false => println!("= {value}"),
                }
                Ok(times)
            }
            Err(error) => {
                let message = error.to_string();
                let message = missing(line, &needs, &message).unwrap_or(message);
                let place = None;
                Err(Failure { place, message })
            }
        }
    }

    /// That a name may mean a function of these parameters.
    fn check(&self, prototype: &Prototype, word: &str) -> Result<(), CodegenError> {
        let Prototype {
            place,
            name,
            parameters,
        } = prototype;
        let error = |message| {
            let place = Some(*place);
            Err(CodegenError { place, message })
        };
        if RESERVED.contains(&&**name) {
            return error(format!(
                "{name} is the C library's: use printd and putchard"
            ));
        }
        if KNOWN.iter().any(|(own, _)| own == name) {
            return error(format!("{name} is the language's own"));
        }
        let Some(&known) = self.known.get(name).filter(|&&n| n != parameters.len()) else {
            return Ok(());
        };
        let is_defined = self.functions.contains_key(name);
        let mut callers = self.functions.values().filter(|code| code.name != *name);
        let (name, known) = (shown(name), counted(known, "parameter"));
        match callers.find(|code| code.calls.contains(&prototype.name)) {
            Some(caller) => error(format!(
                "{name} has {known}, and {} calls it so: define that anew first",
                shown(&caller.name)
            )),
            None if is_defined && word == "extern" => {
                error(format!("{name} is defined, with {known}"))
            }
            None => Ok(()),
        }
    }

    fn command(&mut self, line: &str) -> anyhow::Result<()> {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            [":help"] => println!("{HELP}"),
            [":time", "on"] => self.times_are_shown = true,
            [":time", "off"] => self.times_are_shown = false,
            // Functions are compiled anew when they are needed.
            [":level", n] => self.engine = engine(self.address.as_ref(), level(n)?)?,
            [":ir", name] => match self.functions.get(name) {
                Some(code) => print!("{}", code.text),
                None => bail!("{name}: not defined here"),
            },
            _ => bail!("unknown command; :help says what there is"),
        }
        Ok(())
    }
}

pub(crate) fn level(text: &str) -> anyhow::Result<OptLevel> {
    Ok(match text {
        "0" => OptLevel::O0,
        "1" => OptLevel::O1,
        "2" => OptLevel::O2,
        "3" => OptLevel::O3,
        _ => return Err(anyhow!("level {text}: it is 0, 1, 2 or 3")),
    })
}

fn engine(address: Option<&Address>, level: OptLevel) -> anyhow::Result<Box<dyn Engine>> {
    Ok(match address {
        Some(address) => Box::new(There::connect(address.clone(), level)?),
        None => Box::new(Here::new(level)?),
    })
}

/// The functions that `line` calls, that they call and so on.
fn needs<'a>(functions: &'a BTreeMap<String, Code>, line: &Code) -> Vec<&'a Code> {
    let mut found = BTreeMap::new();
    let mut pending: Vec<&String> = line.calls.iter().collect();
    while let Some(name) = pending.pop() {
        if let Some(code) = functions.get(name)
            && found.insert(name, code).is_none()
        {
            pending.extend(&code.calls);
        }
    }
    found.into_values().collect()
}

/// What to say when the host has no function that was declared.
fn missing(line: &Code, needs: &[&Code], message: &str) -> Option<String> {
    if !message.contains("missing symbol") {
        return None;
    }
    let mut lines = Vec::new();
    for caller in needs.iter().copied().chain([line]) {
        for name in &caller.calls {
            let is_ours = needs.iter().any(|code| code.name == *name);
            if !is_ours && message.contains(&format!(" {name}, used by")) {
                let by = match caller.name == line.name {
                    true => String::new(),
                    false => format!(", which {} calls,", shown(&caller.name)),
                };
                let name = shown(name);
                lines.push(format!(
                    "{name}{by} is declared, but neither defined nor the host's"
                ));
            }
        }
    }
    Some(lines.join("; ")).filter(|it| !it.is_empty())
}

impl From<CodegenError> for Failure {
    fn from(error: CodegenError) -> Self {
        let CodegenError { place, message } = error;
        Self { place, message }
    }
}

/// Says what is wrong, and where.
fn complain(source: &Source, n_before: usize, text: &str, failure: &Failure) {
    let message = &failure.message;
    let Some(Place { line, column }) = failure.place else {
        eprintln!("error: {message}");
        return;
    };
    match source {
        Source::Terminal => eprintln!("error: {line}:{column}: {message}"),
        Source::Script(name) => eprintln!("error: {name}{}:{column}: {message}", n_before + line),
    }
    if let Some(content) = text.lines().nth(line - 1) {
        // Tabs stay, so that the caret is below.
        let before = content.chars().take(column - 1);
        let before = before.map(|c| if c == '\t' { c } else { ' ' });
        eprintln!("  {content}\n  {}^", before.collect::<String>());
    }
}
