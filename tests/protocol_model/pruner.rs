//! What a pruner decides from a full listing: condemn, repack, sweep, checkpoint, heal.

use std::rc::Rc;

use super::reader::Reader;
use super::rules::{CONDEMN_AGE, GRACE, Rules, STAYS_LIVE};
use super::world::{Blobs, Draft, Form, Kind, Object, Operation, Set, World, each, has, ids, one};
use super::writer::Sync;

/// Decides what an operation does; nothing, if there is nothing to do or it must wait.
pub(crate) fn decide(
    world: &World,
    rules: &Rules,
    sync: &Sync,
    operation: Operation,
) -> Option<Draft> {
    let mut reader = Reader::new(world, rules, sync.known, sync.listed);
    let own = sync.own_packs(world, rules, &reader);
    reader.places |= own;
    reader.is_deaf = rules.strangers_unheeded;
    let pruner = Pruner { world, rules, sync, reader, own };
    match operation {
        Operation::Job => None,
        Operation::Condemn => pruner.condemn(),
        Operation::Repack(object) => pruner.repack(object),
        Operation::Sweep(condemnation) => pruner.sweep(condemnation),
        Operation::Checkpoint => pruner.checkpoint(),
        Operation::Heal(record) => pruner.heal(record),
    }
}

struct Pruner<'world> {
    world: &'world World,
    rules: &'world Rules,
    sync: &'world Sync,
    reader: Reader<'world>,
    /// Durable packs of a run that did not get to its record.
    own: Set,
}

