//! `claude-jsonl`: Claude Code's transcripts, and Qwen's, whose messages have `parts`.
//!
//! One record for each block of the assistant's turn: records of one `message.id` are one turn. Only `user`
//! and `assistant` are messages; the others describe. A subagent's file names its parent's session in
//! every record, and is told by that.

use std::borrow::Cow;
use std::io::Read;
use std::ops::ControlFlow;

use super::blocks::{first_text, is_answer, parts, person, text};
use super::document;
use super::draft::{Draft, Name, Step};
use super::json::{Raw, Record};
use super::lines::{Records, read_records};
use super::source::Source;
use super::value::{Gaps, Part, Role, Sink, Wanted};
use crate::error::Result;

/// Records that are no turns, and hold nothing that is shown.
const SILENT: &[&str] = &[
    "agent-color",
    "agent-name",
    "agent-setting",
    "attachment",
    "content-replacement",
    "file-history-snapshot",
    "last-prompt",
    "marble-origami-commit",
    "mode",
    "permission-mode",
    "pr-link",
    "progress",
    "queue-operation",
    "saved_hook_context",
    "speculation-accept",
    "tag",
    "task-summary",
    "worktree-state",
];

pub(super) fn read(
    source: &Source<'_>,
    input: &mut dyn Read,
    wanted: Wanted,
    sink: &mut dyn Sink,
) -> Result<()> {
    let mut draft = Draft::new(source, wanted, sink);
    let stem = draft.session.id.clone();
    let mut description = source.relative.to_vec();
    if let Some(length) = description.len().checked_sub(b".jsonl".len())
        && description.get(length..) == Some(b".jsonl")
        && stem.starts_with("agent-")
    {
        description.truncate(length);
        description.extend_from_slice(b".meta.json");
        if let Some(text) = document::field(source, &description, "description")? {
            draft.name(Name::Given, &text);
        }
    }
    let mut reader = Claude { draft, stem, is_checked: false, has_boundary: false };
    if read_records(input, &mut reader)?.is_continue() && reader.boundary().is_continue() {
        reader.draft.finish();
    }
    Ok(())
}

struct Claude<'s> {
    draft: Draft<'s>,
    stem: String,
    /// Whether the first message was looked at for the parent's session.
    is_checked: bool,
    /// Whether a compaction was announced whose summary may follow.
    has_boundary: bool,
}

impl Records for Claude<'_> {
    fn gaps(&mut self) -> &mut Gaps {
        &mut self.draft.session.gaps
    }

    fn record(&mut self, record: &Record<'_>) -> ControlFlow<()> {
        let kind = record.text("type").unwrap_or_default();
        self.draft.seen_at(record.moment("timestamp"));
        if self.draft.session.project.is_none() {
            self.draft.works_in(record.text("cwd").as_deref());
        }
        self.draft.on_branch(record.text("gitBranch").as_deref());
        match &*kind {
            "user" | "tool_result" => self.user(record, kind == "tool_result"),
            "assistant" => self.assistant(record),
            "system" => self.system(record),
            "custom-title" => self.name(Name::Custom, record, "customTitle"),
            "ai-title" => self.name(Name::Given, record, "aiTitle"),
            "summary" => self.name(Name::Summary, record, "summary"),
            silent if SILENT.contains(&silent) => ControlFlow::Continue(()),
            _ => {
                self.gaps().unknown_records += 1;
                ControlFlow::Continue(())
            }
        }
    }
}

impl Claude<'_> {
    fn name(&mut self, strength: Name, record: &Record<'_>, field: &str) -> ControlFlow<()> {
        if let Some(text) = record.text(field) {
            self.draft.name(strength, &text);
        }
        ControlFlow::Continue(())
    }

    /// Sees from the first message whether the file is a subagent's.
    fn check(&mut self, record: &Record<'_>, is_side: bool) {
        if !std::mem::replace(&mut self.is_checked, true)
            && is_side
            && let Some(parent) = record.text("sessionId").filter(|it| **it != *self.stem)
        {
            self.draft.session.parent = Some(parent.into_owned());
        }
    }

    fn user(&mut self, record: &Record<'_>, is_tool: bool) -> ControlFlow<()> {
        let is_side = record.is_true("isSidechain");
        self.check(record, is_side);
        let content = content(record.field("message"));
        let id = record.text("uuid");
        let at = record.moment("timestamp");
        let step = Step { id: id.as_deref(), at, is_side, ..Step::default() };
        if record.is_true("isCompactSummary") {
            self.has_boundary = false;
            let summary = || vec![Part::Compaction { summary: Some(text(content).into_owned()) }];
            return self.draft.step(Role::System, &step, summary);
        }
        self.boundary()?;
        let is_tool = is_tool
            || record.field("toolUseResult").is_some_and(Raw::is_object)
            || content.is_some_and(is_answer);
        if is_tool {
            return self.draft.step(Role::Tool, &step, || parts(content));
        }
        if record.is_true("isMeta") {
            return self.draft.step(Role::System, &step, || parts(content));
        }
        let (role, words) = person(content);
        if let Some(words) = words
            && self.draft.wants_title()
            && (!is_side || self.draft.session.parent.is_some())
        {
            self.draft.said(&words);
        }
        self.draft.step(role, &step, || parts(content))
    }

    fn assistant(&mut self, record: &Record<'_>) -> ControlFlow<()> {
        let is_side = record.is_true("isSidechain");
        self.check(record, is_side);
        self.boundary()?;
        let message = record.field("message");
        let [id, model] = message.map_or([None; 2], |message| message.get(["id", "model"]));
        let id = id.and_then(Raw::text);
        let own_id = record.text("uuid");
        let model = model.or_else(|| record.field("model")).and_then(Raw::text);
        let step = Step {
            id: id.as_deref().or(own_id.as_deref()),
            joins: id.as_deref(),
            at: record.moment("timestamp"),
            model: model.as_deref(),
            is_side,
        };
        self.draft.step(Role::Assistant, &step, || parts(content(message)))
    }

    fn system(&mut self, record: &Record<'_>) -> ControlFlow<()> {
        let kind = record.text("subtype").unwrap_or_default();
        if kind == "compact_boundary" || kind == "chat_compression" {
            self.boundary()?;
            self.has_boundary = true;
            return ControlFlow::Continue(());
        }
        let content = record.field("content").or_else(|| content(record.field("message")));
        let id = record.text("uuid");
        let at = record.moment("timestamp");
        let step = Step { id: id.as_deref(), at, ..Step::default() };
        self.draft.step(Role::System, &step, || {
            let words = content.and_then(|content| first_text(content, |_| true));
            words.map(Cow::into_owned).map(Part::Text).into_iter().collect()
        })
    }

    /// Hands over a compaction that has no summary.
    fn boundary(&mut self) -> ControlFlow<()> {
        if !std::mem::take(&mut self.has_boundary) {
            return ControlFlow::Continue(());
        }
        let step = Step { at: self.draft.session.last, ..Step::default() };
        self.draft.step(Role::System, &step, || vec![Part::Compaction { summary: None }])
    }
}

/// Returns a message's content: blocks, or Qwen's parts.
fn content(message: Option<Raw<'_>>) -> Option<Raw<'_>> {
    let [content, parts] = message?.get(["content", "parts"]);
    content.or(parts)
}
