//! What a check has to say: findings, which are damage, and notes, which are not.

use std::collections::HashSet;

use crate::id::SnapshotId;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// The repository's header is not there.
    HeaderMissing,
    /// A repository header is not what its name says.
    HeaderDamaged,
    /// A key slot can't be read.
    KeySlotDamaged,
    /// A grant can't be read.
    GrantDamaged,
    /// A record can't be read.
    RecordDamaged,
    /// A record that another names, or that this machine wrote, is not there.
    RecordMissing,
    /// A record goes on from one that is not the one before it in its lane.
    LaneBroken,
    /// Records say different things of one pack.
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
    /// All kinds.
    pub const ALL: [FindingKind; 16] = [
        FindingKind::HeaderMissing,
        FindingKind::HeaderDamaged,
        FindingKind::KeySlotDamaged,
        FindingKind::GrantDamaged,
        FindingKind::RecordDamaged,
        FindingKind::RecordMissing,
        FindingKind::LaneBroken,
        FindingKind::RecordsDisagree,
        FindingKind::SegmentDamaged,
        FindingKind::PackMissing,
        FindingKind::PackCut,
        FindingKind::ObjectDamaged,
        FindingKind::IndexDisagrees,
        FindingKind::NotIndexed,
        FindingKind::BaseMissing,
        FindingKind::LengthDiffers,
    ];

    /// Returns the rule of `8-order.md` that is broken, if it is one of those.
    pub fn rule(self) -> Option<u8> {
        match self {
            FindingKind::PackMissing | FindingKind::PackCut => Some(1),
            FindingKind::NotIndexed | FindingKind::BaseMissing => Some(2),
            FindingKind::RecordMissing | FindingKind::LaneBroken => Some(5),
            FindingKind::RecordsDisagree | FindingKind::IndexDisagrees => Some(17),
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
            FindingKind::GrantDamaged => {
                "`stash key rotate` makes new ones; each is stored twice, so that one may be lost"
            }
            FindingKind::RecordDamaged | FindingKind::RecordMissing => {
                "`stash repair index` saves what it said of packs; then back up the same paths again"
            }
            FindingKind::NotIndexed | FindingKind::IndexDisagrees => {
                "`stash repair index` reads the packs' own tables; then back up the same paths again"
            }
            FindingKind::SegmentDamaged => "`stash repair index` makes the index anew",
            FindingKind::LaneBroken | FindingKind::RecordsDisagree | FindingKind::LengthDiffers => {
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

/// Something that is wrong.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What kind of thing it is.
    pub kind: FindingKind,
    /// The object.
    pub object: String,
    /// What is wrong with it; lower case, no final full stop.
    pub what: String,
    /// The snapshots that lack something because of it, in ascending order of time.
    pub snapshots: Vec<SnapshotId>,
    /// The first of the paths that can't be restored whole; one that ends with `/` is a directory,
    /// and stands for all below it.
    pub files: Vec<Vec<u8>>,
    /// How many such paths there are.
    pub file_count: u64,
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
    /// The affected paths, as hashes, so that each counts once.
    paths: HashSet<u64>,
    /// Why it is no damage.
    excuse: Option<&'static str>,
}

impl Findings {
    /// Enters a finding; returns its number.
    pub(super) fn add(
        &mut self,
        kind: FindingKind,
        object: impl Into<String>,
        what: impl Into<String>,
    ) -> usize {
        let finding = Finding {
            kind,
            object: object.into(),
            what: what.into(),
            snapshots: Vec::new(),
            files: Vec::new(),
            file_count: 0,
            intact: String::new(),
            next_step: kind.next_step().to_owned(),
        };
        self.rows.push(Row { finding, paths: HashSet::new(), excuse: None });
        self.rows.len().saturating_sub(1)
    }

    /// Enters a note.
    pub(super) fn note(&mut self, object: impl Into<String>, text: impl Into<String>) {
        self.notes.push(Note { object: object.into(), text: text.into() });
    }

    /// Says what is wrong, once that is known in full.
    pub(super) fn describe(&mut self, number: usize, what: String) {
        if let Some(row) = self.rows.get_mut(number) {
            row.finding.what = what;
        }
    }

    /// Says why a finding is no damage after all.
    pub(super) fn excuse(&mut self, number: usize, excuse: &'static str) {
        if let Some(row) = self.rows.get_mut(number) {
            row.excuse.get_or_insert(excuse);
        }
    }

    /// Does the same for all findings of a kind; returns whether there are any.
    pub(super) fn excuse_all(&mut self, kind: FindingKind, excuse: &'static str) -> bool {
        let mut any = false;
        for row in self.rows.iter_mut().filter(|row| row.finding.kind == kind) {
            row.excuse.get_or_insert(excuse);
            any = true;
        }
        any
    }

    /// Says that a finding harms a path of a snapshot; without a path, the snapshot as a whole.
    /// Snapshots come one after the other; at most `limit` paths are kept.
    pub(super) fn harm(
        &mut self,
        number: usize,
        snapshot: SnapshotId,
        path: Option<&[u8]>,
        limit: usize,
    ) {
        let Some(row) = self.rows.get_mut(number) else { return };
        let finding = &mut row.finding;
        if finding.snapshots.last() != Some(&snapshot) {
            finding.snapshots.push(snapshot);
        }
        let Some(path) = path else { return };
        let hash = blake3::hash(path);
        let key = hash.as_bytes().first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        if row.paths.insert(key) {
            finding.file_count = finding.file_count.saturating_add(1);
            if finding.files.len() < limit {
                finding.files.push(path.to_vec());
            }
        }
    }

    /// Ends the gathering: damage, and notes. `snapshots` is how many there are.
    pub(super) fn finish(self, snapshots: usize) -> (Vec<Finding>, Vec<Note>) {
        let mut notes = self.notes;
        let mut findings = Vec::new();
        for Row { mut finding, excuse, .. } in self.rows {
            if let Some(excuse) = excuse {
                let text = format!("{}; {excuse}", finding.what);
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
    let harmed = finding.snapshots.len();
    let whole = snapshots.saturating_sub(harmed);
    match (finding.kind, harmed, whole) {
        (FindingKind::RecordDamaged | FindingKind::RecordMissing, 0, _) => {
            format!("it touches none of the {snapshots} snapshots that can be listed")
        }
        (_, 0, _) => "nothing that can be told is lost by it".to_owned(),
        (_, _, 0) => "everything that is not named here is untouched by it".to_owned(),
        _ => format!("it leaves {whole} of {snapshots} snapshots untouched, and all other files"),
    }
}
