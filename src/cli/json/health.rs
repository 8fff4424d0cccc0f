//! What `doctor` and `status` say in JSON.

use serde::Serialize;

use super::MessageType;
use crate::machine::doctor::{Answer, Verdict};

/// The answer to one question of `doctor`.
#[derive(Debug, Serialize)]
pub struct AnswerRow {
    /// The question.
    pub question: &'static str,
    /// How it stands.
    pub verdict: Verdict,
    /// What was seen.
    pub evidence: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Whether `--fix` does something about it.
    pub fixable: bool,
    /// What `--fix` did about it in this run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed: Option<String>,
}

impl AnswerRow {
    /// Returns an answer as it is printed.
    pub fn new(answer: &Answer, fixed: Option<String>) -> Self {
        AnswerRow {
            question: answer.name,
            verdict: answer.verdict,
            evidence: answer.evidence.clone(),
            remedy: answer.remedy.clone(),
            fixable: answer.fix.is_some(),
            fixed,
        }
    }
}

/// What `status` prints.
#[derive(Debug, Serialize)]
pub struct StatusReport {
    /// `ok`, `overdue` or `unknown`.
    pub health: &'static str,
    /// Whether the store was asked; else all of the repository is what this machine remembers.
    pub checked: bool,
    /// The repository, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<RepositoryRow>,
    /// The jobs of this machine.
    pub jobs: Vec<JobRow>,
    /// The agents that are here or were saved.
    pub agents: Vec<AgentStatusRow>,
    /// What runs the backups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// When that runs next, as far as is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_run: Option<String>,
    /// What agents will delete within three days.
    pub expiring: Vec<ExpiringRow>,
    /// What should be seen to.
    pub warnings: Vec<String>,
}

/// What an agent will delete within three days.
#[derive(Debug, Clone, Serialize)]
pub struct ExpiringRow {
    /// The agent's name for people.
    pub agent: String,
    /// How many sessions.
    pub sessions: u64,
    /// How many of them are not saved as they are now, if that is known.
    pub unsaved: Option<u64>,
}

/// The repository.
#[derive(Debug, Clone, Serialize)]
pub struct RepositoryRow {
    /// Where it lies.
    pub location: String,
    /// Its id.
    pub id: String,
    /// Snapshots, safety snapshots not among them.
    pub snapshots: u64,
    /// Bytes that its content takes.
    pub stored_bytes: u64,
    /// Bytes that all snapshots would take if each were kept whole.
    pub whole_bytes: u64,
    /// Bytes held for each that is stored.
    pub ratio: f64,
    /// Snapshots taken before restores.
    pub safety_snapshots: u64,
    /// Bytes that these would take if each were kept whole.
    pub safety_bytes: u64,
}

/// One job.
#[derive(Debug, Clone, Serialize)]
pub struct JobRow {
    /// Its name.
    pub job: String,
    /// When it last succeeded.
    pub last_success: Option<String>,
    /// Seconds without a success after which it is overdue.
    pub overdue_after: u64,
    /// Whether it is.
    pub overdue: bool,
}

/// One agent.
#[derive(Debug, Clone, Serialize)]
pub struct AgentStatusRow {
    /// Its id.
    pub id: String,
    /// Whether it is on this machine.
    pub here: bool,
    /// Whether it is saved.
    pub enabled: bool,
    /// When it was last read for a snapshot.
    pub last_saved: Option<String>,
    /// Files that hold one session each.
    pub sessions: u64,
    /// Files that hold many.
    pub session_stores: u64,
    /// Files that a backup would hold.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What changed since; absent if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<ChangesRow>,
}

/// What changed since the newest snapshot.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ChangesRow {
    /// Files that it has not.
    pub new: u64,
    /// Files of another size or time.
    pub changed: u64,
    /// Files that are no longer there.
    pub gone: u64,
}

/// The fields of [`StatusReport`].
pub(super) const STATUS: MessageType = MessageType {
    name: "status",
    when: "how backups stand; the exit code is 15 if one is overdue",
    fields: &[
        ("health", "ok, overdue or unknown"),
        ("checked", "whether the store was asked; else its figures are what is remembered here"),
        (
            "repository",
            "an object: location, id, snapshots, stored_bytes, whole_bytes (were each snapshot kept \
             whole), ratio, safety_snapshots, safety_bytes; absent if it is not known",
        ),
        ("jobs", "objects: job, last_success or null, overdue_after in seconds, overdue"),
        (
            "agents",
            "objects: id, here, enabled, last_saved or null, sessions, session_stores (files with \
             many), files, bytes, and changes (new, changed, gone) if they are known",
        ),
        ("schedule", "what runs the backups; absent if nothing was found"),
        ("next_run", "when that runs next; absent if that is not known"),
        (
            "expiring",
            "what agents will delete within three days: objects with agent, sessions, and unsaved, which is \
             null where that is not known",
        ),
        ("warnings", "what should be seen to, one line each"),
    ],
};

/// The list that `doctor` prints.
pub(super) const LISTS: &[MessageType] = &[MessageType {
    name: "doctor",
    when: "a question each",
    fields: &[
        ("question", "what was asked; the same from run to run"),
        ("verdict", "ok, skipped, note, problem or broken"),
        ("evidence", "what was seen, or why it could not be asked"),
        ("remedy", "what to do, if something is to be done"),
        ("fixable", "whether --fix does something about it"),
        ("fixed", "what --fix did about it in this run"),
    ],
}];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::json::tests::assert_documented;

    #[test]
    fn every_field_is_documented_and_every_documented_field_exists() {
        let answer = Answer::note("x", "y").remedy("z");
        assert_documented(LISTS, "doctor", &AnswerRow::new(&answer, Some(String::new())), &[]);
        let repository = RepositoryRow {
            location: String::new(),
            id: String::new(),
            snapshots: 1,
            stored_bytes: 1,
            whole_bytes: 1,
            ratio: 1.0,
            safety_snapshots: 1,
            safety_bytes: 1,
        };
        let status = StatusReport {
            health: "ok",
            checked: false,
            repository: Some(repository),
            jobs: Vec::new(),
            agents: Vec::new(),
            schedule: Some(String::new()),
            next_run: Some(String::new()),
            expiring: Vec::new(),
            warnings: Vec::new(),
        };
        assert_documented(&[STATUS], "status", &status, &[]);
    }
}
