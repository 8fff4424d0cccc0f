//! The last line of each command that writes: its `summary`.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{AgentPlanLine, MessageType};
use crate::engine::restore::RestoreReport;
use crate::id::{RepositoryId, SnapshotId};

/// `initialized`: a repository was made.
#[derive(Debug, Clone, Serialize)]
pub struct Initialized {
    /// Its id.
    pub id: RepositoryId,
    /// Where it lies.
    pub repository: String,
}

/// A large file, or a folder with its small files, that a dry run would read.
#[derive(Debug, Clone, Serialize)]
pub struct BackupContributor {
    /// Bytes that would be read.
    pub bytes: u64,
    /// Files that would be read.
    pub files: u64,
    /// The path, as `item`.
    #[serde(flatten)]
    pub item: Map<String, Value>,
}

/// `summary` of `backup`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct BackupSummary {
    /// Whether nothing was to be written.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// The job, as in its snapshots.
    pub job: String,
    /// Files that the parent had not.
    pub files_new: u64,
    /// Files that differ from the parent's.
    pub files_changed: u64,
    /// Files that are as in the parent.
    pub files_unmodified: u64,
    /// Folders that the parent had not.
    pub dirs_new: u64,
    /// Blobs that were new to the repository.
    pub blobs_added: u64,
    /// Their bytes; in a dry run the bytes that would be read.
    pub data_added: u64,
    /// Their bytes as stored.
    pub data_added_packed: u64,
    /// Files in the snapshot.
    pub total_files_processed: u64,
    /// Folders in the snapshot.
    pub total_dirs_processed: u64,
    /// Bytes in the snapshot.
    pub total_bytes_processed: u64,
    /// Seconds.
    pub total_duration: f64,
    /// When the run began.
    pub backup_start: String,
    /// When it ended.
    pub backup_end: String,
    /// Items left out.
    pub excluded_items: u64,
    /// Items that failed.
    pub error_count: u64,
    /// The new snapshot; absent if nothing was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<SnapshotId>,
    /// The snapshot that it was compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<SnapshotId>,
    /// Whether the repository lies on the sources' own disk.
    pub same_disk: bool,
    /// In a dry run the largest contributors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub largest: Vec<BackupContributor>,
    /// In a dry run what would be saved of each agent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<AgentPlanLine>,
}

/// `summary` of `restore`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RestoreSummary {
    /// Whether nothing was to be written.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// The snapshot.
    pub snapshot_id: SnapshotId,
    /// Seconds.
    pub total_duration: f64,
    /// Files considered.
    pub total_files: u64,
    /// Files written.
    pub files_restored: u64,
    /// Of these, files written over others.
    pub files_overwritten: u64,
    /// Files left alone.
    pub files_skipped: u64,
    /// Items removed.
    pub files_deleted: u64,
    /// Folders made.
    pub dirs_restored: u64,
    /// Links, pipes and devices made.
    pub others_restored: u64,
    /// Bytes considered.
    pub total_bytes: u64,
    /// Bytes written.
    pub bytes_restored: u64,
    /// Bytes left alone.
    pub bytes_skipped: u64,
    /// Items that failed.
    pub error_count: u64,
    /// Items restored with some metadata missing.
    pub metadata_error_count: u64,
    /// Files kept with holes.
    pub files_salvaged: u64,
}

impl RestoreSummary {
    /// Returns the report's figures, without snapshot and time.
    pub fn of(report: &RestoreReport) -> Self {
        let restored = report.files_created.saturating_add(report.files_overwritten);
        RestoreSummary {
            total_files: restored.saturating_add(report.files_unchanged),
            files_restored: restored,
            files_overwritten: report.files_overwritten,
            files_skipped: report.files_unchanged,
            files_deleted: report.deleted,
            dirs_restored: report.directories_created,
            others_restored: report.others_created,
            total_bytes: report.bytes_written.saturating_add(report.bytes_unchanged),
            bytes_restored: report.bytes_written,
            bytes_skipped: report.bytes_unchanged,
            error_count: report.failed,
            metadata_error_count: report.metadata_failed,
            files_salvaged: report.salvaged,
            ..RestoreSummary::default()
        }
    }
}

