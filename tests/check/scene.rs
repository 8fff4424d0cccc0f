//! A repository to damage, and what is asked of it.

use std::path::PathBuf;

use stash::engine::check::{CheckOptions, CheckReport, FindingKind, ReadData, check};
use stash::event::Counters;
use stash::repository::{LocalFolders, Repository};
use stash::store::{ObjectName, Prefix, Store};

use crate::common_engine::trees::{assert_same, tree};
use crate::common_engine::{
    LATER, SECOND, folders, init, latest, noise, open, open_fresh, put, restored, save,
};

/// A repository in a folder, with a machine that remembers, and what it saved.
pub(crate) struct Scene {
    pub(crate) base: tempfile::TempDir,
    pub(crate) now: i64,
}

impl Scene {
    pub(crate) fn new() -> Scene {
        let scene = Scene { base: tempfile::tempdir().unwrap(), now: LATER };
        let store = Store::folder(&scene.base.path().join("repo"), true).unwrap();
        drop(init(&store, &folders(scene.base.path())));
        scene
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.base.path().join("source")
    }

    pub(crate) fn store(&self) -> Store {
        Store::folder(&self.base.path().join("repo"), false).unwrap()
    }

    pub(crate) fn open(&self) -> Repository {
        open(&self.store(), &folders(self.base.path())).unwrap()
    }

    pub(crate) fn save(&mut self) {
        self.now += 10 * SECOND;
        save(&self.open(), &self.source(), self.now).unwrap();
    }

    pub(crate) fn path(&self, name: &ObjectName) -> PathBuf {
        self.base.path().join("repo").join(name.to_string())
    }

    pub(crate) fn names(&self, prefix: Prefix) -> Vec<ObjectName> {
        self.store().list(prefix).unwrap().into_iter().map(|row| row.name).collect()
    }

    pub(crate) fn flip(&self, name: &ObjectName, place: usize) {
        let path = self.path(name);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[place] ^= 0x10;
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }

    /// The newest snapshot holds what is on the disk now.
    pub(crate) fn assert_latest_is_whole(&self, what: &str) {
        let fresh = open_fresh(&self.store());
        let out = tempfile::tempdir().unwrap();
        let folder = restored(&fresh, &latest(&fresh), out.path());
        assert_same(&tree(&folder), &tree(&self.source()), what);
    }

    /// The same, where not every record can be read.
    pub(crate) fn assert_newest_restores(&self, what: &str) {
        let repository = open_damaged(&self.store());
        let out = tempfile::tempdir().unwrap();
        let folder = restored(&repository, &latest(&repository), out.path());
        assert_same(&tree(&folder), &tree(&self.source()), what);
    }
}

pub(crate) fn check_with(repository: &Repository, read_data: ReadData) -> CheckReport {
    let options = CheckOptions { read_data, threads: 3, ..CheckOptions::default() };
    check(repository, &options, &Counters::default()).unwrap()
}

pub(crate) fn check_all(repository: &Repository) -> CheckReport {
    check_with(repository, ReadData::All)
}

pub(crate) fn kinds(report: &CheckReport) -> Vec<FindingKind> {
    report.findings.iter().map(|finding| finding.kind).collect()
}

/// One pack of data, which trees in records refer to.
pub(crate) fn scene_with_a_pack() -> (Scene, ObjectName) {
    let mut scene = Scene::new();
    for number in 0..6 {
        put(&scene.source().join(format!("file{number}")), noise(number, 600_000));
    }
    scene.save();
    let pack = scene.names(Prefix::Packs).pop().unwrap();
    (scene, pack)
}

/// Opens without asking that every record can be read.
pub(crate) fn open_damaged(store: &Store) -> Repository {
    open(store, &LocalFolders::default()).unwrap()
}
