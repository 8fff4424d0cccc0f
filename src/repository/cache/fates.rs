//! What becomes of objects: condemned, swept, covered by a checkpoint, or held by a segment.
//!
//! Nothing here comes back: an object is present, then condemned, then swept
//! (`format-spec/8-order.md`).

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::tables::{SNAPSHOTS, insert_checkpoint, insert_place, insert_snapshot, insert_units};
use super::{Cache, wrap};
use crate::error::Result;
use crate::format::record::{Checkpoint, Record, Segment, Snapshot};
use crate::id::{LaneId, ObjectHash, SnapshotId};
use crate::store::{ObjectName, RecordName};

pub(super) const TABLES: &str = "\
    CREATE TABLE IF NOT EXISTS condemned (hash BLOB PRIMARY KEY, record BLOB) WITHOUT ROWID; \
    CREATE TABLE IF NOT EXISTS condemnation (record BLOB PRIMARY KEY) WITHOUT ROWID; \
    CREATE TABLE IF NOT EXISTS swept (condemnation BLOB, record BLOB, \
      PRIMARY KEY (condemnation, record)) WITHOUT ROWID; \
    CREATE TABLE IF NOT EXISTS gone (hash BLOB PRIMARY KEY) WITHOUT ROWID; \
    CREATE TABLE IF NOT EXISTS covered (hash BLOB PRIMARY KEY) WITHOUT ROWID; \
    CREATE TABLE IF NOT EXISTS segment (hash BLOB PRIMARY KEY) WITHOUT ROWID; \
    CREATE TABLE IF NOT EXISTS sweep (record BLOB PRIMARY KEY, written INTEGER) WITHOUT ROWID; \
    CREATE TABLE IF NOT EXISTS listing (time INTEGER); \
    CREATE TABLE IF NOT EXISTS verdict (record BLOB, verdict INTEGER, heal BLOB, \
      PRIMARY KEY (record, verdict, heal)) WITHOUT ROWID";

/// Empties the tables.
pub(super) const CLEAR: &str = "DELETE FROM condemned; DELETE FROM condemnation; \
    DELETE FROM swept; DELETE FROM gone; DELETE FROM covered; DELETE FROM segment; \
    DELETE FROM verdict; DELETE FROM listing; DELETE FROM sweep";

/// What it means here that an object is swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swept {
    /// It is gone for good.
    Gone,
    /// Somebody says so who may not be trusted: nobody relies on it, and readers try it last.
    Doubtful,
}

/// Enters what a record says about other objects.
pub(super) fn insert_fates(
    connection: &Connection,
    name: &RecordName,
    record: &Record,
    swept: Swept,
) -> rusqlite::Result<()> {
    if let Some(condemn) = &record.condemn {
        connection
            .execute("INSERT OR IGNORE INTO condemnation VALUES (?1)", [name.hash.as_bytes()])?;
        let mut enter =
            connection.prepare_cached("INSERT OR IGNORE INTO condemned VALUES (?1, ?2)")?;
        let mut mark = connection.prepare_cached(
            "UPDATE object SET unreliable = 1 WHERE hash = ?1 AND unreliable = 0",
        )?;
        for object in condemn.objects.iter() {
            enter.execute([object.as_bytes(), name.hash.as_bytes()])?;
            mark.execute([object.as_bytes()])?;
        }
    }
    if let Some(sweep) = &record.sweep {
        connection.execute(
            "INSERT OR IGNORE INTO sweep VALUES (?1, ?2)",
            params![name.hash.as_bytes(), record.written],
        )?;
        for condemnation in sweep.condemnations.iter() {
            connection.execute(
                "INSERT OR IGNORE INTO swept VALUES (?1, ?2)",
                [condemnation.as_bytes(), name.hash.as_bytes()],
            )?;
        }
        lose(connection, sweep.objects.iter(), swept)?;
    }
    if let Some(heal) = &record.heal {
        connection.execute(
            "INSERT OR IGNORE INTO verdict VALUES (?1, ?2, ?3)",
            params![heal.record.as_bytes(), heal.verdict, name.hash.as_bytes()],
        )?;
    }
    if let Some(checkpoint) = &record.checkpoint {
        let mut cover = connection.prepare_cached("INSERT OR IGNORE INTO covered VALUES (?1)")?;
        for hash in checkpoint.records.iter() {
            cover.execute([hash.as_bytes()])?;
        }
        lose(connection, checkpoint.gone.iter(), swept)?;
    }
    Ok(())
}

