//! `backup`: files → blobs → trees → snapshot.
//!
//! ```text
//! walk (ordered) ─ compare with parent ─┬─ unchanged: the parent's node ────────┐
//!                                       └─ read, cut ─ batches ─▶ workers ──────┼─▶ assembler ─▶ record
//!                                                                  │ hash, claim │   trees, lists
//!                                                                  └ compress ───┴─▶ packer ─▶ store
//! ```
//!
//! The calling thread walks and reads; as many workers as asked hash and compress; one thread
//! assembles trees, one stores packs. All channels are bounded. **The record is the commit**: until
//! it is durable, the repository is as it was, plus packs that the next run uses.
//!
//! An observer of the caller's is given each new or changed file of an agent, and what it notes is
//! kept in an attachment (`observer.rs`, `observing.rs`, `attach.rs`): texts on one thread more,
//! databases on the calling thread while they are held.
//!
//! What has changed is compared with the parent's content (`before.rs`, `source.rs`) and stored as a
//! difference where that pays (`difference.rs`).
//!
//! Peak memory: packer 48 MiB (64 to a remote store) + (2 × workers + 2) × 2 MiB of batches + workers × 4 MiB of units
//! + (workers + 1) × 7 MiB for differences + 16 MiB of remembered reads per million items, twice + 40 bytes for each new blob, at most 100,000
//! + SQLite's 8 MiB + for an observer the entries of changed files and 17 MiB.

mod agents;
pub(crate) mod assemble;
mod attach;
pub(crate) mod attachment;
mod before;
mod bytes;
mod compare;
mod content;
mod contributors;
mod cut;
mod database;
mod difference;
mod health;
mod items;
mod list;
mod message;
pub(crate) mod metadata;
mod observer;
mod observing;
mod options;
mod pages;
mod parent;
mod producer;
mod run;
mod seen;
mod source;
mod survey;
mod walked;

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

pub use contributors::Contributor;
pub use health::{DatabaseHealth, database_health};
pub use observer::{ObservedBytes, ObservedContent, ObservedEntry, ObservedFile, Observer};
pub use options::{
    AgentClass, AgentRules, AgentSource, AgentSources, BackupOptions, BackupReport, StreamSource,
};

use super::attachments;
use super::browse::{Found, TreeStep, TreeWalk};
use super::reliance::{Reliance, claim};
use crate::error::{Error, Kind, Result};
use crate::event::{Counters, Event, Reporter};
use crate::format::record::{
    Attachment, Partial, Root, RootKind, SNAPSHOT_INCOMPLETE, SNAPSHOT_SAFETY, Snapshot, Statistics,
};
use crate::format::tree::{Node, NodeKind};
use crate::id::{ObjectHash, SnapshotId};
use crate::repository::Repository;
use crate::repository::cache::SnapshotEntry;
use crate::repository::index::Index;
use crate::repository::log::RecordParts;
use crate::repository::packer::{Packed, Packer};
use crate::repository::reader::BlobReader;
use crate::repository::snapshots::{SnapshotFilter, SnapshotWish};
use crate::store::{Durable, ObjectName};
use crate::time::{Clock, Timestamp};

/// How often a run begins anew when others clean up meanwhile.
const ROUNDS: usize = 3;
/// What a writer that died has left half-stored is removed when it is this old.
const STAGING_AGE: std::time::Duration = std::time::Duration::from_hours(24);

/// Runs a backup of paths. See the module's head.
pub fn backup(
    repository: &Repository,
    options: &BackupOptions,
    clock: &dyn Clock,
    counters: &Counters,
    reporter: &dyn Reporter,
) -> Result<BackupReport> {
    let mut round = 1;
    loop {
        let result = repository.with_sound_cache(|| {
            Backup::start(repository, options, clock, counters, reporter)?.run(None)
        });
        match result {
            Err(error) if error.kind() == Kind::Busy && round < ROUNDS => {
                reporter.event(&Event::Warning { message: "another machine cleaned up meanwhile; what may be missing is read again" });
                round += 1;
            }
            other => return other,
        }
    }
}

/// Runs a backup of one stream.
pub fn backup_stream(
    repository: &Repository,
    options: &BackupOptions,
    mut source: StreamSource<'_>,
    clock: &dyn Clock,
    counters: &Counters,
    reporter: &dyn Reporter,
) -> Result<BackupReport> {
    repository
        .with_sound_cache(|| Backup::start(repository, options, clock, counters, reporter))?
        .run(Some(&mut source))
}

