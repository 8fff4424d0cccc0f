//! Who stores a new blob: the settled answer to "is it there already?".
//!
//! The base is the cache's table; on top lies the set of what this run has claimed. A blob counts
//! as known as soon as one worker has claimed it: if that worker fails, the run fails with it, and
//! nothing that refers to the blob is committed. Memory: 40 bytes for each blob that this run adds,
//! until a partial record has published it (at most 100,000), 20 for each that it finds, and 32 for
//! each pack that it publishes.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::cache::Cache;
use crate::error::Result;
use crate::id::{BlobId, ObjectHash};

/// The answer to a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The blob is stored, or is being stored by another.
    Known,
    /// The caller must store it.
    New,
}

/// Half an id tells blobs apart as well, and takes half the room.
fn half(id: &BlobId) -> u128 {
    id.0.first_chunk::<16>().map_or(0, |bytes| u128::from_le_bytes(*bytes))
}

/// The index of one run.
pub struct Index {
    cache: Arc<Cache>,
    base_is_empty: AtomicBool,
    fresh: Mutex<HashSet<BlobId>>,
    /// What others stored and this run relies on: the first half of each id.
    relied_on: Mutex<HashSet<u128>>,
    /// The packs that this run has published, and so relies on.
    published: Mutex<Vec<ObjectHash>>,
}

impl Index {
    /// Returns an index over what the log says now.
    pub fn new(cache: Arc<Cache>) -> Result<Index> {
        let base_is_empty = AtomicBool::new(cache.is_empty()?);
        Ok(Index {
            cache,
            base_is_empty,
            fresh: Mutex::default(),
            relied_on: Mutex::default(),
            published: Mutex::default(),
        })
    }

    fn fresh(&self) -> std::sync::MutexGuard<'_, HashSet<BlobId>> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Settles who stores a blob. Of any number of claims at once exactly one is answered `New`,
    /// unless the blob is known already.
    pub fn claim(&self, id: &BlobId) -> Result<Claim> {
        if self.fresh().contains(id) {
            return Ok(Claim::Known);
        }
        if !self.base_is_empty.load(Ordering::Acquire) && self.cache.stands(id)? {
            self.relied_on().insert(half(id));
            return Ok(Claim::Known);
        }
        Ok(if self.fresh().insert(*id) { Claim::New } else { Claim::Known })
    }

    /// Returns whether a blob stands, and if so relies on it.
    pub fn relies_on(&self, id: &BlobId) -> Result<bool> {
        if self.fresh().contains(id) {
            return Ok(true);
        }
        let stands = self.cache.stands(id)?;
        if stands {
            self.relied_on().insert(half(id));
        }
        Ok(stands)
    }

    /// Returns whether a blob is stored or claimed, without claiming it.
    pub fn stands(&self, id: &BlobId) -> Result<bool> {
        Ok(self.fresh().contains(id) || self.cache.stands(id)?)
    }

    /// Returns whether something that this run relies on does not stand any more, by what a later
    /// sync brought: a blob that it found in the repository, or a pack of its own.
    pub fn has_fallen(&self) -> Result<bool> {
        let published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        if !published.is_empty() {
            let (condemned, gone) = (self.cache.condemned()?, self.cache.gone()?);
            if published.iter().any(|pack| condemned.contains_key(pack) || gone.contains(pack)) {
                return Ok(true);
            }
        }
        let relied_on = self.relied_on();
        if relied_on.is_empty() {
            return Ok(false);
        }
        let (mut doubtful, mut found, mut last) = (Vec::new(), 0_usize, None);
        self.cache.for_each_place(|row| {
            let id = row.blob.id;
            if !relied_on.contains(&half(&id)) {
                return;
            }
            if last != Some(id) {
                found = found.saturating_add(1);
                last = Some(id);
            }
            if (!row.is_reliable || row.has_bases) && doubtful.last() != Some(&id) {
                doubtful.push(id);
            }
        })?;
        if found < relied_on.len() {
            return Ok(true);
        }
        for id in doubtful {
            if !self.cache.stands(&id)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn relied_on(&self) -> std::sync::MutexGuard<'_, HashSet<u128>> {
        self.relied_on.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops from memory what a published record now says of these packs; they are remembered.
    pub fn published(&self, packs: &[(ObjectHash, Vec<BlobId>)]) {
        self.base_is_empty.store(false, Ordering::Release);
        let mut fresh = self.fresh();
        for id in packs.iter().flat_map(|(_, ids)| ids) {
            fresh.remove(id);
        }
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        published.extend(packs.iter().map(|(pack, _)| *pack));
    }
}
