//! `amp-json`: a document for each thread. The server has the threads; these are what it left here.

use std::io::Read;
use std::ops::ControlFlow;

use super::blocks::{is_answer, parts, person};
use super::continue_json::folder_of;
use super::document::{Pieces, read_document};
use super::draft::{Draft, Name, Step};
use super::json::Raw;
use super::source::Source;
use super::value::{Gaps, Role, Sink, Wanted};
use crate::error::Result;

pub(super) fn read(
    source: &Source<'_>,
    input: &mut dyn Read,
    wanted: Wanted,
    sink: &mut dyn Sink,
) -> Result<()> {
    let mut reader = Amp { draft: Draft::new(source, wanted, sink) };
    if read_document(input, &mut reader)?.is_continue() {
        reader.draft.finish();
    }
    Ok(())
}

struct Amp<'s> {
    draft: Draft<'s>,
}

impl Pieces for Amp<'_> {
    fn gaps(&mut self) -> &mut Gaps {
        &mut self.draft.session.gaps
    }

    fn is_list(&self, name: &str) -> bool {
        name == "messages"
    }

    fn field(&mut self, name: &str, value: Raw<'_>) -> ControlFlow<()> {
        match name {
            "id" if self.draft.session.turns == 0 => {
                if let Some(id) = value.words() {
                    self.draft.session.id = id;
                }
            }
            "title" => {
                if let Some(title) = value.text() {
                    self.draft.name(Name::Given, &title);
                }
            }
            "created" => {
                let created = value.moment();
                self.draft.session.started = created.or(self.draft.session.started);
                self.draft.session.last = self.draft.session.last.or(created);
            }
            "parent" | "parentThreadID" => self.draft.session.parent = value.words(),
            "env" => {
                let tree = value.path(&["initial", "trees"]).and_then(Raw::first);
                let [address, repository] =
                    tree.map_or([None; 2], |tree| tree.get(["uri", "repository"]));
                if let Some(address) = address.and_then(Raw::text) {
                    self.draft.works_in(Some(&folder_of(&address)));
                }
                let branch = repository.and_then(|it| it.field("ref")).and_then(Raw::text);
                let branch = branch.as_deref().map(|it| it.trim_start_matches("refs/heads/"));
                self.draft.on_branch(branch);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn element(&mut self, _: &str, value: Raw<'_>) -> ControlFlow<()> {
        if !value.is_object() {
            self.gaps().bad_records += 1;
            return ControlFlow::Continue(());
        }
        let [role, content, id, usage, meta] =
            value.get(["role", "content", "messageId", "usage", "meta"]);
        let id = id.map(|id| id.json().trim_matches('"'));
        let [model, at] = usage.map_or([None; 2], |usage| usage.get(["model", "timestamp"]));
        let at = meta.and_then(|meta| meta.field("sentAt")).or(at).and_then(Raw::moment);
        self.draft.seen_at(at);
        let model = model.and_then(Raw::text);
        let step = Step { id, at, model: model.as_deref(), ..Step::default() };
        match &*role.and_then(Raw::text).unwrap_or_default() {
            "user" if content.is_some_and(is_answer) => {
                self.draft.step(Role::Tool, &step, || tool_parts(content))
            }
            "user" => {
                let (role, words) = person(content);
                if self.draft.wants_title()
                    && let Some(words) = words
                {
                    self.draft.said(&words);
                }
                self.draft.step(role, &step, || parts(content))
            }
            "assistant" => self.draft.step(Role::Assistant, &step, || parts(content)),
            "system" | "info" => self.draft.step(Role::System, &step, || parts(content)),
            _ => {
                self.gaps().unknown_records += 1;
                ControlFlow::Continue(())
            }
        }
    }
}

/// A tool's answer may lie in a `run` with its state.
fn tool_parts(content: Option<Raw<'_>>) -> Vec<super::value::Part> {
    use super::blocks::{make_answer, readable};
    let mut answers = Vec::new();
    let Some(content) = content else { return answers };
    content.elements(|block| {
        let [run, id] = block.get(["run", "toolUseID"]);
        match run.filter(|it| it.is_object()) {
            Some(run) => {
                let [status, result, error] = run.get(["status", "result", "error"]);
                let is_error = status.and_then(Raw::text).is_some_and(|it| it == "error");
                answers.push(make_answer(id, result.or(error).map(readable), is_error));
            }
            None => answers.extend(parts(Some(block))),
        }
        ControlFlow::Continue(())
    });
    answers
}
