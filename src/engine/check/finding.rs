//! What a check has to say: findings, which are damage, and notes, which are not.

use std::collections::HashSet;

use crate::id::SnapshotId;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FindingKind {
    /// The repository's header is not there.
    HeaderMissing,
    /// A repository header is not what its name says.
    HeaderDamaged,
    /// A key slot can't be read.
    KeySlotDamaged,
    /// A record can't be read.
    RecordDamaged,
    /// A record that another names, or that this machine wrote, is not there.
    RecordMissing,
    /// Records contradict each other.
    RecordsDisagree,
    /// An index segment can't be read.
    SegmentDamaged,
    /// A pack that the index names is not there.
    PackMissing,
    /// A pack is shorter than its blobs need.
    PackCut,
    /// An object's bytes are not what they were.
    ObjectDamaged,
    /// The index says something else of an object than the object itself.
    IndexDisagrees,
    /// Blobs that snapshots need are in no index.
    NotIndexed,
    /// A delta has no base, or stands on too many others.
    BaseMissing,
    /// A file's content has another length than the file.
    LengthDiffers,
}

impl FindingKind {
    /// Returns the word for it in JSON.
    pub fn name(self) -> &'static str {
        match self {
            FindingKind::HeaderMissing => "header_missing",
            FindingKind::HeaderDamaged => "header_damaged",
            FindingKind::KeySlotDamaged => "key_slot_damaged",
            FindingKind::RecordDamaged => "record_damaged",
            FindingKind::RecordMissing => "record_missing",
            FindingKind::RecordsDisagree => "records_disagree",
            FindingKind::SegmentDamaged => "segment_damaged",
            FindingKind::PackMissing => "pack_missing",
            FindingKind::PackCut => "pack_cut",
            FindingKind::ObjectDamaged => "object_damaged",
            FindingKind::IndexDisagrees => "index_disagrees",
            FindingKind::NotIndexed => "not_indexed",
            FindingKind::BaseMissing => "base_missing",
            FindingKind::LengthDiffers => "length_differs",
        }
    }

    /// Returns the rule of `8-order.md` that is broken, if it is one of those.
    pub fn rule(self) -> Option<u8> {
        match self {
            FindingKind::PackMissing | FindingKind::PackCut => Some(1),
            FindingKind::NotIndexed | FindingKind::BaseMissing => Some(2),
            FindingKind::RecordMissing => Some(5),
            FindingKind::IndexDisagrees => Some(17),
            _ => None,
        }
    }

    /// Returns what to do about it; lower case, no final full stop.
    pub fn next_step(self) -> &'static str {
        match self {
            FindingKind::HeaderMissing | FindingKind::HeaderDamaged => {
                "`stash repair index` writes the header anew from the copy in a key slot"
            }
            FindingKind::KeySlotDamaged => {
                "`stash key remove` takes it away, and `stash key add` makes a new one"
            }
            FindingKind::RecordDamaged | FindingKind::RecordMissing => {
                "`stash repair index` saves what it said of packs; then back up the same paths again"
            }
            FindingKind::NotIndexed | FindingKind::IndexDisagrees => {
                "`stash repair index` reads the packs' own tables; then back up the same paths again"
            }
            FindingKind::SegmentDamaged => "`stash repair index` makes the index anew",
            FindingKind::RecordsDisagree | FindingKind::LengthDiffers => {
                "this is no damage of a disk: please report it"
            }
            FindingKind::PackMissing
            | FindingKind::PackCut
            | FindingKind::ObjectDamaged
            | FindingKind::BaseMissing => {
                "back up the same paths again, which stores anew what is still there; \
                 `stash repair snapshots` keeps what is intact"
            }
        }
    }
}

/// Whom a finding harms.
#[derive(Debug, Clone, Default)]
pub struct Affected {
    /// The snapshots, in ascending order of time.
    pub snapshots: Vec<SnapshotId>,
    /// The first paths, each once; a directory's ends with `/` and stands for all below it.
    pub paths: Vec<Vec<u8>>,
    /// How many paths there are.
    pub path_count: u64,
    seen: HashSet<u64>,
}

