//! What is stored, and who is at work: one state of the model.
//!
//! Objects never change, so states share them, and what a client knows is the set of records that
//! it has read. Contents of deleted objects are kept, for the judge alone: a client sees an object
//! only while it is present, and has arrived at the client's site.

use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use super::fingerprint::Fingerprint;
use super::rules::OLD;

/// A set of objects, one bit for each.
pub(crate) type Set = u128;

/// A set of blobs, one bit for each; there are four.
pub(crate) type Blobs = u8;

/// No object.
pub(crate) const NONE: u8 = u8::MAX;

/// Objects that one actor can make.
pub(crate) const IDS_PER_ACTOR: u8 = 16;

/// Returns the set of one object; none for [`NONE`].
pub(crate) fn one(id: u8) -> Set {
    if id == NONE { 0 } else { 1 << id }
}

/// Returns whether an object is in a set.
pub(crate) fn has(set: Set, id: u8) -> bool {
    set & one(id) != 0
}

/// Iterates over a set.
pub(crate) fn ids(mut set: Set) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        if set == 0 {
            return None;
        }
        let id = set.trailing_zeros() as u8;
        set &= set - 1;
        Some(id)
    })
}

/// Iterates over blobs.
pub(crate) fn each(blobs: Blobs) -> impl Iterator<Item = u8> {
    (0..4).filter(move |blob| blobs & (1 << blob) != 0)
}

/// How a blob lies in an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// It does not.
    #[default]
    Absent,
    /// In full.
    Full,
    /// As a difference from another blob.
    Delta(u8),
}

/// What kind of object it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    #[default]
    Pack,
    Record,
    Segment,
}

/// One object. Parts that it does not have are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Object {
    pub(crate) id: u8,
    pub(crate) kind: Kind,
    /// When it became durable, by the store's clock.
    pub(crate) stored: u8,
    /// When it was written, by its writer's clock.
    pub(crate) written: u8,
    pub(crate) units: [Form; 4],
    /// A record of `log/g`; else of `log/s`.
    pub(crate) global: bool,
    pub(crate) lane: u8,
    pub(crate) sequence: u8,
    pub(crate) previous: u8,
    pub(crate) view: Set,
    /// Packs whose places it publishes.
    pub(crate) entries: Set,
    /// The blobs of its snapshot.
    pub(crate) snapshot: Blobs,
    pub(crate) forgets: Set,
    pub(crate) unforgets: Set,
    pub(crate) condemns: Set,
    /// The condemnations that it sweeps.
    pub(crate) sweeps: Set,
    /// The objects that it is about to delete.
    pub(crate) swept: Set,
    pub(crate) checkpoint: bool,
    /// `r`: the records that it covers.
    pub(crate) names: Set,
    /// `c`: those of them that it does not replace.
    pub(crate) stays: Set,
    /// `n` and `o`.
    pub(crate) segments: Set,
    /// `s`: the snapshots that are not forgotten.
    pub(crate) unforgotten: Set,
    /// The record that it is a verdict on.
    pub(crate) healed: u8,
    pub(crate) verdict: u8,
    /// Of a segment: the objects whose places it holds.
    pub(crate) places: Set,
    /// Of a segment: the snapshots that it holds.
    pub(crate) snapshots: Set,
    /// For the judge: its writer was stopped between its last look and the PUT, or could not read
    /// a condemnation that it saw.
    pub(crate) excused: bool,
}

impl Object {
    /// Returns an object that refers to nothing.
    pub(crate) fn new(id: u8, kind: Kind) -> Self {
        Self { id, kind, previous: NONE, healed: NONE, ..Self::default() }
    }

    /// Returns the blobs in it.
    pub(crate) fn blobs(&self) -> Blobs {
        (0..4).filter(|blob| self.units[*blob] != Form::Absent).map(|blob| 1 << blob).sum()
    }
}

/// What an actor is about to do, decided at a sync.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Draft {
    /// Packs and segments to store first.
    pub(crate) puts: Vec<Rc<Object>>,
    pub(crate) record: Rc<Object>,
    /// What to delete when the record is durable.
    pub(crate) deletes: Set,
}

