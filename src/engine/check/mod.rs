//! Every promise of the format, from cheap to thorough; findings with the next step.
//!
//! Always: header and key slots, every record and its chain, every object of the index against a
//! listing, every tree and list of every snapshot, and that each data blob they name has a place.
//! On request the objects themselves, all or some: whole, against their name, their table against
//! the index, every unit opened and every blob compared with its id.
//!
//! **What refers is read before what it refers to**: a backup that goes on meanwhile adds objects
//! that this check does not know, and never the reverse. Nothing is changed but the local index: objects that
//! were found damaged are distrusted there, so that the next backup stores again what it still
//! has.
//!
//! Peak memory: threads × (one object of 18 MiB and its copy of one unit, 1 + 4 MiB; a reader's
//! 8 MiB for deltas) + 64 bytes for each object, each tree and each list + 100 bytes for each blob
//! that is lost. An object may be as large as the format's limit; this program writes none above
//! 18 MiB.

mod affected;
mod data;
mod log;
mod trees;

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::error::{Error, Kind, Result};
use crate::event::Counters;
use crate::format::tree::Node;
use crate::id::{BlobId, ObjectHash, SnapshotId};
use crate::repository::Repository;
use crate::repository::reader::BlobReader;
use crate::repository::snapshots::SnapshotFilter;
use crate::store::{ObjectName, Prefix};

/// Paths that a finding names; the rest is counted.
pub const NAMED_FILES: usize = 10;

/// Which objects are read as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum ReadData {
    /// None.
    #[default]
    None,
    /// All.
    All,
    /// A share, above 0 and up to 100.
    Percent(f64),
    /// The `part`-th of `of` parts, from 1. All parts together are everything.
    Part {
        /// Which part.
        part: u32,
        /// Of how many.
        of: u32,
    },
    /// At most this many bytes.
    Bytes(u64),
}

/// How to check.
#[derive(Debug, Clone, Default)]
pub struct CheckOptions {
    /// What is read as a whole.
    pub read_data: ReadData,
    /// Chooses among the objects for a share or a size: each seed gives another choice.
    pub seed: u64,
    /// Workers; at least 1.
    pub threads: usize,
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// The repository's header.
    Header,
    /// A key slot.
    KeySlot,
    /// A record.
    Record,
    /// A pack.
    Pack,
    /// The index says something else than the object.
    Index,
    /// Blobs that no object is known to hold.
    Blobs,
    /// A tree that is stored well, but is none.
    Tree,
}

/// One thing that is wrong.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What it is about.
    pub kind: FindingKind,
    /// The object's name, or a blob's id.
    pub object: String,
    /// What is wrong with it.
    pub what: String,
    /// Snapshots that lack something because of it, in ascending order of time.
    pub snapshots: Vec<SnapshotId>,
    /// The first of the paths that can't be restored whole; folders stand for all below them.
    pub files: Vec<Vec<u8>>,
    /// How many such paths there are.
    pub file_count: u64,
    /// What to do next.
    pub next_step: String,
}

/// What a check saw.
#[derive(Debug, Clone, Default)]
pub struct CheckReport {
    /// What is wrong; empty means no damage.
    pub findings: Vec<Finding>,
    /// What is worth knowing and no damage.
    pub notes: Vec<String>,
    /// Records read.
    pub records: u64,
    /// Snapshots whose trees were read.
    pub snapshots: u64,
    /// Packs in the index.
    pub packs: u64,
    /// Tree and list blobs read.
    pub metadata_blobs: u64,
    /// Objects read as a whole.
    pub objects_read: u64,
    /// Their bytes.
    pub bytes_read: u64,
}

