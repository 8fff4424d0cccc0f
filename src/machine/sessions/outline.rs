//! Which sessions a file holds, without their text.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::ControlFlow;

use rusqlite::Connection;

use crate::agents::session::{
    Session, Sink, Source, Turn, Wanted, Which, read_database, read_file,
};
use crate::error::Result;
use crate::format::session::{SESSION_GAPS, SessionEntry, TEXT_BYTES};

/// Keeps sessions, and none of their turns.
#[derive(Default)]
struct Outlines(Vec<Session>);

impl Sink for Outlines {
    fn begin(&mut self, _id: &str) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn turn(&mut self, _turn: Turn) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn end(&mut self, session: Session) -> ControlFlow<()> {
        self.0.push(session);
        ControlFlow::Continue(())
    }
}

/// Returns the sessions of a file that is read from its beginning.
pub(super) fn of_file(source: &Source<'_>, input: &mut dyn Read) -> Result<Vec<Session>> {
    let mut outlines = Outlines::default();
    read_file(source, input, Wanted::Outline, &mut outlines)?;
    Ok(outlines.0)
}

/// What a database holds.
pub(super) struct DatabaseOutline {
    /// Sessions that are new or have changed.
    pub(super) changed: Vec<Session>,
    /// The ids of those that are as they were.
    pub(super) same: Vec<String>,
}

/// Returns the sessions of a database. Those whose revision is that of `before` are not read again.
pub(super) fn of_database(
    source: &Source<'_>,
    connection: &Connection,
    before: &BTreeMap<String, u64>,
) -> Result<DatabaseOutline> {
    let same = std::cell::RefCell::new(Vec::new());
    let has_changed = |id: &str, revision: u64| {
        let is_same = before.get(id) == Some(&revision);
        if is_same {
            same.borrow_mut().push(id.to_owned());
        }
        !is_same
    };
    let mut outlines = Outlines::default();
    let which = Which::Changed(&has_changed);
    read_database(source, connection, which, Wanted::Outline, &mut outlines)?;
    Ok(DatabaseOutline { changed: outlines.0, same: same.into_inner() })
}

/// Returns what is kept of a session beside a snapshot. A shape without times has the file's.
pub(super) fn entry_of(session: &Session, file_time: i64) -> SessionEntry {
    let text = |text: &Option<String>| cut(text.as_deref().unwrap_or_default());
    SessionEntry {
        title: text(&session.title),
        project: text(&session.project),
        branch: text(&session.branch),
        started: session.started.map(|moment| moment.0),
        last: Some(session.last.map_or(file_time, |moment| moment.0)),
        turns: session.turns,
        bytes: session.bytes,
        model: text(&session.model),
        parent: text(&session.parent),
        revision: session.revision,
        flags: if session.gaps == crate::agents::session::Gaps::default() {
            0
        } else {
            SESSION_GAPS
        },
        gone: None,
        ..SessionEntry::default()
    }
}

/// Cuts a text to what an entry takes, at the border of a letter.
fn cut(text: &str) -> String {
    text.get(..text.floor_char_boundary(TEXT_BYTES)).unwrap_or_default().to_owned()
}
