//! `OpenCode`'s database. Seen: what the client 1.18.33 made; older ones lack columns and tables.
//!
//! `session`, with `message` and `part` (JSON in `data`), or with the newer `session_message`. A
//! session may have both, where a newer client went on with it: then what is newer than the last
//! message, and is none of them, follows. Archived sessions are sessions.
//!
//! `revision`: the session's own time, the numbers of messages and parts, and of the last messages
//! and their parts when they were written. These come from indexes, and few rows, so that 6,000
//! unchanged sessions cost no read of their texts. What it can't see is a change in place of an old
//! message that moves neither a count nor the session's time; the client makes none to words.

use rusqlite::Row;

use super::super::{Role, Source, Turn};
use super::json::{self, Raw};
use super::opencode_parts::{self as parts, PartFields};
use super::reading::{Parts, Reading};
use super::rows::{self, Cell, Database, Revision, Step, Table};
use super::{Run, Session};

/// The last so many messages are looked at for changes in place.
const WATCHED: u32 = 4;
/// Titles that the client gives by itself.
const UNNAMED: [&str; 2] = ["New session - ", "Child session - "];

pub(super) fn read(_: &Source<'_>, database: &Database<'_>, run: &mut Run<'_>) -> Step {
    let reader = Opencode::new(database)?;
    if !reader.session.has("id") {
        return Ok(());
    }
    let columns =
        ["id", "parent_id", "title", "directory", "model", "time_created", "time_updated"];
    let worktree = if reader.project.lacks(&["id", "worktree"]) || !reader.session.has("project_id")
    {
        "NULL".to_owned()
    } else {
        let worktree = reader.project.short(&["worktree"]);
        format!("(SELECT {worktree} FROM project WHERE project.id = session.project_id)")
    };
    let select = format!("SELECT {}, {worktree} FROM session", reader.session.short(&columns));
    run.rows(database, &select, "session.id", &mut |run, row| {
        let Some(session) = reader.session(run, row)? else { return Ok(()) };
        let title = rows::words(row, 2)
            .filter(|title| !UNNAMED.iter().any(|unnamed| title.starts_with(unnamed)));
        run.session(session, |reading| {
            reading.name(title.as_deref());
            reader.turns(reading)
        })
    })
}

struct Opencode<'d> {
    database: &'d Database<'d>,
    project: Table,
    session: Table,
    message: Table,
    part: Table,
    newer: Table,
}

impl<'d> Opencode<'d> {
    fn new(database: &'d Database<'d>) -> Step<Self> {
        Ok(Opencode {
            database,
            project: database.table("project")?,
            session: database.table("session")?,
            message: database.table("message")?,
            part: database.table("part")?,
            newer: database.table("session_message")?,
        })
    }

    fn has_messages(&self) -> bool {
        !self.message.lacks(&["id", "session_id", "data"])
    }

    fn has_parts(&self) -> bool {
        !self.part.lacks(&["id", "message_id", "session_id", "data"])
    }

    fn has_newer(&self) -> bool {
        !self.newer.lacks(&["id", "session_id", "type", "data"])
    }

    fn session(&self, run: &mut Run<'_>, row: &Row<'_>) -> Step<Option<Session>> {
        let Some(id) = rows::words(row, 0) else { return Ok(None) };
        let model = rows::text(row, 4).and_then(|model| {
            let [id] = json::fields(&model, ["id"])?;
            json::words(id)
        });
        let mut session = Session {
            project: rows::words(row, 3).or_else(|| rows::words(row, 7)),
            parent: rows::words(row, 1),
            started: rows::moment(row, 5),
            last: rows::moment(row, 6).or_else(|| rows::moment(row, 5)),
            revision: run.revision(self.revision(&id, rows::number(row, 6)))?,
            model,
            id,
            ..Session::default()
        };
        session.gaps.is_other_schema = self.session.lacks(&["title", "directory", "time_created"])
            || !(self.has_messages() && self.has_parts() || self.has_newer());
        Ok(Some(session))
    }

