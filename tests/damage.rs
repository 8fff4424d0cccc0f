//! Damage of every kind to every kind of object: nothing panics, everything that is not touched
//! restores byte for byte, the rest is named, a check names the object, and the next backup makes
//! good what is still on the disk.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where things are not as they should be"
)]

mod common_engine;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use common_engine::trees::{Tree, assert_same, tree};
use common_engine::{
    LATER, Notes, SECOND, TestClock, backup_options, copy_folder, folders, latest, noise, put,
    restore_options, restored, save, save_with, snapshots,
};
use stash::codec::crypto::{Key, SlotSecret};
use stash::engine::browse::{Found, TreeStep, TreeWalk};
use stash::engine::check::{CheckOptions, CheckReport, ReadData, check};
use stash::engine::repair::{
    RepairSnapshotsOptions, put_header_back, repair_index, repair_snapshots,
};
use stash::engine::restore::restore;
use stash::error::{Kind, Result};
use stash::event::{Counters, Silent};
use stash::format::pack::BlobKind;
use stash::id::{BlobId, SnapshotId};
use stash::repository::cache::SnapshotEntry;
use stash::repository::reader::BlobReader;
use stash::repository::{InitOptions, LocalFolders, LockedRepository, Repository};
use stash::store::{ObjectName, Prefix, Store};
use stash::time::Timestamp;

/// What is done to an object.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Harm {
    Missing,
    Empty,
    Cut,
    /// A bit is flipped so many thousandths of the way in.
    Flip(usize),
    Swapped,
}

const HARMS: [Harm; 9] = [
    Harm::Missing,
    Harm::Empty,
    Harm::Cut,
    Harm::Flip(0),
    Harm::Flip(30),
    Harm::Flip(500),
    Harm::Flip(950),
    Harm::Flip(1000),
    Harm::Swapped,
];

/// A repository of three snapshots, whose objects are of every kind.
struct Fixture {
    base: tempfile::TempDir,
    saved: Vec<(SnapshotId, Tree)>,
    data_pack: ObjectName,
    mixed_pack: ObjectName,
    records: Vec<ObjectName>,
    slots: Vec<ObjectName>,
    header: ObjectName,
}

fn secrets() -> [SlotSecret; 2] {
    [SlotSecret::Device(Key([9; 32])), SlotSecret::Device(Key([8; 32]))]
}

fn names(store: &Store, prefix: Prefix) -> Vec<ObjectName> {
    store.list(prefix).unwrap().into_iter().map(|row| row.name).collect()
}

fn fixture() -> Fixture {
    let base = tempfile::tempdir().unwrap();
    let (repo, source) = (base.path().join("repo"), base.path().join("source"));
    let store = Store::folder(&repo, true).unwrap();
    let slots = secrets().map(|secret| (secret, "test".to_owned()));
    let local = folders(base.path());
    let options = InitOptions::default();
    let repository = Repository::init(&store, &options, &slots, Timestamp(1), &local).unwrap();
    // First a pack of data alone: the folder fits into its node.
    put(&source.join("big"), noise(1, 700_000));
    put(&source.join("text"), "a few words");
    let mut saved = Vec::new();
    let mut step = |number: i64| {
        let report = save(&repository, &source, LATER + number * SECOND).unwrap();
        saved.push((report.snapshot.unwrap(), tree(&source)));
    };
    step(0);
    let data_pack = names(&store, Prefix::Packs).pop().unwrap();
    // Then a folder of several parts, in one pack with what it holds.
    for number in 0..120 {
        put(&source.join(format!("many/file{number:04}")), noise(10 + number, 2_600));
    }
    step(10);
    let mixed_pack =
        names(&store, Prefix::Packs).into_iter().find(|name| *name != data_pack).unwrap();
    // At last something small, which lies in the record.
    put(&source.join("many/file0100"), noise(5_000, 1_200));
    put(&source.join("late"), noise(5_001, 3_000));
    step(20);
    let kinds = |repository: &Repository, name: &ObjectName| {
        let blobs = repository.cache().blobs_in(&name.hash()).unwrap();
        blobs.into_iter().map(|(kind, _)| kind).collect::<HashSet<_>>()
    };
    assert!(!kinds(&repository, &data_pack).contains(&BlobKind::Tree));
    assert!(kinds(&repository, &mixed_pack).contains(&BlobKind::Tree));
    let mut records = names(&store, Prefix::Log);
    records.sort_by_key(|name| match name {
        ObjectName::Record(name) => name.sequence,
        _ => 0,
    });
    assert_eq!(records.len(), 3);
    Fixture {
        saved,
        data_pack,
        mixed_pack,
        records,
        slots: names(&store, Prefix::Keys),
        header: names(&store, Prefix::Repository).pop().unwrap(),
        base,
    }
}

