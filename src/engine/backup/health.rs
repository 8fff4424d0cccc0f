//! Whether databases were sound when last looked through, and when that was.
//!
//! A table in this machine's state, a row for each database: 8 bytes of its path's keyed hash, when
//! its copy was last checked (or it was first met: a first backup is not slowed down), the moment of
//! the last backup whose copy was sound, and whether the last check found damage. Losing it costs
//! the name of the last sound version.

use std::collections::BTreeMap;

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::repository::Repository;
use crate::repository::state::StateFolder;
use crate::time::Timestamp;

/// The table's file.
const FILE: &str = "databases";
/// A row's length in bytes.
const ROW: usize = 32;

/// What backups of this machine found out about one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabaseHealth {
    /// The last backup whose copy was checked and sound.
    pub sound: Option<Timestamp>,
    /// Whether the last check found damage.
    pub is_damaged: bool,
}

/// Returns what is known of the database at an absolute path; `None` if it was never met.
pub fn database_health(repository: &Repository, path: &Path) -> Option<DatabaseHealth> {
    let hash = repository.keys().name_hash(path.as_os_str().as_bytes());
    let found = Health::load(repository.state()).find(hash)?;
    Some(DatabaseHealth { sound: found.sound, is_damaged: found.is_damaged })
}

/// What is known of one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    /// When it was last checked, or first met.
    pub(super) since: Timestamp,
    /// The last backup whose copy was checked and sound.
    pub(super) sound: Option<Timestamp>,
    /// Whether the last check found damage.
    pub(super) is_damaged: bool,
}

impl Verdict {
    /// Returns whether it is to be checked at `now`, when that is done every `interval` nanoseconds.
    pub(super) fn is_due(&self, now: Timestamp, interval: i64) -> bool {
        let age = now.0.saturating_sub(self.since.0);
        self.is_damaged || age < 0 || age >= interval
    }
}

/// The table.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Health {
    rows: BTreeMap<u64, Verdict>,
    is_changed: bool,
}

impl Health {
    /// Reads the table; what can't be read counts as empty.
    pub(super) fn load(state: Option<&StateFolder>) -> Health {
        state.and_then(|state| state.read(FILE)).map_or_else(Health::default, |it| decode(&it))
    }

    /// Writes the table, if something was entered.
    pub(super) fn save(&self, state: Option<&StateFolder>) -> crate::error::Result<()> {
        match state {
            Some(state) if self.is_changed => state.replace(FILE, &self.encode()),
            _ => Ok(()),
        }
    }

    /// Returns what is known of a database, which is met at `now`.
    pub(super) fn meet(&mut self, path: u64, now: Timestamp) -> Verdict {
        *self.rows.entry(path).or_insert_with(|| {
            self.is_changed = true;
            Verdict { since: now, sound: None, is_damaged: false }
        })
    }

    /// Returns what is known of a database.
    pub(super) fn find(&self, path: u64) -> Option<Verdict> {
        self.rows.get(&path).copied()
    }

    /// Enters what a check at `now` has found.
    pub(super) fn enter(&mut self, path: u64, now: Timestamp, is_sound: bool) {
        let before = self.find(path).and_then(|verdict| verdict.sound);
        let sound = if is_sound { Some(now) } else { before };
        self.rows.insert(path, Verdict { since: now, sound, is_damaged: !is_sound });
        self.is_changed = true;
    }

    fn encode(&self) -> Vec<u8> {
        let mut rows = Vec::with_capacity(self.rows.len().saturating_mul(ROW));
        for (path, verdict) in &self.rows {
            rows.extend_from_slice(&path.to_le_bytes());
            rows.extend_from_slice(&verdict.since.0.to_le_bytes());
            rows.extend_from_slice(&verdict.sound.map_or(i64::MIN, |time| time.0).to_le_bytes());
            rows.extend_from_slice(&u64::from(verdict.is_damaged).to_le_bytes());
        }
        let mut bytes = blake3::hash(&rows).as_bytes().to_vec();
        bytes.append(&mut rows);
        bytes
    }
}

fn decode(bytes: &[u8]) -> Health {
    let Some((digest, rows)) = bytes.split_first_chunk::<32>() else { return Health::default() };
    if blake3::hash(rows).as_bytes() != digest {
        return Health::default();
    }
    let mut health = Health::default();
    for row in rows.as_chunks::<ROW>().0 {
        let (numbers, _) = row.as_chunks::<8>();
        if let [path, since, sound, is_damaged] = numbers {
            let sound = Some(i64::from_le_bytes(*sound)).filter(|time| *time != i64::MIN);
            let verdict = Verdict {
                since: Timestamp(i64::from_le_bytes(*since)),
                sound: sound.map(Timestamp),
                is_damaged: u64::from_le_bytes(*is_damaged) != 0,
            };
            health.rows.insert(u64::from_le_bytes(*path), verdict);
        }
    }
    health
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_comes_back_and_nonsense_counts_as_empty() {
        let mut health = Health::default();
        health.enter(7, Timestamp(10), true);
        health.enter(7, Timestamp(20), false);
        health.enter(9, Timestamp(20), false);
        let first = health.meet(11, Timestamp(30));
        assert!(!first.is_due(Timestamp(39), 10) && first.is_due(Timestamp(40), 10));
        let bytes = health.encode();
        let back = decode(&bytes);
        assert_eq!(back.rows, health.rows);
        let verdict = back.find(7).unwrap();
        assert_eq!(verdict.sound, Some(Timestamp(10)));
        assert!(verdict.is_damaged && verdict.is_due(Timestamp(21), 1000));
        assert_eq!(back.find(9).unwrap().sound, None);
        assert!(!back.find(11).unwrap().is_damaged);
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length]), Health::default());
        }
    }
}
