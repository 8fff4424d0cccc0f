//! What a run that writes snapshots relies on beside what it stores itself, and how it makes sure
//! that all of it stands (`format-spec/8-order.md`, rules 8, 10 and 14).
//!
//! A run begins with a sync and a look for packs that have vanished, takes over what an earlier run
//! stored and could not publish, and looks once more before it publishes if more than the window has
//! passed. A run that fails that look stores nothing wrong: it begins anew.

use std::collections::{HashMap, HashSet};

use crate::error::{Error, Kind, Result};
use crate::event::{Event, Reporter};
use crate::format::record::ObjectUnits;
use crate::id::{ObjectHash, SnapshotId};
use crate::repository::Repository;
use crate::repository::index::Index;
use crate::repository::log::DamagedRecord;
use crate::store::{Durable, ObjectName, Prefix};
use crate::time::{Clock, SECOND, Timestamp};

/// Why a run begins anew.
const CLEANED_UP: &str = "another machine cleaned up the repository during this run";
/// How long a full listing of a remote store's packs is good for, in nanoseconds.
const LISTING_AGE: i64 = 7 * 24 * 3600 * SECOND;
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
        let condemnations = repository.cache().condemnations()?;
        Ok(Reliance { repository, clock, reporter, began, began_boot, condemnations })
    }

    /// Returns whether all that these snapshots refer to stands, as far as the log and the listings
    /// say: then it may be relied upon without looking up each blob.
    pub(super) fn is_whole(&self, snapshots: &[SnapshotId]) -> Result<bool> {
        // A check may have found more than a listing shows.
        Ok(!self.repository.cache().has_distrusted()?
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
        if age.is_some_and(|age| (0..LISTING_AGE).contains(&age)) {
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
        let objects = self.repository.cache().objects()?;
        let known: HashSet<_> = self.repository.cache().unreliable()?.into_iter().collect();
        let missing: Vec<_> = objects
            .iter()
            .filter(|(name, _)| matches!(name, ObjectName::Pack(_)))
            .filter(|(name, reach)| listed.get(name).is_none_or(|size| size < reach))
            .filter(|(name, _)| !known.contains(&name.hash()))
            .map(|(name, _)| name.hash())
            .collect();
        if !missing.is_empty() {
            self.reporter.event(&Event::Warning {
                message: &format!(
                    "{} packs are missing or cut short; what is still on this disk is stored again",
                    missing.len()
                ),
            });
            self.repository.cache().distrust(&missing)?;
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
        self.repository.sync_own()?;
        let now = self.repository.cache().condemnations()?;
        // What was condemned before was looked at when the run began.
        let news: HashSet<ObjectHash> = now.difference(&self.condemnations).copied().collect();
        let has_lost = self.distrust_missing_packs()?
            || !self.condemned_in_sight_of(&news, snapshots)?
            || (!news.is_empty() && self.has_fallen(index, packs)?);
        if has_lost {
            return Err(Error::new(Kind::Busy, CLEANED_UP)
                .hint("run the same command again; what is durable is not uploaded twice"));
        }
        Ok(())
    }

    /// Returns whether something that the run relied on, its own packs included, does not stand any
    /// more.
    fn has_fallen(&self, index: &Index, packs: &[Durable<ObjectUnits>]) -> Result<bool> {
        let cache = self.repository.cache();
        let (condemned, gone) = (cache.condemned()?, cache.gone()?);
        let is_doomed = |hash: &ObjectHash| condemned.contains_key(hash) || gone.contains(hash);
        if packs.iter().any(|pack| is_doomed(&pack.get().object)) {
            return Ok(true);
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
