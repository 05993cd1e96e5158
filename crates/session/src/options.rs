//! When a unit is compiled, and what may happen to it later.

use std::fmt;
use std::sync::Arc;

/// When a unit is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum When {
    /// At once: when adding it returns, all of it is compiled, linked, loaded and initialised, or nothing is.
    #[default]
    Eager,
    /// When one of its names is first looked up, or needed by a unit that is loaded.
    OnLookup,
    /// Each function when it is first called, with those of its part ([`Options::partition`]). A lookup compiles nothing:
    /// it gives the address of a stub, which is the function's for good.
    OnFirstCall,
}

/// How the functions of a unit are divided into parts that are compiled at one time.
#[derive(Clone, Default)]
pub enum Partition {
    /// Each function is a part.
    #[default]
    Functions,
    /// All functions are one.
    Whole,
    /// As a function of the caller's says: it is given a function's name; functions with one number are one part.
    By(Arc<dyn Fn(&str) -> u64 + Send + Sync>),
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Functions => "Functions",
            Self::Whole => "Whole",
            Self::By(_) => "By",
        })
    }
}

/// How a unit is added: see [`Library::add`](crate::Library::add). A [`When`] stands for the usual options.
#[derive(Debug, Clone, Default)]
#[must_use = "a unit is added with it"]
pub struct Options {
    pub(crate) when: When,
    pub(crate) partition: Partition,
    pub(crate) replaceable: bool,
    pub(crate) tier_up: bool,
}

impl From<When> for Options {
    fn from(when: When) -> Self {
        Self::new(when)
    }
}

impl Options {
    /// The usual options.
    pub fn new(when: When) -> Self {
        Self {
            when,
            ..Self::default()
        }
    }

    /// Sets which functions are compiled together, when the unit is compiled on first call; by default each alone. Calls
    /// between parts are not inlined.
    pub fn partition(mut self, partition: Partition) -> Self {
        self.partition = partition;
        self
    }

    /// Has its functions be called through stubs, so that [`Unit::replace`](crate::Unit::replace) re-points those who
    /// call them. A call costs one jump more. Units that are compiled on first call or [tier up](Options::tier_up) are
    /// replaceable without it.
    pub fn replaceable(mut self) -> Self {
        self.replaceable = true;
        self
    }

    /// Compiles it without optimization first, to run early, and once more at the session's level on a thread in the
    /// background; calls go to that code from then on. Its variables stay.
    pub fn tier_up(mut self) -> Self {
        self.tier_up = true;
        self
    }

    /// What they are for a unit that is not divided.
    pub(crate) fn whole(mut self) -> Self {
        if self.when == When::OnFirstCall {
            self.when = When::OnLookup;
        }
        self.tier_up = false;
        self
    }

    /// Whether functions are called through stubs.
    pub(crate) fn has_stubs(&self) -> bool {
        self.replaceable || self.is_divided()
    }

    /// Whether functions are compiled apart from variables.
    pub(crate) fn is_divided(&self) -> bool {
        self.tier_up || self.when == When::OnFirstCall
    }
}
