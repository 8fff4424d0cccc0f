//! What a client makes of the records that it has read: coverage, lateness, what stands, what lives.

use super::rules::{Rules, STAYS_LIVE};
use super::world::{Blobs, Form, Kind, NONE, Object, Set, World, has, ids, one};

/// A client's knowledge: a function of the records that it has read, and of nothing else.
pub(crate) struct Reader<'world> {
    world: &'world World,
    rules: &'world Rules,
    /// The records that it has read.
    pub(crate) known: Set,
    /// What its listing showed.
    pub(crate) listed: Set,
    /// Records that are late, and not known to be whole.
    pub(crate) doubtful: Set,
    /// Records that are late, whatever became of them.
    pub(crate) late: Set,
    /// Objects that are condemned.
    pub(crate) condemned: Set,
    /// Objects of which it knows the places.
    pub(crate) places: Set,
    /// Snapshots that it knows, by the records that held them.
    pub(crate) snapshots: Set,
    /// Whether it passes over the marks of strangers, as who deletes does.
    pub(crate) is_deaf: bool,
}

impl<'world> Reader<'world> {
    /// Applies records.
    pub(crate) fn new(world: &'world World, rules: &'world Rules, known: Set, listed: Set) -> Self {
        let known = world.of_kind(known, Kind::Record);
        let mut reader = Self {
            world,
            rules,
            known,
            listed,
            doubtful: 0,
            late: 0,
            condemned: 0,
            places: 0,
            snapshots: 0,
            is_deaf: false,
        };
        for record in reader.records() {
            reader.condemned |= record.condemns | record.swept;
        }
        reader.find_late();
        reader.find_places();
        reader
    }

    /// Reads what somebody without any memory reads: all of `log/g`, and of `log/s` what no
    /// checkpoint replaces.
    pub(crate) fn fresh(world: &'world World, rules: &'world Rules, listed: Set) -> Self {
        let is_global = |id: &u8| world.object(*id).global;
        let global: Set = ids(listed).filter(is_global).map(one).sum();
        let first = Self::new(world, rules, global, listed);
        let replaced = first.replaced();
        let skipped = if rules.log_g_read_whole { replaced & !global } else { replaced };
        Self::new(world, rules, listed & !skipped, listed)
    }

    /// Returns the records that it has read.
    pub(crate) fn records(&self) -> impl Iterator<Item = &'world Object> + use<'world> {
        let world = self.world;
        ids(self.known).map(move |id| world.object(id))
    }

    /// Returns what is covered by a view, as far as this client can follow it.
    pub(crate) fn covered(&self, view: Set) -> Set {
        let mut covered = 0;
        let mut open = view;
        while open != 0 {
            let id = open.trailing_zeros() as u8;
            open &= open - 1;
            covered |= one(id);
            if !has(self.known, id) {
                continue;
            }
            let record = self.world.object(id);
            // Its lane: what came before it, and the newest before it in `log/g`.
            let own_lane = |id: &u8| self.world.object(*id).lane == record.lane;
            let mut more = one(record.previous) | record.names;
            more |= ids(record.view & self.world.created).filter(own_lane).map(one).sum::<Set>();
            if !self.rules.coverage_by_hash {
                let before = |other: &&Object| {
                    other.lane == record.lane && other.sequence <= record.sequence
                };
                more |= self.records().filter(before).map(|other| one(other.id)).sum::<Set>();
            }
            open |= more & !covered;
        }
        covered
    }

    /// Rule 32: late is what lacks a condemnation of which a sweep exists that lacks it.
    fn find_late(&mut self) {
        if !self.rules.lateness {
            return;
        }
        let sweeps: Vec<(Set, Set)> = self
            .records()
            .filter(|record| record.sweeps != 0)
            .map(|sweep| (sweep.sweeps, self.covered(sweep.view | one(sweep.id))))
            .collect();
        if !sweeps.is_empty() {
            for record in self.records() {
                let seen = self.covered(record.view | one(record.id));
                let is_late = |(condemnations, covered): &(Set, Set)| {
                    !has(*covered, record.id) && condemnations & !seen != 0
                };
                if sweeps.iter().any(is_late) {
                    self.late |= one(record.id);
                }
            }
        }
        let (mut whole, mut broken) = (0, 0);
        for heal in self.records().filter(|record| record.healed != NONE) {
            if self.rules.heal_in_time && has(self.late, heal.id) {
                continue;
            }
            *(if heal.verdict < 3 { &mut whole } else { &mut broken }) |= one(heal.healed);
        }
        self.doubtful = (self.late | broken) & !whole;
    }

