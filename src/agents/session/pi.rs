//! `pi-jsonl`: the files of Pi and omp, Droid's, and those that `OpenClaw` wrote before its database.
//!
//! A header, then entries that name their parent. The tree's branches all lie in the file, and all are
//! handed over, in the file's order.

use std::io::Read;
use std::ops::ControlFlow;

use super::blocks::{make_answer, parts, person, readable, text};
use super::draft::{Draft, Name, Step};
use super::json::{Raw, Record};
use super::lines::{Records, read_records};
use super::source::Source;
use super::value::{Gaps, Part, Role, Sink, Wanted};
use crate::error::Result;

/// Entries that are no turns.
const SILENT: &[&str] =
    &["custom", "label", "leaf", "session_end", "thinking_level_change", "todo_state", "usage"];

pub(super) fn read(
    source: &Source<'_>,
    input: &mut dyn Read,
    wanted: Wanted,
    sink: &mut dyn Sink,
) -> Result<()> {
    let mut draft = Draft::new(source, wanted, sink);
    // `<time>_<uuid>`, as Pi names its files.
    if let Some((_, id)) = draft.session.id.rsplit_once('_') {
        draft.session.id = id.into();
    }
    let mut reader = Pi { draft, has_header: false };
    if read_records(input, &mut reader)?.is_continue() {
        reader.draft.finish();
    }
    Ok(())
}

struct Pi<'s> {
    draft: Draft<'s>,
    has_header: bool,
}

impl Records for Pi<'_> {
    fn gaps(&mut self) -> &mut Gaps {
        &mut self.draft.session.gaps
    }

    fn record(&mut self, record: &Record<'_>) -> ControlFlow<()> {
        let at = record.moment("timestamp");
        self.draft.seen_at(at);
        let id = record.text("id");
        let step = Step { id: id.as_deref(), at, ..Step::default() };
        match &*record.text("type").unwrap_or_default() {
            "session" | "session_start" => self.header(record),
            "message" => return self.message(record, &step),
            "session_info" => {
                if let Some(name) = record.text("name") {
                    self.draft.name(Name::Custom, &name);
                }
            }
            "session_title" | "title_change" => {
                if let Some(title) = record.text("title") {
                    self.draft.name(Name::Given, &title);
                }
            }
            "model_change" => {
                let model = record.text("modelId").or_else(|| record.text("model"));
                self.draft.model(model.as_deref());
            }
            "compaction" | "compaction_state" => {
                let summary = record.field("summary").or_else(|| record.field("summaryText"));
                let summary = summary.and_then(Raw::words);
                return self.draft.step(Role::System, &step, || vec![Part::Compaction { summary }]);
            }
            "branch_summary" => {
                let summary = record.field("summary");
                return self.draft.step(Role::System, &step, || parts(summary));
            }
            "custom_message" => {
                let content = record.field("content");
                return self.draft.step(Role::System, &step, || parts(content));
            }
            silent if SILENT.contains(&silent) => {}
            _ => self.gaps().unknown_records += 1,
        }
        ControlFlow::Continue(())
    }
}

impl Pi<'_> {
    fn header(&mut self, record: &Record<'_>) {
        self.draft.works_in(record.text("cwd").as_deref());
        if let Some(title) = record.text("title") {
            self.draft.name(Name::Given, &title);
        }
        if let Some(title) = record.text("sessionTitle") {
            self.draft.name(Name::Given, &title);
        }
        if !std::mem::replace(&mut self.has_header, true)
            && let Some(id) = record.field("id").and_then(Raw::words)
        {
            self.draft.session.id = id;
        }
    }

    fn message(&mut self, record: &Record<'_>, step: &Step<'_>) -> ControlFlow<()> {
        let Some(message) = record.field("message").filter(|it| it.is_object()) else {
            self.gaps().bad_records += 1;
            return ControlFlow::Continue(());
        };
        let [role, content, model, id, is_error] =
            message.get(["role", "content", "model", "toolCallId", "isError"]);
        match &*role.and_then(Raw::text).unwrap_or_default() {
            "user" => {
                if content.is_some_and(super::blocks::is_answer) {
                    return self.draft.step(Role::Tool, step, || parts(content));
                }
                let (role, words) = person(content);
                if self.draft.wants_title()
                    && let Some(words) = words
                {
                    self.draft.said(&words);
                }
                self.draft.step(role, step, || parts(content))
            }
            "assistant" => {
                let model = model.and_then(Raw::text);
                let step = Step { model: model.as_deref(), ..step.clone() };
                self.draft.step(Role::Assistant, &step, || parts(content))
            }
            "toolResult" | "tool" => self.draft.step(Role::Tool, step, || {
                let is_error = is_error.is_some_and(Raw::is_true);
                let mut answer = vec![make_answer(id, content.map(readable), is_error)];
                let others = parts(content.filter(|it| it.is_array()));
                answer.extend(others.into_iter().filter(|it| matches!(it, Part::Media { .. })));
                answer
            }),
            "bashExecution" => self.draft.step(Role::Tool, step, || {
                let [command, output] = message.get(["command", "output"]);
                let [command, output] = [command, output].map(|it| text(it).into_owned());
                vec![Part::Text(format!("$ {command}\n{output}"))]
            }),
            "compactionSummary" => {
                let summary = message.field("summary").or(content).map(readable);
                self.draft.step(Role::System, step, || vec![Part::Compaction { summary }])
            }
            "branchSummary" | "custom" | "system" | "developer" | "hookMessage" => {
                self.draft.step(Role::System, step, || {
                    parts(content.or_else(|| message.field("summary")))
                })
            }
            _ => {
                self.gaps().unknown_records += 1;
                ControlFlow::Continue(())
            }
        }
    }
}
