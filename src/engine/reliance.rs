//! What a run that writes snapshots relies on beside what it stores itself, and how it makes sure
//! that all of it stands (`format-spec/8-order.md`, rules 8, 10 and 14).
//!
//! A run begins with a sync and a look for packs that have vanished, takes over what an earlier run
//! stored and could not publish, and looks once more before it publishes if more than the window has
//! passed. A run that fails that look stores nothing wrong: it begins anew.

use std::collections::{HashMap, HashSet};

use super::prune::stands;
use crate::error::{Error, Kind, Result};
use crate::event::{Counters, Event, Reporter};
use crate::format::record::ObjectUnits;
use crate::id::{ObjectHash, SnapshotId};
use crate::repository::Repository;
use crate::repository::cache::SnapshotEntry;
use crate::repository::index::Index;
use crate::repository::log::{DamagedRecord, SyncReport};
use crate::store::{Durable, ObjectName, Prefix};
use crate::time::{Clock, SECOND, Timestamp};

/// Why a run begins anew.
const CLEANED_UP: &str = "another machine cleaned up the repository during this run";
/// How long a full listing of a remote store's packs is good for, in nanoseconds.
const LISTING_AGE: i64 = 7 * 24 * 3600 * SECOND;
/// So many packs at most are asked for one by one if a listing lacks them.
const MOST_ASKED: usize = 64;
/// The verdict on a record of which something is lost (page 7).
const NOT_WHOLE: u64 = 3;

/// See the module's head.
pub(super) struct Reliance<'a> {
    repository: &'a Repository,
    clock: &'a dyn Clock,
    reporter: &'a dyn Reporter,
    /// When the sync began, by the wall clock.
    pub(super) began: Timestamp,
    /// The same by the clock that never goes back, in nanoseconds.
    pub(super) began_boot: i64,
    /// Whether every checkpoint could be read with all its segments.
    knows_all: bool,
    /// The condemnations that the run began with.
    condemnations: HashSet<ObjectHash>,
}

impl<'a> Reliance<'a> {
    /// Reads what others did.
    pub(super) fn begin(
        repository: &'a Repository,
        clock: &'a dyn Clock,
        reporter: &'a dyn Reporter,
    ) -> Result<Self> {
        let began = clock.now();
        let began_boot = clock.boot_nanoseconds();
        let report = repository.sync_own()?;
        repository.refuse_unsealable()?;
        refuse_unread(repository, &report.damaged)?;
        for damaged in report.damaged.iter().chain(&report.salvaged) {
            reporter.event(&Event::Warning {
                message: &format!("{}; what only it names is stored again", damaged.error),
            });
        }
        if let Some(lane) = repository.lost_tip() {
            reporter.event(&Event::Warning {
                message: &format!(
                    "the repository has lost a record that this machine wrote, {} of lane {}; a \
                     snapshot may have gone with it; `stash check` says what is left",
                    lane.sequence,
                    lane.lane.short()
                ),
            });
        }
        tell_unsupported(repository, &report, reporter)?;
        let knows_all = report.unsupported.is_empty();
        let condemnations = repository.cache().condemnations()?;
        Ok(Reliance { repository, clock, reporter, began, began_boot, knows_all, condemnations })
    }

    /// Returns whether all that these snapshots refer to stands, as far as the log and the listings
    /// say: then it may be relied upon without looking up each blob.
    pub(super) fn is_whole(&self, snapshots: &[SnapshotId]) -> Result<bool> {
        // A check may have found more than a listing shows.
        Ok(self.knows_all
            && !self.repository.cache().has_distrusted()?
            && self.condemned_in_sight_of(&self.condemnations, snapshots)?)
    }

