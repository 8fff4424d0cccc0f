//! The database of one chat of Cursor's command line: `meta`, where the key `0` holds JSON in
//! hexadecimal, and `blobs`, named by their hash. All second-hand.
//!
//! A blob is a message in JSON, or a list of blobs: fields of 32 bytes that name others. The list
//! that `meta` calls the latest has the order; where it leads nowhere, the order of insertion has.
//! Messages have no times. `revision` is 0: the file holds one session.

use std::collections::HashSet;

use rusqlite::Row;
use serde_json::value::RawValue;

use super::super::{Gaps, Part, Role, Session, Source, Turn};
use super::Run;
use super::json::{self, Raw};
use super::reading::{Parts, Reading};
use super::rows::{self, Cell, Database, Step, Table};

/// Lists of lists are followed to this depth.
const DEPTH: usize = 16;
/// So many blobs are followed, so that a crafted graph ends.
const MAXIMUM_BLOBS: usize = 1 << 20;
/// A list of blobs has at most this many bytes.
const LIST_BYTES: usize = 4 << 20;

pub(super) fn read(source: &Source<'_>, database: &Database<'_>, run: &mut Run<'_>) -> Step {
    let meta = database.table("meta")?;
    let blobs = database.table("blobs")?;
    let mut about = None;
    if !meta.lacks(&["key", "value"]) {
        let select = format!("SELECT {} FROM meta WHERE key = '0'", meta.short(&["value"]));
        about = database.first(&select, [], |row| rows::text(row, 0).and_then(|it| unhex(&it)))?;
    }
    let about = about.flatten().unwrap_or_default();
    let names = ["agentId", "latestRootBlobId", "name", "createdAt", "lastUsedModel"];
    let [id, root, name, created, model] = json::fields(&about, names).unwrap_or_default();
    let id = json::words(id).or_else(|| folder(source.relative));
    let Some(id) = id else { return Ok(()) };
    let mut session =
        Session { id, bytes: source.size, model: json::words(model), ..Session::default() };
    session.gaps.is_other_schema = about.is_empty() || blobs.lacks(&["id", "data"]);
    run.session(session, |reading| {
        reading.saw(json::moment(created));
        let name = json::words(name).filter(|name| name != "New Agent");
        reading.name(name.as_deref());
        if blobs.lacks(&["id", "data"]) {
            return Ok(());
        }
        let mut graph = Graph { database, blobs: &blobs, seen: HashSet::new(), message_count: 0 };
        if let Some(root) = json::words(root) {
            graph.follow(&root, 0, reading)?;
        }
        if graph.message_count == 0 { graph.all(reading) } else { Ok(()) }
    })
}

/// Returns the name of the folder that a file lies in, which is the chat's id.
fn folder(relative: &[u8]) -> Option<String> {
    let path = String::from_utf8_lossy(relative);
    path.rsplit('/').nth(1).filter(|name| !name.is_empty()).map(str::to_owned)
}

/// Returns what a text is the hexadecimal form of; some versions write JSON as it is.
fn unhex(text: &str) -> Option<String> {
    if text.trim_start().starts_with('{') {
        return Some(text.to_owned());
    }
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits?;
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| high << 4 | low).collect();
    if rest.is_empty() { String::from_utf8(bytes).ok() } else { None }
}

struct Graph<'d> {
    database: &'d Database<'d>,
    blobs: &'d Table,
    seen: HashSet<String>,
    message_count: u64,
}

impl Graph<'_> {
    /// Reads a blob, and those that it names.
    fn follow(&mut self, id: &str, depth: usize, reading: &mut Reading<'_>) -> Step {
        if depth > DEPTH || self.seen.len() >= MAXIMUM_BLOBS || !self.seen.insert(id.to_owned()) {
            return Ok(());
        }
        let document = self.blobs.document("data");
        let select = format!("SELECT rowid, {document} FROM blobs WHERE id = ?1");
        let mut names = Vec::new();
        self.database.each(&select, [id], &mut |row| {
            let bytes = rows::bytes(row, 1);
            if bytes.is_some_and(|bytes| !is_json(bytes)) {
                names = bytes.map(named).unwrap_or_default();
                return Ok(());
            }
            self.message_count += 1;
            self.message(row, id, reading)
        })?;
        names.iter().try_for_each(|name| self.follow(name, depth + 1, reading))
    }

    /// Reads all messages as they were inserted.
    fn all(&mut self, reading: &mut Reading<'_>) -> Step {
        let places = "SELECT rowid, substr(id, 1, 128) FROM blobs ORDER BY rowid";
        let document = self.blobs.document("data");
        let select = format!("SELECT rowid, {document} FROM blobs WHERE rowid = ?1");
        let database = self.database;
        database.each(places, [], &mut |place| {
            let id = rows::text(place, 1).unwrap_or_default();
            database.each(&select, [rows::number(place, 0)], &mut |row| match rows::bytes(row, 1) {
                Some(bytes) if !is_json(bytes) => Ok(()),
                _ => self.message(row, &id, reading),
            })
        })
    }

    fn message(&self, row: &Row<'_>, id: &str, reading: &mut Reading<'_>) -> Step {
        let cell = Cell { table: "blobs", column: "data", rowid: rows::number(row, 0) };
        let Some(document) = self.database.document(row, 1, cell, reading.gaps())? else {
            return Ok(());
        };
        turn(&document, id, reading)
    }
}

