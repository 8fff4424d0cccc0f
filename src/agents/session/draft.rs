//! A session in the making: what all readers of files do alike with titles, times and turns.
//!
//! Both ways of reading, outline and turns, go through the same steps, so that they count alike;
//! texts are asked for only where they are handed over.
//!
//! Memory: one turn that grows while records of it follow each other, and the tools' answers that came
//! in between, together at most [`MAX_HELD`] bytes and one record.

use std::ops::ControlFlow;

use super::source::Source;
use super::title::{can_be_title, own_words, title_of};
use super::value::{Part, Role, Session, Sink, Turn, Wanted};
use crate::time::Timestamp;

/// Bytes of texts that wait for more records of the same turn.
const MAX_HELD: usize = 8 << 20;

/// How strong a title is; the first are stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    /// The person gave it.
    Custom,
    /// The agent gave it.
    Given,
    /// A summary of the conversation.
    Summary,
}

/// One record as a step of the conversation.
#[derive(Debug, Clone, Default)]
pub(super) struct Step<'a> {
    /// What its agent calls it.
    pub id: Option<&'a str>,
    /// Records of the assistant with the same one are one turn.
    pub joins: Option<&'a str>,
    /// When.
    pub at: Option<Timestamp>,
    /// The model.
    pub model: Option<&'a str>,
    /// Whether it belongs to a subagent.
    pub is_side: bool,
}

/// A session in the making.
pub(super) struct Draft<'s> {
    sink: &'s mut dyn Sink,
    is_turns: bool,
    /// What is known so far; its id may be set until the first turn is handed over.
    pub session: Session,
    name: Option<(Name, String)>,
    words: Option<String>,
    has_begun: bool,
    /// The key that further records of the present turn of the assistant have.
    joins: Option<String>,
    open: Option<Turn>,
    answers: Vec<Turn>,
    held: usize,
}

impl<'s> Draft<'s> {
    /// Begins a session of a file of its own; its id is the file's stem until it is set.
    pub(super) fn new(source: &Source<'_>, wanted: Wanted, sink: &'s mut dyn Sink) -> Self {
        let id = source.stem().into_owned();
        Self::of(Session { id, bytes: source.size, ..Session::default() }, wanted, sink)
    }

    /// Goes on with a session of which something is known.
    pub(super) fn of(session: Session, wanted: Wanted, sink: &'s mut dyn Sink) -> Self {
        Draft {
            sink,
            is_turns: wanted == Wanted::Turns,
            session,
            name: None,
            words: None,
            has_begun: false,
            joins: None,
            open: None,
            answers: Vec::new(),
            held: 0,
        }
    }

    /// Takes a title; among equally strong ones the last stays.
    pub(super) fn name(&mut self, strength: Name, text: &str) {
        if self.name.as_ref().is_none_or(|(known, _)| strength <= *known)
            && let Some(title) = title_of(text)
        {
            self.name = Some((strength, title));
        }
    }

    /// Takes what a person wrote, as a title for want of a better one.
    pub(super) fn said(&mut self, text: &str) {
        if self.words.is_none() {
            let own = own_words(text);
            if can_be_title(own) {
                self.words = title_of(own);
            }
        }
    }

    /// Returns whether no title is known, not even the first words.
    pub(super) fn wants_title(&self) -> bool {
        self.name.is_none() && self.words.is_none()
    }

    /// Returns whether no title was given, whatever the first words are.
    pub(super) fn is_unnamed(&self) -> bool {
        self.name.is_none()
    }

    /// Takes the moment of a record.
    pub(super) fn seen_at(&mut self, at: Option<Timestamp>) {
        if at.is_some() {
            self.session.started = self.session.started.or(at);
            self.session.last = at;
        }
    }

    /// Takes a project's folder; the first stays.
    pub(super) fn works_in(&mut self, folder: Option<&str>) {
        if let Some(folder) = folder.filter(|it| !it.is_empty())
            && self.session.project.is_none()
        {
            self.session.project = Some(folder.to_owned());
        }
    }

    /// Takes a branch; the last stays.
    pub(super) fn on_branch(&mut self, branch: Option<&str>) {
        set(&mut self.session.branch, branch);
    }

