//! One session while it is read: what is learnt of it, and its turns on their way to the sink.

use std::ops::ControlFlow;

use super::rows::{Step, Stop};
use crate::agents::session::{Gaps, Part, Role, Session, Sink, Turn, Wanted};
use crate::time::Timestamp;

/// A title has at most so many characters.
const TITLE_CHARACTERS: usize = 200;
/// One turn holds at most so much text, in bytes; what is more is counted as cut.
const TURN_BYTES: usize = 32 << 20;

/// One session while it is read.
pub(super) struct Reading<'s> {
    sink: &'s mut dyn Sink,
    wanted: Wanted,
    pub(super) session: Session,
    first_words: Option<String>,
}

impl<'s> Reading<'s> {
    /// Tells the sink that a session begins.
    pub(super) fn begin(sink: &'s mut dyn Sink, wanted: Wanted, session: Session) -> Step<Self> {
        go_on(sink.begin(&session.id))?;
        Ok(Reading { sink, wanted, session, first_words: None })
    }

    /// Returns whether turns are handed over, so that all parts are worth reading.
    pub(super) fn wants_turns(&self) -> bool {
        self.wanted == Wanted::Turns
    }

    /// Returns whether a title is still to be made from the user's words.
    pub(super) fn wants_words(&self) -> bool {
        self.session.title.is_none() && self.first_words.is_none()
    }

    pub(super) fn gaps(&mut self) -> &mut Gaps {
        &mut self.session.gaps
    }

    /// Takes a name for the session, unless it is empty.
    pub(super) fn name(&mut self, name: Option<&str>) {
        if let Some(title) = name.and_then(title_of) {
            self.session.title = Some(title);
        }
    }

    /// Takes what the user said, for a session without a name. What an agent put into the user's
    /// mouth begins with a tag.
    pub(super) fn words(&mut self, words: &str) {
        if self.wants_words() && !words.trim_start().starts_with('<') {
            self.first_words = title_of(words);
        }
    }

    /// Takes a moment at which something of the session happened.
    pub(super) fn saw(&mut self, moment: Option<Timestamp>) {
        let Some(moment) = moment else { return };
        let session = &mut self.session;
        session.started = Some(session.started.map_or(moment, |started| started.min(moment)));
        session.last = Some(session.last.map_or(moment, |last| last.max(moment)));
    }

    /// Takes one message. Answers of tools within become turns of their own, right after it; a
    /// message of nothing but these is no turn besides.
    pub(super) fn message(&mut self, mut turn: Turn) -> Step {
        self.saw(turn.at);
        let (answers, parts): (Vec<Part>, Vec<Part>) =
            turn.parts.into_iter().partition(|part| matches!(part, Part::Result { .. }));
        turn.parts = parts;
        turn.is_side = self.session.parent.is_some();
        let (id, at, is_side) = (turn.id.clone(), turn.at, turn.is_side);
        if answers.is_empty() || !turn.parts.is_empty() {
            if matches!(turn.role, Role::User | Role::Assistant) {
                self.session.turns += 1;
            }
            if turn.role == Role::Assistant && turn.model.is_some() {
                self.session.model.clone_from(&turn.model);
            }
            if turn.role == Role::User
                && let Some(Part::Text(words)) = turn.parts.first()
            {
                self.words(words);
            }
            if self.wants_turns() {
                go_on(self.sink.turn(turn))?;
            }
        }
        if self.wants_turns() {
            for answer in answers {
                let (id, parts) = (id.clone(), vec![answer]);
                let turn = Turn { id, role: Role::Tool, at, model: None, is_side, parts };
                go_on(self.sink.turn(turn))?;
            }
        }
        Ok(())
    }

    /// Tells the sink all that is known of the session.
    pub(super) fn end(mut self) -> Step {
        self.session.title = self.session.title.or(self.first_words);
        go_on(self.sink.end(self.session))
    }
}

fn go_on(flow: ControlFlow<()>) -> Step {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Stop::Asked),
    }
}

/// The parts of a turn, bounded together.
#[derive(Default)]
pub(super) struct Parts {
    list: Vec<Part>,
    bytes: usize,
}

impl Parts {
    /// Adds a part; one that is too much is counted in `gaps` instead.
    pub(super) fn push(&mut self, part: Part, gaps: &mut Gaps) {
        // What an empty part costs in memory counts too.
        self.bytes = self.bytes.saturating_add(length(&part)).saturating_add(128);
        if self.bytes > TURN_BYTES {
            gaps.cut_values += 1;
        } else {
            self.list.push(part);
        }
    }

    /// Adds words, unless there are none.
    pub(super) fn text(&mut self, text: Option<String>, gaps: &mut Gaps) {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            self.push(Part::Text(text), gaps);
        }
    }

    /// Adds what the model thought, unless there is nothing.
    pub(super) fn reasoning(&mut self, text: Option<String>, gaps: &mut Gaps) {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            self.push(Part::Reasoning(text), gaps);
        }
    }

    pub(super) fn take(self) -> Vec<Part> {
        self.list
    }
}

fn length(part: &Part) -> usize {
    let of = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    match part {
        Part::Text(text) | Part::Reasoning(text) => text.len(),
        Part::Call { id, name, input } => of(id) + name.len() + input.len(),
        Part::Result { id, text, .. } => of(id) + text.len(),
        Part::Media { kind, .. } => kind.len(),
        Part::Compaction { summary } => of(summary),
    }
}

/// Returns a title made of words: one line without control characters, at most 200 characters;
/// `None` if nothing is left.
pub(super) fn title_of(words: &str) -> Option<String> {
    let mut title = String::new();
    let mut count = 0;
    for word in words.split(|it: char| it.is_whitespace() || it.is_control()) {
        if word.is_empty() {
            continue;
        }
        if count > 0 {
            title.push(' ');
            count += 1;
        }
        for character in word.chars() {
            if count >= TITLE_CHARACTERS {
                return Some(title);
            }
            title.push(character);
            count += 1;
        }
    }
    Some(title.trim_end().to_owned()).filter(|title| !title.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_one_line_of_at_most_200_characters() {
        assert_eq!(title_of(" a\n\tb\u{7}c  d ").as_deref(), Some("a b c d"));
        assert_eq!(title_of(" \n\0"), None);
        let long = title_of(&"wört ".repeat(100)).unwrap();
        assert!(long.chars().count() <= 200 && long.starts_with("wört wört"));
        assert_eq!(title_of(&"x".repeat(1 << 20)).unwrap().len(), 200);
    }

    #[test]
    fn a_turn_that_is_too_large_is_cut_and_counted() {
        let mut gaps = Gaps::default();
        let mut parts = Parts::default();
        for _ in 0..5 {
            parts.text(Some("x".repeat(10 << 20)), &mut gaps);
        }
        assert_eq!(parts.take().len(), 3);
        assert_eq!(gaps.cut_values, 2);
    }
}