    fn find_places(&mut self) {
        let silent = if self.rules.replaced_is_silent { self.replaced() } else { 0 };
        for record in self.records() {
            if record.snapshot != 0 {
                self.snapshots |= one(record.id);
            }
            if has(silent, record.id) {
                continue;
            }
            if !has(self.doubtful, record.id) || !self.rules.late_places_distrusted {
                self.places |= record.entries;
                if record.blobs() != 0 {
                    self.places |= one(record.id);
                }
            }
        }
        for checkpoint in self.checkpoints().filter(|checkpoint| !has(silent, checkpoint.id)) {
            for id in ids(checkpoint.segments & self.listed) {
                let segment = self.world.object(id);
                self.places |= segment.places;
                self.snapshots |= segment.snapshots;
            }
        }
    }

    /// Returns the checkpoints that count.
    pub(crate) fn checkpoints(&self) -> impl Iterator<Item = &'world Object> + use<'world> {
        let void = if self.rules.late_checkpoint_void { self.doubtful } else { 0 };
        self.records().filter(move |record| record.checkpoint && !has(void, record.id))
    }

    /// Returns the records that checkpoints cover.
    pub(crate) fn named(&self) -> Set {
        self.checkpoints().map(|checkpoint| checkpoint.names).fold(0, |all, names| all | names)
    }

    /// Returns the records that nobody need read any more.
    pub(crate) fn replaced(&self) -> Set {
        let by = |checkpoint: &Object| {
            let mut replaced = checkpoint.names & !checkpoint.stays;
            if !self.rules.names_by_hash {
                let before = |other: &&Object| {
                    ids(checkpoint.names)
                        .map(|id| self.world.object(id))
                        .any(|named| named.lane == other.lane && other.sequence <= named.sequence)
                };
                let more: Set = self.records().filter(before).map(|other| one(other.id)).sum();
                replaced |= more & !checkpoint.stays;
            }
            replaced
        };
        self.checkpoints().map(by).fold(0, |all, names| all | names)
    }

    /// Returns the blobs that can be brought back from some objects, bases included.
    pub(crate) fn resolve(&self, objects: Set) -> Blobs {
        let mut found: Blobs = 0;
        loop {
            let before = found;
            for id in ids(objects) {
                for (blob, form) in self.world.object(id).units.iter().enumerate() {
                    let is_there = match form {
                        Form::Absent => false,
                        Form::Full => true,
                        Form::Delta(base) => found & (1 << base) != 0,
                    };
                    found |= Blobs::from(is_there) << blob;
                }
            }
            if found == before {
                return found;
            }
        }
    }

    /// Returns the blobs that stand, from some of the objects: bases first by rule 26; without it,
    /// whatever lies somewhere.
    pub(crate) fn standing(&self, objects: Set) -> Blobs {
        let objects = objects & self.places & !self.condemned;
        if self.rules.bases_first {
            self.resolve(objects)
        } else {
            ids(objects).fold(0, |all, id| all | self.world.object(id).blobs())
        }
    }