/// A root as the snapshot before has it.
struct ParentRoot {
    node: Node,
    /// See [`Root`].
    last_read: Option<i64>,
    /// What is kept beside in that snapshot.
    attachments: Vec<Attachment>,
}

impl ParentRoot {
    fn find(snapshot: &Snapshot, agent: Option<&AgentSource>, place: &[u8]) -> Option<Self> {
        let root = agents::find_root(&snapshot.roots, agent, place)?;
        let attachments = snapshot.attachments.clone();
        Some(ParentRoot { node: root.node.clone(), last_read: root.last_read, attachments })
    }
}

/// One run.
struct Backup<'a> {
    repository: &'a Repository,
    options: &'a BackupOptions,
    clock: &'a dyn Clock,
    counters: &'a Counters,
    reporter: &'a dyn Reporter,
    began: Timestamp,
    began_boot: i64,
    parent: Option<SnapshotEntry>,
    adopted: Vec<Durable<crate::format::record::ObjectUnits>>,
    /// Whether some of what the parent refers to may not stand, so that each reference is looked up.
    has_gaps: bool,
    /// What the run relies on beside the files.
    reliance: Reliance<'a>,
    /// Snapshots beside the parent that it takes nodes from.
    borrowed: Mutex<Vec<SnapshotId>>,
}

impl<'a> Backup<'a> {
    fn start(
        repository: &'a Repository,
        options: &'a BackupOptions,
        clock: &'a dyn Clock,
        counters: &'a Counters,
        reporter: &'a dyn Reporter,
    ) -> Result<Self> {
        let reliance = Reliance::begin(repository, clock, reporter)?;
        let mut backup = Backup {
            repository,
            options,
            clock,
            counters,
            reporter,
            began: reliance.began,
            began_boot: reliance.began_boot,
            parent: None,
            adopted: Vec::new(),
            has_gaps: false,
            reliance,
            borrowed: Mutex::default(),
        };
        backup.find_parent();
        backup.reliance.look_for_packs()?;
        let parents: Vec<SnapshotId> = backup.parent.iter().map(|parent| parent.id).collect();
        backup.has_gaps = !backup.reliance.is_whole(&parents)?;
        backup.adopted = backup.reliance.unnamed_packs()?;
        if let Some(parent) = &backup.parent {
            let statistics = &parent.snapshot.statistics;
            Counters::add(&counters.total_items, statistics.files);
            Counters::add(&counters.total_bytes, statistics.bytes);
        }
        Ok(backup)
    }

    fn find_parent(&mut self) {
        if self.options.agents.gathered.is_some() {
            return;
        }
        let filter = SnapshotFilter {
            hosts: vec![self.options.host.clone()],
            job: Some(self.options.job.clone()),
            ..SnapshotFilter::default()
        };
        self.parent =
            self.repository.find_snapshot(&SnapshotWish::Latest(0), &filter, self.began).ok();
    }

    /// Returns a root as the parent has it. An agent's root that the parent lacks is taken from
    /// this host's newest snapshot that has it: what vanished from it must not be forgotten.
    fn find_parent_root(&self, agent: Option<&AgentSource>, place: &Path) -> Option<ParentRoot> {
        let place = place.as_os_str().as_bytes();
        let in_parent = self
            .parent
            .as_ref()
            .and_then(|parent| ParentRoot::find(&parent.snapshot, agent, place));
        let is_gathered = self.options.agents.gathered.is_some();
        if in_parent.is_some() || agent.is_none() || is_gathered {
            return in_parent;
        }
        let entries = self.repository.cached_heads().unwrap_or_default();
        let own = entries
            .into_iter()
            .filter(|entry| entry.forgotten.is_none() && entry.snapshot.host == self.options.host)
            .filter(|entry| agents::find_root(&entry.snapshot.roots, agent, place).is_some());
        let newest = own.max_by_key(|entry| (entry.snapshot.time, entry.snapshot.written))?;
        // Only what stands may be referred to without being read.
        if !self.reliance.is_whole(&[newest.id]).unwrap_or(false) {
            return None;
        }
        let newest = self.repository.whole(&newest).ok()?;
        self.borrowed.lock().unwrap_or_else(PoisonError::into_inner).push(newest.id);
        ParentRoot::find(&newest.snapshot, agent, place)
    }

