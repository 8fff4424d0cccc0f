//! Tables of an unknown schema, rows stepped one at a time, and values fetched in bounds.
//!
//! Only plain tables count: a view or a virtual table of the same name could compute for ever, and
//! a table without row numbers is none that these readers know. A column that is not there reads as NULL. Whatever type a value has, it is read as far as it makes
//! sense. SQLite holds one row: a large value is fetched only up to
//! [`WHOLE_BYTES`](document::WHOLE_BYTES), and read as a stream above that.

use std::io;

use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Params, Row};

use super::document;
use super::moments;
use crate::agents::session::Gaps;
use crate::time::Timestamp;

/// Why a reading ended before its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// The sink has enough.
    Asked,
    /// The database can't be read there.
    Failed(rusqlite::Error),
}

/// The result of each step of a reading.
pub(super) type Step<T = ()> = Result<T, Stop>;

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Stop::Failed(error)
    }
}

/// SQLite makes no value longer than this, in bytes.
const LENGTH_LIMIT: i32 = 24 << 20;
/// Names, titles and the like are read up to this length, in bytes; longer ones are none.
const SHORT_BYTES: usize = 64 << 10;

/// A database that is read at one moment, and can't be written.
pub(super) struct Database<'c> {
    connection: &'c Connection,
    length_limit: i32,
    was_query_only: bool,
    holds_transaction: bool,
}

impl<'c> Database<'c> {
    /// Begins to read: all that is read until this is dropped is of one moment.
    pub(super) fn new(connection: &'c Connection) -> rusqlite::Result<Self> {
        let was_query_only = connection.pragma_query_value(None, "query_only", |row| row.get(0))?;
        connection.pragma_update(None, "query_only", true)?;
        let length_limit = connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LENGTH_LIMIT)?;
        let mut database =
            Database { connection, length_limit, was_query_only, holds_transaction: false };
        if connection.is_autocommit() {
            connection.execute_batch("BEGIN")?;
            database.holds_transaction = true;
        }
        Ok(database)
    }

    /// Returns a table as it is here; one without columns if there is none of that name.
    pub(super) fn table(&self, name: &'static str) -> Step<Table> {
        let mut columns = Vec::new();
        let plain = "SELECT p.name FROM sqlite_schema s, pragma_table_info(s.name) p \
                     WHERE s.name = ?1 COLLATE NOCASE AND s.type = 'table' AND s.rootpage > 0 \
                     AND s.sql NOT LIKE '%WITHOUT%ROWID%'";
        self.each(plain, [name], &mut |row| {
            columns.extend(text(row, 0));
            Ok(())
        })?;
        Ok(Table { name, columns })
    }

    /// Steps through the rows of a query.
    pub(super) fn each(
        &self,
        sql: &str,
        params: impl Params,
        each: &mut dyn FnMut(&Row<'_>) -> Step,
    ) -> Step {
        let mut statement = self.connection.prepare_cached(sql)?;
        #[cfg(test)]
        tests::explain(self.connection, sql);
        let mut rows = statement.query(params)?;
        while let Some(row) = rows.next()? {
            #[cfg(test)]
            tests::STEPPED.with(|count| count.set(count.get() + 1));
            each(row)?;
        }
        Ok(())
    }

    /// Returns what `read` makes of the first row of a query, if there is one.
    pub(super) fn first<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> T,
    ) -> Step<Option<T>> {
        let (mut read, mut found) = (Some(read), None);
        self.each(sql, params, &mut |row| {
            if let Some(read) = read.take() {
                found = Some(read(row));
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Reads a document of any size that a row holds. `row` has it at `index`, as
    /// [`Table::document`] selects it.
    pub(super) fn document(
        &self,
        row: &Row<'_>,
        index: usize,
        cell: Cell<'_>,
        gaps: &mut Gaps,
    ) -> Step<Option<String>> {
        match bytes(row, index) {
            Some(bytes) => Ok(document::of_bytes(bytes, gaps)),
            None if is_too_long(row, index + 1) => self.stream(cell, gaps),
            None => {
                gaps.bad_records += 1;
                Ok(None)
            }
        }
    }

    fn stream(&self, cell: Cell<'_>, gaps: &mut Gaps) -> Step<Option<String>> {
        let read = match self.blob(cell) {
            Ok(mut blob) => document::read(&mut blob, gaps),
            Err(error) => return Err(error.into()),
        };
        read.map_err(|error| damaged(&error))
    }

    /// Opens a value as a stream of bytes.
    pub(super) fn blob(&self, cell: Cell<'_>) -> rusqlite::Result<rusqlite::blob::Blob<'_>> {
        self.connection.blob_open("main", cell.table, cell.column, cell.rowid, true)
    }
}

/// A stream over a value fails where the database does.
pub(super) fn damaged(error: &io::Error) -> Stop {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    Stop::Failed(rusqlite::Error::SqliteFailure(code, Some(error.to_string())))
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        // The connection is its owner's again, as it was. What can't be put back stays safe.
        if self.holds_transaction {
            drop(self.connection.execute_batch("COMMIT"));
        }
        drop(self.connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, self.length_limit));
        if !self.was_query_only {
            drop(self.connection.pragma_update(None, "query_only", false));
        }
    }
}

/// Where a value lies.
#[derive(Clone, Copy)]
pub(super) struct Cell<'a> {
    pub(super) table: &'a str,
    pub(super) column: &'a str,
    pub(super) rowid: i64,
}

/// A table and the columns that it has.
pub(super) struct Table {
    pub(super) name: &'static str,
    columns: Vec<String>,
}

impl Table {
    pub(super) fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|its| its.eq_ignore_ascii_case(column))
    }

    /// Returns whether one of the columns is missing.
    pub(super) fn lacks(&self, columns: &[&str]) -> bool {
        columns.iter().any(|column| !self.has(column))
    }

    /// Returns SQL for a column; NULL for one that is not there. Names come from this program.
    pub(super) fn column(&self, name: &str) -> String {
        if self.has(name) { format!("{}.\"{name}\"", self.name) } else { "NULL".to_owned() }
    }

    /// Returns SQL for short values, separated by commas; what is long reads as NULL.
    pub(super) fn short(&self, names: &[&str]) -> String {
        self.up_to(SHORT_BYTES, names)
    }

    /// Returns SQL for values of at most `limit` bytes, separated by commas; longer ones read as
    /// NULL.
    pub(super) fn up_to(&self, limit: usize, names: &[&str]) -> String {
        let one = |name: &&str| {
            let column = self.column(name);
            format!("CASE WHEN octet_length({column}) <= {limit} THEN {column} END")
        };
        names.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// Returns SQL for two values: a document if it is not too long to be held, and its length.
    /// The length is known from the row's head, without reading the value.
    pub(super) fn document(&self, name: &str) -> String {
        let column = self.column(name);
        let limit = document::WHOLE_BYTES;
        format!(
            "CASE WHEN octet_length({column}) <= {limit} THEN {column} END, octet_length({column})"
        )
    }
}

