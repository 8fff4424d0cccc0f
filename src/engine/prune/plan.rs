//! What is to be done, decided before anything is.

use std::collections::HashSet;

use super::facts::Facts;
use super::options::{Brake, PruneOptions, PruneReport};
use super::usage::{ObjectUse, Usage};
use crate::error::{Kind, Result};
use crate::format::key::REPOSITORY_REPLICATED;
use crate::id::{BlobId, ObjectHash};
use crate::repository::SMALL_PACK;
use crate::repository::lifetimes::Lifetimes;
use crate::store::{Listed, ObjectName};
use crate::time::{SECOND, Timestamp};

/// Clocks may differ by this much, in nanoseconds.
const CLOCKS_APART: i64 = 3600 * SECOND;
/// So long what is stored in a replicated repository may be on its way, in nanoseconds.
const ARRIVAL: i64 = 7 * 24 * 3600 * SECOND;
/// Below this nobody minds that half of it goes, in bytes.
const HALF_MATTERS: u64 = 64 << 20;
/// How many small objects are many.
const MANY_SMALL: usize = 256;

/// What time it is, by two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clocks {
    /// This machine's.
    pub(super) own: Timestamp,
    /// The store's.
    pub(super) store: Timestamp,
}

impl Clocks {
    fn age(&self, row: &Listed) -> i64 {
        self.store.0.saturating_sub(row.modified.0)
    }

    /// Stops if the clocks don't agree with each other or with the log.
    pub(super) fn verify(
        &self,
        newest: i64,
        lifetimes: &Lifetimes,
        options: &PruneOptions,
    ) -> Result<()> {
        let apart = self.own.0.saturating_sub(self.store.0).saturating_abs();
        let behind = newest.saturating_sub(self.own.0.min(self.store.0));
        let problem = if apart > CLOCKS_APART {
            format!("this machine's clock and the store's differ by {} s", apart / SECOND)
        } else if behind > lifetimes.window {
            format!("a clock is {} s behind the newest record", behind / SECOND)
        } else {
            return Ok(());
        };
        options.accepted.stop(Brake::Clock, problem, Kind::Failed)
    }
}

/// What a prune will do. Carrying it out takes no further decision.
#[derive(Debug, Clone, Default)]
pub struct PrunePlan {
    /// Objects that are condemned: nobody needs them once the copies are made.
    pub condemn: Vec<ObjectName>,
    /// Of these, objects whose needed blobs are copied first.
    pub repack: Vec<ObjectName>,
    /// Blobs that are needed again, and stand nowhere.
    pub rescue: Vec<BlobId>,
    /// Blobs that are stored in full, so that what they stand on may go.
    pub raise: Vec<BlobId>,
    /// The condemnations whose grace is over.
    pub condemnations: Vec<ObjectHash>,
    /// Objects that are swept.
    pub sweep: Vec<ObjectName>,
    /// Objects that an earlier sweep named and did not get round to.
    pub leftovers: Vec<ObjectName>,
    /// The figures.
    pub report: PruneReport,
}

/// One object that holds something needed and something not.
struct Candidate<'f> {
    row: &'f Listed,
    usage: ObjectUse,
}

impl Candidate<'_> {
    fn unused(&self) -> u64 {
        self.usage.unit_bytes.saturating_sub(self.usage.used_bytes)
    }
}

/// Decides.
pub(super) struct Planner<'p> {
    pub(super) facts: &'p Facts,
    pub(super) options: &'p PruneOptions,
    pub(super) lifetimes: Lifetimes,
    pub(super) clocks: Clocks,
}

