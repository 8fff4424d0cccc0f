//! What a check tells apart: damage that costs something, damage that no longer does, and what is
//! no damage at all.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops where things are not as they should be"
)]

mod common_engine;
#[path = "check/log.rs"]
mod log;
#[path = "check/scene.rs"]
mod scene;
#[path = "check/unneeded.rs"]
mod unneeded;

use common_engine::trees::{assert_same, tree};
use common_engine::{
    LATER, SECOND, TestClock, folders, latest, noise, open_fresh, put, restore_options, restored,
    save,
};
use scene::{Scene, check_all, check_with, kinds, scene_with_a_pack};
use stash::codec::crypto::{Key, SlotSecret};
use stash::engine::check::{FindingKind, ReadData};
use stash::engine::repair::{RepairSnapshotsOptions, repair_snapshots};
use stash::engine::restore::{RestoreOptions, restore};
use stash::event::{Counters, Silent};
use stash::format::pack::{BlobKind, UnitForm};
use stash::format::record::{Attachment, AttachmentMap, Snapshot};
use stash::id::{BlobId, ObjectHash};
use stash::repository::container::PlainUnit;
use stash::repository::log::RecordParts;
use stash::repository::{InitOptions, LocalFolders, LockedRepository, Repository};
use stash::store::{ObjectName, Prefix, Store};
use stash::time::Timestamp;

#[test]
fn what_a_backup_made_good_again_is_a_note_and_no_damage() {
    for how in ["missing", "flipped", "cut"] {
        let (mut scene, pack) = scene_with_a_pack();
        match how {
            "missing" => std::fs::remove_file(scene.path(&pack)).unwrap(),
            "flipped" => scene.flip(&pack, 5_000),
            _ => {
                let bytes = std::fs::read(scene.path(&pack)).unwrap();
                std::fs::remove_file(scene.path(&pack)).unwrap();
                std::fs::write(scene.path(&pack), &bytes[..bytes.len() - 1]).unwrap();
            }
        }
        let report = check_all(&scene.open());
        assert_eq!(report.findings.len(), 1, "{how}: {:#?}", report.findings);
        assert_eq!(report.findings[0].object, pack.to_string());
        // Not forced, and nothing has changed on the disk.
        scene.save();
        let again = check_all(&scene.open());
        assert!(again.is_clean(), "{how}: {:#?}", again.findings);
        assert!(again.notes.iter().any(|note| note.object == pack.to_string()), "{how}");
        scene.assert_latest_is_whole(how);
    }
}

#[test]
fn a_flipped_unit_costs_the_files_in_it_and_the_others_are_told_whole() {
    let (scene, pack) = scene_with_a_pack();
    scene.flip(&pack, 2_000);
    let repository = scene.open();
    let report = check_all(&repository);
    let finding = &report.findings[0];
    assert_eq!((report.findings.len(), finding.kind), (1, FindingKind::ObjectDamaged));
    assert!(finding.what.contains("1 of"), "{}", finding.what);
    assert!((1..=2).contains(&finding.file_count), "{:?}", finding.files);
    assert_eq!(finding.snapshots.len(), 1);
    let lost: Vec<String> =
        finding.files.iter().map(|path| String::from_utf8(path.clone()).unwrap()).collect();
    assert!(lost.iter().all(|path| path.contains("/source/file")), "{lost:?}");
    // Without reading data there is nothing to see.
    assert!(check_with(&repository, ReadData::None).is_clean());
}

#[test]
fn the_parts_of_a_check_find_together_what_the_whole_finds() {
    let (scene, pack) = scene_with_a_pack();
    scene.flip(&pack, 2_000);
    let repository = scene.open();
    let found: Vec<u32> = (1..=7)
        .filter(|part| !check_with(&repository, ReadData::Part { part: *part, of: 7 }).is_clean())
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(!check_with(&repository, ReadData::Percent(100.0)).is_clean());
    assert!(!check_with(&repository, ReadData::Bytes(1 << 40)).is_clean());
}

#[test]
fn where_a_directory_is_lost_no_pack_counts_as_unneeded() {
    let mut scene = Scene::new();
    for number in 0..200 {
        put(&scene.source().join(format!("many/file{number:03}")), noise(number, 3_000));
    }
    put(&scene.source().join("large"), noise(999, 900_000));
    scene.save();
    put(&scene.source().join("many/file100"), noise(5_000, 500_000));
    scene.save();
    let packs = scene.names(Prefix::Packs);
    assert!(packs.len() >= 2);
    for pack in &packs {
        std::fs::remove_file(scene.path(pack)).unwrap();
    }
    let report = check_with(&scene.open(), ReadData::None);
    assert_eq!(report.findings.len(), packs.len(), "{:#?}", report.findings);
    assert!(report.notes.is_empty(), "{:#?}", report.notes);
}

