//! Keeping modules: one by one, or all of those that import from each other.
//!
//! A module keeps those that it imports from. Where that goes in a circle, nothing would ever be let
//! go of; so the modules of a circle have no hold of each other, and whoever keeps one of them keeps
//! the [`Cycle`], which has them all.

use std::ops::Deref;
use std::sync::{Arc, Weak};

use crate::callback::Callback;
use crate::fork::Locked;
use crate::loaded::Loaded;
use crate::redirect::Redirected;
use crate::users::Users;

/// A module that is kept loaded.
#[derive(Debug, Clone)]
pub(crate) enum Held {
    /// One that is in no cycle.
    Alone(Arc<Loaded>),
    /// One of a cycle, kept with all the others.
    Member {
        /// All of them.
        cycle: Arc<Cycle>,
        /// Which one.
        position: usize,
    },
}

/// What an image is bound to and keeps.
#[derive(Debug, Clone)]
pub(crate) enum Kept {
    /// A module.
    Module(Held),
    /// A redirect, and by it the module that it leads to.
    Redirect(Arc<Redirected>),
    /// A callback.
    Callback(Arc<Callback>),
}

/// A module that may be gone.
#[derive(Debug, Clone)]
pub(crate) enum WeakHeld {
    /// One that is in no cycle.
    Alone(Weak<Loaded>),
    /// One of a cycle.
    Member {
        /// All of them.
        cycle: Weak<Cycle>,
        /// Which one.
        position: usize,
    },
}

/// Modules that import from each other, in the order of their start.
#[derive(Debug)]
pub(crate) struct Cycle {
    members: Vec<Loaded>,
    /// For each member something that its [`Handle`] shares.
    handles: Vec<Arc<()>>,
}

/// That someone owns the module by its name, not only because something imports from it.
#[derive(Debug)]
pub(crate) struct Handle {
    #[expect(dead_code, reason = "its owners are counted")]
    shared: Option<Arc<()>>,
}

impl Deref for Held {
    type Target = Loaded;

    fn deref(&self) -> &Loaded {
        match self {
            Self::Alone(loaded) => loaded,
            Self::Member { cycle, position } => &cycle.members[*position],
        }
    }
}

impl Held {
    /// The owner's mark. There is one for each module.
    pub(crate) fn handle(&self) -> Handle {
        let shared = match self {
            Self::Alone(_) => None,
            Self::Member { cycle, position } => Some(Arc::clone(&cycle.handles[*position])),
        };
        Handle { shared }
    }

    /// Whether both are the same module.
    pub(crate) fn is(&self, other: &Self) -> bool {
        std::ptr::eq(&raw const **self, &raw const **other)
    }

    /// Lets go. If nobody else keeps the module its destructors run; what it imported from is to be
    /// let go of next.
    fn release(self) -> Vec<Kept> {
        match self {
            Self::Alone(loaded) => {
                Arc::into_inner(loaded).map_or_else(Vec::new, |mut last| last.end())
            }
            Self::Member { cycle, .. } => {
                Arc::into_inner(cycle).map_or_else(Vec::new, |mut last| last.end())
            }
        }
    }

    /// Unloads the module, and the others of its cycle.
    ///
    /// # Errors
    ///
    /// The module, when someone else keeps it.
    pub(crate) fn unload(self) -> Result<(), Self> {
        match self {
            Self::Alone(loaded) => Arc::try_unwrap(loaded).map(drop).map_err(Self::Alone),
            Self::Member { cycle, position } => {
                (Arc::try_unwrap(cycle).map(drop)).map_err(|cycle| Self::Member { cycle, position })
            }
        }
    }

    /// The names of those that import from it or from another of its cycle, and of the others of
    /// its cycle that have an owner; and the number of thread-local objects of all of them.
    pub(crate) fn users_of_all(&self) -> (Vec<String>, usize) {
        let mut names = Vec::new();
        let mut thread_destructors = 0;
        let mut collect = |module: &Loaded| {
            let users = module.users();
            names.extend(users.importers());
            thread_destructors += users.thread_destructors;
        };
        match self {
            Self::Alone(loaded) => collect(loaded),
            Self::Member { cycle, position } => {
                cycle.members.iter().for_each(collect);
                let members = cycle.members.iter().zip(&cycle.handles).enumerate();
                let others = members.filter(|(other, _)| other != position);
                let owned = others.filter(|(_, (_, handle))| Arc::strong_count(handle) > 1);
                names.extend(owned.map(|(_, (module, _))| module.name.as_str().to_owned()));
            }
        }
        names.sort_unstable();
        names.dedup();
        (names, thread_destructors)
    }
}

impl Kept {
    /// Notes that one of this name imports from it.
    pub(crate) fn add_importer(&self, name: &str) {
        if let Some(mut users) = self.users() {
            users.add_importer(name);
        }
    }

    /// Forgets one of this name.
    pub(crate) fn remove_importer(&self, name: &str) {
        if let Some(mut users) = self.users() {
            users.remove_importer(name);
        }
    }

    /// Those that import from it, if anybody asks for them.
    fn users(&self) -> Option<Locked<'_, Users>> {
        match self {
            Self::Module(module) => Some(module.users()),
            Self::Redirect(redirect) => Some(redirect.users()),
            Self::Callback(_) => None,
        }
    }

    /// Whether both are the same.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Module(one), Self::Module(other)) => one.is(other),
            (Self::Redirect(one), Self::Redirect(other)) => Arc::ptr_eq(one, other),
            (Self::Callback(one), Self::Callback(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// As [`Held::release`].
    fn release(self) -> Vec<Self> {
        match self {
            Self::Module(module) => module.release(),
            Self::Redirect(redirect) => {
                let last = Arc::into_inner(redirect);
                last.and_then(Redirected::end).into_iter().collect()
            }
            // What its closure has goes with it.
            Self::Callback(_) => Vec::new(),
        }
    }
}

impl WeakHeld {
    /// The module, unless its unloading has begun.
    pub(crate) fn upgrade(&self) -> Option<Held> {
        Some(match self {
            Self::Alone(loaded) => Held::Alone(loaded.upgrade()?),
            Self::Member { cycle, position } => Held::Member {
                cycle: cycle.upgrade()?,
                position: *position,
            },
        })
    }
}

impl Cycle {
    /// A cycle of the modules that `make` makes of `members`. It is told how each will be kept.
    pub(crate) fn of<M>(
        members: impl Iterator<Item = M>,
        mut make: impl FnMut(M, &WeakHeld) -> Loaded,
    ) -> Vec<Held> {
        let cycle = Arc::new_cyclic(|cycle| {
            let member = |(position, member)| {
                let cycle = cycle.clone();
                make(member, &WeakHeld::Member { cycle, position })
            };
            let members: Vec<_> = members.enumerate().map(member).collect();
            Self {
                handles: members.iter().map(|_| Arc::default()).collect(),
                members,
            }
        });
        let member = |position| Held::Member {
            cycle: Arc::clone(&cycle),
            position,
        };
        (0..cycle.members.len()).map(member).collect()
    }

    /// Runs all destructors, those of the last that was started first; the memory of all is still
    /// there. Gives what they import from.
    fn end(&mut self) -> Vec<Kept> {
        let members = self.members.iter_mut().rev();
        members.flat_map(Loaded::end).collect()
    }
}

impl Drop for Cycle {
    fn drop(&mut self) {
        release_all(self.end());
    }
}

/// Lets go of modules, and of those that nobody keeps then, without recursion.
pub(crate) fn release_all(mut pending: Vec<Kept>) {
    while let Some(kept) = pending.pop() {
        pending.append(&mut kept.release());
    }
}