impl Affected {
    /// Adds a path of a snapshot; at most `limit` paths are kept.
    pub(super) fn add(&mut self, snapshot: SnapshotId, path: &[u8], limit: usize) {
        self.add_snapshot(snapshot);
        let hash = blake3::hash(path);
        let key = hash.as_bytes().first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        if self.seen.insert(key) {
            self.path_count = self.path_count.saturating_add(1);
            if self.paths.len() < limit {
                self.paths.push(path.to_vec());
            }
        }
    }

    /// Adds a snapshot. Snapshots come one after the other.
    pub(super) fn add_snapshot(&mut self, snapshot: SnapshotId) {
        if self.snapshots.last() != Some(&snapshot) {
            self.snapshots.push(snapshot);
        }
    }
}

/// Something that is wrong.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What kind of thing it is.
    pub kind: FindingKind,
    /// The object.
    pub object: String,
    /// What is wrong with it; lower case, no final full stop.
    pub problem: String,
    /// Whom it harms.
    pub affected: Affected,
    /// What it does not harm.
    pub intact: String,
    /// What to do.
    pub next_step: String,
}

/// Something to know that is no damage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The object, or several.
    pub object: String,
    /// What about it; lower case, no final full stop.
    pub text: String,
}

/// Findings while they are being gathered: a number stands for each.
#[derive(Default)]
pub(super) struct Findings {
    rows: Vec<Row>,
    pub(super) notes: Vec<Note>,
}

struct Row {
    finding: Finding,
    /// Why it is no damage.
    excuse: Option<&'static str>,
}

impl Findings {
    /// Enters a finding; returns its number.
    pub(super) fn add(
        &mut self,
        kind: FindingKind,
        object: impl Into<String>,
        problem: impl Into<String>,
    ) -> usize {
        let finding = Finding {
            kind,
            object: object.into(),
            problem: problem.into(),
            affected: Affected::default(),
            intact: String::new(),
            next_step: kind.next_step().to_owned(),
        };
        self.rows.push(Row { finding, excuse: None });
        self.rows.len().saturating_sub(1)
    }

    /// Enters a note.
    pub(super) fn note(&mut self, object: impl Into<String>, text: impl Into<String>) {
        self.notes.push(Note { object: object.into(), text: text.into() });
    }

    /// Says what is wrong, once that is known in full.
    pub(super) fn describe(&mut self, number: usize, problem: String) {
        if let Some(row) = self.rows.get_mut(number) {
            row.finding.problem = problem;
        }
    }

    /// Says why a finding is no damage after all.
    pub(super) fn excuse(&mut self, number: usize, excuse: &'static str) {
        if let Some(row) = self.rows.get_mut(number) {
            row.excuse.get_or_insert(excuse);
        }
    }

    /// Returns whom a finding harms.
    pub(super) fn affected(&mut self, number: usize) -> Option<&mut Affected> {
        self.rows.get_mut(number).map(|row| &mut row.finding.affected)
    }

    /// Ends the gathering: damage, and notes. `snapshots` is how many there are.
    pub(super) fn finish(self, snapshots: usize) -> (Vec<Finding>, Vec<Note>) {
        let mut notes = self.notes;
        let mut findings = Vec::new();
        for Row { mut finding, excuse } in self.rows {
            if let Some(excuse) = excuse {
                let text = format!("{}; {excuse}", finding.problem);
                notes.push(Note { object: finding.object, text });
            } else {
                finding.intact = intact(&finding, snapshots);
                findings.push(finding);
            }
        }
        (findings, notes)
    }
}

fn intact(finding: &Finding, snapshots: usize) -> String {
    let harmed = finding.affected.snapshots.len();
    let whole = snapshots.saturating_sub(harmed);
    match (finding.kind, harmed) {
        (FindingKind::RecordDamaged | FindingKind::RecordMissing, 0) => {
            format!("the {snapshots} snapshots that can be listed are whole as far as this goes")
        }
        (_, 0) => "every snapshot is whole as far as this goes".to_owned(),
        _ => format!(
            "{whole} of {snapshots} snapshots are untouched by this, and so are all other files"
        ),
    }
}
