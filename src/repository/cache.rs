//! The local copy of what the log says: records, snapshots, and where blobs are.
//!
//! A SQLite file that is a pure function of the log: one transaction for each record, safe to
//! delete at any moment, rebuilt on any doubt, and never an input to deletion. Beside it stands
//! which objects were found damaged here; forgetting that costs nothing but another look. Without a cache
//! folder the same tables live in memory. One connection behind a lock; no call holds it across
//! store I/O. It holds in the clear what snapshots hold; of those that are gone nothing stays in it.

mod chains;
mod clutter;
mod contents;
mod fates;
mod places;
mod said;
mod tables;

pub use clutter::{Clutter, ClutterQuestion, Turn};
pub use contents::{BlobRow, PlaceRow};
pub use fates::{KnownRecord, Swept};

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use chains::Chain;
use rusqlite::{Connection, OptionalExtension as _};
use tables::{insert_record, prepare};

use super::marks::Forgotten;
use crate::error::{Error, Result};
use crate::format::pack::{BlobKind, UnitForm};
use crate::format::record::{Record, Snapshot};
use crate::id::{BlobId, ObjectHash, RepositoryId, SnapshotId};
use crate::store::{ObjectName, RecordName};

/// Raised whenever the tables change; an older file is then rebuilt.
const SCHEMA: i64 = 6;
/// Stands in the place of the number in a file that is to be made anew.
const DOUBTED: i64 = -1;
/// The file's name in the repository's folder.
const FILE: &str = "index.sqlite";

/// Where one blob is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The object that holds it.
    pub object: ObjectName,
    /// The number of the unit within the object.
    pub unit: u32,
    /// Where the unit begins in the object, in bytes.
    pub offset: u64,
    /// The unit's length as stored, in bytes.
    pub stored_length: u64,
    /// The unit's length when decompressed, in bytes.
    pub unit_length: u64,
    /// The unit's form.
    pub form: UnitForm,
    /// The kind of its blobs.
    pub kind: BlobKind,
    /// The blobs that the unit is a difference from.
    pub bases: Vec<BlobId>,
    /// Where the blob begins in the decompressed unit, in bytes.
    pub start: u64,
    /// The blob's length in bytes.
    pub length: u64,
    /// Whether a new record may rely on the object.
    pub is_reliable: bool,
}

/// A snapshot with what was said about it later.
#[derive(Debug, Clone, PartialEq)]
pub struct SnapshotEntry {
    /// Its id.
    pub id: SnapshotId,
    /// What it says, with the tags that it has now.
    pub snapshot: Snapshot,
    /// Since when it is forgotten, if it is.
    pub forgotten: Option<Forgotten>,
    /// Whether it is pinned.
    pub pinned: bool,
}

/// The tables. See the module's head.
pub struct Cache {
    connection: Mutex<Connection>,
    folder: Option<PathBuf>,
    swept: Swept,
}

/// Returns whether an error says that the cache itself is damaged, so that a new one would help.
pub fn is_damage(error: &Error) -> bool {
    use rusqlite::ErrorCode::{ConstraintViolation, DatabaseCorrupt, NotADatabase, TypeMismatch};
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        match error.downcast_ref::<rusqlite::Error>() {
            Some(rusqlite::Error::SqliteFailure(failure, _)) => {
                let codes = [ConstraintViolation, DatabaseCorrupt, NotADatabase, TypeMismatch];
                // What is too short was cut.
                return codes.contains(&failure.code)
                    || failure.extended_code == rusqlite::ffi::SQLITE_IOERR_SHORT_READ;
            }
            Some(
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::Utf8Error(..),
            ) => return true,
            _ => cause = error.source(),
        }
    }
    false
}

fn wrap(error: rusqlite::Error) -> Error {
    Error::failed("cannot use the local cache")
        .source(error)
        .hint("it holds nothing of its own: delete the cache folder, or add `--no-cache`")
}

impl Cache {
    /// Opens the cache of a repository below `folder`, making it anew on any doubt; without a
    /// folder, or if the folder can't be written, it lives in memory. `swept` must be the same each time.
    pub fn open(folder: Option<&Path>, repository: &RepositoryId, swept: Swept) -> Result<Cache> {
        let folder = folder.map(|folder| folder.join(repository.to_string()));
        let connection = match folder.as_deref().map(open_file) {
            Some(Ok(connection)) => connection,
            _ => in_memory()?,
        };
        Ok(Cache { connection: Mutex::new(connection), folder, swept })
    }

    /// Throws everything away, the file too, and begins anew.
    pub fn renew(&self) -> Result<()> {
        let mut connection = self.lock();
        // The old file is closed before it is removed.
        *connection = in_memory()?;
        if let Some(folder) = &self.folder
            && remove_files(&folder.join(FILE)).is_ok()
            && let Ok(file) = open_file(folder)
        {
            *connection = file;
        }
        Ok(())
    }

    /// Lets whoever opens the file next make it anew: something that it led to was not there.
    pub fn doubt(&self) {
        // A file that can't be written is no worse than before.
        let _marked = self.lock().execute_batch(&format!("PRAGMA user_version = {DOUBTED}"));
    }

