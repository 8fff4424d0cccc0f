//! Whether it is time to clean up. Pure: what the cache and this machine's memory say goes in, what
//! to do comes out.
//!
//! Several machines share the work by leaving it to whoever did it last, as long as that one is
//! heard of: a lane in which objects were condemned can't be covered for some days, so one machine
//! that condemns keeps the log shorter than several that take turns.

use crate::engine::prune::{CHECKPOINT_BYTES, CHECKPOINT_RECORDS};
use crate::repository::cache::{Clutter, Turn};
use crate::repository::lifetimes::Lifetimes;

/// So many small packs are many.
const MANY_SMALL: u64 = 256;
/// A record takes about so many bytes beside its units.
const RECORD_BYTES: u64 = 1024;
/// Beyond so many times what makes a checkpoint due, nobody waits for another machine.
const IMPATIENCE: u64 = 2;

/// What this machine remembers of its tries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// When it last looked whether there is something to do (nanoseconds, UTC).
    pub looked: Option<i64>,
    /// When it last began to do something.
    pub tried: Option<i64>,
    /// When the store last refused to delete.
    pub refused: Option<i64>,
}

impl Memory {
    /// Returns whether there is no point in looking: that was done lately, or something was.
    pub(super) fn is_fresh(&self, now: i64, lifetimes: &Lifetimes) -> bool {
        is_within(self.looked, now, lifetimes.look) || is_within(self.tried, now, lifetimes.rest)
    }
}

/// What is known without asking the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Situation {
    /// What the cache says.
    pub clutter: Clutter,
    /// When the last of the forgotten snapshots stopped being kept, if one did.
    pub last_death: Option<i64>,
    /// What this machine remembers.
    pub memory: Memory,
    /// This machine's time.
    pub now: i64,
}

/// What there is to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Due {
    /// There are many records that no checkpoint covers.
    pub checkpoint: bool,
    /// Something may be condemned or deleted.
    pub space: bool,
}

impl Due {
    /// Returns whether there is anything to do.
    pub fn is_something(self) -> bool {
        self.checkpoint || self.space
    }
}

/// Returns whether a moment lies less than `span` before `now`. One that lies ahead does not count:
/// a clock was set back.
fn is_within(moment: Option<i64>, now: i64, span: i64) -> bool {
    moment.is_some_and(|moment| (0..span).contains(&now.saturating_sub(moment)))
}

impl Situation {
    /// Decides.
    pub fn due(&self, lifetimes: &Lifetimes) -> Due {
        if is_within(self.memory.tried, self.now, lifetimes.rest) {
            return Due::default();
        }
        let clutter = &self.clutter;
        let records = self.expected_records();
        let limit = CHECKPOINT_RECORDS as u64;
        let bytes = clutter
            .uncovered_records
            .saturating_mul(RECORD_BYTES)
            .saturating_add(clutter.uncovered_bytes);
        let checkpoint = (records > limit || bytes > CHECKPOINT_BYTES)
            && (self.has_turn(&clutter.checkpoints, lifetimes)
                || records > limit.saturating_mul(IMPATIENCE));
        let may_delete =
            !is_within(self.memory.refused, self.now, lifetimes.rest.saturating_mul(30));
        let has_waste = self.has_deaths()
            || clutter.overdue_condemnations > 0
            || clutter.small_packs > MANY_SMALL
            || checkpoint;
        let space = may_delete && has_waste && self.has_turn(&clutter.decisions, lifetimes);
        Due { checkpoint, space }
    }

    /// Returns how many uncovered records there may be: a backup reads nothing of what others put
    /// into `log/s`, so they are taken to write as much as this machine does.
    fn expected_records(&self) -> u64 {
        let unread = self.clutter.own_new_records.saturating_mul(self.clutter.other_lanes);
        self.clutter.uncovered_records.saturating_add(unread)
    }

    /// Returns whether a snapshot has died since somebody last looked what that frees.
    fn has_deaths(&self) -> bool {
        let decisions = &self.clutter.decisions;
        let looked = self.memory.tried.max(decisions.own).max(decisions.others);
        self.last_death.is_some_and(|death| looked.is_none_or(|looked| death > looked))
    }

