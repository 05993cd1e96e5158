//! Counting ends of workers against the images that they happen in.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use farcall_image::Digest;
use farcall_protocol::{ErrorKind, Failure};

/// The most images that this is counted of. Beyond, those with the fewest are forgotten.
const MOST_IMAGES: usize = 4096;

/// How often images have ended workers.
#[derive(Debug)]
pub(crate) struct Blame {
    /// So many ends, of whatever kind, and an image is refused; 0 for never.
    most: u32,
    ends: Mutex<HashMap<Digest, Ends>>,
    /// Whether any image is refused.
    refuses: AtomicBool,
}

/// How often an image has ended a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Ends {
    pub(super) crashes: u64,
    /// Because something took too long.
    pub(super) late: u64,
}

impl Ends {
    fn all(self) -> u64 {
        self.crashes.saturating_add(self.late)
    }
}

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = |count: u64| match count {
            1 => "once".to_owned(),
            2 => "twice".to_owned(),
            count => format!("{count} times"),
        };
        match *self {
            Self { crashes, late: 0 } => write!(f, "it has crashed {}", times(crashes)),
            Self { crashes: 0, late } => {
                write!(f, "it was ended {} for taking too long", times(late))
            }
            Self { crashes, late } => write!(
                f,
                "it has crashed {} and was ended {} for taking too long",
                times(crashes),
                times(late)
            ),
        }
    }
}

impl Blame {
    pub(super) fn new(most: u32) -> Self {
        Self {
            most,
            ends: Mutex::default(),
            refuses: AtomicBool::new(false),
        }
    }

    /// Counts the end of a worker. Gives how many there have been.
    pub(super) fn count(&self, image: Digest, is_late: bool) -> Ends {
        let mut all = self.lock();
        if all.len() >= MOST_IMAGES && !all.contains_key(&image) {
            let fewest = all.iter().min_by_key(|(_, ends)| ends.all());
            if let Some(fewest) = fewest.map(|(&digest, _)| digest) {
                all.remove(&fewest);
            }
        }
        let ends = all.entry(image).or_default();
        let counted = match is_late {
            true => &mut ends.late,
            false => &mut ends.crashes,
        };
        *counted = counted.saturating_add(1);
        if self.is_too_many(*ends) {
            self.refuses.store(true, Ordering::Relaxed);
        }
        *ends
    }

    fn is_too_many(&self, ends: Ends) -> bool {
        self.most != 0 && ends.all() >= u64::from(self.most)
    }

    /// Refuses what has crashed too often. Costs next to nothing as long as nothing has.
    pub(super) fn check(
        &self,
        image: Digest,
        name: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if !self.refuses.load(Ordering::Relaxed) {
            return Ok(());
        }
        match self.lock().get(&image) {
            Some(&ends) if self.is_too_many(ends) => Err(Failure {
                kind: ErrorKind::Quarantined,
                message: format!(
                    "{}: quarantined: {ends}; it runs again when it is pardoned (p in farcall top), or the executor is started anew",
                    name()
                ),
            }),
            _ => Ok(()),
        }
    }

    /// How often an image has ended a worker, and whether it is refused for that.
    pub(super) fn of(&self, image: Digest) -> (Ends, bool) {
        let ends = self.lock().get(&image).copied().unwrap_or_default();
        (ends, self.is_too_many(ends))
    }

    /// Forgets what an image has ended. Gives how often it has.
    pub(super) fn pardon(&self, image: Digest) -> Ends {
        self.lock().remove(&image).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Ends>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
