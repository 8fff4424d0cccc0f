//! `OpenClaw`'s database of one agent: events in JSON, one per row (`pi`), under sessions
//! (`session_windows`) that belong to conversations (`session_nodes`, addressed by a key). Sessions
//! whose events were reclaimed lie in `session_transcript_archives`, as lines, compressed or not.
//! After its schema, and what its source does with the archives.
//!
//! An archive is a session `<session>#<generation>`, since the session may go on beside it.
//! `revision`: the number of events, the last one's number and length, and the times of the session
//! and of its conversation. Events are added, or all replaced.

use std::io::{self, BufRead, BufReader, Read};

use rusqlite::Row;

use super::super::{Session, Source};
use super::reading::Reading;
use super::rows::{self, Cell, Database, Revision, Step, Table};
use super::{Run, Which, document, pi, zed};

/// No more than this of an archive is read, in bytes: a small one may hold any number of zeros.
const ARCHIVE_BYTES: u64 = 4 << 30;

pub(super) fn read(_: &Source<'_>, database: &Database<'_>, run: &mut Run<'_>) -> Step {
    let reader = Openclaw {
        database,
        nodes: database.table("session_nodes")?,
        windows: database.table("session_windows")?,
        events: database.table("transcript_events")?,
        archives: database.table("session_transcript_archives")?,
    };
    reader.live(run)?;
    reader.archived(run)
}

struct Openclaw<'d> {
    database: &'d Database<'d>,
    nodes: Table,
    windows: Table,
    events: Table,
    archives: Table,
}

impl Openclaw<'_> {
    fn has_events(&self) -> bool {
        !self.events.lacks(&["session_id", "seq", "event_json"])
    }

    fn has_archives(&self) -> bool {
        !self.archives.lacks(&["session_id", "archive_blob"])
    }

    fn live(&self, run: &mut Run<'_>) -> Step {
        let names = ["display_name", "model", "created_at", "updated_at", "session_key"];
        let (select, id) = if self.windows.has("session_id") {
            let short = self.windows.short(&names);
            let id = self.windows.short(&["session_id"]);
            (format!("SELECT {id}, {short} FROM session_windows"), "session_windows.session_id")
        } else if self.has_events() {
            let id = self.events.short(&["session_id"]);
            (
                format!(
                    "SELECT DISTINCT {id}, NULL, NULL, NULL, NULL, NULL FROM transcript_events"
                ),
                "transcript_events.session_id",
            )
        } else {
            return Ok(());
        };
        run.rows(self.database, &select, id, &mut |run, row| self.window(run, row))
    }

    fn window(&self, run: &mut Run<'_>, row: &Row<'_>) -> Step {
        let Some(id) = rows::words(row, 0) else { return Ok(()) };
        let (key, mut name, mut is_empty) = (rows::words(row, 5), None, false);
        let revision = self.revision(row, &id, key.as_deref(), &mut name, &mut is_empty);
        let revision = run.revision(revision)?;
        if is_empty && self.is_archived(&id)? {
            return Ok(());
        }
        let mut session = Session {
            model: rows::words(row, 2),
            started: rows::moment(row, 3),
            last: rows::moment(row, 4),
            revision,
            id,
            ..Session::default()
        };
        session.gaps.is_other_schema = !self.has_events()
            || self.windows.lacks(&["session_key", "updated_at"])
            || self.nodes.lacks(&["session_key"]);
        let names = [rows::words(row, 1), name];
        run.session(session, |reading| {
            names.iter().rev().for_each(|name| reading.name(name.as_deref()));
            if self.has_events() {
                self.turns(reading)?;
            }
            if reading.wants_words() {
                reading.name(key.as_deref());
            }
            Ok(())
        })
    }

    fn is_archived(&self, id: &str) -> Step<bool> {
        if !self.has_archives() {
            return Ok(false);
        }
        let select = "SELECT 1 FROM session_transcript_archives WHERE session_id = ?1 LIMIT 1";
        Ok(self.database.first(select, [id], |_| ())?.is_some())
    }

    /// Returns the revision; says what the conversation is called, and whether it has no events.
    fn revision(
        &self,
        row: &Row<'_>,
        id: &str,
        key: Option<&str>,
        name: &mut Option<String>,
        is_empty: &mut bool,
    ) -> Step<u64> {
        let mut revision = Revision::new();
        revision.number(rows::number(row, 4));
        *name = self.conversation(key, &mut revision)?;
        if self.has_events() {
            let count = "SELECT count(*), max(seq) FROM transcript_events WHERE session_id = ?1";
            self.database.each(count, [id], &mut |row| {
                *is_empty = rows::number(row, 0) == 0;
                revision.row(row, 2);
                Ok(())
            })?;
            let length = "SELECT octet_length(event_json) FROM transcript_events \
                          WHERE session_id = ?1 ORDER BY seq DESC LIMIT 1";
            self.database.each(length, [id], &mut |row| {
                revision.row(row, 1);
                Ok(())
            })?;
        } else {
            *is_empty = true;
        }
        Ok(revision.finish())
    }

    /// Returns what the conversation is called.
    fn conversation(&self, key: Option<&str>, revision: &mut Revision) -> Step<Option<String>> {
        let Some(key) = key.filter(|_| self.nodes.has("session_key")) else { return Ok(None) };
        let columns = self.nodes.short(&["updated_at", "display_name", "label"]);
        let select = format!("SELECT {columns} FROM session_nodes WHERE session_key = ?1");
        let mut name = None;
        self.database.each(&select, [key], &mut |row| {
            revision.row(row, 3);
            name = rows::words(row, 1).or_else(|| rows::words(row, 2));
            Ok(())
        })?;
        Ok(name)
    }

    fn turns(&self, reading: &mut Reading<'_>) -> Step {
        let id = reading.session.id.clone();
        let sum =
            "SELECT sum(octet_length(event_json)) FROM transcript_events WHERE session_id = ?1";
        let bytes = self.database.first(sum, [&id], |row| rows::count(row, 0))?;
        reading.session.bytes = bytes.unwrap_or(0);
        let places = "SELECT rowid FROM transcript_events WHERE session_id = ?1 ORDER BY seq";
        let (short, event) =
            (self.events.short(&["created_at"]), self.events.document("event_json"));
        let select = format!("SELECT {short}, {event} FROM transcript_events WHERE rowid = ?1");
        self.database.each(places, [&id], &mut |place| {
            let rowid = rows::number(place, 0);
            self.database.each(&select, [rowid], &mut |row| {
                let cell = Cell { table: "transcript_events", column: "event_json", rowid };
                let event = self.database.document(row, 1, cell, reading.gaps())?;
                let at = rows::moment(row, 0);
                event.map_or(Ok(()), |event| pi::event(&event, at, reading))
            })
        })
    }

    fn archived(&self, run: &mut Run<'_>) -> Step {
        if !self.has_archives() {
            return Ok(());
        }
        let names = ["session_id", "generation", "session_key", "encoding", "created_at"];
        let short = self.archives.short(&names);
        let select = format!(
            "SELECT rowid, octet_length(archive_blob), {short} FROM session_transcript_archives"
        );
        let one = |run: &mut Run<'_>, row: &Row<'_>| {
            let Some(id) = rows::words(row, 2) else { return Ok(()) };
            let id = format!("{id}#{}", rows::text(row, 3).unwrap_or_default());
            let mut revision = Revision::new();
            revision.number(rows::number(row, 1));
            revision.number(rows::number(row, 6));
            let session = Session {
                bytes: rows::count(row, 1),
                revision: revision.finish(),
                id,
                ..Session::default()
            };
            let rowid = rows::number(row, 0);
            let is_zstd = rows::text(row, 5).is_none_or(|encoding| encoding != "identity");
            let (key, archived) = (rows::words(row, 4), rows::moment(row, 6));
            run.session(session, |reading| {
                self.archive(rowid, is_zstd, reading)?;
                if reading.session.last.is_none() {
                    reading.saw(archived);
                }
                if reading.wants_words() {
                    reading.name(key.as_deref());
                }
                Ok(())
            })
        };
        let Which::Ids(ids) = run.which else {
            return self.database.each(&select, [], &mut |row| one(run, row));
        };
        for id in ids {
            let Some((session, _)) = id.rsplit_once('#') else { continue };
            let select = format!("{select} WHERE session_id = ?1");
            self.database.each(&select, [session], &mut |row| one(run, row))?;
        }
        Ok(())
    }

    fn archive(&self, rowid: i64, is_zstd: bool, reading: &mut Reading<'_>) -> Step {
        let table = "session_transcript_archives";
        let cell = Cell { table, column: "archive_blob", rowid };
        let Ok(blob) = self.database.blob(cell) else {
            reading.gaps().bad_records += 1;
            return Ok(());
        };
        if !is_zstd {
            return lines(blob, reading);
        }
        if let Some(stream) = zed::decoder(blob) {
            return lines(stream, reading);
        }
        reading.gaps().bad_records += 1;
        Ok(())
    }
}