    /// Returns an empty cache that nobody else sees: in memory, and beyond a few MiB in a file that
    /// has no name.
    pub fn temporary() -> Result<Cache> {
        let connection = Connection::open("").map_err(wrap)?;
        // It is never rolled back, and never read by a later run.
        connection
            .execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
            .map_err(wrap)?;
        prepare(&connection).map_err(wrap)?;
        Ok(Cache { connection: Mutex::new(connection), folder: None, swept: Swept::Gone })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the hashes of the records that have been applied.
    pub fn records(&self) -> Result<std::collections::HashSet<ObjectHash>> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached("SELECT hash FROM record").map_err(wrap)?;
        let rows = statement.query_map([], |row| row.get::<_, [u8; 32]>(0)).map_err(wrap)?;
        rows.map(|row| row.map(ObjectHash).map_err(wrap)).collect()
    }

    /// Applies one record, in one transaction. `length` is the object's length in bytes.
    pub fn apply(
        &self,
        name: &RecordName,
        record: &Record,
        snapshot: Option<(SnapshotId, &Snapshot)>,
    ) -> Result<()> {
        let mut connection = self.lock();
        let transaction = connection.transaction().map_err(wrap)?;
        insert_record(&transaction, name, record, snapshot, self.swept).map_err(wrap)?;
        transaction.commit().map_err(wrap)
    }

    /// Forgets everything but what was found damaged, as when a listing no longer shows what was applied.
    pub fn clear(&self) -> Result<()> {
        let connection = self.lock();
        connection
            .execute_batch(
                "BEGIN; DELETE FROM record; DELETE FROM snapshot; DELETE FROM mark; \
                 DELETE FROM checkpoint; DELETE FROM object; DELETE FROM unit; DELETE FROM blob",
            )
            .and_then(|()| connection.execute_batch(fates::CLEAR))
            .and_then(|()| connection.execute_batch("COMMIT"))
            .map_err(wrap)
    }

    /// Returns whether no blob is known at all.
    pub fn is_empty(&self) -> Result<bool> {
        self.lock()
            .query_row("SELECT 1 FROM blob LIMIT 1", [], |_| Ok(()))
            .optional()
            .map(|row| row.is_none())
            .map_err(wrap)
    }

