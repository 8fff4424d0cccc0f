//! What one run must remember of more blobs than fit into memory: which are wanted and where they
//! are, and what others are called.
//!
//! Tables in a SQLite file without a name, gone with the run: a few MiB stay in memory, the rest on
//! the disk. One thread.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::cache::Place;
use crate::error::{Error, Result};
use crate::id::BlobId;
use crate::store::ObjectName;

/// Rows that are read at a time.
const PAGE_ROWS: u32 = 512;

/// A blob that is wanted, and the unit that it is taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// How many differences lie one upon another at this place: bases have a lower rank.
    pub rank: u64,
    /// The object.
    pub object: ObjectName,
    /// The unit's number within it.
    pub unit: u32,
    /// Where the blob begins in the decompressed unit, in bytes.
    pub start: u64,
    /// The blob.
    pub id: BlobId,
}

/// The tables. See the module's head.
pub struct Ledger {
    connection: Connection,
}

fn wrap(error: rusqlite::Error) -> Error {
    Error::failed("cannot keep a list on the disk")
        .source(error)
        .hint("it lies in the temporary folder: is there space?")
}

impl Ledger {
    /// Returns an empty ledger.
    pub fn new() -> Result<Ledger> {
        let connection = Connection::open("").map_err(wrap)?;
        connection
            .execute_batch(
                "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -8192; \
                 CREATE TABLE wanted (rank INTEGER, object TEXT, unit INTEGER, start INTEGER, \
                   id BLOB, PRIMARY KEY (rank, object, unit, start)) WITHOUT ROWID; \
                 CREATE TABLE depth (id BLOB PRIMARY KEY, depth INTEGER) WITHOUT ROWID; \
                 CREATE TABLE name (old BLOB PRIMARY KEY, new BLOB) WITHOUT ROWID",
            )
            .map_err(wrap)?;
        Ok(Ledger { connection })
    }

    /// Notes that a blob is wanted from this place.
    pub fn want(&self, rank: u64, place: &Place, id: &BlobId) -> Result<()> {
        self.connection
            .prepare_cached("INSERT OR IGNORE INTO wanted VALUES (?1, ?2, ?3, ?4, ?5)")
            .and_then(|mut statement| {
                statement.execute(params![
                    rank,
                    place.object.to_string(),
                    place.unit,
                    place.start,
                    id.as_bytes()
                ])
            })
            .map(drop)
            .map_err(wrap)
    }

    /// Returns the next wanted blobs behind `last`, ranks ascending and then as they lie.
    pub fn wanted_after(&self, last: Option<&Wanted>) -> Result<Vec<Wanted>> {
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT rank, object, unit, start, id FROM wanted \
                 WHERE (rank, object, unit, start) > (?1, ?2, ?3, ?4) \
                 ORDER BY rank, object, unit, start LIMIT ?5",
            )
            .map_err(wrap)?;
        let object = last.map(|last| last.object.to_string()).unwrap_or_default();
        let rank = last.map_or(-1, |last| i64::try_from(last.rank).unwrap_or(i64::MAX));
        let (unit, start) = last.map_or((0, 0), |last| (last.unit, last.start));
        let rows = statement
            .query_map(params![rank, object, unit, start, PAGE_ROWS], |row| {
                let name: String = row.get(1)?;
                Ok((row.get(0)?, name, row.get(2)?, row.get(3)?, BlobId(row.get(4)?)))
            })
            .map_err(wrap)?;
        let mut wanted = Vec::new();
        for row in rows {
            let (rank, name, unit, start, id) = row.map_err(wrap)?;
            let object = ObjectName::parse(&name)
                .ok_or_else(|| Error::failed("a list on the disk has changed"))?;
            wanted.push(Wanted { rank, object, unit, start, id });
        }
        Ok(wanted)
    }

    /// Forgets what is wanted.
    pub fn clear_wanted(&self) -> Result<()> {
        self.connection.execute_batch("DELETE FROM wanted; DELETE FROM depth").map_err(wrap)
    }

    /// Notes how many differences lie below a blob that was stored just now.
    pub fn note_depth(&self, id: &BlobId, depth: u64) -> Result<()> {
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO depth VALUES (?1, ?2)")
            .and_then(|mut statement| statement.execute(params![id.as_bytes(), depth]))
            .map(drop)
            .map_err(wrap)
    }

    /// Returns what was noted.
    pub fn find_depth(&self, id: &BlobId) -> Result<Option<u64>> {
        self.connection
            .prepare_cached("SELECT depth FROM depth WHERE id = ?1")
            .and_then(|mut statement| {
                statement.query_row([id.as_bytes()], |row| row.get(0)).optional()
            })
            .map_err(wrap)
    }

    /// Notes what a blob is called elsewhere.
    pub fn note_name(&self, old: &BlobId, new: &BlobId) -> Result<()> {
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO name VALUES (?1, ?2)")
            .and_then(|mut statement| statement.execute([old.as_bytes(), new.as_bytes()]))
            .map(drop)
            .map_err(wrap)
    }

    /// Returns what a blob is called elsewhere.
    pub fn find_name(&self, old: &BlobId) -> Result<Option<BlobId>> {
        self.connection
            .prepare_cached("SELECT new FROM name WHERE old = ?1")
            .and_then(|mut statement| {
                statement.query_row([old.as_bytes()], |row| row.get(0).map(BlobId)).optional()
            })
            .map_err(wrap)
    }

    /// Forgets all names.
    pub fn clear_names(&self) -> Result<()> {
        self.connection.execute_batch("DELETE FROM name").map_err(wrap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::pack::{BlobKind, UnitForm};
    use crate::id::ObjectHash;

    fn place(object: u8, unit: u32, start: u64) -> Place {
        Place {
            object: ObjectName::Pack(ObjectHash([object; 32])),
            unit,
            offset: 80,
            stored_length: 20,
            unit_length: 4,
            form: UnitForm::Raw,
            kind: BlobKind::Data,
            bases: Vec::new(),
            start,
            length: 4,
            is_reliable: true,
        }
    }

    #[test]
    fn what_is_wanted_comes_by_rank_and_then_as_it_lies_each_once() {
        let ledger = Ledger::new().unwrap();
        let count = PAGE_ROWS + 9;
        for unit in (0..count).rev() {
            let id = BlobId([u8::try_from(unit % 256).unwrap(); 32]);
            ledger.want(u64::from(unit == 3), &place(1, unit, 0), &id).unwrap();
            ledger.want(u64::from(unit == 3), &place(1, unit, 0), &id).unwrap();
        }
        let mut units = Vec::new();
        let mut last: Option<Wanted> = None;
        loop {
            let page = ledger.wanted_after(last.as_ref()).unwrap();
            let Some(row) = page.last() else { break };
            last = Some(row.clone());
            units.extend(page.iter().map(|row| row.unit));
        }
        let mut expected: Vec<u32> = (0..count).filter(|unit| *unit != 3).collect();
        expected.push(3);
        assert_eq!(units, expected);
        ledger.clear_wanted().unwrap();
        assert!(ledger.wanted_after(None).unwrap().is_empty());
    }
}
