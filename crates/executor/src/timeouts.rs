//! How long a peer is waited for.

use std::time::Duration;

/// How long a peer is waited for. Calls may take as long as they want: while one runs, the system of the executor's machine says
/// that the machine is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// How long connecting may take, for all addresses of a host together, and then how long the peer may say nothing until it has
    /// said who it is. Finding a host's addresses takes what the system's resolver takes.
    pub greeting: Duration,
    /// How long the peer's machine may give no sign, on TCP, before the connection fails: it is asked for one when half of this has
    /// passed in silence. A peer that takes nothing of what is sent to it for as long is given up as well. The system keeps this in
    /// whole seconds, so that two are the least.
    pub silence: Duration,
}

impl Default for Timeouts {
    /// 10 seconds to connect and as many to be greeted, 40 of silence.
    fn default() -> Self {
        Self {
            greeting: Duration::from_secs(10),
            silence: Duration::from_secs(40),
        }
    }
}

/// How often a machine is asked for a sign before it is given up.
const N_PROBES: u32 = 4;

/// What a system keeps of [`Timeouts::silence`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeepAlive {
    /// How long nothing is heard before the first question.
    pub(crate) idle: Duration,
    /// How long after a question the next one follows.
    pub(crate) interval: Duration,
    pub(crate) n_probes: u32,
    /// How long what was sent may stay unconfirmed, and questions unanswered, in milliseconds.
    pub(crate) limit: u32,
}

impl Timeouts {
    pub(crate) fn keep_alive(self) -> KeepAlive {
        // Linux takes up to 32,767 seconds for each of the two.
        let seconds = |time: Duration| Duration::from_secs(time.as_secs().clamp(1, 1 << 14));
        let silence = self.silence.max(Duration::from_secs(2));
        let idle = seconds(silence / 2);
        KeepAlive {
            idle,
            interval: seconds(silence.saturating_sub(idle) / N_PROBES),
            n_probes: N_PROBES,
            limit: u32::try_from(silence.as_millis()).unwrap_or(i32::MAX.unsigned_abs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_what_a_system_can_keep() {
        let of = |silence| {
            let timeouts = Timeouts {
                silence,
                ..Timeouts::default()
            };
            let KeepAlive {
                idle,
                interval,
                limit,
                ..
            } = timeouts.keep_alive();
            (idle.as_secs(), interval.as_secs(), limit)
        };
        assert_eq!(of(Duration::from_secs(40)), (20, 5, 40_000));
        assert_eq!(of(Duration::from_secs(3)), (1, 1, 3000));
        assert_eq!(of(Duration::ZERO), (1, 1, 2000));
        assert_eq!(of(Duration::MAX), (16_384, 16_384, i32::MAX as u32));
    }
}
