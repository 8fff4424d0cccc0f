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
    raised_blobs: u64,
    forgotten_snapshots: u64,
    left_lane_records: u64,
    left_open_records: u64,
    left_unfinished_objects: u64,
    left_young_objects: u64,
    left_limited_objects: u64,
    older_objects: u64,
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
            raised_blobs: report.raised_blobs,
            forgotten_snapshots: report.forgotten_snapshots,
            left_lane_records: report.left.lane_records,
            left_open_records: report.left.open_records,
            left_unfinished_objects: report.left.unfinished_objects,
            left_young_objects: report.left.young_objects,
            left_limited_objects: report.left.limited_objects,
            older_objects: report.older_objects,
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
        name: "summary of prune, forget --prune",
        when: "stdout, at the end; its `message_type` is `summary`",
        fields: &[
            ("dry_run", "whether nothing was written"),
            ("snapshots", "snapshots whose content is kept"),
            ("forgotten_snapshots", "of these, forgotten ones that live a while longer"),
            ("total_objects", "objects that were listed"),
            ("total_bytes", "what they take"),
            ("used_bytes", "of that, what the kept snapshots use"),
            ("unused_bytes", "what stays unused within objects that are kept"),
            ("condemned_objects", "objects condemned by this run"),
            ("condemned_bytes", "what they take"),
            ("repacked_objects", "of these, objects whose needed blobs were copied"),
            ("copied_bytes", "what the copies take"),
            ("rescued_blobs", "blobs that were needed again and stored anew"),
            ("raised_blobs", "blobs stored in full, so that what they stood on may go"),
            ("deleted_objects", "objects deleted"),
            ("deleted_bytes", "what they took"),
            ("waiting_objects", "condemned objects whose grace is not over"),
            ("waiting_bytes", "what they take"),
            ("late_records", "records that came late and were looked into"),
            ("broken_records", "of these, those of which something is lost"),
            ("undeleted_objects", "objects that could not be deleted; the next run tries again"),
            (
                "left_lane_records",
                "records left with what nobody needs: the newest of other machines",
            ),
            ("left_open_records", "likewise, records that nothing may replace yet"),
            ("left_unfinished_objects", "likewise, objects kept for unfinished backups"),
            ("left_young_objects", "likewise, objects that are too young to go"),
            ("left_limited_objects", "likewise, objects that a later run gets to"),
            (
                "older_objects",
                "objects that were to be sealed anew and stay under older keys for now",
            ),
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
    use super::super::tests::assert_documented;
    use super::*;

    #[test]
    fn every_field_is_documented_and_every_documented_field_exists() {
        let summary = PruneSummary::new(&PruneReport::default(), false);
        assert_documented(MESSAGE_TYPES, "summary of prune, forget --prune", &summary, &[]);
        let line = MaintenanceLine::new(&PruneReport::default(), Some(String::new()));
        assert_documented(MESSAGE_TYPES, "maintenance", &line, &[]);
    }
}
