//! One session back to where its agent finds it, on this machine or from another.
//!
//! Planned first: which folder is the project, where the session's files or rows go, and how what lies there
//! relates to what is saved. A session that is here is never doubled and never gets shorter, unless that is asked
//! for. Doing it plans again, since several sessions may write to one list, and what changed in
//! between must not be overwritten by a stale decision.
//!
//! Written are the files beside a session first and its own file last, each beside its name and renamed; rows in
//! one transaction. So a session that is cut off at any moment is there as before, or whole.

mod block;
mod case;
mod compare;
mod database;
mod files;
mod index;
mod plan;
mod project;

use std::path::{Path, PathBuf};

pub use project::{FoundBy, TargetProject};

use super::list::SessionRow;
use super::read::SessionReader;
use crate::error::Result;
use crate::machine::{Environment, MachineAgents};

/// What becomes of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is not here and comes back.
    New,
    /// It is here, a beginning of what is saved, and gets the rest.
    Grows,
    /// It is here, and some of what belongs to it is not.
    Completed,
    /// What is here went another way or is longer, and is replaced.
    Replaced,
    /// It comes back beside the one that is here, under another id.
    Copied,
    /// It is here as it is saved.
    Same,
    /// It is here and longer than what is saved.
    Longer,
}

impl Fate {
    /// Returns whether anything is written.
    pub fn writes(self) -> bool {
        !matches!(self, Fate::Same | Fate::Longer)
    }

    /// Returns the word for it.
    pub fn name(self) -> &'static str {
        match self {
            Fate::New => "restore",
            Fate::Grows => "continue",
            Fate::Completed => "complete",
            Fate::Replaced => "replace",
            Fate::Copied => "copy",
            Fate::Same => "same",
            Fate::Longer => "longer here",
        }
    }
}

/// What is to become of a session.
#[derive(Debug, Clone)]
pub struct SessionPlan {
    /// The id that it has then.
    pub id: String,
    /// What becomes of it.
    pub fate: Fate,
    /// The project's folder on this machine.
    pub project: TargetProject,
    /// The file that holds it then.
    pub path: PathBuf,
    /// What a person should know.
    pub remarks: Vec<String>,
    /// The command that resumes it, the way into the project included; `None` if none is known.
    pub resume: Option<String>,
}

/// Places sessions.
pub struct SessionPlacer<'a> {
    /// Reads what is saved and what is here.
    pub reader: SessionReader<'a>,
    /// The agents of this machine.
    pub agents: &'a MachineAgents,
    /// Tells the home.
    pub environment: &'a Environment,
    /// All sessions, those that are here among them.
    pub rows: &'a [SessionRow],
    /// The folder that a person named as the project.
    pub project: Option<&'a Path>,
    /// Whether what went another way, or is longer here, is replaced.
    pub force: bool,
    /// Whether it comes back under another id.
    pub as_copy: bool,
}

impl SessionPlacer<'_> {
    /// Returns what would become of a session. Writes nothing.
    ///
    /// # Errors
    ///
    /// If it can't be placed: the reason, and what to do.
    pub fn plan(&self, row: &SessionRow) -> Result<SessionPlan> {
        self.prepare(row).map(|prepared| prepared.plan)
    }

    /// Places a session. Returns what became of it, and the files that were made.
    ///
    /// # Errors
    ///
    /// As [`SessionPlacer::plan`], and if it can't be written; then what was here is as it was.
    pub fn place(&self, row: &SessionRow) -> Result<(SessionPlan, Vec<PathBuf>)> {
        let prepared = self.prepare(row)?;
        let made = prepared.run(row)?;
        Ok((prepared.plan, made))
    }
}