/// Takes objects that are swept out of the index, for good.
fn lose<'o>(
    connection: &Connection,
    objects: impl Iterator<Item = &'o ObjectHash>,
    swept: Swept,
) -> rusqlite::Result<()> {
    let mut enter = connection.prepare_cached("INSERT OR IGNORE INTO gone VALUES (?1)")?;
    let mut was_known = 0;
    let mut find = connection.prepare_cached("SELECT COUNT(*) FROM object WHERE hash = ?1")?;
    for object in objects {
        enter.execute([object.as_bytes()])?;
        was_known += find.query_row([object.as_bytes()], |row| row.get::<_, u64>(0))?;
    }
    if was_known == 0 {
        return Ok(());
    }
    if swept == Swept::Doubtful {
        let sql = "UPDATE object SET unreliable = 1 WHERE hash IN (SELECT hash FROM gone)";
        return connection.execute_batch(sql);
    }
    // One pass over the blobs for all of them.
    connection.execute_batch(
        "CREATE TEMP TABLE lost AS SELECT number FROM object WHERE hash IN (SELECT hash FROM gone); \
         DELETE FROM blob WHERE object IN (SELECT number FROM lost); \
         DELETE FROM unit WHERE object IN (SELECT number FROM lost); \
         DELETE FROM object WHERE number IN (SELECT number FROM lost); DROP TABLE lost",
    )
}

/// A record that was read once, and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownRecord {
    /// Its hash.
    pub hash: ObjectHash,
    /// Its lane.
    pub lane: LaneId,
    /// Its place in it.
    pub sequence: u64,
    /// When it was written (nanoseconds, UTC).
    pub written: i64,
}

impl Cache {
    /// Returns the records that were read.
    pub fn known_records(&self) -> Result<Vec<KnownRecord>> {
        let connection = self.lock();
        let mut statement = connection
            .prepare_cached("SELECT hash, lane, sequence, written FROM record")
            .map_err(wrap)?;
        let rows = statement
            .query_map([], |row| {
                Ok(KnownRecord {
                    hash: ObjectHash(row.get(0)?),
                    lane: LaneId(row.get(1)?),
                    sequence: row.get(2)?,
                    written: row.get(3)?,
                })
            })
            .map_err(wrap)?;
        rows.map(|row| row.map_err(wrap)).collect()
    }

    /// Returns the records that condemn something.
    pub fn condemnations(&self) -> Result<HashSet<ObjectHash>> {
        self.hashes("SELECT record FROM condemnation")
    }

    /// Returns which sweeps there were of each condemnation.
    pub fn sweeps(&self) -> Result<HashMap<ObjectHash, Vec<ObjectHash>>> {
        let connection = self.lock();
        let mut statement =
            connection.prepare_cached("SELECT condemnation, record FROM swept").map_err(wrap)?;
        let rows = statement
            .query_map([], |row| Ok((ObjectHash(row.get(0)?), ObjectHash(row.get(1)?))))
            .map_err(wrap)?;
        let mut sweeps: HashMap<ObjectHash, Vec<ObjectHash>> = HashMap::new();
        for row in rows {
            let (condemnation, sweep) = row.map_err(wrap)?;
            sweeps.entry(condemnation).or_default().push(sweep);
        }
        Ok(sweeps)
    }

    /// Returns each condemned object with the record that condemned it.
    pub fn condemned(&self) -> Result<HashMap<ObjectHash, ObjectHash>> {
        let connection = self.lock();
        let mut statement =
            connection.prepare_cached("SELECT hash, record FROM condemned").map_err(wrap)?;
        let rows = statement
            .query_map([], |row| Ok((ObjectHash(row.get(0)?), ObjectHash(row.get(1)?))))
            .map_err(wrap)?;
        rows.map(|row| row.map_err(wrap)).collect()
    }

