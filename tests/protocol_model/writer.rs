//! What a writer decides at a sync: backups and marks.

use std::rc::Rc;

use super::reader::Reader;
use super::rules::{Rules, UNFORGET_LIMIT};
use super::world::{
    Blobs, Draft, Form, Kind, NONE, Object, Operation, Set, World, each, has, ids, one,
};

/// Something a machine is told to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Job {
    Backup(Backup),
    Forget(u8),
    Unforget(u8),
}

/// What a backup finds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backup {
    /// The blobs of the snapshot.
    pub(crate) all: Blobs,
    /// Those in folders that are as they were: taken over unread if the parent has them.
    pub(crate) unchanged: Blobs,
    /// Blobs that are stored as a difference from another, if that stands.
    pub(crate) deltas: &'static [(u8, u8)],
    /// New units lie in the record.
    pub(crate) inline: bool,
}

/// What an actor learns at a sync.
pub(crate) struct Sync {
    pub(crate) actor: usize,
    pub(crate) known: Set,
    pub(crate) listed: Set,
    /// All of the log was read, not `log/g` and the own lane only.
    pub(crate) whole: bool,
    /// The run goes on after it; else it begins with it.
    pub(crate) again: bool,
}

impl Sync {
    /// Lists and reads, but for one record that cannot be read. A pruner reads what is new to
    /// somebody without memory; a writer, whose cache has it all, `log/g` and its own lane.
    pub(crate) fn new(
        world: &World,
        rules: &Rules,
        actor: usize,
        operation: Operation,
        again: bool,
        bad: u8,
    ) -> Self {
        let machine = &world.actors[actor];
        let listed = world.listing(machine.site);
        let whole = operation != Operation::Job;
        let is_read = |id: &u8| {
            let record = world.object(*id);
            record.global || record.lane == machine.lane || record.lane / 8 == actor as u8
        };
        let known = if whole {
            Reader::fresh(world, rules, listed & !one(bad)).known
        } else {
            let records = world.of_kind(listed, Kind::Record);
            ids(records).filter(is_read).map(one).sum::<Set>() & !one(bad)
        };
        Self { actor, known, listed, whole, again }
    }

    /// Returns the packs of this actor that no record names and that it may still use.
    pub(crate) fn own_packs(&self, world: &World, rules: &Rules, reader: &Reader<'_>) -> Set {
        let own = world.actors[self.actor].own;
        let is_checked = if self.again { rules.own_packs_checked } else { rules.adopted_checked };
        if is_checked { own & self.listed & !reader.condemned } else { own }
    }

    /// Returns a record of this actor that says nothing yet.
    pub(crate) fn record(
        &self,
        world: &World,
        rules: &Rules,
        reader: &Reader<'_>,
        id: u8,
    ) -> Object {
        let machine = &world.actors[self.actor];
        let records = world.of_kind(self.listed, Kind::Record);
        let is_strange = ids(records).map(|id| world.object(id)).any(|record| {
            record.lane == machine.lane
                && record.sequence >= machine.sequence
                && record.id != machine.tip
        });
        let mut record = Object { view: reader.view(self.whole), ..Object::new(id, Kind::Record) };
        if machine.sequence == 0 || (is_strange && rules.new_lane) {
            let own = self.actor as u8 * 8;
            record.lane = if machine.lane / 8 == own / 8 { machine.lane + 1 } else { own };
            record.sequence = 1;
        } else {
            record.lane = machine.lane;
            record.sequence = machine.sequence + 1;
            record.previous = machine.tip;
        }
        record
    }
}

/// Decides what a job needs to do; nothing, if it must be refused.
pub(crate) fn decide(world: &World, rules: &Rules, sync: &Sync, job: &Job) -> Option<Draft> {
    let reader = Reader::new(world, rules, sync.known, sync.listed);
    match job {
        Job::Backup(backup) => Some(decide_backup(world, rules, sync, &reader, backup)),
        Job::Forget(snapshot) => {
            let mut record = sync.record(world, rules, &reader, world.free_id(sync.actor));
            record.global = true;
            record.forgets = one(*snapshot);
            Some(Draft { puts: Vec::new(), record: Rc::new(record), deletes: 0 })
        }
        Job::Unforget(snapshot) => {
            let since = reader.forgotten(*snapshot)?;
            let is_early = since != 0 && world.store_clock() <= since + UNFORGET_LIMIT;
            let content = world.object(*snapshot).snapshot;
            let stands =
                has(reader.snapshots, *snapshot) && content & !reader.standing(reader.places) == 0;
            if (rules.unforget_early && !is_early) || (rules.unforget_checked && !stands) {
                return None;
            }
            let mut record = sync.record(world, rules, &reader, world.free_id(sync.actor));
            record.global = true;
            record.unforgets = one(*snapshot);
            Some(Draft { puts: Vec::new(), record: Rc::new(record), deletes: 0 })
        }
    }
}

fn decide_backup(
    world: &World,
    rules: &Rules,
    sync: &Sync,
    reader: &Reader<'_>,
    backup: &Backup,
) -> Draft {
    let own = sync.own_packs(world, rules, reader);
    let relied =
        if rules.rely_on_standing { reader.places & !reader.condemned } else { reader.places };
    let standing = reader.resolve(relied | own);
    let untouched = taken_over(world, rules, reader, backup)
        & !if rules.rely_on_standing { touched(world, reader) & !standing } else { 0 };
    let mut missing = backup.all & !untouched & !standing;
    if !rules.snapshot_complete {
        missing &= missing.wrapping_sub(1);
    }
    let mut units = [Form::Absent; 4];
    for blob in each(missing) {
        let base = backup.deltas.iter().find(|(delta, _)| *delta == blob).map(|(_, base)| *base);
        units[blob as usize] = match base {
            Some(base) if standing & (1 << base) != 0 => Form::Delta(base),
            _ => Form::Full,
        };
    }
    let mut id = world.free_id(sync.actor);
    let mut puts = Vec::new();
    if missing != 0 && !backup.inline {
        puts.push(Rc::new(Object { units, ..Object::new(id, Kind::Pack) }));
        id += 1;
    }
    let mut record = sync.record(world, rules, reader, id);
    record.snapshot = backup.all;
    record.entries = own | puts.iter().map(|pack| one(pack.id)).sum::<Set>();
    if backup.inline {
        record.units = units;
    }
    Draft { puts, record: Rc::new(record), deletes: 0 }
}

/// Returns the blobs that a backup takes over from its parent without reading or looking them up.
fn taken_over(world: &World, rules: &Rules, reader: &Reader<'_>, backup: &Backup) -> Blobs {
    let may_be_parent = |id: &u8| {
        world.object(*id).snapshot & backup.unchanged != 0
            && (!rules.parent_unforgotten || reader.forgotten(*id).is_none())
            && !(rules.parent_in_time && has(reader.doubtful, *id))
    };
    let newest = ids(reader.snapshots).filter(may_be_parent).max().unwrap_or(NONE);
    if newest == NONE { 0 } else { world.object(newest).snapshot & backup.unchanged }
}

/// Returns the blobs that have a place in something condemned.
fn touched(world: &World, reader: &Reader<'_>) -> Blobs {
    ids(reader.condemned & reader.places).fold(0, |all, id| all | world.object(id).blobs())
}
