//! A repository in a folder that a program keeps alike on two computers: files arrive late, out of
//! order, short at first, or twice. Nothing is lost by it, and a check says what is on its way.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops where things are not as they should be"
)]

mod common_engine;
#[path = "synced_folder/courier.rs"]
mod courier;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use common_engine::trees::{Tree, assert_same, tree};
use common_engine::{
    SECOND, TestClock, backup_options, folders, noise, open, open_fresh, put, restored, save_with,
    snapshots,
};
use courier::{Courier, files};
use stash::engine::check::{CheckOptions, CheckReport, ReadData, check};
use stash::engine::prune::{PruneOptions, PruneReport, prune};
use stash::error::Result;
use stash::event::{Counters, Silent};
use stash::format::key::REPOSITORY_REPLICATED;
use stash::format::record::{Mark, MarkKind};
use stash::id::SnapshotId;
use stash::repository::log::RecordParts;
use stash::repository::{InitOptions, Repository};
use stash::store::Store;
use stash::time::Timestamp;

const GRACE: i64 = 100;

/// Two computers. Their clocks are set by the test and stay less than an hour behind the disk's; the
/// files' times are set so that by the disk's clock all are as old as by theirs.
struct Scene {
    base: tempfile::TempDir,
    courier: Courier,
    now: i64,
    stored: HashMap<(usize, PathBuf), i64>,
    /// What was saved, and by whom.
    saved: Vec<(SnapshotId, Tree, usize)>,
}

fn real_now() -> i64 {
    let elapsed = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(elapsed.as_nanos()).unwrap()
}

impl Scene {
    fn new(seed: u64) -> Scene {
        let base = tempfile::tempdir().unwrap();
        let mut courier = Courier::new(base.path(), seed);
        let stores: Vec<Store> =
            courier.folders.iter().map(|it| Store::folder(it, true).unwrap()).collect();
        let now = real_now() - 3000 * SECOND;
        let options = InitOptions {
            window: 5,
            grace: GRACE.unsigned_abs(),
            flags: REPOSITORY_REPLICATED,
            ..InitOptions::default()
        };
        let slots = [(common_engine::secret(), "test".to_owned())];
        let places = folders(&base.path().join("one"));
        Repository::init(&stores[0], &options, &slots, Timestamp(now), &places).unwrap();
        courier.deliver();
        let scene = Scene { base, courier, now, stored: HashMap::new(), saved: Vec::new() };
        for at in 0..2 {
            for number in 0..5 {
                put(&scene.source(at).join(format!("same/{number}")), noise(number, 60_000));
            }
        }
        scene
    }

    fn machine(&self, at: usize) -> PathBuf {
        self.base.path().join(["one", "two"][at])
    }

    fn source(&self, at: usize) -> PathBuf {
        self.machine(at).join("source")
    }

    fn store(&self, at: usize) -> Store {
        Store::folder(&self.courier.folders[at], false).unwrap()
    }

    fn pass(&mut self, seconds: i64) {
        self.note();
        self.now += seconds * SECOND;
        assert!(self.now < real_now(), "the test has used up its time");
    }

    /// Notes the time of what is new, and lets the disk's times agree with ours.
    fn note(&mut self) {
        for at in 0..2 {
            for path in files(&self.courier.folders[at]) {
                let stored = *self.stored.entry((at, path.clone())).or_insert(self.now);
                let age = Duration::from_nanos((self.now - stored).unsigned_abs());
                let path = self.courier.folders[at].join(path);
                let file = std::fs::File::options().write(true).open(path).unwrap();
                file.set_modified(SystemTime::now() - age).unwrap();
            }
        }
    }

    /// Opens the repository as a new process would, with the machine's memory.
    fn open(&mut self, at: usize) -> Result<Repository> {
        self.note();
        open(&self.store(at), &folders(&self.machine(at)))
    }

    fn save(&mut self, at: usize) -> Result<SnapshotId> {
        let repository = self.open(at)?;
        let source = self.source(at);
        let mut options = backup_options(&[&source]);
        options.host = format!("host{at}");
        options.always = true;
        let id = save_with(&repository, &options, self.now)?.snapshot.unwrap();
        self.saved.push((id, tree(&source), at));
        self.note();
        Ok(id)
    }

