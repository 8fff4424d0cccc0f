//! Deltas: each base can be read, and no chain is longer than a reader follows.

use std::collections::{BTreeSet, HashMap};

use super::finding::{FindingKind, Findings};
use super::known::{BadObjects, BadUnits, KnownBlobs};
use crate::error::Result;
use crate::format::LIMITS;
use crate::id::BlobId;
use crate::repository::Repository;

/// Takes units out of `known` whose base can't be read, until nothing changes.
pub(super) fn check(
    repository: &Repository,
    mut known: KnownBlobs,
    bad: &mut BadObjects,
    findings: &mut Findings,
) -> Result<KnownBlobs> {
    let units = repository.cache().units_with_bases()?;
    if units.is_empty() {
        return Ok(known);
    }
    let names: HashMap<u32, _> = repository
        .cache()
        .numbered_objects()?
        .into_iter()
        .map(|(number, name, _)| (number, name))
        .collect();
    let mut broken = BTreeSet::new();
    loop {
        let before = broken.len();
        for (object, unit, bases) in &units {
            if broken.contains(&(*object, *unit)) {
                continue;
            }
            let Some(base) = find_lost(repository, &known, bases)? else { continue };
            broken.insert((*object, *unit));
            let Some(name) = names.get(object) else { continue };
            let (_, units) = bad.entry(name.hash()).or_insert_with(|| {
                let problem = format!("unit {unit} is a difference from {base}, which is lost");
                let number = findings.add(FindingKind::BaseMissing, name.to_string(), problem);
                (number, BadUnits::Baseless(BTreeSet::new()))
            });
            if let BadUnits::Some(units) | BadUnits::Baseless(units) = units {
                units.insert(*unit);
            }
        }
        if broken.len() == before {
            return Ok(known);
        }
        // Not two of them at a time.
        drop(known);
        known = KnownBlobs::new(repository.cache(), bad)?;
    }
}

/// Returns the first of a unit's bases that can't be read; if all together are too many, the first.
fn find_lost<'b>(
    repository: &Repository,
    known: &KnownBlobs,
    bases: &'b [BlobId],
) -> Result<Option<&'b BlobId>> {
    if let Some(lost) = bases.iter().find(|base| known.length(base).is_none()) {
        return Ok(Some(lost));
    }
    // The unit itself is one.
    let mut units = LIMITS.delta_units.saturating_sub(1);
    for base in bases {
        if !is_within_reach(repository, base, LIMITS.delta_depth, &mut units)? {
            return Ok(Some(base));
        }
    }
    Ok(None)
}

/// Returns whether a reader gets to full forms within the limits; `depth` of them lie below, at most.
fn is_within_reach(
    repository: &Repository,
    id: &BlobId,
    depth: u64,
    units: &mut u32,
) -> Result<bool> {
    let (Some(left), Some(below)) = (units.checked_sub(1), depth.checked_sub(1)) else {
        return Ok(false);
    };
    *units = left;
    let places = repository.cache().places(id)?;
    if places.iter().any(|place| place.bases.is_empty()) {
        return Ok(true);
    }
    for place in &places {
        let mut is_whole = true;
        for base in &place.bases {
            is_whole = is_whole && is_within_reach(repository, base, below, units)?;
        }
        if is_whole {
            return Ok(true);
        }
    }
    Ok(false)
}
