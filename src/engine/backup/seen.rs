//! What this machine saw of each file when it last read it.
//!
//! A node says nothing of inodes and change times; this table does, so that an unchanged file need
//! not be read again. For each item it holds 8 bytes of its path's keyed hash and 8 of a hash over size,
//! times, inode and device: 16 MB for a million items. It belongs to one job and one snapshot, and
//! counts for nothing beside another. Losing it means that everything is read once more.
//!
//! The racy-clock rule: an item whose times lie within two seconds of the run's beginning, or after
//! it, is not entered, since it may change again without its times showing it.

use crate::files::Stat;
use crate::files::sqlite::Fingerprint;
use crate::id::SnapshotId;
use crate::time::Timestamp;

/// What an item looks like from outside.
#[derive(Debug, Clone, Copy)]
pub(super) enum Look {
    /// Anything but a database.
    Item(Stat),
    /// A database: its companions' metadata counts as much as its own.
    Database(Fingerprint),
}

impl Look {
    fn digest(&self) -> u64 {
        match self {
            Look::Item(stat) => fingerprint(stat),
            Look::Database(print) => print.digest(),
        }
    }

    /// Returns whether it may be trusted later, for a reading after `began`.
    fn is_settled(&self, began: Timestamp) -> bool {
        match self {
            Look::Item(stat) => stat.is_settled(began),
            Look::Database(print) => print.is_settled(began),
        }
    }
}

/// The table of one job, as of one snapshot.
#[derive(Default)]
pub(super) struct Seen {
    rows: Vec<(u64, u64)>,
}

impl Seen {
    /// Reads a table, if it belongs to `snapshot`; else returns an empty one.
    pub(super) fn decode(bytes: &[u8], snapshot: &SnapshotId) -> Seen {
        let Some((head, rows)) = bytes.split_first_chunk::<32>() else { return Seen::default() };
        let Some((digest, rows)) = rows.split_first_chunk::<8>() else { return Seen::default() };
        if head != snapshot.as_bytes() || *digest != checksum(rows) {
            return Seen::default();
        }
        let rows = rows
            .chunks_exact(16)
            .filter_map(|row| {
                let (path, print) = row.split_first_chunk::<8>()?;
                let print = print.first_chunk::<8>()?;
                Some((u64::from_le_bytes(*path), u64::from_le_bytes(*print)))
            })
            .collect();
        Seen { rows }
    }

    /// Writes the table.
    pub(super) fn encode(&mut self, snapshot: &SnapshotId) -> Vec<u8> {
        self.rows.sort_unstable();
        let mut rows = Vec::with_capacity(self.rows.len().saturating_mul(16));
        for (path, print) in &self.rows {
            rows.extend_from_slice(&path.to_le_bytes());
            rows.extend_from_slice(&print.to_le_bytes());
        }
        let mut bytes = Vec::with_capacity(rows.len().saturating_add(40));
        bytes.extend_from_slice(snapshot.as_bytes());
        bytes.extend_from_slice(&checksum(&rows));
        bytes.append(&mut rows);
        bytes
    }

    /// Returns whether the item looks just as it did. Only for a table that was read.
    pub(super) fn is_same(&self, path: u64, look: &Look) -> bool {
        self.rows
            .binary_search_by_key(&path, |row| row.0)
            .ok()
            .and_then(|place| self.rows.get(place))
            .is_some_and(|row| row.1 == look.digest())
    }

    /// Enters an item that was read after `began`.
    pub(super) fn enter(&mut self, path: u64, look: &Look, began: Timestamp) {
        if look.is_settled(began) {
            self.rows.push((path, look.digest()));
        }
    }

    /// Returns how many items the table has.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }
}

fn checksum(rows: &[u8]) -> [u8; 8] {
    blake3::hash(rows).as_bytes().first_chunk::<8>().copied().unwrap_or_default()
}

fn fingerprint(stat: &Stat) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&stat.size.to_le_bytes());
    hasher.update(&stat.inode.to_le_bytes());
    hasher.update(&stat.device.to_le_bytes());
    for time in [stat.mtime, stat.ctime] {
        hasher.update(&time.0.to_le_bytes());
        hasher.update(&time.1.to_le_bytes());
    }
    let hash = hasher.finalize();
    hash.as_bytes().first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
