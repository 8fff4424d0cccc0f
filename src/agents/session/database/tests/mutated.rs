//! Values altered at random, for every shape: something is always read, and nothing panics.

use rusqlite::types::Value;

use super::*;
use crate::agents::session::Gaps;

/// Alters a value: cut, a byte changed, a piece doubled, or another type altogether.
fn mutate(value: &[u8], random: &mut fastrand::Rng) -> Value {
    let mut bytes = value.to_vec();
    let place = |random: &mut fastrand::Rng, bytes: &Vec<u8>| random.usize(0..=bytes.len());
    match random.u8(0..10) {
        0 => return Value::Null,
        1 => return Value::Integer(random.i64(..)),
        2 => return Value::Real(random.f64() * 1e300),
        3 => bytes.truncate(place(random, &value.to_vec())),
        4 => {
            let (from, to) = (place(random, &bytes), place(random, &bytes));
            let piece = bytes[from.min(to)..from.max(to)].to_vec();
            let at = place(random, &bytes);
            bytes.splice(at..at, piece);
        }
        _ => {
            for _ in 0..random.usize(1..4) {
                let at = place(random, &bytes).min(bytes.len().saturating_sub(1));
                let with = b"{}[]\":,\\0nt-\xff\x00"[random.usize(0..14)];
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = with;
                }
            }
        }
    }
    if random.bool() {
        return Value::Blob(bytes);
    }
    Value::Text(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns tables with their columns.
fn columns(connection: &Connection) -> Vec<(String, String)> {
    let sql = "SELECT s.name, p.name FROM sqlite_schema s, pragma_table_info(s.name) p \
               WHERE s.type = 'table' AND s.sql NOT LIKE '%STRICT%'";
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

pub(super) fn survives(shape: SessionShape, make: impl Fn() -> Connection) {
    let mut random = fastrand::Rng::with_seed(11);
    let mut gap_count = 0;
    for _ in 0..40 {
        let connection = make();
        let all = columns(&connection);
        for _ in 0..random.usize(1..8) {
            let (table, column) = &all[random.usize(0..all.len())];
            let read = format!(
                "SELECT rowid, CAST({column} AS BLOB) FROM {table} ORDER BY random() LIMIT 1"
            );
            let found = connection.query_row(&read, [], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, Option<Vec<u8>>>(1)?))
            });
            let Ok((rowid, value)) = found else { continue };
            let value = mutate(&value.unwrap_or_default(), &mut random);
            let write = format!("UPDATE OR IGNORE {table} SET {column} = ?1 WHERE rowid = ?2");
            drop(connection.execute(&write, (value, rowid)));
        }
        for wanted in [Wanted::Turns, Wanted::Outline] {
            let (found, result) = read_which(shape, &connection, Which::All, wanted);
            result.unwrap();
            assert!(found.open.is_none());
        }
        for (session, _) in read_which(shape, &connection, Which::All, Wanted::Turns).0.sessions {
            gap_count += usize::from(session.gaps != Gaps::default());
            let title = session.title.unwrap_or_default();
            assert!(title.chars().count() <= 200 && !title.contains(char::is_control));
        }
    }
    assert!(gap_count > 10, "{gap_count}");
}
