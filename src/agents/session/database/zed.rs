//! Zed's database of threads: each is one JSON document, plain or compressed with zstd. After its
//! source, as others describe it: documents 0.3.0 and 0.2.0, which lie beside each other.
//!
//! Messages have no times. `revision`: the row's time and the length of its document.

use std::io::Read;

use serde_json::value::RawValue;

use super::super::{Gaps, Part, Role, Session, Source, Turn};
use super::json::{self, Raw};
use super::reading::{Parts, Reading};
use super::rows::{self, Cell, Database, Revision, Step};
use super::{Run, document};

/// A document may refer back no further than this, as a power of two: so much memory it costs.
const WINDOW_LOG: u32 = 24;

pub(super) fn read(_: &Source<'_>, database: &Database<'_>, run: &mut Run<'_>) -> Step {
    let threads = database.table("threads")?;
    if !threads.has("id") {
        return Ok(());
    }
    let columns =
        ["id", "summary", "updated_at", "data_type", "parent_id", "folder_paths", "created_at"];
    let (short, length) = (threads.short(&columns), threads.column("data"));
    let select = format!("SELECT rowid, octet_length({length}), {short} FROM threads");
    run.rows(database, &select, "threads.id", &mut |run, row| {
        let Some(id) = rows::words(row, 2) else { return Ok(()) };
        let rowid = rows::number(row, 0);
        let mut revision = Revision::new();
        revision.number(rows::number(row, 1));
        let updated = rows::text(row, 4).unwrap_or_default();
        updated.bytes().for_each(|byte| revision.number(i64::from(byte)));
        let folders = rows::words(row, 7);
        let mut session = Session {
            project: folders.and_then(|paths| paths.lines().next().map(str::to_owned)),
            parent: rows::words(row, 6),
            started: rows::moment(row, 8),
            last: rows::moment(row, 4),
            bytes: rows::count(row, 1),
            revision: revision.finish(),
            id,
            ..Session::default()
        };
        session.gaps.is_other_schema = threads.lacks(&["summary", "updated_at", "data"]);
        let (title, kind) = (rows::words(row, 3), rows::text(row, 5));
        run.session(session, |reading| {
            reading.name(title.as_deref());
            if !threads.has("data") {
                return Ok(());
            }
            let is_zstd = kind.as_deref().is_none_or(|kind| kind == "zstd");
            let text = text(database, rowid, is_zstd, reading.gaps())?;
            text.map_or(Ok(()), |text| thread(&text, reading))
        })
    })
}

fn text(
    database: &Database<'_>,
    rowid: i64,
    is_zstd: bool,
    gaps: &mut Gaps,
) -> Step<Option<String>> {
    let cell = Cell { table: "threads", column: "data", rowid };
    unpacked(database, cell, is_zstd, gaps)
}

/// Reads a document that may be compressed, in bounds.
pub(super) fn unpacked(
    database: &Database<'_>,
    cell: Cell<'_>,
    is_zstd: bool,
    gaps: &mut Gaps,
) -> Step<Option<String>> {
    let Ok(mut blob) = database.blob(cell) else {
        // Neither text nor bytes.
        gaps.bad_records += 1;
        return Ok(None);
    };
    if !is_zstd {
        return document::read(&mut blob, gaps).map_err(|error| rows::damaged(&error));
    }
    let Some(mut stream) = decoder(blob) else {
        gaps.bad_records += 1;
        return Ok(None);
    };
    // Bad compression is the record's fault, not the database's.
    Ok(document::read(&mut stream, gaps).unwrap_or_else(|_| {
        gaps.is_torn = true;
        None
    }))
}

/// Returns a stream of what is compressed, whose memory is bounded.
pub(super) fn decoder<'r>(packed: impl Read + 'r) -> Option<impl Read + 'r> {
    let mut decoder = zstd::stream::read::Decoder::new(packed).ok()?;
    decoder.window_log_max(WINDOW_LOG).ok()?;
    Some(decoder)
}

fn thread(text: &str, reading: &mut Reading<'_>) -> Step {
    let names = ["title", "summary", "messages", "model", "updated_at"];
    let Some([title, summary, messages, model, updated]) = json::fields(text, names) else {
        reading.gaps().bad_records += 1;
        return Ok(());
    };
    if reading.session.title.is_none() {
        let title = json::words(title).or_else(|| json::words(summary));
        reading.name(title.as_deref());
    }
    let [model] = json::inner(model, ["model"]);
    let model = json::words(model);
    reading.session.model.clone_from(&model);
    reading.saw(json::moment(updated));
    let Some(messages) = messages else { return Ok(()) };
    let mut result = Ok(());
    json::items(messages.get(), &mut |message| {
        result = match json::inner(Some(message), ["role"]) {
            [Some(role)] => old_message(role, message, reading),
            [None] => new_message(message, model.as_ref(), reading),
        };
        result.is_ok()
    });
    result
}