    /// Returns whether every condemnation was decided by one who had read the snapshots' records:
    /// then nothing that they refer to was condemned without standing elsewhere, and whoever sweeps
    /// sees to it that it goes on standing as long as they live (rule 8).
    fn condemned_in_sight_of(
        &self,
        condemnations: &HashSet<ObjectHash>,
        snapshots: &[SnapshotId],
    ) -> Result<bool> {
        if condemnations.is_empty() || snapshots.is_empty() {
            return Ok(true);
        }
        let records: HashMap<_, _> =
            self.repository.cache().snapshot_records()?.into_iter().collect();
        let verdicts = self.repository.cache().verdicts()?;
        let order = self.repository.order()?;
        Ok(snapshots.iter().all(|id| {
            records.get(id).copied().flatten().is_some_and(|record| {
                verdicts.get(&record) != Some(&NOT_WHOLE)
                    && condemnations.iter().all(|condemnation| order.knew(condemnation, &record))
            })
        }))
    }

    /// Fails unless all that these snapshots hold stands, so that new ones may be made of it (rule 8):
    /// what they need may be about to be deleted, or damaged.
    pub(super) fn refuse_fallen(
        &self,
        entries: &[&SnapshotEntry],
        counters: &Counters,
    ) -> Result<()> {
        for entry in entries {
            if !self.is_whole(&[entry.id])?
                && !stands(self.repository, &self.repository.whole(entry)?.snapshot, counters)?
            {
                return Err(Error::new(
                    Kind::Busy,
                    format!("snapshot {} needs what is not all there to stay", entry.id.short()),
                )
                .hint(
                    "nothing was changed; `stash prune` stores anew what is about to be deleted, \
                     and `stash check` says whether something is lost",
                ));
            }
        }
        Ok(())
    }

    /// Does so for snapshots of which something is lost, and the rest was looked at: only what is about
    /// to be deleted matters then.
    pub(super) fn refuse_doomed(&self, snapshots: &[SnapshotId]) -> Result<()> {
        let cache = self.repository.cache();
        let gone = cache.gone()?;
        let condemned = cache.condemned()?.into_iter();
        let open = condemned.filter(|(object, _)| !gone.contains(object)).map(|(_, by)| by);
        if self.condemned_in_sight_of(&open.collect(), snapshots)? {
            return Ok(());
        }
        Err(Error::new(Kind::Busy, "these snapshots may need what is about to be deleted").hint(
            "nothing was changed; `stash prune --accept lost` stores it anew and goes on without \
             what is lost",
        ))
    }

    /// Returns whether nothing was condemned between two looks.
    pub(super) fn is_as_before(&self, before: &Reliance<'_>) -> bool {
        self.condemnations == before.condemnations
    }

    /// Looks whether all packs are there: those of a near store each time, those of a remote one
    /// once a week, since its listings cost a request for each thousand.
    pub(super) fn look_for_packs(&self) -> Result<()> {
        // Remembered beside what it found: a cache that is made anew has to look again.
        let cache = self.repository.cache();
        let looked = cache.packs_listed()?.filter(|_| self.repository.store().is_remote());
        let age = looked.map(|then| self.began.0.saturating_sub(then));
        // Without a segment it is not known what was swept before.
        if self.knows_all && age.is_some_and(|age| (0..LISTING_AGE).contains(&age)) {
            return Ok(());
        }
        self.distrust_missing_packs()?;
        if self.repository.store().is_remote() { cache.note_listing(self.began.0) } else { Ok(()) }
    }

