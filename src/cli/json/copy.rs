//! What commands with a second repository say in JSON.

use serde::Serialize;

use super::MessageType;
use crate::engine::copy::CopyReport;
use crate::engine::repair::RepairDataReport;
use crate::id::SnapshotId;

/// A snapshot that was or would be copied.
#[derive(Debug, Serialize)]
pub struct CopiedLine {
    /// In the repository that is copied from.
    pub source: SnapshotId,
    /// In the other; absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy: Option<SnapshotId>,
}

/// The last line of `copy --json`.
#[derive(Debug, Serialize)]
pub struct CopySummary {
    dry_run: bool,
    shares_keys: bool,
    snapshots_copied: u64,
    snapshots_present: u64,
    snapshots_forgotten: u64,
    snapshots_failed: u64,
    blobs_copied: u64,
    units_carried: u64,
    stored_bytes: u64,
}

impl CopySummary {
    /// Returns what a report says.
    pub fn new(report: &CopyReport, dry_run: bool) -> CopySummary {
        CopySummary {
            dry_run,
            shares_keys: report.shares_keys,
            snapshots_copied: report.copied.len() as u64,
            snapshots_present: report.present.len() as u64,
            snapshots_forgotten: report.forgotten,
            snapshots_failed: report.failed,
            blobs_copied: report.blobs,
            units_carried: report.units_carried,
            stored_bytes: report.stored_bytes,
        }
    }
}

/// What became of a second target of `backup`.
#[derive(Debug, Serialize)]
pub struct AlsoLine {
    /// Where it lies.
    pub repository: String,
    /// Its snapshot; absent if it failed, or if nothing had changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<SnapshotId>,
    /// Bytes stored there.
    pub stored_bytes: u64,
    /// Why it failed; absent if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a second repository could give back.
#[derive(Debug, Serialize)]
pub struct RepairableLine {
    repository: String,
    saved_blobs: u64,
    fetched_blobs: u64,
    lost_blobs: u64,
}

impl RepairableLine {
    /// Returns what a report says of the repository at a place.
    pub fn new(repository: String, report: &RepairDataReport) -> RepairableLine {
        RepairableLine {
            repository,
            saved_blobs: report.saved_blobs,
            fetched_blobs: report.fetched_blobs,
            lost_blobs: report.lost_blobs,
        }
    }
}

/// The last line of `repair data --json`.
#[derive(Debug, Serialize)]
pub struct RepairDataSummary {
    dry_run: bool,
    damaged_objects: u64,
    saved_blobs: u64,
    fetched_blobs: u64,
    lost_blobs: u64,
    stored_bytes: u64,
}

impl RepairDataSummary {
    /// Returns what a report says.
    pub fn new(report: &RepairDataReport, dry_run: bool) -> RepairDataSummary {
        RepairDataSummary {
            dry_run,
            damaged_objects: report.objects,
            saved_blobs: report.saved_blobs,
            fetched_blobs: report.fetched_blobs,
            lost_blobs: report.lost_blobs,
            stored_bytes: report.stored_bytes,
        }
    }
}

/// The message types of these commands.
pub(super) const MESSAGE_TYPES: &[MessageType] = &[
    MessageType {
        name: "copied",
        when: "stdout, `stash copy`, for each snapshot that was or would be copied",
        fields: &[
            ("source", "its id in the repository that is copied from"),
            ("copy", "its id in the other; absent in a dry run"),
        ],
    },
    MessageType {
        name: "summary of copy",
        when: "stdout, last; its `message_type` is `summary`",
        fields: &[
            ("dry_run", "whether nothing was written"),
            ("shares_keys", "whether content has the same ids on both sides"),
            ("snapshots_copied", "snapshots that were or would be copied"),
            ("snapshots_present", "snapshots that were there already"),
            ("snapshots_forgotten", "snapshots that were copied before, and forgotten there"),
            ("snapshots_failed", "snapshots that can't be read; the exit code is then 3"),
            ("blobs_copied", "blobs that were not there"),
            ("units_carried", "units that went over as they were compressed"),
            ("stored_bytes", "bytes stored there"),
        ],
    },
    MessageType {
        name: "also",
        when: "stdout, `stash backup --also`, for each further repository",
        fields: &[
            ("repository", "where it lies"),
            ("snapshot_id", "the snapshot there; absent if it failed, or if nothing had changed"),
            ("stored_bytes", "bytes stored there"),
            ("error", "why it failed, one line; absent if it did not"),
        ],
    },
    MessageType {
        name: "repairable",
        when: "stdout, last, `stash check --with`, if something is damaged",
        fields: &[
            ("repository", "where the other repository lies"),
            ("saved_blobs", "blobs of damaged objects that can still be read"),
            ("fetched_blobs", "blobs that can't, and that the other repository has"),
            ("lost_blobs", "blobs that neither has"),
        ],
    },
    MessageType {
        name: "summary of repair data",
        when: "stdout, last; its `message_type` is `summary`",
        fields: &[
            ("dry_run", "whether nothing was written"),
            ("damaged_objects", "objects that are damaged or missing"),
            ("saved_blobs", "blobs of theirs that could still be read"),
            ("fetched_blobs", "blobs that came from the other repository"),
            ("lost_blobs", "blobs that neither has"),
            ("stored_bytes", "bytes stored"),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::json::tests::assert_documented;

    #[test]
    fn every_field_is_documented() {
        let id = SnapshotId::default();
        let line = CopiedLine { source: id, copy: Some(id) };
        assert_documented(MESSAGE_TYPES, "copied", &line, &[]);
        let summary = CopySummary::new(&CopyReport::default(), false);
        assert_documented(MESSAGE_TYPES, "summary of copy", &summary, &[]);
        let also = AlsoLine {
            repository: String::new(),
            snapshot_id: Some(id),
            stored_bytes: 0,
            error: Some(String::new()),
        };
        assert_documented(MESSAGE_TYPES, "also", &also, &[]);
        let line = RepairableLine::new(String::new(), &RepairDataReport::default());
        assert_documented(MESSAGE_TYPES, "repairable", &line, &[]);
        let summary = RepairDataSummary::new(&RepairDataReport::default(), false);
        assert_documented(MESSAGE_TYPES, "summary of repair data", &summary, &[]);
    }
}
