//! One message of a Gemini chat.

use std::ops::ControlFlow;

use super::blocks::{make_answer, make_call, parts, person, readable};
use super::draft::{Draft, Step};
use super::json::Raw;
use super::value::{Part, Role};

/// Takes the moment of a message, whether it counts or not.
pub(super) fn moments(draft: &mut Draft<'_>, message: Raw<'_>) {
    let at = message.field("timestamp").and_then(Raw::moment);
    draft.session.started = draft.session.started.or(at);
    draft.session.last = at.max(draft.session.last);
}

/// Takes one message: the person's, the model's with its thoughts and calls, and then what the tools
/// answered, or a notice.
pub(super) fn take(draft: &mut Draft<'_>, message: Raw<'_>) -> ControlFlow<()> {
    let [id, at, kind, content, model, thoughts, calls] =
        message.get(["id", "timestamp", "type", "content", "model", "thoughts", "toolCalls"]);
    let id = id.and_then(Raw::text);
    let model = model.and_then(Raw::text);
    let step = Step {
        id: id.as_deref(),
        at: at.and_then(Raw::moment),
        model: model.as_deref(),
        ..Step::default()
    };
    match &*kind.and_then(Raw::text).unwrap_or_default() {
        "user" => {
            let (role, words) = person(content);
            if draft.wants_title()
                && let Some(words) = words
            {
                draft.said(&words);
            }
            draft.step(role, &step, || parts(content))
        }
        "gemini" | "qwen" | "assistant" | "model" => {
            draft.step(Role::Assistant, &step, || {
                let mut said = Vec::new();
                thoughts.unwrap_or_else(nothing).elements(|thought| {
                    said.extend(reasoning(thought));
                    ControlFlow::Continue(())
                });
                said.extend(parts(content));
                calls.unwrap_or_else(nothing).elements(|call| {
                    let [id, name, input] = call.get(["id", "name", "args"]);
                    said.push(make_call(id, name, input));
                    ControlFlow::Continue(())
                });
                said
            })?;
            let mut flow = ControlFlow::Continue(());
            calls.unwrap_or_else(nothing).elements(|call| {
                flow = answer(draft, call, &step);
                flow
            });
            flow
        }
        "info" | "error" | "warning" | "system" => {
            draft.step(Role::System, &step, || parts(content))
        }
        _ => {
            draft.session.gaps.unknown_records += 1;
            ControlFlow::Continue(())
        }
    }
}

/// A list without elements.
fn nothing<'a>() -> Raw<'a> {
    Raw::EMPTY_LIST
}

fn reasoning(thought: Raw<'_>) -> Option<Part> {
    let [subject, description] = thought.get(["subject", "description"]);
    let words: Vec<_> =
        [subject, description].into_iter().flatten().filter_map(Raw::words).collect();
    (!words.is_empty()).then(|| Part::Reasoning(words.join("\n")))
}

fn answer(draft: &mut Draft<'_>, call: Raw<'_>, step: &Step<'_>) -> ControlFlow<()> {
    let [id, result, shown, status, at] =
        call.get(["id", "result", "resultDisplay", "status", "timestamp"]);
    let result = result.filter(|it| !it.is_null());
    let Some(result) = result.or(shown).filter(|it| !it.is_null()) else {
        return ControlFlow::Continue(());
    };
    let at = at.and_then(Raw::moment).or(step.at);
    let step = Step { at, ..Step::default() };
    draft.step(Role::Tool, &step, || {
        let is_error = status.and_then(Raw::text).is_some_and(|it| it == "error");
        let mut text = String::new();
        for part in parts(Some(result)) {
            if let Part::Result { text: words, .. } | Part::Text(words) = part {
                text.push_str(&words);
            }
        }
        if text.is_empty() {
            text = readable(result);
        }
        vec![make_answer(id, Some(text), is_error)]
    })
}
