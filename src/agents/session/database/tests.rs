//! Databases made by SQL, and what is read from them.

mod damage;
mod editors;
mod events;
mod mutated;
mod opencode;
mod others;

use std::cell::RefCell;
use std::io::Read;
use std::ops::ControlFlow;

use rusqlite::Connection;

use super::{Which, read_database};
use crate::agents::SessionShape;
use crate::agents::session::{Part, Role, RootFiles, Session, Sink, Source, Turn, Wanted};
use crate::error::{Error, Result};

struct NoFiles;

impl RootFiles for NoFiles {
    fn open(&self, _: &[u8]) -> Result<Option<Box<dyn Read + '_>>> {
        Ok(None)
    }

    fn list(&self, _: &[u8]) -> Result<Vec<Vec<u8>>> {
        Ok(Vec::new())
    }

    fn database(&self, _: &[u8]) -> Result<Option<Connection>> {
        Ok(None)
    }
}

/// All that a reader handed over.
#[derive(Default)]
struct Collected {
    open: Option<String>,
    turns: Vec<Turn>,
    sessions: Vec<(Session, Vec<Turn>)>,
    stop_after: Option<usize>,
}

impl Sink for Collected {
    fn begin(&mut self, id: &str) -> ControlFlow<()> {
        assert!(self.open.is_none(), "a session began in another");
        self.open = Some(id.to_owned());
        ControlFlow::Continue(())
    }

    fn turn(&mut self, turn: Turn) -> ControlFlow<()> {
        assert!(self.open.is_some());
        self.turns.push(turn);
        if self.stop_after == Some(self.turns.len()) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn end(&mut self, session: Session) -> ControlFlow<()> {
        assert_eq!(self.open.take().as_ref(), Some(&session.id));
        self.sessions.push((session, std::mem::take(&mut self.turns)));
        ControlFlow::Continue(())
    }
}

impl Collected {
    fn find(&self, id: &str) -> &(Session, Vec<Turn>) {
        self.sessions.iter().find(|(session, _)| session.id == id).unwrap()
    }
}

fn read_which(
    shape: SessionShape,
    connection: &Connection,
    which: Which<'_>,
    wanted: Wanted,
) -> (Collected, Result<(), Error>) {
    let mut found = Collected::default();
    let source = Source {
        shape,
        root: b"/root",
        relative: b"folder/chat-1/store.db",
        size: 4096,
        files: &NoFiles,
    };
    let result = read_database(&source, connection, which, wanted, &mut found);
    (found, result)
}

/// Reads everything twice, as turns and as outline, which must know the same of each session.
fn read(shape: SessionShape, connection: &Connection) -> Collected {
    let (found, result) = read_which(shape, connection, Which::All, Wanted::Turns);
    result.unwrap();
    let (outline, result) = read_which(shape, connection, Which::All, Wanted::Outline);
    result.unwrap();
    assert_eq!(found.sessions.len(), outline.sessions.len());
    for ((session, turns), (alone, none)) in found.sessions.iter().zip(&outline.sessions) {
        let mut alone = alone.clone();
        // What an outline passes over it can't judge.
        alone.gaps = session.gaps;
        assert_eq!(&alone, session);
        assert!(none.is_empty());
        let of_people = turns.iter().filter(|it| matches!(it.role, Role::User | Role::Assistant));
        assert_eq!(of_people.count(), usize::try_from(session.turns).unwrap());
        let ids = [session.id.as_str()];
        let (only, result) = read_which(shape, connection, Which::Ids(&ids), Wanted::Turns);
        result.unwrap();
        assert_eq!(only.sessions, [(session.clone(), turns.clone())]);
    }
    found
}

fn memory(sql: &str) -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(sql).unwrap();
    connection
}

/// Writes a turn in one line, for comparing.
fn line(turn: &Turn) -> String {
    let parts: Vec<_> = turn
        .parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Reasoning(text) => format!("({text})"),
            Part::Call { id, name, input } => {
                format!("{name}[{}]{input}", id.as_deref().unwrap_or(""))
            }
            Part::Result { id, text, is_error } => {
                let mark = if *is_error { "!" } else { "" };
                format!("->[{}]{mark}{text}", id.as_deref().unwrap_or(""))
            }
            Part::Media { kind, bytes } => format!("<{kind} {bytes}>"),
            Part::Compaction { summary } => format!("={}=", summary.as_deref().unwrap_or("")),
        })
        .collect();
    format!("{:?}: {}", turn.role, parts.join(" | "))
}

fn lines(turns: &[Turn]) -> Vec<String> {
    turns.iter().map(line).collect()
}

/// Runs `read` and returns how each of its queries found its rows.
fn plans(read: impl FnOnce()) -> Vec<String> {
    super::rows::tests::PLANS.set(Some(Vec::new()));
    read();
    super::rows::tests::PLANS.take().unwrap()
}

/// Runs `read` and returns how many rows it stepped through.
fn stepped(read: impl FnOnce()) -> u64 {
    let before = super::rows::tests::STEPPED.get();
    read();
    super::rows::tests::STEPPED.get() - before
}

thread_local! {
    /// Ids and revisions that a reader asked about.
    static ASKED: RefCell<Vec<(String, u64)>> = const { RefCell::new(Vec::new()) };
}

/// Returns the revision of each session, without reading any.
fn revisions(shape: SessionShape, connection: &Connection) -> Vec<(String, u64)> {
    ASKED.take();
    let ask = |id: &str, revision: u64| {
        ASKED.with_borrow_mut(|asked| asked.push((id.to_owned(), revision)));
        false
    };
    let (found, result) = read_which(shape, connection, Which::Changed(&ask), Wanted::Outline);
    result.unwrap();
    assert!(found.sessions.is_empty());
    ASKED.take()
}