impl CheckReport {
    /// Returns whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Checks a repository. See the module's head.
pub fn check(
    repository: &Repository,
    options: &CheckOptions,
    counters: &Counters,
) -> Result<CheckReport> {
    let mut found = look(repository, options, counters)?;
    affected::find_affected(repository, &mut found, counters)?;
    Ok(found.finish())
}

/// Finds what is wrong, but not what it costs.
pub(crate) fn look(
    repository: &Repository,
    options: &CheckOptions,
    counters: &Counters,
) -> Result<Found> {
    let mut found = Found::default();
    log::check_keys(repository, &mut found)?;
    let records = log::check_records(repository, &mut found, counters)?;
    let known = repository.cache().records()?;
    if records.damaged.iter().any(|hash| known.contains(hash)) {
        // What this machine remembers of a record that can't be read any more helps nobody else.
        repository.resync()?;
    } else {
        repository.sync()?;
    }
    let packs: HashMap<ObjectHash, u64> = repository
        .store()
        .list(Prefix::Packs)?
        .into_iter()
        .map(|row| (row.name.hash(), row.size))
        .collect();
    let objects = repository.cache().objects()?;
    check_objects(&objects, &packs, &mut found);
    found.find_lost(repository, counters)?;
    trees::check_trees(repository, &mut found, counters)?;
    let known: HashSet<ObjectHash> = objects.iter().map(|(name, _)| name.hash()).collect();
    note_strays(&packs, &known, &mut found);
    data::read_objects(repository, options, &objects, &packs, &mut found, counters)?;
    found.find_lost(repository, counters)?;
    repository.cache().distrust(&found.distrusted)?;
    found.report.records = records.count;
    Ok(found)
}

/// Compares the index with a listing.
fn check_objects(
    objects: &[(ObjectName, u64)],
    packs: &HashMap<ObjectHash, u64>,
    found: &mut Found,
) {
    for (name, reach) in objects {
        if !matches!(name, ObjectName::Pack(_)) {
            continue;
        }
        found.report.packs = found.report.packs.saturating_add(1);
        match packs.get(&name.hash()) {
            None => {
                found.missing.insert(name.to_string());
                found.object(name, FindingKind::Pack, "is missing");
            }
            Some(size) if size < reach => {
                let what = format!("is cut short: {size} bytes of at least {reach}");
                found.object(name, FindingKind::Pack, what);
            }
            Some(_) => {}
        }
    }
}

/// Packs that no record names are no damage.
fn note_strays(packs: &HashMap<ObjectHash, u64>, known: &HashSet<ObjectHash>, found: &mut Found) {
    let strays = packs.keys().filter(|hash| !known.contains(*hash)).count();
    if strays > 0 {
        found.report.notes.push(format!(
            "no record names {strays} of the packs: a run that goes on, or that died, has left \
             them; the next run uses what it can"
        ));
    }
}

/// What was found so far.
#[derive(Default)]
pub(crate) struct Found {
    report: CheckReport,
    /// Each finding by its object.
    by_object: HashMap<String, usize>,
    /// Damaged objects whose blobs have not been looked at.
    unsounded: Vec<ObjectName>,
    /// Objects that a new record must not rely on.
    distrusted: Vec<ObjectHash>,
    /// What can't be read, and the finding that says why.
    lost: HashMap<BlobId, usize>,
    /// Packs that are missing.
    missing: HashSet<String>,
    /// How many blobs no object is known to hold.
    unknown_blobs: u64,
    /// Paths of each finding, as hashes, so that a path counts once.
    paths: BTreeMap<usize, HashSet<u64>>,
}

impl Found {
    /// Adds a finding, or returns the one that there is about the object.
    fn add(&mut self, kind: FindingKind, object: String, what: impl Into<String>) -> usize {
        if let Some(number) = self.by_object.get(&object) {
            return *number;
        }
        let number = self.report.findings.len();
        self.by_object.insert(object.clone(), number);
        self.report.findings.push(Finding {
            kind,
            object,
            what: what.into(),
            snapshots: Vec::new(),
            files: Vec::new(),
            file_count: 0,
            next_step: String::new(),
        });
        number
    }

    /// Adds a finding about an object whose blobs may be lost.
    fn object(&mut self, name: &ObjectName, kind: FindingKind, what: impl Into<String>) {
        let before = self.report.findings.len();
        if self.add(kind, name.to_string(), what) == before {
            self.unsounded.push(name.clone());
            self.distrusted.push(name.hash());
        }
    }

    /// Adds a blob that no object is known to hold. All such blobs are one finding.
    fn unknown(&mut self, id: &BlobId) {
        if self.lost.contains_key(id) {
            return;
        }
        self.unknown_blobs = self.unknown_blobs.saturating_add(1);
        let first =
            self.report.findings.iter().position(|finding| finding.kind == FindingKind::Blobs);
        let number = first.unwrap_or_else(|| self.add(FindingKind::Blobs, id.to_string(), ""));
        self.lost.insert(*id, number);
    }

