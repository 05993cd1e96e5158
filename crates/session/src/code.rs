//! What is loaded of a unit, and its end.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use farcall_loader::{Definition, Module, Redirect};

use crate::Result;
use crate::state::{Name, PartId};
use crate::trusted;

/// What is loaded of a unit. Whoever has it keeps it loaded; with the last one its destructors run and its memory goes.
#[derive(Default)]
pub(crate) struct Code {
    /// In the order of their start.
    modules: Mutex<Vec<Started>>,
    redirects: RwLock<HashMap<Name, Arc<Redirect>>>,
    /// What its modules are bound to, beyond what the loader knows of.
    keeps: Mutex<Vec<Arc<Code>>>,
    /// Whether its redirects are another's still, which it is to replace.
    borrows: AtomicBool,
}

/// A module of a part.
#[derive(Clone)]
struct Started {
    part: PartId,
    module: Arc<Module>,
    /// How many were started before it, in this process.
    position: u64,
}

impl Code {
    pub(crate) fn redirect(&self, name: &[u8]) -> Option<Arc<Redirect>> {
        let redirects = self.redirects.read();
        let redirects = redirects.unwrap_or_else(PoisonError::into_inner);
        redirects.get(name).cloned()
    }

    pub(crate) fn redirects(&self) -> Vec<(Name, Arc<Redirect>)> {
        let redirects = self.redirects.read();
        let redirects = redirects.unwrap_or_else(PoisonError::into_inner);
        let redirects = redirects.iter();
        redirects
            .map(|(name, it)| (name.clone(), Arc::clone(it)))
            .collect()
    }

    pub(crate) fn set_redirects(&self, redirects: impl IntoIterator<Item = (Name, Arc<Redirect>)>) {
        let known = self.redirects.write();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        known.extend(redirects);
    }

    /// Whether its redirects are another's, which ends them.
    pub(crate) fn borrow_redirects(&self, borrows: bool) {
        self.borrows.store(borrows, Ordering::Relaxed);
    }

    pub(crate) fn borrows_redirects(&self) -> bool {
        self.borrows.load(Ordering::Relaxed)
    }

    /// Leaves the redirects that `new` has to it, which is what they lead to now.
    pub(crate) fn leave_redirects_to(&self, new: &Self) {
        new.borrow_redirects(false);
        let redirects = self.redirects.write();
        let mut redirects = redirects.unwrap_or_else(PoisonError::into_inner);
        // Also by their other names, such as that of the address.
        let left: HashSet<_> = (new.redirects().iter())
            .map(|(_, it)| Arc::as_ptr(it))
            .collect();
        redirects.retain(|_, it| !left.contains(&Arc::as_ptr(it)));
    }

    /// Gives its redirects away.
    fn forget_redirects(&self) {
        let redirects = self.redirects.write();
        redirects.unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(crate) fn add_module(&self, part: PartId, module: Module) -> Arc<Module> {
        static POSITION: AtomicU64 = AtomicU64::new(0);
        let module = Arc::new(module);
        lock(&self.modules).push(Started {
            part,
            module: Arc::clone(&module),
            position: POSITION.fetch_add(1, Ordering::Relaxed),
        });
        module
    }

    /// The module that a part has become last.
    pub(crate) fn module(&self, part: PartId) -> Option<Arc<Module>> {
        let modules = lock(&self.modules);
        let of_part = modules.iter().rev().find(|it| it.part == part);
        of_part.map(|it| Arc::clone(&it.module))
    }

    /// Takes out the module of a part that was not started after all.
    pub(crate) fn remove_module(&self, part: PartId) -> Vec<Arc<Module>> {
        let mut modules = lock(&self.modules);
        let removed = modules.extract_if(.., |it| it.part == part);
        removed.map(|it| it.module).collect()
    }

    /// What an export of a part is for those who import it.
    pub(crate) fn definition(&self, part: PartId, name: &str) -> Option<Result<Definition>> {
        let module = self.module(part)?;
        Some(Definition::export(&module, name).map_err(Into::into))
    }

    /// Keeps what its modules are bound to.
    pub(crate) fn keep(&self, other: &Arc<Self>) {
        let mut keeps = lock(&self.keeps);
        if !keeps.iter().any(|it| Arc::ptr_eq(it, other)) {
            keeps.push(Arc::clone(other));
        }
    }

    /// Runs the destructors of all, those of what was started last first. All of it stays there, and what they call that
    /// was never called before is compiled.
    pub(crate) fn run_destructors(codes: &[Arc<Self>]) {
        let modules = codes.iter().flat_map(|it| lock(&it.modules).clone());
        let mut modules: Vec<_> = modules.collect();
        modules.sort_by_key(|it| Reverse(it.position));
        for started in &modules {
            trusted::run_destructors(&started.module);
        }
    }

    pub(crate) fn keeps_other(&self, other: &Arc<Self>) -> bool {
        lock(&self.keeps).iter().any(|it| Arc::ptr_eq(it, other))
    }

    /// Lets go of everything, of which nothing is used any more.
    pub(crate) fn release(&self) {
        let keeps = std::mem::take(&mut *lock(&self.keeps));
        let redirects = self.redirects();
        self.forget_redirects();
        if !self.borrows_redirects() {
            for (_, redirect) in &redirects {
                drop(trusted::clear(redirect));
            }
        }
        let modules = std::mem::take(&mut *lock(&self.modules));
        drop((modules, redirects, keeps));
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        let modules = lock(&self.modules).clone();
        for started in modules.iter().rev() {
            trusted::run_destructors(&started.module);
        }
        drop(modules);
        self.release();
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let modules = lock(&self.modules);
        let names = modules.iter().map(|it| it.module.name().to_owned());
        f.debug_list().entries(names).finish()
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is behind the locks is changed in single steps, so that a panic leaves it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
