//! Whether a database is sound, by SQLite's own checks.
//!
//! `quick_check` reads every page and its structure; `integrity_check` compares indexes with their
//! tables too, and takes several times as long. A damaged source is still saved: whoever asked says
//! so and names the last sound version.

use std::path::Path;

use rusqlite::Connection;

use super::Taken;
use super::connect::open_immutable;
use super::image::PRIVATE_NAME;
use super::place::private_folder;
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

/// Checks the copy that was taken, not the source.
///
/// One that lies in memory or in place is written to `temporary_folder` for it, and removed again.
pub fn quick_check(taken: &Taken, temporary_folder: &Path) -> Result<Vec<String>> {
    if let Some(path) = taken.image().private_path() {
        return run(&path, "quick_check");
    }
    let folder = private_folder(temporary_folder)?;
    let path = folder.path().join(PRIVATE_NAME);
    taken.image().copy_to(&path).at("cannot write", &path)?;
    run(&path, "quick_check")
}

fn run(path: &Path, check: &str) -> Result<Vec<String>> {
    let found = open_immutable(path).and_then(|connection| problems(&connection, check));
    match found {
        Ok(found) => Ok(found),
        Err(error) => match error.sqlite_error_code() {
            // So damaged that no check begins.
            Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
                Ok(vec![error.to_string()])
            }
            _ => {
                Err(Error::failed("cannot check").object(path.display().to_string()).source(error))
            }
        },
    }
}