/// What an actor can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    /// The next of its jobs.
    Job,
    Condemn,
    /// Copies what is needed in an object, and condemns it.
    Repack(u8),
    /// Sweeps a condemnation.
    Sweep(u8),
    Checkpoint,
    /// Looks after a late record.
    Heal(u8),
}

/// An operation under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) operation: Operation,
    /// When its last sync began.
    pub(crate) synced: u8,
    /// At its sync there was a condemnation that it could not read.
    pub(crate) is_blind: bool,
    pub(crate) draft: Draft,
    pub(crate) published: bool,
}

impl Hash for Run {
    /// All but the time, which counts as an age.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.operation, self.is_blind, &self.draft, self.published).hash(hasher);
    }
}

/// How often an actor may do what pruners do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    pub(crate) condemn: u8,
    pub(crate) repack: u8,
    pub(crate) sweep: u8,
    pub(crate) checkpoint: u8,
    pub(crate) heal: u8,
}

/// One machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Actor {
    pub(crate) site: u8,
    /// How many of its jobs are done.
    pub(crate) jobs_done: u8,
    pub(crate) budget: Budget,
    pub(crate) lane: u8,
    pub(crate) sequence: u8,
    pub(crate) tip: u8,
    /// Durable packs that no record of it names: its journal.
    pub(crate) own: Set,
    /// How far its clock has jumped ahead.
    pub(crate) jump: u8,
    pub(crate) run: Option<Run>,
}

/// How often each mishap may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Mishaps {
    pub(crate) crash: u8,
    pub(crate) freeze: u8,
    pub(crate) lost_reply: u8,
    pub(crate) unreadable: u8,
    /// One clock, the store's or a machine's, jumps ahead by the grace.
    pub(crate) clock_jump: u8,
}

/// One state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct World {
    pub(crate) now: u8,
    /// How far the store's clock has jumped ahead.
    pub(crate) store_jump: u8,
    /// All objects that ever were, by id.
    objects: Vec<Rc<Object>>,
    /// The sum of their fingerprints.
    contents: u128,
    pub(crate) created: Set,
    pub(crate) present: Set,
    /// What has arrived at each site.
    pub(crate) visible: [Set; 2],
    /// Whether there are two sites, between which objects travel in any order.
    pub(crate) replicated: bool,
    /// In an append-only repository those whose words nobody honours who deletes: a bit for each actor.
    pub(crate) strangers: u8,
    pub(crate) mishaps: Mishaps,
    pub(crate) actors: Vec<Actor>,
}

impl World {
    /// Returns an empty repository.
    pub(crate) fn new(now: u8) -> Self {
        Self {
            now,
            store_jump: 0,
            objects: Vec::new(),
            contents: 0,
            created: 0,
            present: 0,
            visible: [0; 2],
            replicated: false,
            strangers: 0,
            mishaps: Mishaps::default(),
            actors: Vec::new(),
        }
    }

    /// Returns whether a record is a stranger's.
    pub(crate) fn is_strange(&self, record: &Object) -> bool {
        self.strangers & (1 << (record.lane / 8)) != 0
    }

    /// Returns the store's clock.
    pub(crate) fn store_clock(&self) -> u8 {
        self.now + self.store_jump
    }

    /// Returns the content of an object that exists or existed.
    pub(crate) fn object(&self, id: u8) -> &Object {
        let place = (self.created & ((1 << id) - 1)).count_ones();
        &self.objects[place as usize]
    }

    /// Makes an object durable, at a site.
    pub(crate) fn put(&mut self, mut object: Object, site: u8) {
        object.stored = self.store_clock();
        let id = object.id;
        assert!(!has(self.created, id), "names are never used again");
        let place = (self.created & ((1 << id) - 1)).count_ones();
        let mut fingerprint = Fingerprint::default();
        Object { stored: 0, written: 0, ..object.clone() }.hash(&mut fingerprint);
        self.contents = self.contents.wrapping_add(fingerprint.value());
        self.objects.insert(place as usize, Rc::new(object));
        self.created |= one(id);
        self.present |= one(id);
        self.visible[site as usize] |= one(id);
    }

