//! The tables, and how a record goes into them.

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::fates::{self, Swept, insert_fates};

use crate::format::cbor;
use crate::format::pack::UnitEntry;
use crate::format::record::{Record, Snapshot};
use crate::id::{BlobId, ObjectHash, SnapshotId};
use crate::store::{ObjectName, RecordName};

/// Bases as they stand in a column: one id after the other, or nothing.
pub(super) fn joined(bases: &[BlobId]) -> Option<Vec<u8>> {
    (!bases.is_empty()).then(|| concatenated(bases.iter().map(|id| id.0)))
}

/// Ids as they stand in a column: one after the other.
fn concatenated<const N: usize>(ids: impl Iterator<Item = [u8; N]>) -> Vec<u8> {
    ids.flatten().collect()
}

/// Enters a record's place in its lane; returns how many rows are new.
pub(super) fn insert_place(
    connection: &Connection,
    name: &RecordName,
    record: &Record,
) -> rusqlite::Result<usize> {
    connection.execute(
        "INSERT OR IGNORE INTO record VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            name.hash.as_bytes(),
            name.lane.as_bytes(),
            name.sequence,
            name.global,
            record.written,
            record.previous.as_ref().map(ObjectHash::as_bytes),
            concatenated(record.view.iter().map(|tip| tip.0)),
        ],
    )
}

/// Enters a snapshot, unless it is there. `record` is the one that holds it, if it is known.
pub(super) fn insert_snapshot(
    connection: &Connection,
    id: &SnapshotId,
    snapshot: &Snapshot,
    body: &[u8],
    record: Option<&ObjectHash>,
) -> rusqlite::Result<()> {
    let head = sealed_head(snapshot);
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO snapshot (id, time, written, record, head, body) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            id.as_bytes(),
            snapshot.time,
            snapshot.written,
            record.map(ObjectHash::as_bytes),
            head,
            body
        ])
        .map(drop)
}

/// Returns a snapshot without what lies below its roots, behind a checksum.
fn sealed_head(snapshot: &Snapshot) -> Vec<u8> {
    let head = cbor::encode(&snapshot.head());
    let mut sealed = blake3::hash(&head).as_bytes().to_vec();
    sealed.extend_from_slice(&head);
    sealed
}

/// Returns the head within such bytes; `None` if they have changed on the disk.
pub(super) fn open_head(sealed: &[u8]) -> Option<Snapshot> {
    let (check, head) = sealed.split_first_chunk::<32>()?;
    (blake3::hash(head).as_bytes() == check).then(|| Snapshot::decode(head).ok()).flatten()
}

/// Enters what a record says, unless that was done before.
pub(super) fn insert_record(
    connection: &Connection,
    name: &RecordName,
    record: &Record,
    snapshot: Option<(SnapshotId, &Snapshot)>,
    swept: Swept,
) -> rusqlite::Result<()> {
    let inserted = insert_place(connection, name, record)?;
    if inserted == 0 {
        return Ok(());
    }
    if let (Some((id, snapshot)), Some(body)) = (snapshot, &record.snapshot) {
        insert_snapshot(connection, &id, snapshot, body, Some(&name.hash))?;
    }
    for mark in &record.marks {
        connection.execute(
            "INSERT INTO mark VALUES (?1, ?2, ?3, ?4)",
            params![
                name.hash.as_bytes(),
                mark.snapshot.as_bytes(),
                cbor::encode(mark),
                record.written
            ],
        )?;
    }
    if let Some(checkpoint) = &record.checkpoint {
        insert_checkpoint(connection, name, &checkpoint.records, &checkpoint.snapshots)?;
    }
    let own = ObjectName::Record(name.clone());
    insert_units(connection, &own, &record.inline, swept)?;
    for object in &record.entries {
        insert_units(connection, &ObjectName::Pack(object.object), &object.units, swept)?;
    }
    insert_fates(connection, name, record, swept)
}

/// Enters what a checkpoint replaces.
pub(super) fn insert_checkpoint(
    connection: &Connection,
    name: &RecordName,
    records: &[ObjectHash],
    snapshots: &[SnapshotId],
) -> rusqlite::Result<()> {
    connection
        .execute(
            "INSERT OR REPLACE INTO checkpoint VALUES (?1, ?2, ?3)",
            params![
                name.hash.as_bytes(),
                concatenated(records.iter().map(|hash| hash.0)),
                concatenated(snapshots.iter().map(|id| id.0)),
            ],
        )
        .map(|_| ())
}

