//! What `prune` says in JSON.

use serde::Serialize;

use super::MessageType;
use crate::engine::prune::PruneReport;

/// The last line of `prune --json`.
#[derive(Debug, Serialize)]
pub struct PruneSummary {
    dry_run: bool,
    snapshots: u64,
    total_objects: u64,
    total_bytes: u64,
    used_bytes: u64,
    unused_bytes: u64,
    condemned_objects: u64,
    condemned_bytes: u64,
    repacked_objects: u64,
    copied_bytes: u64,
    rescued_blobs: u64,
    deleted_objects: u64,
    deleted_bytes: u64,
    waiting_objects: u64,
    waiting_bytes: u64,
    late_records: u64,
    broken_records: u64,
    undeleted_objects: u64,
}

impl PruneSummary {
    /// Returns what a report says.
    pub fn new(report: &PruneReport, dry_run: bool) -> PruneSummary {
        PruneSummary {
            dry_run,
            snapshots: report.snapshots,
            total_objects: report.objects,
            total_bytes: report.bytes,
            used_bytes: report.used_bytes,
            unused_bytes: report.unused_bytes,
            condemned_objects: report.condemned_objects,
            condemned_bytes: report.condemned_bytes,
            repacked_objects: report.repacked_objects,
            copied_bytes: report.copied_bytes,
            rescued_blobs: report.rescued_blobs,
            deleted_objects: report.deleted_objects,
            deleted_bytes: report.deleted_bytes,
            waiting_objects: report.waiting_objects,
            waiting_bytes: report.waiting_bytes,
            late_records: report.late_records,
            broken_records: report.broken_records,
            undeleted_objects: report.undeleted_objects,
        }
    }
}

/// `maintenance`: what a backup cleaned up when it was done.
#[derive(Debug, Serialize)]
pub struct MaintenanceLine {
    covered_records: u64,
    condemned_objects: u64,
    condemned_bytes: u64,
    copied_bytes: u64,
    deleted_objects: u64,
    deleted_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl MaintenanceLine {
    /// Returns what a report says; `problem` is why it came to no end.
    pub fn new(report: &PruneReport, problem: Option<String>) -> MaintenanceLine {
        MaintenanceLine {
            covered_records: report.covered_records,
            condemned_objects: report.condemned_objects,
            condemned_bytes: report.condemned_bytes,
            copied_bytes: report.copied_bytes,
            deleted_objects: report.deleted_objects,
            deleted_bytes: report.deleted_bytes,
            problem,
        }
    }
}

/// What cleaning up says.
pub(super) const MESSAGE_TYPES: &[MessageType] = &[
    MessageType {
        name: "summary of prune",
        when: "stdout, last, `stash prune`, and behind the array of `stash forget --prune`; its \
           `message_type` is `summary`",
        fields: &[
            ("dry_run", "whether nothing was written"),
            ("snapshots", "snapshots that live"),
            ("total_objects", "objects that were stored before"),
            ("total_bytes", "what they took"),
            ("used_bytes", "what snapshots need of it"),
            ("unused_bytes", "what nobody needs, and stays within objects that are needed"),
            ("condemned_objects", "objects to be deleted when the grace is over"),
            ("condemned_bytes", "what they take"),
            ("repacked_objects", "objects whose needed part was copied"),
            ("copied_bytes", "what was copied"),
            ("rescued_blobs", "blobs that were needed again, and stored anew"),
            ("deleted_objects", "objects deleted"),
            ("deleted_bytes", "what they took"),
            ("waiting_objects", "objects condemned earlier whose grace is not over"),
            ("waiting_bytes", "what they take"),
            ("late_records", "records that came after a deletion, and were looked into"),
            ("broken_records", "of these, records of which something is lost"),
            ("undeleted_objects", "objects that could not be deleted; the exit code is then 3"),
        ],
    },
    MessageType {
        name: "maintenance",
        when: "stdout, `backup`, after its summary, if it was time to clean up",
        fields: &[
            ("covered_records", "records that a new checkpoint sums up"),
            ("condemned_objects", "objects to be deleted when the grace is over"),
            ("condemned_bytes", "what they take"),
            ("copied_bytes", "bytes copied to free others"),
            ("deleted_objects", "objects deleted"),
            ("deleted_bytes", "what they took"),
            ("problem", "why it came to no end; absent if it did"),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::json::tests::assert_documented;

    #[test]
    fn every_field_is_documented_and_every_documented_field_exists() {
        let summary = PruneSummary::new(&PruneReport::default(), false);
        assert_documented(MESSAGE_TYPES, "summary of prune", &summary, &[]);
        let line = MaintenanceLine::new(&PruneReport::default(), Some(String::new()));
        assert_documented(MESSAGE_TYPES, "maintenance", &line, &[]);
    }
}
