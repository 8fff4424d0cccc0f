//! What listing and log say about the lanes: which records must exist, which need not, and which
//! came late.

use std::collections::{HashMap, HashSet};

use crate::error::Result;
use crate::id::{LaneId, ObjectHash, Tip};
use crate::repository::Repository;
use crate::repository::cache::Cache;
use crate::repository::log::{Order, tip_of};
use crate::store::{Listed, ObjectName};
use crate::time::{SECOND, Timestamp};

/// A lane that has said nothing for so long is nobody's any more, in nanoseconds.
pub(super) const LANE_LIVES: i64 = 180 * 24 * 3600 * SECOND;

/// Returns the newest records of each lane that may go on, whoever covers them: its machine goes on
/// from there, and takes it for a loss if they are not there.
pub(super) fn newest_of_lanes(
    listed: &HashMap<ObjectHash, Listed>,
    now: Timestamp,
) -> HashMap<ObjectHash, LaneId> {
    let mut lanes: HashMap<LaneId, (u64, Vec<ObjectHash>)> = HashMap::new();
    for row in listed.values() {
        let ObjectName::Record(name) = &row.name else { continue };
        if now.0.saturating_sub(row.modified.0) >= LANE_LIVES {
            continue;
        }
        let (sequence, newest) = lanes.entry(name.lane).or_default();
        if name.sequence > *sequence {
            *sequence = name.sequence;
            newest.clear();
        }
        if name.sequence == *sequence {
            newest.push(name.hash);
        }
    }
    let newest = lanes.into_iter().map(|(lane, (_, newest))| (lane, newest));
    newest.flat_map(|(lane, newest)| newest.into_iter().map(move |hash| (hash, lane))).collect()
}

/// Returns the first sequence of each lane that no checkpoint covers.
pub(super) fn first_uncovered(
    listed: &HashMap<ObjectHash, Listed>,
    covered: &HashSet<ObjectHash>,
) -> HashMap<LaneId, u64> {
    let mut first: HashMap<LaneId, u64> = HashMap::new();
    for row in listed.values().filter(|row| !covered.contains(&row.name.hash())) {
        if let ObjectName::Record(name) = &row.name {
            let known = first.entry(name.lane).or_insert(name.sequence);
            *known = name.sequence.min(*known);
        }
    }
    first
}

/// Returns how far checkpoints have replaced each lane: what came before may be deleted, and need
/// not be named any more. A beginning is covered without gaps, so a sequence tells.
pub(super) fn replaced_until(
    order: &Order,
    covered: &HashSet<ObjectHash>,
    listed: &HashMap<ObjectHash, Listed>,
) -> HashMap<LaneId, u64> {
    let mut until: HashMap<LaneId, u64> = HashMap::new();
    for row in listed.values() {
        let ObjectName::Record(name) = &row.name else { continue };
        let previous = order.link(&name.hash).and_then(|link| link.previous);
        // A checkpoint may be covered behind what is not.
        let sequence = if covered.contains(&name.hash) && name.kind != "checkpoint" {
            name.sequence
        } else if previous.is_some_and(|previous| covered.contains(&previous)) {
            name.sequence.saturating_sub(1)
        } else {
            continue;
        };
        let known = until.entry(name.lane).or_default();
        *known = sequence.max(*known);
    }
    until
}

/// Returns the records that must exist and were not read: those of the other listing, those that
/// this machine had read, and those that others name. A store whose listings leave something out
/// must not make it look as if nobody needed anything.
pub(super) fn unseen(
    order: &Order,
    covered: &HashSet<ObjectHash>,
    read: &HashSet<ObjectHash>,
    listed: &HashMap<ObjectHash, Listed>,
    known: impl Iterator<Item = ObjectHash>,
) -> Vec<ObjectHash> {
    let is_record = |row: &&Listed| matches!(row.name, ObjectName::Record(_));
    let of_listing = listed.values().filter(is_record).map(|row| row.name.hash());
    // What a covered record names may be deleted, and its name with it.
    let open = || order.links().filter(|link| !covered.contains(&link.hash));
    let before = open().filter_map(|link| link.previous);
    let mut unseen: Vec<ObjectHash> =
        of_listing.chain(known).chain(before).filter(|hash| !read.contains(hash)).collect();
    let tips: HashSet<Tip> = read.iter().map(tip_of).collect();
    let lost = open().flat_map(|link| link.view.iter()).filter(|tip| !tips.contains(*tip));
    unseen.extend(lost.map(|tip| {
        let mut hash = ObjectHash::default();
        for (to, from) in hash.0.iter_mut().zip(tip.0) {
            *to = from;
        }
        hash
    }));
    unseen.sort_unstable();
    unseen.dedup();
    unseen
}

/// Returns the best of what was said of each record that came late or can't be had. Whoever came
/// late too had not seen what was deleted, and has no say.
pub(super) fn verdicts(cache: &Cache, late: &[ObjectHash]) -> Result<HashMap<ObjectHash, u64>> {
    let late: HashSet<&ObjectHash> = late.iter().collect();
    let mut verdicts: HashMap<ObjectHash, u64> = HashMap::new();
    for (heal, record, verdict) in cache.heals()? {
        if !late.contains(&heal) {
            let known = verdicts.entry(record).or_insert(verdict);
            *known = verdict.min(*known);
        }
    }
    Ok(verdicts)
}

/// Returns the records that came late (rule 32): their writers had not read a condemnation of which
/// there is a sweep, whose writer had not read them.
pub(super) fn late(
    repository: &Repository,
    order: &Order,
    covered: &HashSet<ObjectHash>,
) -> Result<Vec<ObjectHash>> {
    let mut late = Vec::new();
    let checkpoints = repository.cache().replaced()?;
    for (condemnation, sweeps) in repository.cache().sweeps()? {
        // One that is deleted measures nobody any more: a newer pair does, which is never deleted
        // before there is another.
        if order.link(&condemnation).is_none() {
            continue;
        }
        // Whoever made a checkpoint that names it had looked into all that it knew; and whoever read
        // such a checkpoint knows the condemnation by it.
        let judges: Vec<ObjectHash> = checkpoints
            .iter()
            .filter(|replaced| replaced.records.contains(&condemnation))
            .map(|replaced| replaced.checkpoint)
            .collect();
        for sweep in sweeps {
            let vouches = |judge: &ObjectHash, record: &ObjectHash| {
                judge == record || order.knew(judge, record) || order.knew(record, judge)
            };
            let is_late = |record: &ObjectHash| {
                *record != condemnation
                    && *record != sweep
                    && !covered.contains(record)
                    && !order.knew(record, &condemnation)
                    && !order.knew(&sweep, record)
                    && !judges.iter().any(|judge| vouches(judge, record))
            };
            late.extend(order.links().map(|link| link.hash).filter(is_late));
        }
    }
    late.sort_unstable();
    late.dedup();
    Ok(late)
}
