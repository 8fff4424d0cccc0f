//! Which place of each needed blob is kept, and so how much of each object is used.
//!
//! Of a blob's places one is chosen, among those on which a new record may rely: one that holds it
//! in full if there is one, else the one with the fewest differences below it. The bases of what is
//! chosen are needed too. Since a base is always chosen with fewer differences below it than what
//! stands on it, no two choices can rely on each other in a circle.
//!
//! A thorough prune keeps no content that is only the base of another: such a blob is raised, that
//! is, stored in full. What stands on it can go on doing so. Blobs are settled in ascending order of
//! the differences below them, each on what is settled already: there too nothing goes in a circle.
//!
//! Memory: 24 bytes for each unit, 60 for each object, and 100 for each needed blob that is stored as
//! a difference only.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::needs::Needs;
use crate::error::Result;
use crate::id::{BlobId, ObjectHash};
use crate::repository::cache::{Cache, Place, PlaceRow};

/// No chain is chosen that is deeper than writers make them (page 5, rule 7).
const DEEPEST: u64 = 16;

/// How much of an object is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ObjectUse {
    /// What its units take, in bytes.
    pub(super) unit_bytes: u64,
    /// The share of it that chosen blobs have, in bytes.
    pub(super) used_bytes: u64,
    /// How many blobs in it are chosen.
    pub(super) blobs: u64,
    /// How many blobs are in it.
    pub(super) all_blobs: u64,
}

impl ObjectUse {
    /// Returns whether something in it is not used.
    pub(super) fn has_unused(&self) -> bool {
        self.blobs < self.all_blobs
    }
}

/// What was settled about a blob that is nowhere in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settled {
    /// It stays where it is: object, unit, and how many differences lie below it.
    Kept(u32, u32, u64),
    /// It is stored in full.
    Stored,
}

/// What is used. See the module's head.
#[derive(Default)]
pub(super) struct Usage {
    /// By the number of the object.
    pub(super) objects: HashMap<u32, ObjectUse>,
    numbers: HashMap<ObjectHash, u32>,
    /// Needed blobs that do not stand anywhere.
    pub(super) fallen: Vec<BlobId>,
    /// Needed blobs that stand on what nobody needs but as a base: they are stored in full.
    pub(super) raised: Vec<BlobId>,
    /// What these are, in bytes.
    pub(super) raised_bytes: u64,
    settled: HashMap<BlobId, Settled>,
}

impl Usage {
    /// Chooses a place for every needed blob; adds the bases to what is needed. A thorough prune says
    /// how many bytes may be `raised`.
    pub(super) fn choose(cache: &Cache, needs: &mut Needs, raise: Option<u64>) -> Result<Usage> {
        let mut usage = Usage::default();
        let mut without_full: Vec<BlobId> = Vec::new();
        let mut last: Option<BlobId> = None;
        let mut chosen = true;
        cache.for_each_place(|row| {
            let object = usage.objects.entry(row.blob.object).or_default();
            object.all_blobs = object.all_blobs.saturating_add(1);
            if last != Some(row.blob.id) {
                if let Some(id) = last.filter(|_| !chosen) {
                    without_full.push(id);
                }
                last = Some(row.blob.id);
                chosen = !needs.has(&row.blob.id);
            }
            if !chosen && row.is_reliable && !row.has_bases {
                chosen = true;
                object.blobs = object.blobs.saturating_add(1);
                object.used_bytes = object.used_bytes.saturating_add(share(row));
            }
        })?;
        without_full.extend(last.filter(|_| !chosen));
        for (number, name, reach) in cache.numbered_objects()? {
            usage.objects.entry(number).or_default().unit_bytes = reach;
            usage.numbers.insert(name.hash(), number);
        }
        let waiting = BinaryHeap::new();
        let mut choosing = Choosing { cache, usage, waiting, left: raise.unwrap_or(0) };
        for id in without_full {
            choosing.wait(id)?;
        }
        while let Some(Reverse((_, id))) = choosing.waiting.pop() {
            choosing.settle(id, needs, raise.is_some())?;
        }
        Ok(choosing.usage)
    }

    /// Returns the place at which a needed blob is kept; `None` if it is stored in full. `places` are in
    /// the order of the objects' numbers, reliable ones first.
    pub(super) fn place<'p>(&self, id: &BlobId, places: &'p [Place]) -> Option<&'p Place> {
        let is_at = |place: &&Place, number: u32, unit: u32| {
            place.unit == unit && self.numbers.get(&place.object.hash()) == Some(&number)
        };
        match self.settled.get(id) {
            Some(Settled::Stored) => None,
            Some(Settled::Kept(number, unit, _)) => {
                places.iter().find(|place| is_at(place, *number, *unit))
            }
            None => full_place(places),
        }
    }

    /// Returns whether an object of the index holds something that nobody needs there.
    pub(super) fn has_unused(&self, object: &ObjectHash) -> bool {
        let number = self.numbers.get(object);
        number.and_then(|number| self.objects.get(number)).is_some_and(ObjectUse::has_unused)
    }
}

