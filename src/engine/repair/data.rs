//! Blobs that are damaged or missing, from a second repository that has them.
//!
//! What lies in damaged objects is read wherever it still can be: in the object itself, unit by unit,
//! else in the other repository, by its id. It is stored anew in packs of its own and published by a
//! record; nothing is overwritten, and the damaged object is left for a prune. What was found may
//! name more that is lost, so that it is looked again until nothing more comes.
//!
//! Only a repository with the same id keys can help: elsewhere the same content has other ids, and
//! finding it would mean reading everything there.
//!
//! Memory: a check's, a packer's, two readers', 4 MiB of blobs, and 33 bytes for each
//! blob of the damaged objects.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use crate::codec::Compression;
use crate::engine::backup::metadata::UnitWriter;
use crate::engine::check::{CheckOptions, Found, ReadData, look};
use crate::error::{Error, Kind, Result};
use crate::event::Counters;
use crate::format::pack::BlobKind;
use crate::format::record::Partial;
use crate::id::{BlobId, ObjectHash};
use crate::repository::Repository;
use crate::repository::log::RecordParts;
use crate::repository::packer::Packer;
use crate::repository::reader::BlobReader;
use crate::time::Timestamp;

/// Blobs wait to be compressed together until they have so many bytes.
const WAITING_BYTES: usize = 4 << 20;

/// How to repair data.
#[derive(Debug, Clone, Copy, Default)]
pub struct RepairDataOptions {
    /// How much is read to find what is damaged.
    pub read_data: ReadData,
    /// Workers; at least 1.
    pub threads: usize,
    /// Look, but store nothing.
    pub dry_run: bool,
}

/// What was or could be repaired.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepairDataReport {
    /// Objects that are damaged or missing.
    pub objects: u64,
    /// Blobs of theirs that could still be read here, and are stored anew.
    pub saved_blobs: u64,
    /// Blobs that came from the other repository.
    pub fetched_blobs: u64,
    /// Blobs that neither has.
    pub lost_blobs: u64,
    /// Bytes stored.
    pub stored_bytes: u64,
}

/// Stores anew what is damaged here and whole there. See the module's head. Both must be synced.
pub fn repair_data(
    repository: &Repository,
    other: &Repository,
    options: &RepairDataOptions,
    now: Timestamp,
    counters: &Counters,
) -> Result<RepairDataReport> {
    refuse_other_keys(repository, other)?;
    let mut report = RepairDataReport::default();
    let mut objects: HashSet<ObjectHash> = HashSet::new();
    let mut given_up: BTreeSet<BlobId> = BTreeSet::new();
    let mut read_data = options.read_data;
    // Each round saves something, or is the last.
    loop {
        let check = CheckOptions {
            // What is damaged does not change by looking: only what is named may be news.
            read_data: std::mem::replace(&mut read_data, ReadData::None),
            threads: options.threads,
            now: Some(now),
            ..CheckOptions::default()
        };
        let found = look(repository, &check, counters)?;
        if let Some(object) = found.awaited() {
            return Err(Error::failed("cannot tell what is lost: this may yet arrive:")
                .object(object)
                .hint("wait until everything is in place"));
        }
        objects.extend(found.bad_objects());
        let wanted = wanted(repository, &found, &objects)?;
        let news: Vec<_> = wanted.into_iter().filter(|(_, id)| !given_up.contains(id)).collect();
        if news.is_empty() {
            break;
        }
        let mut mender = Mender::new(repository, other, options.dry_run, now)?;
        for (kind, id) in &news {
            counters.go_on()?;
            mender.blob(*kind, *id, &mut given_up)?;
        }
        let is_stuck = mender.saved.saturating_add(mender.fetched) == 0;
        mender.finish(now, &mut report)?;
        if is_stuck || options.dry_run {
            break;
        }
    }
    report.objects = objects.len() as u64;
    report.lost_blobs = given_up.len() as u64;
    Ok(report)
}

/// Fails unless equal content has equal ids in both.
pub fn refuse_other_keys(repository: &Repository, other: &Repository) -> Result<()> {
    if repository.id() == other.id() {
        return Err(
            Error::usage("both locations are of the same repository:").object(other.id().short())
        );
    }
    if repository.keys().shares_content_with(other.keys()) {
        return Ok(());
    }
    Err(Error::failed(
        "the other repository names content by keys of its own, so nothing can be found there",
    )
    .hint(
        "only one made by `stash init --like` helps; `stash repair snapshots` saves what is intact",
    ))
}