impl Planner<'_> {
    pub(super) fn plan(&self, usage: &Usage) -> Result<PrunePlan> {
        let facts = self.facts;
        let (rescue, raise) = (usage.fallen.clone(), usage.raised.clone());
        let mut plan = PrunePlan { rescue, raise, ..PrunePlan::default() };
        plan.report.used_bytes = usage.raised_bytes;
        plan.report.copied_bytes = usage.raised_bytes;
        let mut candidates = Vec::new();
        let mut known = HashSet::new();
        for (number, name, _) in facts.repository.cache().numbered_objects()? {
            let hash = name.hash();
            known.insert(hash);
            let Some(row) = facts.listed.get(&hash) else { continue };
            let usage = usage.objects.get(&number).copied().unwrap_or_default();
            plan.report.used_bytes = plan.report.used_bytes.saturating_add(usage.used_bytes);
            if !self.may_go(row) {
                continue;
            }
            if usage.blobs == 0 {
                plan.condemn.push(row.name.clone());
            } else {
                candidates.push(Candidate { row, usage });
            }
        }
        self.unneeded(&known, &mut plan)?;
        self.repack(candidates, &mut plan);
        self.sweep(&mut plan);
        self.count(&mut plan);
        self.brake(&plan)?;
        Ok(plan)
    }

    /// Returns whether an object may be condemned if nobody needs it. The newest record of a lane stays:
    /// its machine goes on from it.
    fn may_go(&self, row: &Listed) -> bool {
        let hash = row.name.hash();
        self.is_free(&row.name)
            && !self.facts.condemned.contains_key(&hash)
            && !self.facts.gone.contains(&hash)
            && !self.is_young(row)
    }

    /// Returns whether nobody needs an object for what it is: a record or a segment that says nothing
    /// any more, a pack that no run holds on to. What lies in it is another question.
    fn is_free(&self, name: &ObjectName) -> bool {
        let hash = name.hash();
        let is_replaced = match name {
            ObjectName::Record(record) => {
                self.facts.is_spent(record)
                    && !self.facts.keeps_lane(&hash)
                    && !self.facts.keeps_word(&hash, self.clocks.own)
            }
            ObjectName::Pack(_) => true,
            ObjectName::Segment(_) => !self.facts.segments.contains(&hash),
            ObjectName::Repository(_) | ObjectName::KeySlot(_) | ObjectName::Grant(_) => false,
        };
        is_replaced && !self.facts.kept_by_partials.contains(&hash)
    }

    /// Returns whether an object is too young to be condemned.
    pub(super) fn is_young(&self, row: &Listed) -> bool {
        !self.options.alone && self.clocks.age(row) < self.lifetimes.condemn_age
    }

    /// What the index does not know: packs of runs that died, spent records, replaced segments.
    fn unneeded(&self, known: &HashSet<ObjectHash>, plan: &mut PrunePlan) -> Result<()> {
        for (hash, row) in self.facts.listed.iter().filter(|(hash, _)| !known.contains(*hash)) {
            if self.facts.gone.contains(hash) {
                plan.leftovers.push(row.name.clone());
            } else if self.may_go(row) && self.is_garbage(row)? {
                plan.condemn.push(row.name.clone());
            }
        }
        Ok(())
    }

    /// A pack that no record names is garbage if it is this repository's, and so old that no run
    /// takes it over any more. In a replicated repository the record may be on its way, from a
    /// machine of which nobody here has heard: no lane of it is waited for (rules 18, 28).
    fn is_garbage(&self, row: &Listed) -> Result<bool> {
        let ObjectName::Pack(hash) = &row.name else { return Ok(true) };
        let flags = self.facts.repository.header().flags;
        let arrival = if flags & REPOSITORY_REPLICATED != 0 { ARRIVAL } else { 0 };
        Ok(self.clocks.age(row) >= self.lifetimes.journal.max(arrival)
            && self.facts.repository.find_pack(hash)?.is_some())
    }

    /// Chooses what is copied, the least used first, until as much is unused as may be; and small
    /// objects, if there are many. If nothing may stay that nobody needs, one blob of it counts.
    fn repack(&self, mut candidates: Vec<Candidate<'_>>, plan: &mut PrunePlan) {
        let allowed = self.options.max_unused.of(plan.report.used_bytes);
        let copying = self.options.max_repack.of(plan.report.used_bytes);
        let mut copying = copying.saturating_sub(plan.report.copied_bytes);
        let mut unused: u64 = candidates.iter().map(Candidate::unused).sum();
        let small = |it: &Candidate<'_>| it.row.size < SMALL_PACK;
        let has_many_small = candidates.iter().filter(|it| small(it)).count() > MANY_SMALL;
        // By how much of it is used, in thousandths; whole packs of needed blobs come last.
        candidates.sort_by_key(|it| {
            let thousandths = it.usage.used_bytes.saturating_mul(1000) / it.row.size.max(1);
            (thousandths, it.row.name.clone())
        });
        for it in candidates {
            let frees = if self.options.is_thorough() {
                it.usage.has_unused()
            } else {
                unused > allowed && it.unused() > it.row.size / 50
            };
            let used = it.usage.used_bytes;
            let is_older = self.facts.older.contains(&it.row.name.hash());
            if !(frees || (has_many_small && small(&it)) || is_older) || used > copying {
                continue;
            }
            copying = copying.saturating_sub(used);
            unused = unused.saturating_sub(it.unused());
            plan.report.copied_bytes = plan.report.copied_bytes.saturating_add(used);
            plan.repack.push(it.row.name.clone());
            plan.condemn.push(it.row.name.clone());
        }
        plan.report.unused_bytes = unused;
    }

    /// Takes what was condemned long enough ago; alone, everything that is or was condemned.
    fn sweep(&self, plan: &mut PrunePlan) {
        let mut ready: HashSet<ObjectHash> = HashSet::new();
        for (object, condemnation) in &self.facts.condemned {
            let Some(name) = self.facts.name(object) else { continue };
            if ready.contains(condemnation) || self.is_over(condemnation) {
                ready.insert(*condemnation);
                // It is decided anew (rule 25): another checkpoint may name it now, or a late record.
                if !self.facts.gone.contains(object) && self.is_free(name) {
                    plan.sweep.push(name.clone());
                }
            }
        }
        plan.condemnations = ready.into_iter().collect();
        plan.condemnations.sort_unstable();
        if self.options.alone {
            plan.sweep.append(&mut plan.condemn);
        }
        for names in [&mut plan.condemn, &mut plan.sweep, &mut plan.repack, &mut plan.leftovers] {
            names.sort_unstable();
            names.dedup();
        }
    }

    /// Returns whether the grace of a condemnation is over, by the store's clock and by our own.
    fn is_over(&self, condemnation: &ObjectHash) -> bool {
        if self.options.alone {
            return true;
        }
        let longer = self.options.grace.and_then(|grace| i64::try_from(grace).ok()).unwrap_or(0);
        let grace = self.lifetimes.grace.max(longer.saturating_mul(SECOND));
        let by_store = self.facts.listed.get(condemnation).map(|row| self.clocks.age(row));
        let by_own = self
            .facts
            .written(condemnation)
            .map(|written| self.clocks.own.0.saturating_sub(written));
        by_store.is_some_and(|age| age >= grace)
            && by_own.is_some_and(|age| age >= grace)
            && self.facts.is_known_to_all(condemnation)
    }

    fn count(&self, plan: &mut PrunePlan) {
        let facts = self.facts;
        let bytes = |names: &[ObjectName]| {
            let hashes: Vec<ObjectHash> = names.iter().map(ObjectName::hash).collect();
            facts.bytes(hashes.iter())
        };
        let report = &mut plan.report;
        report.objects = facts.listed.len() as u64;
        report.bytes = facts.bytes(facts.listed.keys());
        report.condemned_objects = plan.condemn.len() as u64;
        report.condemned_bytes = bytes(&plan.condemn);
        report.repacked_objects = plan.repack.len() as u64;
        report.rescued_blobs = plan.rescue.len() as u64;
        report.raised_blobs = plan.raise.len() as u64;
        report.deleted_objects = plan.sweep.len().saturating_add(plan.leftovers.len()) as u64;
        report.deleted_bytes = bytes(&plan.sweep).saturating_add(bytes(&plan.leftovers));
        let swept: HashSet<ObjectHash> = plan.sweep.iter().map(ObjectName::hash).collect();
        let waits = |hash: &&ObjectHash| !swept.contains(*hash) && !facts.gone.contains(*hash);
        let waiting: Vec<ObjectHash> = facts
            .condemned
            .keys()
            .filter(|hash| facts.listed.contains_key(*hash))
            .filter(waits)
            .copied()
            .collect();
        let going: HashSet<ObjectHash> = plan
            .condemn
            .iter()
            .chain(&plan.sweep)
            .chain(&plan.leftovers)
            .map(ObjectName::hash)
            .chain(waiting.iter().copied())
            .collect();
        report.older_objects = facts.older.difference(&going).count() as u64;
        report.waiting_objects = waiting.len() as u64;
        report.waiting_bytes = facts.bytes(waiting.iter());
    }

    /// Stops at what looks as if something was wrong (rule 30).
    fn brake(&self, plan: &PrunePlan) -> Result<()> {
        let accepted = &self.options.accepted;
        if let Some((pack, _)) = self.facts.vanished.first() {
            let count = self.facts.vanished.len();
            let problem = format!(
                "{count} packs are gone that no sweep named, this one first: {}{}",
                ObjectName::Pack(*pack),
                self.facts.say_of_strangers()
            );
            accepted.stop(Brake::Vanished, problem, Kind::Damaged)?;
        }
        let report = &plan.report;
        // What is only sealed anew is not lost.
        let anew =
            plan.repack.iter().map(ObjectName::hash).filter(|it| self.facts.older.contains(it));
        let anew: Vec<ObjectHash> = anew.collect();
        let going = report.deleted_bytes.max(report.condemned_bytes);
        let going = going.saturating_sub(self.facts.bytes(anew.iter()));
        if going > report.bytes / 2 && going > HALF_MATTERS {
            let problem = format!("{going} of {} stored bytes would go", report.bytes);
            accepted.stop(Brake::Half, problem, Kind::Failed)?;
        }
        Ok(())
    }
}