    fn forget(&mut self, at: usize, snapshot: SnapshotId) {
        let repository = self.open(at).unwrap();
        let kind = MarkKind::Forget as u64;
        let marks = vec![Mark { snapshot, kind, ..Mark::default() }];
        let parts = RecordParts { marks, ..RecordParts::default() };
        repository.append(parts, Timestamp(self.now)).unwrap();
        self.saved.retain(|(id, ..)| *id != snapshot);
    }

    fn prune(&mut self, at: usize) -> Result<PruneReport> {
        let repository = self.open(at)?;
        let options = PruneOptions { checkpoint_records: 10, ..PruneOptions::default() };
        let clock = TestClock(self.now);
        let report = prune(&repository, &options, &clock, &Counters::default(), &Silent);
        self.note();
        report
    }

    fn check(&mut self, at: usize) -> CheckReport {
        self.note();
        let options = CheckOptions {
            read_data: ReadData::All,
            threads: 2,
            now: Some(Timestamp(self.now)),
            ..CheckOptions::default()
        };
        let store = self.store(at);
        let repository = stash::repository::LockedRepository::find(store, None).unwrap();
        let places = folders(&self.base.path().join("looker"));
        let repository = repository.unlock(&common_engine::secret(), &places).unwrap();
        check(&repository, &options, &Counters::default()).unwrap()
    }

    /// Everything arrives; then each folder by itself gives every snapshot back, and a check finds
    /// nothing but the courier's own copies.
    fn assert_whole(&mut self) {
        self.courier.deliver();
        assert_eq!(files(&self.courier.folders[0]), files(&self.courier.folders[1]));
        for at in 0..2 {
            let fresh = open_fresh(&self.store(at));
            let entries = snapshots(&fresh);
            for (id, wanted, _) in &self.saved {
                let entry = entries.iter().find(|entry| entry.id == *id);
                let entry = entry.unwrap_or_else(|| panic!("{id} is not listed in {at}"));
                let out = tempfile::tempdir().unwrap();
                assert_same(&tree(&restored(&fresh, entry, out.path())), wanted, "restored");
            }
            let report = self.check(at);
            assert!(report.is_clean(), "{:#?}", report.findings);
            let strangers = files(&self.courier.folders[at]);
            let strangers = self.courier.copies.iter().filter(|copy| strangers.contains(*copy));
            assert_eq!(
                strangers.count() > 0,
                says(&report, "no object of a repository"),
                "{:#?}",
                report.notes
            );
            assert!(!says(&report, "may yet arrive"), "{:#?}", report.notes);
        }
    }
}

fn says(report: &CheckReport, text: &str) -> bool {
    report.notes.iter().any(|note| note.text.contains(text))
}

/// Changes a few files, of which the other machine may have the same.
fn edit(source: &Path, random: &mut fastrand::Rng, round: u64) {
    let number = random.u64(..12);
    put(&source.join(format!("same/{}", number % 6)), noise(number, 60_000));
    put(&source.join("text"), format!("round {round}, {}", random.u64(..)));
    if random.bool() {
        put(&source.join(format!("large/{}", random.u8(..3))), noise(round + 100, 400_000));
    }
}

#[test]
fn files_that_arrive_late_short_or_twice_lose_nothing() {
    for seed in 0..6 {
        let mut scene = Scene::new(seed);
        let mut random = fastrand::Rng::with_seed(seed + 1000);
        for round in 0..14 {
            for at in 0..2 {
                let source = scene.source(at);
                edit(&source, &mut random, round);
                scene.save(at).unwrap();
                if random.u8(..3) > 0 {
                    scene.courier.step();
                }
                scene.pass(4);
            }
            let report = scene.check(random.usize(..2));
            assert!(report.is_clean(), "seed {seed}, round {round}: {:#?}", report.findings);
        }
        assert!(!scene.courier.copies.is_empty(), "the courier was to make copies");
        scene.assert_whole();
    }
}