impl Fixture {
    fn source(&self) -> PathBuf {
        self.base.path().join("source")
    }

    fn pristine(&self) -> Repository {
        open(&Store::folder(&self.base.path().join("repo"), false).unwrap(), None).unwrap()
    }

    /// Returns a copy of the repository and of this machine's memory of it.
    fn copy(&self) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        for part in ["repo", "cache", "state"] {
            copy_folder(&self.base.path().join(part), &copy.path().join(part));
        }
        copy
    }

    fn sibling(&self, name: &ObjectName) -> ObjectName {
        let others = match name {
            ObjectName::Pack(_) => vec![self.data_pack.clone(), self.mixed_pack.clone()],
            ObjectName::Record(_) => self.records.clone(),
            _ => self.slots.clone(),
        };
        others.into_iter().find(|other| other != name).unwrap()
    }

    fn place(&self, id: &SnapshotId) -> usize {
        self.saved.iter().position(|(saved, _)| saved == id).unwrap()
    }

    fn saved(&self, id: &SnapshotId) -> &Tree {
        &self.saved[self.place(id)].1
    }

    /// Returns the blobs that may be lost with an object: what it holds, and what it names.
    fn blobs_of(&self, objects: &[ObjectName]) -> HashSet<BlobId> {
        let pristine = self.pristine();
        let mut blobs = HashSet::new();
        for object in objects {
            let held = pristine.cache().blobs_in(&object.hash()).unwrap();
            blobs.extend(held.into_iter().map(|(_, id)| id));
            if let ObjectName::Record(name) = object {
                for pack in pristine.load_record(name).unwrap().entries {
                    blobs.extend(pack.units.iter().flat_map(|unit| unit.blobs.iter().copied()));
                }
            }
        }
        blobs
    }

    /// Returns the paths of each snapshot that need one of `blobs`.
    fn touched(&self, blobs: &HashSet<BlobId>) -> Vec<HashSet<PathBuf>> {
        let pristine = self.pristine();
        let entries = snapshots(&pristine);
        entries.iter().map(|entry| self.touched_of(&pristine, entry, blobs)).collect()
    }

    fn touched_of(
        &self,
        pristine: &Repository,
        entry: &SnapshotEntry,
        blobs: &HashSet<BlobId>,
    ) -> HashSet<PathBuf> {
        let mut reader = BlobReader::new(pristine).unwrap();
        let trees_touched = blobs.iter().any(|id| reader.load(BlobKind::Tree, id).is_ok());
        let mut touched = HashSet::new();
        for root in &entry.snapshot.roots {
            let item = Found { path: root.place.to_vec(), node: root.node.clone() };
            let mut walk = TreeWalk::new(item, true);
            while let Some(step) = walk.next(&mut reader) {
                let TreeStep::Node(found) = step else { continue };
                let path = String::from_utf8(found.path.clone()).unwrap();
                let relative = Path::new(&path).strip_prefix(self.source()).unwrap().to_owned();
                let data = reader.data_blobs(&found.node).unwrap();
                let needs = data.iter().chain(found.node.segments.iter());
                // The one folder whose nodes are blobs.
                let in_tree = trees_touched && relative.starts_with("many");
                if in_tree || needs.into_iter().any(|id| blobs.contains(id)) {
                    touched.insert(relative);
                }
            }
        }
        touched
    }
}

