//! What the index says as a whole: what a check compares with the objects themselves.

use std::collections::{BTreeMap, HashSet};

use rusqlite::OptionalExtension as _;

use super::{Cache, bases, wrap};
use crate::error::Result;
use crate::format::cbor::Ids;
use crate::format::pack::{BlobKind, UnitEntry};
use crate::id::{BlobId, ObjectHash};
use crate::store::ObjectName;

impl Cache {
    /// Returns whether some object is nothing that a new record may rely on.
    pub fn has_unreliable(&self) -> Result<bool> {
        let connection = self.lock();
        let row = connection
            .query_row("SELECT 1 FROM object WHERE unreliable = 1 LIMIT 1", [], |_| Ok(()))
            .optional();
        row.map(|row| row.is_some()).map_err(wrap)
    }

    /// Returns the same objects with the numbers that [`Cache::for_each_blob`] gives.
    pub fn numbered_objects(&self) -> Result<Vec<(u32, ObjectName, u64)>> {
        let connection = self.lock();
        let mut statement = connection
            .prepare_cached(
                "SELECT object.number, object.name, MAX(unit.offset + unit.stored) FROM object \
                 JOIN unit ON unit.object = object.number GROUP BY object.number",
            )
            .map_err(wrap)?;
        let rows = statement
            .query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?)))
            .map_err(wrap)?;
        rows.filter_map(|row| match row {
            Ok((number, name, length)) => {
                ObjectName::parse(&name).map(|name| Ok((number, name, length)))
            }
            Err(error) => Some(Err(wrap(error))),
        })
        .collect()
    }

    /// Calls `visit` for every place of every blob, in ascending order of ids. It must not use the
    /// cache.
    pub fn for_each_blob(&self, mut visit: impl FnMut(BlobRow)) -> Result<()> {
        let connection = self.lock();
        let mut statement = connection
            .prepare_cached("SELECT id, object, unit, length FROM blob ORDER BY id, object, unit")
            .map_err(wrap)?;
        let mut rows = statement.query([]).map_err(wrap)?;
        while let Some(row) = rows.next().map_err(wrap)? {
            let row = blob_row(row).map_err(wrap)?;
            visit(row);
        }
        Ok(())
    }

    /// Calls `visit` for every place of every blob, as [`Cache::for_each_blob`], with what tells one
    /// place from another. It must not use the cache.
    pub fn for_each_place(&self, mut visit: impl FnMut(&PlaceRow)) -> Result<()> {
        let connection = self.lock();
        let mut statement = connection
            .prepare_cached(
                "SELECT blob.id, blob.object, blob.unit, blob.length, unit.stored, unit.raw, \
                 unit.bases IS NOT NULL, object.unreliable FROM blob \
                 JOIN unit ON unit.object = blob.object AND unit.number = blob.unit \
                 JOIN object ON object.number = blob.object \
                 ORDER BY blob.id, blob.object, blob.unit",
            )
            .map_err(wrap)?;
        let mut rows = statement.query([]).map_err(wrap)?;
        while let Some(row) = rows.next().map_err(wrap)? {
            let row = place_row(row).map_err(wrap)?;
            visit(&row);
        }
        Ok(())
    }

    /// Returns the units that are differences from other blobs: object number, unit, bases.
    pub fn units_with_bases(&self) -> Result<Vec<(u32, u32, Vec<BlobId>)>> {
        let connection = self.lock();
        let mut statement = connection
            .prepare_cached("SELECT object, number, bases FROM unit WHERE bases IS NOT NULL")
            .map_err(wrap)?;
        let rows = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, bases(row, 2)?)))
            .map_err(wrap)?;
        rows.map(|row| row.map_err(wrap)).collect()
    }

    /// Returns an object's table as the log has it. Slow: it looks at every blob.
    pub fn units_of(&self, object: &ObjectHash) -> Result<Vec<UnitEntry>> {
        let connection = self.lock();
        let mut statement = connection
            .prepare_cached(
                "SELECT unit.kind, unit.form, unit.stored, unit.bases, unit.depth FROM unit \
                 JOIN object ON object.number = unit.object WHERE object.hash = ?1 \
                 ORDER BY unit.number",
            )
            .map_err(wrap)?;
        let rows = statement.query_map([object.as_bytes()], unit_row).map_err(wrap)?;
        let mut units = rows.collect::<rusqlite::Result<Vec<_>>>().map_err(wrap)?;
        let mut statement = connection
            .prepare_cached(
                "SELECT blob.unit, blob.id, blob.length FROM blob \
                 JOIN object ON object.number = blob.object WHERE object.hash = ?1 \
                 ORDER BY blob.unit, blob.start",
            )
            .map_err(wrap)?;
        let rows = statement
            .query_map([object.as_bytes()], |row| {
                Ok((row.get::<_, usize>(0)?, BlobId(row.get(1)?), row.get::<_, u64>(2)?))
            })
            .map_err(wrap)?;
        for row in rows {
            let (number, id, length) = row.map_err(wrap)?;
            if let Some(unit) = units.get_mut(number) {
                unit.blobs.0.push(id);
                unit.raw_lengths.push(length);
            }
        }
        Ok(units)
    }

    /// Returns the tables of several objects as the log has them, in one pass over the index.
    pub fn tables_of(
        &self,
        objects: &HashSet<ObjectHash>,
    ) -> Result<Vec<(ObjectHash, Vec<UnitEntry>)>> {
        let connection = self.lock();
        let mut statement = connection
            .prepare_cached("SELECT number, hash FROM object ORDER BY number")
            .map_err(wrap)?;
        let rows = statement
            .query_map([], |row| Ok((row.get::<_, u32>(0)?, ObjectHash(row.get(1)?))))
            .map_err(wrap)?;
        let mut tables: BTreeMap<u32, (ObjectHash, Vec<UnitEntry>)> = BTreeMap::new();
        for row in rows {
            let (number, hash) = row.map_err(wrap)?;
            if objects.contains(&hash) {
                tables.insert(number, (hash, Vec::new()));
            }
        }
        let mut statement = connection
            .prepare_cached(
                "SELECT kind, form, stored, bases, depth, object FROM unit ORDER BY object, number",
            )
            .map_err(wrap)?;
        let mut rows = statement.query([]).map_err(wrap)?;
        while let Some(row) = rows.next().map_err(wrap)? {
            if let Some((_, units)) = tables.get_mut(&row.get(5).map_err(wrap)?) {
                units.push(unit_row(row).map_err(wrap)?);
            }
        }
        let mut statement = connection
            .prepare_cached(
                "SELECT object, unit, id, length FROM blob ORDER BY object, unit, start",
            )
            .map_err(wrap)?;
        let mut rows = statement.query([]).map_err(wrap)?;
        while let Some(row) = rows.next().map_err(wrap)? {
            let Some((_, units)) = tables.get_mut(&row.get(0).map_err(wrap)?) else { continue };
            let number: usize = row.get(1).map_err(wrap)?;
            if let Some(unit) = units.get_mut(number) {
                unit.blobs.0.push(BlobId(row.get(2).map_err(wrap)?));
                unit.raw_lengths.push(row.get(3).map_err(wrap)?);
            }
        }
        Ok(tables.into_values().collect())
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

/// One place of one blob, by the number of its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobRow {
    /// The blob.
    pub id: BlobId,
    /// The object's number.
    pub object: u32,
    /// The unit within it.
    pub unit: u32,
    /// The blob's length in bytes.
    pub length: u64,
}

fn blob_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<BlobRow> {
    Ok(BlobRow {
        id: BlobId(row.get(0)?),
        object: row.get(1)?,
        unit: row.get(2)?,
        length: row.get(3)?,
    })
}

/// One place of one blob, as far as choosing among them goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaceRow {
    /// The blob, and where it is.
    pub blob: BlobRow,
    /// The unit's length as stored, in bytes.
    pub stored_length: u64,
    /// The unit's length when decompressed, in bytes.
    pub unit_length: u64,
    /// Whether the unit is a difference from other blobs.
    pub has_bases: bool,
    /// Whether a new record may rely on the object.
    pub is_reliable: bool,
}

fn place_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<PlaceRow> {
    Ok(PlaceRow {
        blob: blob_row(row)?,
        stored_length: row.get(4)?,
        unit_length: row.get(5)?,
        has_bases: row.get(6)?,
        is_reliable: row.get::<_, u64>(7)? == 0,
    })
}

fn unit_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<UnitEntry> {
    let bases = Ids(bases(row, 3)?);
    Ok(UnitEntry {
        kind: row.get(0)?,
        form: row.get(1)?,
        stored_length: row.get(2)?,
        depth: row.get(4)?,
        bases,
        ..UnitEntry::default()
    })
}
