//! Whether a database is sound, by SQLite's own checks.
//!
//! `quick_check` reads every page and its structure; `integrity_check` compares indexes with their
//! tables too, and takes several times as long. A damaged source is still saved: whoever asked says
//! so and names the last sound version.

use std::path::Path;

use rusqlite::Connection;

use super::connect::open_immutable;
use super::image::PRIVATE_NAME;
use super::place::private_folder;
use super::{Method, Taken};
use crate::error::{Error, IoContext as _, Result};

/// So many problems are told at most.
const MAXIMUM_PROBLEMS: u32 = 100;

/// Runs a check; returns what is wrong, nothing if all is well.
pub(super) fn problems(connection: &Connection, check: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(&format!("PRAGMA {check}({MAXIMUM_PROBLEMS})"))?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
    let mut problems = Vec::new();
    for row in rows {
        match row {
            Ok(line) if line == "ok" => {}
            Ok(line) => problems.push(line),
            // A file damaged so far that the check itself stops.
            Err(error) => problems.push(error.to_string()),
        }
    }
    Ok(problems)
}

/// Checks a database that nobody has open, leaving nothing beside it: one just restored.
///
/// Returns what is wrong, one line each, at most 100; nothing if all is well.
pub fn integrity_check(path: &Path) -> Result<Vec<String>> {
    run(path, "integrity_check")
}

/// Checks what was taken, as of the same moment.
///
/// In WAL mode the transaction that holds the moment is asked, which stops no writer. Otherwise
/// the copy is: one that lies in memory or in place is written to `temporary_folder` for it, and
/// removed again.
pub fn quick_check(taken: &Taken, temporary_folder: &Path) -> Result<Vec<String>> {
    if let (Method::LiveWal | Method::DatabaseAlone, Some(connection)) =
        (taken.method, &taken.connection)
    {
        return problems(connection, "quick_check")
            .or_else(|error| hopeless(error, "cannot check"));
    }
    if let Some(path) = taken.image().private_path() {
        return run(&path, "quick_check");
    }
    let folder = private_folder(temporary_folder)?;
    let path = folder.path().join(PRIVATE_NAME);
    taken.image().copy_to(&path).at("cannot write", &path)?;
    run(&path, "quick_check")
}

fn run(path: &Path, check: &str) -> Result<Vec<String>> {
    open_immutable(path)
        .and_then(|connection| problems(&connection, check))
        .or_else(|error| hopeless(error, &format!("cannot check `{}`", path.display())))
}

/// A database may be so damaged that no check begins.
fn hopeless(error: rusqlite::Error, doing: &str) -> Result<Vec<String>> {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
            Ok(vec![error.to_string()])
        }
        _ => Err(Error::failed(doing).source(error)),
    }
}