    /// What is not read can't be stored again, so that it must stand.
    fn refuse_carrying_gaps(&self) -> Result<()> {
        let agents = &self.options.agents;
        if !self.has_gaps || (agents.carried.is_empty() && !agents.is_partial) {
            return Ok(());
        }
        Err(Error::failed("what is not chosen can't be taken over from the snapshot before: part of it may be missing")
            .hint("a backup of everything, without `--agent` and `--only`, stores it again"))
    }

    /// Returns the parent's roots of agents that this run does not look at, with the time when they
    /// were read.
    fn carried_roots(&self) -> Vec<Root> {
        let agents = &self.options.agents;
        let Some(parent) = &self.parent else { return Vec::new() };
        let is_walked = |root: &Root| {
            agents.roots.iter().any(|it| it.agent == root.agent && it.label == root.label)
        };
        let carried = parent.snapshot.roots.iter().filter(|root| {
            root.kind == RootKind::Agent as u64
                && agents.carried.contains(&root.agent)
                && !is_walked(root)
        });
        let read = parent.snapshot.written;
        carried
            .map(|root| Root { last_read: root.last_read.or(Some(read)), ..root.clone() })
            .collect()
    }

    /// Counts what the snapshot holds beside what was walked.
    fn count_carried(&self, roots: &[Root], statistics: &mut Statistics) -> Result<()> {
        let mut reader = BlobReader::new(self.repository)?;
        for root in roots {
            let item = Found { path: root.place.to_vec(), node: root.node.clone() };
            let mut walk = TreeWalk::new(item, false);
            while let Some(step) = walk.next(&mut reader) {
                match step {
                    TreeStep::Node(found) if found.node.kind == NodeKind::File => {
                        statistics.files = statistics.files.saturating_add(1);
                        statistics.bytes = statistics.bytes.saturating_add(found.node.size);
                    }
                    TreeStep::Node(found) if found.node.kind == NodeKind::Directory => {
                        statistics.directories = statistics.directories.saturating_add(1);
                    }
                    TreeStep::Failed { error, .. } => return Err(error),
                    TreeStep::Node(_) | TreeStep::Leave => {}
                }
            }
        }
        Ok(())
    }

    fn run(self, stream: Option<&mut StreamSource<'_>>) -> Result<BackupReport> {
        self.refuse_carrying_gaps()?;
        let index = Index::new(Arc::clone(self.repository.cache()))?;
        claim(&self.adopted, &index)?;
        let outcome = run::run(&self, &index, stream)?;
        self.counters.go_on()?;
        if self.options.dry_run {
            return Ok(outcome.report);
        }
        self.commit(&index, outcome)
    }

    fn commit(&self, index: &Index, outcome: run::Outcome) -> Result<BackupReport> {
        let run::Outcome { mut report, roots, attachment, packed, mut seen, health, published } =
            outcome;
        if roots.is_empty() {
            return Err(Error::failed("nothing could be read, so nothing was saved"));
        }
        report.parent = self.parent.as_ref().map(|parent| parent.id);
        let unchanged = self
            .parent
            .as_ref()
            .filter(|parent| is_same(&parent.snapshot.roots, &roots) && !self.options.always)
            .filter(|parent| !begins_list(attachment.as_ref(), &parent.snapshot))
            .map(|parent| parent.id);
        self.check_window(index, &packed)?;
        let mut parts =
            RecordParts { packs: packed.packs, inline: packed.inline, ..RecordParts::default() };
        if let Some(parent) = unchanged {
            // A run that found nothing new may still have healed what was missing.
            if !parts.packs.is_empty() || !parts.inline.is_empty() {
                parts.partial = Some(self.partial());
                self.repository.append(parts, self.clock.now())?;
            }
            self.remember(&mut seen, &parent)?;
            health.save(self.repository.state())?;
            return Ok(report);
        }
        let statistics = &mut report.statistics;
        let elapsed = self.clock.boot_nanoseconds().saturating_sub(self.began_boot);
        statistics.duration = u64::try_from(elapsed).unwrap_or(0);
        let mut snapshot = self.snapshot(roots, statistics);
        snapshot.parent = report.parent;
        snapshot.attachments = attachment.into_iter().collect();
        parts.snapshot = Some(snapshot);
        let committed = self.repository.append(parts, self.clock.now())?;
        report.statistics.stored_bytes = published.saturating_add(committed.stored_bytes);
        report.snapshot = committed.snapshot;
        if let Some(id) = committed.snapshot {
            self.remember(&mut seen, &id)?;
        }
        health.save(self.repository.state())?;
        self.repository.store().remove_staging(&committed.record, STAGING_AGE);
        Ok(report)
    }

