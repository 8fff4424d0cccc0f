//! Goose's database: `sessions`, and `messages` with a list of contents in JSON.
//!
//! After its session manager's source, schema versions 5 and later. `revision`: the session's time,
//! and how many messages there are up to which number: the client adds messages, or replaces all.

use rusqlite::Row;

use super::super::{Gaps, Part, Role, Session, Source, Turn};
use super::Run;
use super::json::{self, Raw};
use super::reading::{Parts, Reading};
use super::rows::{self, Cell, Database, Revision, Step, Table};

/// Names that the client gives by itself.
const UNNAMED: [&str; 3] = ["CLI Session", "New Chat", "New session"];

pub(super) fn read(_: &Source<'_>, database: &Database<'_>, run: &mut Run<'_>) -> Step {
    let sessions = database.table("sessions")?;
    let messages = database.table("messages")?;
    if !sessions.has("id") {
        return Ok(());
    }
    let has_messages = !messages.lacks(&["session_id", "role", "content_json"]);
    let columns = [
        "id",
        "name",
        "description",
        "working_dir",
        "created_at",
        "updated_at",
        "parent_session_id",
        "model_config_json",
    ];
    let select = format!("SELECT {} FROM sessions", sessions.short(&columns));
    run.rows(database, &select, "sessions.id", &mut |run, row| {
        let Some(id) = rows::words(row, 0) else { return Ok(()) };
        let model = rows::text(row, 7).and_then(|config| {
            let [name] = json::fields(&config, ["model_name"])?;
            json::words(name)
        });
        let mut session = Session {
            project: rows::words(row, 3),
            started: rows::moment(row, 4),
            last: rows::moment(row, 5).or_else(|| rows::moment(row, 4)),
            parent: rows::words(row, 6),
            revision: run.revision(revision(database, row, has_messages, &id))?,
            model,
            id,
            ..Session::default()
        };
        session.gaps.is_other_schema =
            !has_messages || sessions.lacks(&["working_dir", "updated_at"]);
        let name = rows::words(row, 1).or_else(|| rows::words(row, 2));
        let name = name.filter(|name| !UNNAMED.contains(&name.as_str()));
        run.session(session, |reading| {
            reading.name(name.as_deref());
            if has_messages { turns(database, &messages, reading) } else { Ok(()) }
        })
    })
}

fn revision(database: &Database<'_>, row: &Row<'_>, has_messages: bool, id: &str) -> Step<u64> {
    let mut revision = Revision::new();
    for index in [1, 5] {
        let text = rows::text(row, index).unwrap_or_default();
        text.bytes().for_each(|byte| revision.number(i64::from(byte)));
        revision.number(-1);
    }
    if has_messages {
        let count = "SELECT count(*), max(rowid) FROM messages WHERE session_id = ?1";
        database.each(count, [id], &mut |row| {
            revision.row(row, 2);
            Ok(())
        })?;
        // The last message grows while it is streamed.
        let length = "SELECT octet_length(content_json) FROM messages WHERE session_id = ?1 \
                      ORDER BY rowid DESC LIMIT 1";
        database.each(length, [id], &mut |row| {
            revision.row(row, 1);
            Ok(())
        })?;
    }
    Ok(revision.finish())
}

