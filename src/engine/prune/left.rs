//! What a thorough prune has to leave although not all that is in it is needed, and why: so that nobody
//! takes for gone what is not.

use std::collections::HashSet;

use super::facts::Facts;
use super::needs::Needs;
use super::options::Left;
use super::plan::PrunePlan;
use super::usage::Usage;
use crate::error::{Kind, Result};
use crate::id::{ObjectHash, SnapshotId};
use crate::store::{Listed, ObjectName, RecordName};

/// Returns whether a record holds a dead snapshot, or a unit of which something is not needed. One that
/// a checkpoint covers has to be read for that: the index says nothing of it any more. One that can't
/// be may hold anything.
pub(super) fn holds_unneeded(
    facts: &Facts,
    name: &RecordName,
    live: &HashSet<SnapshotId>,
    needs: &Needs,
) -> Result<bool> {
    let record = match facts.repository.load_record(name) {
        Ok(record) => record,
        Err(error) if error.kind() == Kind::Damaged => return Ok(true),
        Err(error) => return Err(error),
    };
    let id = |body: &[u8]| facts.repository.keys().snapshot_id(body);
    let is_dead = record.snapshot.is_some_and(|body| !live.contains(&id(&body)));
    let mut blobs = record.inline.iter().flat_map(|unit| unit.blobs.iter());
    Ok(is_dead || blobs.any(|blob| !needs.has(blob)))
}

/// Counts what stays when a plan is carried out; `covers` are records that a checkpoint would be made to
/// replace, and `is_young` says of an object whether its age alone keeps it.
pub(super) fn left(
    facts: &Facts,
    plan: &PrunePlan,
    usage: &Usage,
    needs: &Needs,
    live: &HashSet<SnapshotId>,
    covers: &HashSet<ObjectHash>,
    is_young: impl Fn(&Listed) -> bool,
) -> Result<Left> {
    let going = plan.condemn.iter().chain(&plan.sweep).chain(&plan.leftovers);
    let mut going: HashSet<ObjectHash> = going.map(ObjectName::hash).collect();
    let is_own = |hash: &ObjectHash| facts.own_newest().any(|own| own == hash);
    going.extend(covers.iter().filter(|hash| !facts.keeps_lane(hash) || is_own(hash)));
    let stays = |hash: &ObjectHash| {
        facts.listed.contains_key(hash)
            && !going.contains(hash)
            && !facts.condemned.contains_key(hash)
            && !facts.gone.contains(hash)
    };
    let mut holding: HashSet<ObjectHash> = HashSet::new();
    let mut known: HashSet<ObjectHash> = HashSet::new();
    for (_, name, _) in facts.repository.cache().numbered_objects()? {
        let hash = name.hash();
        known.insert(hash);
        if usage.has_unused(&hash) && stays(&hash) {
            holding.insert(hash);
        }
    }
    for (id, record) in facts.repository.cache().snapshot_records()? {
        holding.extend(record.filter(|hash| !live.contains(&id) && stays(hash)));
    }
    for (hash, _) in facts.newest_of_lanes() {
        if let Some(ObjectName::Record(name)) = facts.name(hash)
            && facts.covered.contains(hash)
            && stays(hash)
            && holds_unneeded(facts, name, live, needs)?
        {
            holding.insert(*hash);
        }
    }
    // Packs of runs that died, which the next one may take over.
    let packs = facts.listed.values().filter(|row| matches!(row.name, ObjectName::Pack(_)));
    holding.extend(packs.map(|row| row.name.hash()).filter(|it| !known.contains(it) && stays(it)));
    let is_covered = |hash: &ObjectHash| facts.covered.contains(hash) || covers.contains(hash);
    let mut left = Left::default();
    for hash in holding {
        let is_record = matches!(facts.name(&hash), Some(ObjectName::Record(_)));
        let count =
            if facts.kept_by_partials.contains(&hash) || !(is_record || known.contains(&hash)) {
                &mut left.unfinished_objects
            } else if is_record && facts.keeps_lane(&hash) && is_covered(&hash) {
                &mut left.lane_records
            } else if is_record && !is_covered(&hash) {
                &mut left.open_records
            } else if facts.listed.get(&hash).is_some_and(&is_young) {
                &mut left.young_objects
            } else {
                &mut left.limited_objects
            };
        *count = count.saturating_add(1);
    }
    Ok(left)
}
