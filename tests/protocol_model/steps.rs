//! Everything that can happen next.

use std::fmt;

use super::judge::wasted;
use super::pruner;
use super::reader::Reader;
use super::rules::{GRACE, Rules, WINDOW};
use super::world::{Kind, NONE, Operation, Run, World, ids, one};
use super::writer::{self, Job, Sync};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Begin(Operation),
    /// One record could not be read at the sync.
    BeginBlind(Operation, u8),
    SyncAgain,
    GiveUp,
    Put,
    Publish(u8),
    /// It was stopped for longer than it may be.
    PublishLate(u8),
    /// Durable, but its writer never learns it.
    PublishUnheard(u8),
    Delete(u8),
    Crash,
    Arrive(u8),
    Tick,
    StoreClockJumps,
    OwnClockJumps,
}

/// Who did what.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) actor: u8,
    pub(crate) event: Event,
}

impl fmt::Debug for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.event {
            Event::Tick | Event::StoreClockJumps | Event::Arrive(_) => {
                write!(formatter, "{:?}", self.event)
            }
            event => write!(formatter, "actor {}: {event:?}", self.actor),
        }
    }
}

/// A state that can follow, and how.
pub(crate) struct Next {
    pub(crate) step: Step,
    pub(crate) world: World,
    /// What was stored has changed, or what has a claim to be there.
    pub(crate) must_be_judged: bool,
    /// A promise about work was broken.
    pub(crate) complaint: Option<&'static str>,
}

/// The bounds of an exploration, and what each actor is told to do.
pub(crate) struct Plan {
    pub(crate) jobs: Vec<Vec<Job>>,
}

/// Returns all states that can follow.
pub(crate) fn successors(world: &World, rules: &Rules, plan: &Plan) -> Vec<Next> {
    let mut steps = Steps { world, rules, plan, found: Vec::new() };
    steps.add(NONE, Event::Tick, false, |next| next.now += 1);
    if world.mishaps.clock_jump > 0 {
        steps.add(NONE, Event::StoreClockJumps, false, |next| {
            next.mishaps.clock_jump -= 1;
            next.store_jump += GRACE;
        });
    }
    if world.replicated {
        for id in ids(world.present & !(world.visible[0] & world.visible[1])) {
            steps.add(NONE, Event::Arrive(id), false, |next| {
                next.visible[0] |= one(id);
                next.visible[1] |= one(id);
            });
        }
    }
    for (actor, machine) in world.actors.iter().enumerate() {
        match &machine.run {
            None => steps.begin(actor),
            Some(run) => steps.go_on(actor, run),
        }
    }
    steps.found
}

struct Steps<'world> {
    world: &'world World,
    rules: &'world Rules,
    plan: &'world Plan,
    found: Vec<Next>,
}

