//! A connection of a pool's to one executor, and what is there.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use farcall_image::Digest;
use farcall_protocol::{ErrorKind, Failure, ModuleName, Request};

use super::function::Meant;
use crate::asking::Unanswered;
use crate::asynchronous::prepare;
use crate::{Error, Executor, RemoteFunction, Result};

/// A connection to the member of a pool.
pub(super) struct Link {
    pub(super) executor: Executor,
    /// The member's index.
    pub(super) member: usize,
    /// Calls that are on their way, which the pool's lock guards.
    pub(super) in_flight: AtomicUsize,
    pub(super) since: Instant,
    /// By the numbers of the pool's modules: of a bundle each executor has its own variant.
    modules: Mutex<HashMap<u64, Digest>>,
    /// By the numbers of the pool's functions.
    functions: Mutex<HashMap<u64, Arc<RemoteFunction>>>,
}

impl Link {
    pub(super) fn new(executor: Executor, member: usize) -> Self {
        Self {
            executor,
            member,
            in_flight: AtomicUsize::new(0),
            since: Instant::now(),
            modules: Mutex::default(),
            functions: Mutex::default(),
        }
    }

    pub(super) fn n_in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.executor.shared.channel.has_ended()
    }

    /// The digest of a module there.
    pub(super) fn module(&self, number: u64) -> Result<Digest> {
        let digest = lock(&self.modules).get(&number).copied();
        digest.ok_or_else(|| {
            Error::Failed(Failure {
                kind: ErrorKind::UnknownModule,
                message: "no such module is in the pool: it was unloaded, or is another pool's"
                    .to_owned(),
            })
        })
    }

    pub(super) fn modules(&self) -> Vec<(u64, Digest)> {
        let modules = lock(&self.modules);
        modules.iter().map(|(&number, &it)| (number, it)).collect()
    }

    pub(super) fn has_module(&self, number: u64, digest: Digest) {
        lock(&self.modules).insert(number, digest);
    }

    pub(super) fn has_no_module(&self, number: u64) {
        lock(&self.modules).remove(&number);
    }

    /// A function there, if it was found before.
    pub(super) fn known(&self, function: &Meant) -> Option<Arc<RemoteFunction>> {
        lock(&self.functions).get(&function.number).cloned()
    }

    /// A function there, which is found the first time.
    pub(super) async fn function(
        &self,
        function: &Meant,
    ) -> Result<Arc<RemoteFunction>, Unanswered> {
        if let Some(known) = self.known(function) {
            return Ok(known);
        }
        let module = self.module(function.module).map_err(|error| Unanswered {
            error,
            is_unsent: true,
        })?;
        let request = Request::Prepare {
            module: ModuleName::Digest(module),
            function: &function.name,
            signature: function.signature.as_deref(),
        };
        let found = prepare(&self.executor, &request).await;
        // Finding one runs nothing, so that a call is unsent until it has ended.
        let found = found.map_err(|unanswered| Unanswered {
            is_unsent: true,
            ..unanswered
        })?;
        let mut functions = lock(&self.functions);
        let known = functions.entry(function.number);
        Ok(Arc::clone(known.or_insert_with(|| Arc::new(found))))
    }

    /// Lets go of a function.
    pub(super) fn forget(&self, number: u64) {
        let function = lock(&self.functions).remove(&number);
        // Says so to the executor, and so not under the lock.
        drop(function);
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