    /// Returns what was said of records that came late or can't be had: 1 whole, 2 made whole, 3 not.
    pub fn verdicts(&self) -> Result<HashMap<ObjectHash, u64>> {
        let connection = self.lock();
        let mut statement = connection
            .prepare_cached("SELECT record, MIN(verdict) FROM verdict GROUP BY record")
            .map_err(wrap)?;
        let rows = statement
            .query_map([], |row| Ok((ObjectHash(row.get(0)?), row.get::<_, u64>(1)?)))
            .map_err(wrap)?;
        rows.map(|row| row.map_err(wrap)).collect()
    }

    /// Returns each heal: its own record, the record that it is about, and the verdict.
    pub fn heals(&self) -> Result<Vec<(ObjectHash, ObjectHash, u64)>> {
        let connection = self.lock();
        let mut statement =
            connection.prepare_cached("SELECT heal, record, verdict FROM verdict").map_err(wrap)?;
        let rows = statement
            .query_map([], |row| {
                Ok((ObjectHash(row.get(0)?), ObjectHash(row.get(1)?), row.get::<_, u64>(2)?))
            })
            .map_err(wrap)?;
        rows.map(|row| row.map_err(wrap)).collect()
    }

    pub(super) fn hashes(&self, sql: &str) -> Result<HashSet<ObjectHash>> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(sql).map_err(wrap)?;
        let rows = statement.query_map([], |row| row.get(0).map(ObjectHash)).map_err(wrap)?;
        rows.map(|row| row.map_err(wrap)).collect()
    }

    /// Returns the objects that are swept.
    pub fn gone(&self) -> Result<HashSet<ObjectHash>> {
        self.hashes("SELECT hash FROM gone")
    }

    /// Returns the records that a checkpoint covers.
    pub fn covered(&self) -> Result<HashSet<ObjectHash>> {
        self.hashes("SELECT hash FROM covered")
    }

    /// Returns when all packs were listed last and what is missing was distrusted (nanoseconds, UTC).
    pub fn packs_listed(&self) -> Result<Option<i64>> {
        self.lock().query_row("SELECT MAX(time) FROM listing", [], |row| row.get(0)).map_err(wrap)
    }

    /// Notes that all packs were listed, and what is missing was distrusted.
    pub fn note_listing(&self, time: i64) -> Result<()> {
        self.lock().execute("INSERT INTO listing VALUES (?1)", [time]).map(|_| ()).map_err(wrap)
    }

    /// Returns whether a checkpoint covers a record.
    pub fn covers(&self, record: &ObjectHash) -> Result<bool> {
        let connection = self.lock();
        connection
            .query_row(
                "SELECT EXISTS (SELECT 1 FROM covered WHERE hash = ?1)",
                [record.as_bytes()],
                |row| row.get(0),
            )
            .map_err(wrap)
    }

    /// Returns each snapshot with the record that held it, unless it came in a segment.
    pub fn snapshot_records(&self) -> Result<Vec<(SnapshotId, Option<ObjectHash>)>> {
        let connection = self.lock();
        let mut statement =
            connection.prepare_cached("SELECT id, record FROM snapshot").map_err(wrap)?;
        let rows = statement
            .query_map([], |row| {
                let record: Option<[u8; 32]> = row.get(1)?;
                Ok((SnapshotId(row.get(0)?), record.map(ObjectHash)))
            })
            .map_err(wrap)?;
        rows.map(|row| row.map_err(wrap)).collect()
    }

    /// Returns a snapshot's encoding.
    pub fn snapshot_body(&self, id: &SnapshotId) -> Result<Option<Vec<u8>>> {
        self.lock()
            .prepare_cached("SELECT body FROM snapshot WHERE id = ?1")
            .and_then(|mut statement| {
                statement.query_row([id.as_bytes()], |row| row.get(0)).optional()
            })
            .map_err(wrap)
    }

    /// Returns the segments whose content is known.
    pub fn segments(&self) -> Result<HashSet<ObjectHash>> {
        self.hashes("SELECT hash FROM segment")
    }

    /// Returns whether something was found missing or damaged here, beside what is condemned.
    pub fn has_distrusted(&self) -> Result<bool> {
        let sql = "SELECT hash FROM distrust WHERE hash IN (SELECT hash FROM object) LIMIT 1";
        self.hashes(sql).map(|found| !found.is_empty())
    }

    /// Returns the objects that were found missing or damaged here.
    pub fn distrusted(&self) -> Result<Vec<ObjectHash>> {
        self.hashes("SELECT hash FROM distrust").map(|found| found.into_iter().collect())
    }

    /// Notes that what a segment holds is known already.
    pub fn know_segments(&self, segments: &[ObjectHash]) -> Result<()> {
        let connection = self.lock();
        for hash in segments {
            connection
                .execute("INSERT OR IGNORE INTO segment VALUES (?1)", [hash.as_bytes()])
                .map_err(wrap)?;
        }
        Ok(())
    }

    /// Enters a segment, in one transaction: where blobs are, and those snapshots that live.
    pub fn apply_segment(
        &self,
        hash: &ObjectHash,
        segment: &Segment,
        snapshots: &[(SnapshotId, Snapshot, &[u8])],
    ) -> Result<()> {
        let mut connection = self.lock();
        let transaction = connection.transaction().map_err(wrap)?;
        for entry in &segment.entries {
            let pack = ObjectName::Pack(entry.object);
            insert_units(&transaction, &pack, &entry.units, self.swept).map_err(wrap)?;
        }
        for (id, snapshot, body) in snapshots {
            insert_snapshot(&transaction, id, snapshot, body, None).map_err(wrap)?;
        }
        transaction
            .execute("INSERT OR IGNORE INTO segment VALUES (?1)", [hash.as_bytes()])
            .map_err(wrap)?;
        transaction.commit().map_err(wrap)
    }

    /// Enters the place in its lane of a record that a checkpoint covers, and what it says about the
    /// fates of objects. Its other words are the checkpoint's now.
    pub fn note_record(&self, name: &RecordName, record: &Record) -> Result<()> {
        let connection = self.lock();
        insert_place(&connection, name, record)
            .and_then(|_| insert_fates(&connection, name, record, self.swept))
            .map_err(wrap)
    }

    /// Notes what holds of a checkpoint that lacks a segment: which objects are gone, and which
    /// snapshots live. It covers nothing.
    pub fn note_unsupported(&self, name: &RecordName, checkpoint: &Checkpoint) -> Result<()> {
        let connection = self.lock();
        lose(&connection, checkpoint.gone.iter(), self.swept)
            .and_then(|()| insert_checkpoint(&connection, name, &[], &checkpoint.snapshots))
            .map_err(wrap)
    }

    /// Drops snapshots whose records a checkpoint covers, and that no checkpoint holds to be alive.
    /// One that another checkpoint covers has no say: whoever wrote that knew better.
    ///
    /// Snapshots hold small files, which may have been purged: nothing of what is dropped stays in
    /// the file. So the table is made anew, since a row that was moved leaves its bytes behind.
    pub fn drop_dead_snapshots(&self) -> Result<()> {
        let covered = self.covered()?;
        let alive: HashSet<SnapshotId> = self
            .replaced()?
            .into_iter()
            .filter(|replaced| !covered.contains(&replaced.checkpoint))
            .flat_map(|replaced| replaced.snapshots)
            .collect();
        let is_dead = |(id, record): &(SnapshotId, Option<ObjectHash>)| {
            !alive.contains(id) && record.is_none_or(|record| covered.contains(&record))
        };
        let dead: Vec<_> = self.snapshot_records()?.into_iter().filter(is_dead).collect();
        if dead.is_empty() {
            return Ok(());
        }
        let mut connection = self.lock();
        let transaction = connection.transaction().map_err(wrap)?;
        for (id, _) in dead {
            transaction
                .execute("DELETE FROM snapshot WHERE id = ?1", [id.as_bytes()])
                .map_err(wrap)?;
        }
        transaction
            .execute_batch(
                "ALTER TABLE snapshot RENAME TO old_snapshot; DROP INDEX IF EXISTS newest",
            )
            .and_then(|()| transaction.execute_batch(SNAPSHOTS))
            .and_then(|()| {
                transaction.execute_batch(
                    "INSERT INTO snapshot SELECT * FROM old_snapshot; DROP TABLE old_snapshot",
                )
            })
            .and_then(|()| transaction.commit())
            .map_err(wrap)?;
        // Another process that reads may keep the file of what was written last from being emptied:
        // whoever writes next does it then.
        connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").map_err(wrap)
    }
}
