//! What `OpenCode`'s messages are made of: the kinds of parts that the client 1.18.33 knows.

use super::super::{Gaps, Part, Role, Turn};
use super::json::{self, Raw};
use super::reading::Parts;
use crate::time::Timestamp;

/// The fields of one row of `part`.
pub(super) struct PartFields<'a> {
    kind: String,
    text: Raw<'a>,
    synthetic: Raw<'a>,
    tool: Raw<'a>,
    call: Raw<'a>,
    state: Raw<'a>,
    mime: Raw<'a>,
    url: Raw<'a>,
    prompt: Raw<'a>,
}

impl<'a> PartFields<'a> {
    pub(super) fn of(document: &'a str) -> Option<Self> {
        let names =
            ["type", "text", "synthetic", "tool", "callID", "state", "mime", "url", "prompt"];
        let [kind, text, synthetic, tool, call, state, mime, url, prompt] =
            json::fields(document, names)?;
        let kind = json::text(kind).unwrap_or_default();
        Some(PartFields { kind, text, synthetic, tool, call, state, mime, url, prompt })
    }

    /// Returns what a person wrote, if it is that.
    pub(super) fn words(&self) -> Option<String> {
        (self.kind == "text" && !json::is_true(self.synthetic)).then(|| json::words(self.text))?
    }

    /// Adds what it is to the parts of its message.
    pub(super) fn put(&self, is_summary: bool, parts: &mut Parts, gaps: &mut Gaps) {
        match self.kind.as_str() {
            "text" if is_summary => {
                parts.push(Part::Compaction { summary: json::words(self.text) }, gaps);
            }
            "text" => parts.text(json::text(self.text), gaps),
            "reasoning" => parts.reasoning(json::text(self.text), gaps),
            "subtask" => parts.text(json::text(self.prompt), gaps),
            "file" => parts.push(media(self.mime, self.url), gaps),
            "tool" => self.tool(parts, gaps),
            // The request for a summary (the summary is a message), a name that the text has too,
            // and the client's own notes.
            "compaction" | "agent" | "snapshot" | "patch" | "step-start" | "step-finish"
            | "retry" => {}
            _ => gaps.unknown_records += 1,
        }
    }

    fn tool(&self, parts: &mut Parts, gaps: &mut Gaps) {
        let names = ["status", "input", "output", "error", "attachments", "raw"];
        let [status, input, output, error, attachments, raw] = json::inner(self.state, names);
        let id = json::text(self.call);
        let name = json::text(self.tool).unwrap_or_default();
        let input = json::text_or_json(input).or_else(|| json::text(raw)).unwrap_or_default();
        parts.push(Part::Call { id: id.clone(), name, input }, gaps);
        match json::text(status).as_deref() {
            Some("completed") => {
                let text = json::text_or_json(output).unwrap_or_default();
                parts.push(Part::Result { id, text, is_error: false }, gaps);
            }
            Some("error") => {
                let text = json::text_or_json(error).unwrap_or_default();
                parts.push(Part::Result { id, text, is_error: true }, gaps);
            }
            _ => {}
        }
        for attachment in json::list(attachments) {
            let [mime, url] = json::inner(Some(attachment), ["mime", "url"]);
            parts.push(media(mime, url), gaps);
        }
    }
}

/// A file: its bytes, if they lie there, are in its address.
fn media(mime: Raw<'_>, url: Raw<'_>) -> Part {
    let is_inside = url.is_some_and(|url| url.get().starts_with("\"data:"));
    let bytes = if is_inside { json::stored_bytes(url) } else { 0 };
    Part::Media { kind: json::text(mime).unwrap_or_default(), bytes }
}

/// Returns the turn that a row of `session_message` is; `None` for the client's own notes.
pub(super) fn newer_turn(
    kind: &str,
    data: Raw<'_>,
    id: Option<String>,
    at: Option<Timestamp>,
    gaps: &mut Gaps,
) -> Option<Turn> {
    let names =
        ["text", "files", "content", "model", "summary", "command", "output", "callID", "time"];
    let [text, files, content, model, summary, command, output, call, time] =
        json::inner(data, names);
    let mut parts = Parts::default();
    let mut of_model = None;
    let role = match kind {
        "user" => {
            parts.text(json::text(text), gaps);
            for file in json::list(files) {
                let [mime, uri, url] = json::inner(Some(file), ["mime", "uri", "url"]);
                parts.push(media(mime, uri.or(url)), gaps);
            }
            Role::User
        }
        "assistant" => {
            let [id] = json::inner(model, ["id"]);
            of_model = json::words(id);
            if let Some(content) = content {
                json::items(content.get(), &mut |item| {
                    newer_part(Some(item), &mut parts, gaps);
                    true
                });
            }
            Role::Assistant
        }
        "synthetic" | "system" => {
            parts.text(json::text(text), gaps);
            Role::System
        }
        "shell" => {
            let (id, input) = (json::text(call), json::text(command).unwrap_or_default());
            parts.push(Part::Call { id: id.clone(), name: "shell".to_owned(), input }, gaps);
            let text = json::text(output).unwrap_or_default();
            parts.push(Part::Result { id, text, is_error: false }, gaps);
            Role::User
        }
        "compaction" => {
            parts.push(Part::Compaction { summary: json::words(summary) }, gaps);
            Role::System
        }
        "agent-switched" | "model-switched" => return None,
        _ => {
            gaps.unknown_records += 1;
            return None;
        }
    };
    let [created] = json::inner(time, ["created"]);
    let at = json::moment(created).or(at);
    Some(Turn { id, role, at, model: of_model, is_side: false, parts: parts.take() })
}

fn newer_part(item: Raw<'_>, parts: &mut Parts, gaps: &mut Gaps) {
    let [kind, text, id, name, state] = json::inner(item, ["type", "text", "id", "name", "state"]);
    match json::text(kind).as_deref() {
        Some("text") => parts.text(json::text(text), gaps),
        Some("reasoning") => parts.reasoning(json::text(text), gaps),
        Some("tool") => {
            let names = ["status", "input", "content", "error", "result", "structured"];
            let [status, input, content, error, result, structured] = json::inner(state, names);
            let id = json::text(id);
            let name = json::text(name).unwrap_or_default();
            let input = json::text_or_json(input).unwrap_or_default();
            parts.push(Part::Call { id: id.clone(), name, input }, gaps);
            let mut answer = String::new();
            for piece in json::list(content) {
                let [text] = json::inner(Some(piece), ["text"]);
                answer.push_str(&json::text(text).unwrap_or_default());
            }
            match json::text(status).as_deref() {
                Some("completed") => {
                    if answer.is_empty() {
                        let other = json::text_or_json(result);
                        answer =
                            other.or_else(|| json::text_or_json(structured)).unwrap_or_default();
                    }
                    parts.push(Part::Result { id, text: answer, is_error: false }, gaps);
                }
                Some("error") => {
                    let [message] = json::inner(error, ["message"]);
                    let text = json::words(message).unwrap_or(answer);
                    parts.push(Part::Result { id, text, is_error: true }, gaps);
                }
                _ => {}
            }
        }
        _ => gaps.unknown_records += 1,
    }
}
