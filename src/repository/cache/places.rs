//! Where a blob is: the question that is asked for each one that is read.

use super::{Cache, Place, bases, wrap};
use crate::error::Result;
use crate::format::pack::{BlobKind, UnitForm};
use crate::id::BlobId;
use crate::store::ObjectName;

/// Every place of a blob; those on which a new record may rely come first.
const PLACES: &str = "SELECT object.name, blob.unit, unit.offset, unit.stored, unit.raw, unit.form, \
     unit.kind, unit.bases, blob.start, blob.length, object.unreliable \
     FROM blob JOIN unit ON unit.object = blob.object AND unit.number = blob.unit \
     JOIN object ON object.number = blob.object WHERE blob.id = ?1 \
     ORDER BY object.unreliable, object.number, blob.unit";

impl Cache {
    /// Returns every place of a blob; those on which a new record may rely come first.
    pub fn places(&self, id: &BlobId) -> Result<Vec<Place>> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(PLACES).map_err(wrap)?;
        let rows = statement.query_map([id.as_bytes()], place).map_err(wrap)?;
        rows.filter_map(|row| row.map_err(wrap).transpose()).collect()
    }
}

fn place(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<Place>> {
    let name: String = row.get(0)?;
    let bases = bases(row, 7)?;
    let (Some(object), Ok(form), Ok(kind)) = (
        ObjectName::parse(&name),
        UnitForm::from_number(row.get(5)?),
        BlobKind::from_number(row.get(6)?),
    ) else {
        return Ok(None);
    };
    Ok(Some(Place {
        object,
        unit: row.get(1)?,
        offset: row.get(2)?,
        stored_length: row.get(3)?,
        unit_length: row.get(4)?,
        form,
        kind,
        bases,
        start: row.get(8)?,
        length: row.get(9)?,
        is_reliable: row.get::<_, u64>(10)? == 0,
    }))
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn a_lookup_is_parsed_once() {
        let cache = Cache::temporary().unwrap();
        for number in 0..3 {
            assert!(cache.places(&BlobId([number; 32])).unwrap().is_empty());
        }
        let connection = cache.lock();
        let statement = connection.prepare_cached(PLACES).unwrap();
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
    }
}
