//! `opencode-json`: the tree of JSON files that `OpenCode` kept before its database.
//!
//! The session's own file has the title, the folder and the times; each message and each part of one is a
//! file elsewhere in the tree: `message/<session>/<message>.json`, `part/<message>/<part>.json`. Their names
//! ascend with time.

use std::io::Read;
use std::ops::ControlFlow;

use super::blocks::{make_answer, make_call, make_media, readable};
use super::document::{self, whole};
use super::draft::{Draft, Name, Step};
use super::json::{Raw, Record};
use super::source::Source;
use super::title::is_injected;
use super::value::{Part, Role, Sink, Wanted};
use crate::error::Result;
use crate::time::Timestamp;

pub(super) fn read(
    source: &Source<'_>,
    input: &mut dyn Read,
    wanted: Wanted,
    sink: &mut dyn Sink,
) -> Result<()> {
    let mut draft = Draft::new(source, wanted, sink);
    let text = whole(input, &mut draft.session.gaps)?.unwrap_or_default();
    match Record::parse(&text) {
        Some(record) => describe(&mut draft, source, &record)?,
        None if text.trim_start().starts_with('{') => draft.session.gaps.is_torn = true,
        None if text.trim().is_empty() => {}
        None => draft.session.gaps.bad_records += 1,
    }
    let folder = below(source, "message", &draft.session.id);
    let mut tree = Tree { source, draft, wants_turns: wanted == Wanted::Turns };
    for name in source.files.list(&folder)?.iter().filter(|name| name.ends_with(b".json")) {
        if tree.message(&[&folder, name.as_slice()].join(&b'/'), name)?.is_break() {
            return Ok(());
        }
    }
    tree.draft.finish();
    Ok(())
}

/// Returns a folder of the tree. What an id says is no way out of it.
fn below(source: &Source<'_>, kind: &str, id: &str) -> Vec<u8> {
    let id = if id.contains('/') || id == ".." { "-" } else { id };
    source.beside(2, format!("{kind}/{id}").as_bytes())
}

fn describe(draft: &mut Draft<'_>, source: &Source<'_>, record: &Record<'_>) -> Result<()> {
    if let Some(id) = record.field("id").and_then(Raw::words) {
        draft.session.id = id;
    }
    // What a session is called before it has a name.
    let given = |title: &str| {
        !title.starts_with("New session - ") && !title.starts_with("Child session - ")
    };
    if let Some(title) = record.text("title").filter(|title| given(title)) {
        draft.name(Name::Given, &title);
    }
    draft.session.parent = record.field("parentID").and_then(Raw::words);
    draft.works_in(record.text("directory").as_deref());
    if draft.session.project.is_none()
        && let Some(project) = record.field("projectID").and_then(Raw::words)
        && !project.contains('/')
    {
        let path = source.beside(2, format!("project/{project}.json").as_bytes());
        draft.works_in(document::field(source, &path, "worktree")?.as_deref());
    }
    let [created, updated] =
        record.field("time").map_or([None; 2], |time| time.get(["created", "updated"]));
    draft.seen_at(created.and_then(Raw::moment));
    draft.seen_at(updated.and_then(Raw::moment));
    Ok(())
}

struct Tree<'t, 's> {
    source: &'t Source<'t>,
    draft: Draft<'s>,
    wants_turns: bool,
}

impl Tree<'_, '_> {
    /// Reads one file of the tree; what is no object is counted.
    fn text(&mut self, path: &[u8]) -> Result<Option<String>> {
        let Some(mut file) = self.source.files.open(path)? else { return Ok(None) };
        whole(&mut file, &mut self.draft.session.gaps)
    }