/// Opens a repository with whatever slot is left; without folders as a machine does that is new.
fn open(store: &Store, local: Option<&Path>) -> Result<Repository> {
    let local = local.map_or_else(LocalFolders::default, folders);
    let locked = LockedRepository::find(store.clone(), None)?;
    let [first, second] = secrets();
    let repository = locked.unlock(&first, &local).or_else(|_| locked.unlock(&second, &local))?;
    repository.sync()?;
    Ok(repository)
}

fn path_of(base: &Path, name: &ObjectName) -> PathBuf {
    base.join("repo").join(name.to_string())
}

/// Does to an object what is asked.
fn harm(base: &Path, name: &ObjectName, harm: Harm, sibling: &ObjectName) {
    let path = path_of(base, name);
    let mut bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    match harm {
        Harm::Missing => return,
        Harm::Empty => bytes.clear(),
        Harm::Cut => {
            bytes.pop();
        }
        Harm::Flip(thousandths) => {
            let last = bytes.len() - 1;
            bytes[last * thousandths / 1000] ^= 0x10;
        }
        Harm::Swapped => {
            let other = path_of(base, sibling);
            let theirs = std::fs::read(&other).unwrap();
            // The header has no sibling: it gets a key slot's bytes.
            if !matches!(name, ObjectName::Repository(_)) {
                std::fs::remove_file(&other).unwrap();
                std::fs::write(&other, &bytes).unwrap();
            }
            bytes = theirs;
        }
    }
    std::fs::write(&path, &bytes).unwrap();
}

fn check_all(repository: &Repository) -> CheckReport {
    let options = CheckOptions { read_data: ReadData::All, threads: 2, ..CheckOptions::default() };
    check(repository, &options, &Counters::default()).unwrap()
}

fn names_it(report: &CheckReport, name: &ObjectName) -> bool {
    report.findings.iter().any(|finding| finding.object.contains(&name.hash().to_string()))
}

/// Restores a snapshot as far as it goes: what is there, and what was said.
fn restore_all(repository: &Repository, entry: &SnapshotEntry) -> (Tree, Vec<String>) {
    let out = tempfile::tempdir().unwrap();
    let notes = Notes::default();
    let options = restore_options(out.path());
    let report =
        restore(repository, &entry.snapshot, &options, &Counters::default(), &notes).unwrap();
    let lines = notes.take();
    assert_eq!(report.failed > 0, !lines.is_empty(), "{lines:#?}");
    assert!(report.failed == 0 || report.damaged, "{lines:#?}");
    let folder = out.path().join("source");
    (if folder.exists() { tree(&folder) } else { Tree::new() }, lines)
}

/// Checks that what was restored is right, and that all else was named and could not be had.
fn assert_salvaged(
    fixture: &Fixture,
    got: &Tree,
    lines: &[String],
    id: &SnapshotId,
    touched: &[HashSet<PathBuf>],
    what: &str,
) {
    let wanted = fixture.saved(id);
    let touched = &touched[fixture.place(id)];
    for (path, item) in wanted {
        if let Some(restored) = got.get(path) {
            assert_eq!(restored, item, "{what}: {}", path.display());
            continue;
        }
        assert!(touched.contains(path), "{what}: {} need not be lost", path.display());
        let source = fixture.source();
        let is_named = path.ancestors().any(|above| {
            let full = source.join(above);
            let full = full.to_str().unwrap().trim_end_matches('/');
            lines.iter().any(|line| line.starts_with(&format!("{full}: ")))
        });
        assert!(is_named, "{what}: {} is not named in {lines:#?}", path.display());
    }
    assert_eq!(got.keys().find(|path| !wanted.contains_key(*path)), None, "{what}");
}

