//! How fast bytes may go: a bucket of tokens that fills with time.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A limit in bytes a second, shared by all that goes one way.
#[derive(Debug)]
pub(in crate::store) struct Throttle {
    bytes_per_second: u64,
    /// When all that was let through so far will have been paid for.
    paid: Mutex<Option<Instant>>,
}

impl Throttle {
    /// Returns a limit; zero counts as one byte a second.
    pub(super) fn new(bytes_per_second: u64) -> Throttle {
        Throttle { bytes_per_second: bytes_per_second.max(1), paid: Mutex::default() }
    }

    /// Returns how many bytes to send at once, where `usual` would be without a limit: no more than
    /// one second's worth.
    pub(in crate::store) fn piece(&self, usual: usize) -> usize {
        usual.min(usize::try_from(self.bytes_per_second).unwrap_or(usual))
    }

    /// Pays for `bytes`; returns how long to wait before the next.
    #[cfg(feature = "git")]
    pub(in crate::store) fn pause(&self, bytes: usize) -> Duration {
        self.pay(bytes).saturating_duration_since(Instant::now())
    }

    /// Pays for `bytes`; returns when the next may follow.
    pub(super) fn pay(&self, bytes: usize) -> Instant {
        let now = Instant::now();
        let nanoseconds = u128::from(bytes as u64).saturating_mul(1_000_000_000)
            / u128::from(self.bytes_per_second);
        let cost = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = paid.unwrap_or(now).max(now);
        let end = begin.checked_add(cost).unwrap_or(begin);
        *paid = Some(end);
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_at_once_is_paid_one_after_the_other() {
        let throttle = Throttle::new(1000);
        let first = throttle.pay(500);
        let second = throttle.pay(1500);
        let apart = second.duration_since(first);
        assert_eq!(apart, Duration::from_millis(1500));
    }
}
