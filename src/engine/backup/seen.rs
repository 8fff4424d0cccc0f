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
pub(super) struct Look {
    digest: u64,
    /// Whether it may be trusted later, for a reading after the run began.
    is_settled: bool,
    is_database: bool,
}

impl Look {
    /// Anything but a database, in a run that began at `began`.
    pub(super) fn of_item(stat: &Stat, began: Timestamp) -> Look {
        let is_settled = stat.is_settled(began);
        Look { digest: fingerprint(stat), is_settled, is_database: false }
    }

    /// A database: its companions' metadata counts as much as its own.
    pub(super) fn of_database(print: &Fingerprint, began: Timestamp) -> Look {
        let is_settled = print.is_settled(began);
        Look { digest: print.digest(), is_settled, is_database: true }
    }

    /// Returns whether it is a database's.
    pub(super) fn is_database(&self) -> bool {
        self.is_database
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
        self.find(path) == Some(look.digest)
    }

    /// Keyed hashes are spread evenly, so a row lies near its share of the table: looked for there
    /// first, one of 23,000 costs nine steps in one place instead of fifteen all over the table.
    fn find(&self, path: u64) -> Option<u64> {
        let count = self.rows.len();
        let share = u128::from(path).saturating_mul(count as u128) >> 64;
        let near = usize::try_from(share).unwrap_or(usize::MAX);
        // Four standard deviations at the table's middle, where they are widest.
        let reach = count.isqrt().saturating_mul(2).saturating_add(1);
        let window = near.saturating_sub(reach)..near.saturating_add(reach).min(count);
        let find_in = |rows: &[(u64, u64)]| {
            let place = rows.binary_search_by_key(&path, |row| row.0).ok()?;
            rows.get(place).map(|row| row.1)
        };
        self.rows.get(window).and_then(find_in).or_else(|| find_in(&self.rows))
    }

    /// Enters an item that was read after the run began.
    pub(super) fn enter(&mut self, path: u64, look: &Look) {
        if look.is_settled {
            self.rows.push((path, look.digest));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_wherever_it_lies() {
        let snapshot = SnapshotId([7; 32]);
        let even = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let uneven = |number: u64| if number < 500 { number } else { u64::MAX - number };
        for count in [0, 1, 2, 1_000] {
            for hash in [even, uneven] {
                let rows = (0..count).map(|number| (hash(number), number)).collect();
                let bytes = Seen { rows }.encode(&snapshot);
                let seen = Seen::decode(&bytes, &snapshot);
                for number in 0..count {
                    assert_eq!(seen.find(hash(number)), Some(number));
                }
                assert_eq!(seen.find(u64::MAX / 2), None);
            }
        }
    }
}
