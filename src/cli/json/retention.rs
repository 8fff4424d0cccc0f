//! What forgetting, pinning and tagging print.

use serde::Serialize;
use serde_json::{Map, Value};

use super::MessageType;
use super::lists::{SnapshotRow, paths};
use crate::engine::purge::{PurgeReport, PurgedSnapshot};
use crate::engine::retention::GroupPlan;
use crate::id::SnapshotId;
use crate::repository::cache::SnapshotEntry;

/// Why a snapshot is kept.
#[derive(Debug, Clone, Serialize)]
pub struct KeepReason {
    /// The snapshot.
    pub snapshot: SnapshotRow,
    /// The reasons.
    pub matches: Vec<String>,
}

/// What becomes of a group of snapshots.
#[derive(Debug, Clone, Serialize)]
pub struct ForgetGroup {
    /// The tags that they share.
    pub tags: Option<Vec<String>>,
    /// The machine that they share.
    pub host: Option<String>,
    /// The job that they share.
    pub job: Option<String>,
    /// The paths that they share: `paths`, and `paths_b64` if one is no text.
    #[serde(flatten)]
    pub paths: Map<String, Value>,
    /// Those that are kept, oldest first.
    pub keep: Vec<SnapshotRow>,
    /// Those that are forgotten, oldest first.
    pub remove: Vec<SnapshotRow>,
    /// Why those that are kept are.
    pub reasons: Vec<KeepReason>,
}

impl ForgetGroup {
    /// Returns snapshots that were named one by one, as a group that shares nothing.
    pub fn of_named(entries: &[SnapshotEntry]) -> ForgetGroup {
        ForgetGroup {
            tags: None,
            host: None,
            job: None,
            paths: no_paths(),
            keep: Vec::new(),
            remove: entries.iter().map(SnapshotRow::from).collect(),
            reasons: Vec::new(),
        }
    }
}

fn no_paths() -> Map<String, Value> {
    std::iter::once(("paths".to_owned(), Value::Null)).collect()
}

impl From<&GroupPlan<'_>> for ForgetGroup {
    fn from(plan: &GroupPlan<'_>) -> Self {
        let rows = |kept: bool| {
            let verdicts = plan.verdicts.iter().filter(move |verdict| verdict.is_kept() == kept);
            verdicts.map(|verdict| SnapshotRow::from(verdict.entry)).collect()
        };
        let reasons = plan.verdicts.iter().filter(|verdict| verdict.is_kept());
        let name = &plan.name;
        ForgetGroup {
            tags: name.tags.clone(),
            host: name.host.clone(),
            job: name.job.clone(),
            paths: name
                .paths
                .as_ref()
                .map_or_else(no_paths, |all| paths(|| all.iter().map(Vec::as_slice))),
            keep: rows(true),
            remove: rows(false),
            reasons: reasons
                .map(|verdict| KeepReason {
                    snapshot: SnapshotRow::from(verdict.entry),
                    matches: verdict.reasons.iter().map(ToString::to_string).collect(),
                })
                .collect(),
        }
    }
}

/// `changed`: a snapshot about which something else holds now.
#[derive(Debug, Clone, Serialize)]
pub struct ChangedLine {
    /// The snapshot.
    pub id: SnapshotId,
    /// The beginning of its id.
    pub short_id: String,
    /// Whether it is forgotten.
    pub forgotten: bool,
    /// Whether it is pinned.
    pub pinned: bool,
    /// Its tags.
    pub tags: Vec<String>,
}

impl From<&SnapshotEntry> for ChangedLine {
    fn from(entry: &SnapshotEntry) -> Self {
        ChangedLine {
            id: entry.id,
            short_id: entry.id.short(),
            forgotten: entry.forgotten.is_some(),
            pinned: entry.pinned,
            tags: entry.snapshot.tags.clone(),
        }
    }
}

/// `summary` of `tag`, `pin`, `unpin` and `unforget`.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ChangedSummary {
    /// How many snapshots changed.
    pub changed_snapshots: usize,
}

/// A snapshot that can be brought back.
#[derive(Debug, Clone, Serialize)]
pub struct ForgottenRow {
    /// The snapshot.
    #[serde(flatten)]
    pub snapshot: SnapshotRow,
    /// When it was forgotten.
    pub forgotten: String,
    /// Until when it can be brought back.
    pub returns_until: String,
}

/// `purged`: a snapshot that something was taken out of.
#[derive(Debug, Clone, Serialize)]
pub struct PurgedLine {
    /// The snapshot that held it.
    pub old_snapshot_id: SnapshotId,
    /// The one that took its place; none in a dry run, or if nothing is left.
    pub new_snapshot_id: Option<SnapshotId>,
    /// Files that were taken out.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// What was taken out: `paths`, and `paths_b64` if one is no text.
    #[serde(flatten)]
    pub paths: Map<String, Value>,
}

impl From<&PurgedSnapshot> for PurgedLine {
    fn from(purged: &PurgedSnapshot) -> Self {
        PurgedLine {
            old_snapshot_id: purged.old,
            new_snapshot_id: purged.new,
            files: purged.files,
            bytes: purged.bytes,
            paths: paths(|| purged.paths.iter().map(Vec::as_slice)),
        }
    }
}

/// `summary` of `forget --path`, `forget --agent` and `sessions forget`.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PurgeSummary {
    /// Whether nothing was written.
    pub dry_run: bool,
    /// Snapshots that held it.
    pub snapshots_purged: usize,
    /// Snapshots that did not.
    pub snapshots_untouched: u64,
}

