//! What an executor tells those who operate it.

use std::time::Duration;

use farcall_image::Digest;
use serde::{Deserialize, Serialize};

/// What an executor has done since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Statistics {
    /// How long it has run, in milliseconds.
    pub uptime: u64,
    /// Connections that were greeted.
    pub connections: u64,
    /// Connections that are open now.
    pub connected: u64,
    /// Modules that were loaded.
    pub loads: u64,
    /// Modules that are loaded now.
    pub modules: u64,
    /// The bytes of the images of these.
    pub image_bytes: u64,
    /// Calls that have begun.
    pub calls: u64,
    /// Calls that are running now.
    pub running: u64,
    /// Requests that failed.
    pub failures: u64,
    /// Loads of what was there already.
    pub hits: u64,
    /// Loads that failed, also those that were refused. An image that is only offered, and not there, is none.
    pub failed_loads: u64,
    /// Bytes received on all connections, their frames' lengths among them. What TLS adds is not.
    pub received: u64,
    /// Bytes sent, likewise.
    pub sent: u64,
    /// Bytes of images that came in files or docked, and so in no frame.
    pub passed: u64,
    /// Workers that shipped code has ended, by a signal or an exit. Nobody counts that where calls run in the executor's own process.
    pub crashes: u64,
    /// Workers that were ended because what they did took longer than their executor's deadline.
    pub late: u64,
    /// Requests that the executor's policy has refused.
    pub refused: u64,
    /// Requests that were refused because their image has crashed too often.
    pub quarantined: u64,
    /// Connections that were not served, because there were too many or nobody said in time who is there.
    pub not_served: u64,
    /// Workers that there are now; 0 where calls run in the executor's own process.
    pub workers: u64,
    /// Workers that were started.
    pub workers_started: u64,
    /// How long calls took that have ended, from when their request was read until its answer was there.
    pub calling: Latency,
    /// How long loads took that have loaded something, likewise.
    pub loading: Latency,
}

/// A loaded module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleInfo {
    /// The digest of its image.
    pub digest: Digest,
    /// The names that stand for it; the first 16 of more.
    pub names: Vec<String>,
    /// The size of its image in bytes.
    pub size: u64,
    /// The number of its exports.
    pub n_exports: u64,
    /// Calls of its functions that have begun since it was loaded.
    pub calls: u64,
    /// How often it has crashed since the executor started, or was told to forget it.
    pub crashes: u64,
    /// How often a worker was ended because something of it took too long, likewise. None of these is a crash.
    pub late: u64,
    /// Whether it is refused, because both together are too many.
    pub is_quarantined: bool,
    /// The id of the key that signed it, where a policy has verified that.
    pub signer: Option<String>,
}

/// How long something took, each time: a histogram whose bounds are powers of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Latency {
    /// How often it took no longer than 2^N microseconds, and longer than the bucket before says. The last one has what took longer than 2^23.
    pub buckets: [u64; Self::N_BUCKETS],
    /// All of it together, in nanoseconds.
    pub sum: u64,
}

impl Latency {
    /// Buckets in a histogram: from a microsecond to 8.4 seconds, and one for what takes longer.
    pub const N_BUCKETS: usize = 25;

    /// The bucket of what took so long.
    #[must_use]
    pub fn bucket_of(time: Duration) -> usize {
        // A bucket has its upper bound in it.
        let before = time.as_nanos().saturating_sub(1) / 1000;
        let n_bits = u128::BITS - before.leading_zeros();
        usize::try_from(n_bits).map_or(Self::N_BUCKETS - 1, |n| n.min(Self::N_BUCKETS - 1))
    }

    /// The longest time of a bucket; `None` for the last.
    #[must_use]
    pub fn bound(bucket: usize) -> Option<Duration> {
        let micros = |bucket| Duration::from_micros(1_u64 << bucket);
        (bucket < Self::N_BUCKETS - 1).then(|| micros(bucket))
    }

    /// How often it was.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// What was added since an earlier time.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = *self;
        for (now, before) in since.buckets.iter_mut().zip(&earlier.buckets) {
            *now = now.saturating_sub(*before);
        }
        since.sum = since.sum.saturating_sub(earlier.sum);
        since
    }

    /// The bound that so much of all did not take longer than, such as 0.99; `None` when there was nothing, or that is beyond the last bound.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a bucket is no exact time either"
        )]
        let wanted = part * self.count() as f64;
        let mut n = 0;
        for (bucket, more) in self.buckets.iter().enumerate() {
            n += more;
            #[expect(clippy::cast_precision_loss, reason = "as above")]
            if n > 0 && n as f64 >= wanted {
                return Self::bound(bucket);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_its_upper_bound_and_not_its_lower() {
        for bucket in 0..Latency::N_BUCKETS - 1 {
            let bound = Latency::bound(bucket).unwrap();
            assert_eq!(Latency::bucket_of(bound), bucket);
            assert_eq!(
                Latency::bucket_of(bound + Duration::from_nanos(1)),
                bucket + 1
            );
        }
        assert_eq!(Latency::bucket_of(Duration::ZERO), 0);
        assert_eq!(
            Latency::bucket_of(Duration::MAX),
            Latency::N_BUCKETS - 1,
            "however long it took"
        );
        assert_eq!(Latency::bound(0), Some(Duration::from_micros(1)));
        assert_eq!(Latency::bound(Latency::N_BUCKETS - 1), None);
    }

    #[test]
    fn a_quantile_is_a_bound() {
        let mut latency = Latency::default();
        assert_eq!(latency.quantile(0.5), None);
        latency.buckets[2] = 98;
        latency.buckets[5] = 1;
        latency.buckets[Latency::N_BUCKETS - 1] = 1;
        assert_eq!(latency.quantile(0.0), Some(Duration::from_micros(4)));
        assert_eq!(latency.quantile(0.98), Some(Duration::from_micros(4)));
        assert_eq!(latency.quantile(0.99), Some(Duration::from_micros(32)));
        assert_eq!(latency.quantile(1.0), None);
        let mut later = latency;
        later.buckets[3] += 5;
        later.sum += 7;
        let since = later.since(&latency);
        assert_eq!((since.count(), since.buckets[3], since.sum), (5, 5, 7));
    }
}
