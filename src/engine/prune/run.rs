//! Carries a prune out, step by step: nothing is condemned before its copies are durable and read
//! back, and nothing is deleted before the record that says so is durable.

use std::collections::HashSet;

use super::checkpoint::CheckpointWriter;
use super::copies::Copier;
use super::facts::{Facts, NOT_WHOLE};
use super::left::left;
use super::needs::{Needs, NeedsWalk, Walked};
use super::options::{Brake, PruneOptions, PruneReport};
use super::plan::{Clocks, Planner, PrunePlan};
use super::usage::Usage;
use crate::error::{Error, Kind, Result};
use crate::event::{Counters, Event, Reporter};
use crate::format::cbor::Ids;
use crate::format::record::{Condemn, Heal, ObjectUnits, Partial, Sweep};
use crate::id::{ObjectHash, SnapshotId};
use crate::repository::Repository;
use crate::repository::cache::{KnownRecord, SnapshotEntry};
use crate::repository::log::RecordParts;
use crate::repository::marks::Forgotten;
use crate::store::{DeletePermit, Durable, Listed, ObjectName};
use crate::time::{Clock, Timestamp};

/// A record names no more blobs than this.
const RECORD_BLOBS: usize = 100_000;
/// After so many looks at a repository that goes on changing it is the next run's turn.
const ROUNDS: usize = 4;
/// The verdict on a late record of which nothing is lost.
const WHOLE: u64 = 1;

/// Condemns what no snapshot needs, and deletes what was condemned long enough ago. See the
/// module's head. The repository must be locked: together with others, or alone if
/// [`PruneOptions::alone`].
pub fn prune(
    repository: &Repository,
    options: &PruneOptions,
    clock: &dyn Clock,
    counters: &Counters,
    reporter: &dyn Reporter,
) -> Result<PruneReport> {
    // A sync forgets what a listing lacks; here that matters.
    let known = repository.cache().known_records()?;
    repository.sync()?;
    if let Some(lane) = repository.lost_tip() {
        let problem = format!(
            "the repository was set back: record {} of lane {}, which this machine wrote, is not there",
            lane.sequence,
            lane.lane.short()
        );
        options.accepted.stop(Brake::Rollback, problem, Kind::Damaged)?;
    }
    let mut covered = None;
    let mut walked = Walked::default();
    for _ in 0..ROUNDS {
        let look = Look { known: &known, wrote_checkpoint: covered.is_some(), walked: &mut walked };
        match once(repository, look, options, clock, counters, reporter)? {
            Round::Done(report) => {
                return Ok(PruneReport { covered_records: covered.unwrap_or(0), ..*report });
            }
            Round::Checkpoint(records) => covered = Some(records),
            Round::TookTooLong => {}
        }
    }
    Err(Error::new(Kind::Busy, "other machines kept changing the repository during this run")
        .hint("run the same command again; copies that were made are used"))
}

/// What came of one look at the repository.
enum Round {
    Done(Box<PruneReport>),
    /// A checkpoint was written that covers so many records: what it replaces can be told from what
    /// is needed by looking again.
    Checkpoint(u64),
    /// What was read can't be relied upon any more.
    TookTooLong,
}

/// What earlier looks leave to one.
struct Look<'l> {
    /// The records that this machine had read before the run.
    known: &'l [KnownRecord],
    wrote_checkpoint: bool,
    walked: &'l mut Walked,
}

fn once(
    repository: &Repository,
    mut look: Look<'_>,
    options: &PruneOptions,
    clock: &dyn Clock,
    counters: &Counters,
    reporter: &dyn Reporter,
) -> Result<Round> {
    let (own, boot) = (clock.now(), clock.boot_nanoseconds());
    // A plan writes nothing, not even to ask the time. Nor does who deletes nothing: it would leave
    // what it asked with behind where the store does not let it be deleted.
    let asks = !options.dry_run && !options.only_checkpoint;
    let told = if asks { Some(repository.store().now()?) } else { None };
    let mut facts = Facts::gather(repository, look.known, own, options.trusted_lanes.as_ref())?;
    facts.find_older(options.reseal)?;
    let mut clocks = Clocks { own, store: told.unwrap_or(own) };
    if let Some(first) = facts.unseen.first() {
        let problem = format!(
            "{} records are missing from the store's listing, this one first: {}{}",
            facts.unseen.len(),
            first.short(),
            facts.say_of_strangers()
        );
        options.accepted.stop(Brake::Vanished, problem, Kind::Damaged)?;
    }
    clocks.verify(facts.newest, &repository.lifetimes(), options)?;
    if options.only_checkpoint {
        // It is later than that, so that nothing is taken for dead too early.
        clocks.store = facts.newest_stored().unwrap_or(own).min(own);
    }
    if !facts.vanished.is_empty() {
        let hashes: Vec<ObjectHash> = facts.vanished.iter().map(|(hash, _)| *hash).collect();
        facts.repository.cache().distrust(&hashes)?;
    }
    // What a check found damaged here is no place to rely on: else the damaged copy of a blob might
    // be the one that is kept, and the good one, stored since, the one that goes.
    facts.repository.cache().distrust(&repository.cache().distrusted()?)?;
    let only_checkpoint =
        options.only_checkpoint || (options.automatic && repository.store().refuses_deletion());
    let prune = Prune {
        repository,
        facts: &facts,
        options,
        only_checkpoint,
        clocks,
        boot,
        counters,
        reporter,
    };
    prune.run(&mut look, clock)
}