#[test]
fn two_repositories_in_one_place_are_no_damage_to_each_other() {
    let mut scene = Scene::new();
    put(&scene.source().join("one"), noise(1, 700_000));
    scene.save();
    let own = scene.open().id().to_string();
    // The other lies in a place of its own first, and is then copied in, packs and all.
    let other = tempfile::tempdir().unwrap();
    let store = Store::folder(&other.path().join("repo"), true).unwrap();
    let secret = || SlotSecret::Device(Key([7; 32]));
    let theirs = Repository::init(
        &store,
        &InitOptions::default(),
        &[(secret(), "other".to_owned())],
        Timestamp(2),
        &folders(other.path()),
    )
    .unwrap();
    let source = other.path().join("source");
    put(&source.join("two"), noise(2, 700_000));
    save(&theirs, &source, LATER).unwrap();
    let their_id = theirs.id().to_string();
    drop(theirs);
    common_engine::copy_folder(&other.path().join("repo"), &scene.base.path().join("repo"));
    std::fs::write(scene.base.path().join("repo/notes.txt"), "mine").unwrap();

    let error = LockedRepository::find(scene.store(), None).err().unwrap();
    assert!(error.hint_text().unwrap().contains("--repo-id"), "{error}");
    for (id, secret, source) in
        [(&own, common_engine::secret(), scene.source()), (&their_id, secret(), source)]
    {
        let repository = LockedRepository::find(scene.store(), Some(id))
            .unwrap()
            .unlock(&secret, &LocalFolders::default())
            .unwrap();
        assert!(repository.sync().unwrap().damaged.is_empty());
        let report = check_all(&repository);
        assert!(report.is_clean(), "{:#?}", report.findings);
        let said = |word: &str| report.notes.iter().any(|note| note.text.contains(word));
        for word in ["lies in the same place", "key slot of another", "another repository"] {
            assert!(said(word), "{word}: {:#?}", report.notes);
        }
        assert!(report.notes.iter().any(|note| note.object == "notes.txt"));
        // Both go on.
        put(&source.join("more"), noise(3, 50_000));
        save(&repository, &source, LATER + 100 * SECOND).unwrap();
        let out = tempfile::tempdir().unwrap();
        let folder = restored(&repository, &latest(&repository), out.path());
        assert_same(&tree(&folder), &tree(&source), "mixed");
        assert!(check_all(&repository).is_clean());
    }
}

#[test]
fn packs_of_runs_that_died_are_notes() {
    let (scene, pack) = scene_with_a_pack();
    let bytes = std::fs::read(scene.path(&pack)).unwrap();
    for name in scene.names(Prefix::Log) {
        std::fs::remove_file(scene.path(&name)).unwrap();
    }
    let fresh = open_fresh(&scene.store());
    let report = check_all(&fresh);
    assert!(report.is_clean(), "{:#?}", report.findings);
    let note = report.notes.iter().find(|note| note.object == pack.to_string()).unwrap();
    assert!(note.text.contains(&bytes.len().to_string()), "{}", note.text);
}

#[test]
fn a_salvaged_file_has_zeros_where_something_is_lost_and_all_else() {
    let mut scene = Scene::new();
    let whole = noise(1, 6 << 20);
    put(&scene.source().join("large"), &whole);
    put(&scene.source().join("other"), noise(2, 5_000));
    scene.save();
    let pack = scene.names(Prefix::Packs).pop().unwrap();
    scene.flip(&pack, 2 << 20);
    let repository = scene.open();
    let snapshot = latest(&repository).snapshot;
    let run = |salvage: bool| {
        let out = tempfile::tempdir().unwrap();
        let options = RestoreOptions { salvage, ..restore_options(out.path()) };
        let report =
            restore(&repository, &snapshot, &options, &Counters::default(), &Silent).unwrap();
        (out, report)
    };
    let (out, report) = run(false);
    assert_eq!((report.failed, report.salvaged, report.damaged), (1, 0, true));
    assert!(!out.path().join("source/large").exists());
    assert_eq!(std::fs::read(out.path().join("source/other")).unwrap(), noise(2, 5_000));
    let (out, report) = run(true);
    assert_eq!((report.failed, report.salvaged, report.damaged), (0, 1, true));
    let got = std::fs::read(out.path().join("source/large")).unwrap();
    assert_eq!(got.len(), whole.len());
    // One unit is lost; its chunks need not be neighbours.
    let wrong: Vec<usize> = (0..got.len()).filter(|&at| got[at] != whole[at]).collect();
    assert!(!wrong.is_empty() && wrong.len() < 2 << 20, "{}", wrong.len());
    assert!(wrong.iter().all(|&at| got[at] == 0));
}

