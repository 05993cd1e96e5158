//! A contender's process, seen from the one that measures.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{self, ChildStdin, ChildStdout, Command, Stdio};

use crate::Memory;

/// A process that answers requests, one line each. It ends when this is dropped.
#[derive(Debug)]
pub struct Child {
    process: process::Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Child {
    /// Starts it.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("the contender's program is there");
        let requests = process.stdin.take();
        let answers = process.stdout.take().expect("it is a pipe");
        Self {
            process,
            requests,
            answers: BufReader::new(answers),
        }
    }

    /// The numbers that it answers.
    ///
    /// # Errors
    ///
    /// Its message, or that its process ended.
    pub fn ask(&mut self, request: &str) -> Result<Vec<f64>, String> {
        let ended = || format!("its process ended at `{request}`");
        let requests = self.requests.as_mut().expect("only dropping takes it");
        let sent = writeln!(requests, "{request}").and_then(|()| requests.flush());
        sent.map_err(|_| ended())?;
        let mut answer = String::new();
        let read = self.answers.read_line(&mut answer);
        read.map_err(|error| error.to_string())?;
        let answer = answer.trim_end();
        if let Some(message) = answer.strip_prefix("error ") {
            return Err(message.to_owned());
        }
        let numbers = answer.strip_prefix("ok ").ok_or_else(ended)?;
        let numbers = numbers.split(' ').map(str::parse);
        numbers
            .map(|number| number.map_err(|error| format!("{answer}: {error}")))
            .collect()
    }

    /// The one number that it answers.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask).
    pub fn number(&mut self, request: &str) -> Result<f64, String> {
        Ok(self.ask(request)?[0])
    }

    /// What it takes up.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask).
    pub fn memory(&mut self) -> Result<Memory, String> {
        self.memory_of("memory")
    }

    /// What its executor takes up, where it controls one.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask).
    pub fn executor(&mut self) -> Result<Memory, String> {
        self.memory_of("executor")
    }

    fn memory_of(&mut self, request: &str) -> Result<Memory, String> {
        let numbers = self.ask(request)?;
        Ok(Memory {
            rss: numbers[0],
            pss: numbers[1],
            mappings: numbers[2],
        })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It ends when no more requests can come.
        drop(self.requests.take());
        let _ = self.process.wait();
    }
}
