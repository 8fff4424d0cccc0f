//! What the sections of the configuration hold.

use std::path::PathBuf;
use std::time::Duration;

use crate::engine::retention::{Period, Policy};
use crate::format::tree::Category;

/// Returns the key under which a policy says how long one of each period is kept.
pub(super) fn within_key(period: Period) -> String {
    match period {
        Period::Last => "within".to_owned(),
        _ => format!("within_{}", period.name()),
    }
}

/// Something that was said, and at which line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated<T> {
    /// What was said.
    pub value: T,
    /// The number of the line, from 1.
    pub line: usize,
}

/// The configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// Where it lies, or would.
    pub path: PathBuf,
    /// Whether there is such a file.
    pub exists: bool,
    /// The name of the repository that commands use when nothing else names one.
    pub repository: Option<Stated<String>>,
    /// The repositories, in the order of the file.
    pub repositories: Vec<RepositoryEntry>,
    /// The jobs, in the order of the file.
    pub jobs: Vec<JobEntry>,
    /// What is said of agents.
    pub agents: Vec<AgentEntry>,
    /// What is exchanged between machines.
    pub sync: SyncEntry,
    /// What is said of searching sessions.
    pub search: SearchEntry,
}

/// `[repositories.N]`: where a repository lies, and what opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryEntry {
    /// Its name in the configuration.
    pub name: String,
    /// Where it lies, as for `--repo`.
    pub location: Stated<String>,
    /// `--repo-id`.
    pub repo_id: Option<Stated<String>>,
    /// `--passphrase-file`; absolute.
    pub passphrase_file: Option<Stated<PathBuf>>,
    /// `--passphrase-command`.
    pub passphrase_command: Option<Stated<String>>,
    /// `--credentials-command`.
    pub credentials_command: Option<Stated<String>>,
    /// `--region`.
    pub region: Option<Stated<String>>,
    /// `--endpoint`.
    pub endpoint: Option<Stated<String>>,
    /// `--ca-file`; absolute.
    pub ca_file: Option<Stated<PathBuf>>,
    /// `--limit-upload`, in KiB a second.
    pub limit_upload: Option<Stated<u32>>,
    /// `--limit-download`, in KiB a second.
    pub limit_download: Option<Stated<u32>>,
}

/// Which agents a job saves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentsOfJob {
    /// All that are found and not switched off.
    All,
    /// These, by id or another name; none if empty.
    These(Vec<String>),
}

/// `[jobs.N]`: a named set of options.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobEntry {
    /// Its name, which stands in its snapshots.
    pub name: String,
    /// The line at which it begins.
    pub line: usize,
    /// Names of repositories, the main one first.
    pub repositories: Option<Stated<Vec<String>>>,
    /// The agents; all if nothing is said.
    pub agents: Option<Stated<AgentsOfJob>>,
    /// Absolute paths.
    pub paths: Option<Stated<Vec<PathBuf>>>,
    /// Categories of agents' files that are read; all if nothing is said.
    pub only: Option<Stated<Vec<Category>>>,
    /// Patterns of what is left out.
    pub exclude: Option<Stated<Vec<String>>>,
    /// Whether files that hold nothing but credentials are left out.
    pub without_secrets: Option<Stated<bool>>,
    /// When it runs, as `stash schedule` takes it.
    pub schedule: Option<Stated<String>>,
    /// Which of its snapshots are kept.
    pub keep: Option<Stated<Policy>>,
    /// After how long without a success it counts as overdue.
    pub overdue_after: Option<Stated<Duration>>,
    /// A command that runs before, in a shell.
    pub before: Option<Stated<String>>,
    /// A command that runs after, whatever came of it, in a shell.
    pub after: Option<Stated<String>>,
    /// A command that runs when it failed, in a shell.
    pub on_failure: Option<Stated<String>>,
}

impl JobEntry {
    /// Returns the agents that it names, each with its line.
    pub(super) fn named_agents(&self) -> impl Iterator<Item = (&str, usize)> {
        self.agents.iter().flat_map(|stated| {
            let names: &[String] = match &stated.value {
                AgentsOfJob::All => &[],
                AgentsOfJob::These(names) => names,
            };
            names.iter().map(|name| (name.as_str(), stated.line))
        })
    }
}

/// `[agents.ID]`: where an agent keeps its files, and whether it is saved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentEntry {
    /// The agent's id, or another name of it.
    pub id: String,
    /// The line at which the section begins.
    pub line: usize,
    /// Whether it is saved.
    pub enabled: Option<Stated<bool>>,
    /// Absolute places that take the place of the usual one.
    pub roots: Option<Stated<Vec<PathBuf>>>,
    /// Absolute project folders, `*` and `?` allowed, in which it keeps files.
    pub projects: Option<Stated<Vec<PathBuf>>>,
    /// Patterns of what of it is left out.
    pub exclude: Option<Stated<Vec<String>>>,
    /// Whether what links lead to outside of its folders is saved, too.
    pub follow_links: Option<Stated<bool>>,
}

impl AgentEntry {
    /// Returns whether the agent is saved.
    pub fn is_enabled(&self) -> bool {
        self.enabled.as_ref().is_none_or(|it| it.value)
    }
}

/// `[sync]`: what is exchanged between machines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncEntry {
    /// Whether anything is.
    pub enabled: Option<Stated<bool>>,
    /// Agents whose files are; all if nothing is said.
    pub agents: Option<Stated<Vec<String>>>,
    /// Project folders whose sessions are; all if nothing is said.
    pub projects: Option<Stated<Vec<PathBuf>>>,
    /// Categories that are; all if nothing is said.
    pub only: Option<Stated<Vec<Category>>>,
}

/// `[search]`: how sessions are searched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchEntry {
    /// Whether an index of their text is kept in the cache.
    pub index: Option<Stated<bool>>,
    /// Whether that index finds parts of words, too.
    pub trigram: Option<Stated<bool>>,
}

impl SearchEntry {
    /// Returns whether an index is kept.
    pub fn keeps_index(&self) -> bool {
        self.index.as_ref().is_none_or(|it| it.value)
    }

    /// Returns whether parts of words are found.
    pub fn finds_parts(&self) -> bool {
        self.trigram.as_ref().is_some_and(|it| it.value)
    }
}
