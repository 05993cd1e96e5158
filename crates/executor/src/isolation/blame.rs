//! Counting crashes against the images that they happen in.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use farcall_image::Digest;
use farcall_protocol::{ErrorKind, Failure};

/// The most images whose crashes are counted. Beyond, those with the fewest are forgotten.
const MOST_IMAGES: usize = 4096;

/// How often images have crashed.
#[derive(Debug)]
pub(crate) struct Blame {
    /// So many crashes, and an image is refused; 0 for never.
    most: u32,
    crashes: Mutex<HashMap<Digest, u32>>,
    /// Whether any image is refused.
    refuses: AtomicBool,
}

impl Blame {
    pub(super) fn new(most: u32) -> Self {
        Self {
            most,
            crashes: Mutex::default(),
            refuses: AtomicBool::new(false),
        }
    }

    /// Counts a crash. Gives how many there have been.
    pub(super) fn count(&self, image: Digest) -> u32 {
        let mut crashes = self.lock();
        if crashes.len() >= MOST_IMAGES && !crashes.contains_key(&image) {
            let fewest = crashes.iter().min_by_key(|(_, count)| **count);
            if let Some(fewest) = fewest.map(|(&digest, _)| digest) {
                crashes.remove(&fewest);
            }
        }
        let count = crashes.entry(image).or_default();
        *count = count.saturating_add(1);
        if self.most != 0 && *count >= self.most {
            self.refuses.store(true, Ordering::Relaxed);
        }
        *count
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
            Some(&count) if self.most != 0 && count >= self.most => Err(Failure {
                kind: ErrorKind::Quarantined,
                message: format!(
                    "{}: quarantined: it has crashed {count} times; it runs again when it is pardoned, or the executor is started anew",
                    name()
                ),
            }),
            _ => Ok(()),
        }
    }

    /// How often an image has crashed, and whether it is refused for that.
    pub(super) fn of(&self, image: Digest) -> (u64, bool) {
        let count = self.lock().get(&image).copied().unwrap_or(0);
        (count.into(), self.most != 0 && count >= self.most)
    }

    /// Forgets an image's crashes. Gives how many there were.
    pub(super) fn pardon(&self, image: Digest) -> u32 {
        self.lock().remove(&image).unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, u32>> {
        self.crashes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
