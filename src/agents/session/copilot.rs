//! `copilot-events`: a log of typed events in a folder for each session.
//!
//! A session without a word of the person's is none: a resume leaves such folders behind.

use std::io::Read;
use std::ops::ControlFlow;

use super::blocks::{make_answer, make_call, parts, person, readable};
use super::draft::{Draft, Name, Step};
use super::json::{Raw, Record};
use super::lines::{Lines, LongLines, Records, read_records};
use super::source::Source;
use super::value::{Gaps, Part, Role, Sink, Wanted};
use crate::error::Result;

/// What events are called that are no turns, up to the point.
const FAMILIES: &[&str] = &[
    "abort",
    "assistant",
    "command",
    "elicitation",
    "external_tool",
    "hook",
    "mcp",
    "mode",
    "pending_messages",
    "permission",
    "plan",
    "sampling",
    "session",
    "skill",
    "subagent",
    "system",
    "tool",
    "user",
    "user_input",
];
/// Lines of `workspace.yaml` that are looked at; it has about ten.
const MAX_LINES: usize = 200;

pub(super) fn read(
    source: &Source<'_>,
    input: &mut dyn Read,
    wanted: Wanted,
    sink: &mut dyn Sink,
) -> Result<()> {
    let mut draft = Draft::new(source, wanted, sink);
    let mut workspace = Workspace::default();
    if source.name() == b"events.jsonl" {
        let folder = source.folder(0);
        let name = folder.rsplit(|it| *it == b'/').next().unwrap_or_default();
        draft.session.id = String::from_utf8_lossy(name).into_owned();
        workspace = Workspace::read(source)?;
    }
    if let Some(name) = &workspace.name {
        draft.name(Name::Custom, name);
    }
    draft.works_in(workspace.cwd.as_deref());
    draft.on_branch(workspace.branch.as_deref());
    let mut reader = Copilot { draft, has_words: false };
    if read_records(input, &mut reader)?.is_continue() && reader.has_words {
        reader.draft.finish();
    }
    Ok(())
}

/// What lies in `workspace.yaml`, as far as its lines are a key and a plain value.
#[derive(Default)]
struct Workspace {
    cwd: Option<String>,
    name: Option<String>,
    branch: Option<String>,
}

impl Workspace {
    fn read(source: &Source<'_>) -> Result<Self> {
        let mut found = Workspace::default();
        let path = source.beside(0, b"workspace.yaml");
        let Some(mut file) = source.files.open(&path)? else { return Ok(found) };
        let mut lines = Lines::new(&mut file, LongLines::Text);
        let mut count = 0;
        while let Some(line) = lines.next()?
            && count < MAX_LINES
        {
            count += 1;
            let line = std::str::from_utf8(line.bytes.unwrap_or_default()).unwrap_or_default();
            let Some((key, value)) = line.split_once(':') else { continue };
            let field = match key {
                "cwd" => &mut found.cwd,
                "name" => &mut found.name,
                "branch" => &mut found.branch,
                _ => continue,
            };
            *field = plain(value);
        }
        Ok(found)
    }
}

/// Returns a scalar that means what it says; `None` for what takes a reader of YAML.
fn plain(value: &str) -> Option<String> {
    let value = value.trim();
    let quoted = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
    if let Some(inner) = quoted('"') {
        // Escapes in double quotes are those of JSON, as far as agents write any.
        return Raw::parse(value).map_or_else(|| Some(inner.to_owned()), Raw::words);
    }
    if let Some(inner) = quoted('\'') {
        return Some(inner.replace("''", "'"));
    }
    let value = value.split(" #").next().unwrap_or_default().trim_end();
    let is_plain = !value.starts_with(['|', '>', '&', '*', '!', '[', '{', '"', '\'']);
    (is_plain && !matches!(value, "" | "~" | "null")).then(|| value.to_owned())
}

struct Copilot<'s> {
    draft: Draft<'s>,
    has_words: bool,
}

