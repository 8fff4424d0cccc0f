//! The table of keys and values of Cursor's editor: `composerData:<id>` is a session, and
//! `bubbleId:<id>:<bubble>` a message. All second-hand: the editor's source is closed.
//!
//! The list of headers in the session's value has the order; the keys have none. Older sessions hold
//! their messages in that value. A message of the editor holds one piece: words, a thought, or one
//! call with its result.
//!
//! `revision`: the table replaces a row when it writes it, so that the newest row number of a
//! session's keys is another after each change. An index has these: no value is read.

use rusqlite::Row;
use serde_json::value::RawValue;

use super::super::{Gaps, Part, Role, Session, Source, Turn};
use super::json::{self, Raw};
use super::reading::{Parts, Reading};
use super::rows::{self, Cell, Database, Revision, Step, Table};
use super::{Run, Which};

const SESSION: &str = "composerData:";
const TABLE: &str = "cursorDiskKV";

pub(super) fn read(_: &Source<'_>, database: &Database<'_>, run: &mut Run<'_>) -> Step {
    let table = database.table(TABLE)?;
    if table.lacks(&["key", "value"]) {
        return Ok(());
    }
    // The character after the colon ends the range of keys that begin alike.
    let select = format!(
        "SELECT rowid, key FROM {TABLE} WHERE key >= '{SESSION}' AND key < 'composerData;'"
    );
    let one = |run: &mut Run<'_>, row: &Row<'_>| -> Step {
        let (rowid, key) = (rows::number(row, 0), rows::text(row, 1).unwrap_or_default());
        let Some(id) = key.strip_prefix(SESSION).filter(|id| !id.is_empty()) else {
            return Ok(());
        };
        let revision = run.revision(revision(database, rowid, id))?;
        let session = Session { id: id.to_owned(), revision, ..Session::default() };
        run.session(session, |reading| Composer { database, table: &table }.read(rowid, reading))
    };
    if let Which::Ids(ids) = run.which {
        for id in ids {
            let select = format!("SELECT rowid, key FROM {TABLE} WHERE key = ?1");
            database.each(&select, [format!("{SESSION}{id}")], &mut |row| one(run, row))?;
        }
        return Ok(());
    }
    database.each(&select, [], &mut |row| one(run, row))
}

/// Returns the bounds of the keys of a session's messages.
fn bounds(id: &str) -> (String, String) {
    (format!("bubbleId:{id}:"), format!("bubbleId:{id};"))
}

fn revision(database: &Database<'_>, rowid: i64, id: &str) -> Step<u64> {
    let mut revision = Revision::new();
    revision.number(rowid);
    let length = format!("SELECT octet_length(value) FROM {TABLE} WHERE rowid = ?1");
    database.each(&length, [rowid], &mut |row| {
        revision.row(row, 1);
        Ok(())
    })?;
    let count = format!("SELECT count(*), max(rowid) FROM {TABLE} WHERE key >= ?1 AND key < ?2");
    database.each(&count, bounds(id), &mut |row| {
        revision.row(row, 2);
        Ok(())
    })?;
    Ok(revision.finish())
}

struct Composer<'d> {
    database: &'d Database<'d>,
    table: &'d Table,
}

impl Composer<'_> {
    fn read(&self, rowid: i64, reading: &mut Reading<'_>) -> Step {
        let id = reading.session.id.clone();
        let sum =
            format!("SELECT sum(octet_length(value)) FROM {TABLE} WHERE key >= ?1 AND key < ?2");
        let bubbles = self.database.first(&sum, bounds(&id), |row| rows::count(row, 0))?;
        let length = format!("SELECT octet_length(value) FROM {TABLE} WHERE rowid = ?1");
        let own = self.database.first(&length, [rowid], |row| rows::count(row, 0))?;
        reading.session.bytes = bubbles.unwrap_or(0) + own.unwrap_or(0);
        let Some(document) = self.value("rowid = ?1", rowid, reading.gaps())? else {
            return Ok(());
        };
        let names = [
            "name",
            "createdAt",
            "lastUpdatedAt",
            "fullConversationHeadersOnly",
            "conversation",
            "modelConfig",
        ];
        let Some([name, created, updated, headers, conversation, model]) =
            json::fields(&document, names)
        else {
            reading.gaps().bad_records += 1;
            return Ok(());
        };
        let [model] = json::inner(model, ["modelName"]);
        reading.session.model = json::words(model).filter(|model| model != "default");
        reading.saw(json::moment(created));
        reading.saw(json::moment(updated));
        let name = json::words(name).filter(|name| name != "New Agent" && name != "New Chat");
        reading.name(name.as_deref());
        let mut result = Ok(());
        if let Some(headers) = headers.filter(|it| it.get() != "[]" && it.get() != "null") {
            json::items(headers.get(), &mut |header| {
                result = self.bubble(&id, header, reading);
                result.is_ok()
            });
        } else if let Some(conversation) = conversation {
            json::items(conversation.get(), &mut |bubble| {
                result = turn(Some(bubble), reading);
                result.is_ok()
            });
        }
        result
    }

    fn value(
        &self,
        condition: &str,
        of: impl rusqlite::ToSql,
        gaps: &mut Gaps,
    ) -> Step<Option<String>> {
        let document = self.table.document("value");
        let select = format!("SELECT rowid, {document} FROM {TABLE} WHERE {condition}");
        let mut found = None;
        self.database.each(&select, [of], &mut |row| {
            let cell = Cell { table: TABLE, column: "value", rowid: rows::number(row, 0) };
            found = self.database.document(row, 1, cell, gaps)?;
            Ok(())
        })?;
        Ok(found)
    }

    fn bubble(&self, id: &str, header: &RawValue, reading: &mut Reading<'_>) -> Step {
        let [bubble] = json::inner(Some(header), ["bubbleId"]);
        let Some(bubble) = json::words(bubble) else {
            reading.gaps().bad_records += 1;
            return Ok(());
        };
        let before = reading.session.gaps;
        let key = format!("bubbleId:{id}:{bubble}");
        if let Some(document) = self.value("key = ?1", key, reading.gaps())? {
            return turn(serde_json::from_str(&document).ok(), reading);
        }
        // A message that is listed, and is gone.
        if reading.session.gaps == before {
            reading.gaps().bad_records += 1;
        }
        Ok(())
    }
}

