//! The measurements, one group of rows a file.

mod calls;
mod isolation;
mod loads;
mod memory;
mod start;
mod trust;

use farcall_benches::{Child, Subject};

pub(crate) use calls::calls;
pub(crate) use isolation::isolation;
pub(crate) use loads::loads;
pub(crate) use memory::memory;
pub(crate) use start::start;
pub(crate) use trust::trust;

use crate::artefacts::Artefacts;
use crate::contender::Contender;

/// A contender's processes, and what they have answered so far.
struct Running {
    contender: Contender,
    child: Child,
    samples: Vec<f64>,
}

impl Running {
    fn start(contender: Contender, artefacts: &Artefacts, subject: Subject) -> Self {
        Self {
            contender,
            child: contender.start(artefacts, subject),
            samples: Vec::new(),
        }
    }

    fn ask(&mut self, request: &str) {
        self.samples.extend(self.child.ask(request).unwrap());
    }

    fn named(self) -> Named {
        (self.contender.name(), self.samples)
    }
}

/// Somebody's name and samples.
type Named = (&'static str, Vec<f64>);

/// farcall's samples, and those of the others, where farcall is the first.
fn split(all: impl IntoIterator<Item = Named>) -> (Vec<f64>, Vec<Named>) {
    let mut all = all.into_iter();
    let (_, ours) = all.next().expect("farcall is there");
    (ours, all.collect())
}
