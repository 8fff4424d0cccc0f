//! How long things last, in one place (`format-spec/8-order.md`, Limits).
//!
//! All follow from the repository's grace, so that a repository made with a short one, as tests do,
//! keeps the same order between them; none is longer than with the usual grace of 72 hours.

use crate::time::SECOND;

const HOUR: i64 = 3600 * SECOND;
/// The usual grace, in nanoseconds.
const USUAL_GRACE: i64 = 72 * HOUR;
/// A record's PUT is not tried again for longer, in nanoseconds.
const RECORD_PUT: i64 = HOUR / 6;

/// Durations, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Between condemning and deleting.
    pub grace: i64,
    /// How long a writer may rely on a sync.
    pub window: i64,
    /// How old an object must be to be condemned.
    pub condemn_age: i64,
    /// How long a forgotten snapshot stays live.
    pub forgotten: i64,
    /// How long a forget can be taken back.
    pub unforget: i64,
    /// How long a partial keeps its packs.
    pub partial: i64,
    /// How old a pack may be that a run takes over from one that died.
    pub journal: i64,
    /// How long a record's PUT is tried again.
    pub record_put: i64,
    /// How often it is looked at home whether there is something to clean up.
    pub look: i64,
    /// How long nothing is cleaned up by itself after the last time.
    pub rest: i64,
    /// How long cleaning up is left to the machine that did it last.
    pub turn: i64,
}

impl Lifetimes {
    /// Returns those of a repository with this window and grace, in seconds.
    pub fn new(window: u64, grace: u64) -> Lifetimes {
        let nanoseconds =
            |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(SECOND);
        let grace = nanoseconds(grace);
        let short = grace.min(USUAL_GRACE);
        let share = |hours: i64| (short / 72).saturating_mul(hours);
        Lifetimes {
            grace,
            window: nanoseconds(window),
            condemn_age: share(48),
            forgotten: share(72),
            unforget: share(60),
            partial: share(14 * 24),
            journal: share(24),
            record_put: RECORD_PUT.min(nanoseconds(window)),
            look: share(1),
            rest: share(24),
            turn: share(72),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_ones_are_those_of_the_specification() {
        let usual = Lifetimes::new(3600, 72 * 3600);
        assert_eq!(usual.condemn_age, 48 * HOUR);
        assert_eq!(usual.forgotten, 72 * HOUR);
        assert_eq!(usual.unforget, 60 * HOUR);
        assert_eq!(usual.partial, 14 * 24 * HOUR);
        assert_eq!(usual.journal, 24 * HOUR);
        assert_eq!(usual.record_put, 600 * SECOND);
        assert_eq!(Lifetimes::new(5, 100).record_put, 5 * SECOND);
        // A longer grace makes nothing else longer; a shorter one shortens all alike.
        assert_eq!(Lifetimes::new(3600, 720 * 3600).condemn_age, 48 * HOUR);
        let short = Lifetimes::new(5, 100);
        assert!(short.journal < short.condemn_age && short.condemn_age < short.grace);
        assert!(short.unforget < short.forgotten && short.forgotten <= short.grace);
    }
}