struct Prune<'p> {
    repository: &'p Repository,
    facts: &'p Facts,
    options: &'p PruneOptions,
    only_checkpoint: bool,
    clocks: Clocks,
    /// The clock that runs on through sleep, when the log was read (nanoseconds).
    boot: i64,
    counters: &'p Counters,
    reporter: &'p dyn Reporter,
}

impl Prune<'_> {
    fn run(&self, look: &mut Look<'_>, clock: &dyn Clock) -> Result<Round> {
        let (mut needs, live, verdicts) = self.needs(std::mem::take(look.walked))?;
        let walked = needs.bits();
        let round = self.decide(&mut needs, &live, verdicts, look.wrote_checkpoint, clock)?;
        if !matches!(round, Round::Done(_)) {
            // However long it took: the next look walks only what is new.
            *look.walked = Walked::of(&needs, &walked, live.iter().map(|entry| entry.id));
        }
        Ok(round)
    }

    fn decide(
        &self,
        needs: &mut Needs,
        live: &[SnapshotEntry],
        verdicts: Vec<Heal>,
        wrote_checkpoint: bool,
        clock: &dyn Clock,
    ) -> Result<Round> {
        let is_thorough = self.options.is_thorough();
        let raise = is_thorough.then(|| self.options.max_repack.of(self.stored_bytes()));
        let usage = Usage::choose(self.facts.repository.cache(), needs, raise)?;
        let planner = Planner {
            facts: self.facts,
            options: self.options,
            lifetimes: self.repository.lifetimes(),
            clocks: self.clocks,
        };
        let mut plan = planner.plan(&usage)?;
        plan.report.snapshots = live.len() as u64;
        plan.report.unheeded.clone_from(&self.facts.unheeded);
        plan.report.late_records = verdicts.len() as u64;
        let broken = verdicts.iter().filter(|heal| heal.verdict == NOT_WHOLE);
        plan.report.broken_records = broken.count() as u64;
        let forgotten = live.iter().filter(|entry| entry.forgotten.is_some());
        plan.report.forgotten_snapshots = forgotten.count() as u64;
        if is_thorough {
            let live: HashSet<SnapshotId> = live.iter().map(|entry| entry.id).collect();
            let would_cover = || self.facts.coverable(self.options.alone);
            let covers = if self.options.dry_run { would_cover() } else { HashSet::new() };
            let young = |row: &Listed| planner.is_young(row);
            plan.report.left = left(self.facts, &plan, &usage, needs, &live, &covers, young)?;
        }
        if self.options.dry_run {
            return Ok(Round::Done(Box::new(plan.report)));
        }
        if !verdicts.is_empty() && !self.is_within_window(clock) {
            return Ok(Round::TookTooLong);
        }
        for heal in verdicts {
            let parts = RecordParts { heal: Some(heal), ..self.parts() };
            self.repository.append(parts, clock.now())?;
        }
        if !wrote_checkpoint && let Some(round) = self.checkpoint(needs, &usage, live, clock)? {
            return Ok(round);
        }
        if self.only_checkpoint {
            Ok(Round::Done(Box::new(plan.report.of_keeping())))
        } else {
            self.act(plan, needs, &usage, clock)
        }
    }

    fn stored_bytes(&self) -> u64 {
        self.facts.bytes(self.facts.listed.keys())
    }

    /// Writes a checkpoint if one is due; `None` if not.
    fn checkpoint(
        &self,
        needs: &Needs,
        usage: &Usage,
        live: &[SnapshotEntry],
        clock: &dyn Clock,
    ) -> Result<Option<Round>> {
        let writer = CheckpointWriter {
            facts: self.facts,
            needs,
            usage,
            live,
            now: self.clocks.own,
            due_records: self.options.checkpoint_records,
            alone: self.options.alone,
            thorough: self.options.is_thorough(),
            counters: self.counters,
        };
        let prepared = match writer.prepare() {
            // What is older stays where it is, and goes on to be read from there.
            Err(error) if error.kind() == Kind::Damaged => {
                self.warn(&format!("no checkpoint was made: {}", error.with_hint()));
                return Ok(None);
            }
            prepared => prepared?,
        };
        let Some(prepared) = prepared else { return Ok(None) };
        if !self.is_within_window(clock) {
            return Ok(Some(Round::TookTooLong));
        }
        self.repository.append(prepared.parts, clock.now())?;
        Counters::add(&self.counters.done_items, prepared.covered_records);
        Ok(Some(Round::Checkpoint(prepared.covered_records)))
    }

    /// Returns whether what was read can still be relied upon (rule 10).
    fn is_within_window(&self, clock: &dyn Clock) -> bool {
        let slept = clock.boot_nanoseconds().saturating_sub(self.boot);
        let elapsed = slept.max(clock.now().0.saturating_sub(self.clocks.own.0));
        elapsed < self.repository.lifetimes().window
    }

    /// Walks all snapshots that live; looks into those that came late.
    fn needs(&self, walked: Walked) -> Result<(Needs, Vec<SnapshotEntry>, Vec<Heal>)> {
        let facts = self.facts;
        let lifetimes = self.repository.lifetimes();
        let now = self.clocks.own.0.min(self.clocks.store.0);
        let records: std::collections::HashMap<_, _> =
            facts.repository.cache().snapshot_records()?.into_iter().collect();
        let mut walk = NeedsWalk::new(&facts.repository, self.counters)?;
        let walked = walk.take_over(walked);
        // One at a time: together they would take what all small files take.
        let whole = |head: &SnapshotEntry| facts.repository.whole(head).map(|it| it.snapshot);
        let mut verdicts = Vec::new();
        let mut live = Vec::new();
        for mut entry in facts.repository.cached_heads()? {
            if self.options.forgotten.contains(&entry.id) {
                let now = self.clocks.own.0;
                entry.forgotten = entry.forgotten.or(Some(Forgotten { since: now }));
            }
            let is_dead = entry.forgotten.is_some_and(|forgotten| {
                (self.options.alone && !self.options.automatic)
                    || forgotten.is_dead(&lifetimes, Timestamp(now))
            });
            if is_dead {
                continue;
            }
            let record = records.get(&entry.id).copied().flatten();
            if record.is_some_and(|record| facts.late.contains(&record)) {
                let lost = walk.remains(&whole(&entry)?)?;
                if lost > 0 {
                    self.warn(&format!("snapshot {} came too late: a prune had deleted {lost} blobs that it needs; run `stash backup` on `{}`", entry.id.short(), entry.snapshot.host));
                }
                let verdict = if lost == 0 { WHOLE } else { NOT_WHOLE };
                let record = record.unwrap_or_default();
                verdicts.push(Heal { record, verdict, ..Heal::default() });
            } else if record.is_some_and(|record| facts.broken.contains(&record))
                || self.options.accepted.0.contains(&Brake::Lost)
            {
                walk.remains(&whole(&entry)?)?;
            } else if !walked.contains(&entry.id) {
                walk.snapshot(&whole(&entry)?).map_err(Self::lost)?;
            }
            live.push(entry);
        }
        // A run that goes on has published what it stored, and does not look at the bases again.
        for base in &facts.bases_of_partials {
            walk.need_known(base);
        }
        // A late record without a snapshot needs nothing that could be lost.
        let with_snapshot: HashSet<_> = verdicts.iter().map(|heal| heal.record).collect();
        verdicts.extend(
            facts
                .late
                .iter()
                .filter(|record| !with_snapshot.contains(*record))
                .map(|record| Heal { record: *record, verdict: WHOLE, ..Heal::default() }),
        );
        Ok((walk.finish(), live, verdicts))
    }

    fn lost(error: Error) -> Error {
        if error.kind() != Kind::Damaged {
            return error;
        }
        let word = Brake::Lost.word();
        error.hint(format!(
            "nothing was deleted; `stash check` says what is lost; `--accept {word}` goes on without it"
        ))
    }

    fn warn(&self, message: &str) {
        self.reporter.event(&Event::Warning { message });
    }

    fn parts(&self) -> RecordParts {
        RecordParts { view: Some(self.facts.view.clone()), ..RecordParts::default() }
    }

    fn act(
        &self,
        mut plan: PrunePlan,
        needs: &Needs,
        usage: &Usage,
        clock: &dyn Clock,
    ) -> Result<Round> {
        let (packs, bytes) = self.copy(&mut plan, needs, usage)?;
        plan.report.copied_bytes = bytes;
        if !self.is_within_window(clock) {
            // The copies stay, and make the next look a short one.
            if !packs.is_empty() {
                let packs = self.publish_copies(packs, clock)?;
                let parts = RecordParts { partial: Some(self.partial()), packs, ..self.parts() };
                self.repository.append(parts, clock.now())?;
            }
            return Ok(Round::TookTooLong);
        }
        let hashes = |names: &[ObjectName]| Ids(names.iter().map(ObjectName::hash).collect());
        let mut permits = self.repository.permit_leftovers(&plan.leftovers)?;
        if !plan.condemn.is_empty() || !plan.sweep.is_empty() || !packs.is_empty() {
            let packs = self.publish_copies(packs, clock)?;
            let mut condemn_ids = hashes(&plan.condemn);
            condemn_ids.0.sort_unstable();
            let condemn = (!plan.condemn.is_empty())
                .then(|| Condemn { objects: condemn_ids, ..Condemn::default() });
            let mut sweep_ids = hashes(&plan.sweep);
            sweep_ids.0.sort_unstable();
            let sweep = (!plan.sweep.is_empty()).then(|| Sweep {
                condemnations: Ids(plan.condemnations.clone()),
                objects: sweep_ids,
                ..Sweep::default()
            });
            let parts = RecordParts { packs, condemn, sweep, ..self.parts() };
            let (_, swept) = self.repository.append_sweep(parts, &plan.sweep, clock.now())?;
            permits.extend(swept);
        }
        self.delete(permits, &mut plan.report);
        Ok(Round::Done(Box::new(plan.report)))
    }

    fn copy(
        &self,
        plan: &mut PrunePlan,
        needs: &Needs,
        usage: &Usage,
    ) -> Result<(Vec<Durable<ObjectUnits>>, u64)> {
        if plan.repack.is_empty() && plan.rescue.is_empty() && plan.raise.is_empty() {
            return Ok((Vec::new(), 0));
        }
        let mut copier = Copier::new(self.facts, needs, usage, self.clocks.own.0, self.counters)?;
        let mut damaged = HashSet::new();
        for object in &plan.repack {
            match copier.object(object) {
                Err(error) if error.kind() == Kind::Damaged => {
                    self.warn(&format!(
                        "`{object}` is left as it is, since it can't be copied whole: {error}; \
                         `stash check` says what is lost"
                    ));
                    damaged.insert(object.clone());
                }
                other => other?,
            }
        }
        for names in [&mut plan.repack, &mut plan.condemn, &mut plan.sweep] {
            names.retain(|name| !damaged.contains(name));
        }
        let mut lost = Vec::new();
        for id in plan.rescue.iter().chain(&plan.raise) {
            if !copier.rescue(*id)? {
                lost.push(*id);
            }
        }
        if let Some(first) = lost.first() {
            let problem = format!(
                "{} blobs that snapshots need can't be had any more, this one first: {}",
                lost.len(),
                first.short()
            );
            self.options.accepted.stop(Brake::Lost, problem, Kind::Damaged)?;
        }
        plan.report.rescued_blobs = plan.report.rescued_blobs.saturating_sub(lost.len() as u64);
        copier.finish()
    }

    fn partial(&self) -> Partial {
        let started = self.clocks.own.0;
        Partial { started, job: "prune".to_owned(), ..Partial::default() }
    }

    /// Publishes all but the last packs by themselves, if they hold too many blobs for one record.
    fn publish_copies(
        &self,
        packs: Vec<Durable<ObjectUnits>>,
        clock: &dyn Clock,
    ) -> Result<Vec<Durable<ObjectUnits>>> {
        let (mut waiting, mut blobs) = (Vec::new(), 0_usize);
        for pack in packs {
            let more = pack.get().units.iter().map(|unit| unit.blobs.len()).sum::<usize>();
            if blobs.saturating_add(more) > RECORD_BLOBS {
                let packs = std::mem::take(&mut waiting);
                let parts = RecordParts { partial: Some(self.partial()), packs, ..self.parts() };
                self.repository.append(parts, clock.now())?;
                blobs = 0;
            }
            blobs = blobs.saturating_add(more);
            waiting.push(pack);
        }
        Ok(waiting)
    }

    /// Deletes; what can't be deleted is named by the sweep, and the next run tries again.
    fn delete(&self, permits: Vec<DeletePermit>, report: &mut PruneReport) {
        let (mut deleted, mut failed) = (Vec::new(), 0_u64);
        for (name, result) in self.repository.store().delete_all(permits) {
            match result {
                Ok(()) => deleted.push(name.hash()),
                Err(error) => {
                    if failed == 0 {
                        self.warn(&format!("{error}; the next prune tries again"));
                    }
                    failed = failed.saturating_add(1);
                }
            }
        }
        report.deleted_objects = deleted.len() as u64;
        report.deleted_bytes = self.facts.bytes(deleted.iter());
        report.undeleted_objects = failed;
    }
}