fn turns(database: &Database<'_>, messages: &Table, reading: &mut Reading<'_>) -> Step {
    let id = reading.session.id.clone();
    let sum = "SELECT sum(octet_length(content_json)) FROM messages WHERE session_id = ?1";
    reading.session.bytes = database.first(sum, [&id], |row| rows::count(row, 0))?.unwrap_or(0);
    let order =
        if messages.has("created_timestamp") { "created_timestamp, rowid" } else { "rowid" };
    let places = format!("SELECT rowid FROM messages WHERE session_id = ?1 ORDER BY {order}");
    let names = ["message_id", "id", "role", "created_timestamp", "timestamp", "metadata_json"];
    let (short, document) = (messages.short(&names), messages.document("content_json"));
    let select = format!("SELECT {short}, {document} FROM messages WHERE rowid = ?1");
    database.each(&places, [&id], &mut |place| {
        let rowid = rows::number(place, 0);
        database.each(&select, [rowid], &mut |row| {
            let cell = Cell { table: "messages", column: "content_json", rowid };
            let Some(content) = database.document(row, 6, cell, reading.gaps())? else {
                return Ok(());
            };
            let metadata = rows::text(row, 5).unwrap_or_default();
            let [for_user, for_agent] =
                json::fields(&metadata, ["userVisible", "agentVisible"]).unwrap_or_default();
            // What only the model sees, such as a summary, the agent said to itself.
            let is_inner =
                for_user.is_some_and(|it| it.get() == "false") && json::is_true(for_agent);
            let role = match rows::text(row, 2).as_deref() {
                _ if is_inner => Role::System,
                Some("user") => Role::User,
                Some("assistant") => Role::Assistant,
                Some("system") => Role::System,
                _ => {
                    reading.gaps().unknown_records += 1;
                    return Ok(());
                }
            };
            let mut parts = Parts::default();
            let is_list = json::items(&content, &mut |item| {
                part(Some(item), &mut parts, reading.gaps());
                true
            });
            if !is_list {
                reading.gaps().bad_records += 1;
            }
            reading.message(Turn {
                id: rows::words(row, 0).or_else(|| rows::words(row, 1)),
                role,
                at: rows::moment(row, 3).or_else(|| rows::moment(row, 4)),
                model: None,
                is_side: false,
                parts: parts.take(),
            })
        })
    })
}

fn part(item: Raw<'_>, parts: &mut Parts, gaps: &mut Gaps) {
    let names =
        ["type", "text", "thinking", "id", "toolCall", "toolResult", "data", "mimeType", "msg"];
    let [kind, text, thinking, id, call, result, data, mime, notice] = json::inner(item, names);
    match json::text(kind).as_deref() {
        Some("text") => parts.text(json::text(text), gaps),
        Some("thinking" | "reasoning") => parts.reasoning(json::text(thinking.or(text)), gaps),
        Some("image") => {
            let kind = json::text(mime).unwrap_or_default();
            parts.push(Part::Media { kind, bytes: json::stored_bytes(data) }, gaps);
        }
        Some("toolRequest" | "frontendToolRequest") => {
            let [value] = json::inner(call, ["value"]);
            // The oldest ones have the call itself there.
            let [name, input] = json::inner(value.or(call), ["name", "arguments"]);
            let name = json::text(name).unwrap_or_default();
            let input = json::text_or_json(input).unwrap_or_default();
            parts.push(Part::Call { id: json::text(id), name, input }, gaps);
        }
        Some("toolResponse") => {
            let [status, value, error] = json::inner(result, ["status", "value", "error"]);
            let [content, failed] = json::inner(value, ["content", "isError"]);
            let is_error = json::text(status).as_deref() == Some("error") || json::is_true(failed);
            let text = json::text(error).unwrap_or_else(|| texts(content.or(value)));
            parts.push(Part::Result { id: json::text(id), text, is_error }, gaps);
        }
        Some("conversationCompacted") => {
            parts.push(Part::Compaction { summary: json::words(notice) }, gaps);
        }
        // Questions to the user, and notices of the client.
        Some(
            "redactedThinking"
            | "toolConfirmationRequest"
            | "actionRequired"
            | "contextLengthExceeded"
            | "summarizationRequested"
            | "systemNotification",
        ) => {}
        _ => gaps.unknown_records += 1,
    }
}

/// Joins the texts of a tool's answer: a list of contents, or a text.
fn texts(value: Raw<'_>) -> String {
    if let Some(text) = json::text(value) {
        return text;
    }
    let mut found = String::new();
    for item in json::list(value) {
        let [text, resource] = json::inner(Some(item), ["text", "resource"]);
        let [inner] = json::inner(resource, ["text"]);
        if let Some(text) = json::words(text.or(inner)) {
            if !found.is_empty() {
                found.push('\n');
            }
            found.push_str(&text);
        }
    }
    found
}
