//! Lines of `check` and `repair`.

use serde::Serialize;
use serde_json::{Map, Value};

use super::MessageType;
use crate::cli::name;
use crate::engine::check::{CheckReport, Finding, FindingKind, Note};
use crate::engine::repair::{Repaired, RepairedSnapshot};
use crate::id::SnapshotId;
use crate::store::ObjectName;

/// `finding`: one thing that is wrong.
#[derive(Debug, Clone, Serialize)]
pub struct FindingLine {
    /// What it is about.
    pub kind: FindingKind,
    /// The rule of `format-spec/8-order.md` that is broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<u8>,
    /// The object's name, or a blob's id.
    pub object: String,
    /// What is wrong with it.
    pub message: String,
    /// Snapshots that lack something because of it.
    pub snapshots: Vec<SnapshotId>,
    /// The first paths that can't be restored whole.
    pub files: Vec<Map<String, Value>>,
    /// How many such paths there are.
    pub file_count: u64,
    /// What it does not harm.
    pub intact: String,
    /// What to do.
    pub hint: String,
}

/// `note`: something that is no damage.
#[derive(Debug, Clone, Serialize)]
pub struct NoteLine {
    /// The object, or several.
    pub object: String,
    /// What about it.
    pub message: String,
}

impl From<&Note> for NoteLine {
    fn from(note: &Note) -> Self {
        NoteLine { object: note.object.clone(), message: note.text.clone() }
    }
}

/// Returns paths as objects with an `item`.
fn items(paths: &[Vec<u8>]) -> Vec<Map<String, Value>> {
    let item = |path: &Vec<u8>| {
        let mut object = Map::new();
        name::insert(&mut object, "item", path);
        object
    };
    paths.iter().map(item).collect()
}

impl From<&Finding> for FindingLine {
    fn from(finding: &Finding) -> Self {
        FindingLine {
            kind: finding.kind,
            rule: finding.kind.rule(),
            object: finding.object.clone(),
            message: finding.what.clone(),
            snapshots: finding.snapshots.clone(),
            files: items(&finding.files),
            file_count: finding.file_count,
            intact: finding.intact.clone(),
            hint: finding.next_step.clone(),
        }
    }
}

/// `summary` of `check`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CheckSummary {
    /// Findings.
    pub num_errors: u64,
    /// Packs that are damaged or missing.
    pub broken_packs: Vec<String>,
    /// Whether `stash repair index` would help.
    pub suggest_repair_index: bool,
    /// Records read.
    pub records: u64,
    /// Snapshots checked.
    pub snapshots: u64,
    /// Packs in the index.
    pub packs: u64,
    /// Tree and list blobs read.
    pub metadata_blobs: u64,
    /// Objects read as a whole.
    pub objects_read: u64,
    /// Their bytes.
    pub bytes_read: u64,
    /// Seconds.
    pub total_duration: f64,
}

impl CheckSummary {
    /// Returns the report's figures, without the time.
    pub fn of(report: &CheckReport) -> Self {
        let of_kind = |kinds: &[FindingKind]| {
            let matching = report.findings.iter().filter(|finding| kinds.contains(&finding.kind));
            matching.map(|finding| finding.object.clone()).collect::<Vec<_>>()
        };
        let index = [
            FindingKind::HeaderMissing,
            FindingKind::HeaderDamaged,
            FindingKind::RecordDamaged,
            FindingKind::RecordMissing,
            FindingKind::SegmentDamaged,
            FindingKind::IndexDisagrees,
            FindingKind::NotIndexed,
        ];
        let packs = [FindingKind::PackMissing, FindingKind::PackCut, FindingKind::ObjectDamaged];
        CheckSummary {
            num_errors: report.findings.len() as u64,
            broken_packs: of_kind(&packs)
                .into_iter()
                .filter(|object| matches!(ObjectName::parse(object), Some(ObjectName::Pack(_))))
                .collect(),
            suggest_repair_index: !of_kind(&index).is_empty(),
            records: report.records,
            snapshots: report.snapshots,
            packs: report.packs,
            metadata_blobs: report.metadata_blobs,
            objects_read: report.objects_read,
            bytes_read: report.bytes_read,
            total_duration: 0.0,
        }
    }
}

/// `summary` of `repair index`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RepairIndexSummary {
    /// Whether nothing was to be written.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Whether the header was put back.
    pub header_restored: bool,
    /// Packs that were put into the index.
    pub packs_added: u64,
    /// Their blobs.
    pub blobs_added: u64,
    /// Packs whose tables can't be read.
    pub unreadable_packs: Vec<String>,
    /// Records that can't be read.
    pub damaged_records: Vec<String>,
    /// Records, damaged or missing, of which note was taken.
    pub noted_records: u64,
}

/// `repaired`: a snapshot that lacks something.
#[derive(Debug, Clone, Serialize)]
pub struct RepairedLine {
    /// Whether nothing was to be written.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// The snapshot that lacks something.
    pub old_id: SnapshotId,
    /// The one made of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_id: Option<SnapshotId>,
    /// Whether the old one was marked as forgotten.
    pub forgotten: bool,
    /// What is lost.
    pub lost: Vec<Map<String, Value>>,
}

impl RepairedLine {
    /// Returns the line of a snapshot.
    pub fn of(snapshot: &RepairedSnapshot, dry_run: bool) -> Self {
        let lost: Vec<Vec<u8>> = snapshot.holes.iter().map(|hole| hole.path.clone()).collect();
        RepairedLine {
            dry_run,
            old_id: snapshot.old,
            new_id: snapshot.new,
            forgotten: snapshot.forgotten,
            lost: items(&lost),
        }
    }
}

