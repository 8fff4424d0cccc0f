//! A session's rows from a snapshot's database into the live one.
//!
//! In one transaction, so that whoever has the database open sees all of it or nothing; the file is never
//! replaced. Columns that both have are taken, so that an agent of another version works as long as what it
//! asks for is there. Where there is no database yet, one with the same schema and nothing else is made: the
//! snapshot's own would bring back other sessions, and credentials.
#![expect(clippy::disallowed_methods, reason = "makes the database where there is none")]

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, named_params};

use crate::agents::session::placement::{Rebind, RowRules, schema_only_keeps};
use crate::error::{Error, IoContext as _, Result};

/// How long another writer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// A session has started no more others than that.
const MOST_CHILDREN: u32 = 100_000;

/// What is to be done with a session's rows.
#[derive(Debug, Clone)]
pub(super) struct RowWork {
    /// Which rows are a session.
    pub(super) rules: &'static RowRules,
    /// The session's id in the snapshot.
    pub(super) id: String,
    /// The id that it gets.
    pub(super) new_id: String,
    /// The project's folder where it ran, and here.
    pub(super) project: (String, String),
    /// How it is bound to `OpenCode`'s projects, if it moves.
    pub(super) opencode: Option<OpencodeProject>,
    /// Whether rows that are there are removed first.
    pub(super) replaces: bool,
    /// Whether no session of the new id is there. It is looked for again in the transaction: one that came
    /// meanwhile, such as another that was given the same number in this run, stays as it is.
    pub(super) is_new: bool,
}

/// The project that a session of `OpenCode` is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpencodeProject {
    /// Its id, if the folder tells; else it is the one here whose folder this is, else the one that it had.
    pub(super) id: Option<String>,
    /// The repository's top folder; `/` outside of any.
    pub(super) worktree: String,
    /// The session's folder, below that.
    pub(super) path: String,
}

impl RowWork {
    /// Puts the rows from the database at `saved`, a private copy, into the one at `live`.
    pub(super) fn run(&self, saved: &Path, live: &Path) -> Result<()> {
        let failed = |error: rusqlite::Error| failed(live, error);
        if !live.exists() {
            return self.make(saved, live);
        }
        let mut connection = open(live).map_err(failed)?;
        connection.pragma_update(None, "foreign_keys", true).map_err(failed)?;
        attach(&connection, saved).map_err(failed)?;
        self.insert(&mut connection).map_err(|error| match error {
            rusqlite::Error::StatementChangedRows(_) => {
                Error::failed("a session of this id has come meanwhile:")
                    .object(self.new_id.clone())
                    .hint("nothing was changed; run the same command again")
            }
            error => failed(error),
        })
    }

    /// Makes a database beside its name, and gives it that when it is whole.
    fn make(&self, saved: &Path, live: &Path) -> Result<()> {
        let failed = |error: rusqlite::Error| failed(live, error);
        let folder = live.parent().unwrap_or(live);
        std::fs::create_dir_all(folder).at("cannot make the folder", folder)?;
        // Made with mode 0600.
        let file = tempfile::NamedTempFile::new_in(folder).at("cannot make", live)?;
        let mut connection = open(file.path()).map_err(failed)?;
        attach(&connection, saved).map_err(failed)?;
        copy_schema(&connection).map_err(failed)?;
        self.insert(&mut connection).map_err(failed)?;
        connection.execute_batch("DETACH saved; PRAGMA journal_mode = WAL").map_err(failed)?;
        connection.close().map_err(|(_, error)| failed(error))?;
        file.as_file().sync_all().at("cannot sync", live)?;
        file.persist_noclobber(live).map_err(|error| error.error).at("cannot make", live).map(drop)
    }

    fn insert(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
        // Rows are put before what they refer to: a trigger that counts messages must not find the
        // session, whose row has the right count already.
        transaction.pragma_update(None, "defer_foreign_keys", true)?;
        if self.is_new {
            let is_there = format!(
                "SELECT count(*) FROM main.{} WHERE {} = ?1",
                self.rules.sessions, self.rules.id
            );
            let count: u32 = transaction.query_row(&is_there, [&self.new_id], |row| row.get(0))?;
            if count > 0 {
                return Err(rusqlite::Error::StatementChangedRows(0));
            }
        }
        self.choose(&transaction)?;
        if self.replaces {
            for table in self.rules.tables.iter().rev() {
                if !columns(&transaction, "main", table.name)?.is_empty() {
                    let sql =
                        format!("DELETE FROM main.{} WHERE {} = ?1", table.name, table.session);
                    transaction.execute(&sql, [&self.new_id])?;
                }
            }
        }
        let project = self.project(&transaction)?;
        for table in self.rules.tables {
            let key = table.session;
            let expression = |column: &str| {
                if column == key { "p.new".to_owned() } else { format!("s.{}", quoted(column)) }
            };
            put(&transaction, table.name, key, table.counted, &expression, &[])?;
        }
        let (old, new) = (self.project.0.as_str(), self.project.1.as_str());
        let path = self.opencode.as_ref().map_or("", |it| it.path.as_str());
        let expression = |column: &str| self.expression(column, project.is_some());
        let values: [(&str, &dyn rusqlite::ToSql); 4] =
            [(":old", &old), (":new", &new), (":project", &project), (":path", &path)];
        let count =
            put(&transaction, self.rules.sessions, self.rules.id, None, &expression, &values)?;
        if count == 0 {
            return Err(rusqlite::Error::QueryReturnedNoRows);
        }
        transaction.execute_batch("DROP TABLE temp.placed")?;
        transaction.commit()
    }

