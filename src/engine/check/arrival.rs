//! What may still be on its way in a replicated repository (`format-spec/8-order.md`, rule 18).

use crate::format::key::REPOSITORY_REPLICATED;
use crate::repository::Repository;
use crate::time::{SECOND, Timestamp};

/// So long an object may be on its way, in nanoseconds.
const ARRIVAL: i64 = 7 * 24 * 3600 * SECOND;

/// Tells what may still arrive.
pub(in crate::engine) struct Arrival {
    /// The time, if the repository is replicated.
    now: Option<Timestamp>,
}

impl Arrival {
    /// Without a time nothing may.
    pub(in crate::engine) fn new(repository: &Repository, now: Option<Timestamp>) -> Arrival {
        let is_replicated = repository.header().flags & REPOSITORY_REPLICATED != 0;
        Arrival { now: now.filter(|_| is_replicated) }
    }

    /// Returns whether what is missing may still arrive: an object that a record first named at this
    /// time, or the rest of one that was stored then and whose end can't be read, in nanoseconds.
    pub(in crate::engine) fn may_arrive(&self, named: i64) -> bool {
        self.now.is_some_and(|now| now.0.saturating_sub(named) < ARRIVAL)
    }
}