pub(super) fn insert_units(
    connection: &Connection,
    object: &ObjectName,
    units: &[UnitEntry],
    swept: Swept,
) -> rusqlite::Result<()> {
    if units.is_empty() {
        return Ok(());
    }
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO object (hash, name, unreliable) SELECT ?1, ?2, \
             EXISTS (SELECT 1 FROM distrust WHERE hash = ?1) \
             OR EXISTS (SELECT 1 FROM condemned WHERE hash = ?1) \
             OR EXISTS (SELECT 1 FROM gone WHERE hash = ?1) \
             WHERE ?3 OR NOT EXISTS (SELECT 1 FROM gone WHERE hash = ?1)",
        )?
        .execute(params![object.hash().as_bytes(), object.to_string(), swept == Swept::Doubtful])?;
    let number: Option<i64> = connection
        .prepare_cached("SELECT number FROM object WHERE hash = ?1")?
        .query_row([object.hash().as_bytes()], |row| row.get(0))
        .optional()?;
    // What is swept does not come back, whoever names it.
    let Some(number) = number else { return Ok(()) };
    let mut insert_unit = connection
        .prepare_cached("INSERT OR IGNORE INTO unit VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?;
    let mut insert_blob =
        connection.prepare_cached("INSERT OR IGNORE INTO blob VALUES (?1, ?2, ?3, ?4, ?5)")?;
    let mut offset = crate::format::object::HEADER_LENGTH as u64;
    // Random keys into a B-tree are slow; in their own order they are not.
    let mut rows = Vec::new();
    for (unit_number, unit) in (0_u32..).zip(units) {
        insert_unit.execute(params![
            number,
            unit_number,
            offset,
            unit.stored_length,
            unit.raw_length(),
            unit.form,
            unit.kind,
            joined(&unit.bases),
            unit.depth
        ])?;
        offset = offset.saturating_add(unit.stored_length);
        let mut start = 0_u64;
        for (id, length) in unit.blobs.iter().zip(&unit.raw_lengths) {
            rows.push((*id, unit_number, start, *length));
            start = start.saturating_add(*length);
        }
    }
    rows.sort_unstable();
    for (id, unit, start, length) in rows {
        insert_blob.execute(params![id.as_bytes(), number, unit, start, length])?;
    }
    Ok(())
}

/// The table of snapshots: the one that holds content, that of small files. What is read of all of
/// them comes first in a row, so that the rest, which may be long, is not looked at.
pub(super) const SNAPSHOTS: &str = "CREATE TABLE IF NOT EXISTS snapshot (id BLOB PRIMARY KEY, \
    time INTEGER, written INTEGER, record BLOB, head BLOB, body BLOB) WITHOUT ROWID; \
    CREATE INDEX IF NOT EXISTS newest ON snapshot (time, written, id)";

/// Makes the tables that are not there.
pub(super) fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(32);
    // Else SQLite looks at what is bound and parses a prepared statement anew each time, which was
    // two thirds of what a lookup cost.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.execute_batch(
        "PRAGMA cache_size = -8192; PRAGMA temp_store = MEMORY; \
         CREATE TABLE IF NOT EXISTS record (hash BLOB PRIMARY KEY, lane BLOB, sequence INTEGER, \
           global INTEGER, written INTEGER, previous BLOB, view BLOB) WITHOUT ROWID; \
         CREATE TABLE IF NOT EXISTS mark (record BLOB, snapshot BLOB, body BLOB, \
           written INTEGER); \
         CREATE TABLE IF NOT EXISTS checkpoint (record BLOB PRIMARY KEY, records BLOB, \
           snapshots BLOB) WITHOUT ROWID; \
         CREATE TABLE IF NOT EXISTS object (number INTEGER PRIMARY KEY, hash BLOB UNIQUE, \
           name TEXT, unreliable INTEGER DEFAULT 0); \
         CREATE TABLE IF NOT EXISTS distrust (hash BLOB PRIMARY KEY) WITHOUT ROWID; \
         CREATE TABLE IF NOT EXISTS missing (hash BLOB PRIMARY KEY) WITHOUT ROWID; \
         CREATE TABLE IF NOT EXISTS unit (object INTEGER, number INTEGER, offset INTEGER, \
           stored INTEGER, raw INTEGER, form INTEGER, kind INTEGER, bases BLOB, depth INTEGER, \
           PRIMARY KEY (object, number)) WITHOUT ROWID; \
         CREATE TABLE IF NOT EXISTS blob (id BLOB, object INTEGER, unit INTEGER, \
           start INTEGER, length INTEGER, PRIMARY KEY (id, object, unit)) WITHOUT ROWID",
    )?;
    connection.execute_batch(SNAPSHOTS)?;
    connection.execute_batch(fates::TABLES)
}