/// Returns a text, or what stands for one.
pub(super) fn text(row: &Row<'_>, index: usize) -> Option<String> {
    match row.get_ref(index).ok()? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            Some(String::from_utf8_lossy(bytes).into_owned())
        }
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Null => None,
    }
}

/// Returns a text that is not empty.
pub(super) fn words(row: &Row<'_>, index: usize) -> Option<String> {
    text(row, index).filter(|text| !text.trim().is_empty())
}

/// Returns a value's bytes.
pub(super) fn bytes<'r>(row: &'r Row<'_>, index: usize) -> Option<&'r [u8]> {
    match row.get_ref(index).ok()? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes),
        _ => None,
    }
}

/// Returns a whole number, 0 for what is none.
pub(super) fn number(row: &Row<'_>, index: usize) -> i64 {
    match row.get_ref(index) {
        Ok(ValueRef::Integer(number)) => number,
        Ok(ValueRef::Real(number)) => moments::whole_number(&number.to_string()).unwrap_or(0),
        Ok(ValueRef::Text(text)) => {
            std::str::from_utf8(text).ok().and_then(moments::whole_number).unwrap_or(0)
        }
        _ => 0,
    }
}

/// Returns a count, 0 for what is none.
pub(super) fn count(row: &Row<'_>, index: usize) -> u64 {
    u64::try_from(number(row, index)).unwrap_or(0)
}

/// Returns a moment, however it is written.
pub(super) fn moment(row: &Row<'_>, index: usize) -> Option<Timestamp> {
    match row.get_ref(index).ok()? {
        ValueRef::Text(text) => moments::of_text(std::str::from_utf8(text).ok()?),
        _ => moments::of_number(number(row, index)),
    }
}

fn is_too_long(row: &Row<'_>, length_index: usize) -> bool {
    usize::try_from(number(row, length_index)).is_ok_and(|length| length > document::WHOLE_BYTES)
}

/// A number that is another when one of the numbers put into it is: kept by whoever asks again.
pub(super) struct Revision(u64);

