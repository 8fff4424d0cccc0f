//! One session of `OpenCode`'s database as the document that its `import` takes.
//!
//! `{"info": …, "messages": [{"info": …, "parts": […]}]}`: as the client 1.18.33 exports it, the
//! columns under the client's names, and each row's JSON with the ids that the client keeps in
//! columns. Written as rows are stepped; values of any size are copied as streams. That client takes
//! all of a document or stops within it: rows whose JSON is torn are left out, and fields that older
//! clients did not write are added.

use std::io::{self, Read, Write};

use rusqlite::{Connection, Row};
use serde_json::{Map, Value};

use super::super::Gaps;
use super::rows::{self, Cell, Database, Step, Stop, Table};
use super::{document, json};
use crate::error::{Error, Result};

/// Writes the session `id` to `out`.
///
/// Returns what could not be exported: rows whose JSON is torn, and what a newer client wrote in a
/// form that `import` does not take. An error: the database can't be read, `out` can't be written,
/// or there is no such session.
pub fn export_opencode(connection: &Connection, id: &str, out: &mut dyn Write) -> Result<Gaps> {
    let mut export = Export { out, gaps: Gaps::default(), failure: None };
    let done = match Database::new(connection) {
        Ok(database) => export.session(&database, id),
        Err(error) => Err(error.into()),
    };
    let doing = "cannot export the session";
    match (done, export.failure) {
        (_, Some(error)) => Err(Error::failed(doing).object(id).source(error)),
        (Err(Stop::Failed(error)), _) => Err(Error::failed(doing).object(id).source(error)),
        (Ok(true) | Err(Stop::Asked), None) => Ok(export.gaps),
        (Ok(false), None) => {
            Err(Error::failed(doing).object(id).source("there is no such session in this database"))
        }
    }
}

struct Export<'o> {
    out: &'o mut dyn Write,
    gaps: Gaps,
    /// Why `out` takes no more.
    failure: Option<io::Error>,
}