/// The summaries, and the lines of commands that write.
pub(super) const MESSAGE_TYPES: &[MessageType] = &[
    MessageType {
        name: "initialized",
        when: "stdout, `stash init`",
        fields: &[("id", "the repository's id"), ("repository", "where it lies")],
    },
    MessageType {
        name: "summary of backup",
        when: "stdout, last; its `message_type` is `summary`",
        fields: &[
            ("dry_run", "true; absent if this was none"),
            ("job", "the job, as in its snapshots"),
            ("files_new", "files that the parent snapshot had not"),
            ("files_changed", "files that differ from the parent's"),
            ("files_unmodified", "files that are as in the parent"),
            ("dirs_new", "folders that the parent had not"),
            ("blobs_added", "blobs that were new to the repository"),
            ("data_added", "their bytes; in a dry run the bytes that would be read"),
            ("data_added_packed", "bytes that they take in the repository"),
            ("total_files_processed", "files in the snapshot"),
            ("total_dirs_processed", "folders in the snapshot"),
            ("total_bytes_processed", "bytes in the snapshot"),
            ("total_duration", "seconds"),
            ("backup_start", "when the run began"),
            ("backup_end", "when it ended"),
            ("excluded_items", "items left out"),
            ("error_count", "items that failed"),
            ("snapshot_id", "the new snapshot; absent if nothing was written"),
            ("parent", "the snapshot that it was compared with; absent for the first"),
            ("same_disk", "whether the repository lies on the sources' own disk"),
            ("largest", "in a dry run, where most bytes lie: objects of `bytes`, `files`, `item`"),
            (
                "agents",
                "in a dry run, each agent that is read: an object with `agent`, `categories`, `left_out` \
                 and `mixed_secrets`, as of `agents show`",
            ),
        ],
    },
    MessageType {
        name: "summary of restore",
        when: "stdout, last; its `message_type` is `summary`",
        fields: &[
            ("dry_run", "true; absent if this was none"),
            ("snapshot_id", "the snapshot"),
            ("total_duration", "seconds"),
            ("total_files", "files considered"),
            ("files_restored", "files written"),
            ("files_overwritten", "of these, files written over others"),
            ("files_skipped", "files left alone"),
            ("files_deleted", "items removed"),
            ("dirs_restored", "folders made"),
            ("others_restored", "links, pipes and devices made"),
            ("total_bytes", "bytes considered"),
            ("bytes_restored", "bytes written"),
            ("bytes_skipped", "bytes left alone"),
            ("error_count", "items that failed"),
            ("metadata_error_count", "items restored with some metadata missing"),
            ("files_salvaged", "files kept with holes"),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::super::tests::assert_documented;
    use super::*;

    use crate::machine::AgentHoldings;

    #[test]
    fn every_summary_is_documented() {
        let made = Initialized { id: RepositoryId::default(), repository: String::new() };
        assert_documented(MESSAGE_TYPES, "initialized", &made, &[]);
        let contributor = BackupContributor { bytes: 1, files: 1, item: Map::new() };
        let backup = BackupSummary {
            dry_run: true,
            snapshot_id: Some(SnapshotId::default()),
            parent: Some(SnapshotId::default()),
            largest: vec![contributor],
            agents: vec![AgentPlanLine::new("x", &AgentHoldings::default())],
            ..BackupSummary::default()
        };
        assert_documented(MESSAGE_TYPES, "summary of backup", &backup, &[]);
        let restore = RestoreSummary { dry_run: true, ..RestoreSummary::default() };
        assert_documented(MESSAGE_TYPES, "summary of restore", &restore, &[]);
    }
}
