//! The content of messages: blocks of text, thoughts, tools' calls and answers, images.
//!
//! Agents write the same few kinds of blocks under slightly different names; all of these are known here,
//! so that a fork of an agent reads like the original.

use std::borrow::Cow;
use std::ops::ControlFlow;

use super::cutter::MAX_STRING;
use super::json::Raw;
use super::title::is_injected;
use super::value::{Part, Role};

/// Returns a message's content as parts: a string, one block, or a list of blocks.
pub(super) fn parts(content: Option<Raw<'_>>) -> Vec<Part> {
    let mut parts = Vec::new();
    let Some(content) = content else { return parts };
    if content.is_object() {
        block(content, &mut parts);
    } else if let Some(text) = content.words() {
        parts.push(Part::Text(text));
    } else {
        content.elements(|element| {
            if let Some(text) = element.words() {
                parts.push(Part::Text(text));
            } else {
                block(element, &mut parts);
            }
            ControlFlow::Continue(())
        });
    }
    parts
}

/// Returns the words of a content: its texts, each on lines of its own.
pub(super) fn text(content: Option<Raw<'_>>) -> Cow<'_, str> {
    let Some(content) = content else { return Cow::Borrowed("") };
    if let Some(text) = content.text() {
        return text;
    }
    let mut texts = String::new();
    for part in parts(Some(content)) {
        if let Part::Text(text) = part {
            if !texts.is_empty() {
                texts.push('\n');
            }
            texts.push_str(&text);
        }
    }
    Cow::Owned(texts)
}

/// Returns the words of the first block of text that satisfies `accept`.
pub(super) fn first_text(content: Raw<'_>, accept: impl Fn(&str) -> bool) -> Option<Cow<'_, str>> {
    if let Some(text) = content.text() {
        return Some(text).filter(|text| accept(text));
    }
    let mut found = None;
    content.elements(|element| {
        let text = element.text().or_else(|| match element.get(["type", "text"]) {
            [Some(kind), text] if is_text(&kind.text().unwrap_or_default()) => text?.text(),
            [None, text] => text?.text(),
            _ => None,
        });
        found = text.filter(|text| accept(text));
        if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    found
}

/// Returns whether a content holds answers of tools and nothing that a person wrote.
pub(super) fn is_answer(content: Raw<'_>) -> bool {
    let mut has_answer = false;
    content.elements(|element| {
        let kind = element.field("type").and_then(Raw::text).unwrap_or_default();
        has_answer = matches!(&*kind, "tool_result" | "toolResponse" | "tool-result")
            || (kind.is_empty() && element.field("functionResponse").is_some());
        if has_answer { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    has_answer
}

fn is_text(kind: &str) -> bool {
    matches!(kind, "text" | "input_text" | "output_text" | "summary_text" | "Text")
}

fn block(block: Raw<'_>, parts: &mut Vec<Part>) {
    let kind = block.field("type").and_then(Raw::text).unwrap_or_default();
    let part = match &*kind {
        "" => untyped(block),
        kind if is_text(kind) => block.field("text").and_then(Raw::words).map(Part::Text),
        "thinking" | "reasoning" | "reasoning_text" => reasoning(block),
        "redacted_thinking" => None,
        "tool_use" | "toolCall" | "tool-call" | "toolUse" => Some(call(block)),
        "tool_result" | "tool-result" => Some(answer(block)),
        "toolRequest" => Some(goose_call(block)),
        "toolResponse" => Some(goose_answer(block)),
        "image" | "input_image" | "image_url" | "document" | "file" | "input_file" | "audio"
        | "local_image" => Some(media(block)),
        _ => block.field("text").and_then(Raw::words).map(Part::Text),
    };
    parts.extend(part);
}

/// A part as Gemini's interface has it: told by the name of its field.
fn untyped(block: Raw<'_>) -> Option<Part> {
    let [text, thought, call, answer, inline, file] = block.get([
        "text",
        "thought",
        "functionCall",
        "functionResponse",
        "inlineData",
        "fileData",
    ]);
    if let Some(call) = call {
        let [id, name, input] = call.get(["id", "name", "args"]);
        return Some(make_call(id, name, input));
    }
    if let Some(answer) = answer {
        let [id, response] = answer.get(["id", "response"]);
        return Some(make_answer(id, response.map(response_text), false));
    }
    if let Some(data) = inline.or(file) {
        let [kind, bytes] = data.get(["mimeType", "data"]);
        return Some(make_media(kind, bytes));
    }
    let text = text?.words()?;
    Some(if thought.is_some_and(Raw::is_true) { Part::Reasoning(text) } else { Part::Text(text) })
}

fn response_text(response: Raw<'_>) -> String {
    let [output, error] = response.get(["output", "error"]);
    let text = output.or(error).and_then(Raw::words);
    text.unwrap_or_else(|| readable(response))
}

fn reasoning(block: Raw<'_>) -> Option<Part> {
    let [thinking, text, reasoning] = block.get(["thinking", "text", "reasoning"]);
    thinking.or(text).or(reasoning)?.words().map(Part::Reasoning)
}

fn call(block: Raw<'_>) -> Part {
    let [id, other_id, name, other_name, input, arguments] =
        block.get(["id", "toolCallId", "name", "toolName", "input", "arguments"]);
    make_call(id.or(other_id), name.or(other_name), input.or(arguments))
}

fn answer(block: Raw<'_>) -> Part {
    let [id, other_id, content, output, is_error] =
        block.get(["tool_use_id", "toolCallId", "content", "output", "is_error"]);
    let text = content.or(output).map(readable);
    make_answer(id.or(other_id), text, is_error.is_some_and(Raw::is_true))
}

fn goose_call(block: Raw<'_>) -> Part {
    let [id, call] = block.get(["id", "toolCall"]);
    let call = call.map(|call| call.field("value").unwrap_or(call));
    let [name, input] = call.map_or([None; 2], |call| call.get(["name", "arguments"]));
    make_call(id, name, input)
}

fn goose_answer(block: Raw<'_>) -> Part {
    let [id, result] = block.get(["id", "toolResult"]);
    let [status, value, error] =
        result.map_or([None; 3], |result| result.get(["status", "value", "error"]));
    let is_error = status.and_then(Raw::text).is_some_and(|it| it == "error");
    let value = value.map(|value| value.field("content").unwrap_or(value));
    make_answer(id, value.or(error).map(readable), is_error)
}

fn media(block: Raw<'_>) -> Part {
    let [source, kind, other, data, url, image_url] =
        block.get(["source", "mimeType", "media_type", "data", "url", "image_url"]);
    if let Some(source) = source.filter(|it| it.is_object()) {
        let [kind, data] = source.get(["media_type", "data"]);
        return make_media(kind, data);
    }
    let url = image_url.map(|it| it.field("url").unwrap_or(it)).or(url);
    make_media(kind.or(other), data.or(url).or(source))
}

/// Makes a call.
pub(super) fn make_call(
    id: Option<Raw<'_>>,
    name: Option<Raw<'_>>,
    input: Option<Raw<'_>>,
) -> Part {
    let input = input.filter(|it| !it.is_null());
    Part::Call {
        id: id.and_then(Raw::words),
        name: name.and_then(Raw::words).unwrap_or_default(),
        input: input.map_or_else(String::new, |input| {
            input.text().map_or_else(|| input.json().to_owned(), Cow::into_owned)
        }),
    }
}

/// Makes a tool's answer.
pub(super) fn make_answer(id: Option<Raw<'_>>, text: Option<String>, is_error: bool) -> Part {
    Part::Result { id: id.and_then(Raw::words), text: text.unwrap_or_default(), is_error }
}

/// Makes a part for an attachment of a type and of data in base64, perhaps as a `data:` address.
pub(super) fn make_media(kind: Option<Raw<'_>>, data: Option<Raw<'_>>) -> Part {
    let data = data.and_then(Raw::text).unwrap_or_default();
    let (head, bytes) = match data.strip_prefix("data:").and_then(|it| it.split_once(',')) {
        Some((head, bytes)) => (head.split(';').next().unwrap_or_default(), Some(bytes)),
        None if data.contains("://") || data.starts_with('/') => ("", None),
        None => ("", Some(&*data)),
    };
    let kind = kind.and_then(Raw::words).unwrap_or_else(|| head.to_owned());
    // Data of just that length was cut while it was read.
    let bytes = bytes.filter(|_| data.len() != MAX_STRING).map_or(0, |it| it.len() as u64);
    Part::Media { kind, bytes }
}

/// Returns a tool's answer as text: its texts, or JSON as it stands there.
pub(super) fn readable(content: Raw<'_>) -> String {
    if content.is_null() {
        return String::new();
    }
    let words = text(Some(content));
    if words.is_empty() && !content.json().starts_with('"') && !content.is_array() {
        content.json().to_owned()
    } else {
        words.into_owned()
    }
}

/// Returns who a message in the person's name is from, by its first words that are their own.
pub(super) fn person(content: Option<Raw<'_>>) -> (Role, Option<Cow<'_, str>>) {
    let Some(content) = content else { return (Role::User, None) };
    let words = first_text(content, |text| !text.trim().is_empty() && !is_injected(text));
    let is_person =
        words.is_some() || first_text(content, |text| !text.trim().is_empty()).is_none();
    (if is_person { Role::User } else { Role::System }, words)
}