#[test]
fn a_lost_base_costs_what_is_a_difference_from_it() {
    for how in ["missing", "no header"] {
        let (mut scene, pack) = scene_with_a_pack();
        let mut edited = noise(0, 600_000);
        edited[300_000] ^= 1;
        put(&scene.source().join("file0"), edited);
        scene.save();
        let record = scene
            .names(Prefix::Log)
            .into_iter()
            .find(|name| matches!(name, ObjectName::Record(name) if name.sequence == 2));
        let record = record.unwrap();
        match how {
            "missing" => std::fs::remove_file(scene.path(&pack)).unwrap(),
            _ => scene.flip(&pack, 40),
        }
        let read_data = match how {
            "missing" => ReadData::None,
            _ => ReadData::All,
        };
        let report = check_with(&scene.open(), read_data);
        let found = report.findings.iter().find(|it| it.kind == FindingKind::BaseMissing);
        let finding = found.unwrap_or_else(|| panic!("{how}: {:#?}", report.findings));
        assert_eq!(finding.object, record.to_string(), "{how}");
        assert_eq!((finding.snapshots.len(), finding.file_count), (1, 1), "{how}");
        assert_eq!(report.findings.len(), 2, "{how}: {:#?}", report.findings);
    }
}

/// Commits a snapshot of nothing but an attachment.
fn save_attachment(repository: &Repository, blob: BlobId, units: Vec<PlainUnit>, now: i64) {
    let attachment = Attachment { blob: Some(blob), ..Attachment::default() };
    let attachments = vec![attachment];
    let snapshot = Snapshot { time: now, attachments, ..Snapshot::default() };
    let parts = RecordParts { snapshot: Some(snapshot), inline: units, ..RecordParts::default() };
    repository.append(parts, Timestamp(now)).unwrap();
}

#[test]
fn a_lost_part_of_an_attachment_harms_every_snapshot_that_has_it() {
    let scene = Scene::new();
    let repository = scene.open();
    let bytes = AttachmentMap::Parts(vec![(b"key".as_slice().into(), BlobId([9; 32]))]).encode();
    let root = repository.keys().blob_id(BlobKind::Attachment, &bytes);
    let unit = PlainUnit {
        kind: BlobKind::Attachment,
        form: UnitForm::Raw,
        blobs: vec![(root, bytes.len() as u64)],
        payload: bytes,
        bases: Vec::new(),
        depth: 0,
    };
    save_attachment(&repository, root, vec![unit], LATER);
    save_attachment(&repository, root, Vec::new(), LATER + SECOND);
    let report = check_all(&repository);
    assert_eq!(kinds(&report), [FindingKind::NotIndexed], "{:#?}", report.findings);
    assert_eq!(report.findings[0].snapshots.len(), 2);
    let options = RepairSnapshotsOptions::default();
    let clock = TestClock(LATER + 2 * SECOND);
    let repaired =
        repair_snapshots(&repository, &options, &clock, &Counters::default(), &Silent).unwrap();
    assert!(repaired.snapshots.iter().all(|snapshot| snapshot.holes.len() == 1));
    assert_eq!(repaired.snapshots.len(), 2);
}

#[test]
fn an_object_larger_than_any_is_a_finding_and_ends_nothing() {
    let (scene, _) = scene_with_a_pack();
    let name = ObjectName::Segment(ObjectHash([7; 32]));
    std::fs::create_dir_all(scene.path(&name).parent().unwrap()).unwrap();
    std::fs::File::create(scene.path(&name)).unwrap().set_len((64 << 20) + 1).unwrap();
    let report = check_all(&scene.open());
    assert_eq!(kinds(&report), [FindingKind::SegmentDamaged], "{:#?}", report.findings);
    assert!(report.findings[0].what.contains("larger"), "{}", report.findings[0].what);
}