    /// Notes the session, and those that it started and that are not here.
    fn choose(&self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let (sessions, id) = (self.rules.sessions, self.rules.id);
        transaction.execute_batch("CREATE TEMP TABLE placed(old TEXT PRIMARY KEY, new TEXT)")?;
        transaction.execute("INSERT INTO temp.placed VALUES(?1, ?2)", [&self.id, &self.new_id])?;
        let Some(parent) = self.rules.parent else { return Ok(()) };
        if !columns(transaction, "saved", sessions)?.iter().any(|it| it == parent) {
            return Ok(());
        }
        let sql = format!(
            "INSERT OR IGNORE INTO temp.placed
             WITH RECURSIVE family(id) AS (
                 SELECT ?1 UNION
                 SELECT s.{id} FROM saved.{sessions} s JOIN family f ON s.{parent} = f.id
                 LIMIT {MOST_CHILDREN})
             SELECT id, id FROM family WHERE id NOT IN (SELECT {id} FROM main.{sessions})"
        );
        transaction.execute(&sql, [&self.id]).map(drop)
    }

    /// Returns what goes into a column of the session's row.
    fn expression(&self, column: &str, has_project: bool) -> String {
        let same = format!("s.{}", quoted(column));
        if column == self.rules.id {
            return "p.new".to_owned();
        }
        // A folder below the project's moves with it.
        let moved = format!(
            "CASE WHEN {same} = :old THEN :new
                  WHEN substr({same}, 1, length(:old) + 1) = :old || '/' THEN :new || substr({same}, length(:old) + 1)
                  ELSE {same} END"
        );
        match self.rules.rebind {
            Rebind::Column(own) if own == column => moved,
            Rebind::Opencode if column == "directory" => moved,
            Rebind::Opencode if column == "project_id" && has_project => ":project".to_owned(),
            Rebind::Opencode if column == "path" && self.opencode.is_some() => format!(
                "CASE WHEN {same} IS NULL THEN NULL WHEN substr({same}, 1, 1) = '/' THEN :new ELSE :path END"
            ),
            _ => same,
        }
    }

    /// Sees to it that the project that the session is bound to is there. Returns its id if that is another
    /// than the session's row says.
    fn project(&self, transaction: &Transaction<'_>) -> rusqlite::Result<Option<String>> {
        if self.rules.rebind != Rebind::Opencode {
            return Ok(None);
        }
        let own = "SELECT project_id FROM saved.session WHERE id = ?1";
        let own: String = transaction.query_row(own, [&self.id], |row| row.get(0))?;
        let mut id = own.clone();
        let mut worktree = None;
        if let Some(project) = &self.opencode {
            let here = "SELECT min(id) FROM main.project WHERE worktree = ?1";
            let here: Option<String> =
                transaction.query_row(here, [&project.worktree], |row| row.get(0))?;
            id = project.id.clone().or(here).unwrap_or(id);
            worktree = Some(project.worktree.as_str());
        }
        let common = common(transaction, "project", None)?;
        let names = list(&common, quoted);
        let values = list(&common, |column| match column {
            "id" => ":id".to_owned(),
            "worktree" => "coalesce(:worktree, s.worktree)".to_owned(),
            other => format!("s.{}", quoted(other)),
        });
        // What the project is called here stays.
        let sql = format!(
            "INSERT INTO main.project({names}) SELECT {values} FROM saved.project s
             WHERE s.id = :own AND NOT EXISTS (SELECT 1 FROM main.project m WHERE m.id = :id)"
        );
        let values = named_params! {":id": id, ":own": own, ":worktree": worktree};
        transaction.execute(&sql, values)?;
        Ok((id != own).then_some(id))
    }
}

