//! The log's records: which can be read, how they hang together, and what they say of objects.
//!
//! Memory: about 200 bytes for each record and 100 for each pack.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::arrival::Arrival;
use super::data::print_of;
use super::finding::{FindingKind, Findings};
use super::inventory::{Inventory, note_many};
use crate::format::record::{ObjectUnits, Record};
use crate::id::{LaneId, ObjectHash, Tip};
use crate::repository::Repository;
use crate::repository::log::{LogEntry, SyncReport};
use crate::repository::state::StateFolder;
use crate::store::{Listed, ObjectName, RecordName};

/// Why a missing object is no damage yet.
const ON_ITS_WAY: &str = "it was named less than 7 days ago and may yet arrive";
/// Why an object whose end can't be read is no damage yet.
pub(super) const IN_PART: &str = "it was stored less than 7 days ago and the rest may yet arrive";
/// Why what nobody names is no damage yet, nor what lacks its base.
pub(super) const NAMED_LATER: &str = "an object that tells where it is may yet arrive";
/// Why a record is no damage any more.
const ACKNOWLEDGED: &str = "a repair has taken note of it";

/// Excuses a finding about what is missing if it may yet arrive; returns whether it did.
pub(super) fn excuse_arrival(
    arrival: &Arrival,
    number: usize,
    named: i64,
    findings: &mut Findings,
) -> bool {
    let may_arrive = arrival.may_arrive(named);
    if may_arrive {
        findings.excuse(number, ON_ITS_WAY);
    }
    may_arrive
}

/// The log's records, and how they hang together.
#[derive(Default)]
pub(super) struct LogCheck {
    records: HashMap<ObjectHash, (LaneId, u64)>,
    links: Vec<Link>,
    /// Tips of views, and when each was first named.
    tips: HashMap<Tip, i64>,
    covered: HashSet<ObjectHash>,
    acknowledged: HashSet<ObjectHash>,
    contradictions: BTreeSet<ObjectHash>,
    /// When each pack was first named.
    packs: HashMap<ObjectHash, i64>,
    /// When each listed record was stored.
    stored: HashMap<ObjectHash, i64>,
}

struct Link {
    name: RecordName,
    written: i64,
    previous: ObjectHash,
}

/// Keeps the earliest time.
fn enter_time<K: std::hash::Hash + Eq>(times: &mut HashMap<K, i64>, key: K, time: i64) {
    let earliest = times.entry(key).or_insert(time);
    *earliest = time.min(*earliest);
}

fn tip_of(hash: &ObjectHash) -> Option<[u8; 8]> {
    hash.0.first_chunk().copied()
}

impl LogCheck {
    /// Takes in a listing that is younger than the records.
    pub(super) fn list(&mut self, objects: &[Listed], inventory: &mut Inventory) {
        for row in objects {
            let ObjectName::Record(name) = &row.name else { continue };
            self.records.insert(name.hash, (name.lane, name.sequence));
            self.stored.insert(name.hash, row.modified.0);
            if inventory.prints.contains_key(&name.hash) {
                inventory.sizes.insert(name.hash, row.size);
            }
        }
    }

    /// Enters what the sync could not read, or only in part.
    pub(super) fn damaged(
        &self,
        report: SyncReport,
        arrival: &Arrival,
        listed: &HashSet<String>,
        inventory: &mut Inventory,
        findings: &mut Findings,
    ) {
        inventory.record_count = report.applied_records;
        for damaged in report.damaged {
            let what = format!("it can't be read{}", cause(&damaged.error));
            let (kind, name) = (FindingKind::RecordDamaged, &damaged.name);
            let number = self.add(kind, &name.hash(), name.to_string(), what, findings);
            let stored = self.stored.get(&name.hash());
            if stored.is_some_and(|stored| arrival.may_arrive(*stored)) {
                findings.excuse(number, IN_PART);
                inventory.awaited_record.get_or_insert_with(|| damaged.name.to_string());
            }
            if let ObjectName::Record(name) = damaged.name {
                inventory.damaged_records.push(name);
            }
        }
        for salvaged in report.salvaged {
            // One that holds units is looked into with the data.
            if inventory.prints.contains_key(&salvaged.name.hash()) {
                inventory.salvaged.push(salvaged.name);
            } else {
                let what = format!("it lies under a wrong name{}", cause(&salvaged.error));
                let (kind, name) = (FindingKind::RecordDamaged, &salvaged.name);
                self.add(kind, &name.hash(), name.to_string(), what, findings);
            }
        }
        for lacking in report.unsupported {
            // A segment that is there is looked at with the others.
            let Some(segment) = lacking.error.object_name().filter(|it| !listed.contains(*it))
            else {
                continue;
            };
            let what = format!("it is missing, and `{}` needs it", lacking.name);
            let hash = lacking.name.hash();
            let number =
                self.add(FindingKind::SegmentDamaged, &hash, segment.to_owned(), what, findings);
            if self.stored.get(&hash).is_some_and(|stored| arrival.may_arrive(*stored)) {
                findings.excuse(number, ON_ITS_WAY);
            }
        }
        let foreign: Vec<String> = report.foreign.iter().map(ToString::to_string).collect();
        note_many(findings, &foreign, "sealed by another repository");
        for object in &self.contradictions {
            let what = "two records say different things of its units";
            let name = ObjectName::Pack(*object).to_string();
            findings.add(FindingKind::RecordsDisagree, name, what);
        }
    }

