//! A contender's process, seen from the one that measures.

use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{self, ChildStdin, ChildStdout, Command, Stdio};

use farcall_benches::{Memory, Subject};

use crate::artefacts::Artefacts;
use crate::way::Way;

/// A process that loads a subject in one way. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Child {
    process: process::Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Child {
    pub(crate) fn start(artefacts: &Artefacts, way: Way, subject: Subject) -> Self {
        let mut command = if way == Way::JitLink {
            Command::new(env!("CARGO_BIN_EXE_farcall-bench-jitlink"))
        } else {
            let mut command = Command::new(env::current_exe().unwrap());
            command.args(["serve", way.name()]);
            command
        };
        command
            .arg(subject.name())
            .arg(artefacts.file(way, subject));
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let requests = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Self {
            process,
            requests,
            answers,
        }
    }

    /// The numbers that it answers, or its message. `farcall_benches::serve` has the list of requests.
    pub(crate) fn ask(&mut self, request: &str) -> Result<Vec<f64>, String> {
        let requests = self.requests.as_mut().unwrap();
        writeln!(requests, "{request}").unwrap();
        requests.flush().unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        let answer = answer.trim_end();
        if let Some(message) = answer.strip_prefix("error ") {
            return Err(message.to_owned());
        }
        let numbers = answer.strip_prefix("ok ");
        let numbers = numbers.ok_or_else(|| format!("its process ended at `{request}`"))?;
        Ok(numbers
            .split(' ')
            .map(|number| number.parse().unwrap())
            .collect())
    }

    /// The one number that it answers.
    pub(crate) fn number(&mut self, request: &str) -> Result<f64, String> {
        Ok(self.ask(request)?[0])
    }

    pub(crate) fn memory(&mut self) -> Result<Memory, String> {
        let numbers = self.ask("memory")?;
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