    fn message(&mut self, path: &[u8], name: &[u8]) -> Result<ControlFlow<()>> {
        let Some(text) = self.text(path)? else { return Ok(ControlFlow::Continue(())) };
        let Some(record) = Record::parse(&text) else {
            self.draft.session.gaps.bad_records += 1;
            return Ok(ControlFlow::Continue(()));
        };
        let stem = String::from_utf8_lossy(name.strip_suffix(b".json").unwrap_or(name));
        let id = record.field("id").and_then(Raw::words).unwrap_or_else(|| stem.into_owned());
        let at = record.field("time").and_then(|time| time.field("created")).and_then(Raw::moment);
        if at > self.draft.session.last {
            self.draft.session.last = at;
        }
        self.draft.session.started = self.draft.session.started.or(at);
        let model =
            record.text("modelID").or_else(|| record.field("model")?.field("modelID")?.text());
        let role = match &*record.text("role").unwrap_or_default() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" => Role::System,
            _ => {
                self.draft.session.gaps.unknown_records += 1;
                return Ok(ControlFlow::Continue(()));
            }
        };
        let mut said = Said::default();
        if self.wants_turns || (role == Role::User && self.draft.wants_title()) {
            said = self.parts(&id)?;
        }
        if role == Role::User
            && let Some(words) = &said.words
        {
            self.draft.said(words);
        }
        let step = Step { id: Some(&id), at, model: model.as_deref(), ..Step::default() };
        let is_summary = role == Role::Assistant && record.is_true("summary");
        Ok(self.hand_over(role, &step, said, is_summary))
    }

    fn hand_over(
        &mut self,
        role: Role,
        step: &Step<'_>,
        said: Said,
        is_summary: bool,
    ) -> ControlFlow<()> {
        if is_summary {
            let summary = said.parts.into_iter().find_map(|part| match part {
                Part::Text(text) => Some(text),
                _ => None,
            });
            return self.draft.step(Role::System, step, || vec![Part::Compaction { summary }]);
        }
        self.draft.step(role, step, || said.parts)?;
        for (at, answer) in said.answers {
            let step = Step { at, ..Step::default() };
            self.draft.step(Role::Tool, &step, || vec![answer])?;
        }
        ControlFlow::Continue(())
    }

    fn parts(&mut self, message: &str) -> Result<Said> {
        let mut said = Said::default();
        let folder = below(self.source, "part", message);
        for name in self.source.files.list(&folder)?.iter().filter(|it| it.ends_with(b".json")) {
            let path = [&folder, name.as_slice()].join(&b'/');
            let Some(text) = self.text(&path)? else { continue };
            match Record::parse(&text) {
                Some(record) => said.take(&record),
                None => self.draft.session.gaps.bad_records += 1,
            }
        }
        Ok(said)
    }
}

/// The parts of one message, and what tools answered.
#[derive(Default)]
struct Said {
    parts: Vec<Part>,
    answers: Vec<(Option<Timestamp>, Part)>,
    /// The first words that are the person's own.
    words: Option<String>,
}

impl Said {
    fn take(&mut self, record: &Record<'_>) {
        match &*record.text("type").unwrap_or_default() {
            "text" => {
                let Some(text) = record.field("text").and_then(Raw::words) else { return };
                let is_own = !record.is_true("synthetic") && !is_injected(&text);
                if is_own && self.words.is_none() {
                    self.words = Some(text.clone());
                }
                self.parts.push(Part::Text(text));
            }
            "reasoning" => {
                self.parts.extend(record.field("text").and_then(Raw::words).map(Part::Reasoning));
            }
            "tool" => self.tool(record),
            "file" => self.parts.push(make_media(record.field("mime"), record.field("url"))),
            "compaction" => self.parts.push(Part::Compaction { summary: None }),
            // Steps, snapshots, patches, what a subagent was.
            _ => {}
        }
    }

    fn tool(&mut self, record: &Record<'_>) {
        let [id, name, state] = ["callID", "tool", "state"].map(|it| record.field(it));
        let [status, input, output, error, time] = state
            .map_or([None; 5], |state| state.get(["status", "input", "output", "error", "time"]));
        self.parts.push(make_call(id, name, input));
        let is_error = status.and_then(Raw::text).is_some_and(|it| it == "error");
        if let Some(answer) = output.or(error).map(readable) {
            let at = time.and_then(|time| time.field("end")).and_then(Raw::moment);
            self.answers.push((at, make_answer(id, Some(answer), is_error)));
        }
    }
}