    /// Returns the objects that hold blobs, with the length that their units reach to.
    pub fn objects(&self) -> Result<Vec<(ObjectName, u64)>> {
        let connection = self.lock();
        let mut statement = connection
            .prepare_cached(
                "SELECT object.name, MAX(unit.offset + unit.stored) FROM object \
                 JOIN unit ON unit.object = object.number GROUP BY object.number",
            )
            .map_err(wrap)?;
        let rows = statement
            .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, u64>(1)?)))
            .map_err(wrap)?;
        rows.filter_map(|row| match row {
            Ok((name, length)) => ObjectName::parse(&name).map(|name| Ok((name, length))),
            Err(error) => Some(Err(wrap(error))),
        })
        .collect()
    }

    /// Returns the objects on which no new record may rely.
    pub fn unreliable(&self) -> Result<Vec<ObjectHash>> {
        let connection = self.lock();
        let mut statement = connection
            .prepare_cached("SELECT hash FROM object WHERE unreliable = 1")
            .map_err(wrap)?;
        let rows = statement.query_map([], |row| row.get(0).map(ObjectHash)).map_err(wrap)?;
        rows.map(|row| row.map_err(wrap)).collect()
    }

    /// Returns the blobs of an object.
    pub fn blobs_of(&self, object: &ObjectHash) -> Result<Vec<BlobId>> {
        let connection = self.lock();
        let mut statement = connection
            .prepare_cached(
                "SELECT blob.id FROM blob JOIN object ON object.number = blob.object \
                 WHERE object.hash = ?1",
            )
            .map_err(wrap)?;
        let rows = statement
            .query_map([object.as_bytes()], |row| row.get::<_, [u8; 32]>(0))
            .map_err(wrap)?;
        rows.map(|row| row.map(BlobId).map_err(wrap)).collect()
    }

    /// Returns the blobs whose hex id begins with `prefix`, nine at most; none if it is no hex.
    pub fn blobs_beginning(&self, prefix: &str) -> Result<Vec<BlobId>> {
        let hex = prefix.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !hex || prefix.is_empty() || prefix.len() > 2 * BlobId::LEN {
            return Ok(Vec::new());
        }
        let bound = |fill: char| {
            let mut text = prefix.to_owned();
            text.extend(std::iter::repeat_n(fill, (2 * BlobId::LEN).saturating_sub(prefix.len())));
            crate::id::from_hex::<32>(&text).unwrap_or_default()
        };
        let connection = self.lock();
        let mut statement = connection
            .prepare_cached("SELECT DISTINCT id FROM blob WHERE id BETWEEN ?1 AND ?2 LIMIT 9")
            .map_err(wrap)?;
        let rows = statement
            .query_map([bound('0'), bound('f')], |row| row.get::<_, [u8; 32]>(0))
            .map_err(wrap)?;
        rows.map(|row| row.map(BlobId).map_err(wrap)).collect()
    }

    /// Marks objects as nothing that a new record may rely on.
    pub fn distrust(&self, objects: &[ObjectHash]) -> Result<()> {
        let mut connection = self.lock();
        let transaction = connection.transaction().map_err(wrap)?;
        for object in objects {
            transaction
                .execute("UPDATE object SET unreliable = 1 WHERE hash = ?1", [object.as_bytes()])
                .map_err(wrap)?;
            transaction
                .execute("INSERT OR IGNORE INTO distrust VALUES (?1)", [object.as_bytes()])
                .map_err(wrap)?;
            // What is found damaged is not good again by being there.
            transaction
                .execute("DELETE FROM missing WHERE hash = ?1", [object.as_bytes()])
                .map_err(wrap)?;
        }
        transaction.commit().map_err(wrap)
    }

    /// Marks packs that are missing as nothing to rely on, until they are found again.
    pub fn note_missing(&self, packs: &[ObjectHash]) -> Result<()> {
        self.distrust(packs)?;
        let connection = self.lock();
        for pack in packs {
            connection
                .execute("INSERT OR IGNORE INTO missing VALUES (?1)", [pack.as_bytes()])
                .map_err(wrap)?;
        }
        Ok(())
    }

    /// Relies again on packs that were missing and are there now.
    pub fn note_found(&self, packs: &[ObjectHash]) -> Result<()> {
        let mut connection = self.lock();
        let transaction = connection.transaction().map_err(wrap)?;
        for pack in packs {
            for sql in [
                "DELETE FROM missing WHERE hash = ?1",
                "DELETE FROM distrust WHERE hash = ?1",
                "UPDATE object SET unreliable = 0 WHERE hash = ?1 \
                 AND NOT EXISTS (SELECT 1 FROM condemned WHERE hash = ?1) \
                 AND NOT EXISTS (SELECT 1 FROM gone WHERE hash = ?1)",
            ] {
                transaction.execute(sql, [pack.as_bytes()]).map_err(wrap)?;
            }
        }
        transaction.commit().map_err(wrap)
    }

    /// Returns the packs that were missing when all were listed last.
    pub fn missing(&self) -> Result<Vec<ObjectHash>> {
        self.hashes("SELECT hash FROM missing").map(|found| found.into_iter().collect())
    }

    /// Returns sums over the index: objects, units, blobs, stored bytes, raw bytes.
    pub fn totals(&self) -> Result<Totals> {
        let connection = self.lock();
        let one = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, u64>(0));
        Ok(Totals {
            objects: one("SELECT COUNT(*) FROM object").map_err(wrap)?,
            units: one("SELECT COUNT(*) FROM unit").map_err(wrap)?,
            blobs: one("SELECT COUNT(DISTINCT id) FROM blob").map_err(wrap)?,
            stored_bytes: one("SELECT COALESCE(SUM(stored), 0) FROM unit").map_err(wrap)?,
            raw_bytes: one("SELECT COALESCE(SUM(raw), 0) FROM unit").map_err(wrap)?,
        })
    }
}

/// Sums over the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Objects that hold units.
    pub objects: u64,
    /// Units.
    pub units: u64,
    /// Blobs, each counted once.
    pub blobs: u64,
    /// Bytes of all units as stored.
    pub stored_bytes: u64,
    /// Bytes of all units when decompressed.
    pub raw_bytes: u64,
}

fn bases(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Vec<BlobId>> {
    let joined: Option<Vec<u8>> = row.get(column)?;
    let joined = joined.unwrap_or_default();
    Ok(joined.as_chunks::<{ BlobId::LEN }>().0.iter().map(|id| BlobId(*id)).collect())
}

fn in_memory() -> Result<Connection> {
    let connection = Connection::open_in_memory().map_err(wrap)?;
    prepare(&connection).map_err(wrap)?;
    Ok(connection)
}

/// Opens the file, and makes it anew if it is of another version or damaged.
fn open_file(folder: &Path) -> std::result::Result<Connection, Box<dyn std::error::Error>> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let path = folder.join(FILE);
    match try_file(&path) {
        Ok(connection) => Ok(connection),
        Err(rusqlite::Error::SqliteFailure(failure, _))
            if failure.code == rusqlite::ErrorCode::DatabaseBusy =>
        {
            Err("another process rebuilds it".into())
        }
        Err(_) => {
            remove_files(&path)?;
            Ok(try_file(&path)?)
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the cache owns its folder")]
fn remove_files(path: &Path) -> std::io::Result<()> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(PathBuf::from(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn try_file(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(std::time::Duration::from_secs(30))?;
    // What is deleted is written over: it may have been purged.
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON",
    )?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version != 0 && version != SCHEMA {
        return Err(rusqlite::Error::InvalidQuery);
    }
    prepare(&connection)?;
    if version == 0 {
        connection.execute_batch(&format!("PRAGMA user_version = {SCHEMA}"))?;
    }
    Ok(connection)
}