    /// Returns whether no other machine is at this work.
    fn has_turn(&self, turn: &Turn, lifetimes: &Lifetimes) -> bool {
        !is_within(turn.others, self.now, lifetimes.turn) || turn.own > turn.others
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SECOND;

    const HOUR: i64 = 3600 * SECOND;
    const NOW: i64 = 1_000_000 * HOUR;

    fn lifetimes() -> Lifetimes {
        Lifetimes::new(3600, 72 * 3600)
    }

    fn quiet() -> Situation {
        Situation { now: NOW, ..Situation::default() }
    }

    fn due(change: impl FnOnce(&mut Situation)) -> (bool, bool) {
        let mut situation = quiet();
        change(&mut situation);
        let due = situation.due(&lifetimes());
        (due.checkpoint, due.space)
    }

    #[test]
    fn a_calm_repository_asks_for_nothing_and_each_reason_for_its_own() {
        assert_eq!(due(|_| {}), (false, false));
        assert_eq!(due(|it| it.clutter.uncovered_records = 256), (false, false));
        assert_eq!(due(|it| it.clutter.uncovered_records = 257), (true, true));
        assert_eq!(due(|it| it.clutter.uncovered_bytes = 9 << 20), (true, true));
        assert_eq!(due(|it| it.clutter.overdue_condemnations = 1), (false, true));
        assert_eq!(due(|it| it.clutter.small_packs = 257), (false, true));
        assert_eq!(due(|it| it.last_death = Some(NOW - 1)), (false, true));
        // Three silent machines that write as much as this one.
        let shared = |it: &mut Situation| {
            (it.clutter.own_new_records, it.clutter.uncovered_records) = (70, 70);
            it.clutter.other_lanes = 3;
        };
        assert_eq!(due(shared), (true, true));
    }

    #[test]
    fn what_was_tried_rests_for_a_day_and_a_refusal_to_delete_for_a_month() {
        let late = |it: &mut Situation, hours: i64| {
            it.clutter.uncovered_records = 999;
            it.memory.tried = Some(NOW - hours * HOUR);
        };
        assert_eq!(due(|it| late(it, 23)), (false, false));
        assert_eq!(due(|it| late(it, 24)), (true, true));
        assert_eq!(due(|it| late(it, -1)), (true, true), "the clock was set back");
        let refused = |it: &mut Situation, days: i64| {
            it.clutter.uncovered_records = 999;
            it.memory.refused = Some(NOW - days * 24 * HOUR);
        };
        assert_eq!(due(|it| refused(it, 29)), (true, false));
        assert_eq!(due(|it| refused(it, 30)), (true, true));
        let mut memory = Memory { looked: Some(NOW - HOUR + 1), ..Memory::default() };
        assert!(memory.is_fresh(NOW, &lifetimes()));
        memory.looked = Some(NOW - HOUR);
        assert!(!memory.is_fresh(NOW, &lifetimes()));
    }

    #[test]
    fn a_death_that_somebody_has_looked_into_is_no_reason() {
        let with = |tried: Option<i64>, others: Option<i64>| {
            due(|it| {
                it.last_death = Some(NOW - 100 * HOUR);
                it.memory.tried = tried;
                it.clutter.decisions.others = others;
            })
        };
        assert_eq!(with(Some(NOW - 101 * HOUR), None), (false, true));
        assert_eq!(with(Some(NOW - 99 * HOUR), None), (false, false));
        assert_eq!(with(None, Some(NOW - 99 * HOUR)), (false, false));
    }

    #[test]
    fn the_work_is_left_to_whoever_did_it_last_as_long_as_that_one_is_heard_of() {
        let turn = |own: Option<i64>, others: i64, records: u64| {
            due(|it| {
                let hours = |hours: i64| NOW - hours * HOUR;
                let turn = Turn { own: own.map(hours), others: Some(hours(others)) };
                (it.clutter.checkpoints, it.clutter.decisions) = (turn, turn);
                it.clutter.uncovered_records = records;
            })
        };
        assert_eq!(turn(None, 71, 300), (false, false));
        assert_eq!(turn(None, 72, 300), (true, true));
        assert_eq!(turn(Some(30), 71, 300), (true, true), "this machine did it last");
        assert_eq!(turn(Some(71), 30, 300), (false, false));
        // Twice what makes it due is too much for anybody; deleting still has its turn.
        assert_eq!(turn(None, 71, 513), (true, false));
    }
}