impl Steps<'_> {
    fn add(&mut self, actor: u8, event: Event, judged: bool, change: impl FnOnce(&mut World)) {
        let mut world = self.world.clone();
        change(&mut world);
        let step = Step { actor, event };
        self.found.push(Next { step, world, must_be_judged: judged, complaint: None });
    }

    /// Returns what an actor may begin with.
    fn operations(&self, actor: usize) -> Vec<Operation> {
        let machine = &self.world.actors[actor];
        let budget = machine.budget;
        let listed = self.world.listing(machine.site);
        let records = || {
            let all = ids(self.world.of_kind(listed, Kind::Record));
            all.map(|id| self.world.object(id))
        };
        let mut operations = Vec::new();
        if usize::from(machine.jobs_done) < self.plan.jobs[actor].len() {
            operations.push(Operation::Job);
        }
        if budget.condemn > 0 {
            operations.push(Operation::Condemn);
        }
        if budget.repack > 0 {
            let packs = self.world.of_kind(listed, Kind::Pack);
            operations.extend(ids(packs).map(Operation::Repack));
        }
        if budget.sweep > 0 {
            let condemnations = records().filter(|record| record.condemns != 0);
            operations.extend(condemnations.map(|record| Operation::Sweep(record.id)));
        }
        if budget.checkpoint > 0 {
            operations.push(Operation::Checkpoint);
        }
        if budget.heal > 0 {
            let snapshots = records().filter(|record| record.snapshot != 0);
            operations.extend(snapshots.map(|record| Operation::Heal(record.id)));
        }
        operations
    }

    fn begin(&mut self, actor: usize) {
        if self.world.mishaps.clock_jump > 0 && self.world.actors[actor].budget.sweep > 0 {
            self.add(actor as u8, Event::OwnClockJumps, false, |next| {
                next.mishaps.clock_jump -= 1;
                next.actors[actor].jump += GRACE;
            });
        }
        for operation in self.operations(actor) {
            self.sync(actor, operation, None, Event::Begin(operation), NONE);
            if self.world.mishaps.unreadable > 0 {
                let listed = self.world.listing(self.world.actors[actor].site);
                for bad in ids(self.world.of_kind(listed, Kind::Record)) {
                    if self.world.object(bad).condemns != 0 {
                        let event = Event::BeginBlind(operation, bad);
                        self.sync(actor, operation, None, event, bad);
                    }
                }
            }
        }
    }

    /// Lists, reads and decides: at the beginning of a run, or again.
    fn sync(
        &mut self,
        actor: usize,
        operation: Operation,
        run: Option<&Run>,
        event: Event,
        bad: u8,
    ) {
        let (world, rules) = (self.world, self.rules);
        let sync = Sync::new(world, rules, actor, operation, run.is_some(), bad);
        let draft = if operation == Operation::Job {
            let job = &self.plan.jobs[actor][usize::from(world.actors[actor].jobs_done)];
            writer::decide(world, rules, &sync, job)
        } else {
            pruner::decide(world, rules, &sync, operation)
        };
        let is_new = run.is_none();
        let Some(draft) = draft else {
            if !is_new {
                self.add(actor as u8, Event::GiveUp, false, |next| next.actors[actor].run = None);
            }
            return;
        };
        let complaint = wasted(world, rules, &sync, &draft);
        self.add(actor as u8, event, false, |next| {
            if bad != NONE {
                next.mishaps.unreadable -= 1;
            }
            let machine = &mut next.actors[actor];
            if is_new {
                let budget = &mut machine.budget;
                match operation {
                    Operation::Job => {}
                    Operation::Condemn => budget.condemn -= 1,
                    Operation::Repack(_) => budget.repack -= 1,
                    Operation::Sweep(_) => budget.sweep -= 1,
                    Operation::Checkpoint => budget.checkpoint -= 1,
                    Operation::Heal(_) => budget.heal -= 1,
                }
            }
            let now = world.now;
            let is_blind = bad != NONE;
            machine.run = Some(Run { operation, synced: now, is_blind, draft, published: false });
            let first = machine.run.as_ref().and_then(|run| run.draft.puts.first());
            let is_first = match first {
                Some(object) if object.kind == Kind::Segment => rules.segments_first,
                _ => rules.packs_first,
            };
            if is_first {
                put_all(next, actor);
            }
        });
        if let Some(next) = self.found.last_mut() {
            next.complaint = complaint;
        }
    }

    fn go_on(&mut self, actor: usize, run: &Run) {
        let (world, rules) = (self.world, self.rules);
        let now = world.now;
        let did_something = world.actors[actor].own != 0 || run.published;
        if world.mishaps.crash > 0 && did_something {
            self.add(actor as u8, Event::Crash, false, |next| {
                next.mishaps.crash -= 1;
                next.actors[actor].run = None;
            });
        }
        if run.published && !run.draft.puts.is_empty() {
            self.add(actor as u8, Event::Put, false, |next| put_all(next, actor));
            return;
        }
        if run.published {
            self.delete_any(actor, run);
            return;
        }
        if !rules.sweep_first && run.draft.deletes != 0 {
            self.delete_any(actor, run);
            return;
        }
        let is_bounded = rules.sync_again && rules.put_bounded;
        let id = run.draft.record.id;
        // The last look is at most a window after the sync, the PUT at most one after the look.
        if !is_bounded || now <= run.synced + 2 * WINDOW {
            self.publish(actor, run, Event::Publish(id));
            if world.mishaps.lost_reply > 0 {
                self.publish(actor, run, Event::PublishUnheard(id));
            }
            return;
        }
        if world.mishaps.freeze > 0 {
            self.publish(actor, run, Event::PublishLate(id));
        }
        if run.operation == Operation::Job {
            self.sync(actor, run.operation, Some(run), Event::SyncAgain, NONE);
        } else {
            // A pruner begins anew, as after a crash.
            self.add(actor as u8, Event::GiveUp, false, |next| next.actors[actor].run = None);
        }
    }

    /// Deletes in either direction: the order is nobody's promise.
    fn delete_any(&mut self, actor: usize, run: &Run) {
        let deletes = run.draft.deletes;
        let last = ids(deletes).last();
        if let Some(first) = ids(deletes).next() {
            self.delete(actor, first);
        }
        if let Some(last) = last.filter(|_| deletes.count_ones() > 1) {
            self.delete(actor, last);
        }
    }

    fn delete(&mut self, actor: usize, id: u8) {
        self.add(actor as u8, Event::Delete(id), true, |next| {
            next.delete(id);
            let machine = &mut next.actors[actor];
            if let Some(run) = &mut machine.run {
                run.draft.deletes &= !one(id);
                if run.draft.deletes == 0 && run.published {
                    machine.run = None;
                }
            }
        });
    }

    fn publish(&mut self, actor: usize, run: &Run, event: Event) {
        let mut record = (*run.draft.record).clone();
        let now = self.world.now;
        if !self.rules.view_of_listing && record.sweeps != 0 {
            let listed = self.world.listing(self.world.actors[actor].site);
            let all = Reader::fresh(self.world, self.rules, listed);
            record.view = all.view(true);
        }
        self.add(actor as u8, event, true, |next| {
            let machine = &mut next.actors[actor];
            record.written = now + machine.jump;
            let site = machine.site;
            machine.jobs_done += u8::from(run.operation == Operation::Job);
            if matches!(event, Event::PublishLate(_)) {
                next.mishaps.freeze -= 1;
                record.excused = true;
            }
            record.excused |= run.is_blind;
            if matches!(event, Event::PublishUnheard(_)) {
                // The job is done again: the machine knows nothing of its record.
                next.mishaps.lost_reply -= 1;
                machine.jobs_done -= u8::from(run.operation == Operation::Job);
                machine.run = None;
            } else {
                machine.own &= !record.entries;
                machine.lane = record.lane;
                machine.sequence = record.sequence;
                machine.tip = record.id;
                if let Some(run) = &mut machine.run {
                    run.published = true;
                    if run.draft.deletes == 0 && run.draft.puts.is_empty() {
                        machine.run = None;
                    }
                }
            }
            next.put(record, site);
        });
    }
}

/// Stores the packs and segments of a run.
fn put_all(world: &mut World, actor: usize) {
    let now = world.now;
    let machine = &mut world.actors[actor];
    let Some(run) = &mut machine.run else { return };
    let puts = std::mem::take(&mut run.draft.puts);
    let is_done = run.published && run.draft.deletes == 0;
    for pack in puts.iter().filter(|object| object.kind == Kind::Pack && !run.published) {
        machine.own |= one(pack.id);
    }
    if is_done {
        machine.run = None;
    }
    let (site, jump) = (machine.site, machine.jump);
    for object in puts {
        let mut object = (*object).clone();
        object.written = now + jump;
        world.put(object, site);
    }
}