/// `summary` of `repair snapshots`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RepairSnapshotsSummary {
    /// Whether nothing was to be written.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Snapshots that lack something.
    pub snapshots_damaged: u64,
    /// Snapshots that lack nothing.
    pub snapshots_whole: u64,
    /// New snapshots.
    pub snapshots_added: u64,
    /// Old ones that were marked as forgotten.
    pub snapshots_forgotten: u64,
}

impl RepairSnapshotsSummary {
    /// Returns what was repaired.
    pub fn of(repaired: &Repaired, dry_run: bool) -> Self {
        let count = |is: fn(&RepairedSnapshot) -> bool| {
            repaired.snapshots.iter().filter(|snapshot| is(snapshot)).count() as u64
        };
        RepairSnapshotsSummary {
            dry_run,
            snapshots_damaged: count(|_| true),
            snapshots_whole: repaired.whole,
            snapshots_added: count(|snapshot| snapshot.new.is_some()),
            snapshots_forgotten: count(|snapshot| snapshot.forgotten),
        }
    }
}

/// The lines of these commands.
pub(super) const MESSAGE_TYPES: &[MessageType] = &[
    MessageType {
        name: "finding",
        when: "stdout, `stash check`, for each thing that is wrong; the exit code is then 13",
        fields: &[
            ("kind", "what is wrong, as `pack_missing`, `record_damaged` or `not_indexed`"),
            ("rule", "the rule of the format's page `8-order.md` that is broken; may be absent"),
            ("object", "the object's name, or the id of a blob"),
            ("message", "what is wrong with it"),
            ("snapshots", "ids of the snapshots that lack something because of it"),
            ("files", "the first 10 paths that can't be restored whole: objects of `item`"),
            ("file_count", "how many such paths there are"),
            ("intact", "what it does not harm"),
            ("hint", "what to do"),
        ],
    },
    MessageType {
        name: "note",
        when: "stdout, `stash check`, for what is no damage but worth knowing",
        fields: &[("object", "the object's name, or several"), ("message", "what about it")],
    },
    MessageType {
        name: "summary of check",
        when: "stdout, last; its `message_type` is `summary`",
        fields: &[
            ("num_errors", "findings"),
            ("broken_packs", "names of the packs that are damaged or missing"),
            ("suggest_repair_index", "whether `stash repair index` would help"),
            ("records", "records read"),
            ("snapshots", "snapshots checked"),
            ("packs", "packs in the index"),
            ("metadata_blobs", "tree and list blobs read"),
            ("objects_read", "objects read as a whole"),
            ("bytes_read", "their bytes"),
            ("total_duration", "seconds"),
        ],
    },
    MessageType {
        name: "summary of repair index",
        when: "stdout, last; its `message_type` is `summary`",
        fields: &[
            ("dry_run", "true; absent if this was none"),
            ("header_restored", "whether the repository's header was put back"),
            ("packs_added", "packs that were put into the index"),
            ("blobs_added", "their blobs"),
            ("unreadable_packs", "names of the packs whose tables can't be read"),
            ("damaged_records", "names of the records that can't be read"),
            ("noted_records", "records, damaged or missing, of which note was taken"),
        ],
    },
    MessageType {
        name: "repaired",
        when: "stdout, `stash repair snapshots`, for each snapshot that lacks something",
        fields: &[
            ("dry_run", "true; absent if this was none"),
            ("old_id", "the snapshot"),
            ("new_id", "the one made of it; absent in a dry run, or if nothing is left"),
            ("forgotten", "whether the old one was marked as forgotten"),
            ("lost", "what the new one does not hold: objects of `item`"),
        ],
    },
    MessageType {
        name: "summary of repair snapshots",
        when: "stdout, last; its `message_type` is `summary`",
        fields: &[
            ("dry_run", "true; absent if this was none"),
            ("snapshots_damaged", "snapshots that lack something"),
            ("snapshots_whole", "snapshots that lack nothing"),
            ("snapshots_added", "new snapshots with what is intact"),
            ("snapshots_forgotten", "old ones that were marked as forgotten"),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::super::tests::assert_documented;
    use super::*;

    #[test]
    fn every_line_is_documented() {
        let finding = Finding {
            kind: FindingKind::PackCut,
            object: String::new(),
            what: String::new(),
            snapshots: Vec::new(),
            files: Vec::new(),
            file_count: 0,
            intact: String::new(),
            next_step: String::new(),
        };
        assert_documented(MESSAGE_TYPES, "finding", &FindingLine::from(&finding), &[]);
        let note = Note { object: String::new(), text: String::new() };
        assert_documented(MESSAGE_TYPES, "note", &NoteLine::from(&note), &[]);
        assert_documented(MESSAGE_TYPES, "summary of check", &CheckSummary::default(), &[]);
        let index = RepairIndexSummary { dry_run: true, ..RepairIndexSummary::default() };
        assert_documented(MESSAGE_TYPES, "summary of repair index", &index, &[]);
        let snapshot = RepairedSnapshot {
            old: SnapshotId::default(),
            new: Some(SnapshotId::default()),
            holes: Vec::new(),
            forgotten: true,
        };
        let repaired = RepairedLine::of(&snapshot, true);
        assert_documented(MESSAGE_TYPES, "repaired", &repaired, &[]);
        let summary = RepairSnapshotsSummary::of(&Repaired::default(), true);
        assert_documented(MESSAGE_TYPES, "summary of repair snapshots", &summary, &[]);
    }
}
