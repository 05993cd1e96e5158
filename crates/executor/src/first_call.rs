//! Functions that lead where a controller says when they are first called.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use farcall_image::Digest;
use farcall_loader::callback::Argument;
use farcall_loader::{Definition, Redirect};
use farcall_protocol::{ErrorKind, Failure, FirstCall, Value};

use crate::callback::{Line, unwind};
use crate::failures::loading;
use crate::peer::Peer;

/// The type of the function of the controller's that says where a function is.
const RESOLVER: &str = "ptr (i64)";

/// What names mean to images in whose scope it is.
#[derive(Debug, Default)]
pub(crate) struct Space {
    by_name: HashMap<String, Definition>,
    /// Who is asked for each function, by its name, and its type.
    services: HashMap<String, (Arc<Mutex<Service>>, Option<String>)>,
}

/// Who is asked for a function.
#[derive(Debug, Clone)]
struct Service {
    line: Arc<Line>,
    number: u64,
    place: u64,
}

impl Space {
    pub(crate) fn get(&self, name: &str) -> Option<&Definition> {
        self.by_name.get(name)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &Definition)> {
        self.by_name
            .iter()
            .map(|(name, definition)| (name.as_str(), definition))
    }

    /// Adds a function, or has another service be asked for it.
    fn add(&mut self, function: &FirstCall<'_>, service: Service) -> Result<(), Failure> {
        let &FirstCall {
            name,
            alias,
            value_type,
        } = function;
        if let Some((known, known_type)) = self.services.get(name) {
            if known_type.as_deref() != value_type {
                let known = known_type.as_deref().unwrap_or("unknown");
                return Err(Failure {
                    kind: ErrorKind::Definition,
                    message: format!("{name}: it is there already, with the type {known}"),
                });
            }
            *known.lock().unwrap_or_else(PoisonError::into_inner) = service;
            return Ok(());
        }
        let service = Arc::new(Mutex::new(service));
        let asked = Arc::clone(&service);
        let (own, own_type) = (name.to_owned(), value_type.map(str::to_owned));
        let resolve = move || {
            let service = asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let found = service.find(&own, own_type.as_deref());
            found.unwrap_or_else(|message| unwind(&own, &message))
        };
        let redirect = Redirect::on_first_call(name, value_type, resolve).map_err(loading)?;
        let definition = redirect.definition();
        for name in [name, alias] {
            self.by_name.insert(name.to_owned(), definition.clone());
        }
        let value_type = value_type.map(str::to_owned);
        self.services.insert(name.to_owned(), (service, value_type));
        Ok(())
    }
}

impl Service {
    fn find(&self, name: &str, value_type: Option<&str>) -> Result<Definition, String> {
        let peer = self.line.peer()?;
        let resolver = RESOLVER.parse().expect("it is a type");
        let place = [Argument::Int(self.place)];
        match peer.call_back(self.number, &resolver, &place)? {
            Value::Pointer(address) => peer.shared.modules.export_at(name, value_type, address),
            _ => unreachable!("the value is of the resolver's type"),
        }
    }
}

impl Peer {
    pub(crate) fn define_on_first_call(
        self: &Arc<Self>,
        space: Digest,
        number: u64,
        first: u64,
        functions: &[FirstCall<'_>],
    ) -> Result<(), Failure> {
        self.shared.modules.with_space(space, |space| {
            for (function, nth) in functions.iter().zip(0..) {
                let place = first.saturating_add(nth);
                let service = Service {
                    line: Arc::clone(&self.line),
                    number,
                    place,
                };
                space.add(function, service)?;
            }
            Ok(())
        })
    }
}
