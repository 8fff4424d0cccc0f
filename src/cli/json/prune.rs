//! What `prune` says in JSON.

use serde::Serialize;

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
            older_objects: report.older_objects,
        }
    }
}
