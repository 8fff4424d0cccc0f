//! What is stored: headers, key slots, records and their chains, and packs beside the index.

use std::collections::{BTreeSet, HashMap, HashSet};

use bytes::Bytes;

use super::arrival::Arrival;
use super::data::TablePrint;
use super::finding::{FindingKind, Findings};
use super::known::{BadObjects, BadUnits};
use super::log::{IN_PART, LogCheck, excuse_arrival};
use crate::codec::CodecError;
use crate::codec::crypto::object_hash;
use crate::error::{Kind, Result};
use crate::format::key::{Grant, KeySlot, RepositoryHeader};
use crate::format::object::{
    FOOTER_OVERHEAD, HEADER_LENGTH, ObjectKind, TAG_LENGTH, TRAILER_LENGTH,
};
use crate::format::record::Segment;
use crate::id::ObjectHash;
use crate::repository::Repository;
use crate::repository::container::{OpenError, open_whole};
use crate::store::{Listed, ObjectName, RecordName};
use crate::time::Timestamp;

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
    /// Packs that are missing, or there in part, and may yet arrive, with their findings.
    pub(super) awaited: Vec<(usize, ObjectName)>,
    /// A record that is missing, or there in part, and may yet arrive.
    pub(super) awaited_record: Option<String>,
    /// Packs of which the rest may yet arrive, if their ends can't be read.
    pub(super) arriving: HashSet<ObjectHash>,
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
    let arrival = Arrival::new(repository, now);
    let report = repository.sync_with(|entry| log.enter(entry, &mut inventory))?;
    let (objects, strangers) = repository.store().list_all()?;
    note_many(findings, &strangers, "no object of a repository");
    headers(repository, &objects, findings)?;
    key_slots(repository, &objects, &arrival, findings)?;
    grants(repository, &objects, findings)?;
    log.list(&objects, &mut inventory);
    let segments_listed = objects.iter().filter(|row| matches!(row.name, ObjectName::Segment(_)));
    let segments_listed = segments_listed.map(|row| row.name.to_string()).collect();
    log.damaged(report, &arrival, &segments_listed, &mut inventory, findings);
    log.chain(&arrival, &mut inventory, findings);
    log.remembered(original, findings);
    refresh(original, &inventory)?;
    segments(repository, &objects, &arrival, findings)?;
    packs(repository, &objects, &arrival, &log, &mut inventory, findings)?;
    Ok(inventory)
}

