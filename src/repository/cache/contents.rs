//! What the index says one object holds: what a check compares with the object itself.

use rusqlite::{OptionalExtension as _, params};

use super::{Cache, joined, wrap};
use crate::error::Result;
use crate::format::pack::{BlobKind, UnitEntry};
use crate::id::{BlobId, ObjectHash};

impl Cache {
    /// Returns whether a blob has any place, reliable or not.
    pub fn knows(&self, id: &BlobId) -> Result<bool> {
        let connection = self.lock();
        let mut statement =
            connection.prepare_cached("SELECT 1 FROM blob WHERE id = ?1 LIMIT 1").map_err(wrap)?;
        let row = statement.query_row([id.as_bytes()], |_| Ok(())).optional();
        row.map(|row| row.is_some()).map_err(wrap)
    }

    /// Returns whether some object is nothing that a new record may rely on.
    pub fn has_unreliable(&self) -> Result<bool> {
        let connection = self.lock();
        let row = connection
            .query_row("SELECT 1 FROM object WHERE unreliable = 1 LIMIT 1", [], |_| Ok(()))
            .optional();
        row.map(|row| row.is_some()).map_err(wrap)
    }

    /// Returns whether the index says of an object what its own table says. Memory: none beyond
    /// the table.
    pub fn agrees(&self, object: &ObjectHash, units: &[UnitEntry]) -> Result<bool> {
        let connection = self.lock();
        let number: Option<i64> = connection
            .prepare_cached("SELECT number FROM object WHERE hash = ?1")
            .and_then(|mut statement| {
                statement.query_row([object.as_bytes()], |row| row.get(0)).optional()
            })
            .map_err(wrap)?;
        let Some(number) = number else { return Ok(false) };
        let known: i64 = connection
            .prepare_cached("SELECT COUNT(*) FROM unit WHERE object = ?1")
            .and_then(|mut statement| statement.query_row([number], |row| row.get(0)))
            .map_err(wrap)?;
        if usize::try_from(known) != Ok(units.len()) {
            return Ok(false);
        }
        let mut find_unit = connection
            .prepare_cached(
                "SELECT 1 FROM unit WHERE object = ?1 AND number = ?2 AND offset = ?3 AND \
                 stored = ?4 AND raw = ?5 AND form = ?6 AND kind = ?7 AND bases IS ?8",
            )
            .map_err(wrap)?;
        let mut find_blob = connection
            .prepare_cached("SELECT length FROM blob WHERE id = ?1 AND object = ?2 AND unit = ?3")
            .map_err(wrap)?;
        let mut offset = crate::format::object::HEADER_LENGTH as u64;
        for (unit_number, unit) in (0_u32..).zip(units) {
            let found = find_unit
                .query_row(
                    params![
                        number,
                        unit_number,
                        offset,
                        unit.stored_length,
                        unit.raw_length(),
                        unit.form,
                        unit.kind,
                        joined(&unit.bases)
                    ],
                    |_| Ok(()),
                )
                .optional()
                .map_err(wrap)?;
            if found.is_none() {
                return Ok(false);
            }
            for (id, length) in unit.blobs.iter().zip(&unit.raw_lengths) {
                let known: Option<u64> = find_blob
                    .query_row(params![id.as_bytes(), number, unit_number], |row| row.get(0))
                    .optional()
                    .map_err(wrap)?;
                if known != Some(*length) {
                    return Ok(false);
                }
            }
            offset = offset.saturating_add(unit.stored_length);
        }
        Ok(true)
    }

    /// Returns the blobs of an object with their kinds, unit by unit. Looks through the whole
    /// index: for objects that are damaged, which are few.
    pub fn blobs_in(&self, object: &ObjectHash) -> Result<Vec<(BlobKind, BlobId)>> {
        let connection = self.lock();
        let mut statement = connection
            .prepare_cached(
                "SELECT unit.kind, blob.id FROM blob \
                 JOIN object ON object.number = blob.object \
                 JOIN unit ON unit.object = blob.object AND unit.number = blob.unit \
                 WHERE object.hash = ?1 ORDER BY blob.unit, blob.start",
            )
            .map_err(wrap)?;
        let rows = statement
            .query_map([object.as_bytes()], |row| {
                Ok((row.get::<_, u64>(0)?, row.get::<_, [u8; 32]>(1)?))
            })
            .map_err(wrap)?;
        let mut blobs = Vec::new();
        for row in rows {
            let (kind, id) = row.map_err(wrap)?;
            if let Ok(kind) = BlobKind::from_number(kind) {
                blobs.push((kind, BlobId(id)));
            }
        }
        Ok(blobs)
    }
}
