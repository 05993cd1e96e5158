//! A module in an executor, as whoever shipped it sees it.

use std::sync::Arc;

use farcall_compiler::ADDRESS_SUFFIX;
use farcall_executor::{Executor, FirstCall, RemoteFunction, Serving};
use farcall_image::{Digest, Image};
use farcall_session::{Partition, Session, When};

use crate::service::{Function, Piece, Service};
use crate::{Error, Result};

/// How a module is shipped. A [`When`] stands for the usual options.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// When it is compiled: at once, all of it; [on lookup](When::OnLookup), all of it, when [`Shipped::function`] is first asked for a function; or each
    /// function when it is called.
    pub when: When,
    /// Which functions are compiled together on first call.
    pub partition: Partition,
    /// The modules to import from, in this order, after the module's own parts.
    pub scope: Vec<Digest>,
}

impl From<When> for Options {
    fn from(when: When) -> Self {
        Self {
            when,
            ..Self::default()
        }
    }
}

/// A module that was shipped. What is compiled of it stays in the executor.
///
/// As long as this is there, a thread of this process serves first calls, whoever makes them; after that, only threads that wait for something on the
/// executor's connection do. When the connection ends, calls of what is not compiled fail, with an error of kind
/// [`CallBack`](farcall_executor::ErrorKind::CallBack), and all others work, until the module is shipped again: by the same name, from the same IR, with the same compiler's options. Then its stubs ask
/// whoever shipped it last.
#[derive(Debug)]
pub struct Shipped {
    executor: Executor,
    service: Arc<Service>,
    is_divided: bool,
    /// Ends with it.
    _serving: Option<Serving>,
}

/// Ships IR, text or bitcode, to an executor. `name` is its name in messages, and with [`When::OnFirstCall`] part of what tells it from others.
///
/// On first call a module that has constructors is compiled whole and at once all the same: they may call functions before its variables can be
/// found by these.
///
/// # Errors
///
/// [`Error::Session`] when it is no IR or, unless that is to be done later, cannot be compiled; [`Error::Executor`] when it cannot be loaded.
pub fn ship(
    session: &Session,
    executor: &Executor,
    name: &str,
    ir: &[u8],
    options: impl Into<Options>,
) -> Result<Shipped> {
    let Options {
        when,
        partition,
        scope,
    } = options.into();
    let parts = session.divide(name, ir, &partition)?;
    let is_divided = when == When::OnFirstCall && !has_constructors(&parts)?;
    let service = Arc::new(Service::new(parts, scope));
    let mut serving = None;
    if is_divided {
        define_stubs(executor, &service)?;
        if service.parts.has_data() {
            let data = service.load(executor, Piece::Part(0))?;
            service.scope().insert(1, data);
        }
        serving = Some(executor.serve_in_background()?);
    } else if when != When::OnLookup {
        service.load(executor, Piece::Whole)?;
    }
    Ok(Shipped {
        executor: executor.clone(),
        service,
        is_divided,
        _serving: serving,
    })
}

fn has_constructors(parts: &farcall_session::Parts) -> Result<bool> {
    if !parts.has_data() {
        return Ok(false);
    }
    let data = parts.image(0)?;
    Ok(!Image::parse(&data)?.init_array().is_empty())
}

/// Has the executor make a stub for each function, which its images see before all else.
fn define_stubs(executor: &Executor, service: &Arc<Service>) -> Result<()> {
    let space = Digest::from_bytes(service.parts.digest());
    service.scope().insert(0, space);
    let aliases = service.functions.iter();
    let aliases: Vec<_> = aliases
        .map(|function| format!("{}{ADDRESS_SUFFIX}", function.name))
        .collect();
    let stubs = service.functions.iter().zip(&aliases);
    let stubs: Vec<_> = stubs
        .map(|(function, alias)| FirstCall {
            name: &function.name,
            alias,
            value_type: Some(&function.value_type),
        })
        .collect();
    let asked = Arc::clone(service);
    executor.define_on_first_call(space, &stubs, move |executor, place| {
        asked.find(executor, place)
    })?;
    Ok(())
}

impl Shipped {
    /// Finds a function, to call it often. With what is in its part it is compiled and loaded now if it was not.
    ///
    /// # Errors
    ///
    /// [`Error::NoFunction`], or those of compiling and loading it.
    pub fn function(&self, name: &str) -> Result<RemoteFunction> {
        let mut functions = self.service.functions.iter();
        let function = functions.find(|it| it.name == name && it.is_exported);
        let function = function.ok_or_else(|| Error::NoFunction {
            module: self.service.parts.name().to_owned(),
            function: name.to_owned(),
        })?;
        let module = self.load(function)?;
        let value_type = Some(function.value_type.as_str());
        Ok(self.executor.function(module, name, value_type)?)
    }

    /// What other images have in their [scope](farcall_executor::LoadOptions::scope) to import from it: a stub for each function, and its variables.
    ///
    /// # Errors
    ///
    /// Those of compiling and loading it, if that was to be on lookup.
    pub fn scope(&self) -> Result<Vec<Digest>> {
        if self.is_divided {
            return Ok(self.service.scope().clone());
        }
        Ok(vec![self.service.load(&self.executor, Piece::Whole)?])
    }

    fn load(&self, function: &Function) -> Result<Digest> {
        let piece = if self.is_divided {
            Piece::Part(function.part)
        } else {
            Piece::Whole
        };
        self.service.load(&self.executor, piece)
    }
}
