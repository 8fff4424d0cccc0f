//! Kiro's database: a conversation is one JSON value. `conversations_v2` by folder and id;
//! `conversations`, of before, by folder alone. Second-hand, but for what its predecessor published.
//!
//! `revision`: the row's time and the length of its value.

use rusqlite::Row;
use serde_json::value::RawValue;

use super::super::{Gaps, Part, Role, Session, Source, Turn};
use super::json::{self, Raw};
use super::reading::{Parts, Reading};
use super::rows::{self, Cell, Database, Revision, Step};
use super::{Run, Which};
use crate::time::Timestamp;

pub(super) fn read(_: &Source<'_>, database: &Database<'_>, run: &mut Run<'_>) -> Step {
    for (name, id) in [("conversations_v2", "conversation_id"), ("conversations", "key")] {
        let table = database.table(name)?;
        if table.lacks(&["key", "value"]) {
            continue;
        }
        let is_other_schema = table.lacks(&[id]);
        let id = if is_other_schema { "key" } else { id };
        let columns = [id, "key", "created_at", "updated_at"];
        let (short, document) = (table.short(&columns), table.document("value"));
        let select = format!("SELECT rowid, octet_length(value), {short} FROM {name}");
        let value = format!("SELECT {document} FROM {name} WHERE rowid = ?1");
        let condition = format!("{name}.{id}");
        let mut one = |run: &mut Run<'_>, row: &Row<'_>| {
            let rowid = rows::number(row, 0);
            let Some(id) = rows::words(row, 2) else { return Ok(()) };
            let mut revision = Revision::new();
            revision.number(rows::number(row, 1));
            revision.number(rows::number(row, 5));
            let mut session = Session {
                project: rows::words(row, 3),
                started: rows::moment(row, 4),
                last: rows::moment(row, 5),
                bytes: rows::count(row, 1),
                revision: revision.finish(),
                id,
                ..Session::default()
            };
            session.gaps.is_other_schema = is_other_schema;
            run.session(session, |reading| {
                let cell = Cell { table: name, column: "value", rowid };
                let mut document = None;
                database.each(&value, [rowid], &mut |row| {
                    document = database.document(row, 0, cell, reading.gaps())?;
                    Ok(())
                })?;
                document.map_or(Ok(()), |document| conversation(&document, reading))
            })
        };
        if matches!(run.which, Which::Ids(_)) {
            run.rows(database, &select, &condition, &mut one)?;
        } else {
            database.each(&select, [], &mut |row| one(run, row))?;
        }
    }
    Ok(())
}

fn conversation(document: &str, reading: &mut Reading<'_>) -> Step {
    let Some([history, summary]) = json::fields(document, ["history", "latest_summary"]) else {
        reading.gaps().bad_records += 1;
        return Ok(());
    };
    // A text, or a text and what it cost.
    let summary = json::words(summary)
        .or_else(|| json::list(summary).first().and_then(|first| json::words(Some(*first))));
    if summary.is_some() {
        let parts = vec![Part::Compaction { summary }];
        let (role, is_side) = (Role::System, false);
        reading.message(Turn { id: None, role, at: None, model: None, is_side, parts })?;
    }
    let Some(history) = history else { return Ok(()) };
    let mut result = Ok(());
    json::items(history.get(), &mut |entry| {
        result = exchange(entry, reading);
        result.is_ok()
    });
    result
}

/// One question and its answer: fields of an object, or, in older files, a pair.
fn exchange(entry: &RawValue, reading: &mut Reading<'_>) -> Step {
    let [mut user, mut assistant, metadata] =
        json::inner(Some(entry), ["user", "assistant", "request_metadata"]);
    if user.is_none() && assistant.is_none() {
        let mut pair = json::list(Some(entry)).into_iter();
        (user, assistant) = (pair.next(), pair.next());
    }
    if user.is_none() {
        reading.gaps().unknown_records += 1;
        return Ok(());
    }
    let names = ["model_id", "request_start_timestamp_ms", "stream_end_timestamp_ms"];
    let [model, begun, ended] = json::inner(metadata, names);
    let [content, timestamp, images] = json::inner(user, ["content", "timestamp", "images"]);
    let mut parts = Parts::default();
    question(content, &mut parts, reading.gaps());
    for _ in json::list(images) {
        parts.push(Part::Media { kind: "image".to_owned(), bytes: 0 }, reading.gaps());
    }
    let at = json::moment(timestamp).or_else(|| json::moment(begun));
    let (role, parts) = (Role::User, parts.take());
    reading.message(Turn { id: None, role, at, model: None, is_side: false, parts })?;
    let model = json::words(model).filter(|model| model != "auto");
    answer(assistant, model, json::moment(ended).or(at), reading)
}

fn question(content: Raw<'_>, parts: &mut Parts, gaps: &mut Gaps) {
    let Some((kind, value)) = content.and_then(json::tagged) else {
        gaps.unknown_records += 1;
        return;
    };
    let [prompt, results] = json::inner(Some(value), ["prompt", "tool_use_results"]);
    match kind.as_str() {
        "Prompt" | "ToolUseResults" | "CancelledToolUses" => {
            parts.text(json::text(prompt), gaps);
        }
        _ => gaps.unknown_records += 1,
    }
    for result in json::list(results) {
        let [id, content, status] = json::inner(Some(result), ["tool_use_id", "content", "status"]);
        let mut text = String::new();
        for piece in json::list(content) {
            if let Some((_, value)) = json::tagged(piece) {
                text.push_str(&json::text_or_json(Some(value)).unwrap_or_default());
            }
        }
        let is_error = json::text(status).as_deref() == Some("Error");
        parts.push(Part::Result { id: json::text(id), text, is_error }, gaps);
    }
}

fn answer(
    assistant: Raw<'_>,
    model: Option<String>,
    at: Option<Timestamp>,
    reading: &mut Reading<'_>,
) -> Step {
    let Some((_, value)) = assistant.and_then(json::tagged) else { return Ok(()) };
    let [id, content, calls] = json::inner(Some(value), ["message_id", "content", "tool_uses"]);
    let mut parts = Parts::default();
    parts.text(json::text(content), reading.gaps());
    for call in json::list(calls) {
        let [id, name, args] = json::inner(Some(call), ["id", "name", "args"]);
        let name = json::text(name).unwrap_or_default();
        let input = json::text_or_json(args).unwrap_or_default();
        parts.push(Part::Call { id: json::text(id), name, input }, reading.gaps());
    }
    let (role, parts) = (Role::Assistant, parts.take());
    reading.message(Turn { id: json::words(id), role, at, model, is_side: false, parts })
}