impl Export<'_> {
    /// Returns whether the session is there.
    fn session(&mut self, database: &Database<'_>, id: &str) -> Step<bool> {
        let session = database.table("session")?;
        if !session.has("id") {
            return Ok(false);
        }
        let columns = session.up_to(document::WHOLE_BYTES, &COLUMNS);
        let select = format!("SELECT {columns} FROM session WHERE session.id = ?1");
        let Some(info) = database.first(&select, [id], info)? else { return Ok(false) };
        self.write(b"{\"info\":")?;
        self.write(Value::Object(info).to_string().as_bytes())?;
        self.write(b",\"messages\":[")?;
        let message = database.table("message")?;
        let part = database.table("part")?;
        if message.lacks(&["id", "session_id", "data"]) {
            self.gaps.is_other_schema = true;
        } else {
            self.messages(database, id, &message, &part)?;
        }
        self.write(b"]}\n")?;
        if !database.table("session_message")?.lacks(&["session_id"]) {
            let newer = "SELECT count(*) FROM session_message WHERE session_id = ?1";
            self.gaps.unknown_records +=
                database.first(newer, [id], |row| rows::count(row, 0))?.unwrap_or(0);
        }
        Ok(true)
    }

    fn messages(
        &mut self,
        database: &Database<'_>,
        id: &str,
        message: &Table,
        part: &Table,
    ) -> Step {
        let order = if message.has("time_created") { "time_created, id" } else { "id" };
        let document = message.document("data");
        let select = format!(
            "SELECT rowid, id, {document} FROM message WHERE session_id = ?1 ORDER BY {order}"
        );
        let (mut is_first, mut question) = (true, None);
        database.each(&select, [id], &mut |row| {
            let cell = Cell { table: "message", column: "data", rowid: rows::number(row, 0) };
            let message = rows::text(row, 1).unwrap_or_default();
            let mut fields = missing(rows::bytes(row, 2), &message, &mut question);
            fields.extend([("id", message.as_str().into()), ("sessionID", id.into())]);
            let before: &[u8] = if is_first { b"{\"info\":" } else { b",{\"info\":" };
            if !self.value(database, cell, before, &fields)? {
                return Ok(());
            }
            is_first = false;
            self.write(b",\"parts\":[")?;
            if part.lacks(&["id", "message_id", "data"]) {
                self.gaps.is_other_schema = true;
            } else {
                self.parts(database, id, &message)?;
            }
            self.write(b"]}")
        })
    }

    fn parts(&mut self, database: &Database<'_>, session: &str, message: &str) -> Step {
        let select = "SELECT rowid, id FROM part WHERE message_id = ?1 ORDER BY id";
        let mut is_first = true;
        database.each(select, [message], &mut |row| {
            let cell = Cell { table: "part", column: "data", rowid: rows::number(row, 0) };
            let id = rows::text(row, 1).unwrap_or_default();
            let fields =
                [("id", id.into()), ("sessionID", session.into()), ("messageID", message.into())];
            let before: &[u8] = if is_first { b"" } else { b"," };
            is_first &= !self.value(database, cell, before, &fields)?;
            Ok(())
        })
    }

    /// Writes `before`, and an object of the database with `fields` as its last, which is what
    /// counts where a name is there twice. Writes nothing and returns `false` if it is no object.
    fn value(
        &mut self,
        database: &Database<'_>,
        cell: Cell<'_>,
        before: &[u8],
        fields: &[(&str, Value)],
    ) -> Step<bool> {
        // Read twice: what is written can't be taken back.
        let mut has_fields = false;
        let is_object = database
            .blob(cell)
            .is_ok_and(|blob| json::is_object(Watched { blob, has_fields: &mut has_fields }));
        if !is_object {
            self.gaps.bad_records += 1;
            return Ok(false);
        }
        self.write(before)?;
        let mut blob = database.blob(cell)?;
        let mut bytes = vec![0; 64 << 10];
        // Space at the end, and the bracket before it, wait until it is known that more follows.
        let mut waiting = Vec::new();
        loop {
            let count = blob.read(&mut bytes).map_err(|error| rows::damaged(&error))?;
            let read = bytes.get(..count).unwrap_or_default();
            if read.is_empty() {
                break;
            }
            let end = read.iter().rposition(|byte| !byte.is_ascii_whitespace());
            if let Some(end) = end {
                self.write(&std::mem::take(&mut waiting))?;
                self.write(read.get(..end).unwrap_or_default())?;
                waiting.extend_from_slice(read.get(end..).unwrap_or_default());
            } else if waiting.len() < bytes.len() {
                waiting.extend_from_slice(read);
            }
        }
        for (index, (name, field)) in fields.iter().enumerate() {
            if has_fields || index > 0 {
                self.write(b",")?;
            }
            self.write(format!("\"{name}\":{field}").as_bytes())?;
        }
        self.write(b"}")?;
        Ok(true)
    }

    fn write(&mut self, bytes: &[u8]) -> Step {
        self.out.write_all(bytes).map_err(|error| {
            self.failure = Some(error);
            Stop::Asked
        })
    }
}

/// Returns the fields that older clients did not write, and without which a newer one takes no
/// message. `question` is the last message of the user, which an answer names.
fn missing(
    data: Option<&[u8]>,
    message: &str,
    question: &mut Option<String>,
) -> Vec<(&'static str, Value)> {
    let text = data.and_then(|data| std::str::from_utf8(data).ok()).unwrap_or_default();
    let names = ["role", "agent", "mode", "model", "parentID"];
    let [role, agent, mode, model, parent] = json::fields(text, names).unwrap_or_default();
    let one =
        json::words(agent).or_else(|| json::words(mode)).unwrap_or_else(|| "build".to_owned());
    let mut fields = Vec::new();
    let mut add = |is_missing: bool, name, value| {
        if is_missing {
            fields.push((name, value));
        }
    };
    match json::text(role).as_deref() {
        Some("user") => {
            *question = Some(message.to_owned());
            let unknown = serde_json::json!({"providerID": "unknown", "modelID": "unknown"});
            add(!json::is_some(agent), "agent", one.into());
            add(!json::is_some(model), "model", unknown);
        }
        Some("assistant") => {
            let question = question.clone().unwrap_or_else(|| message.to_owned());
            add(!json::is_some(agent), "agent", one.clone().into());
            add(!json::is_some(mode), "mode", one.into());
            add(!json::is_some(parent), "parentID", question.into());
        }
        _ => {}
    }
    fields
}

