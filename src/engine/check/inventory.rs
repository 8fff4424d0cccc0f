//! What is stored: headers, key slots, records and their chains, and packs beside the index.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::data::{TablePrint, print_of};
use super::finding::{FindingKind, Findings};
use super::known::{BadObjects, BadUnits};
use crate::codec::crypto::object_hash;
use crate::error::Result;
use crate::format::key::{KeySlot, REPOSITORY_REPLICATED, RepositoryHeader};
use crate::format::object::{
    FOOTER_OVERHEAD, HEADER_LENGTH, ObjectKind, TAG_LENGTH, TRAILER_LENGTH,
};
use crate::format::record::{Record, Segment};
use crate::id::{LaneId, ObjectHash, Tip};
use crate::repository::Repository;
use crate::repository::container::open_whole;
use crate::repository::log::SyncReport;
use crate::store::{Listed, ObjectName, RecordName};
use crate::time::{SECOND, Timestamp};

/// So long a pack may be on its way in a replicated repository, in nanoseconds.
const ARRIVAL: i64 = 7 * 24 * 3600 * SECOND;
/// The least that lies behind an object's units, in bytes.
const SHORTEST_TAIL: u64 = (FOOTER_OVERHEAD + TAG_LENGTH + TRAILER_LENGTH) as u64;
/// How many names a note lists.
const NAMES: usize = 5;

/// What is stored.
#[derive(Default)]
pub(super) struct Inventory {
    /// The length of each stored object that holds units and can be read so far, in bytes.
    pub(super) sizes: HashMap<ObjectHash, u64>,
    /// What the log says of each object's table.
    pub(super) prints: HashMap<ObjectHash, TablePrint>,
    /// Objects with something wrong.
    pub(super) bad: BadObjects,
    /// How many records can be read.
    pub(super) record_count: u64,
    /// How many packs the index names.
    pub(super) pack_count: u64,
    /// Records that are damaged, but whose words can be read.
    pub(super) salvaged: Vec<ObjectName>,
    /// Records that are listed but can't be read.
    pub(super) damaged_records: Vec<RecordName>,
}

/// Looks at everything but the content of packs. `repository` has a cache of its own, which is
/// filled here; `original` is the one that the user opened.
pub(super) fn take(
    original: &Repository,
    repository: &Repository,
    now: Option<Timestamp>,
    findings: &mut Findings,
) -> Result<Inventory> {
    let mut inventory = Inventory::default();
    let mut log = LogCheck::default();
    // What refers is read before what it refers to: a backup that goes on meanwhile adds objects
    // that no record seen here names, and never the reverse.
    let report = repository.sync_with(|name, record| log.enter(name, record, &mut inventory))?;
    let (objects, strangers) = repository.store().list_all()?;
    note_many(findings, &strangers, "no object of a repository");
    headers(repository, &objects, findings)?;
    key_slots(repository, &objects, findings)?;
    log.list(&objects, &mut inventory);
    log.damaged(report, &mut inventory, findings);
    log.chain(findings);
    log.remembered(original, findings);
    refresh(original, &inventory)?;
    segments(repository, &objects, findings)?;
    packs(repository, &objects, now, &log, &mut inventory, findings)?;
    Ok(inventory)
}

fn note_many(findings: &mut Findings, names: &[String], what: &str) {
    let Some((first, rest)) = names.split_first() else { return };
    let shown: Vec<&str> = names.iter().take(NAMES).map(String::as_str).collect();
    let more = names.len().saturating_sub(shown.len());
    let text = match (rest.is_empty(), more) {
        (true, _) => what.to_owned(),
        (false, 0) => format!("{what}: {}", shown.join(", ")),
        (false, more) => format!("{what}: {} and {more} more", shown.join(", ")),
    };
    let object = if rest.is_empty() { first.clone() } else { format!("{} objects", names.len()) };
    findings.note(object, text);
}

fn headers(repository: &Repository, objects: &[Listed], findings: &mut Findings) -> Result<()> {
    let own = ObjectName::Repository(object_hash(repository.header_bytes()));
    let mut found_own = false;
    for row in objects.iter().filter(|row| matches!(row.name, ObjectName::Repository(_))) {
        let bytes = repository.store().get(&row.name)?.unwrap_or_default();
        let name = row.name.to_string();
        found_own |= row.name == own;
        if blake3::hash(&bytes).as_bytes() != row.name.hash().as_bytes() {
            findings.add(FindingKind::HeaderDamaged, name, "its bytes are not what its name says");
        } else if row.name != own {
            let text = match RepositoryHeader::decode(&bytes) {
                Ok(header) => format!("repository {} lies in the same place", header.id.short()),
                Err(error) => format!("no header that this version reads: {error}"),
            };
            findings.note(name, text);
        }
    }
    if !found_own {
        let problem = "the repository's header is missing; each key slot holds a copy";
        findings.add(FindingKind::HeaderMissing, own.to_string(), problem);
    }
    Ok(())
}