impl Pruner<'_> {
    /// Returns a draft: perhaps a pack with some blobs, and a record.
    fn draft(&self, units: [Form; 4], fill: impl FnOnce(&mut Object)) -> Draft {
        let mut id = self.world.free_id(self.sync.actor);
        let mut puts = Vec::new();
        if units != [Form::Absent; 4] {
            puts.push(Rc::new(Object { units, ..Object::new(id, Kind::Pack) }));
            id += 1;
        }
        let mut record = self.sync.record(self.world, self.rules, &self.reader, id);
        record.global = true;
        record.entries = self.own | puts.iter().map(|pack| one(pack.id)).sum::<Set>();
        fill(&mut record);
        let deletes = record.swept;
        Draft { puts, record: Rc::new(record), deletes }
    }

    fn is_old(&self, id: u8) -> bool {
        let age = self.world.store_clock() - self.world.object(id).stored;
        !self.rules.condemn_old || age >= CONDEMN_AGE
    }

    /// Returns the segments that a checkpoint names which no other replaces.
    fn needed_segments(&self) -> Set {
        let replaced = self.reader.replaced();
        let counts = |checkpoint: &&Object| !has(replaced, checkpoint.id);
        let needed = self.reader.checkpoints().filter(counts);
        if self.rules.segment_replaced {
            needed.map(|checkpoint| checkpoint.segments).fold(0, |all, more| all | more)
        } else {
            needed.last().map_or(0, |newest| newest.segments)
        }
    }

    /// Rules 20, 21 and 23: as much as can go together.
    fn condemn(&self) -> Option<Draft> {
        let reader = &self.reader;
        let listed = self.sync.listed;
        let mut required = reader.needed() & reader.standing(listed);
        if !self.rules.condemn_unneeded {
            required = 0;
        }
        let replaced = reader.replaced();
        let segments = self.needed_segments();
        let mut chosen: Set = 0;
        for id in ids(listed & !reader.condemned).filter(|id| self.is_old(*id)) {
            let object = self.world.object(id);
            let is_bound = match object.kind {
                Kind::Pack => has(self.own, id),
                Kind::Record if self.rules.record_covered => !has(replaced, id),
                Kind::Record => object.global,
                Kind::Segment => has(segments, id),
            };
            let rest = listed & !chosen & !one(id);
            let is_needed =
                object.blobs() & required != 0 && required & !reader.standing(rest) != 0;
            if !is_bound && !is_needed {
                chosen |= one(id);
            }
        }
        (chosen != 0).then(|| self.draft([Form::Absent; 4], |record| record.condemns = chosen))
    }

    fn repack(&self, id: u8) -> Option<Draft> {
        let object = self.world.object(id);
        let rest = self.sync.listed & !one(id);
        let copied = object.blobs() & self.reader.needed() & self.reader.standing(self.sync.listed);
        if copied == 0 || has(self.reader.condemned, id) || !self.is_old(id) {
            return None;
        }
        let stays = self.reader.standing(rest);
        let mut units = [Form::Absent; 4];
        for blob in each(copied) {
            units[blob as usize] = match object.units[blob as usize] {
                Form::Delta(base) if stays & (1 << base) != 0 => Form::Delta(base),
                _ => Form::Full,
            };
        }
        Some(self.draft(units, |record| record.condemns = one(id)))
    }

    /// Returns whether the grace has passed since a condemnation.
    fn may_begin(&self, condemnation: &Object) -> bool {
        let rules = self.rules;
        let grace = if rules.grace { GRACE } else { GRACE - 1 };
        let own_clock = self.world.now + self.world.actors[self.sync.actor].jump;
        let by_store = self.world.store_clock() >= condemnation.stored + grace;
        let by_own = own_clock >= condemnation.written + grace;
        let has_seen = |tip: u8| {
            let record = self.world.object(tip);
            has(self.reader.covered(record.view | one(tip)), condemnation.id)
        };
        (by_store || !rules.grace_by_store)
            && (by_own || !rules.grace_by_own)
            && (!self.world.replicated
                || !rules.replicas_wait
                || ids(self.reader.tips(true)).all(has_seen))
    }

    /// Rules 24 to 28.
    fn sweep(&self, condemnation: u8) -> Option<Draft> {
        let (reader, rules, listed) = (&self.reader, self.rules, self.sync.listed);
        let condemn = self.world.object(condemnation);
        if !has(reader.known, condemnation) || !self.may_begin(condemn) {
            return None;
        }
        let mut objects = condemn.condemns & listed;
        let mut units = [Form::Absent; 4];
        if rules.decide_again {
            objects &= !self.needed_segments();
            let bound = if rules.record_covered { !reader.replaced() } else { 0 };
            objects &= !(self.world.of_kind(objects, Kind::Record) & bound);
            let lost = reader.needed() & !reader.standing(listed);
            let readable = reader.resolve(listed & self.all_places());
            if lost & !readable & self.promised() != 0 {
                return None;
            }
            for blob in each(lost & readable) {
                units[blob as usize] = Form::Full;
            }
        }
        if rules.open_stay {
            let says = |id: &u8| self.world.object(*id).condemns & (reader.places | listed) != 0;
            objects &= !ids(objects).filter(says).map(one).sum::<Set>();
        }
        if rules.log_sweep_covered && !self.log_may_go(objects) {
            objects &= !self.world.of_kind(objects, Kind::Record);
        }
        (objects != 0).then(|| {
            self.draft(units, |record| {
                record.sweeps = one(condemnation);
                record.swept = objects;
            })
        })
    }

    /// Returns whether what is late shows as late, and nothing else does, when some records are
    /// gone: views are followed through records.
    fn log_may_go(&self, objects: Set) -> bool {
        let reader = &self.reader;
        let (known, listed) = (reader.known & !objects, self.sync.listed & !objects);
        let mut after = Reader::new(self.world, self.rules, known, listed);
        after.is_deaf = reader.is_deaf;
        after.doubtful == reader.doubtful & !objects && after.late & !reader.late == 0
    }

    /// Returns all places that any record gives: what may be looked at, if not relied on.
    fn all_places(&self) -> Set {
        self.reader.places
            | self.reader.records().fold(0, |all, record| all | record.entries | one(record.id))
    }

    /// Returns the blobs of live snapshots that are not in doubt.
    fn promised(&self) -> Blobs {
        ids(self.reader.live() & !self.reader.doubtful)
            .fold(0, |all, id| all | self.world.object(id).snapshot)
    }

    /// Rules 35 and 36.
    fn checkpoint(&self) -> Option<Draft> {
        let (reader, listed) = (&self.reader, self.sync.listed);
        if reader.known & !reader.named() == 0 {
            return None;
        }
        let mut places = reader.places & listed;
        if !self.rules.segments_complete {
            places &= places.wrapping_sub(1);
        }
        let id = self.world.free_id(self.sync.actor);
        let snapshots = reader.live();
        let segment = Object { places, snapshots, ..Object::new(id, Kind::Segment) };
        let mut record = self.sync.record(self.world, self.rules, reader, id + 1);
        record.global = true;
        record.checkpoint = true;
        let late = if self.rules.late_unnamed { reader.doubtful } else { 0 };
        let mut kept = listed;
        if self.rules.names_stay {
            let refers = |record: &Object| record.view | one(record.previous);
            kept |= reader.records().map(refers).fold(0, |all, some| all | some);
        }
        record.names = (reader.known | reader.named()) & kept & !late;
        record.stays = self.what_stays();
        record.segments = one(id);
        for snapshot in ids(reader.snapshots).filter(|id| reader.forgotten(*id).is_none()) {
            record.unforgotten |= one(snapshot);
            let unforgets = |mark: &Object| has(mark.unforgets, snapshot) && reader.heeds(mark);
            let is_unforgotten = reader.records().any(unforgets);
            if is_unforgotten && self.rules.marks_repeated {
                record.unforgets |= one(snapshot);
            }
        }
        Some(Draft { puts: vec![Rc::new(segment)], record: Rc::new(record), deletes: 0 })
    }

    /// Returns the records that a checkpoint covers but cannot replace.
    fn what_stays(&self) -> Set {
        let (reader, rules) = (&self.reader, self.rules);
        let now = self.world.store_clock();
        let sweeps = || reader.records().filter(|record| record.sweeps != 0);
        let swept = sweeps().fold(0, |all, sweep| all | sweep.sweeps);
        let unjudged = reader.doubtful & !self.given_up();
        let mut stays: Set = 0;
        for record in reader.records() {
            let is_young = record.forgets != 0 && now < record.stored + STAYS_LIVE;
            let is_late = (record.verdict == 3 && has(reader.doubtful, record.healed))
                || (unjudged != 0 && (record.sweeps != 0 || has(swept, record.id)));
            if (is_young && rules.young_forgets_stay) || (is_late && rules.late_unnamed) {
                stays |= one(record.id);
            }
        }
        stays
    }

    /// Returns the records that a heal calls broken.
    fn given_up(&self) -> Set {
        let broken = self.reader.records().filter(|heal| heal.verdict == 3);
        broken.fold(0, |all, heal| all | one(heal.healed))
    }

    /// Rule 33.
    fn heal(&self, late: u8) -> Option<Draft> {
        let (reader, listed) = (&self.reader, self.sync.listed);
        let record = self.world.object(late);
        let is_judged = reader.records().any(|heal| heal.healed == late);
        if !has(reader.doubtful, late) || is_judged || record.snapshot == 0 {
            return None;
        }
        let own = record.entries | one(late);
        let bad = if self.rules.heal_by_standing { reader.condemned } else { 0 };
        let standing = reader.resolve((reader.places | own) & listed & !bad);
        let missing = record.snapshot & !standing;
        let found = missing & reader.resolve(self.all_places() & listed);
        let mut units = [Form::Absent; 4];
        for blob in each(found) {
            units[blob as usize] = Form::Full;
        }
        let verdict = match (missing, found) {
            (0, _) => 1,
            _ if found == missing => 2,
            _ => 3,
        };
        Some(self.draft(units, |heal| {
            heal.healed = late;
            heal.verdict = verdict;
        }))
    }
}
