//! What controllers have defined, and the loader that knows it.

use std::collections::HashMap;
use std::sync::Arc;

use farcall_image::{Digest, Image, Signature};
use farcall_loader::{Definition, Loader};
use farcall_protocol::Failure;

use crate::entry::{Entry, Needs};
use crate::exec;
use crate::first_call::Space;
use crate::memory::Memory;

/// The system's C and C++ libraries: what a compiler driver links without being asked. Each is
/// opened when a name was found nowhere before it.
const LIBRARIES: [&str; 5] = [
    "libc.so.6",
    "libm.so.6",
    "libpthread.so.0",
    "libgcc_s.so.1",
    "libstdc++.so.6",
];

/// A definition of a controller's.
#[derive(Debug, Clone)]
pub(crate) enum Defined {
    /// An address or another number.
    Number(u64),
    /// The address of a function of this type.
    Function(u64, Signature),
    /// Bytes.
    Memory(Arc<Memory>),
    /// A function of the controller's.
    Callback(Definition),
    /// An export of a module, as long as that is loaded.
    Export {
        /// The digest of its image.
        module: Digest,
        /// The export.
        name: String,
    },
}

/// All definitions, by name.
#[derive(Debug)]
pub(crate) struct Definitions {
    by_name: HashMap<String, Defined>,
    /// A loader with none, but the libraries.
    loader: Loader,
}

impl Default for Definitions {
    fn default() -> Self {
        let mut loader = Loader::new();
        for library in LIBRARIES {
            loader.library(library);
        }
        Self {
            by_name: HashMap::new(),
            loader,
        }
    }
}

/// A loader with definitions, and what their values live in.
pub(crate) struct Prepared {
    pub(crate) loader: Loader,
    pub(crate) needs: Needs,
}

/// Which definitions a loader is to have.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted<'image> {
    /// Those that an image imports.
    ImportsOf(&'image Image<'image>),
    /// All, which is slower the more there are.
    All,
}

impl Definitions {
    /// Adds a definition. The last of a name wins.
    pub(crate) fn insert(&mut self, name: &str, defined: Defined) {
        self.by_name.insert(name.to_owned(), defined);
    }

    /// A loader with the definitions wanted. `find` finds loaded modules.
    pub(crate) fn prepare<'a>(
        &self,
        wanted: Wanted<'_>,
        find: impl Fn(Digest) -> Option<&'a Arc<Entry>>,
    ) -> Result<Prepared, Failure> {
        let mut prepared = Prepared {
            loader: self.loader.clone(),
            needs: Needs::default(),
        };
        match wanted {
            Wanted::All => {
                for (name, defined) in &self.by_name {
                    prepared.add(name, defined, &find)?;
                }
            }
            Wanted::ImportsOf(_) if self.by_name.is_empty() => {}
            Wanted::ImportsOf(image) => {
                for (_, import) in image.imports() {
                    let name = std::str::from_utf8(import.name).ok();
                    let defined = name.and_then(|name| self.by_name.get_key_value(name));
                    if let Some((name, defined)) = defined {
                        prepared.add(name, defined, &find)?;
                    }
                }
            }
        }
        Ok(prepared)
    }
}

impl Prepared {
    /// Adds what names mean in a space, before all else.
    pub(crate) fn add_space(&mut self, wanted: Wanted<'_>, space: &Space) {
        let mut add = |name: &str, definition: &Definition| {
            self.loader.define(name, definition.clone());
        };
        match wanted {
            Wanted::All => space.all().for_each(|(name, it)| add(name, it)),
            Wanted::ImportsOf(image) => {
                for (_, import) in image.imports() {
                    if let Ok(name) = std::str::from_utf8(import.name)
                        && let Some(definition) = space.get(name)
                    {
                        add(name, definition);
                    }
                }
            }
        }
    }

    fn add<'a>(
        &mut self,
        name: &str,
        defined: &Defined,
        find: &impl Fn(Digest) -> Option<&'a Arc<Entry>>,
    ) -> Result<(), Failure> {
        let definition = match defined {
            Defined::Number(value) => Definition::absolute(*value),
            Defined::Function(address, signature) => exec::function_at(*address, signature.clone()),
            Defined::Callback(definition) => definition.clone(),
            Defined::Memory(memory) => {
                self.needs.memory.push(memory.clone());
                exec::variable_in(memory)
            }
            Defined::Export {
                module,
                name: export,
            } => {
                // The module may have gone since; then the name means nothing.
                let Some(entry) = find(*module) else {
                    return Ok(());
                };
                self.needs.modules.push(entry.clone());
                let address = entry.address(export)?;
                match entry.module.signature(export) {
                    Some(signature) => exec::function_at(address, signature),
                    None => Definition::absolute(address),
                }
            }
        };
        self.loader.define(name, definition);
        Ok(())
    }
}
