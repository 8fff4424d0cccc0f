//! Whether a blob can be read in the end, and over how many others: blobs that are stored as
//! differences stand on their bases.

use rusqlite::{Connection, OptionalExtension as _};

use super::{Cache, bases, wrap};
use crate::error::Result;
use crate::format::LIMITS;
use crate::id::BlobId;

/// What lies below a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    /// How many differences lie one upon another; 0 for a blob that is stored in full.
    pub depth: u64,
    /// How many units are opened to read it, its own among them.
    pub units: u32,
    /// What they take together, as stored, in bytes.
    pub difference_bytes: u64,
    /// The blob at the foot, which is stored in full; of several the first.
    pub foot: BlobId,
    /// What a foot takes as stored, in bytes: its share of its unit; of several the largest.
    pub foot_bytes: u64,
}

impl Chain {
    /// Returns what lies below a difference from two blobs.
    #[must_use]
    pub fn beside(&self, other: &Chain) -> Chain {
        Chain {
            depth: self.depth.max(other.depth),
            units: self.units.saturating_add(other.units),
            difference_bytes: self.difference_bytes.saturating_add(other.difference_bytes),
            foot: self.foot,
            foot_bytes: self.foot_bytes.max(other.foot_bytes),
        }
    }
}

/// One reliable place, as far as chains go.
struct Link {
    bases: Vec<BlobId>,
    stored_bytes: u64,
}

impl Cache {
    /// Returns whether a blob has a place on which a new record may rely; for a difference, its
    /// base must have one too, down to a full form.
    pub fn stands(&self, id: &BlobId) -> Result<bool> {
        self.find_chain(id).map(|chain| chain.is_some())
    }

    /// Returns the shortest way from a blob to a full form over reliable places; `None` if there is
    /// none.
    pub fn find_chain(&self, id: &BlobId) -> Result<Option<Chain>> {
        let connection = self.lock();
        let mut visits = LIMITS.delta_units;
        chain(&connection, *id, LIMITS.delta_depth, &mut visits).map_err(wrap)
    }

    /// Returns a blob's length in bytes.
    pub fn find_length(&self, id: &BlobId) -> Result<Option<u64>> {
        self.lock()
            .prepare_cached("SELECT length FROM blob WHERE id = ?1 LIMIT 1")
            .and_then(|mut statement| {
                statement.query_row([id.as_bytes()], |row| row.get(0)).optional()
            })
            .map_err(wrap)
    }
}

fn chain(
    connection: &Connection,
    id: BlobId,
    deepest: u64,
    visits: &mut u32,
) -> rusqlite::Result<Option<Chain>> {
    let Some(left) = visits.checked_sub(1) else { return Ok(None) };
    *visits = left;
    let links = links(connection, &id)?;
    if let Some(full) = links.iter().find(|link| link.bases.is_empty()) {
        let foot_bytes = full.stored_bytes;
        return Ok(Some(Chain { depth: 0, units: 1, difference_bytes: 0, foot: id, foot_bytes }));
    }
    // A circle would end here as well.
    let Some(deepest) = deepest.checked_sub(1) else { return Ok(None) };
    let mut shortest: Option<Chain> = None;
    for link in links {
        let Some(candidate) = over(connection, &link, deepest, visits)? else { continue };
        if shortest.is_none_or(|shortest| candidate.depth < shortest.depth) {
            shortest = Some(candidate);
        }
    }
    Ok(shortest)
}

/// Returns the chain of a difference; `None` if one of its bases does not stand.
fn over(
    connection: &Connection,
    link: &Link,
    deepest: u64,
    visits: &mut u32,
) -> rusqlite::Result<Option<Chain>> {
    let mut together: Option<Chain> = None;
    for base in &link.bases {
        let Some(below) = chain(connection, *base, deepest, visits)? else { return Ok(None) };
        together = Some(together.map_or(below, |first| first.beside(&below)));
    }
    Ok(together.map(|below| Chain {
        depth: below.depth.saturating_add(1),
        units: below.units.saturating_add(1),
        difference_bytes: below.difference_bytes.saturating_add(link.stored_bytes),
        ..below
    }))
}

/// Of places that say the same one is enough: a blob has few, but two writers may have stored one
/// chain twice, and every branch doubles the work.
fn links(connection: &Connection, id: &BlobId) -> rusqlite::Result<Vec<Link>> {
    let mut statement = connection.prepare_cached(
        "SELECT unit.bases, MIN(unit.stored * blob.length / MAX(unit.raw, 1)) FROM blob \
         JOIN object ON object.number = blob.object \
         JOIN unit ON unit.object = blob.object AND unit.number = blob.unit \
         WHERE blob.id = ?1 AND object.unreliable = 0 GROUP BY unit.bases",
    )?;
    let rows = statement.query_map([id.as_bytes()], |row| {
        Ok(Link { bases: bases(row, 0)?, stored_bytes: row.get(1)? })
    })?;
    rows.collect()
}
