//! `role-jsonl`: lines with a role, as in Cursor's transcripts and in Goose's files of before its database.
//!
//! Cursor's have no times and no folder (the folder's name above is made from the path, and does not give it
//! back). Goose's begin with a line that describes the session, and state seconds.

use std::io::Read;
use std::ops::ControlFlow;

use super::blocks::{is_answer, parts, person};
use super::draft::{Draft, Name, Step};
use super::json::{Raw, Record};
use super::lines::{Records, read_records};
use super::source::Source;
use super::title::own_words;
use super::value::{Gaps, Part, Role, Sink, Wanted};
use crate::error::Result;

pub(super) fn read(
    source: &Source<'_>,
    input: &mut dyn Read,
    wanted: Wanted,
    sink: &mut dyn Sink,
) -> Result<()> {
    let mut draft = Draft::new(source, wanted, sink);
    // `<id>/subagents/<own id>.jsonl`
    let folder = source.folder(0);
    if let Some(above) = folder.strip_suffix(b"/subagents") {
        let parent = above.rsplit(|it| *it == b'/').next().unwrap_or_default();
        draft.session.parent = Some(String::from_utf8_lossy(parent).into_owned());
    }
    let is_side = draft.session.parent.is_some();
    let mut reader = RoleLines { draft, is_side };
    if read_records(input, &mut reader)?.is_continue() {
        reader.draft.finish();
    }
    Ok(())
}

struct RoleLines<'s> {
    draft: Draft<'s>,
    is_side: bool,
}

impl Records for RoleLines<'_> {
    fn gaps(&mut self) -> &mut Gaps {
        &mut self.draft.session.gaps
    }

    fn record(&mut self, record: &Record<'_>) -> ControlFlow<()> {
        let Some(role) = record.text("role") else {
            self.describe(record);
            return ControlFlow::Continue(());
        };
        let at = record.moment("created").or_else(|| record.moment("timestamp"));
        self.draft.seen_at(at);
        let message = record.field("message");
        let content =
            message.and_then(|it| it.field("content")).or_else(|| record.field("content"));
        let id = record.text("id");
        let step = Step { id: id.as_deref(), at, is_side: self.is_side, ..Step::default() };
        match &*role {
            "assistant" => self.draft.step(Role::Assistant, &step, || parts(content)),
            "tool" => self.draft.step(Role::Tool, &step, || parts(content)),
            "system" => self.draft.step(Role::System, &step, || parts(content)),
            "user" if content.is_some_and(is_answer) => {
                self.draft.step(Role::Tool, &step, || parts(content))
            }
            "user" => {
                let (role, words) = person(content);
                if self.draft.wants_title()
                    && let Some(words) = words
                {
                    self.draft.said(&words);
                }
                self.draft.step(role, &step, || own_parts(content))
            }
            _ => {
                self.gaps().unknown_records += 1;
                ControlFlow::Continue(())
            }
        }
    }
}

impl RoleLines<'_> {
    fn describe(&mut self, record: &Record<'_>) {
        let [description, folder, id, created, kind] =
            ["description", "working_dir", "id", "created_at", "type"].map(|it| record.field(it));
        if description.or(folder).is_none() {
            // `turn_ended`, and what else says only how a turn went.
            if !kind.and_then(Raw::text).is_some_and(|it| it.starts_with("turn")) {
                self.gaps().unknown_records += 1;
            }
            return;
        }
        if let Some(description) = description.and_then(Raw::text) {
            self.draft.name(Name::Given, &description);
        }
        self.draft.works_in(folder.and_then(Raw::text).as_deref());
        self.draft.seen_at(created.and_then(Raw::moment));
        if let Some(id) = id.and_then(Raw::words).filter(|_| self.draft.session.turns == 0) {
            self.draft.session.id = id;
        }
    }
}

/// Returns a person's content without the envelopes around its texts.
pub(super) fn own_parts(content: Option<Raw<'_>>) -> Vec<Part> {
    let mut parts = parts(content);
    for part in &mut parts {
        if let Part::Text(text) = part
            && own_words(text).len() < text.len()
        {
            *text = own_words(text).to_owned();
        }
    }
    parts
}
