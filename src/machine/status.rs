//! What stands where: of each agent what lies here, what is saved of it, and what changed since.
//!
//! Nothing is asked of a store: the walk looks at sizes and times, and compares them with the nodes of
//! the newest snapshot, as far as those are at hand.

use super::agent_sources::{FoundAgent, MachineAgents};
use super::agent_survey::{SurveyedFile, survey};
use super::saved_agents::{SavedFile, SavedFiles, SavedRoot};
use crate::engine::backup::AgentSources;
use crate::files::sqlite::Fingerprint;
use crate::time::Timestamp;

/// What changed since the newest snapshot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    /// Files that it has not.
    pub new: u64,
    /// Files of another size or time.
    pub changed: u64,
    /// Files that are no longer there.
    pub gone: u64,
}

impl Changes {
    /// Returns how many there are.
    pub fn count(&self) -> u64 {
        self.new.saturating_add(self.changed).saturating_add(self.gone)
    }
}

/// How an agent stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentStatus {
    /// Its id.
    pub id: String,
    /// Whether it is on this machine.
    pub is_here: bool,
    /// Whether the configuration lets it be saved.
    pub is_enabled: bool,
    /// Files that a backup would hold.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that hold one session each.
    pub sessions: u64,
    /// Files that hold many sessions.
    pub session_stores: u64,
    /// When it was last read whole for a snapshot.
    pub last_read: Option<Timestamp>,
    /// What changed since; `None`: not known.
    pub changes: Option<Changes>,
    /// Whether sessions should be there and none was recognised.
    pub is_odd: bool,
}

/// A root as it was saved, with its files if they are at hand.
pub type SavedRootFiles<'e> = (SavedRoot<'e>, Option<SavedFiles>);

/// Returns how each agent stands that is here or was saved.
pub fn agent_statuses(
    agents: &MachineAgents,
    sources: &AgentSources,
    saved: &[SavedRootFiles<'_>],
) -> Vec<AgentStatus> {
    let mut statuses: Vec<AgentStatus> =
        agents.found.iter().map(|found| of_found(found, sources, saved)).collect();
    for (it, _) in saved {
        let id = &it.root.agent;
        if !statuses.iter().any(|status| status.id == *id) {
            statuses.push(gone(id, saved));
        }
    }
    statuses
}

fn last_read(id: &str, saved: &[SavedRootFiles<'_>]) -> Option<Timestamp> {
    let own = saved.iter().filter(|(it, _)| it.root.agent == id);
    own.map(|(it, _)| it.read_at()).max()
}

fn gone(id: &str, saved: &[SavedRootFiles<'_>]) -> AgentStatus {
    AgentStatus {
        id: id.to_owned(),
        is_here: false,
        is_enabled: true,
        files: 0,
        bytes: 0,
        sessions: 0,
        session_stores: 0,
        last_read: last_read(id, saved),
        changes: None,
        is_odd: false,
    }
}

fn of_found(
    found: &FoundAgent,
    sources: &AgentSources,
    saved: &[SavedRootFiles<'_>],
) -> AgentStatus {
    let id = &found.agent.id;
    let own = || saved.iter().filter(|(it, _)| it.root.agent == *id);
    let is_known = own().next().is_some() && own().all(|(_, files)| files.is_some());
    let files_of = |label: &str| {
        let root = own().find(|(it, _)| it.root.label == label);
        root.and_then(|(_, files)| files.as_ref())
    };
    let mut changes = Changes::default();
    let mut met = 0_u64;
    let seen = survey(found, sources, |file| {
        match files_of(&file.source.label).and_then(|files| files.find(file.below)) {
            None => changes.new = changes.new.saturating_add(1),
            Some(before) => {
                met = met.saturating_add(1);
                changes.changed = changes.changed.saturating_add(u64::from(!is_same(file, before)));
            }
        }
    });
    let before: u64 = own().filter_map(|(_, files)| files.as_ref()).map(SavedFiles::count).sum();
    changes.gone = before.saturating_sub(met);
    let is_empty_handed = !found.agent.sessions.is_empty() && !seen.has_sessions();
    AgentStatus {
        id: id.clone(),
        is_here: true,
        is_enabled: found.is_enabled,
        files: seen.files,
        bytes: seen.bytes,
        sessions: seen.sessions,
        session_stores: seen.session_stores,
        last_read: last_read(id, saved),
        changes: (is_known && found.is_enabled).then_some(changes),
        is_odd: is_empty_handed && seen.unknown_files > 0,
    }
}

/// Returns whether a file looks as it did. A database's copy has a length of its own, and the time of
/// whatever was written last, which may be its log.
fn is_same(file: &SurveyedFile<'_>, before: &SavedFile) -> bool {
    let stat = &file.entry.stat;
    if before.is_database {
        return Fingerprint::with(&file.entry.path, stat)
            .is_ok_and(|print| print.newest_write() == before.mtime);
    }
    stat.size == before.size && stat.mtime == before.mtime
}