    /// Returns whether a snapshot is forgotten in this view, and since when by the store's clock.
    /// Zero: since a time that is not known any more.
    pub(crate) fn forgotten(&self, snapshot: u8) -> Option<u8> {
        let has_mark = |record: &&Object| has(record.forgets | record.unforgets, snapshot);
        let marks: Vec<&Object> =
            self.records().filter(has_mark).filter(|mark| self.heeds(mark)).collect();
        let covers: Vec<Set> = marks
            .iter()
            .map(|mark| self.covered(mark.view | one(mark.id)) & !one(mark.id))
            .collect();
        let mut since: Option<u8> = None;
        for mark in &marks {
            let beaten_by = |unforget: bool| {
                let mut others = marks.iter().zip(&covers);
                others.any(|(other, covered)| {
                    has(*covered, mark.id) && (!unforget || has(other.unforgets, snapshot))
                })
            };
            if has(mark.unforgets, snapshot) {
                if !beaten_by(false) {
                    return None;
                }
            } else if !beaten_by(true) {
                // Who forgets it again does not begin anew.
                since = Some(since.map_or(mark.stored, |since| since.min(mark.stored)));
            }
        }
        let drops = |checkpoint: &Object| {
            has(checkpoint.names & !checkpoint.stays, snapshot)
                && !has(checkpoint.unforgotten, snapshot)
        };
        let is_dropped = || self.checkpoints().any(drops);
        since.or_else(|| {
            (!marks.iter().any(|m| has(m.unforgets, snapshot)) && is_dropped()).then_some(0)
        })
    }

    /// Returns whether the marks of a record count.
    pub(crate) fn heeds(&self, record: &Object) -> bool {
        !self.is_deaf || !self.world.is_strange(record)
    }

    /// Returns whether a snapshot is live by rule 22.
    pub(crate) fn is_live(&self, snapshot: u8) -> bool {
        let now = self.world.store_clock();
        self.forgotten(snapshot).is_none_or(|since| since != 0 && now < since + STAYS_LIVE)
    }

    /// Returns the live snapshots.
    pub(crate) fn live(&self) -> Set {
        ids(self.snapshots).filter(|id| self.is_live(*id)).map(one).sum()
    }

    /// Returns the blobs that live snapshots need.
    pub(crate) fn needed(&self) -> Blobs {
        ids(self.live()).fold(0, |all, id| all | self.world.object(id).snapshot)
    }

    /// Returns a view: the tips of `log/g` that this client may name, and if it has read the `whole`
    /// log, those of both places too.
    pub(crate) fn view(&self, whole: bool) -> Set {
        let both = whole && self.rules.view_of_both_places;
        self.tips(false) | if both { self.tips(true) } else { 0 }
    }

    /// Returns the newest record of each lane, or of each branch of it: in `log/g`, or in `both`.
    pub(crate) fn tips(&self, both: bool) -> Set {
        let counts = |id: &u8| both || self.world.object(*id).global;
        let mut tips: Set = ids(self.known).filter(counts).map(one).sum();
        if self.rules.view_has_no_gaps {
            let said = self.known | self.named();
            let has_gap = |id: &u8| self.has_gap(*id, said, &counts);
            tips &= !ids(tips).filter(has_gap).map(one).sum::<Set>();
        }
        if !self.rules.view_is_read {
            let records = self.world.of_kind(self.listed, Kind::Record);
            tips |= ids(records).filter(counts).map(one).sum::<Set>();
        }
        let below: Set = ids(tips).map(|id| self.chain(id)).fold(0, |all, chain| all | chain);
        tips & !below
    }

    /// Returns whether a record before one in its lane was neither read nor named by a checkpoint.
    /// Behind one that is named and gone nobody needs to look.
    fn has_gap(&self, id: u8, said: Set, counts: &dyn Fn(&u8) -> bool) -> bool {
        let mut at = self.world.object(id).previous;
        while at != NONE {
            if !has(said, at) && counts(&at) {
                return true;
            }
            if has(said & !self.known, at) {
                return false;
            }
            at = self.world.object(at).previous;
        }
        false
    }

    /// Returns what comes before a record in its lane. (A client that reads only `log/g` finds the
    /// gaps there because each record names its own lane's tip in its view.)
    fn chain(&self, id: u8) -> Set {
        let mut chain = 0;
        let mut at = self.world.object(id).previous;
        while at != NONE {
            chain |= one(at);
            at = self.world.object(at).previous;
        }
        chain
    }
}