    /// Deletes an object.
    pub(crate) fn delete(&mut self, id: u8) {
        self.present &= !one(id);
    }

    /// Returns what a listing at a site shows.
    pub(crate) fn listing(&self, site: u8) -> Set {
        self.present & self.visible[site as usize]
    }

    /// Returns the first free id of an actor.
    pub(crate) fn free_id(&self, actor: usize) -> u8 {
        let first = (actor as u8 + 1) * IDS_PER_ACTOR;
        let limit = if actor == 4 { u128::BITS as u8 - first } else { IDS_PER_ACTOR };
        let mine = (self.created >> first) & ((1 << limit) - 1);
        let own = (u128::BITS - mine.leading_zeros()) as u8;
        assert!(own + 2 < limit, "an actor made too many objects for this model");
        first + own
    }

    /// Returns the objects of a set that are of a kind.
    pub(crate) fn of_kind(&self, set: Set, kind: Kind) -> Set {
        ids(set).filter(|id| self.object(*id).kind == kind).map(one).sum()
    }

    /// Returns what is stored and what was, for a trace.
    pub(crate) fn text(&self) -> String {
        let list = |set: Set| ids(set).map(|id| id.to_string()).collect::<Vec<_>>().join(" ");
        let mut text = format!("  now {}, store +{}\n", self.now, self.store_jump);
        for id in ids(self.created) {
            let object = self.object(id);
            let mut line = format!("{id:>5} {:?} at {}", object.kind, object.stored);
            if !has(self.present, id) {
                line += ", deleted";
            }
            if object.kind == Kind::Record {
                let place = if object.global { 'g' } else { 's' };
                let _infallible = write!(line, " {place} lane {}/{}", object.lane, object.sequence);
            }
            for (blob, form) in object.units.iter().enumerate() {
                if *form != Form::Absent {
                    let _infallible = write!(line, ", blob {blob} {form:?}");
                }
            }
            if object.snapshot != 0 {
                let _infallible =
                    write!(line, ", SNAPSHOT of {:?}", each(object.snapshot).collect::<Vec<_>>());
            }
            for (name, set) in [
                ("view", object.view),
                ("after", one(object.previous)),
                ("entries", object.entries),
                ("forgets", object.forgets),
                ("unforgets", object.unforgets),
                ("CONDEMNS", object.condemns),
                ("SWEEPS", object.sweeps),
                ("of it", object.swept),
                ("NAMES", object.names),
                ("stays", object.stays),
                ("segments", object.segments),
                ("unforgotten", object.unforgotten),
                ("heals", one(object.healed)),
                ("places", object.places),
                ("snapshots", object.snapshots),
            ] {
                if set != 0 {
                    let _infallible = write!(line, ", {name} [{}]", list(set));
                }
            }
            text += &line;
            text += "\n";
        }
        text
    }

    /// Returns a fingerprint; two states never share one in practice. Moments count as ages, and
    /// ages only up to [`OLD`]: so time has no end, and there are finitely many states.
    pub(crate) fn fingerprint(&self) -> u128 {
        let mut fingerprint = Fingerprint::default();
        (self.created, self.present, self.visible).hash(&mut fingerprint);
        (self.mishaps, self.contents).hash(&mut fingerprint);
        let age = |clock: u8, moment: u8| (i16::from(clock) - i16::from(moment)).min(OLD.into());
        for object in &self.objects {
            age(self.store_clock(), object.stored).hash(&mut fingerprint);
            age(self.now, object.written).hash(&mut fingerprint);
        }
        for machine in &self.actors {
            machine.hash(&mut fingerprint);
            let synced = machine.run.as_ref().map_or(0, |run| run.synced);
            age(self.now, synced).hash(&mut fingerprint);
        }
        fingerprint.value()
    }
}