/// Puts the rows of a table that belong to the chosen sessions; those that are there get what is
/// saved of them. Returns how many.
fn put(
    transaction: &Transaction<'_>,
    table: &str,
    key: &str,
    counted: Option<&str>,
    expression: &dyn Fn(&str) -> String,
    values: &[(&str, &dyn rusqlite::ToSql)],
) -> rusqlite::Result<usize> {
    let common = common(transaction, table, counted)?;
    if !common.iter().any(|column| column == key) {
        return Ok(0);
    }
    let names = list(&common, quoted);
    let taken = list(&common, expression);
    let set = list(&common, |column| format!("{0} = excluded.{0}", quoted(column)));
    let table = quoted(table);
    let key = quoted(key);
    // A row of another session with the same number stays as it is.
    let sql = format!(
        "INSERT INTO main.{table}({names})
         SELECT {taken} FROM saved.{table} s JOIN temp.placed p ON s.{key} = p.old WHERE true
         ON CONFLICT DO UPDATE SET {set} WHERE {table}.{key} = excluded.{key}"
    );
    let mut statement = transaction.prepare(&sql)?;
    let used: Vec<(&str, &dyn rusqlite::ToSql)> = values
        .iter()
        .filter(|(name, _)| statement.parameter_index(name).is_ok_and(|it| it.is_some()))
        .copied()
        .collect();
    statement.execute(used.as_slice())
}

/// Returns the columns that a table has in both databases.
fn common(
    transaction: &Transaction<'_>,
    table: &str,
    without: Option<&str>,
) -> rusqlite::Result<Vec<String>> {
    let saved = columns(transaction, "saved", table)?;
    let mut here = columns(transaction, "main", table)?;
    here.retain(|column| saved.contains(column) && Some(column.as_str()) != without);
    Ok(here)
}

/// Returns a table's columns; none if there is no such table. Those that are computed are not among them.
fn columns(connection: &Connection, database: &str, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare_cached("SELECT name FROM pragma_table_info(?1, ?2)")?;
    let names = statement.query_map([table, database], |row| row.get(0))?;
    names.collect()
}

/// Makes tables, indexes, views and triggers as the saved database has them, and the rows that say
/// which schema it is.
fn copy_schema(connection: &Connection) -> rusqlite::Result<()> {
    for name in ["user_version", "application_id"] {
        let value: i64 =
            connection.query_row(&format!("PRAGMA saved.{name}"), [], |row| row.get(0))?;
        connection.execute_batch(&format!("PRAGMA main.{name} = {value}"))?;
    }
    let mut statement = connection.prepare(
        "SELECT type, name, sql FROM saved.sqlite_schema
         WHERE sql LIKE 'CREATE %' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
         ORDER BY CASE type WHEN 'table' THEN (sql NOT LIKE 'CREATE VIRTUAL%') WHEN 'index' THEN 2
             WHEN 'view' THEN 3 ELSE 4 END, rowid",
    )?;
    let mut rows = statement.query([])?;
    let mut kept = Vec::new();
    while let Some(row) = rows.next()? {
        let (kind, name, sql): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        // A virtual table has made its own tables and their indexes.
        let is_there = "SELECT count(*) FROM main.sqlite_schema WHERE name = ?1";
        if connection.query_row(is_there, [&name], |row| row.get::<_, u32>(0))? > 0 {
            continue;
        }
        // One statement, whatever the text says.
        connection.execute(&sql, [])?;
        if kind == "table" && schema_only_keeps(&name) {
            kept.push(quoted(&name));
        }
    }
    for table in kept {
        connection
            .execute_batch(&format!("INSERT INTO main.{table} SELECT * FROM saved.{table}"))?;
    }
    Ok(())
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(uri(path, ""), flags)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    Ok(connection)
}

/// Attaches the private copy, to be read only, with nothing left beside it.
fn attach(connection: &Connection, saved: &Path) -> rusqlite::Result<()> {
    let name = uri(saved, "?mode=ro&immutable=1");
    connection.execute("ATTACH ?1 AS saved", [name]).map(drop)
}

/// Returns a path as an address that SQLite takes for nothing else.
fn uri(path: &Path, options: &str) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_') {
            uri.push(char::from(*byte));
        } else {
            // Writing to a String can't fail.
            let _ = write!(uri, "%{byte:02x}");
        }
    }
    uri.push_str(options);
    uri
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn list(columns: &[String], part: impl Fn(&str) -> String) -> String {
    columns.iter().map(|column| part(column)).collect::<Vec<_>>().join(", ")
}

fn failed(live: &Path, error: rusqlite::Error) -> Error {
    let is_busy = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy);
    let hint = if is_busy {
        "end the agent, which is writing to it, and try again"
    } else {
        "nothing was changed; the agent's version may be another than when it was saved: `stash restore --agent` \
         brings back the whole of it"
    };
    Error::failed("cannot put the session's rows into the database")
        .object(live.display().to_string())
        .source(error)
        .hint(hint)
}