fn turn(bubble: Raw<'_>, reading: &mut Reading<'_>) -> Step {
    let names = [
        "type",
        "text",
        "rawText",
        "createdAt",
        "timestamp",
        "thinking",
        "toolFormerData",
        "images",
        "modelInfo",
        "workspaceProjectDir",
        "workspaceUris",
        "bubbleId",
    ];
    let [kind, text, raw_text, created, timestamp, thinking, tool, images, model, folder, uris, id] =
        json::inner(bubble, names);
    let role = match json::number(kind) {
        Some(1) => Role::User,
        Some(2) => Role::Assistant,
        _ => {
            reading.gaps().unknown_records += 1;
            return Ok(());
        }
    };
    if reading.session.project.is_none() {
        let uri = json::list(uris).first().and_then(|uri| json::words(Some(*uri)));
        // The folder may be one of the editor's own, which is named after the project's.
        let folder = json::words(folder).filter(|folder| !folder.contains("/.cursor/projects/"));
        reading.session.project = uri.as_deref().and_then(path_of).or(folder);
    }
    let mut parts = Parts::default();
    let gaps = reading.gaps();
    let [thought] = json::inner(thinking, ["text"]);
    parts.reasoning(json::text(thought.or(thinking)), gaps);
    parts.text(json::words(text).or_else(|| json::words(raw_text)), gaps);
    for image in json::list(images) {
        let [mime, data] = json::inner(Some(image), ["mimeType", "data"]);
        let kind = json::words(mime).unwrap_or_else(|| "image".to_owned());
        parts.push(Part::Media { kind, bytes: json::stored_bytes(data) }, gaps);
    }
    if json::is_some(tool) {
        call(tool, &mut parts, gaps);
    }
    let [model] = json::inner(model, ["modelName"]);
    reading.message(Turn {
        id: json::words(id),
        role,
        at: json::moment(created).or_else(|| json::moment(timestamp)),
        model: json::words(model).filter(|model| role == Role::Assistant && model != "default"),
        is_side: false,
        parts: parts.take(),
    })
}

/// Returns the path that a `file:` address names.
fn path_of(uri: &str) -> Option<String> {
    let mut rest = uri.strip_prefix("file://")?.bytes();
    let mut path = Vec::new();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            path.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        path.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
    }
    String::from_utf8(path).ok().filter(|path| path.starts_with('/'))
}

fn call(tool: Raw<'_>, parts: &mut Parts, gaps: &mut Gaps) {
    let names = ["name", "toolCallId", "rawArgs", "params", "result", "status", "error"];
    let [name, id, raw, params, result, status, error] = json::inner(tool, names);
    let id = json::words(id);
    let name = json::text(name).unwrap_or_default();
    let input = json::words(raw).or_else(|| json::text_or_json(params)).unwrap_or_default();
    parts.push(Part::Call { id: id.clone(), name, input }, gaps);
    let status = json::text(status);
    let is_error = matches!(status.as_deref(), Some("error" | "cancelled"));
    let answer = json::text_or_json(result).or_else(|| json::text_or_json(error));
    if answer.is_some() || is_error {
        let text = answer.unwrap_or_default();
        parts.push(Part::Result { id, text, is_error }, gaps);
    }
}
