//! The index in 12 bytes for each blob: which blobs can be read, and how long they are.
//!
//! A blob stands here by the first eight bytes of its id. Ids are keyed hashes, so that two of a
//! billion share them once in thirty repositories; then a check could miss that one of the two is
//! lost, and nothing else.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::error::Result;
use crate::id::{BlobId, ObjectHash};
use crate::repository::cache::Cache;
use crate::store::ObjectName;

/// Which units of an object can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BadUnits {
    /// All of them.
    All,
    /// These; perhaps none.
    Some(BTreeSet<u32>),
    /// These, for want of what they are differences from. The object is as it was stored.
    Baseless(BTreeSet<u32>),
}

impl BadUnits {
    fn contains(&self, unit: u32) -> bool {
        match self {
            BadUnits::All => true,
            BadUnits::Some(units) | BadUnits::Baseless(units) => units.contains(&unit),
        }
    }
}

/// Objects with something wrong: the finding's number, and what can't be read of them.
pub(super) type BadObjects = HashMap<ObjectHash, (usize, BadUnits)>;

/// The index. See the module's head.
#[derive(Default)]
pub(super) struct KnownBlobs {
    keys: Vec<u64>,
    lengths: Vec<u32>,
    /// Blobs that lie in damaged objects only, readable or not, or that lack a base, with the finding.
    suspects: HashMap<u64, usize>,
    /// Findings that some snapshot's blob brought up.
    pub(super) needed: HashSet<usize>,
}

fn key(id: &BlobId) -> u64 {
    id.0.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// One blob's places so far.
#[derive(Default)]
struct Gathered {
    healthy: bool,
    readable: Option<usize>,
    lost: Option<usize>,
    length: u32,
}

impl KnownBlobs {
    /// Reads the index.
    pub(super) fn new(cache: &Cache, bad: &BadObjects) -> Result<KnownBlobs> {
        let mut by_number: HashMap<u32, (usize, &BadUnits)> = HashMap::new();
        if !bad.is_empty() {
            for (number, name, _) in cache.numbered_objects()? {
                if let Some((finding, units)) = bad.get(&ObjectName::hash(&name)) {
                    by_number.insert(number, (*finding, units));
                }
            }
        }
        let count = usize::try_from(cache.totals()?.blobs).unwrap_or(0);
        let mut known = KnownBlobs {
            keys: Vec::with_capacity(count),
            lengths: Vec::with_capacity(count),
            ..KnownBlobs::default()
        };
        let mut current: Option<u64> = None;
        let mut gathered = Gathered::default();
        cache.for_each_blob(|row| {
            let key = key(&row.id);
            if current != Some(key) {
                known.enter(current, &gathered);
                current = Some(key);
                gathered = Gathered::default();
            }
            gathered.length = u32::try_from(row.length).unwrap_or(u32::MAX);
            match by_number.get(&row.object) {
                Some((finding, units)) if units.contains(row.unit) => {
                    gathered.lost = gathered.lost.or(Some(*finding));
                }
                // A prune leaves what nobody needs beside what is needed, without its base.
                None | Some((_, BadUnits::Baseless(_))) => gathered.healthy = true,
                Some((finding, _)) => gathered.readable = gathered.readable.or(Some(*finding)),
            }
        })?;
        known.enter(current, &gathered);
        Ok(known)
    }

    fn enter(&mut self, key: Option<u64>, gathered: &Gathered) {
        let Some(key) = key else { return };
        if gathered.healthy || gathered.readable.is_some() {
            self.keys.push(key);
            self.lengths.push(gathered.length);
        }
        if gathered.healthy {
            return;
        }
        if let Some(finding) = gathered.readable.or(gathered.lost) {
            self.suspects.insert(key, finding);
        }
    }

    /// Returns the length in bytes of a blob that can be read.
    pub(super) fn length(&self, id: &BlobId) -> Option<u64> {
        let place = self.keys.binary_search(&key(id)).ok()?;
        self.lengths.get(place).copied().map(u64::from)
    }

    /// Notes that a snapshot needs the blob; returns the finding, if it lies in bad objects only.
    pub(super) fn need(&mut self, id: &BlobId) -> Option<usize> {
        if self.suspects.is_empty() {
            return None;
        }
        let finding = self.suspects.get(&key(id)).copied()?;
        self.needed.insert(finding);
        Some(finding)
    }
}
