//! One thread of this process makes a key's bytes; the others that want them wait, and get a copy.
//!
//! The locks of files would do for this too. But they are asked for again and again, they do not exist everywhere, and
//! without a directory there are none.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Key, Origin};

type Flight = Mutex<Option<Vec<u8>>>;

#[derive(Debug, Default)]
pub(crate) struct Flights(Mutex<HashMap<Key, Arc<Flight>>>);

impl Flights {
    /// The bytes that another thread makes at this time, or those that `make` gives, for others to have too.
    pub(crate) fn join<E>(
        &self,
        key: &Key,
        make: impl FnOnce() -> Result<(Vec<u8>, Origin), E>,
    ) -> Result<(Vec<u8>, Origin), E> {
        let flight = Arc::clone(locked(&self.0).entry(*key).or_default());
        let mut shared = locked(&flight);
        if let Some(bytes) = &*shared {
            return Ok((bytes.clone(), Origin::Kept));
        }
        let _end = End(self, key, &flight);
        let (bytes, origin) = make()?;
        // This thread and the map have it; any more are waiting.
        if Arc::strong_count(&flight) > 2 {
            *shared = Some(bytes.clone());
        }
        Ok((bytes, origin))
    }
}

/// Takes the flight out of the map, however it ends: who comes later looks for the entry.
struct End<'f>(&'f Flights, &'f Key, &'f Arc<Flight>);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let mut flights = locked(&self.0.0);
        if flights
            .get(self.1)
            .is_some_and(|now| Arc::ptr_eq(now, self.2))
        {
            flights.remove(self.1);
        }
    }
}

/// A panic of `make` leaves nothing half done here.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
