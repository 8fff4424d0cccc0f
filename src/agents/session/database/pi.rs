//! One event of a session as Pi writes it, which `OpenClaw` keeps in rows: a header, then messages
//! and notes in an envelope.

use super::super::{Gaps, Part, Role, Turn};
use super::json::{self, Raw};
use super::reading::{Parts, Reading};
use super::rows::Step;
use crate::time::Timestamp;

/// Reads one event. `at` is when its row was written, for an event without a time.
pub(super) fn event(document: &str, at: Option<Timestamp>, reading: &mut Reading<'_>) -> Step {
    let names = [
        "type",
        "id",
        "timestamp",
        "cwd",
        "parentSession",
        "message",
        "summary",
        "name",
        "content",
        "modelId",
    ];
    let Some([kind, id, time, cwd, parent, message, summary, name, content, model]) =
        json::fields(document, names)
    else {
        reading.gaps().bad_records += 1;
        return Ok(());
    };
    let at = json::moment(time).or(at);
    reading.saw(at);
    let mut turn = Turn {
        id: json::words(id),
        role: Role::System,
        at,
        model: None,
        is_side: false,
        parts: Vec::new(),
    };
    match json::text(kind).as_deref() {
        Some("session") => {
            let session = &mut reading.session;
            session.project = json::words(cwd).or(session.project.take());
            session.parent = session.parent.take().or_else(|| json::words(parent));
            return Ok(());
        }
        Some("message") => return said(message, turn, reading),
        Some("session_info") => {
            reading.name(json::words(name).as_deref());
            return Ok(());
        }
        Some("model_change") => {
            if let Some(model) = json::words(model) {
                reading.session.model = Some(model);
            }
            return Ok(());
        }
        Some("compaction") => turn.parts = vec![Part::Compaction { summary: json::words(summary) }],
        Some("branch_summary") => turn.parts.extend(json::words(summary).map(Part::Text)),
        Some("custom_message") => {
            let mut parts = Parts::default();
            contents(content, &mut parts, reading.gaps());
            turn.parts = parts.take();
        }
        Some("thinking_level_change" | "custom" | "label" | "leaf") => return Ok(()),
        _ => {
            reading.gaps().unknown_records += 1;
            return Ok(());
        }
    }
    reading.message(turn)
}

fn said(message: Raw<'_>, mut turn: Turn, reading: &mut Reading<'_>) -> Step {
    let names = [
        "role",
        "content",
        "model",
        "toolCallId",
        "isError",
        "command",
        "output",
        "summary",
        "timestamp",
    ];
    let [role, content, model, call, failed, command, output, summary, time] =
        json::inner(message, names);
    turn.at = turn.at.or_else(|| json::moment(time));
    let mut parts = Parts::default();
    let gaps = reading.gaps();
    match json::text(role).as_deref() {
        Some("user") => {
            turn.role = Role::User;
            contents(content, &mut parts, gaps);
        }
        Some("assistant") => {
            turn.role = Role::Assistant;
            turn.model = json::words(model);
            contents(content, &mut parts, gaps);
        }
        Some("toolResult" | "tool") => {
            turn.role = Role::Tool;
            let (text, media) = answer(content, gaps);
            let is_error = json::is_true(failed);
            parts.push(Part::Result { id: json::text(call), text, is_error }, gaps);
            for media in media {
                parts.push(media, gaps);
            }
        }
        Some("bashExecution") => {
            turn.role = Role::User;
            let input = json::text(command).unwrap_or_default();
            parts.push(Part::Call { id: None, name: "bash".to_owned(), input }, gaps);
            let text = json::text(output).unwrap_or_default();
            parts.push(Part::Result { id: None, text, is_error: false }, gaps);
        }
        Some("compactionSummary") => {
            parts.push(Part::Compaction { summary: json::words(summary) }, gaps);
        }
        Some("branchSummary") => parts.text(json::text(summary), gaps),
        Some("system" | "custom" | "hookMessage") => contents(content, &mut parts, gaps),
        _ => {
            gaps.unknown_records += 1;
            return Ok(());
        }
    }
    turn.parts = parts.take();
    reading.message(turn)
}

/// Adds contents: a text, or a list of pieces.
fn contents(content: Raw<'_>, parts: &mut Parts, gaps: &mut Gaps) {
    let Some(value) = content else { return };
    if json::text(content).is_some() {
        parts.text(json::text(content), gaps);
        return;
    }
    let is_list = json::items(value.get(), &mut |item| {
        piece(Some(item), parts, gaps);
        true
    });
    if !is_list && json::is_some(content) {
        gaps.bad_records += 1;
    }
}

fn piece(item: Raw<'_>, parts: &mut Parts, gaps: &mut Gaps) {
    let names = [
        "type",
        "text",
        "thinking",
        "id",
        "name",
        "arguments",
        "input",
        "data",
        "mimeType",
        "content",
        "tool_use_id",
        "is_error",
    ];
    let [kind, text, thinking, id, name, arguments, input, data, mime, content, call, failed] =
        json::inner(item, names);
    match json::text(kind).as_deref() {
        Some("text") => parts.text(json::text(text), gaps),
        Some("thinking" | "reasoning") => parts.reasoning(json::text(thinking.or(text)), gaps),
        Some("image") => {
            let kind = json::text(mime).unwrap_or_default();
            parts.push(Part::Media { kind, bytes: json::stored_bytes(data) }, gaps);
        }
        Some("toolCall" | "tool_use") => {
            let name = json::text(name).unwrap_or_default();
            let input = json::text_or_json(arguments.or(input)).unwrap_or_default();
            parts.push(Part::Call { id: json::text(id), name, input }, gaps);
        }
        Some("toolResult" | "tool_result") => {
            let (text, _) = answer(content, gaps);
            let is_error = json::is_true(failed);
            parts.push(Part::Result { id: json::text(call), text, is_error }, gaps);
        }
        Some("redacted_thinking") => {}
        _ => gaps.unknown_records += 1,
    }
}

/// Returns the text of a tool's answer, and the images in it.
fn answer(content: Raw<'_>, gaps: &mut Gaps) -> (String, Vec<Part>) {
    let mut parts = Parts::default();
    contents(content, &mut parts, gaps);
    let (mut texts, mut media) = (Vec::new(), Vec::new());
    for part in parts.take() {
        match part {
            Part::Text(text) => texts.push(text),
            Part::Media { .. } => media.push(part),
            _ => {}
        }
    }
    (texts.join("\n"), media)
}