/// Returns the blobs to store anew: those of bad objects that stand nowhere else, and those that a
/// snapshot needs and no index knows. The kind of the latter is not known.
fn wanted(
    repository: &Repository,
    found: &Found,
    objects: &HashSet<ObjectHash>,
) -> Result<Vec<(Option<BlobKind>, BlobId)>> {
    // What a check doubts is relied upon no more.
    let doubted: Vec<ObjectHash> = objects.iter().copied().collect();
    repository.cache().distrust(&doubted)?;
    let mut seen = HashSet::new();
    let mut wanted = Vec::new();
    let mut enter = |kind, id: BlobId| -> Result<()> {
        if seen.insert(id) && !repository.cache().stands(&id)? {
            wanted.push((kind, id));
        }
        Ok(())
    };
    for object in objects {
        for (kind, id) in repository.cache().blobs_in(object)? {
            enter(Some(kind), id)?;
        }
    }
    let mut lost: Vec<BlobId> = found.lost_blobs().collect();
    lost.sort_unstable();
    for id in lost {
        enter(None, id)?;
    }
    Ok(wanted)
}

/// Stores blobs anew.
struct Mender<'m> {
    repository: &'m Repository,
    other: &'m Repository,
    own: BlobReader<'m>,
    theirs: BlobReader<'m>,
    packer: Packer,
    waiting: Vec<(BlobKind, BlobId, Vec<u8>)>,
    waiting_bytes: usize,
    saved: u64,
    fetched: u64,
    dry_run: bool,
}

impl<'m> Mender<'m> {
    fn new(
        repository: &'m Repository,
        other: &'m Repository,
        dry_run: bool,
        now: Timestamp,
    ) -> Result<Self> {
        let packer = Packer::start(
            repository.store().clone(),
            Arc::clone(repository.keys()),
            repository.id().0,
            repository.state().filter(|_| !dry_run).cloned(),
            now.0,
        );
        Ok(Mender {
            repository,
            other,
            own: BlobReader::new(repository)?,
            theirs: BlobReader::new(other)?,
            packer,
            waiting: Vec::new(),
            waiting_bytes: 0,
            saved: 0,
            fetched: 0,
            dry_run,
        })
    }

    /// Stores one blob, or notes that nobody has it.
    fn blob(
        &mut self,
        kind: Option<BlobKind>,
        id: BlobId,
        given_up: &mut BTreeSet<BlobId>,
    ) -> Result<()> {
        let there = self.other.cache().places(&id)?.first().map(|place| place.kind);
        let Some(kind) = kind.or(there) else {
            given_up.insert(id);
            return Ok(());
        };
        if let Some(blob) = found(self.own.load(kind, &id))? {
            self.saved = self.saved.saturating_add(1);
            return self.store(kind, id, blob);
        }
        if let Some(blob) = found(self.theirs.load(kind, &id))? {
            self.fetched = self.fetched.saturating_add(1);
            return self.store(kind, id, blob);
        }
        given_up.insert(id);
        Ok(())
    }

    fn store(&mut self, kind: BlobKind, id: BlobId, blob: Vec<u8>) -> Result<()> {
        if self.waiting_bytes.saturating_add(blob.len()) > WAITING_BYTES {
            self.flush()?;
        }
        self.waiting_bytes = self.waiting_bytes.saturating_add(blob.len());
        self.waiting.push((kind, id, blob));
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        if self.dry_run {
            return Ok(());
        }
        for kind in BlobKind::ALL {
            let mut writer = UnitWriter::new(kind, &self.packer, Compression::Auto)?;
            for (_, id, blob) in waiting.iter().filter(|(of, _, _)| *of == kind) {
                writer.add(*id, blob)?;
            }
            writer.flush()?;
        }
        Ok(())
    }

    /// Publishes what was stored.
    fn finish(mut self, now: Timestamp, report: &mut RepairDataReport) -> Result<()> {
        self.flush()?;
        report.saved_blobs = report.saved_blobs.saturating_add(self.saved);
        report.fetched_blobs = report.fetched_blobs.saturating_add(self.fetched);
        let (packs, stored) = self.packer.finish_in_packs()?;
        if packs.is_empty() {
            return Ok(());
        }
        let partial =
            Some(Partial { started: now.0, job: "repair".to_owned(), ..Partial::default() });
        let parts = RecordParts { partial, packs, ..RecordParts::default() };
        let committed = self.repository.append(parts, now)?;
        report.stored_bytes =
            report.stored_bytes.saturating_add(stored).saturating_add(committed.stored_bytes);
        Ok(())
    }
}

/// Damage is no blob; anything else that fails ends the run.
fn found(loaded: Result<Vec<u8>>) -> Result<Option<Vec<u8>>> {
    match loaded {
        Ok(blob) => Ok(Some(blob)),
        Err(error) if error.kind() == Kind::Damaged => Ok(None),
        Err(error) => Err(error),
    }
}
