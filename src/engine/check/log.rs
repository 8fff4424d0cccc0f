//! Header, key slots and records: each against its name, and the chain of each lane.

use std::collections::{HashMap, HashSet};

use super::{FindingKind, Found};
use crate::codec::crypto::object_hash;
use crate::error::{Kind, Result};
use crate::event::Counters;
use crate::format::key::KeySlot;
use crate::id::{LaneId, ObjectHash};
use crate::repository::Repository;
use crate::store::{ObjectName, Prefix};

/// What the log's records told.
pub(super) struct Records {
    /// How many can be read.
    pub(super) count: u64,
    /// Those that can't.
    pub(super) damaged: Vec<ObjectHash>,
}

/// Checks header and key slots.
pub(super) fn check_keys(repository: &Repository, found: &mut Found) -> Result<()> {
    let store = repository.store();
    let headers = store.list(Prefix::Repository)?;
    let mut own_is_there = false;
    for row in &headers {
        let bytes = store.get(&row.name)?.unwrap_or_default();
        if object_hash(&bytes) == row.name.hash() {
            own_is_there |= bytes == repository.header_bytes();
        } else {
            found.add(FindingKind::Header, row.name.to_string(), "is damaged");
        }
    }
    if !own_is_there {
        let name = ObjectName::Repository(object_hash(repository.header_bytes()));
        found.add(FindingKind::Header, name.to_string(), "is missing");
    }
    for row in store.list(Prefix::Keys)? {
        let bytes = store.get(&row.name)?.unwrap_or_default();
        if object_hash(&bytes) != row.name.hash() {
            found.add(FindingKind::KeySlot, row.name.to_string(), "is damaged");
        } else if let Err(error) = KeySlot::decode(&bytes) {
            found.add(FindingKind::KeySlot, row.name.to_string(), format!("is damaged: {error}"));
        }
    }
    Ok(())
}

/// Reads every record, and checks that each lane's chain has no hole. Forks are no damage: a
/// restored home may have gone on where another run already had.
pub(super) fn check_records(
    repository: &Repository,
    found: &mut Found,
    counters: &Counters,
) -> Result<Records> {
    let mut records = Records { count: 0, damaged: Vec::new() };
    let mut names = HashSet::new();
    let mut previous: HashMap<ObjectHash, (LaneId, u64)> = HashMap::new();
    let mut covered = HashSet::new();
    for row in repository.store().list(Prefix::Log)? {
        counters.go_on()?;
        let ObjectName::Record(name) = &row.name else { continue };
        names.insert(name.hash);
        match repository.find_record(name) {
            Ok(None) => found.report.notes.push(format!(
                "`{}` belongs to another repository; nothing here needs it",
                row.name
            )),
            Ok(Some(record)) => {
                records.count = records.count.saturating_add(1);
                if let Some(before) = record.previous {
                    let sequence = record.sequence.saturating_sub(1);
                    previous.insert(before, (record.lane, sequence));
                }
                if let Some(checkpoint) = &record.checkpoint {
                    covered.extend(checkpoint.records.iter().copied());
                }
            }
            Err(error) if error.kind() == Kind::Damaged => {
                found.object(&row.name, FindingKind::Record, super::cause(&error));
                records.damaged.push(name.hash);
            }
            Err(error) => return Err(error),
        }
    }
    for (hash, (lane, sequence)) in previous {
        if !names.contains(&hash) && !covered.contains(&hash) {
            let object = format!("log/*/{lane}/{sequence:016x}-*-{hash}");
            found.add(
                FindingKind::Record,
                object,
                "is missing: the record after it names it; a snapshot may have gone with it",
            );
        }
    }
    Ok(records)
}
