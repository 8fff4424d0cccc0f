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
    let units = repository.cache().units_with_base()?;
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
        for (object, unit, base) in &units {
            let is_lost = known.length(base).is_none() || is_too_deep(repository, base)?;
            if !is_lost || !broken.insert((*object, *unit)) {
                continue;
            }
            let Some(name) = names.get(object) else { continue };
            let (_, units) = bad.entry(name.hash()).or_insert_with(|| {
                let problem = format!("unit {unit} is a difference from {base}, which is lost");
                let number = findings.add(FindingKind::BaseMissing, name.to_string(), problem);
                (number, BadUnits::Some(BTreeSet::new()))
            });
            if let BadUnits::Some(units) = units {
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

/// Returns whether no full form of a blob is within reach.
fn is_too_deep(repository: &Repository, base: &BlobId) -> Result<bool> {
    let mut current = *base;
    for _ in 0..LIMITS.delta_depth {
        let places = repository.cache().places(&current)?;
        if places.iter().any(|place| place.base.is_none()) {
            return Ok(false);
        }
        match places.first().and_then(|place| place.base) {
            Some(next) => current = next,
            None => return Ok(true),
        }
    }
    Ok(true)
}