    /// Takes in what a sync comes upon.
    pub(super) fn enter(&mut self, entry: LogEntry<'_>, inventory: &mut Inventory) {
        match entry {
            LogEntry::Record(name, record) => self.enter_record(name, record, inventory),
            LogEntry::Replaced(..) => {}
            LogEntry::Segment(_, segment) => {
                // What a checkpoint stands for was named long ago.
                self.enter_entries(&segment.entries, i64::MIN, inventory);
            }
        }
    }

    fn enter_record(&mut self, name: &RecordName, record: &Record, inventory: &mut Inventory) {
        if let Some(previous) = record.previous {
            self.links.push(Link { name: name.clone(), written: record.written, previous });
        }
        for tip in record.view.iter() {
            enter_time(&mut self.tips, *tip, record.written);
        }
        if let Some(checkpoint) = &record.checkpoint {
            self.covered.extend(checkpoint.records.iter().copied());
            for tip in checkpoint.tips.iter() {
                enter_time(&mut self.tips, *tip, record.written);
            }
        }
        self.acknowledged.extend(record.heal.iter().map(|heal| heal.record));
        if !record.inline.is_empty() {
            inventory.prints.insert(name.hash, print_of(&record.inline));
        }
        self.enter_entries(&record.entries, record.written, inventory);
    }

    fn enter_entries(&mut self, entries: &[ObjectUnits], named: i64, inventory: &mut Inventory) {
        for object in entries {
            let print = print_of(&object.units);
            let first = inventory.prints.insert(object.object, print);
            if first.is_some_and(|first| first != print) {
                self.contradictions.insert(object.object);
            }
            enter_time(&mut self.packs, object.object, named);
        }
    }

    /// Every record's predecessor is there, and every tip that somebody had read.
    pub(super) fn chain(
        &self,
        arrival: &Arrival,
        inventory: &mut Inventory,
        findings: &mut Findings,
    ) {
        let mut missing: HashMap<ObjectHash, (usize, i64)> = HashMap::new();
        for Link { name, written, previous } in &self.links {
            let before = (name.lane, name.sequence.saturating_sub(1));
            match self.records.get(previous) {
                Some(found) if *found == before => {}
                Some(_) => {
                    let name = ObjectName::Record(name.clone()).to_string();
                    let problem = "the record before it is one of another place";
                    findings.add(FindingKind::LaneBroken, name, problem);
                }
                None if self.covered.contains(previous) => {}
                None => {
                    let (_, named) = missing.entry(*previous).or_insert_with(|| {
                        let object = format!("log/…/{}/{:016x}-…-{previous}", before.0, before.1);
                        let problem = "it is missing; the record after it names it";
                        let kind = FindingKind::RecordMissing;
                        (self.add(kind, previous, object, problem, findings), *written)
                    });
                    *named = (*written).min(*named);
                }
            }
        }
        for (hash, (number, named)) in &missing {
            if excuse_arrival(arrival, *number, *named, findings) {
                inventory.awaited_record.get_or_insert_with(|| format!("log/…-{hash}"));
            }
        }
        let known = self.records.keys().chain(&self.covered).chain(missing.keys());
        let known: HashSet<Tip> = known.filter_map(tip_of).map(Tip).collect();
        let mut gone: Vec<_> = self.tips.iter().filter(|(tip, _)| !known.contains(tip)).collect();
        gone.sort_unstable();
        for (tip, named) in gone {
            let problem = "it is missing; another record's writer had read it";
            let object = format!("log/g/…-{tip}…");
            let number = findings.add(FindingKind::RecordMissing, object, problem);
            if excuse_arrival(arrival, number, *named, findings) {
                inventory.awaited_record.get_or_insert_with(|| format!("log/…-{tip}…"));
            }
        }
    }

    /// Returns when a record first named a pack.
    pub(super) fn named(&self, pack: &ObjectHash) -> Option<i64> {
        self.packs.get(pack).copied()
    }

    /// Enters a finding about a record, a note if a repair has taken note of it; returns its number.
    fn add(
        &self,
        kind: FindingKind,
        hash: &ObjectHash,
        object: impl Into<String>,
        problem: impl Into<String>,
        findings: &mut Findings,
    ) -> usize {
        let number = findings.add(kind, object, problem);
        if self.acknowledged.contains(hash) {
            findings.excuse(number, ACKNOWLEDGED);
        }
        number
    }

    /// What this machine wrote last is still there.
    pub(super) fn remembered(&self, original: &Repository, findings: &mut Findings) {
        let Some(lane) = original.state().and_then(StateFolder::lane) else { return };
        let is_named = self.links.iter().any(|link| link.previous == lane.tip);
        if !self.records.contains_key(&lane.tip) && !self.covered.contains(&lane.tip) && !is_named {
            let object = format!("log/…/{}/{:016x}-…-{}", lane.lane, lane.sequence, lane.tip);
            let problem = "it is missing; this machine remembers writing it";
            self.add(FindingKind::RecordMissing, &lane.tip, object, problem, findings);
        }
    }
}

fn cause(error: &crate::error::Error) -> String {
    std::error::Error::source(error).map_or_else(String::new, |cause| format!(": {cause}"))
}