    /// Takes the model that answered; the last stays.
    pub(super) fn model(&mut self, model: Option<&str>) {
        // Some agents write notices of their own in the model's name.
        set(&mut self.session.model, model.filter(|it| *it != "<synthetic>"));
    }

    /// Takes one step of the conversation; `parts` are asked for only if they are handed over.
    pub(super) fn step(
        &mut self,
        role: Role,
        step: &Step<'_>,
        parts: impl FnOnce() -> Vec<Part>,
    ) -> ControlFlow<()> {
        if role == Role::Assistant {
            self.model(step.model);
        }
        let is_same =
            role == Role::Assistant && step.joins.is_some() && self.joins.as_deref() == step.joins;
        match role {
            Role::User | Role::Assistant if !is_same => {
                self.session.turns += 1;
                set_key(&mut self.joins, step.joins);
            }
            // Answers of tools may come between two records of one turn.
            _ => {}
        }
        if !self.is_turns {
            return ControlFlow::Continue(());
        }
        let parts = parts();
        self.held += parts.iter().map(length).sum::<usize>();
        let open = self.open.as_mut().filter(|open| is_same && open.role == Role::Assistant);
        if let Some(open) = open {
            open.parts.extend(parts);
            open.model = open.model.take().or_else(|| step.model.map(str::to_owned));
        } else {
            let turn = Turn {
                id: step.id.map(str::to_owned),
                role,
                at: step.at,
                model: step.model.filter(|_| role == Role::Assistant).map(str::to_owned),
                is_side: step.is_side,
                parts,
            };
            if role == Role::Tool && self.open.is_some() {
                self.answers.push(turn);
            } else {
                self.flush()?;
                self.held = turn.parts.iter().map(length).sum();
                self.open = Some(turn);
            }
        }
        if self.held > MAX_HELD { self.flush() } else { ControlFlow::Continue(()) }
    }

    /// Takes what is shown and counts for no turn of its own.
    pub(super) fn note(
        &mut self,
        role: Role,
        step: &Step<'_>,
        parts: impl FnOnce() -> Vec<Part>,
    ) -> ControlFlow<()> {
        let turns = self.session.turns;
        let flow = self.step(role, step, parts);
        self.session.turns = turns;
        flow
    }

    /// Hands over what waits for more.
    fn flush(&mut self) -> ControlFlow<()> {
        self.held = 0;
        let waiting = self.open.take().into_iter().chain(std::mem::take(&mut self.answers));
        for turn in waiting.filter(|turn| !turn.parts.is_empty()) {
            if !self.has_begun {
                self.has_begun = true;
                self.sink.begin(&self.session.id)?;
            }
            self.sink.turn(turn)?;
        }
        ControlFlow::Continue(())
    }

    /// Hands over the session, as the last of its file.
    pub(super) fn finish(self) {
        // There is nothing left that a break could end.
        let _flow = self.end();
    }

    /// Hands over the session.
    pub(super) fn end(mut self) -> ControlFlow<()> {
        self.flush()?;
        if !self.has_begun {
            self.sink.begin(&self.session.id)?;
        }
        let name = self.name.take().map(|(_, name)| name);
        self.session.title = name.or_else(|| self.words.take());
        self.sink.end(std::mem::take(&mut self.session))
    }
}

fn set(field: &mut Option<String>, value: Option<&str>) {
    if let Some(value) = value.filter(|it| !it.is_empty())
        && field.as_deref() != Some(value)
    {
        *field = Some(value.to_owned());
    }
}

/// Sets a key without a new allocation where one is there.
fn set_key(key: &mut Option<String>, value: Option<&str>) {
    match (&mut *key, value) {
        (Some(text), Some(value)) => {
            text.clear();
            text.push_str(value);
        }
        _ => *key = value.map(str::to_owned),
    }
}

fn length(part: &Part) -> usize {
    64 + match part {
        Part::Text(text) | Part::Reasoning(text) | Part::Result { text, .. } => text.len(),
        Part::Call { input, .. } => input.len(),
        Part::Compaction { summary } => summary.as_ref().map_or(0, String::len),
        Part::Media { .. } => 0,
    }
}