impl Revision {
    pub(super) fn new() -> Self {
        Revision(0x6a09_e667_f3bc_c908)
    }

    /// Puts the numbers of a row's first `columns` in.
    pub(super) fn row(&mut self, row: &Row<'_>, columns: usize) {
        for index in 0..columns {
            // A text too: some agents write times so.
            match row.get_ref(index) {
                Ok(ValueRef::Text(bytes) | ValueRef::Blob(bytes)) => {
                    for byte in bytes {
                        self.number(i64::from(*byte));
                    }
                }
                _ => self.number(number(row, index)),
            }
        }
        self.number(1);
    }

    pub(super) fn number(&mut self, number: i64) {
        // The finalizer of SplitMix64 over a sum: every bit of the number moves every bit.
        let mut mixed = (self.0 ^ number.cast_unsigned()).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.0 = mixed ^ (mixed >> 31);
    }

    /// Returns the number; never 0, which means that there is none.
    pub(super) fn finish(self) -> u64 {
        self.0.max(1)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::{Cell as StdCell, RefCell};

    use super::*;

    thread_local! {
        /// Rows stepped by this thread.
        pub(in super::super) static STEPPED: StdCell<u64> = const { StdCell::new(0) };
        /// How each query of this thread finds its rows, where a test wants to know.
        pub(in super::super) static PLANS: RefCell<Option<Vec<String>>> =
            const { RefCell::new(None) };
    }

    pub(super) fn explain(connection: &Connection, sql: &str) {
        PLANS.with_borrow_mut(|plans| {
            let Some(plans) = plans else { return };
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let mut rows = statement.raw_query();
            while let Some(row) = rows.next().unwrap() {
                plans.push(row.get(3).unwrap());
            }
        });
    }

    #[test]
    fn views_and_virtual_tables_are_no_tables() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE Real(a, \"B\"); CREATE VIEW fake AS SELECT 1 AS a;
                 CREATE TABLE keyed(a PRIMARY KEY) WITHOUT ROWID;",
            )
            .unwrap();
        let database = Database::new(&connection).unwrap();
        let real = database.table("real").unwrap();
        assert!(real.has("b") && real.lacks(&["a", "c"]));
        assert_eq!(real.column("c"), "NULL");
        assert!(!database.table("fake").unwrap().has("a"));
        assert!(!database.table("keyed").unwrap().has("a"));
        assert!(database.table("none").unwrap().lacks(&["a"]));
    }

    #[test]
    fn a_database_that_is_read_cannot_be_written_and_is_given_back_as_it_was() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t(a)").unwrap();
        let before = connection.limit(Limit::SQLITE_LIMIT_LENGTH).unwrap();
        let database = Database::new(&connection).unwrap();
        assert!(connection.execute_batch("INSERT INTO t VALUES(1)").is_err());
        drop(database);
        connection.execute_batch("INSERT INTO t VALUES(1)").unwrap();
        assert!(connection.is_autocommit());
        assert_eq!(connection.limit(Limit::SQLITE_LIMIT_LENGTH).unwrap(), before);
    }

    #[test]
    fn a_value_larger_than_the_limit_is_read_as_a_stream() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE t(id TEXT PRIMARY KEY, data TEXT);
                 INSERT INTO t VALUES('x', '{\"image\":\"' || hex(zeroblob(20000000)) || '\",\"a\":7}')",
            )
            .unwrap();
        let database = Database::new(&connection).unwrap();
        let table = database.table("t").unwrap();
        let mut gaps = Gaps::default();
        let sql = format!("SELECT rowid, {} FROM t", table.document("data"));
        let mut found = None;
        database
            .each(&sql, [], &mut |row| {
                let cell = Cell { table: "t", column: "data", rowid: number(row, 0) };
                found = database.document(row, 1, cell, &mut gaps)?;
                Ok(())
            })
            .unwrap();
        assert!(found.unwrap().ends_with("\"a\":7}"));
        assert_eq!(gaps.cut_values, 1);
    }

    #[test]
    fn a_revision_is_another_when_a_number_is() {
        let of = |numbers: &[i64]| {
            let mut revision = Revision::new();
            for number in numbers {
                revision.number(*number);
            }
            revision.finish()
        };
        assert_eq!(of(&[1, 2]), of(&[1, 2]));
        assert_ne!(of(&[1, 2]), of(&[2, 1]));
        assert_ne!(of(&[1, 2]), of(&[1, 3]));
        assert_ne!(of(&[0]), of(&[0, 0]));
    }
}
