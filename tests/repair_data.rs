//! What is damaged or missing comes back from a second repository that shares the keys of content.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops where things are not as they should be"
)]

mod common_engine;

use std::path::{Path, PathBuf};

use common_engine::{
    LATER, SECOND, TestClock, folders, init, noise, open, open_fresh, put, restored, save, secret,
    snapshots,
};
use stash::engine::check::{CheckOptions, CheckReport, ReadData, check};
use stash::engine::copy::{CopyOptions, copy};
use stash::engine::prune::{PruneOptions, prune};
use stash::engine::repair::{RepairDataOptions, RepairDataReport, repair_data};
use stash::error::Kind;
use stash::event::{Counters, Silent};
use stash::repository::{InitOptions, Repository};
use stash::store::{Prefix, Store};
use stash::time::Timestamp;

struct Scene {
    folder: tempfile::TempDir,
    first: Repository,
    second: Repository,
}

impl Scene {
    fn new(shares_keys: bool) -> Scene {
        Scene::at(shares_keys, LATER)
    }

    fn at(shares_keys: bool, time: i64) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let store = |name: &str| Store::folder(&folder.path().join(name), true).unwrap();
        let first = init(&store("first"), &folders(&folder.path().join("machine")));
        let places = folders(&folder.path().join("machine"));
        let slots = [(secret(), "test".to_owned())];
        let (options, now) = (InitOptions::default(), Timestamp(1));
        let second = if shares_keys {
            first.init_like(&store("second"), &options, &slots, now, &places).unwrap()
        } else {
            Repository::init(&store("second"), &options, &slots, now, &places).unwrap()
        };
        let source = folder.path().join("source");
        let mut text = b"a line that comes again, ".repeat(20_000);
        put(&source.join("large"), noise(1, 2 << 20));
        for step in 0..3 {
            text[1000 * step] = b'!';
            put(&source.join("log"), &text);
            put(&source.join("sub").join(format!("{step}")), noise(9 + step as u64, 300_000));
            save(&first, &source, time + i64::try_from(step).unwrap()).unwrap();
        }
        let entries = snapshots(&first);
        let (options, clock) = (CopyOptions::default(), TestClock(LATER));
        copy(&first, &second, &entries, &options, &clock, &Counters::default(), &Silent).unwrap();
        Scene { folder, first, second }
    }

    fn packs(&self) -> Vec<PathBuf> {
        let rows = self.first.store().list(Prefix::Packs).unwrap();
        let base = self.folder.path().join("first");
        rows.iter().map(|row| base.join(row.name.to_string())).collect()
    }

    fn check(&self) -> CheckReport {
        let options =
            CheckOptions { read_data: ReadData::All, threads: 2, ..CheckOptions::default() };
        check(&self.first, &options, &Counters::default()).unwrap()
    }

    fn repair(&self, dry_run: bool) -> RepairDataReport {
        self.repair_at(dry_run, LATER + 3600 * SECOND)
    }

    fn repair_at(&self, dry_run: bool, now: i64) -> RepairDataReport {
        let options = RepairDataOptions { read_data: ReadData::All, threads: 2, dry_run };
        let now = Timestamp(now);
        repair_data(&self.first, &self.second, &options, now, &Counters::default()).unwrap()
    }

    fn assert_whole(&self) {
        let report = self.check();
        assert!(report.is_clean(), "{:#?}", report.findings);
        let store = Store::folder(&self.folder.path().join("first"), false).unwrap();
        let fresh = open_fresh(&store);
        for entry in snapshots(&fresh) {
            let into = tempfile::tempdir().unwrap();
            let out = restored(&fresh, &entry, into.path());
            assert_eq!(std::fs::read(out.join("large")).unwrap(), noise(1, 2 << 20));
        }
    }
}

fn flip(path: &Path, place: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[place] ^= 1;
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_flipped_byte_is_made_good_and_what_was_readable_is_taken_from_here() {
    let scene = Scene::new(true);
    let packs = scene.packs();
    for pack in &packs {
        flip(pack, 5_000);
    }
    assert!(!scene.check().is_clean());
    let plan = scene.repair(true);
    assert!(plan.fetched_blobs > 0);
    assert!(!scene.check().is_clean(), "a dry run stores nothing");
    let before = scene.packs().len();
    let report = scene.repair(false);
    assert_eq!(report.fetched_blobs, plan.fetched_blobs);
    assert_eq!((report.objects, report.lost_blobs), (packs.len() as u64, 0));
    assert!(scene.packs().len() > before);
    assert!(packs.iter().all(|pack| pack.exists()), "nothing is overwritten or deleted");
    scene.assert_whole();
    let again = scene.repair(false);
    assert_eq!((again.saved_blobs, again.fetched_blobs, again.lost_blobs), (0, 0, 0));
}

#[test]
fn a_prune_keeps_what_was_made_good_and_frees_what_is_damaged() {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let now = i64::try_from(now).unwrap();
    let scene = Scene::at(true, now);
    let damaged = scene.packs();
    for pack in &damaged {
        flip(pack, 5_000);
    }
    scene.repair_at(false, now + SECOND);
    let options = PruneOptions { alone: true, ..PruneOptions::default() };
    let clock = TestClock(now + 2 * SECOND);
    prune(&scene.first, &options, &clock, &Counters::default(), &Silent).unwrap();
    assert!(!damaged.iter().any(|pack| pack.exists()));
    scene.assert_whole();
}

#[test]
fn deleted_packs_are_made_good() {
    let scene = Scene::new(true);
    for pack in scene.packs() {
        std::fs::remove_file(pack).unwrap();
    }
    assert!(!scene.check().is_clean());
    let report = scene.repair(false);
    assert_eq!((report.saved_blobs, report.lost_blobs), (0, 0));
    assert!(report.fetched_blobs > 0);
    scene.assert_whole();
}

#[test]
fn what_neither_has_is_told() {
    let scene = Scene::new(true);
    for pack in scene.packs() {
        std::fs::remove_file(pack).unwrap();
    }
    for row in scene.second.store().list(Prefix::Packs).unwrap() {
        std::fs::remove_file(scene.folder.path().join("second").join(row.name.to_string()))
            .unwrap();
    }
    let report = scene.repair(false);
    assert!(report.lost_blobs > 0);
    assert_eq!(report.fetched_blobs, 0);
    assert!(!scene.check().is_clean());
}

#[test]
fn a_repository_with_other_keys_is_refused_and_the_reason_told() {
    let scene = Scene::new(false);
    let options = RepairDataOptions::default();
    let (now, counters) = (Timestamp(LATER), Counters::default());
    let error = repair_data(&scene.first, &scene.second, &options, now, &counters).unwrap_err();
    assert!(error.hint_text().unwrap().contains("init --like"));
    let error = repair_data(&scene.first, &scene.first, &options, now, &counters).unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    let store = Store::folder(&scene.folder.path().join("first"), false).unwrap();
    assert!(open(&store, &folders(&scene.folder.path().join("machine"))).is_ok());
}