/// Reads events that are lines.
fn lines(stream: impl Read, reading: &mut Reading<'_>) -> Step {
    let mut lines = BufReader::new(stream.take(ARCHIVE_BYTES));
    while lines.fill_buf().is_ok_and(|waiting| !waiting.is_empty()) {
        let mut line = Line { source: &mut lines, is_over: false };
        let event = document::read(&mut line, reading.gaps());
        let is_over = line.is_over;
        match event {
            Ok(Some(event)) => pi::event(&event, None, reading)?,
            Ok(None) => {}
            Err(_) => break,
        }
        // What is left of a line that was too long.
        if !is_over && lines.skip_until(b'\n').is_err() {
            break;
        }
    }
    // An archive that breaks off is the record's fault, not the database's.
    reading.gaps().is_torn |= lines.fill_buf().is_err();
    Ok(())
}

/// One line of a stream, as a stream.
struct Line<'s, S> {
    source: &'s mut S,
    is_over: bool,
}

impl<S: BufRead> Read for Line<'_, S> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.is_over {
            return Ok(0);
        }
        let waiting = self.source.fill_buf()?;
        let waiting = waiting.get(..waiting.len().min(bytes.len())).unwrap_or_default();
        let end = waiting.iter().position(|byte| *byte == b'\n');
        let count = end.unwrap_or(waiting.len());
        for (to, from) in bytes.iter_mut().zip(waiting.iter().take(count)) {
            *to = *from;
        }
        self.is_over = end.is_some();
        self.source.consume(count + usize::from(self.is_over));
        Ok(count)
    }
}