impl Records for Copilot<'_> {
    fn gaps(&mut self) -> &mut Gaps {
        &mut self.draft.session.gaps
    }

    fn record(&mut self, record: &Record<'_>) -> ControlFlow<()> {
        let at = record.moment("timestamp");
        self.draft.seen_at(at);
        let kind = record.text("type").unwrap_or_default();
        let id = record.text("id");
        let data = record.field("data");
        let step = Step { id: id.as_deref(), at, ..Step::default() };
        match (&*kind, data) {
            ("session.start" | "session.resume", Some(data)) => self.start(data, &kind),
            ("session.model_change", Some(data)) => {
                let [new, model] = data.get(["newModel", "model"]);
                self.draft.model(new.or(model).and_then(Raw::text).as_deref());
            }
            ("session.title_changed", Some(data)) => {
                if let Some(title) = data.field("title").and_then(Raw::text) {
                    self.draft.name(Name::Given, &title);
                }
            }
            // What is told before the first word is of no session yet.
            ("user.message" | "assistant.message", Some(_)) => self.has_words = true,
            _ => {}
        }
        if !self.has_words {
            return self.other(&kind);
        }
        match (&*kind, data) {
            ("session.compaction_complete", _) => {
                let summary = data.and_then(|data| data.field("summaryContent"));
                let summary = summary.and_then(Raw::words);
                self.draft.step(Role::System, &step, || vec![Part::Compaction { summary }])
            }
            ("user.message", Some(data)) => self.user(data, &step),
            ("assistant.message", Some(data)) => self.assistant(data, &step),
            ("assistant.reasoning", Some(data)) => {
                let [content, parent] = data.get(["content", "parentToolCallId"]);
                // It is told before the message that it belongs to, and is no turn by itself.
                let step = Step { is_side: is_some(parent), ..step };
                self.draft.note(Role::Assistant, &step, || {
                    content.and_then(Raw::words).map(Part::Reasoning).into_iter().collect()
                })
            }
            ("tool.execution_complete", Some(data)) => self.tool(data, &step),
            (
                "system.message" | "session.error" | "session.info" | "session.warning",
                Some(data),
            ) => {
                let [content, message] = data.get(["content", "message"]);
                self.draft.step(Role::System, &step, || parts(content.or(message)))
            }
            _ => self.other(&kind),
        }
    }
}

fn is_some(value: Option<Raw<'_>>) -> bool {
    value.is_some_and(|value| !value.is_null())
}

impl Copilot<'_> {
    fn other(&mut self, kind: &str) -> ControlFlow<()> {
        let family = kind.split('.').next().unwrap_or_default();
        if !FAMILIES.contains(&family) {
            self.gaps().unknown_records += 1;
        }
        ControlFlow::Continue(())
    }

    fn start(&mut self, data: Raw<'_>, kind: &str) {
        let [id, context, start, model] =
            data.get(["sessionId", "context", "startTime", "selectedModel"]);
        if let Some(id) = id.and_then(Raw::words).filter(|_| kind == "session.start")
            && self.draft.session.turns == 0
        {
            self.draft.session.id = id;
        }
        if kind == "session.start"
            && let Some(start) = start.and_then(Raw::moment)
        {
            self.draft.session.started = Some(start);
        }
        let [cwd, branch] = context.map_or([None; 2], |context| context.get(["cwd", "branch"]));
        self.draft.works_in(cwd.and_then(Raw::text).as_deref());
        self.draft.on_branch(branch.and_then(Raw::text).as_deref());
        self.draft.model(model.and_then(Raw::text).as_deref());
    }

    fn user(&mut self, data: Raw<'_>, step: &Step<'_>) -> ControlFlow<()> {
        let [content, attachments] = data.get(["content", "attachments"]);
        let (role, words) = person(content);
        if self.draft.wants_title()
            && let Some(words) = words
        {
            self.draft.said(&words);
        }
        self.draft.step(role, step, || {
            let mut said = parts(content);
            if let Some(attachments) = attachments {
                attachments.elements(|attachment| {
                    let kind = attachment.field("type").and_then(Raw::words).unwrap_or_default();
                    said.push(Part::Media { kind, bytes: 0 });
                    ControlFlow::Continue(())
                });
            }
            said
        })
    }

    fn assistant(&mut self, data: Raw<'_>, step: &Step<'_>) -> ControlFlow<()> {
        let [content, requests, reasoning, model, parent, id] = data.get([
            "content",
            "toolRequests",
            "reasoningText",
            "model",
            "parentToolCallId",
            "messageId",
        ]);
        let model = model.and_then(Raw::text);
        let id = id.and_then(Raw::text);
        let step = Step {
            joins: id.as_deref(),
            model: model.as_deref(),
            is_side: is_some(parent),
            ..step.clone()
        };
        self.draft.step(Role::Assistant, &step, || {
            let mut said: Vec<_> =
                reasoning.and_then(Raw::words).map(Part::Reasoning).into_iter().collect();
            said.extend(parts(content));
            if let Some(requests) = requests {
                requests.elements(|request| {
                    let [id, name, input] = request.get(["toolCallId", "name", "arguments"]);
                    said.push(make_call(id, name, input));
                    ControlFlow::Continue(())
                });
            }
            said
        })
    }

    fn tool(&mut self, data: Raw<'_>, step: &Step<'_>) -> ControlFlow<()> {
        let [id, success, result, error, parent] =
            data.get(["toolCallId", "success", "result", "error", "parentToolCallId"]);
        let step = Step { is_side: is_some(parent), ..step.clone() };
        self.draft.step(Role::Tool, &step, || {
            let result = result.map(|result| result.field("content").unwrap_or(result));
            let error = error.map(|error| error.field("message").unwrap_or(error));
            let is_error = success.is_some_and(|it| it.json() == "false");
            vec![make_answer(id, result.or(error).map(readable), is_error)]
        })
    }
}
