//! A loaded module, and what it must not outlive.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use farcall_image::{Signature, SymbolKind};
use farcall_loader::Module;
use farcall_protocol::{ErrorKind, Failure, Symbol};

use crate::admission::Signed;
use crate::failures::loading;
use crate::memory::{Memory, number};
use crate::starting::Starting;

/// A loaded module. Its fields drop in order: the module before what it needs.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) module: Module,
    pub(crate) needs: Needs,
    /// Its image's code signature, the one that came last.
    pub(crate) signature: Signed,
    /// Whether its constructors have run.
    pub(crate) starting: Starting,
    /// The size of its image in bytes.
    pub(crate) size: usize,
    pub(crate) n_exports: usize,
    /// Calls of its functions that have begun.
    pub(crate) calls: AtomicU64,
    /// Its place among all modules, in the order in which they were loaded.
    pub(crate) order: u64,
}

/// What a module imports from, and what the values of its definitions live in.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    pub(crate) memory: Vec<Arc<Memory>>,
    pub(crate) modules: Vec<Arc<Entry>>,
}

impl Entry {
    /// Runs the constructors that have not run of the module and of those that it imports from, these first.
    pub(crate) fn start(&self) -> Result<(), Failure> {
        if self.starting.is_done() {
            return Ok(());
        }
        let mut pending = vec![self];
        while let Some(&entry) = pending.last() {
            let mut providers = entry.needs.modules.iter();
            match providers.find(|provider| !provider.starting.is_settled()) {
                Some(provider) => pending.push(provider),
                None => {
                    entry.starting.run(&entry.module)?;
                    pending.pop();
                }
            }
        }
        Ok(())
    }

    /// The address of an export.
    pub(crate) fn address(&self, name: &str) -> Result<u64, Failure> {
        let address = self.module.address(name).map_err(loading)?;
        Ok(number(address.expose_provenance()))
    }

    /// All that is said of an export.
    pub(crate) fn export(&self, name: &str) -> Result<Symbol, Failure> {
        let address = self.address(name)?;
        let export = (self.module.exports()).find(|export| export.name == name.as_bytes());
        Ok(Symbol {
            address,
            kind: match export.as_ref().map(|export| export.kind) {
                Some(SymbolKind::Data) => farcall_protocol::SymbolKind::Data,
                Some(SymbolKind::Function | SymbolKind::IndirectFunction) => {
                    farcall_protocol::SymbolKind::Function
                }
                // `address` gives none for a thread-local variable.
                None | Some(SymbolKind::Unknown | SymbolKind::Tls) => {
                    farcall_protocol::SymbolKind::Unknown
                }
            },
            value_type: export.and_then(|export| export.value_type.map(str::to_owned)),
        })
    }

    /// The type of a function that the image knows the type of.
    pub(crate) fn type_of(&self, function: &str) -> Result<Signature, Failure> {
        if let Some(signature) = self.module.signature(function) {
            return Ok(signature);
        }
        // Says when there is no such function.
        self.address(function)?;
        Err(Failure {
            kind: ErrorKind::Arguments,
            message: format!(
                "{}: {function}: the image does not know its type: a signature such as \
                 \"i32 (i32, ptr)\" is needed",
                self.module.name()
            ),
        })
    }
}
