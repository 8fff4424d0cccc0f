//! `check`: every promise of the format, from cheap to thorough.
//!
//! ```text
//! list ─ headers, slots ─ log into an index of its own ─ packs beside the index
//!                                     │
//!              [--read-data] objects, in parallel ─ which units can't be read
//!                                     │
//!             trees of all snapshots, each once ─ what is lost ─ whom that harms
//! ```
//!
//! The index is made from the log alone, so what this machine's cache remembers can't hide damage.
//! A finding names the object, what it harms, what it does not, and the next step. What no snapshot
//! needs is a note. Nothing is written but to the local cache: what was found damaged is no longer
//! relied upon, so that the next backup stores it again.
//!
//! Peak memory: 64 MiB of objects + workers × one unit (1 MiB as we write them) + the reader's
//! 8 MiB + the index's 8 MiB and 12 bytes for each blob + 40 bytes for each tree and list blob.

mod affected;
mod bases;
mod data;
mod finding;
mod inventory;
mod known;
mod subset;
mod trees;

use std::collections::HashMap;

pub use finding::{Finding, FindingKind, Note};
pub use subset::ReadData;
pub(in crate::engine) use trees::Losses;

use self::finding::Findings;
use self::known::KnownBlobs;
use self::trees::TreeCheck;
use crate::error::Result;
use crate::event::Counters;
use crate::id::ObjectHash;
use crate::repository::Repository;
use crate::repository::cache::SnapshotEntry;
use crate::repository::snapshots::SnapshotFilter;
use crate::store::{ObjectName, RecordName};
use crate::time::Timestamp;

/// How to check.
#[derive(Debug, Clone, Copy)]
pub struct CheckOptions {
    /// How much of the data to read.
    pub read_data: ReadData,
    /// Chooses the share of the data that is read: consecutive numbers choose adjoining shares.
    pub turn: u64,
    /// Workers; at least 1.
    pub threads: usize,
    /// How many affected paths a finding names.
    pub paths: usize,
    /// The time, to tell what may still arrive.
    pub now: Timestamp,
}

/// What a check found.
#[derive(Debug, Clone, Default)]
pub struct CheckReport {
    /// Damage.
    pub findings: Vec<Finding>,
    /// What is no damage, but worth knowing.
    pub notes: Vec<Note>,
    /// Records that can be read.
    pub records: u64,
    /// Snapshots that are not forgotten.
    pub snapshots: u64,
    /// Packs in the index.
    pub packs: u64,
    /// Tree and list blobs read.
    pub metadata_blobs: u64,
    /// Objects read whole.
    pub objects_read: u64,
    /// Bytes of them.
    pub bytes_read: u64,
}

impl CheckReport {
    /// Returns whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

/// What an examination came to, for who wants to repair.
pub(in crate::engine) struct Examination {
    /// A handle whose index says what the log says.
    pub(in crate::engine) repository: Repository,
    /// The snapshots some of whose content is lost.
    pub(in crate::engine) harmed: Vec<SnapshotEntry>,
    /// What is lost.
    pub(in crate::engine) losses: Losses,
    /// Records that are listed but can't be read.
    pub(in crate::engine) damaged_records: Vec<RecordName>,
    /// Whether packs are missing that may still arrive.
    pub(in crate::engine) has_pending: bool,
    report: CheckReport,
}

/// Checks a repository. See the module's head. Damage is no error: it is in the report.
pub fn check(
    repository: &Repository,
    options: &CheckOptions,
    counters: &Counters,
) -> Result<CheckReport> {
    examine(repository, options, counters).map(|examination| examination.report)
}

/// The same, for who needs more than the report.
pub(in crate::engine) fn examine(
    original: &Repository,
    options: &CheckOptions,
    counters: &Counters,
) -> Result<Examination> {
    let mut findings = Findings::default();
    let repository = original.afresh()?;
    let mut inventory = inventory::take(original, &repository, options.now, &mut findings)?;
    let mut report = CheckReport {
        records: inventory.record_count,
        packs: inventory.pack_count,
        ..CheckReport::default()
    };
    read_data(
        original,
        &repository,
        options,
        counters,
        &mut inventory,
        &mut findings,
        &mut report,
    )?;
    let known = KnownBlobs::new(repository.cache(), &inventory.bad)?;
    let mut known = bases::check(&repository, known, &mut inventory.bad, &mut findings)?;
    let snapshots = repository.snapshots(&SnapshotFilter::default())?;
    report.snapshots = snapshots.len() as u64;

    let objects: HashMap<ObjectHash, usize> =
        inventory.bad.iter().map(|(hash, (finding, _))| (*hash, *finding)).collect();
    let mut walk = TreeCheck::new(&repository, &mut known, objects, &mut findings, counters)?;
    let mut harmed = Vec::new();
    for entry in &snapshots {
        if walk.snapshot(&entry.snapshot)? {
            harmed.push(entry.clone());
        }
    }
    report.metadata_blobs = walk.metadata_count;
    let length_differs = walk.length_differs;
    let (losses, suspects) = walk.finish();
    let mut affected = affected::AffectedWalk {
        repository: &repository,
        losses: &losses,
        known: &known,
        length_differs,
        findings: &mut findings,
        limit: options.paths,
        counters,
    };
    for entry in &harmed {
        affected.snapshot(entry.id, &entry.snapshot)?;
    }
    for (finding, _) in inventory.bad.values() {
        if !known.needed.contains(finding) {
            findings.excuse(*finding, "no snapshot needs what is lost");
        }
    }
    let suspects: Vec<ObjectHash> = suspects.into_keys().collect();
    original.cache().distrust(&suspects)?;
    (report.findings, report.notes) = findings.finish(snapshots.len());
    Ok(Examination {
        harmed,
        losses,
        damaged_records: inventory.damaged_records,
        has_pending: inventory.has_pending,
        report,
        repository,
    })
}

fn read_data(
    original: &Repository,
    repository: &Repository,
    options: &CheckOptions,
    counters: &Counters,
    inventory: &mut inventory::Inventory,
    findings: &mut Findings,
    report: &mut CheckReport,
) -> Result<()> {
    let mut objects = Vec::new();
    for (name, _) in repository.cache().objects()? {
        if let Some(size) = inventory.sizes.get(&name.hash()) {
            objects.push((name.hash(), *size, name));
        }
    }
    let mut chosen: Vec<(ObjectName, u64)> = if options.read_data == ReadData::Suspects {
        let suspects = original.cache().unreliable()?;
        objects.retain(|(hash, ..)| suspects.contains(hash));
        objects.into_iter().map(|(_, size, name)| (name, size)).collect()
    } else {
        let chosen = subset::choose(options.read_data, options.turn, objects);
        chosen.into_iter().map(|(_, size, name)| (name, size)).collect()
    };
    chosen.sort();
    Counters::add(&counters.total_items, chosen.len() as u64);
    Counters::add(&counters.total_bytes, chosen.iter().map(|(_, size)| size).sum());
    counters.total_known.store(true, std::sync::atomic::Ordering::Relaxed);
    let read = data::read_data(repository, &chosen, &inventory.prints, options.threads, counters)?;
    report.objects_read = read.objects;
    report.bytes_read = read.bytes;
    for problem in read.problems {
        let number = findings.add(problem.kind, problem.object.to_string(), problem.text);
        inventory.bad.insert(problem.object.hash(), (number, problem.units));
    }
    Ok(())
}
