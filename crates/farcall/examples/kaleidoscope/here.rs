//! Running in this process: a session, whose functions are compiled when a line needs them.

#![allow(unsafe_code, reason = "what was compiled is called")]

use std::collections::HashMap;
use std::panic::{catch_unwind, resume_unwind};
use std::time::Instant;

use farcall::session::Options;
use farcall::{Compiler, Loader, OptLevel, Session, Unit, When};

use crate::codegen::{Code, FLUSH, TOO_DEEP};
use crate::engine::{Engine, PRELUDE, Times, too_deep};

pub(crate) struct Here {
    level: OptLevel,
    session: Session,
    /// What the session has of each function.
    functions: HashMap<String, (Code, Unit)>,
}

impl Here {
    pub(crate) fn new(level: OptLevel) -> anyhow::Result<Self> {
        let mut loader = Loader::new();
        loader
            .library("libm.so.6")
            .define_function(TOO_DEEP, throw as extern "C-unwind" fn());
        let options = Compiler::builder().opt_level(level);
        let builder = Session::builder().compiler(options).loader(loader);
        // SAFETY: a function is what the user writes in a language that has numbers only, and what they declare of the host.
        let session = unsafe { builder.build() };
        session.add("prelude", PRELUDE.as_bytes(), When::OnLookup)?;
        Ok(Self {
            level,
            session,
            functions: HashMap::new(),
        })
    }

    /// Gives the session the functions that are new, and the new versions of those that it has.
    fn update(&mut self, needs: &[&Code]) -> anyhow::Result<()> {
        if needs.iter().any(|code| self.has_bound_otherwise(code)) {
            *self = Self::new(self.level)?;
        }
        let (old, new): (Vec<&Code>, Vec<&Code>) = needs
            .iter()
            .partition(|code| self.functions.contains_key(&code.name));
        for code in new {
            let options = Options::new(When::OnLookup).replaceable();
            let unit = self.session.add(&code.name, &code.bitcode, options)?;
            let function = (code.clone(), unit);
            self.functions.insert(code.name.clone(), function);
        }
        for code in old {
            let Some((known, unit)) = self.functions.get_mut(&code.name) else {
                continue;
            };
            if known.version != code.version {
                // Nothing runs, so that the old code can go.
                drop(unit.replace(&code.name, &code.bitcode)?);
                *known = code.clone();
            }
        }
        Ok(())
    }

    /// Whether code of the session means something else by the function's name, for good: one with other parameters, or
    /// the host's.
    fn has_bound_otherwise(&self, code: &Code) -> bool {
        match self.functions.get(&code.name) {
            Some((known, _)) => known.n_parameters != code.n_parameters,
            None => self
                .functions
                .values()
                .any(|(known, _)| known.calls.contains(&code.name)),
        }
    }
}

impl Engine for Here {
    fn run(&mut self, line: &Code, needs: &[&Code]) -> anyhow::Result<(f64, Times)> {
        let start = Instant::now();
        self.update(needs)?;
        let unit = self.session.add(&line.name, &line.bitcode, When::Eager)?;
        let function = self
            .session
            .lookup::<unsafe extern "C-unwind" fn() -> f64>(&line.name)?;
        let added = Instant::now();
        let call = *function;
        // SAFETY: it is a function of this type, which was generated for this call.
        let value = catch_unwind(|| unsafe { call() });
        let called = Instant::now();
        drop(function);
        unit.remove()?;
        let Ok(value) = value else {
            let flush = self.session.lookup::<unsafe extern "C" fn()>(FLUSH)?;
            // SAFETY: it is a function of this type, of the prelude.
            unsafe { flush() };
            return Err(too_deep());
        };
        let times = vec![
            ("compile, link, load", added - start),
            ("call", called - added),
        ];
        Ok((value, times))
    }
}

/// Unwinds to where the line was called.
extern "C-unwind" fn throw() {
    resume_unwind(Box::new(()))
}