/// Enters one note about many objects of one sort.
pub(super) fn note_many(findings: &mut Findings, names: &[String], what: &str) {
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

/// Returns an object of those that are small or few. `None` if it is gone since it was listed; what
/// is wrong with its bytes, if something is.
fn stored(repository: &Repository, name: &ObjectName) -> Result<Option<Result<Bytes, String>>> {
    Ok(match repository.store().get(name) {
        Ok(None) => None,
        Ok(Some(bytes)) if blake3::hash(&bytes).as_bytes() == name.hash().as_bytes() => {
            Some(Ok(bytes))
        }
        Ok(Some(_)) => Some(Err("its bytes are not what its name says".to_owned())),
        Err(error) if error.kind() == Kind::Damaged => Some(Err(error.to_string())),
        Err(error) => return Err(error),
    })
}

fn headers(repository: &Repository, objects: &[Listed], findings: &mut Findings) -> Result<()> {
    let own = ObjectName::Repository(object_hash(repository.header_bytes()));
    let mut found_own = false;
    for row in objects.iter().filter(|row| matches!(row.name, ObjectName::Repository(_))) {
        let name = row.name.to_string();
        let Some(bytes) = stored(repository, &row.name)? else { continue };
        found_own |= row.name == own;
        match bytes.map(|bytes| RepositoryHeader::decode(&bytes)) {
            Err(problem) => {
                findings.add(FindingKind::HeaderDamaged, name, problem);
            }
            Ok(_) if row.name == own => {}
            Ok(Ok(header)) => {
                let id = header.id.short();
                findings.note(name, format!("repository {id} lies in the same place"));
            }
            Ok(Err(error)) => {
                findings.note(name, format!("no header that this version reads: {error}"));
            }
        }
    }
    if !found_own {
        let problem = "the repository's header is missing; each key slot holds a copy";
        findings.add(FindingKind::HeaderMissing, own.to_string(), problem);
    }
    Ok(())
}

fn key_slots(
    repository: &Repository,
    objects: &[Listed],
    arrival: &Arrival,
    findings: &mut Findings,
) -> Result<()> {
    for row in objects.iter().filter(|row| matches!(row.name, ObjectName::KeySlot(_))) {
        let name = row.name.to_string();
        let Some(bytes) = stored(repository, &row.name)? else { continue };
        let slot = bytes.and_then(|bytes| {
            KeySlot::decode(&bytes).map_err(|error| format!("it can't be read: {error}"))
        });
        match slot {
            Err(problem) => {
                let number = findings.add(FindingKind::KeySlotDamaged, name, problem);
                excuse_part(arrival, number, row, findings);
            }
            Ok(slot) if !repository.owns_slot(&slot) => {
                findings.note(name, "a key slot of another repository");
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Looks at the grants. What is sealed under a later epoch can be read by no one if all that grant it
/// are lost.
fn grants(repository: &Repository, objects: &[Listed], findings: &mut Findings) -> Result<()> {
    for row in objects.iter().filter(|row| matches!(row.name, ObjectName::Grant(_))) {
        let name = row.name.to_string();
        let Some(bytes) = stored(repository, &row.name)? else { continue };
        let grant = bytes.and_then(|bytes| {
            Grant::decode(&bytes).map_err(|error| format!("it can't be read: {error}"))
        });
        match grant {
            Err(problem) => {
                findings.add(FindingKind::GrantDamaged, name, problem);
            }
            Ok(grant) if !repository.owns_grant(&grant) => {
                findings.note(name, "a grant of another repository");
            }
            Ok(_) => {}
        }
    }
    Ok(())
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

/// Excuses a finding about an object that may be there in part, and the rest on its way; returns
/// whether it did.
fn excuse_part(arrival: &Arrival, number: usize, row: &Listed, findings: &mut Findings) -> bool {
    let may_arrive = arrival.may_arrive(row.modified.0);
    if may_arrive {
        findings.excuse(number, IN_PART);
    }
    may_arrive
}

fn segments(
    repository: &Repository,
    objects: &[Listed],
    arrival: &Arrival,
    findings: &mut Findings,
) -> Result<()> {
    for row in objects.iter().filter(|row| matches!(row.name, ObjectName::Segment(_))) {
        let name = row.name.to_string();
        let Some(bytes) = stored(repository, &row.name)? else { continue };
        let segment = bytes.map(|bytes| {
            open_whole(repository.keys(), ObjectKind::Segment, &row.name.hash(), &bytes)
                .and_then(|opened| Ok(Segment::decode(&opened.body)?))
        });
        let problem = match segment {
            Ok(Ok(_)) => continue,
            Ok(Err(OpenError::Codec(CodecError::WrongKey))) => {
                findings.note(name, "sealed by another repository");
                continue;
            }
            Ok(Err(error)) => format!("it can't be read: {error}"),
            Err(problem) => problem,
        };
        let number = findings.add(FindingKind::SegmentDamaged, name, problem);
        excuse_part(arrival, number, row, findings);
    }
    Ok(())
}

/// Compares the index with the listing.
fn packs(
    repository: &Repository,
    objects: &[Listed],
    arrival: &Arrival,
    log: &LogCheck,
    inventory: &mut Inventory,
    findings: &mut Findings,
) -> Result<()> {
    let listed: HashMap<ObjectHash, &Listed> = objects
        .iter()
        .filter(|row| matches!(row.name, ObjectName::Pack(_)))
        .map(|row| (row.name.hash(), row))
        .collect();
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
                let named = log.named(&hash);
                if named.is_some_and(|named| excuse_arrival(arrival, number, named, findings)) {
                    inventory.awaited.push((number, name));
                }
            }
            Some(row) if row.size < reach.saturating_add(SHORTEST_TAIL) => {
                let size = row.size;
                let problem = format!("it has {size} bytes and should have more than {reach}");
                let number = findings.add(FindingKind::PackCut, text, problem);
                let units = units_behind(repository, &hash, size)?;
                inventory.bad.insert(hash, (number, units));
                if excuse_part(arrival, number, row, findings) {
                    inventory.awaited.push((number, name));
                }
            }
            Some(row) => {
                inventory.sizes.insert(hash, row.size);
                if arrival.may_arrive(row.modified.0) {
                    inventory.arriving.insert(hash);
                }
            }
        }
    }
    let unnamed = listed.into_iter().filter(|(hash, _)| !indexed.contains(hash));
    let mut unnamed: Vec<(ObjectHash, u64)> = unnamed.map(|(hash, row)| (hash, row.size)).collect();
    unnamed.sort_unstable();
    let names: Vec<String> =
        unnamed.iter().map(|(hash, _)| ObjectName::Pack(*hash).to_string()).collect();
    let bytes: u64 = unnamed.iter().map(|(_, size)| *size).sum();
    let text = format!(
        "named by no record ({bytes} bytes): of a run that died or goes on, or another repository's"
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
