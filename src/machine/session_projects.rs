//! Projects in which agents without a folder of their own keep their sessions.
//!
//! Aider and Crush write into the project's folder, and nobody lists these. But other agents' sessions
//! say where they worked: each such folder is looked into, and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::agent_sources::{AgentWish, MachineAgents};
use super::sessions::local_files;
use crate::agents::Agent;
use crate::error::Result;
use crate::files::ExcludeOptions;

/// So many files of sessions are looked into, the newest first.
const MOST_FILES: usize = 5_000;

/// Returns by agent the folders in which it keeps sessions, of those that other agents' sessions name.
/// `home` itself, and what is above it, is no project.
///
/// Reads the sessions' outlines; what can't be read names no project.
pub fn discover_projects(
    agents: &MachineAgents,
    home: &Path,
) -> Result<BTreeMap<String, Vec<PathBuf>>> {
    let found: Vec<_> = agents.found.iter().collect();
    let sources = agents.sources_of(&found, &AgentWish::default(), &ExcludeOptions::default())?;
    let mut files = local_files(&found, &sources);
    files.sort_by_key(|file| std::cmp::Reverse(file.mtime));
    let mut folders: BTreeSet<PathBuf> = BTreeSet::new();
    for file in files.iter().take(MOST_FILES) {
        let sessions = file.sessions().unwrap_or_default();
        folders.extend(sessions.into_iter().map(|(_, entry)| PathBuf::from(entry.project)));
    }
    folders.retain(|folder| folder.is_absolute() && !home.starts_with(folder));
    let mut projects = BTreeMap::new();
    for agent in agents.catalog.agents().iter().filter(|agent| keeps_sessions_in_projects(agent)) {
        let own: Vec<PathBuf> =
            folders.iter().filter(|folder| agent.marks(folder)).cloned().collect();
        if !own.is_empty() {
            projects.insert(agent.id.clone(), own);
        }
    }
    Ok(projects)
}

/// Returns whether an agent keeps sessions in projects.
pub fn keeps_sessions_in_projects(agent: &Agent) -> bool {
    let in_project = |root: &String| root == crate::agents::PROJECT;
    agent.sessions.iter().any(|store| store.roots.iter().any(in_project))
}
