//! What looking into snapshots prints: differences, versions, sums, keys.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{MessageType, SnapshotRow};
use crate::engine::inspect::diff::{DiffReport, Sums};
use crate::engine::inspect::stats::StatsReport;
use crate::id::SnapshotId;

/// `snapshot`: the snapshot whose nodes follow.
#[derive(Debug, Clone, Serialize)]
pub struct SnapshotLine {
    /// The snapshot.
    #[serde(flatten)]
    pub snapshot: SnapshotRow,
}

/// `change`: one difference; its `path` is put in by [`super::super::name::insert`].
#[derive(Debug, Clone, Serialize)]
pub struct ChangeLine {
    /// The mark: `+`, `-`, `M`, `T` or `U`.
    pub modifier: char,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The path.
    #[serde(flatten)]
    pub path: Map<String, Value>,
}

/// `statistics`: all differences, counted.
#[derive(Debug, Clone, Default, Serialize)]
pub struct DiffStatistics {
    /// The older snapshot.
    pub source_snapshot: SnapshotId,
    /// The newer one.
    pub target_snapshot: SnapshotId,
    /// Files with other content.
    pub changed_files: u64,
    /// Bytes that these had.
    pub changed_bytes_old: u64,
    /// Bytes that they have.
    pub changed_bytes_new: u64,
    /// Items of which only the metadata is other.
    pub changed_metadata: u64,
    /// What only the newer one has.
    pub added: Sums,
    /// What only the older one has.
    pub removed: Sums,
}

impl DiffStatistics {
    /// Returns the report's figures.
    pub fn of(report: &DiffReport, old: SnapshotId, new: SnapshotId) -> Self {
        DiffStatistics {
            source_snapshot: old,
            target_snapshot: new,
            changed_files: report.changed_files,
            changed_bytes_old: report.changed_bytes_old,
            changed_bytes_new: report.changed_bytes_new,
            changed_metadata: report.changed_metadata,
            added: report.added,
            removed: report.removed,
        }
    }
}

/// One version of a path.
#[derive(Debug, Clone, Serialize)]
pub struct VersionRow {
    /// The first snapshot that holds it.
    pub snapshot: SnapshotId,
    /// That snapshot's time.
    pub first_seen: String,
    /// The time of the last snapshot that holds it.
    pub last_seen: String,
    /// How many snapshots in a row hold it.
    pub snapshots: u64,
    /// Whether the path was gone then.
    pub deleted: bool,
    /// Size in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Time of the last modification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtime: Option<String>,
    /// What it is.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
}

/// `stats`: how much is saved, and the room it takes.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StatsLine {
    /// Snapshots counted.
    pub snapshots_count: u64,
    /// Files in them.
    pub total_file_count: u64,
    /// Bytes that these take when each snapshot is restored.
    pub total_size: u64,
    /// Distinct blobs.
    pub total_blob_count: u64,
    /// Bytes of the distinct blobs, before compression.
    pub total_uncompressed_size: u64,
    /// Bytes as stored.
    pub total_stored_size: u64,
    /// `total_size / total_uncompressed_size`.
    pub deduplication_ratio: f64,
    /// `total_uncompressed_size / total_stored_size`.
    pub compression_ratio: f64,
    /// `total_size / total_stored_size`.
    pub total_ratio: f64,
}

impl From<&StatsReport> for StatsLine {
    fn from(report: &StatsReport) -> Self {
        StatsLine {
            snapshots_count: report.snapshots,
            total_file_count: report.files,
            total_size: report.whole_bytes,
            total_blob_count: report.blobs,
            total_uncompressed_size: report.distinct_bytes,
            total_stored_size: report.stored_bytes,
            deduplication_ratio: ratio(report.whole_bytes, report.distinct_bytes),
            compression_ratio: ratio(report.distinct_bytes, report.stored_bytes),
            total_ratio: ratio(report.whole_bytes, report.stored_bytes),
        }
    }
}

/// Returns how often the second goes into the first; 0 where nothing is.
#[expect(clippy::cast_precision_loss, reason = "a ratio for people to look at")]
pub fn ratio(one: u64, other: u64) -> f64 {
    if other == 0 { 0.0 } else { one as f64 / other as f64 }
}

/// One key slot.
#[derive(Debug, Clone, Serialize)]
pub struct KeyRow {
    /// Its id.
    pub id: String,
    /// The beginning of its id.
    pub short_id: String,
    /// `device`, `passphrase` or `recovery`.
    pub kind: &'static str,
    /// Its label.
    pub label: String,
    /// When it was made.
    pub created: String,
    /// Whether this run opened the repository with it.
    pub current: bool,
    /// Whether a rotation of the keys left it out.
    pub left_out: bool,
}

/// `rotated`: whose keys go on.
#[derive(Debug, Clone, Serialize)]
pub struct RotatedLine {
    /// Whether nothing was to be written.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// The new epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
    /// The key slots that have it.
    pub kept: Vec<KeyRow>,
    /// The key slots that don't.
    pub left_out: Vec<KeyRow>,
    /// Objects that could not be deleted.
    pub undeleted: Vec<String>,
}