/// One object, one kind of damage, from a machine with its memory or without.
fn run_case(fixture: &Fixture, name: &ObjectName, how: Harm, with_memory: bool) {
    let what = format!("{name} {how:?} memory {with_memory}");
    let copy = fixture.copy();
    let sibling = fixture.sibling(name);
    harm(copy.path(), name, how, &sibling);
    let store = Store::folder(&copy.path().join("repo"), false).unwrap();
    let mut harmed = vec![name.clone()];
    if how == Harm::Swapped {
        harmed.push(sibling);
    }
    let touched = fixture.touched(&fixture.blobs_of(&harmed));
    let local = with_memory.then(|| copy.path());
    let repository = open(&store, local).expect(&what);
    let entries = snapshots(&repository);
    let is_record = matches!(name, ObjectName::Record(_));
    assert!(is_record || entries.len() == 3, "{what}");
    for entry in &entries {
        let (got, lines) = restore_all(&repository, entry);
        assert_salvaged(fixture, &got, &lines, &entry.id, &touched, &what);
    }
    let report = check_all(&repository);
    // Nothing tells that a lane's last record, or a key slot, was ever there.
    let leaves_no_trace = how == Harm::Missing
        && (fixture.slots.contains(name) || fixture.records.last() == Some(name));
    for name in harmed.iter().filter(|_| !leaves_no_trace) {
        assert!(names_it(&report, name), "{what}: {:#?}", report.findings);
    }
    assert!(report.findings.iter().all(|finding| !finding.next_step.is_empty()));
    // The next backup makes good what is still there, for a machine that has seen nothing of it.
    let mut options = backup_options(&[&fixture.source()]);
    options.force = true;
    options.always = true;
    save_with(&repository, &options, LATER + 100 * SECOND).expect(&what);
    let fresh = open(&store, None).unwrap();
    let out = tempfile::tempdir().unwrap();
    let newest = latest(&fresh);
    assert_eq!(newest.snapshot.time, LATER + 100 * SECOND, "{what}");
    let restored = restored(&fresh, &newest, out.path());
    assert_same(&tree(&restored), &tree(&fixture.source()), &what);
    // What is gone and stands elsewhere by now is no damage for ever.
    if how == Harm::Missing && matches!(name, ObjectName::Pack(_)) {
        // Older snapshots may still lack what the source has no more; where that is a directory,
        // nobody knows what it needed.
        let again = check_all(&fresh);
        let costs = again.findings.iter().any(|finding| !finding.snapshots.is_empty());
        assert!(costs || again.is_clean(), "{what}: {again:#?}");
    }
}

fn run_object(fixture: &Fixture, name: &ObjectName) {
    for how in HARMS {
        run_case(fixture, name, how, false);
        if matches!(how, Harm::Missing | Harm::Flip(500) | Harm::Swapped) {
            run_case(fixture, name, how, true);
        }
    }
}

#[test]
fn a_damaged_data_pack_costs_what_lies_in_it() {
    let fixture = fixture();
    run_object(&fixture, &fixture.data_pack);
}

#[test]
fn a_damaged_pack_with_trees_costs_what_lies_in_it() {
    let fixture = fixture();
    run_object(&fixture, &fixture.mixed_pack);
}

#[test]
fn a_damaged_first_record_costs_its_snapshot() {
    let fixture = fixture();
    run_object(&fixture, &fixture.records[0]);
}

#[test]
fn a_damaged_record_in_the_middle_costs_its_snapshot() {
    let fixture = fixture();
    run_object(&fixture, &fixture.records[1]);
}

#[test]
fn a_damaged_last_record_costs_its_snapshot() {
    let fixture = fixture();
    run_object(&fixture, &fixture.records[2]);
}

