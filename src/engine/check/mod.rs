//! `check`: every promise of the format, from cheap to thorough.
//!
//! ```text
//! log into an index of its own ─ list ─ headers, slots, lanes ─ packs beside the index
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
//! Peak memory: below 128 MB, as reckoned for a repository of 1 TB and up to 16 workers. While data
//! is read that is 64 MiB of objects, workers × one unit (1 MiB as we write them, 16 MiB at most),
//! 8 MiB of bases and the cache's 8 MiB; before and after it, the reader's and the cache's 8 MiB
//! each, 12 bytes for each blob, 40 for each blob of a tree, and a few hundred for each object.
//! Measured with `--read-data` on 1.0 GiB in 66 packs and 12,300 files without deltas, two workers,
//! three runs: 66 to 93 MB; without it 12 MB.

mod affected;
mod arrival;
mod bases;
mod data;
mod finding;
mod inventory;
mod known;
mod log;
mod subset;
mod trees;

use std::collections::HashMap;

pub(in crate::engine) use arrival::Arrival;
pub use finding::{Finding, FindingKind, Note};
pub use subset::ReadData;

use self::finding::Findings;
use self::known::KnownBlobs;
use self::log::{IN_PART, NAMED_LATER};
use self::trees::{Losses, TreeCheck};
use crate::error::Result;
use crate::event::Counters;
use crate::format::tree::Node;
use crate::id::{BlobId, ObjectHash};
use crate::repository::Repository;
use crate::repository::reader::BlobReader;
use crate::repository::snapshots::SnapshotFilter;
use crate::store::ObjectName;
use crate::time::Timestamp;

/// Paths that a finding names; the rest is counted.
pub const NAMED_FILES: usize = 10;

/// How to check.
#[derive(Debug, Clone, Copy, Default)]
pub struct CheckOptions {
    /// How much of the data to read.
    pub read_data: ReadData,
    /// Says where a share of the data begins: consecutive seeds choose adjoining shares.
    pub seed: u64,
    /// Workers; at least 1.
    pub threads: usize,
    /// The time, to tell what may still arrive in a replicated repository; without it nothing may.
    pub now: Option<Timestamp>,
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

/// What was found, for who wants to repair.
pub(in crate::engine) struct Found {
    losses: Losses,
    report: CheckReport,
    awaited: Option<String>,
    bad: Vec<ObjectHash>,
}

impl Found {
    /// Returns the objects with something wrong.
    pub(in crate::engine) fn bad_objects(&self) -> impl Iterator<Item = ObjectHash> + '_ {
        self.bad.iter().copied()
    }

    /// Returns the blobs that snapshots need and that can't be read.
    pub(in crate::engine) fn lost_blobs(&self) -> impl Iterator<Item = BlobId> + '_ {
        self.losses.lost.keys().copied()
    }

    /// Returns an object that may yet arrive, with what snapshots need in it or named by it: what
    /// seems lost need not be.
    pub(in crate::engine) fn awaited(&self) -> Option<&str> {
        self.awaited.as_deref()
    }

    /// Returns the first lost blob that a file needs.
    pub(in crate::engine) fn lost_blob(
        &self,
        reader: &mut BlobReader<'_>,
        node: &Node,
    ) -> Result<Option<BlobId>> {
        self.losses.lost_blob(reader, node)
    }

    /// Returns whether a blob of a tree or attachment, or something below it, can't be read.
    pub(in crate::engine) fn is_harmed(&self, id: &BlobId) -> bool {
        self.losses.is_harmed(id)
    }
}

/// Checks a repository. See the module's head. Damage is no error: it is in the report.
pub fn check(
    repository: &Repository,
    options: &CheckOptions,
    counters: &Counters,
) -> Result<CheckReport> {
    look(repository, options, counters).map(|found| found.report)
}

/// The same, for who needs more than the report.
pub(in crate::engine) fn look(
    original: &Repository,
    options: &CheckOptions,
    counters: &Counters,
) -> Result<Found> {
    let mut findings = Findings::default();
    let repository = original.with_private_cache(None)?;
    let mut inventory = inventory::take(original, &repository, options.now, &mut findings)?;
    let mut report = CheckReport {
        records: inventory.record_count,
        packs: inventory.pack_count,
        ..CheckReport::default()
    };
    read_data(&repository, options, counters, &mut inventory, &mut findings, &mut report)?;
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
        limit: NAMED_FILES,
        counters,
    };
    for entry in &harmed {
        affected.snapshot(entry.id, &entry.snapshot)?;
    }
    // Where a directory is lost nobody can tell what it needed.
    let is_certain = !losses.hides_more;
    for (finding, _) in inventory.bad.values() {
        if is_certain && !known.needed.contains(finding) {
            findings.excuse(*finding, "no snapshot needs what is lost");
        }
    }
    let is_needed = |finding: &usize| !is_certain || known.needed.contains(finding);
    let mut awaited = inventory.awaited.into_iter().filter(|(finding, _)| is_needed(finding));
    let mut awaited = awaited.next().map(|(_, name)| name.to_string());
    if let Some(object) = awaited.as_ref().or(inventory.awaited_record.as_ref()).cloned() {
        let unnamed = findings.excuse_all(FindingKind::NotIndexed, NAMED_LATER);
        let baseless = findings.excuse_all(FindingKind::BaseMissing, NAMED_LATER);
        if unnamed || baseless {
            awaited = Some(object);
        }
    }
    let suspects: Vec<ObjectHash> = suspects.into_keys().collect();
    original.cache().distrust(&suspects)?;
    (report.findings, report.notes) = findings.finish(snapshots.len());
    let mut bad = suspects;
    bad.extend(inventory.bad.into_keys());
    Ok(Found { losses, report, awaited, bad })
}

fn read_data(
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
    // What is known to be damaged is looked into in any case.
    let is_salvaged = |name: &ObjectName| inventory.salvaged.contains(name);
    let (salvaged, rest) = objects.into_iter().partition(|(_, _, name)| is_salvaged(name));
    let mut chosen: Vec<(ObjectHash, u64, ObjectName)> = salvaged;
    chosen.extend(subset::choose(options.read_data, options.seed, rest));
    let mut chosen: Vec<(ObjectName, u64)> =
        chosen.into_iter().map(|(_, size, name)| (name, size)).collect();
    chosen.sort();
    Counters::add(&counters.total_items, chosen.len() as u64);
    Counters::add(&counters.total_bytes, chosen.iter().map(|(_, size)| size).sum());
    counters.total_known.store(true, std::sync::atomic::Ordering::Relaxed);
    let read = data::read_data(repository, &chosen, &inventory.prints, options.threads, counters)?;
    report.objects_read = read.objects;
    report.bytes_read = read.bytes;
    for problem in read.problems {
        let number = findings.add(problem.kind, problem.object.to_string(), problem.text);
        let hash = problem.object.hash();
        inventory.bad.insert(hash, (number, problem.units));
        // One whose end can be read is all there.
        if inventory.arriving.contains(&hash) && repository.find_pack(&hash)?.is_none() {
            findings.excuse(number, IN_PART);
            inventory.awaited.push((number, problem.object));
        }
    }
    Ok(())
}