impl PurgeSummary {
    /// Returns what a report says.
    pub fn of(report: &PurgeReport, dry_run: bool) -> Self {
        PurgeSummary {
            dry_run,
            snapshots_purged: report.snapshots.len(),
            snapshots_untouched: report.untouched,
        }
    }
}

/// `forgotten`: what the policy of a job forgot after its backup.
#[derive(Debug, Serialize)]
pub struct ForgottenLine {
    /// The job.
    pub job: String,
    /// Where the snapshots lie.
    pub repository: String,
    /// Snapshots that were forgotten.
    pub snapshots_forgotten: u64,
    /// Snapshots that stay.
    pub snapshots_kept: u64,
}

/// The lines.
pub(super) const MESSAGE_TYPES: &[MessageType] = &[
    MessageType {
        name: "forgotten",
        when: "stdout, `backup`: what the policy of its job forgot, if it did",
        fields: &[
            ("job", "the job"),
            ("repository", "where the snapshots lie"),
            ("snapshots_forgotten", "snapshots that were forgotten"),
            ("snapshots_kept", "snapshots that stay"),
        ],
    },
    MessageType {
        name: "purged",
        when: "stdout, `forget --path`, `--agent` and `sessions forget`: each snapshot that held it",
        fields: &[
            ("old_snapshot_id", "the snapshot that held it, now forgotten"),
            ("new_snapshot_id", "the one in its place; null in a dry run, or if nothing is left"),
            ("files", "files that were taken out"),
            ("bytes", "bytes of them"),
            ("paths", "what was taken out (`paths_b64`: all of it, if one is not UTF-8)"),
        ],
    },
    MessageType {
        name: "summary of forget --path, --agent, sessions forget",
        when: "stdout, at the end",
        fields: &[
            ("dry_run", "whether nothing was written"),
            ("snapshots_purged", "snapshots that held it"),
            ("snapshots_untouched", "snapshots that did not"),
        ],
    },
    MessageType {
        name: "changed",
        when: "stdout, `tag`, `pin`, `unpin`, `unforget`: each snapshot that changed",
        fields: &[
            ("id", "its id, which stays"),
            ("short_id", "the beginning of its id"),
            ("forgotten", "whether it is forgotten now"),
            ("pinned", "whether it is pinned now"),
            ("tags", "its tags now"),
        ],
    },
    MessageType {
        name: "summary of tag, pin, unpin, unforget",
        when: "stdout, at the end",
        fields: &[("changed_snapshots", "how many snapshots changed")],
    },
];

/// The objects of the lists.
pub(super) const LISTS: &[MessageType] = &[
    MessageType {
        name: "forget",
        when: "stdout, `stash forget`: each group",
        fields: &[
            ("tags", "the tags that its snapshots share; null if they are not grouped by tags"),
            ("host", "the machine; likewise"),
            ("job", "the job; likewise"),
            ("paths", "the paths (`paths_b64`: all of them, if one is not UTF-8); likewise"),
            ("keep", "the snapshots that are kept, with the fields of `snapshots`"),
            ("remove", "those that are forgotten"),
            ("reasons", "why: objects of `snapshot` and `matches`, a list of reasons"),
        ],
    },
    MessageType {
        name: "unforget without a snapshot",
        when: "stdout, with the fields of `snapshots` and these:",
        fields: &[
            ("forgotten", "when it was forgotten"),
            ("returns_until", "until when it can be brought back"),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::super::tests::assert_documented;
    use super::*;
    use crate::engine::retention::{GroupName, Reason, Verdict};
    use crate::format::record::Snapshot;

    #[test]
    fn every_field_is_documented_and_kept_and_removed_are_told_apart() {
        let entry = SnapshotEntry {
            id: SnapshotId::default(),
            snapshot: Snapshot::default(),
            forgotten: None,
            pinned: true,
        };
        let verdicts = vec![
            Verdict { entry: &entry, reasons: vec![Reason::Pinned] },
            Verdict { entry: &entry, reasons: Vec::new() },
        ];
        let name = GroupName { paths: Some(vec![b"/\xff".to_vec()]), ..GroupName::default() };
        let mut group = ForgetGroup::from(&GroupPlan { name, verdicts });
        assert_eq!((group.keep.len(), group.remove.len(), group.reasons.len()), (1, 1, 1));
        assert_eq!(group.reasons[0].matches, ["pinned"]);
        assert_eq!(group.paths.remove("paths_b64").unwrap()[0], "L/8=");
        assert_documented(LISTS, "forget", &group, &[]);
        let named = ForgetGroup::of_named(std::slice::from_ref(&entry));
        assert_documented(LISTS, "forget", &named, &[]);
        assert_documented(MESSAGE_TYPES, "changed", &ChangedLine::from(&entry), &[]);
        let purged = PurgedSnapshot {
            old: entry.id,
            new: None,
            paths: Vec::new(),
            files: 0,
            bytes: 0,
            entries: 0,
        };
        assert_documented(MESSAGE_TYPES, "purged", &PurgedLine::from(&purged), &[]);
        let summary = PurgeSummary::of(&PurgeReport::default(), true);
        assert_documented(
            MESSAGE_TYPES,
            "summary of forget --path, --agent, sessions forget",
            &summary,
            &[],
        );
        let line = ForgottenLine {
            job: String::new(),
            repository: String::new(),
            snapshots_forgotten: 1,
            snapshots_kept: 1,
        };
        assert_documented(MESSAGE_TYPES, "forgotten", &line, &[]);
        let summary = ChangedSummary { changed_snapshots: 1 };
        let name = "summary of tag, pin, unpin, unforget";
        assert_documented(MESSAGE_TYPES, name, &summary, &[]);
    }
}
