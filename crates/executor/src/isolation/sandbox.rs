//! What a worker may not do: use files, the network, other processes.
//!
//! Landlock (kernel documentation, "Landlock: unprivileged access control") keeps it from files but for reading the system's libraries, and seccomp
//! (seccomp(2)) from the system calls by which it would reach other processes and machines (`calls.rs`). What is refused is refused by an error, as for
//! want of permission: code that can do without goes on.

mod calls;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreated, RulesetCreatedAttr as _, RulesetStatus, Scope, path_beneath_rules,
};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

/// What can be read: the system's libraries, which code may need when it is first used, and what the C library itself reads (locales are among its
/// libraries). All of it is everybody's, and the same on many machines.
const READABLE: [&str; 9] = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    "/dev/null",
    "/dev/urandom",
];

/// What the kernel has of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Enforced {
    pub(super) files: bool,
    pub(super) calls: bool,
}

impl Enforced {
    /// As a byte, for a supervisor.
    pub(super) fn byte(self) -> u8 {
        u8::from(self.files) | u8::from(self.calls) << 1
    }

    pub(super) fn from_byte(byte: u8) -> Self {
        Self {
            files: byte & 1 != 0,
            calls: byte & 2 != 0,
        }
    }

    /// What is missing, for people.
    pub(super) fn missing(self) -> Option<&'static str> {
        match (self.files, self.calls) {
            (true, true) => None,
            (false, true) => Some("this kernel has no Landlock: shipped code can use files"),
            (true, false) => Some("this kernel has no seccomp: shipped code can start processes"),
            (false, false) => Some(
                "this kernel has neither Landlock nor seccomp: shipped code can do all that this user can",
            ),
        }
    }
}

/// What workers are put into, made once, before they are forked off: so that each takes less time and memory.
#[derive(Debug)]
pub(super) struct Sandbox {
    files: Option<RulesetCreated>,
    calls: Option<calls::Filters>,
}

impl Sandbox {
    /// As far as the kernel has what it takes, for workers whose memory is limited or not.
    pub(super) fn new(is_limited: bool) -> Self {
        Self {
            files: restrict_files().ok(),
            calls: calls::filters(is_limited).ok(),
        }
    }

    /// Whether it keeps processes from starting others.
    pub(super) fn has_calls(&self) -> bool {
        self.calls.is_some()
    }

    /// Puts this process into the sandbox, for good.
    pub(super) fn enter(&self) -> Enforced {
        // A worker of root's could change its own limits else. It needs none, and none to lose some.
        let none = CapabilitySet::empty();
        let none = CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        };
        let _ = set_capabilities(None, none);
        Enforced {
            files: self.files.as_ref().is_some_and(enter_files),
            calls: self.calls.as_deref().is_some_and(calls::enter),
        }
    }
}

fn enter_files(files: &RulesetCreated) -> bool {
    let status = files.try_clone().map(RulesetCreated::restrict_self);
    matches!(status, Ok(Ok(status)) if status.ruleset != RulesetStatus::NotEnforced)
}

fn restrict_files() -> Result<RulesetCreated, landlock::RulesetError> {
    let newest = ABI::V9;
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(newest))?
        .handle_access(AccessNet::from_all(newest))?
        .scope(Scope::from_all(newest))?
        .create()?
        .add_rules(path_beneath_rules(
            READABLE,
            AccessFs::from_read(newest) & !AccessFs::Execute,
        ))
}