/// A message of 0.3.0: `{"User": …}`, `{"Agent": …}`, or `"Resume"`.
fn new_message(message: &RawValue, model: Option<&String>, reading: &mut Reading<'_>) -> Step {
    if json::text(Some(message)).as_deref() == Some("Resume") {
        return Ok(());
    }
    let Some((kind, value)) = json::tagged(message) else {
        reading.gaps().bad_records += 1;
        return Ok(());
    };
    let role = match kind.as_str() {
        "User" => Role::User,
        "Agent" => Role::Assistant,
        _ => {
            reading.gaps().unknown_records += 1;
            return Ok(());
        }
    };
    let [id, content, results] = json::inner(Some(value), ["id", "content", "tool_results"]);
    let mut parts = Parts::default();
    if let Some(content) = content {
        json::items(content.get(), &mut |item| {
            new_part(item, &mut parts, reading.gaps());
            true
        });
    }
    if let Some(results) = results {
        json::entries(results.get(), &mut |id, value| {
            answer(Some(id.to_owned()), Some(value), &mut parts, reading.gaps());
        });
    }
    let model = model.filter(|_| role == Role::Assistant).cloned();
    let (id, parts) = (json::words(id), parts.take());
    reading.message(Turn { id, role, at: None, model, is_side: false, parts })
}

fn new_part(item: &RawValue, parts: &mut Parts, gaps: &mut Gaps) {
    let Some((kind, value)) = json::tagged(item) else {
        gaps.bad_records += 1;
        return;
    };
    let names = ["text", "content", "id", "name", "input", "raw_input", "source"];
    let [text, content, id, name, input, raw, source] = json::inner(Some(value), names);
    match kind.as_str() {
        "Text" => parts.text(json::text(Some(value)), gaps),
        "Thinking" => parts.reasoning(json::text(text), gaps),
        "Mention" => parts.text(json::text(content), gaps),
        "Image" => {
            let bytes = json::stored_bytes(source);
            parts.push(Part::Media { kind: "image/png".to_owned(), bytes }, gaps);
        }
        "ToolUse" => {
            let name = json::text(name).unwrap_or_default();
            let input = json::text_or_json(input.or(raw)).unwrap_or_default();
            parts.push(Part::Call { id: json::text(id), name, input }, gaps);
        }
        "RedactedThinking" => {}
        _ => gaps.unknown_records += 1,
    }
}

fn answer(id: Option<String>, value: Raw<'_>, parts: &mut Parts, gaps: &mut Gaps) {
    let [content, output, failed] = json::inner(value, ["content", "output", "is_error"]);
    let text = json::text(content).or_else(|| {
        let (kind, value) = json::tagged(content?)?;
        if kind == "Text" { json::text(Some(value)) } else { None }
    });
    let text = text.or_else(|| json::text_or_json(output)).unwrap_or_default();
    parts.push(Part::Result { id, text, is_error: json::is_true(failed) }, gaps);
}

/// A message of 0.2.0, with segments, or of before, with a text.
fn old_message(role: &RawValue, message: &RawValue, reading: &mut Reading<'_>) -> Step {
    let role = match json::text(Some(role)).as_deref() {
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("system") => Role::System,
        _ => {
            reading.gaps().unknown_records += 1;
            return Ok(());
        }
    };
    let names = ["id", "segments", "text", "tool_uses", "tool_results"];
    let [id, segments, text, calls, results] = json::inner(Some(message), names);
    let mut parts = Parts::default();
    let gaps = reading.gaps();
    parts.text(json::text(text), gaps);
    if let Some(segments) = segments {
        json::items(segments.get(), &mut |segment| {
            let [kind, text] = json::inner(Some(segment), ["type", "text"]);
            match json::text(kind).as_deref() {
                Some("text") => parts.text(json::text(text), gaps),
                Some("thinking") => parts.reasoning(json::text(text), gaps),
                Some("redacted_thinking") => {}
                _ => gaps.unknown_records += 1,
            }
            true
        });
    }
    for call in json::list(calls) {
        let [id, name, input] = json::inner(Some(call), ["id", "name", "input"]);
        let name = json::text(name).unwrap_or_default();
        let input = json::text_or_json(input).unwrap_or_default();
        parts.push(Part::Call { id: json::text(id), name, input }, gaps);
    }
    for result in json::list(results) {
        let [id] = json::inner(Some(result), ["tool_use_id"]);
        answer(json::text(id), Some(result), &mut parts, gaps);
    }
    let (id, parts) = (json::text_or_json(id), parts.take());
    reading.message(Turn { id, role, at: None, model: None, is_side: false, parts })
}