    /// Adds what an error says about a metadata blob that can't be read.
    fn unreadable(&mut self, id: &BlobId, error: &Error) {
        if self.lost.contains_key(id) {
            return;
        }
        let number = if let Some(name) = error.object_name().and_then(ObjectName::parse) {
            let kind = object_kind(&name);
            self.object(&name, kind, cause(error));
            self.add(kind, name.to_string(), "")
        } else {
            self.add(FindingKind::Tree, id.to_string(), cause(error))
        };
        self.lost.insert(*id, number);
    }

    /// Looks which blobs of damaged objects can't be read from any place.
    fn find_lost(&mut self, repository: &Repository, counters: &Counters) -> Result<()> {
        let mut reader = BlobReader::new(repository)?;
        for name in std::mem::take(&mut self.unsounded) {
            let number = self.add(object_kind(&name), name.to_string(), "");
            for (kind, id) in repository.cache().blobs_in(&name.hash())? {
                counters.go_on()?;
                match reader.load(kind, &id) {
                    Ok(_) => {}
                    Err(error) if error.kind() == Kind::Damaged => {
                        self.lost.entry(id).or_insert(number);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Returns the first lost blob that a file needs.
    pub(crate) fn lost_blob(
        &self,
        reader: &mut BlobReader<'_>,
        node: &Node,
    ) -> Result<Option<BlobId>> {
        let of = |ids: &[BlobId]| ids.iter().find(|id| self.lost.contains_key(id)).copied();
        if let Some(id) = of(&node.blobs).or_else(|| of(&node.segments)) {
            return Ok(Some(id));
        }
        for segment in node.segments.iter() {
            if let Some(id) = of(&reader.load_list(segment)?) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// Returns whether a blob can't be read from any place.
    pub(crate) fn is_lost(&self, id: &BlobId) -> bool {
        self.lost.contains_key(id)
    }

    fn finish(mut self) -> CheckReport {
        // What nobody needs any more may be gone: its blobs stand elsewhere, or nothing names them.
        let (missing, notes) = (&self.missing, &mut self.report.notes);
        self.report.findings.retain(|finding| {
            let costs = !missing.contains(&finding.object) || !finding.snapshots.is_empty();
            if !costs {
                notes.push(format!("`{}` is missing, and no snapshot needs it", finding.object));
            }
            costs
        });
        for finding in &mut self.report.findings {
            if finding.kind == FindingKind::Blobs {
                let count = self.unknown_blobs;
                finding.what =
                    format!("is in no object that a record names, and so are {count} blobs in all");
            }
            finding.next_step = next_step(finding);
        }
        self.report
    }
}

fn object_kind(name: &ObjectName) -> FindingKind {
    match name {
        ObjectName::Repository(_) => FindingKind::Header,
        ObjectName::KeySlot(_) => FindingKind::KeySlot,
        ObjectName::Record(_) => FindingKind::Record,
        ObjectName::Pack(_) | ObjectName::Segment(_) => FindingKind::Pack,
    }
}

/// Returns why, without the object that is named elsewhere.
fn cause(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("is damaged: {cause}"),
        None => "is missing or damaged".to_owned(),
    }
}

fn next_step(finding: &Finding) -> String {
    match finding.kind {
        FindingKind::Header => "run `stash repair index`: each key slot holds a copy of it",
        FindingKind::KeySlot => {
            "`stash key add` makes another slot, `stash key remove` takes this one away"
        }
        FindingKind::Record => {
            "run `stash repair index`, which finds what the packs hold, then `stash backup --force`"
        }
        FindingKind::Index => "run `stash repair index`",
        FindingKind::Blobs => "run `stash repair index`, then `stash check` again",
        FindingKind::Pack | FindingKind::Tree if finding.snapshots.is_empty() => {
            "no snapshot lacks anything because of it; nothing need be done"
        }
        FindingKind::Pack | FindingKind::Tree => {
            "run `stash backup --force`, which stores again what is still there, then `stash \
             repair snapshots`"
        }
    }
    .to_owned()
}

/// Returns the snapshots that count: what was forgotten may lack anything.
fn snapshots(repository: &Repository) -> Result<Vec<crate::repository::cache::SnapshotEntry>> {
    repository.snapshots(&SnapshotFilter::default())
}