#[test]
fn a_damaged_key_slot_costs_nothing_while_another_opens() {
    let fixture = fixture();
    run_object(&fixture, &fixture.slots[0]);
}

#[test]
fn a_damaged_header_is_named_and_put_back_from_a_key_slot() {
    let fixture = fixture();
    let name = &fixture.header;
    for how in HARMS {
        let copy = fixture.copy();
        harm(copy.path(), name, how, &fixture.sibling(name));
        let store = Store::folder(&copy.path().join("repo"), false).unwrap();
        let error = open(&store, None).err().unwrap();
        assert_eq!(error.kind(), Kind::Damaged, "{how:?}");
        assert!(error.hint_text().unwrap().contains("stash repair index"));
        if how != Harm::Missing {
            assert!(error.to_string().contains(&name.to_string()), "{how:?}: {error}");
        }
        let locked = LockedRepository::find_without_header(store.clone()).unwrap();
        let wrong = locked.unlock(&SlotSecret::Device(Key([1; 32])), &LocalFolders::default());
        assert_eq!(wrong.err().unwrap().kind(), Kind::WrongPassphrase);
        let [first, _] = secrets();
        let repository = locked.unlock(&first, &LocalFolders::default()).unwrap();
        assert!(names_it(&check_all(&repository), name), "{how:?}");
        assert!(put_header_back(&repository, true).unwrap(), "{how:?}");
        assert!(open(&store, None).is_err(), "{how:?}");
        assert!(put_header_back(&repository, false).unwrap(), "{how:?}");
        assert!(!put_header_back(&repository, false).unwrap(), "{how:?}");
        let fresh = open(&store, None).unwrap();
        assert!(check_all(&fresh).is_clean(), "{how:?}");
        for entry in snapshots(&fresh) {
            let out = tempfile::tempdir().unwrap();
            let folder = restored(&fresh, &entry, out.path());
            assert_same(&tree(&folder), fixture.saved(&entry.id), "header");
        }
    }
}

#[test]
fn a_flipped_byte_in_any_object_is_found() {
    let fixture = fixture();
    let pristine = fixture.pristine();
    assert!(check_all(&pristine).is_clean());
    let mut all = vec![fixture.data_pack.clone(), fixture.mixed_pack.clone()];
    all.extend(fixture.records.iter().cloned());
    all.extend(fixture.slots.iter().cloned());
    all.push(fixture.header.clone());
    for name in &all {
        for place in [0, 1, 80, 333, 500, 667, 900, 999, 1000] {
            let copy = fixture.copy();
            harm(copy.path(), name, Harm::Flip(place), name);
            let store = Store::folder(&copy.path().join("repo"), false).unwrap();
            // A check opens the repository with what it can.
            match open(&store, None) {
                Ok(repository) => {
                    assert!(names_it(&check_all(&repository), name), "{name} at {place}");
                }
                Err(error) => assert!(error.to_string().contains(&name.to_string()), "{error}"),
            }
        }
    }
}

#[test]
fn a_lost_record_comes_back_from_the_packs() {
    let fixture = fixture();
    for (place, with_memory) in [(0, false), (0, true), (1, false), (1, true)] {
        let name = &fixture.records[place];
        for how in [Harm::Missing, Harm::Flip(500)] {
            let copy = fixture.copy();
            harm(copy.path(), name, how, name);
            let store = Store::folder(&copy.path().join("repo"), false).unwrap();
            let local = with_memory.then(|| copy.path());
            let repository = open(&store, local).unwrap();
            let now = Timestamp(LATER + 200 * SECOND);
            let counters = Counters::default();
            let plan = repair_index(&repository, true, now, &counters).unwrap();
            assert_eq!(plan.packs_added, 1);
            let before = names(&store, Prefix::Log);
            let report = repair_index(&repository, false, now, &counters).unwrap();
            assert_eq!((report.packs_added, report.blobs_added), (1, plan.blobs_added));
            assert_eq!(report.damaged_records.len(), usize::from(how != Harm::Missing));
            assert_eq!(names(&store, Prefix::Log).len(), before.len() + 1);
            assert_eq!(repair_index(&repository, false, now, &counters).unwrap().packs_added, 0);
            // The snapshot in the record is gone; the other two are whole again.
            let fresh = open(&store, None).unwrap();
            let entries = snapshots(&fresh);
            assert_eq!(entries.len(), 2);
            for entry in entries {
                let out = tempfile::tempdir().unwrap();
                let folder = restored(&fresh, &entry, out.path());
                assert_same(&tree(&folder), fixture.saved(&entry.id), "repaired");
            }
        }
    }
}