fn key_slots(repository: &Repository, objects: &[Listed], findings: &mut Findings) -> Result<()> {
    for row in objects.iter().filter(|row| matches!(row.name, ObjectName::KeySlot(_))) {
        let bytes = repository.store().get(&row.name)?.unwrap_or_default();
        let name = row.name.to_string();
        let kind = FindingKind::KeySlotDamaged;
        if blake3::hash(&bytes).as_bytes() != row.name.hash().as_bytes() {
            findings.add(kind, name, "its bytes are not what its name says");
            continue;
        }
        match KeySlot::decode(&bytes) {
            Err(error) => {
                findings.add(kind, name, format!("it can't be read: {error}"));
            }
            Ok(slot) if !repository.owns_slot(&slot) => {
                findings.note(name, "a key slot of another repository");
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

/// The log's records, and how they hang together.
#[derive(Default)]
struct LogCheck {
    records: HashMap<ObjectHash, (LaneId, u64)>,
    links: Vec<Link>,
    tips: HashSet<Tip>,
    covered: HashSet<ObjectHash>,
    acknowledged: HashSet<ObjectHash>,
    contradictions: Vec<ObjectHash>,
    /// When each object was first named.
    named: HashMap<ObjectHash, i64>,
}

struct Link {
    name: RecordName,
    previous: ObjectHash,
}

impl LogCheck {
    /// Takes in a listing that is younger than the records.
    fn list(&mut self, objects: &[Listed], inventory: &mut Inventory) {
        for row in objects {
            let ObjectName::Record(name) = &row.name else { continue };
            self.records.insert(name.hash, (name.lane, name.sequence));
            if inventory.prints.contains_key(&name.hash) {
                inventory.sizes.insert(name.hash, row.size);
            }
        }
    }

    fn damaged(&self, report: SyncReport, inventory: &mut Inventory, findings: &mut Findings) {
        inventory.record_count = report.applied_records;
        for damaged in report.damaged {
            let what = format!("it can't be read{}", cause(&damaged.error));
            let number = findings.add(FindingKind::RecordDamaged, damaged.name.to_string(), what);
            if self.acknowledged.contains(&damaged.name.hash()) {
                findings.excuse(number, ACKNOWLEDGED);
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
                findings.add(FindingKind::RecordDamaged, salvaged.name.to_string(), what);
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

    fn enter(&mut self, name: &RecordName, record: &Record, inventory: &mut Inventory) {
        if let Some(previous) = record.previous {
            self.links.push(Link { name: name.clone(), previous });
        }
        self.tips.extend(record.view.iter().copied());
        if let Some(checkpoint) = &record.checkpoint {
            self.covered.extend(checkpoint.records.iter().copied());
            self.tips.extend(checkpoint.tips.iter().copied());
        }
        self.acknowledged.extend(record.heal.iter().map(|heal| heal.record));
        if !record.inline.is_empty() {
            inventory.prints.insert(name.hash, print_of(&record.inline));
        }
        for object in &record.entries {
            let print = print_of(&object.units);
            let first = inventory.prints.insert(object.object, print);
            if first.is_some_and(|first| first != print) {
                self.contradictions.push(object.object);
            }
            let named = self.named.entry(object.object).or_insert(record.written);
            *named = record.written.min(*named);
        }
    }

    /// Every record's predecessor is there, and every tip that somebody had read.
    fn chain(&self, findings: &mut Findings) {
        let mut missing = HashSet::new();
        for Link { name, previous } in &self.links {
            let before = (name.lane, name.sequence.saturating_sub(1));
            match self.records.get(previous) {
                Some(found) if *found == before => {}
                Some(_) => {
                    let name = ObjectName::Record(name.clone()).to_string();
                    let problem = "the record before it is one of another place";
                    findings.add(FindingKind::RecordsDisagree, name, problem);
                }
                None if self.covered.contains(previous) => {}
                None if missing.insert(*previous) => {
                    let object = format!("log/…/{}/{:016x}-…-{previous}", before.0, before.1);
                    let problem = "it is missing; the record after it names it";
                    self.add_missing(previous, object, problem, findings);
                }
                None => {}
            }
        }
        let is_listed = |tip: &Tip| {
            let begins = |hash: &ObjectHash| hash.0.starts_with(&tip.0);
            self.records.keys().any(begins)
                || self.covered.iter().any(begins)
                || missing.iter().any(begins)
        };
        let mut gone: Vec<&Tip> = self.tips.iter().filter(|tip| !is_listed(tip)).collect();
        gone.sort_unstable();
        for tip in gone {
            let problem = "it is missing; another record's writer had read it";
            findings.add(FindingKind::RecordMissing, format!("log/g/…-{tip}…"), problem);
        }
    }

    fn add_missing(
        &self,
        hash: &ObjectHash,
        object: String,
        problem: &str,
        findings: &mut Findings,
    ) {
        let number = findings.add(FindingKind::RecordMissing, object, problem);
        if self.acknowledged.contains(hash) {
            findings.excuse(number, ACKNOWLEDGED);
        }
    }

    /// What this machine wrote last is still there.
    fn remembered(&self, original: &Repository, findings: &mut Findings) {
        let Some(lane) = original.state().and_then(crate::repository::state::StateFolder::lane)
        else {
            return;
        };
        let is_named = self.links.iter().any(|link| link.previous == lane.tip);
        if !self.records.contains_key(&lane.tip) && !self.covered.contains(&lane.tip) && !is_named {
            let object = format!("log/…/{}/{:016x}-…-{}", lane.lane, lane.sequence, lane.tip);
            let problem = "it is missing; this machine remembers writing it";
            self.add_missing(&lane.tip, object, problem, findings);
        }
    }
}

/// The cache of the user's own handle must not know what the log no longer says.
fn refresh(original: &Repository, inventory: &Inventory) -> Result<()> {
    let known = original.cache().records()?;
    let stale = inventory.damaged_records.iter().any(|name| known.contains(&name.hash));
    if stale {
        original.resync()?
    } else {
        original.sync()?
    };
    Ok(())
}

/// Why a record is no damage any more.
const ACKNOWLEDGED: &str = "a repair has taken note of the loss";

fn cause(error: &crate::error::Error) -> String {
    std::error::Error::source(error).map_or_else(String::new, |cause| format!(": {cause}"))
}

fn segments(repository: &Repository, objects: &[Listed], findings: &mut Findings) -> Result<()> {
    for row in objects.iter().filter(|row| matches!(row.name, ObjectName::Segment(_))) {
        let bytes = repository.store().get(&row.name)?.unwrap_or_default();
        let kind = ObjectKind::Segment;
        let opened = open_whole(repository.keys(), kind, &row.name.hash(), &bytes)
            .and_then(|opened| Ok(Segment::decode(&opened.body)?));
        if let Err(error) = opened {
            let problem = format!("it can't be read: {error}");
            findings.add(FindingKind::SegmentDamaged, row.name.to_string(), problem);
        }
    }
    Ok(())
}

/// Compares the index with the listing.
fn packs(
    repository: &Repository,
    objects: &[Listed],
    now: Option<Timestamp>,
    log: &LogCheck,
    inventory: &mut Inventory,
    findings: &mut Findings,
) -> Result<()> {
    let listed: HashMap<ObjectHash, u64> = objects
        .iter()
        .filter(|row| matches!(row.name, ObjectName::Pack(_)))
        .map(|row| (row.name.hash(), row.size))
        .collect();
    let is_replicated = repository.header().flags & REPOSITORY_REPLICATED != 0;
    let mut indexed = HashSet::new();
    for (name, reach) in repository.cache().objects()? {
        let ObjectName::Pack(hash) = name else { continue };
        indexed.insert(hash);
        inventory.pack_count = inventory.pack_count.saturating_add(1);
        let text = name.to_string();
        match listed.get(&hash) {
            None => {
                let number = findings.add(FindingKind::PackMissing, text, "it is missing");
                inventory.bad.insert(hash, (number, BadUnits::All));
                let named = log.named.get(&hash).zip(now);
                let age = named.map(|(named, now)| now.0.saturating_sub(*named));
                if is_replicated && age.is_some_and(|age| age < ARRIVAL) {
                    findings.excuse(number, "it was named less than 7 days ago and may yet arrive");
                }
            }
            Some(&size) if size < reach.saturating_add(SHORTEST_TAIL) => {
                let problem = format!("it has {size} bytes and should have more than {reach}");
                let number = findings.add(FindingKind::PackCut, text, problem);
                let units = units_behind(repository, &hash, size)?;
                inventory.bad.insert(hash, (number, units));
            }
            Some(&size) => {
                inventory.sizes.insert(hash, size);
            }
        }
    }
    let mut unnamed: Vec<(ObjectHash, u64)> =
        listed.into_iter().filter(|(hash, _)| !indexed.contains(hash)).collect();
    unnamed.sort_unstable();
    let names: Vec<String> =
        unnamed.iter().map(|(hash, _)| ObjectName::Pack(*hash).to_string()).collect();
    let bytes: u64 = unnamed.iter().map(|(_, size)| *size).sum();
    let text = format!(
        "named by no record ({bytes} bytes): left by a run that died, or another repository's"
    );
    note_many(findings, &names, &text);
    Ok(())
}

/// Returns the units that do not lie within an object's first `size` bytes.
fn units_behind(repository: &Repository, hash: &ObjectHash, size: u64) -> Result<BadUnits> {
    if size < HEADER_LENGTH as u64 {
        return Ok(BadUnits::All);
    }
    let mut end = HEADER_LENGTH as u64;
    let mut bad = BTreeSet::new();
    for (number, unit) in (0_u32..).zip(repository.cache().units_of(hash)?) {
        end = end.saturating_add(unit.stored_length);
        if end > size {
            bad.insert(number);
        }
    }
    Ok(BadUnits::Some(bad))
}
