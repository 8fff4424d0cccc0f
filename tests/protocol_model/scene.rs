//! How a scene is put together: what is there at the beginning, who is at work, what may go wrong.

use super::rules::Rules;
use super::script::{Act, play};
use super::steps::Plan;
use super::world::{
    Actor, Blobs, Budget, Form, Kind, Mishaps, NONE, Object, Set, World, each, one,
};
use super::writer::{Backup, Job};

/// When everything begins: whatever is stored at 1 is then old.
pub(crate) const BEGIN: u8 = 10;

/// A world to explore.
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) world: World,
    pub(crate) plan: Plan,
    /// What happened before.
    history: Vec<Act>,
}

impl Scene {
    pub(crate) fn new(name: &'static str) -> Self {
        let plan = Plan { jobs: Vec::new() };
        Self { name, world: World::new(BEGIN), plan, history: Vec::new() }
    }

    /// Adds an object of the past, stored at a time.
    pub(crate) fn past(mut self, stored: u8, object: Object) -> Self {
        let now = std::mem::replace(&mut self.world.now, stored);
        self.world.put(object, 0);
        self.world.visible[1] = self.world.present;
        self.world.now = now;
        self
    }

    /// Adds a pack of the past with units.
    pub(crate) fn pack(self, id: u8, forms: &[(u8, Form)]) -> Self {
        let mut pack = Object::new(id, Kind::Pack);
        for (blob, form) in forms {
            pack.units[*blob as usize] = *form;
        }
        self.past(1, pack)
    }

    /// Adds a snapshot of the past, in a lane.
    pub(crate) fn snapshot(
        self,
        id: u8,
        lane: u8,
        place: (u8, u8),
        blobs: Blobs,
        entries: Set,
    ) -> Self {
        let (sequence, previous) = place;
        let record = Object { lane, sequence, previous, ..Object::new(id, Kind::Record) };
        self.past(1, Object { snapshot: blobs, entries, ..record })
    }

    /// Adds a forget of the past.
    pub(crate) fn forget(self, id: u8, lane: u8, place: (u8, u8), snapshot: u8, view: Set) -> Self {
        let (sequence, previous) = place;
        let record = Object { lane, sequence, previous, ..Object::new(id, Kind::Record) };
        self.past(1, Object { global: true, forgets: one(snapshot), view, ..record })
    }

    /// Adds a machine; its lane goes on after a record of the past, if there is one.
    pub(crate) fn actor(mut self, jobs: Vec<Job>, budget: Budget) -> Self {
        let lane = self.world.actors.len() as u8 * 8;
        self.plan.jobs.push(jobs);
        let newest = (0..15)
            .filter(|id| self.world.created & one(*id) != 0)
            .map(|id| self.world.object(id))
            .filter(|object| object.kind == Kind::Record && object.lane == lane)
            .max_by_key(|record| record.sequence);
        let (sequence, tip) = newest.map_or((0, NONE), |record| (record.sequence, record.id));
        self.world.actors.push(Actor {
            site: 0,
            jobs_done: 0,
            budget,
            lane,
            sequence,
            tip,
            own: 0,
            jump: 0,
            run: None,
        });
        self
    }

    /// Makes the last actor a stranger, who may add and not delete.
    pub(crate) fn stranger(mut self) -> Self {
        self.world.strangers |= 1 << (self.world.actors.len() - 1);
        self
    }

    pub(crate) fn writer(self, jobs: Vec<Job>) -> Self {
        self.actor(jobs, Budget::default())
    }

    /// Makes the last actor a clone of another.
    pub(crate) fn clone_of(mut self, original: usize) -> Self {
        let (lane, sequence, tip) = {
            let machine = &self.world.actors[original];
            (machine.lane, machine.sequence, machine.tip)
        };
        if let Some(clone) = self.world.actors.last_mut() {
            (clone.lane, clone.sequence, clone.tip) = (lane, sequence, tip);
        }
        self
    }

    /// Returns the state from which to explore.
    pub(crate) fn start(&self, rules: &Rules) -> World {
        play(&self.world, rules, &self.plan, &self.history)
    }

    pub(crate) fn history(mut self, acts: &[Act]) -> Self {
        self.history = acts.to_vec();
        self
    }

    pub(crate) fn mishaps(mut self, mishaps: Mishaps) -> Self {
        self.world.mishaps = mishaps;
        self
    }
}

/// Returns a backup of some blobs, of which some are taken over if the parent has them.
pub(crate) fn backup(all: Blobs, unchanged: Blobs) -> Job {
    Job::Backup(Backup { all, unchanged, ..Backup::default() })
}

/// A blob.
pub(crate) const X: Blobs = 1;
/// Another.
pub(crate) const Y: Blobs = 2;

/// Returns blobs in full.
pub(crate) fn full(blobs: Blobs) -> Vec<(u8, Form)> {
    each(blobs).map(|blob| (blob, Form::Full)).collect()
}

/// Condemn and sweep, some times each.
pub(crate) fn prunes(condemn: u8, sweep: u8) -> Budget {
    Budget { condemn, sweep, ..Budget::default() }
}

/// Nothing goes wrong.
pub(crate) const CALM: Mishaps =
    Mishaps { crash: 0, freeze: 0, lost_reply: 0, unreadable: 0, clock_jump: 0 };

/// Something that nobody needs: X and Y of a forgotten snapshot, in one pack.
pub(crate) fn garbage(name: &'static str) -> Scene {
    Scene::new(name).pack(0, &full(X | Y)).snapshot(1, 0, (1, NONE), X | Y, one(0)).forget(
        2,
        0,
        (2, 1),
        1,
        0,
    )
}
