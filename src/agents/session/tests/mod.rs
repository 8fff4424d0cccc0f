//! Tests of the readers, over invented files in memory.

mod aider;
mod bad_input;
mod claude;
mod codex;
mod copilot;
mod documents;
mod gemini;
mod opencode;
mod pi;
mod role;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::ops::ControlFlow;

use rusqlite::Connection;

use super::super::words::SessionShape;
use super::{Part, Role, RootFiles, Session, Sink, Source, Turn, Wanted, read_file};
use crate::error::Result;

pub(super) const ROOT: &[u8] = b"/home/user/root";

/// A root in memory; databases are made by the SQL in their file.
#[derive(Default, Clone)]
pub(super) struct Files(pub BTreeMap<Vec<u8>, Vec<u8>>);

impl Files {
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let own =
            |(path, text): &(&str, &str)| (path.as_bytes().to_vec(), text.as_bytes().to_vec());
        Files(files.iter().map(own).collect())
    }
}

impl RootFiles for Files {
    fn open(&self, relative: &[u8]) -> Result<Option<Box<dyn Read + '_>>> {
        let file = self.0.get(relative).map(Vec::as_slice);
        Ok(file.map(|file| Box::new(file) as Box<dyn Read>))
    }

    fn list(&self, relative: &[u8]) -> Result<Vec<Vec<u8>>> {
        let names: BTreeSet<_> = self.0.keys().filter_map(|path| name_in(path, relative)).collect();
        Ok(names.into_iter().collect())
    }

    fn database(&self, relative: &[u8]) -> Result<Option<Connection>> {
        Ok(self.0.get(relative).map(|sql| {
            let connection = Connection::open_in_memory().unwrap();
            connection.execute_batch(std::str::from_utf8(sql).unwrap()).unwrap();
            connection
        }))
    }
}

fn name_in(path: &[u8], folder: &[u8]) -> Option<Vec<u8>> {
    let rest = path.strip_prefix(folder)?;
    let rest = if folder.is_empty() { rest } else { rest.strip_prefix(b"/")? };
    Some(rest.split(|it| *it == b'/').next()?.to_vec())
}

/// Keeps what it is handed, and checks the order: begin, turns, end.
#[derive(Default, Debug, PartialEq, Clone)]
pub(super) struct Heard {
    pub sessions: Vec<(Session, Vec<Turn>)>,
    open: Option<(String, Vec<Turn>)>,
}

impl Sink for Heard {
    fn begin(&mut self, id: &str) -> ControlFlow<()> {
        assert!(self.open.is_none());
        self.open = Some((id.to_owned(), Vec::new()));
        ControlFlow::Continue(())
    }

    fn turn(&mut self, turn: Turn) -> ControlFlow<()> {
        self.open.as_mut().unwrap().1.push(turn);
        ControlFlow::Continue(())
    }

    fn end(&mut self, session: Session) -> ControlFlow<()> {
        let (id, turns) = self.open.take().unwrap();
        assert_eq!(id, session.id);
        self.sessions.push((session, turns));
        ControlFlow::Continue(())
    }
}

/// Reads one file of a root both ways, checks that these agree, and returns what was heard.
pub(super) fn hear(shape: SessionShape, relative: &str, files: &Files) -> Heard {
    let bytes = files.0.get(relative.as_bytes()).cloned().unwrap_or_default();
    let relative = relative.as_bytes();
    let source = Source { shape, root: ROOT, relative, size: bytes.len() as u64, files };
    let [outline, turns] = [Wanted::Outline, Wanted::Turns].map(|wanted| {
        let mut heard = Heard::default();
        read_file(&source, &mut bytes.as_slice(), wanted, &mut heard).unwrap();
        assert!(heard.open.is_none(), "a session was not ended");
        heard
    });
    assert!(outline.sessions.iter().all(|(_, turns)| turns.is_empty()));
    let [short, long] = [&outline, &turns]
        .map(|heard| heard.sessions.iter().map(|it| it.0.clone()).collect::<Vec<_>>());
    assert_eq!(short, long, "an outline says something else than the turns do");
    turns
}

/// Reads one file that holds one session.
pub(super) fn one(
    shape: SessionShape,
    relative: &str,
    files: &[(&str, &str)],
) -> (Session, Vec<Turn>) {
    let mut heard = hear(shape, relative, &Files::of(files));
    assert_eq!(heard.sessions.len(), 1);
    heard.sessions.remove(0)
}

/// Returns turns as lines: who, and what in short.
pub(super) fn told(turns: &[Turn]) -> Vec<String> {
    turns.iter().map(|turn| format!("{:?}: {}", turn.role, said(&turn.parts))).collect()
}

pub(super) fn said(parts: &[Part]) -> String {
    let shown = parts.iter().map(|part| match part {
        Part::Text(text) => text.clone(),
        Part::Reasoning(text) => format!("({text})"),
        Part::Call { id, name, input } => {
            format!("{name}[{}] {input}", id.as_deref().unwrap_or(""))
        }
        Part::Result { id, text, is_error } => {
            format!("[{}]{} {text}", id.as_deref().unwrap_or(""), if *is_error { "!" } else { "" })
        }
        Part::Media { kind, bytes } => format!("<{kind} {bytes}>"),
        Part::Compaction { summary } => format!("== {}", summary.as_deref().unwrap_or("")),
    });
    shown.collect::<Vec<_>>().join(" | ")
}

/// Returns a moment as text.
pub(super) fn at(moment: Option<crate::time::Timestamp>) -> String {
    moment.map(crate::time::Timestamp::to_rfc3339).unwrap_or_default()
}

/// Returns the speakers alone.
pub(super) fn roles(turns: &[Turn]) -> Vec<Role> {
    turns.iter().map(|turn| turn.role).collect()
}
