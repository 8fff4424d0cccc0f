//! Crush's database in a project: `sessions`, and `messages` with a list of parts in JSON.
//!
//! After its migrations. Times are said to be milliseconds, and triggers write seconds: their size
//! tells. The project is the folder that the database's folder lies in. `revision`: the session's time and name, the number of
//! messages, and the length of the last, which grows while it is streamed.

use rusqlite::Row;

use super::super::{Gaps, Part, Role, Session, Source, Turn};
use super::Run;
use super::json::{self, Raw};
use super::reading::{Parts, Reading};
use super::rows::{self, Cell, Database, Revision, Step, Table};

pub(super) fn read(source: &Source<'_>, database: &Database<'_>, run: &mut Run<'_>) -> Step {
    let sessions = database.table("sessions")?;
    let messages = database.table("messages")?;
    if !sessions.has("id") {
        return Ok(());
    }
    let has_messages = !messages.lacks(&["session_id", "role", "parts"]);
    let columns = ["id", "parent_session_id", "title", "created_at", "updated_at"];
    let select = format!("SELECT {} FROM sessions", sessions.short(&columns));
    run.rows(database, &select, "sessions.id", &mut |run, row| {
        let Some(id) = rows::words(row, 0) else { return Ok(()) };
        let mut session = Session {
            project: project(source),
            parent: rows::words(row, 1),
            started: rows::moment(row, 3),
            last: rows::moment(row, 4).or_else(|| rows::moment(row, 3)),
            revision: run.revision(revision(database, row, has_messages, &id))?,
            id,
            ..Session::default()
        };
        session.gaps.is_other_schema = !has_messages || sessions.lacks(&["title", "updated_at"]);
        let title = rows::words(row, 2).filter(|title| title != "New Session");
        run.session(session, |reading| {
            reading.name(title.as_deref());
            if has_messages { turns(database, &messages, reading) } else { Ok(()) }
        })
    })
}

/// Returns the folder that `.crush` lies in.
fn project(source: &Source<'_>) -> Option<String> {
    let root = std::str::from_utf8(source.root).ok()?;
    let below = std::str::from_utf8(source.relative).ok()?;
    let whole = if below.is_empty() { root.to_owned() } else { format!("{root}/{below}") };
    let (folder, _file) = whole.rsplit_once('/')?;
    let (project, _data) = folder.rsplit_once('/')?;
    Some(project.to_owned())
}

fn revision(database: &Database<'_>, row: &Row<'_>, has_messages: bool, id: &str) -> Step<u64> {
    let mut revision = Revision::new();
    revision.row(row, 5);
    if has_messages {
        let count = "SELECT count(*), max(rowid) FROM messages WHERE session_id = ?1";
        let last = "SELECT octet_length(parts) FROM messages WHERE session_id = ?1 \
                    ORDER BY rowid DESC LIMIT 1";
        for (sql, columns) in [(count, 2), (last, 1)] {
            database.each(sql, [id], &mut |row| {
                revision.row(row, columns);
                Ok(())
            })?;
        }
    }
    Ok(revision.finish())
}

fn turns(database: &Database<'_>, messages: &Table, reading: &mut Reading<'_>) -> Step {
    let id = reading.session.id.clone();
    let sum = "SELECT sum(octet_length(parts)) FROM messages WHERE session_id = ?1";
    reading.session.bytes = database.first(sum, [&id], |row| rows::count(row, 0))?.unwrap_or(0);
    let order = if messages.has("created_at") { "created_at, rowid" } else { "rowid" };
    let places = format!("SELECT rowid FROM messages WHERE session_id = ?1 ORDER BY {order}");
    let short = messages.short(&["id", "role", "model", "created_at", "is_summary_message"]);
    let document = messages.document("parts");
    let select = format!("SELECT {short}, {document} FROM messages WHERE rowid = ?1");
    database.each(&places, [&id], &mut |place| {
        let rowid = rows::number(place, 0);
        database.each(&select, [rowid], &mut |row| {
            let cell = Cell { table: "messages", column: "parts", rowid };
            let Some(document) = database.document(row, 5, cell, reading.gaps())? else {
                return Ok(());
            };
            let role = match rows::text(row, 1).as_deref() {
                Some("user") => Role::User,
                Some("assistant") => Role::Assistant,
                Some("tool") => Role::Tool,
                Some("system") => Role::System,
                _ => {
                    reading.gaps().unknown_records += 1;
                    return Ok(());
                }
            };
            let is_summary = rows::number(row, 4) != 0;
            let mut parts = Parts::default();
            let is_list = json::items(&document, &mut |item| {
                part(Some(item), is_summary, &mut parts, reading.gaps());
                true
            });
            if !is_list {
                reading.gaps().bad_records += 1;
            }
            let model = rows::words(row, 2).filter(|_| role == Role::Assistant);
            let (id, at) = (rows::words(row, 0), rows::moment(row, 3));
            reading.message(Turn { id, role, at, model, is_side: false, parts: parts.take() })
        })
    })
}

fn part(item: Raw<'_>, is_summary: bool, parts: &mut Parts, gaps: &mut Gaps) {
    let [kind, data] = json::inner(item, ["type", "data"]);
    let names = [
        "text",
        "thinking",
        "id",
        "name",
        "input",
        "tool_call_id",
        "content",
        "is_error",
        "MIMEType",
        "Data",
        "mime_type",
        "data",
    ];
    let [text, thinking, id, name, input, call, content, failed, mime, bytes, mime2, bytes2] =
        json::inner(data, names);
    match json::text(kind).as_deref() {
        Some("text") if is_summary => {
            parts.push(Part::Compaction { summary: json::words(text) }, gaps);
        }
        Some("text") => parts.text(json::text(text), gaps),
        Some("reasoning") => parts.reasoning(json::text(thinking), gaps),
        Some("tool_call") => {
            let name = json::text(name).unwrap_or_default();
            let input = json::text_or_json(input).unwrap_or_default();
            parts.push(Part::Call { id: json::text(id), name, input }, gaps);
        }
        Some("tool_result") => {
            let text = json::text_or_json(content).unwrap_or_default();
            let is_error = json::is_true(failed);
            parts.push(Part::Result { id: json::text(call), text, is_error }, gaps);
        }
        Some("binary") => {
            let kind = json::text(mime.or(mime2)).unwrap_or_default();
            parts.push(Part::Media { kind, bytes: json::stored_bytes(bytes.or(bytes2)) }, gaps);
        }
        Some("image_url") => parts.push(Part::Media { kind: "image".to_owned(), bytes: 0 }, gaps),
        Some("finish") => {}
        _ => gaps.unknown_records += 1,
    }
}