    fn snapshot(&self, roots: Vec<Root>, statistics: &Statistics) -> Snapshot {
        let options = self.options;
        Snapshot {
            time: options.time.unwrap_or(self.began).0,
            offset_minutes: options.offset_minutes,
            host: options.host.clone(),
            user: options.user.clone(),
            job: options.job.clone(),
            tags: options.tags.clone(),
            flags: if statistics.errors > 0 { SNAPSHOT_INCOMPLETE } else { 0 }
                | if options.is_safety { SNAPSHOT_SAFETY } else { 0 },
            roots,
            statistics: statistics.clone(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            ..Snapshot::default()
        }
    }

    /// What a run relied on may be gone if it took longer than the window: look again.
    fn check_window(&self, index: &Index, packed: &Packed) -> Result<()> {
        let mut parents: Vec<SnapshotId> =
            self.parent.iter().filter(|_| !self.has_gaps).map(|parent| parent.id).collect();
        let borrowed = self.borrowed.lock().unwrap_or_else(PoisonError::into_inner);
        parents.extend(borrowed.iter());
        self.reliance.check_window(index, &packed.packs, &parents)
    }

    fn partial(&self) -> Partial {
        Partial { started: self.began.0, job: self.options.job.clone(), ..Partial::default() }
    }

    /// The name under which this job's table of reads is kept.
    fn seen_name(&self) -> String {
        let options = self.options;
        let key = format!("{}\0{}", options.host, options.job);
        format!("seen-{:016x}", self.repository.keys().name_hash(key.as_bytes()))
    }

    fn load_seen(&self) -> seen::Seen {
        let (Some(parent), Some(state)) = (&self.parent, self.repository.state()) else {
            return seen::Seen::default();
        };
        if self.options.force {
            return seen::Seen::default();
        }
        state
            .read(&self.seen_name())
            .map_or_else(seen::Seen::default, |bytes| seen::Seen::decode(&bytes, &parent.id))
    }

    fn remember(&self, seen: &mut walked::SeenPair, snapshot: &SnapshotId) -> Result<()> {
        let Some(state) = self.repository.state() else { return Ok(()) };
        let is_as_before = self.parent.as_ref().is_some_and(|parent| parent.id == *snapshot)
            && seen.reused == seen.before.len() as u64
            && seen.now.len() == seen.before.len();
        if is_as_before {
            return Ok(());
        }
        state.replace(&self.seen_name(), &seen.now.encode(snapshot))
    }
}

impl Repository {
    /// Reads a pack's table from the pack itself. `None` if there is no such pack, or it can't be
    /// read.
    pub fn find_pack(
        &self,
        hash: &ObjectHash,
    ) -> Result<Option<Durable<crate::format::record::ObjectUnits>>> {
        let Some((name, size)) = self.store().find(ObjectName::Pack(*hash))? else {
            return Ok(None);
        };
        match crate::repository::reader::read_pack_table(self, name.get(), size) {
            Ok(units) => Ok(Some(name.map(|name| crate::format::record::ObjectUnits {
                object: name.hash(),
                units,
                ..crate::format::record::ObjectUnits::default()
            }))),
            Err(error) if error.kind() == Kind::Damaged => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Counts what a tree holds, for the statistics of what is taken over unread.
fn is_file(node: &Node) -> bool {
    node.kind == NodeKind::File
}

/// Returns a reader, for callers outside this module's pipeline.
pub fn reader(repository: &Repository) -> Result<BlobReader<'_>> {
    BlobReader::new(repository)
}

/// Returns whether an attachment holds entries of a kind that the parent has none of: the first run
/// of a program that observes.
fn begins_list(attachment: Option<&Attachment>, parent: &Snapshot) -> bool {
    attachment.is_some_and(|it| {
        let holds_any = it.blob.is_some() || !it.entries.is_empty();
        holds_any && attachments::find(parent, &it.kind).is_none()
    })
}

/// Returns whether roots hold the same, whenever they were read.
fn is_same(some: &[Root], others: &[Root]) -> bool {
    let bare = |root: &Root| Root { last_read: None, ..root.clone() };
    some.len() == others.len()
        && some.iter().zip(others).all(|(one, other)| bare(one) == bare(other))
}
