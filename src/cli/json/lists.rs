//! What lists print: one array of such objects.

use serde::Serialize;
use serde_json::{Map, Value};

use super::MessageType;
use crate::cli::name;
use crate::format::record::Snapshot;
use crate::id::SnapshotId;
use crate::repository::cache::SnapshotEntry;

/// What a snapshot's run counted.
#[derive(Debug, Clone, Serialize)]
pub struct SnapshotSummary {
    /// Files.
    pub total_files_processed: u64,
    /// Bytes of all files.
    pub total_bytes_processed: u64,
    /// Files that the parent had not.
    pub files_new: u64,
    /// Files that differed from the parent's.
    pub files_changed: u64,
    /// Bytes that were new to the repository.
    pub data_added: u64,
    /// The same as stored.
    pub data_added_packed: u64,
    /// Items that failed.
    pub error_count: u64,
}

/// One snapshot.
#[derive(Debug, Clone, Serialize)]
pub struct SnapshotRow {
    /// The moment that it stands for.
    pub time: String,
    /// The snapshot that it was compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<SnapshotId>,
    /// The snapshot of another repository that it is a copy of, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original: Option<SnapshotId>,
    /// Its paths: `paths`, and `paths_b64` if one is no text.
    #[serde(flatten)]
    pub paths: Map<String, Value>,
    /// The machine.
    pub hostname: String,
    /// The user.
    pub username: String,
    /// The job.
    pub job: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// Whether it is pinned.
    pub pinned: bool,
    /// The machine that asked to forget it, where that does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forget_asked_by: Option<String>,
    /// The program's version.
    pub program_version: String,
    /// What its run counted.
    pub summary: SnapshotSummary,
    /// Its id.
    pub id: SnapshotId,
    /// The beginning of its id.
    pub short_id: String,
}

impl From<&SnapshotEntry> for SnapshotRow {
    fn from(entry: &SnapshotEntry) -> Self {
        let snapshot = &entry.snapshot;
        let statistics = &snapshot.statistics;
        SnapshotRow {
            time: time(snapshot),
            parent: snapshot.parent,
            original: snapshot.original,
            paths: paths(|| snapshot.roots.iter().map(|root| root.place.0.as_slice())),
            hostname: snapshot.host.clone(),
            username: snapshot.user.clone(),
            job: snapshot.job.clone(),
            tags: snapshot.tags.clone(),
            pinned: entry.pinned,
            forget_asked_by: None,
            program_version: snapshot.program.clone(),
            summary: SnapshotSummary {
                total_files_processed: statistics.files,
                total_bytes_processed: statistics.bytes,
                files_new: statistics.files_new,
                files_changed: statistics.files_changed,
                data_added: statistics.added_bytes,
                data_added_packed: statistics.stored_bytes,
                error_count: statistics.errors,
            },
            id: entry.id,
            short_id: entry.id.short(),
        }
    }
}

/// Returns a snapshot's moment to the nanosecond, in the zone where it was made.
pub fn time(snapshot: &Snapshot) -> String {
    let seconds = i32::try_from(snapshot.offset_minutes.saturating_mul(60)).unwrap_or(0);
    let offset = jiff::tz::Offset::from_seconds(seconds).unwrap_or(jiff::tz::Offset::UTC);
    jiff::Timestamp::from_nanosecond(i128::from(snapshot.time)).map_or_else(
        |_| crate::time::Timestamp(snapshot.time).to_rfc3339(),
        |moment| moment.display_with_offset(offset).to_string(),
    )
}

/// Returns `paths`, and `paths_b64` if one of them is no text.
pub(super) fn paths<'a, I: Iterator<Item = &'a [u8]>>(
    places: impl Fn() -> I,
) -> Map<String, Value> {
    let mut map = Map::new();
    let text = places().map(|place| String::from_utf8_lossy(place).into()).collect();
    map.insert("paths".to_owned(), Value::Array(text));
    if places().any(|place| std::str::from_utf8(place).is_err()) {
        let exact = places().map(|place| name::base64(place).into()).collect();
        map.insert("paths_b64".to_owned(), Value::Array(exact));
    }
    map
}

/// The objects of every list.
pub const LISTS: &[MessageType] = &[MessageType {
    name: "snapshots",
    when: "stdout, `stash snapshots`",
    fields: &[
        ("time", "the moment that it stands for"),
        ("parent", "the snapshot that it was compared with; absent for the first"),
        ("original", "the snapshot of another repository that it is a copy of; absent if of none"),
        ("paths", "what was saved (`paths_b64`: all of them, if one is not UTF-8)"),
        ("hostname", "the machine"),
        ("username", "the user"),
        ("job", "the job; each has its own line of parents"),
        ("tags", "its tags"),
        ("pinned", "whether it is kept whatever a policy says"),
        (
            "forget_asked_by",
            "the machine that asked to forget it, which does not count here; else absent",
        ),
        ("program_version", "the version of the program that made it"),
        ("summary", "what its run counted, by the names of `summary of backup`"),
        ("id", "its id"),
        ("short_id", "the beginning of its id"),
    ],
}];

#[cfg(test)]
mod tests {
    use super::super::tests::assert_documented;
    use super::*;
    use crate::format::record::Root;

    #[test]
    fn every_list_is_documented_and_paths_that_are_no_text_have_a_twin() {
        let snapshot = Snapshot {
            parent: Some(SnapshotId::default()),
            original: Some(SnapshotId::default()),
            offset_minutes: 60,
            roots: vec![Root { place: b"/a\xff".as_slice().into(), ..Root::default() }],
            ..Snapshot::default()
        };
        let entry =
            SnapshotEntry { id: SnapshotId::default(), snapshot, forgotten: None, pinned: false };
        let mut row = SnapshotRow::from(&entry);
        row.forget_asked_by = Some(String::new());
        assert_eq!(row.time, "1970-01-01T01:00:00+01:00");
        assert_eq!(row.paths.remove("paths_b64").unwrap()[0], "L2H/");
        assert_documented(LISTS, "snapshots", &row, &[]);
    }
}
