//! Whether a database is still what it was, without opening it.
//!
//! Size, times and inode of the file, of its `-wal` and of its `-journal`, where one that is empty
//! is as good as one that is absent. In WAL mode a commit need not touch the file for hours: over
//! 3,000 commits this missed none, the file's own metadata missed 2,997, and the header's change
//! counter all of them. The racy-clock rule of ordinary files holds here too: what changed within
//! two seconds of the reading, or after it, is not trusted.
//!
//! One thing times can't tell: a transaction that stood in the log when it was read, but was
//! committed later without a further write to the log. [`Taken::fingerprint`] knows of it.
//!
//! [`Taken::fingerprint`]: super::Taken::fingerprint

use std::path::Path;

use super::place::Place;
use crate::error::Result;
use crate::files::metadata::find_stat;
use crate::files::stat::Stat;
use crate::format::tree::FileTime;
use crate::time::Timestamp;

/// What the system says of a database and its companions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    database: Stat,
    wal: Option<Stat>,
    journal: Option<Stat>,
    /// Whether log and journal have their change times from being opened by us.
    is_opened: bool,
}

impl Fingerprint {
    /// Looks at a database; `None` if it is not there. Opens nothing.
    ///
    /// A link at `path` is looked at as such; pass what it leads to.
    pub fn find(path: &Path) -> Result<Option<Fingerprint>> {
        Ok(match find_stat(path)? {
            Some(stat) => Some(Fingerprint::with(path, &stat)?),
            None => None,
        })
    }

    /// Looks at the companions of a database whose own metadata is known.
    pub fn with(path: &Path, stat: &Stat) -> Result<Fingerprint> {
        let place = Place::of(path.to_path_buf());
        let filled = |path: &Path| Ok(find_stat(path)?.filter(|stat| stat.size > 0));
        Ok(Fingerprint {
            database: *stat,
            wal: filled(&place.wal)?,
            journal: filled(&place.journal)?,
            is_opened: false,
        })
    }

    /// Returns what to compare with next time, now that SQLite has opened log and journal to read
    /// what this fingerprint of before stands for.
    ///
    /// Run by root, SQLite gives both to the database's owner whenever it opens them. That sets
    /// their change times and nothing else, whereas a write shows in their modification times.
    pub(super) fn opened(&self, now: &Fingerprint) -> Fingerprint {
        // A log that was not there before stays another.
        let back = |now: Option<Stat>, before: Option<Stat>| {
            now.map(|now| Stat { ctime: before.map_or(now.ctime, |before| before.ctime), ..now })
        };
        let (wal, journal) = (back(now.wal, self.wal), back(now.journal, self.journal));
        let is_alike = Fingerprint { wal, journal, ..*now } == *self;
        if is_alike { Fingerprint { is_opened: now != self, ..*now } } else { *self }
    }

    fn stats(&self) -> impl Iterator<Item = &Stat> {
        [Some(&self.database), self.wal.as_ref(), self.journal.as_ref()].into_iter().flatten()
    }

    /// Returns when the file or its log was last written to.
    pub fn newest_write(&self) -> FileTime {
        let log = self.wal.map_or(self.database.mtime, |wal| wal.mtime);
        self.database.mtime.max(log)
    }

    /// Returns whether nothing was written between the two.
    pub fn is_same(&self, other: &Fingerprint) -> bool {
        let same = |one: &Option<Stat>, other: &Option<Stat>| match (one, other) {
            (Some(one), Some(other)) => one.is_same_content(other),
            (None, None) => true,
            _ => false,
        };
        self.database.is_same_content(&other.database)
            && same(&self.wal, &other.wal)
            && same(&self.journal, &other.journal)
    }

    /// Returns whether it may be trusted later, for a reading that began at `began`.
    pub fn is_settled(&self, began: Timestamp) -> bool {
        let settled = |stat: &Stat| {
            let ctime = if self.is_opened { stat.mtime } else { stat.ctime };
            Stat { ctime, ..*stat }.is_settled(began)
        };
        self.database.is_settled(began)
            && [&self.wal, &self.journal].into_iter().flatten().all(settled)
    }

    /// Returns 8 bytes of a hash, for a table of what was seen.
    ///
    /// Without companions it is the hash that an ordinary file with this metadata has there.
    pub fn digest(&self) -> u64 {
        let mut hasher = blake3::Hasher::new();
        for stat in self.stats() {
            hasher.update(&stat.size.to_le_bytes());
            hasher.update(&stat.inode.to_le_bytes());
            hasher.update(&stat.device.to_le_bytes());
            for time in [stat.mtime, stat.ctime] {
                hasher.update(&time.0.to_le_bytes());
                hasher.update(&time.1.to_le_bytes());
            }
        }
        // Which companion it is matters too.
        if self.wal.is_none() && self.journal.is_some() {
            hasher.update(b"journal");
        }
        let hash = hasher.finalize();
        hash.as_bytes().first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}