    fn revision(&self, id: &str, updated: i64) -> Step<u64> {
        let mut revision = Revision::new();
        revision.number(updated);
        if self.has_messages() {
            self.count("message", id, &mut revision)?;
            let columns = self.message.short(&["id", "time_updated"]);
            let order = self.order();
            let last = format!(
                "SELECT {columns} FROM message WHERE session_id = ?1 ORDER BY {order} LIMIT {WATCHED}"
            );
            let written = self.part.column("time_updated");
            let parts =
                format!("SELECT count(*), max({written}) FROM part WHERE part.message_id = ?1");
            self.database.each(&last.replace("{desc}", "DESC"), [id], &mut |row| {
                revision.number(rows::number(row, 1));
                let Some(message) = rows::text(row, 0).filter(|_| self.has_parts()) else {
                    return Ok(());
                };
                self.database.each(&parts, [message], &mut |row| {
                    revision.row(row, 2);
                    Ok(())
                })
            })?;
        }
        if self.has_parts() {
            self.count("part", id, &mut revision)?;
        }
        if self.has_newer() {
            self.count("session_message", id, &mut revision)?;
            let (written, order) = (self.newer.column("time_updated"), self.newer_order());
            let last = format!(
                "SELECT {written} FROM session_message WHERE session_id = ?1 \
                 ORDER BY {order} DESC LIMIT {WATCHED}"
            );
            self.database.each(&last, [id], &mut |row| {
                revision.row(row, 1);
                Ok(())
            })?;
        }
        Ok(revision.finish())
    }

    /// Puts in how many rows of a session there are, and the newest; an index knows.
    fn count(&self, table: &str, id: &str, revision: &mut Revision) -> Step {
        let count = format!("SELECT count(*), max(rowid) FROM {table} WHERE session_id = ?1");
        self.database.each(&count, [id], &mut |row| {
            revision.row(row, 2);
            Ok(())
        })
    }

