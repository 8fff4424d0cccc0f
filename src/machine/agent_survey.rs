//! What lies in an agent's roots now, without reading any file.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::agent_sources::FoundAgent;
use crate::agents::SessionStore;
use crate::engine::backup::{AgentSource, AgentSources};
use crate::error::Error;
use crate::files::{Entry, Step, Walk};
use crate::format::tree::{Category, NodeKind};

/// What follows the name of a database in the names of what belongs to it.
const SIDE_FILES: [&[u8]; 3] = [b"-wal", b"-shm", b"-journal"];

/// What was counted.
#[derive(Debug, Default)]
pub struct AgentSurvey {
    /// Files that a backup holds.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that hold one session each.
    pub sessions: u64,
    /// Files that hold many sessions.
    pub session_stores: u64,
    /// Files that no rule of the agent names.
    pub unknown_files: u64,
    /// What could not be looked at.
    pub failed: Vec<(PathBuf, Error)>,
}

/// One file that was met.
pub struct SurveyedFile<'a> {
    /// The root that it lies in.
    pub source: &'a AgentSource,
    /// The file.
    pub entry: &'a Entry,
    /// Its path below the root; empty for a root that is a file.
    pub below: &'a [u8],
    /// What it is.
    pub category: Category,
    /// The sessions that it holds.
    pub store: Option<&'a SessionStore>,
}

/// Walks what a backup would read of an agent, and counts it; each file goes to `visit`.
pub fn survey(
    found: &FoundAgent,
    sources: &AgentSources,
    mut visit: impl FnMut(&SurveyedFile<'_>),
) -> AgentSurvey {
    let mut survey = AgentSurvey::default();
    let sessions = found.agent.session_files();
    for source in sources.roots.iter().filter(|it| it.agent == found.agent.id) {
        for step in Walk::start(&source.place, Arc::clone(&source.excludes), 1) {
            let entry = match step {
                Step::Entry(entry) if entry.stat.kind == NodeKind::File => entry,
                Step::Failed { path, error } => {
                    survey.failed.push((path, error));
                    continue;
                }
                _ => continue,
            };
            if is_side_file(&entry.path) {
                continue;
            }
            let below = entry.path.strip_prefix(&source.place).unwrap_or(Path::new(""));
            let below = below.as_os_str().as_bytes();
            let is_known =
                found.agent.classify(&source.label, below).is_some_and(|it| it.rule.is_some());
            let store = sessions.find(&source.label, below);
            survey.count(entry.stat.size, is_known, store);
            let category = source.rules.class(below).category;
            visit(&SurveyedFile { source, entry: &entry, below, category, store });
        }
    }
    survey
}

impl AgentSurvey {
    fn count(&mut self, size: u64, is_known: bool, store: Option<&SessionStore>) {
        self.files = self.files.saturating_add(1);
        self.bytes = self.bytes.saturating_add(size);
        self.unknown_files = self.unknown_files.saturating_add(u64::from(!is_known));
        match store {
            Some(store) if store.shape.holds_many() => {
                self.session_stores = self.session_stores.saturating_add(1);
            }
            Some(_) => self.sessions = self.sessions.saturating_add(1),
            None => {}
        }
    }

    /// Returns whether sessions were recognised, in files of their own or together.
    pub fn has_sessions(&self) -> bool {
        self.sessions > 0 || self.session_stores > 0
    }
}

/// Returns whether a file belongs to a database beside it, whose copy holds all that is in it.
pub(super) fn is_side_file(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    let database = SIDE_FILES.iter().find_map(|end| bytes.strip_suffix(*end));
    database.is_some_and(|it| super::agent_files::is_file(Path::new(OsStr::from_bytes(it))))
}