/// `key`: what was done with a key slot.
#[derive(Debug, Clone, Serialize)]
pub struct KeyLine {
    /// `added`, `removed`, `replaced` or `tested`.
    pub action: &'static str,
    /// The slot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// `device_key`: where this machine's own key lies.
#[derive(Debug, Clone, Serialize)]
pub struct KeyDeviceLine {
    /// `file` or `keychain`; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<&'static str>,
    /// Whether it was moved there just now.
    pub moved: bool,
}

/// Lines of the commands that look into snapshots.
pub(super) const MESSAGE_TYPES: &[MessageType] = &[
    MessageType {
        name: "snapshot",
        when: "stdout, `stash ls`: the snapshot whose nodes follow; the fields of `snapshots`",
        fields: &[],
    },
    MessageType {
        name: "node",
        when: "stdout, `stash ls`, for each item",
        fields: super::nodes::NODE,
    },
    MessageType {
        name: "change",
        when: "stdout, `stash diff`, for each difference",
        fields: &[
            ("modifier", "`+` added, `-` removed, `M` content, `T` type, `U` only metadata"),
            ("type", "what it is"),
            ("path", "the path"),
        ],
    },
    MessageType {
        name: "statistics",
        when: "stdout, `stash diff`, last",
        fields: &[
            ("source_snapshot", "the older snapshot"),
            ("target_snapshot", "the newer one"),
            ("changed_files", "files with other content"),
            ("changed_bytes_old", "bytes that these had"),
            ("changed_bytes_new", "bytes that they have"),
            ("changed_metadata", "items of which only the metadata is other"),
            ("added", "what only the newer one has: `files`, `dirs`, `others`, `bytes`"),
            ("removed", "what only the older one has"),
        ],
    },
    MessageType {
        name: "stats",
        when: "stdout, `stash stats`",
        fields: &[
            ("snapshots_count", "snapshots counted"),
            ("total_file_count", "files in them, summed over all"),
            ("total_size", "bytes that these files take, if each snapshot is restored"),
            ("total_blob_count", "distinct pieces of data"),
            ("total_uncompressed_size", "bytes of the distinct pieces, before compression"),
            ("total_stored_size", "bytes as stored"),
            ("deduplication_ratio", "total_size / total_uncompressed_size"),
            ("compression_ratio", "total_uncompressed_size / total_stored_size"),
            ("total_ratio", "total_size / total_stored_size"),
        ],
    },
    MessageType {
        name: "key",
        when: "stdout, the `stash key` commands that change something",
        fields: &[
            ("action", "`added`, `removed`, `replaced` or `tested`"),
            ("id", "the key slot; absent for `tested`"),
        ],
    },
    MessageType {
        name: "device_key",
        when: "stdout, `stash key device`",
        fields: &[
            (
                "place",
                "where this machine's own key lies: `file` or `keychain`; absent if it has none",
            ),
            ("moved", "whether it was moved there just now"),
        ],
    },
    MessageType {
        name: "rotated",
        when: "stdout, `stash key rotate`; with --full the summary of a prune follows",
        fields: &[
            ("dry_run", "true; absent if this was none"),
            ("epoch", "the number of the new keys; absent in a dry run"),
            ("kept", "the key slots that have them, by the fields of `key list`"),
            ("left_out", "the key slots that don't"),
            ("undeleted", "names of objects that were to be deleted and could not be"),
        ],
    },
];

/// The objects of lists of the commands that look into snapshots.
pub(super) const LISTS: &[MessageType] = &[
    MessageType {
        name: "find",
        when: "stdout, `stash find`: one object for each snapshot that holds something",
        fields: &[
            ("snapshot", "the snapshot"),
            ("matches", "the items, by the fields of `node`"),
            ("hits", "how many"),
        ],
    },
    MessageType {
        name: "history",
        when: "stdout, `stash history`, oldest first",
        fields: &[
            ("snapshot", "the first snapshot that holds this version"),
            ("first_seen", "that snapshot's time"),
            ("last_seen", "the time of the last snapshot that holds it"),
            ("snapshots", "how many snapshots in a row hold it"),
            ("deleted", "whether the path was gone then; the fields below are then absent"),
            ("size", "size in bytes"),
            ("mtime", "time of the last modification"),
            ("type", "what it is"),
        ],
    },
    MessageType {
        name: "key list",
        when: "stdout, `stash key list`",
        fields: &[
            ("id", "the key slot's id"),
            ("short_id", "the beginning of its id"),
            ("kind", "`device`, `passphrase` or `recovery`"),
            ("label", "its label"),
            ("created", "when it was made"),
            ("current", "whether this run opened the repository with it"),
            ("left_out", "whether a rotation left it out: it opens only what is older"),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::super::tests::assert_documented;
    use super::*;

    #[test]
    fn every_line_and_list_is_documented() {
        let change = ChangeLine { modifier: '+', kind: "file", path: Map::new() };
        assert_documented(MESSAGE_TYPES, "change", &change, &["path"]);
        assert_documented(MESSAGE_TYPES, "statistics", &DiffStatistics::default(), &[]);
        assert_documented(MESSAGE_TYPES, "stats", &StatsLine::default(), &[]);
        let key = KeyLine { action: "added", id: Some(String::new()) };
        assert_documented(MESSAGE_TYPES, "key", &key, &[]);
        let device = KeyDeviceLine { place: Some("file"), moved: false };
        assert_documented(MESSAGE_TYPES, "device_key", &device, &[]);
        let version = VersionRow {
            snapshot: SnapshotId::default(),
            first_seen: String::new(),
            last_seen: String::new(),
            snapshots: 1,
            deleted: false,
            size: Some(1),
            mtime: Some(String::new()),
            kind: Some("file"),
        };
        assert_documented(LISTS, "history", &version, &[]);
        let row = KeyRow {
            id: String::new(),
            short_id: String::new(),
            kind: "device",
            label: String::new(),
            created: String::new(),
            current: true,
            left_out: false,
        };
        assert_documented(LISTS, "key list", &row, &[]);
        let rotated = RotatedLine {
            dry_run: true,
            epoch: Some(1),
            kept: vec![row],
            left_out: Vec::new(),
            undeleted: Vec::new(),
        };
        assert_documented(MESSAGE_TYPES, "rotated", &rotated, &[]);
    }
}