/// Forgetting and pruning too: a prune may refuse while something is on its way, and never deletes
/// what the other machine relies upon.
#[test]
fn a_folder_that_is_pruned_meanwhile_loses_nothing() {
    let (mut deleted, mut refused, mut stopped) = (0, 0, 0);
    for seed in 0..8 {
        let mut scene = Scene::new(seed);
        let mut random = fastrand::Rng::with_seed(seed + 2000);
        for round in 0..16 {
            for at in 0..2 {
                let source = scene.source(at);
                edit(&source, &mut random, round);
                // What tells of a deletion, and has come in part, stops a backup until the rest is there.
                if let Err(error) = scene.save(at) {
                    assert!(
                        error.to_string().contains("`log/g/"),
                        "seed {seed}, round {round}: {error}"
                    );
                    stopped += 1;
                }
                let own: Vec<_> = scene.saved.iter().filter(|it| it.2 == at).collect();
                if own.len() > 3 {
                    let old = own[random.usize(..3)].0;
                    scene.forget(at, old);
                }
                (0..random.u8(..4)).for_each(|_| scene.courier.step());
                scene.pass(random.i64(1..100));
            }
            match scene.prune(random.usize(..2)) {
                Ok(report) => deleted += report.deleted_objects,
                Err(_) => refused += 1,
            }
        }
        scene.assert_whole();
    }
    assert!(
        deleted > 20 && stopped < 60,
        "{deleted} deleted, {refused} refused, {stopped} stopped"
    );
}

#[test]
fn what_has_not_arrived_is_a_note_and_so_is_what_arrived_in_part() {
    let mut scene = Scene::new(1);
    scene.courier.held = |path| path.starts_with("packs");
    put(&scene.source(0).join("big"), noise(50, 700_000));
    scene.save(0).unwrap();
    scene.courier.held = |path| path.starts_with("packs");
    scene.courier.deliver();
    let report = scene.check(1);
    assert!(report.is_clean(), "{:#?}", report.findings);
    assert!(says(&report, "may yet arrive"), "{:#?}", report.notes);
    // The pack, and then a record, as far as they have come.
    for prefix in ["packs", "log"] {
        scene.courier.deliver();
        assert!(!says(&scene.check(1), "may yet arrive"));
        let path = files(&scene.courier.folders[1]).into_iter().find(|it| it.starts_with(prefix));
        let path = scene.courier.folders[1].join(path.unwrap());
        let whole = std::fs::read(&path).unwrap();
        for length in [0, 10, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            let report = scene.check(1);
            assert!(report.is_clean(), "{prefix} of {length} bytes: {:#?}", report.findings);
            assert!(says(&report, "may yet arrive"), "{:#?}", report.notes);
        }
        std::fs::write(&path, whole).unwrap();
    }
    scene.assert_whole();
}

#[test]
fn a_prune_waits_for_those_who_have_not_read_the_condemnation() {
    let mut scene = Scene::new(2);
    put(&scene.source(0).join("gone"), noise(60, 900_000));
    let first = scene.save(0).unwrap();
    std::fs::remove_file(scene.source(0).join("gone")).unwrap();
    scene.pass(10);
    scene.save(0).unwrap();
    scene.courier.deliver();
    scene.save(1).unwrap();
    scene.courier.deliver();
    scene.forget(0, first);
    scene.pass(2 * GRACE);
    let condemned = scene.prune(0).unwrap();
    assert!(condemned.condemned_bytes > 800_000, "{condemned:?}");
    // The other has not heard of it, and stores the same again, relying on what is condemned.
    put(&scene.source(1).join("gone"), noise(60, 900_000));
    scene.save(1).unwrap();
    for _ in 0..3 {
        scene.pass(2 * GRACE);
        assert_eq!(scene.prune(0).unwrap().deleted_objects, 0, "the other has not spoken");
    }
    // It has heard of it, and not spoken since.
    scene.courier.deliver();
    scene.pass(2 * GRACE);
    assert_eq!(scene.prune(0).unwrap().deleted_objects, 0, "nobody knows what it has read");
    scene.courier.deliver();
    scene.save(1).unwrap();
    scene.pass(1);
    assert_eq!(scene.prune(0).unwrap().deleted_objects, 0, "its word is on the way");
    scene.courier.deliver();
    let swept = scene.prune(0).unwrap();
    assert!(swept.deleted_objects > 0, "{swept:?}");
    scene.assert_whole();
}

/// Packs come first, and the first word of a machine that nobody has heard of comes much later.
#[test]
fn packs_of_a_machine_that_nobody_has_heard_of_yet_are_not_deleted() {
    let mut scene = Scene::new(3);
    scene.save(0).unwrap();
    put(&scene.source(1).join("big"), noise(70, 900_000));
    scene.save(1).unwrap();
    scene.courier.held = |path| path.starts_with("log");
    scene.courier.deliver();
    for _ in 0..3 {
        scene.pass(2 * GRACE);
        put(&scene.source(0).join("text"), format!("{}", scene.now));
        scene.save(0).unwrap();
        scene.prune(0).unwrap();
    }
    scene.assert_whole();
}