    /// Compares the index with a listing, so that what has vanished is stored again. Returns whether
    /// something has vanished since the cache last looked.
    fn distrust_missing_packs(&self) -> Result<bool> {
        let listed: HashMap<ObjectName, u64> = self
            .repository
            .store()
            .list(Prefix::Packs)?
            .into_iter()
            .map(|row| (row.name, row.size))
            .collect();
        let cache = self.repository.cache();
        let is_there =
            |name: &ObjectName, reach: u64| listed.get(name).is_some_and(|size| *size >= reach);
        let objects = cache.objects()?;
        let was_missing: HashSet<_> = cache.missing()?.into_iter().collect();
        let found: Vec<_> = objects
            .iter()
            .filter(|(name, reach)| was_missing.contains(&name.hash()) && is_there(name, *reach))
            .map(|(name, _)| name.hash())
            .collect();
        cache.note_found(&found)?;
        let known: HashSet<_> = cache.unreliable()?.into_iter().collect();
        let mut missing = Vec::new();
        for (name, reach) in &objects {
            let is_pack = matches!(name, ObjectName::Pack(_));
            if !is_pack || is_there(name, *reach) || known.contains(&name.hash()) {
                continue;
            }
            // A listing may leave something out; of many it is believed.
            let size =
                if missing.len() < MOST_ASKED { self.repository.store().size(name)? } else { None };
            if size.is_none_or(|size| size < *reach) {
                missing.push(name.hash());
            }
        }
        if !missing.is_empty() {
            self.reporter.event(&Event::Warning {
                message: &format!(
                    "{} packs are missing or cut short; what is still on this disk is stored again",
                    missing.len()
                ),
            });
            cache.note_missing(&missing)?;
        }
        Ok(!missing.is_empty())
    }

    /// Returns packs that a run which died had stored and no record names: nothing durable is
    /// uploaded twice.
    pub(super) fn unnamed_packs(&self) -> Result<Vec<Durable<ObjectUnits>>> {
        let mut packs = Vec::new();
        let Some(state) = self.repository.state() else { return Ok(packs) };
        let cache = self.repository.cache();
        let mut known: HashSet<_> = cache.objects()?.iter().map(|(name, _)| name.hash()).collect();
        known.extend(cache.condemned()?.into_keys());
        known.extend(cache.gone()?);
        let age = self.repository.lifetimes().journal;
        for hash in state.noted_packs(self.began.0, age) {
            if known.insert(hash)
                && let Some(units) = self.repository.find_pack(&hash)?
            {
                packs.push(units);
            }
        }
        Ok(packs)
    }

    /// Returns nanoseconds since the sync, by the clock that says more.
    pub(super) fn elapsed(&self) -> i64 {
        let boot = self.clock.boot_nanoseconds().saturating_sub(self.began_boot);
        boot.max(self.clock.now().0.saturating_sub(self.began.0))
    }

    /// What a run relied on may be gone if it took longer than the window: looks again, and fails
    /// with [`Kind::Busy`] if it is. `snapshots` are those that the run relied on as a whole, `packs`
    /// its own that no record names yet.
    pub(super) fn check_window(
        &self,
        index: &Index,
        packs: &[Durable<ObjectUnits>],
        snapshots: &[SnapshotId],
    ) -> Result<()> {
        if self.elapsed() < self.repository.lifetimes().window {
            return Ok(());
        }
        self.look_again(index, packs, snapshots).map(drop)
    }

    /// Does the same, for a run that publishes more than one snapshot: what was found to stand counts
    /// for another window.
    pub(super) fn renew_window(
        &mut self,
        index: &Index,
        packs: &[Durable<ObjectUnits>],
        snapshots: &[SnapshotId],
    ) -> Result<()> {
        if self.elapsed() < self.repository.lifetimes().window {
            return Ok(());
        }
        let (began, began_boot) = (self.clock.now(), self.clock.boot_nanoseconds());
        self.condemnations = self.look_again(index, packs, snapshots)?;
        (self.began, self.began_boot) = (began, began_boot);
        Ok(())
    }

    /// Returns the condemnations that there are now, if all that the run relied on stands.
    fn look_again(
        &self,
        index: &Index,
        packs: &[Durable<ObjectUnits>],
        snapshots: &[SnapshotId],
    ) -> Result<HashSet<ObjectHash>> {
        let report = self.repository.sync_own()?;
        refuse_unread(self.repository, &report.damaged)?;
        let now = self.repository.cache().condemnations()?;
        // What was condemned before was looked at when the run began.
        let news: HashSet<ObjectHash> = now.difference(&self.condemnations).copied().collect();
        let has_lost = self.distrust_missing_packs()?
            || self.has_lost_one_of(snapshots)?
            || !self.condemned_in_sight_of(&news, snapshots)?
            || self.has_fallen(index, packs)?;
        if has_lost {
            return Err(Error::new(Kind::Busy, CLEANED_UP)
                .hint("run the same command again; what is durable is not uploaded twice"));
        }
        Ok(now)
    }