fn full_place(places: &[Place]) -> Option<&Place> {
    places.iter().find(|place| place.is_reliable && place.bases.is_empty())
}

/// The choice among differences, under way.
struct Choosing<'c> {
    cache: &'c Cache,
    usage: Usage,
    /// Blobs that are not settled, by the number of differences below them.
    waiting: BinaryHeap<Reverse<(u64, BlobId)>>,
    /// How many bytes may still be raised.
    left: u64,
}

impl Choosing<'_> {
    /// Lets a blob wait for its turn; one that does not stand has none.
    fn wait(&mut self, id: BlobId) -> Result<()> {
        if let Some(chain) = self.cache.find_chain(&id)? {
            self.waiting.push(Reverse((chain.depth, id)));
        } else {
            self.usage.fallen.push(id);
            self.usage.settled.insert(id, Settled::Stored);
        }
        Ok(())
    }

    fn settle(&mut self, id: BlobId, needs: &mut Needs, is_thorough: bool) -> Result<()> {
        let places = self.cache.places(&id)?;
        if let Some(full) = full_place(&places) {
            self.use_place(full);
            return Ok(());
        }
        if is_thorough {
            let mut kept: Option<(u64, &Place)> = None;
            for place in &places {
                if let Some(depth) = self.on_needed(place, needs)?
                    && kept.is_none_or(|(least, _)| depth < least)
                {
                    kept = Some((depth, place));
                }
            }
            if let Some((depth, place)) = kept {
                self.keep(id, place, depth);
                return Ok(());
            }
            let length = places.first().map_or(0, |place| place.length);
            if length <= self.left {
                self.left = self.left.saturating_sub(length);
                self.usage.raised.push(id);
                self.usage.raised_bytes = self.usage.raised_bytes.saturating_add(length);
                self.usage.settled.insert(id, Settled::Stored);
                return Ok(());
            }
        }
        let Some((depth, place)) = shallowest(self.cache, &places)? else {
            self.usage.fallen.push(id);
            self.usage.settled.insert(id, Settled::Stored);
            return Ok(());
        };
        self.keep(id, place, depth);
        for base in &place.bases {
            if !needs.has(base) && needs.add(base)? {
                self.wait(*base)?;
            }
        }
        Ok(())
    }

    /// Returns how many differences lie below a place all of whose bases are needed for themselves and
    /// settled; `None` if it is no such place.
    fn on_needed(&self, place: &Place, needs: &Needs) -> Result<Option<u64>> {
        if !place.is_reliable || place.bases.iter().any(|base| !needs.has(base)) {
            return Ok(None);
        }
        let mut deepest = 0;
        for base in &place.bases {
            let below = match self.usage.settled.get(base) {
                Some(Settled::Kept(.., depth)) => *depth,
                Some(Settled::Stored) => 0,
                None if full_place(&self.cache.places(base)?).is_some() => 0,
                // Its turn comes later: it may come to stand on this one.
                None => return Ok(None),
            };
            deepest = below.max(deepest);
        }
        Ok(deepest.checked_add(1).filter(|depth| *depth <= DEEPEST))
    }

    fn keep(&mut self, id: BlobId, place: &Place, depth: u64) {
        if let Some(number) = self.use_place(place) {
            self.usage.settled.insert(id, Settled::Kept(number, place.unit, depth));
        }
    }

    /// Counts a place as used; returns the number of its object.
    fn use_place(&mut self, place: &Place) -> Option<u32> {
        let number = self.usage.numbers.get(&place.object.hash()).copied()?;
        let object = self.usage.objects.get_mut(&number)?;
        object.blobs = object.blobs.saturating_add(1);
        object.used_bytes = object.used_bytes.saturating_add(share_of(place));
        Some(number)
    }
}

/// Returns the reliable place with the fewest differences below it, and how many these are.
fn shallowest<'p>(cache: &Cache, places: &'p [Place]) -> Result<Option<(u64, &'p Place)>> {
    let mut best: Option<(u64, &Place)> = None;
    for place in places.iter().filter(|place| place.is_reliable) {
        let mut deepest = Some(0);
        for base in &place.bases {
            let below = cache.find_chain(base)?.map(|chain| chain.depth);
            deepest = deepest.zip(below).map(|(deepest, below)| below.max(deepest));
        }
        if let Some(depth) = deepest.map(|depth| depth.saturating_add(1))
            && best.is_none_or(|(least, _)| depth < least)
        {
            best = Some((depth, place));
        }
    }
    Ok(best)
}

/// A blob's share of what its unit takes.
fn share(row: &PlaceRow) -> u64 {
    part(row.stored_length, row.blob.length, row.unit_length)
}

fn share_of(place: &Place) -> u64 {
    part(place.stored_length, place.length, place.unit_length)
}

fn part(stored: u64, length: u64, whole: u64) -> u64 {
    let share = u128::from(stored) * u128::from(length) / u128::from(whole.max(1));
    u64::try_from(share).unwrap_or(stored)
}