#[test]
fn repaired_snapshots_hold_what_is_intact_and_nothing_else() {
    let fixture = fixture();
    for (name, how) in [
        (&fixture.data_pack, Harm::Missing),
        (&fixture.mixed_pack, Harm::Missing),
        (&fixture.mixed_pack, Harm::Flip(400)),
        (&fixture.mixed_pack, Harm::Flip(900)),
    ] {
        let what = format!("{name} {how:?}");
        let copy = fixture.copy();
        harm(copy.path(), name, how, name);
        let store = Store::folder(&copy.path().join("repo"), false).unwrap();
        let repository = open(&store, None).unwrap();
        let intact: Vec<_> =
            snapshots(&repository).iter().map(|entry| restore_all(&repository, entry)).collect();
        let damaged = intact.iter().filter(|(_, lines)| !lines.is_empty()).count();
        assert!(damaged >= 2, "{what}");
        let clock = TestClock(LATER + 300 * SECOND);
        let mut options = RepairSnapshotsOptions {
            read_data: ReadData::All,
            dry_run: true,
            threads: 2,
            ..RepairSnapshotsOptions::default()
        };
        let before = (names(&store, Prefix::Log), names(&store, Prefix::Packs));
        let counters = Counters::default();
        let plan = repair_snapshots(&repository, &options, &clock, &counters, &Silent).unwrap();
        assert_eq!(before, (names(&store, Prefix::Log), names(&store, Prefix::Packs)), "{what}");
        assert_eq!(plan.snapshots.len(), damaged, "{what}");
        (options.dry_run, options.forget) = (false, true);
        let done = repair_snapshots(&repository, &options, &clock, &counters, &Silent).unwrap();
        assert_eq!(done.snapshots.len(), damaged, "{what}");
        let fresh = open(&store, None).unwrap();
        let entries = snapshots(&fresh);
        // The old ones are forgotten.
        assert_eq!(entries.len(), 3, "{what}");
        for (row, planned) in done.snapshots.iter().zip(&plan.snapshots) {
            assert_eq!(row.holes, planned.holes, "{what}");
            assert!(!row.holes.is_empty() && row.forgotten, "{what}");
            let entry = entries.iter().find(|entry| Some(entry.id) == row.new).expect(&what);
            assert_eq!(entry.snapshot.parent, Some(row.old));
            assert_eq!(entry.snapshot.tags, ["repaired"]);
            let (got, lines) = restore_all(&fresh, entry);
            assert!(lines.is_empty(), "{what}: {lines:#?}");
            // Nothing that a restore of the old one could still get is missing.
            let mut wanted = intact[fixture.place(&row.old)].0.clone();
            if !got.contains_key(Path::new("many")) {
                wanted.remove(Path::new("many"));
            }
            assert_same(&got, &wanted, &what);
        }
        let report = check_all(&fresh);
        assert!(report.findings.iter().all(|finding| finding.snapshots.is_empty()), "{what}");
        let again = repair_snapshots(&repository, &options, &clock, &counters, &Silent).unwrap();
        assert!(again.snapshots.is_empty(), "{what}");
    }
}
