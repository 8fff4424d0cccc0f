//! What must hold in every state, judged with knowledge that no client has.

use super::pruner;
use super::reader::Reader;
use super::rules::{CONDEMN_AGE, GRACE, Rules, STAYS_LIVE};
use super::world::{
    Actor, Blobs, Budget, Draft, Kind, NONE, Object, Operation, World, has, ids, one,
};
use super::writer::Sync;

/// Returns what is wrong with a state.
pub(crate) fn judge(world: &World, rules: &Rules) -> Option<String> {
    let mut reader = Reader::fresh(world, rules, world.present);
    reader.is_deaf = true;
    // A reader tries every place of a blob, also what is condemned and what a late record says.
    let places = reader.places
        | reader.records().fold(0, |all, record| all | record.entries | one(record.id));
    let readable = reader.resolve(places & world.present);
    for id in ids(world.created) {
        let record = world.object(id);
        if record.snapshot == 0 {
            continue;
        }
        let is_whole = record.snapshot & !readable == 0;
        let is_shown = has(reader.snapshots, id) && reader.is_live(id);
        if is_shown && is_whole || has(reader.doubtful, id) {
            continue;
        }
        if is_promised(world, id) {
            let what = if is_shown { "is broken" } else { "is not shown" };
            return Some(format!("lost: snapshot {id} {what}, and nobody can see why"));
        }
        let is_late_mark = |mark: &&Object| has(mark.unforgets, id) && has(reader.late, mark.id);
        if is_shown && !reader.records().any(|mark| is_late_mark(&mark)) {
            return Some(format!("phantom: snapshot {id} is shown as live, but is broken"));
        }
    }
    let unfair = |id: &u8| !world.object(*id).excused;
    let unfair = ids(reader.late).find(unfair);
    unfair.map(|id| format!("unfair: record {id} is late, though its writer was never stopped"))
}

/// Returns whether a snapshot has been acknowledged and is live, by all marks that ever were.
fn is_promised(world: &World, snapshot: u8) -> bool {
    let marks: Vec<_> = ids(world.created)
        .map(|id| world.object(id))
        .filter(|mark| !mark.checkpoint && !world.is_strange(mark))
        .filter(|mark| has(mark.forgets | mark.unforgets, snapshot))
        // Who was stopped after the last look cannot promise that it still stands.
        .filter(|mark| !(mark.excused && mark.unforgets != 0))
        .collect();
    let all = Rules { lateness: false, ..Rules::ALL };
    let everything = Reader::new(world, &all, world.created, world.created);
    let covers = |mark: &Object| everything.covered(mark.view | one(mark.previous));
    let mut since: Option<u8> = None;
    for mark in &marks {
        let knows = |other: &&&Object| has(covers(other), mark.id);
        if has(mark.unforgets, snapshot) {
            if !marks.iter().any(|other| knows(&other)) {
                return true;
            }
        } else if !marks.iter().any(|other| has(other.unforgets, snapshot) && knows(&other)) {
            since = Some(since.map_or(mark.stored, |since| since.min(mark.stored)));
        }
    }
    since.is_none_or(|since| world.store_clock() < since + STAYS_LIVE)
}

/// Returns what is wrong with a decision: promises about work, which cost no data.
pub(crate) fn wasted(
    world: &World,
    rules: &Rules,
    sync: &Sync,
    draft: &Draft,
) -> Option<&'static str> {
    let objects = draft.record.condemns;
    if objects == 0 {
        return None;
    }
    let mut reader = Reader::new(world, rules, sync.known, sync.listed);
    reader.is_deaf = true;
    reader.places |= sync.own_packs(world, rules, &reader);
    {
        let copies: Blobs = draft.puts.iter().fold(0, |all, pack| all | pack.blobs());
        let before = reader.standing(sync.listed);
        let after = reader.standing(sync.listed & !objects) | copies;
        if reader.needed() & before & !after != 0 {
            return Some("waste: what a live snapshot needs is condemned");
        }
        let is_young = |id: u8| world.store_clock() - world.object(id).stored < CONDEMN_AGE;
        let owns = |machine: &Actor| ids(machine.own & objects).any(is_young);
        if world.actors.iter().any(owns) {
            return Some("waste: what a backup has just stored is condemned");
        }
    }
    None
}

/// Lets everybody die, and one pruner with time and no mishaps go on. Returns what is wrong, if
/// something is lost on the way, or something stays that nobody needs.
pub(crate) fn settle(world: &World, rules: &Rules) -> Option<String> {
    let before = world.present;
    let mut world = world.clone();
    for machine in &mut world.actors {
        machine.run = None;
        machine.own = 0;
        machine.jump = 0;
    }
    world.visible = [world.present; 2];
    // A lane whose machine is gone is retired.
    world.replicated = false;
    let heir = Actor {
        site: 0,
        jobs_done: 0,
        budget: Budget::default(),
        lane: HEIR as u8 * 8,
        sequence: 0,
        tip: NONE,
        own: 0,
        jump: 0,
        run: None,
    };
    world.actors.resize(HEIR + 1, heir);
    for _round in 0..3 {
        world.now += CONDEMN_AGE.max(STAYS_LIVE);
        let is_snapshot = |id: &u8| world.object(*id).snapshot != 0;
        for id in ids(world.present).filter(is_snapshot).collect::<Vec<_>>() {
            act(&mut world, rules, Operation::Heal(id));
        }
        act(&mut world, rules, Operation::Checkpoint);
        act(&mut world, rules, Operation::Condemn);
        world.now += GRACE;
        let condemns = |id: &u8| world.object(*id).condemns != 0;
        for id in ids(world.present).filter(condemns).collect::<Vec<_>>() {
            act(&mut world, rules, Operation::Sweep(id));
            if let Some(wrong) = judge(&world, rules) {
                return Some(format!("after everybody died, {wrong}"));
            }
        }
    }
    let mut reader = Reader::fresh(&world, rules, world.present);
    reader.is_deaf = true;
    let needed = reader.needed();
    let is_useless = |id: &u8| {
        let rest = reader.standing(world.present & !one(*id));
        needed & !rest == 0 || has(reader.condemned, *id)
    };
    let packs = world.of_kind(world.present, Kind::Pack);
    if let Some(id) = ids(packs).find(is_useless) {
        return Some(format!("garbage: pack {id} is never swept"));
    }
    // The log shrinks too, but for what shows that something is late.
    let rest = world.of_kind(world.present, Kind::Record) & before;
    let is_useless = |id: &u8| world.object(*id).blobs() == 0;
    let useless = ids(rest).filter(|_| reader.doubtful == 0).find(is_useless);
    useless.map(|id| format!("garbage: record {id} is never swept"))
}

/// The actor who cleans up when all others are dead.
const HEIR: usize = 4;

/// Does an operation from the first step to the last, if there is something to do.
fn act(world: &mut World, rules: &Rules, operation: Operation) {
    let sync = Sync::new(world, rules, HEIR, operation, false, NONE);
    let Some(draft) = pruner::decide(world, rules, &sync, operation) else { return };
    for object in &draft.puts {
        world.put((**object).clone(), 0);
    }
    let mut record = (*draft.record).clone();
    record.written = world.now;
    let machine = &mut world.actors[HEIR];
    (machine.lane, machine.sequence, machine.tip) = (record.lane, record.sequence, record.id);
    world.put(record, 0);
    for id in ids(draft.deletes) {
        world.delete(id);
    }
}
