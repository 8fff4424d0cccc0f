//! Sessions out of databases: one reader per shape, all over one connection.
//!
//! Handed over as rows are stepped, in the order that the agent shows them; one turn per message,
//! and a tool's answer as a turn of its own right after the turn that called it. A message counts
//! as a turn even where nothing of it is words.
//!
//! - **Nothing is written.** The connection is `query_only` meanwhile, and given back as it was.
//!   All is read at one moment, under a read transaction that lasts as long as the reading: a live
//!   writer in WAL mode goes on, its log grows meanwhile. In rollback mode it would wait, so what is
//!   read there should be a copy.
//! - **Schemas differ.** Columns are looked up first; what is there is read, and a table or column
//!   that is missed sets [`Gaps::is_other_schema`](super::Gaps::is_other_schema).
//! - **Bounded.** One row, one message's parts (32 MiB of text) and one document (16 MiB) are held;
//!   a larger value is read as a stream, in which long texts are cut (`document`).
//! - **Damage.** A session that lies on bad pages ends where these begin; the others are read. The
//!   error comes at the end, and says what was read.
//! - **Unchanged sessions cost a few rows each** ([`Which::Changed`]): see the readers' `revision`.
//!   Measured on 1.3 GB of `OpenCode`'s, 6,000 sessions with 1.2 million parts, without
//!   optimisation on a shared core: 0.5 s where nothing had changed, 1.7 s for all outlines, 6 s for
//!   all turns; 8 MiB of memory at most.
//!
//! Schemas seen: `OpenCode`'s made by its own client, 1.18.33. The others from what is written about
//! them: the readers say where.

mod crush;
mod cursor_kv;
mod cursor_store;
mod document;
mod goose;
mod json;
mod kiro;
mod moments;
mod openclaw;
mod opencode;
mod opencode_export;
mod opencode_parts;
mod pi;
mod reading;
mod rows;
#[cfg(test)]
mod tests;
mod zed;

use rusqlite::{Connection, ErrorCode, Row};

pub use opencode_export::export_opencode;

use super::{Session, Sink, Source, Wanted};
use crate::agents::SessionShape;
use crate::error::{Error, Result};
use reading::Reading;
use rows::{Database, Step, Stop};

/// Which sessions of a database to read.
#[derive(Clone, Copy)]
pub enum Which<'a> {
    /// All.
    All,
    /// Those with one of these ids.
    Ids(&'a [&'a str]),
    /// Those for which the function, given the id and [`Session::revision`], says that they are to
    /// be read. The others cost a few rows each, and the sink is told nothing of them.
    Changed(&'a dyn Fn(&str, u64) -> bool),
}

/// Reads sessions of a database and hands them to `sink`.
///
/// A sink that stops ends the reading without an error. An error means that not all could be read;
/// what could has been handed over. A shape that is no database is one too.
pub fn read_database(
    source: &Source<'_>,
    connection: &Connection,
    which: Which<'_>,
    wanted: Wanted,
    sink: &mut dyn Sink,
) -> Result<()> {
    let mut run = Run { which, wanted, sink, session_count: 0, failure: None };
    let read = match source.shape {
        SessionShape::OpencodeDb => opencode::read,
        SessionShape::GooseDb => goose::read,
        SessionShape::CrushDb => crush::read,
        SessionShape::CursorKv => cursor_kv::read,
        SessionShape::CursorStore => cursor_store::read,
        SessionShape::KiroDb => kiro::read,
        SessionShape::ZedDb => zed::read,
        SessionShape::OpenclawDb => openclaw::read,
        shape => {
            return Err(Error::failed("cannot read sessions from a database of the shape")
                .object(shape.name()));
        }
    };
    let done = match Database::new(connection) {
        Ok(database) => read(source, &database, &mut run),
        Err(error) => Err(error.into()),
    };
    let failure = match done {
        Ok(()) => run.failure,
        Err(Stop::Asked) => None,
        Err(Stop::Failed(error)) => Some(error),
    };
    failure.map_or(Ok(()), |error| Err(failed(source, run.session_count, error)))
}

fn failed(source: &Source<'_>, session_count: u64, error: rusqlite::Error) -> Error {
    let is_damage = is_damage(&error);
    let name = match source.relative {
        b"" => "database".to_owned(),
        relative => String::from_utf8_lossy(relative).into_owned(),
    };
    let result = Error::failed("cannot read all sessions of").object(name).source(error);
    let read = match session_count {
        0 => "none could be read".to_owned(),
        1 => "1 session was read, perhaps not to its end".to_owned(),
        count => format!("{count} sessions were read, not all to their end"),
    };
    if is_damage {
        result.hint(format!("{read}; an earlier snapshot may hold this database unharmed"))
    } else {
        result.hint(format!("{read}; try again when its agent does not write"))
    }
}

/// Returns whether an error is about the place that was read, so that other places can be tried.
fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::TooBig)
    )
}

/// One call of [`read_database`].
struct Run<'r> {
    which: Which<'r>,
    wanted: Wanted,
    sink: &'r mut dyn Sink,
    session_count: u64,
    /// The first damage that was met.
    failure: Option<rusqlite::Error>,
}

impl Run<'_> {
    /// Steps through the rows that sessions are made of: all, or those that ids were given for.
    /// `select` has no condition yet, and `id` is SQL for what an id is compared with.
    fn rows(
        &mut self,
        database: &Database<'_>,
        select: &str,
        id: &str,
        each: &mut dyn FnMut(&mut Self, &Row<'_>) -> Step,
    ) -> Step {
        let Which::Ids(ids) = self.which else {
            return database.each(select, [], &mut |row| each(self, row));
        };
        let select = format!("{select} WHERE {id} = ?1");
        for wanted in ids {
            database.each(&select, [wanted], &mut |row| each(self, row))?;
        }
        Ok(())
    }

    /// Returns a session's revision; 0 where damage keeps it from being known, which is told at the
    /// end, so that the session is read as far as it goes.
    fn revision(&mut self, found: Step<u64>) -> Step<u64> {
        match found {
            Err(Stop::Failed(error)) if is_damage(&error) => {
                self.failure.get_or_insert(error);
                Ok(0)
            }
            found => found,
        }
    }

    /// Reads one session, unless it is not wanted. What `session` knows already is kept.
    fn session(&mut self, session: Session, read: impl FnOnce(&mut Reading<'_>) -> Step) -> Step {
        let is_wanted = match self.which {
            Which::All => true,
            Which::Ids(ids) => ids.contains(&session.id.as_str()),
            Which::Changed(is_changed) => is_changed(&session.id, session.revision),
        };
        if !is_wanted {
            return Ok(());
        }
        self.session_count += 1;
        let mut reading = Reading::begin(self.sink, self.wanted, session)?;
        match read(&mut reading) {
            Ok(()) => reading.end(),
            Err(Stop::Asked) => Err(Stop::Asked),
            Err(Stop::Failed(error)) => {
                reading.gaps().is_torn = true;
                reading.end()?;
                if is_damage(&error) {
                    self.failure.get_or_insert(error);
                    return Ok(());
                }
                Err(Stop::Failed(error))
            }
        }
    }
}