/// Passes a value on, and notes whether it holds any field.
struct Watched<'w, R> {
    blob: R,
    has_fields: &'w mut bool,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.blob.read(bytes)?;
        *self.has_fields |= bytes.iter().take(count).any(|byte| *byte == b':');
        Ok(count)
    }
}

const COLUMNS: [&str; 29] = [
    "id",
    "slug",
    "project_id",
    "workspace_id",
    "directory",
    "path",
    "parent_id",
    "title",
    "version",
    "share_url",
    "summary_additions",
    "summary_deletions",
    "summary_files",
    "summary_diffs",
    "cost",
    "tokens_input",
    "tokens_output",
    "tokens_reasoning",
    "tokens_cache_read",
    "tokens_cache_write",
    "agent",
    "model",
    "metadata",
    "permission",
    "revert",
    "time_created",
    "time_updated",
    "time_compacting",
    "time_archived",
];

/// Returns the session's own fields, under the client's names.
fn info(row: &Row<'_>) -> Map<String, Value> {
    let column = |name: &str| COLUMNS.iter().position(|its| *its == name).unwrap_or(usize::MAX);
    let text = |name: &str| rows::text(row, column(name)).map(Value::from);
    let number = |name: &str| {
        let number = rows::text(row, column(name))?;
        serde_json::from_str::<Value>(&number).ok().filter(Value::is_number)
    };
    let document = |name: &str| serde_json::from_str(&rows::text(row, column(name))?).ok();
    let group = |fields: Vec<(&str, Option<Value>)>| {
        let fields: Map<_, _> = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect();
        (!fields.is_empty()).then_some(Value::Object(fields))
    };
    let summary = group(vec![
        ("additions", number("summary_additions")),
        ("deletions", number("summary_deletions")),
        ("files", number("summary_files")),
        ("diffs", document("summary_diffs")),
    ]);
    let cache =
        group(vec![("read", number("tokens_cache_read")), ("write", number("tokens_cache_write"))]);
    let tokens = group(vec![
        ("input", number("tokens_input")),
        ("output", number("tokens_output")),
        ("reasoning", number("tokens_reasoning")),
        ("cache", cache),
    ]);
    let time = group(vec![
        ("created", number("time_created")),
        ("updated", number("time_updated").or_else(|| number("time_created"))),
        ("compacting", number("time_compacting")),
        ("archived", number("time_archived")),
    ]);
    let share = text("share_url").and_then(|url| group(vec![("url", Some(url))]));
    let all = vec![
        ("id", text("id")),
        // The client takes no session without these.
        ("slug", text("slug").or_else(|| text("id"))),
        ("projectID", text("project_id").or_else(|| Some("global".into()))),
        ("workspaceID", text("workspace_id")),
        ("directory", text("directory").or_else(|| Some("/".into()))),
        ("path", text("path")),
        ("parentID", text("parent_id")),
        ("summary", summary),
        ("cost", number("cost")),
        ("tokens", tokens),
        ("share", share),
        ("title", text("title").or_else(|| text("id"))),
        ("agent", text("agent")),
        ("model", document("model")),
        ("version", text("version").or_else(|| Some("0".into()))),
        ("metadata", document("metadata")),
        ("time", time),
        ("permission", document("permission")),
        ("revert", document("revert")),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}