    /// Returns whether one of these snapshots is forgotten since, or gone: then nobody keeps what it
    /// refers to.
    fn has_lost_one_of(&self, snapshots: &[SnapshotId]) -> Result<bool> {
        let cache = self.repository.cache();
        let known: HashSet<SnapshotId> =
            cache.snapshot_records()?.into_iter().map(|(id, _)| id).collect();
        let states = cache.mark_states()?;
        Ok(snapshots.iter().any(|id| {
            !known.contains(id) || states.get(id).is_some_and(|state| state.forgotten.is_some())
        }))
    }

    /// Returns whether something that the run relied on does not stand any more: its own packs and what
    /// the differences in them stand on included.
    fn has_fallen(&self, index: &Index, packs: &[Durable<ObjectUnits>]) -> Result<bool> {
        let cache = self.repository.cache();
        let (condemned, gone) = (cache.condemned()?, cache.gone()?);
        let is_doomed = |hash: &ObjectHash| condemned.contains_key(hash) || gone.contains(hash);
        if packs.iter().any(|pack| is_doomed(&pack.get().object)) {
            return Ok(true);
        }
        for unit in packs.iter().flat_map(|pack| &pack.get().units) {
            for base in unit.bases.iter() {
                if !index.stands(base)? {
                    return Ok(true);
                }
            }
        }
        index.has_fallen()
    }
}

/// Claims what packs hold that a run takes over. A difference counts once its bases do: those that are gone since
/// make it worth nothing, and it is stored anew.
pub(super) fn claim(packs: &[Durable<ObjectUnits>], index: &Index) -> Result<()> {
    let mut waiting: Vec<_> = packs.iter().flat_map(|pack| &pack.get().units).collect();
    loop {
        let before = waiting.len();
        let mut left = Vec::new();
        for unit in waiting {
            let mut stands = true;
            for base in unit.bases.iter() {
                stands = stands && index.stands(base)?;
            }
            if !stands {
                left.push(unit);
                continue;
            }
            for id in unit.blobs.iter() {
                index.claim(id)?;
            }
        }
        if left.is_empty() || left.len() == before {
            return Ok(());
        }
        waiting = left;
    }
}

/// Says that part of what the repository holds is not known.
fn tell_unsupported(
    repository: &Repository,
    report: &SyncReport,
    reporter: &dyn Reporter,
) -> Result<()> {
    let verdicts = repository.cache().verdicts()?;
    for lacking in &report.unsupported {
        if !verdicts.contains_key(&lacking.name.hash()) {
            reporter.event(&Event::Warning {
                message: &format!(
                    "{}; what only it names is stored again; `stash repair index` mends the index",
                    lacking.error
                ),
            });
        }
    }
    Ok(())
}

/// What a record condemns that can't be read nobody may rely on, and nobody knows.
fn refuse_unread(repository: &Repository, damaged: &[DamagedRecord]) -> Result<()> {
    let verdicts = repository.cache().verdicts()?;
    let decides = |name: &ObjectName| match name {
        ObjectName::Record(name) => matches!(&*name.kind, "condemn" | "sweep" | "checkpoint"),
        _ => false,
    };
    let unread =
        damaged.iter().find(|it| decides(&it.name) && !verdicts.contains_key(&it.name.hash()));
    match unread {
        None => Ok(()),
        Some(it) => Err(Error::damaged(
            "what is about to be deleted can't be told: cannot read",
            it.name.to_string(),
        )
        .hint("try again; if it stays so, `stash repair index` takes note of the loss")),
    }
}