    /// Returns the order of messages, with a place for the direction of each column.
    fn order(&self) -> &'static str {
        if self.message.has("time_created") {
            "time_created {desc}, id {desc}"
        } else {
            "id {desc}"
        }
    }

    fn newer_order(&self) -> &'static str {
        if self.newer.has("seq") { "seq" } else { "id" }
    }

    fn turns(&self, reading: &mut Reading<'_>) -> Step {
        let id = reading.session.id.clone();
        reading.session.bytes = self.bytes(&id)?;
        let mut newest = 0;
        if self.has_messages() {
            // Only places are sorted where no index has the order; texts are fetched one by one.
            let order = self.order().replace(" {desc}", "");
            let places =
                format!("SELECT rowid FROM message WHERE session_id = ?1 ORDER BY {order}");
            let short = self.message.short(&["id", "time_created"]);
            let document = self.message.document("data");
            let select = format!("SELECT {short}, {document} FROM message WHERE rowid = ?1");
            self.database.each(&places, [&id], &mut |place| {
                let place = rows::number(place, 0);
                self.database.each(&select, [place], &mut |row| {
                    newest = newest.max(rows::number(row, 1));
                    self.message(row, place, reading)
                })
            })?;
        }
        if self.has_newer() { self.newer(&id, newest, reading) } else { Ok(()) }
    }

    fn bytes(&self, id: &str) -> Step<u64> {
        let mut bytes = 0;
        for table in [&self.message, &self.part, &self.newer] {
            if table.lacks(&["session_id", "data"]) {
                continue;
            }
            let name = table.name;
            let sum = format!("SELECT sum(octet_length(data)) FROM {name} WHERE session_id = ?1");
            bytes += self.database.first(&sum, [id], |row| rows::count(row, 0))?.unwrap_or(0);
        }
        Ok(bytes)
    }

    fn message(&self, row: &Row<'_>, place: i64, reading: &mut Reading<'_>) -> Step {
        let id = rows::text(row, 0);
        let cell = Cell { table: "message", column: "data", rowid: place };
        let Some(document) = self.database.document(row, 2, cell, reading.gaps())? else {
            return Ok(());
        };
        let names = ["role", "time", "modelID", "model", "summary"];
        let [role, time, model_id, model, summary] = json::inner(whole(&document), names);
        let role = match json::text(role).as_deref() {
            Some("user") => Role::User,
            Some("assistant") => Role::Assistant,
            _ => {
                reading.gaps().unknown_records += 1;
                return Ok(());
            }
        };
        let [created] = json::inner(time, ["created"]);
        let [of_model] = json::inner(model, ["modelID"]);
        let mut turn = Turn {
            id,
            role,
            at: json::moment(created).or_else(|| rows::moment(row, 1)),
            model: json::words(model_id).or_else(|| json::words(of_model)),
            is_side: false,
            parts: Vec::new(),
        };
        if role == Role::User {
            turn.model = None;
        }
        if reading.wants_turns() || (role == Role::User && reading.wants_words()) {
            let is_summary = role == Role::Assistant && json::is_true(summary);
            turn.parts = self.parts(turn.id.as_deref(), role, is_summary, reading)?;
        }
        reading.message(turn)
    }

    fn parts(
        &self,
        message: Option<&str>,
        role: Role,
        is_summary: bool,
        reading: &mut Reading<'_>,
    ) -> Step<Vec<super::super::Part>> {
        let mut found = Parts::default();
        if !self.has_parts() {
            return Ok(Vec::new());
        }
        let places = "SELECT rowid FROM part WHERE message_id = ?1 ORDER BY id";
        let document = self.part.document("data");
        let select = format!("SELECT {document} FROM part WHERE rowid = ?1");
        self.database.each(places, [message], &mut |place| {
            let rowid = rows::number(place, 0);
            self.database.each(&select, [rowid], &mut |row| {
                let cell = Cell { table: "part", column: "data", rowid };
                let document = self.database.document(row, 0, cell, reading.gaps())?;
                let Some(fields) = document.as_deref().and_then(PartFields::of) else {
                    return Ok(());
                };
                if role == Role::User
                    && let Some(words) = fields.words()
                {
                    reading.words(&words);
                }
                fields.put(is_summary, &mut found, reading.gaps());
                Ok(())
            })
        })?;
        Ok(found.take())
    }

    fn newer(&self, id: &str, newest: i64, reading: &mut Reading<'_>) -> Step {
        let order = self.newer_order();
        // Of a session that has both, what is new.
        let only = if self.has_messages() && self.newer.has("time_created") {
            "AND time_created > ?2 AND NOT EXISTS (SELECT 1 FROM message m WHERE m.id = session_message.id)"
        } else {
            "AND ?2 IS NOT NULL"
        };
        let places = format!(
            "SELECT rowid FROM session_message WHERE session_id = ?1 {only} ORDER BY {order}"
        );
        let short = self.newer.short(&["id", "time_created", "type"]);
        let document = self.newer.document("data");
        let select = format!("SELECT {short}, {document} FROM session_message WHERE rowid = ?1");
        self.database.each(&places, (id, newest), &mut |place| {
            let rowid = rows::number(place, 0);
            self.database.each(&select, [rowid], &mut |row| {
                let cell = Cell { table: "session_message", column: "data", rowid };
                let Some(document) = self.database.document(row, 3, cell, reading.gaps())? else {
                    return Ok(());
                };
                let kind = rows::text(row, 2).unwrap_or_default();
                let (id, at) = (rows::text(row, 0), rows::moment(row, 1));
                let turn = parts::newer_turn(&kind, whole(&document), id, at, reading.gaps());
                turn.map_or(Ok(()), |turn| reading.message(turn))
            })
        })
    }
}

/// Returns a document as a value.
fn whole(document: &str) -> Raw<'_> {
    serde_json::from_str(document).ok()
}
