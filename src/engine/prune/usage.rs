//! Which place of each needed blob is kept, and so how much of each object is used.
//!
//! Of a blob's places one is chosen, among those on which a new record may rely: one that holds it
//! in full if there is one, else the one with the fewest differences below it. The bases of what is
//! chosen are needed too. Since a base is always chosen with fewer differences below it than what
//! stands on it, no two choices can rely on each other in a circle.
//!
//! Memory: 24 bytes for each unit, and 32 for each needed blob that is stored as a difference only.

use std::collections::HashMap;

use super::needs::Needs;
use crate::error::Result;
use crate::id::BlobId;
use crate::repository::cache::{Cache, Place, PlaceRow};
use crate::store::ObjectName;

/// How much of an object is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ObjectUse {
    /// What its units take, in bytes.
    pub(super) unit_bytes: u64,
    /// The share of it that chosen blobs have, in bytes.
    pub(super) used_bytes: u64,
    /// How many blobs in it are chosen.
    pub(super) blobs: u64,
}

/// What is used. See the module's head.
#[derive(Default)]
pub(super) struct Usage {
    /// By the number of the object.
    pub(super) objects: HashMap<u32, ObjectUse>,
    /// Needed blobs that do not stand anywhere.
    pub(super) fallen: Vec<BlobId>,
}

impl Usage {
    /// Chooses a place for every needed blob; adds the bases to what is needed.
    pub(super) fn choose(cache: &Cache, needs: &mut Needs) -> Result<Usage> {
        let mut usage = Usage::default();
        let mut without_full: Vec<BlobId> = Vec::new();
        let mut last: Option<BlobId> = None;
        let mut chosen = true;
        cache.for_each_place(|row| {
            let object = usage.objects.entry(row.blob.object).or_default();
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
        let numbers: HashMap<ObjectName, u32> = cache
            .numbered_objects()?
            .into_iter()
            .map(|(number, name, reach)| {
                usage.objects.entry(number).or_default().unit_bytes = reach;
                (name, number)
            })
            .collect();
        while let Some(id) = without_full.pop() {
            let places = cache.places(&id)?;
            let Some(place) = choose(cache, &places)? else {
                usage.fallen.push(id);
                continue;
            };
            if let Some(object) =
                numbers.get(&place.object).and_then(|number| usage.objects.get_mut(number))
            {
                object.blobs = object.blobs.saturating_add(1);
                object.used_bytes = object.used_bytes.saturating_add(share_of(place));
            }
            for base in &place.bases {
                if !needs.has(base) && needs.add(base)? {
                    without_full.push(*base);
                }
            }
        }
        Ok(usage)
    }
}

/// Returns the place that is chosen of all that a blob has; `None` if it does not stand. `places`
/// are in the order of the objects' numbers, reliable ones first.
pub(super) fn choose<'p>(cache: &Cache, places: &'p [Place]) -> Result<Option<&'p Place>> {
    let reliable = || places.iter().filter(|place| place.is_reliable);
    if let Some(full) = reliable().find(|place| place.bases.is_empty()) {
        return Ok(Some(full));
    }
    let mut best: Option<(u64, &Place)> = None;
    for place in reliable() {
        let mut deepest = Some(0);
        for base in &place.bases {
            let below = cache.find_chain(base)?.map(|chain| chain.depth);
            deepest = deepest.zip(below).map(|(deepest, below)| below.max(deepest));
        }
        if let Some(depth) = deepest
            && best.is_none_or(|(least, _)| depth < least)
        {
            best = Some((depth, place));
        }
    }
    Ok(best.map(|(_, place)| place))
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