fn is_json(bytes: &[u8]) -> bool {
    bytes.first() == Some(&b'{')
}

/// Returns the blobs that a list names, in order: the fields of 32 bytes of a protocol buffer.
fn named(bytes: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = bytes.get(..bytes.len().min(LIST_BYTES)).unwrap_or_default();
    while let Some(field) = next_field(&mut rest) {
        if field.len() == 32 {
            let digit = |half: u8| char::from_digit(u32::from(half), 16);
            let digits = field.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
            names.push(digits.flatten().collect());
        }
    }
    names
}

/// Takes one field off; returns its bytes, none for a number; `None` where no field follows.
fn next_field<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let kind = varint(rest)? & 7;
    let length = match kind {
        0 => {
            varint(rest)?;
            0
        }
        1 => 8,
        2 => usize::try_from(varint(rest)?).ok()?,
        5 => 4,
        _ => return None,
    };
    let (field, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(if kind == 2 { field } else { &[] })
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn turn(document: &str, id: &str, reading: &mut Reading<'_>) -> Step {
    let Some([role, content]) = json::fields(document, ["role", "content"]) else {
        reading.gaps().bad_records += 1;
        return Ok(());
    };
    let mut role = match json::text(role).as_deref() {
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("tool") => Role::Tool,
        Some("system") => Role::System,
        _ => {
            reading.gaps().unknown_records += 1;
            return Ok(());
        }
    };
    let mut parts = Parts::default();
    let mut is_context = false;
    let mut add = |item: Raw<'_>, reading: &mut Reading<'_>| {
        let text = part(item, &mut parts, reading.gaps());
        if let Some(text) = text {
            if role == Role::User && reading.session.project.is_none() {
                reading.session.project = workspace(&text);
            }
            let (words, was_wrapped) = query(&text);
            // What the client tells the model about the machine comes under the user's name.
            is_context |= role == Role::User && !was_wrapped && text.starts_with("<user_info>");
            parts.text(Some(words.to_owned()), reading.gaps());
        }
    };
    match content {
        Some(content) if content.get().starts_with('[') => {
            json::items(content.get(), &mut |item: &RawValue| {
                add(Some(item), reading);
                true
            });
        }
        content => add(content, reading),
    }
    if is_context {
        role = Role::System;
    }
    let (id, parts) = (Some(id.to_owned()), parts.take());
    reading.message(Turn { id, role, at: None, model: None, is_side: false, parts })
}

/// Returns a text that is still to be added; adds anything else.
fn part(item: Raw<'_>, parts: &mut Parts, gaps: &mut Gaps) -> Option<String> {
    if let Some(text) = json::text(item) {
        return Some(text);
    }
    let names = [
        "type",
        "text",
        "toolCallId",
        "toolName",
        "args",
        "input",
        "result",
        "output",
        "isError",
        "mimeType",
        "mediaType",
        "image",
        "data",
    ];
    let [kind, text, call, name, args, input, result, output, failed, mime, media, image, data] =
        json::inner(item, names);
    match json::text(kind).as_deref() {
        Some("text") => return json::text(text),
        Some("reasoning") => parts.reasoning(json::text(text), gaps),
        Some("redacted-reasoning") => {}
        Some("tool-call") => {
            let name = json::text(name).unwrap_or_default();
            let input = json::text_or_json(args.or(input)).unwrap_or_default();
            parts.push(Part::Call { id: json::text(call), name, input }, gaps);
        }
        Some("tool-result") => {
            let text = answer(result.or(output));
            let is_error = json::is_true(failed);
            parts.push(Part::Result { id: json::text(call), text, is_error }, gaps);
        }
        Some("image" | "file") => {
            let kind = json::words(mime).or_else(|| json::words(media));
            let bytes = json::stored_bytes(image.or(data));
            parts.push(Part::Media { kind: kind.unwrap_or_default(), bytes }, gaps);
        }
        _ => gaps.unknown_records += 1,
    }
    None
}

/// A tool's answer: a text, a list of texts, or anything else as JSON.
fn answer(value: Raw<'_>) -> String {
    let mut texts = Vec::new();
    for item in json::list(value) {
        let [text] = json::inner(Some(item), ["text"]);
        texts.extend(json::text(text));
    }
    if texts.is_empty() { json::text_or_json(value).unwrap_or_default() } else { texts.join("\n") }
}

/// Returns what the user asked without its wrapper, and whether there was one.
fn query(text: &str) -> (&str, bool) {
    let inner = text
        .split_once("<user_query>")
        .map(|(_, inner)| inner.split_once("</user_query>").map_or(inner, |(inner, _)| inner));
    inner.map_or((text, false), |inner| (inner.trim(), true))
}

/// Returns the folder that the client tells the model of.
fn workspace(text: &str) -> Option<String> {
    let line = text.lines().take(64).find_map(|line| line.strip_prefix("Workspace Path:"))?;
    Some(line.trim().to_owned()).filter(|path| path.starts_with('/'))
}
