//! A repository in memory with five holders: the machines `a`, `b` and `c`, a passphrase, a recovery
//! code.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use object_store::memory::InMemory;
use stash::codec::crypto::{Key, MasterKeys, OpenSlot, RepositoryKeys, SlotSecret, open_slot};
use stash::error::Result;
use stash::format::key::{Grant, KeySlot};
use stash::id::{ObjectHash, SnapshotId};
use stash::repository::{InitOptions, LocalFolders, LockedRepository, Repository, Rotated};
use stash::store::{ObjectName, Prefix, Store};
use stash::time::Timestamp;
use zeroize::Zeroizing;

use crate::common_engine::{
    LATER, SECOND, backup_options, copy_folder, folders, noise, put, restored, save_with,
};

pub(crate) fn device(byte: u8) -> SlotSecret {
    SlotSecret::Device(Key([byte; 32]))
}

pub(crate) fn passphrase() -> SlotSecret {
    SlotSecret::Passphrase(Zeroizing::new("correct horse battery".to_owned()))
}

pub(crate) fn recovery() -> SlotSecret {
    SlotSecret::Recovery(Key([4; 32]))
}

fn secret_of(name: &str) -> SlotSecret {
    device(match name {
        "a" => 1,
        "b" => 2,
        _ => 3,
    })
}

fn open_with(store: &Store, secret: &SlotSecret, folders: &LocalFolders) -> Result<Repository> {
    let repository = LockedRepository::find(store.clone(), None)?.unlock(secret, folders)?;
    repository.sync()?;
    Ok(repository)
}

pub(crate) struct Scene {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) inner: Arc<InMemory>,
    pub(crate) store: Store,
    now: i64,
    saved: Vec<(SnapshotId, ObjectName)>,
}

impl Scene {
    pub(crate) fn new() -> Scene {
        Scene::with(vec![(passphrase(), "passphrase".to_owned())])
    }

    /// Without the passphrase, which costs time.
    pub(crate) fn of_devices() -> Scene {
        Scene::with(Vec::new())
    }

    fn with(mut slots: Vec<(SlotSecret, String)>) -> Scene {
        let inner = Arc::new(InMemory::new());
        let store = Store::from_object_store(Arc::clone(&inner) as _, "scene");
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c"] {
            slots.push((secret_of(name), name.to_owned()));
        }
        slots.push((recovery(), "recovery code".to_owned()));
        let options = InitOptions::default();
        let nowhere = LocalFolders::default();
        Repository::init(&store, &options, &slots, Timestamp(LATER), &nowhere).unwrap();
        let scene = Scene { folder, inner, store, now: LATER, saved: Vec::new() };
        for name in ["a", "b", "c"] {
            scene.put(name, "own", name);
        }
        scene
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.now)
    }

    pub(crate) fn put(&self, name: &str, path: &str, bytes: impl AsRef<[u8]>) {
        put(&self.folder.path().join(name).join("source").join(path), bytes);
    }

    pub(crate) fn open(&self, name: &str) -> Result<Repository> {
        self.open_in(&self.folder.path().join(name), &secret_of(name))
    }

    pub(crate) fn open_in(&self, base: &Path, secret: &SlotSecret) -> Result<Repository> {
        open_with(&self.store, secret, &folders(base))
    }

    /// Backs up what a machine has, and something new; returns the record.
    pub(crate) fn save(&mut self, name: &str) -> Result<ObjectName> {
        let repository = self.open(name)?;
        self.save_by(name, &repository)
    }

    pub(crate) fn save_by(&mut self, name: &str, repository: &Repository) -> Result<ObjectName> {
        self.now += SECOND;
        let seed = self.now.unsigned_abs();
        self.put(name, "large", noise(seed, 400_000));
        let source = self.folder.path().join(name).join("source");
        let mut options = backup_options(&[&source]);
        name.clone_into(&mut options.host);
        let id = save_with(repository, &options, self.now)?.snapshot.unwrap();
        copy_folder(&source, &self.folder.path().join("copies").join(id.to_string()));
        let records = repository.cache().snapshot_records().unwrap();
        let hash = records.iter().find(|(snapshot, _)| *snapshot == id).unwrap().1.unwrap();
        let record = self.objects().into_iter().find(|name| name.hash() == hash).unwrap();
        self.saved.push((id, record.clone()));
        Ok(record)
    }

    pub(crate) fn rotate(&self, name: &str, without: &[ObjectHash]) -> Result<Rotated> {
        self.rotate_over(name, &self.store, without)
    }

    pub(crate) fn rotate_over(
        &self,
        name: &str,
        store: &Store,
        without: &[ObjectHash],
    ) -> Result<Rotated> {
        let folders = folders(&self.folder.path().join(name));
        let repository = open_with(store, &secret_of(name), &folders)?;
        let plan = repository.plan_rotation(without)?;
        repository.rotate(&plan, self.now())
    }

    /// Returns what rotates by another machine, at any moment.
    pub(crate) fn other_rotation(&self, name: &'static str) -> impl FnOnce() + Send + 'static {
        self.rotation(name, Vec::new())
    }

    pub(crate) fn other_rotation_without(
        &self,
        name: &'static str,
        without: &str,
    ) -> impl FnOnce() + Send + 'static {
        self.rotation(name, vec![self.slot_of(without)])
    }

    fn rotation(
        &self,
        name: &'static str,
        without: Vec<ObjectHash>,
    ) -> impl FnOnce() + Send + 'static {
        let (store, now) = (self.store.clone(), self.now());
        let folders = folders(&self.folder.path().join(name));
        move || {
            let repository = open_with(&store, &secret_of(name), &folders).unwrap();
            let plan = repository.plan_rotation(&without).unwrap();
            repository.rotate(&plan, now).unwrap();
        }
    }

    fn opened(&self, secret: &SlotSecret) -> (ObjectHash, OpenSlot) {
        let rows = self.store.list(Prefix::Keys).unwrap();
        let mut slots = rows.iter().filter(|row| matches!(row.name, ObjectName::KeySlot(_)));
        slots
            .find_map(|row| {
                let bytes = self.store.get(&row.name).unwrap().unwrap();
                let slot = KeySlot::decode(&bytes).ok()?;
                Some((row.name.hash(), open_slot(&slot, secret).ok()?))
            })
            .expect("a slot of this secret")
    }

    pub(crate) fn slot_of(&self, name: &str) -> ObjectHash {
        self.opened(&secret_of(name)).0
    }

    pub(crate) fn exchange_of(&self, secret: &SlotSecret) -> (ObjectHash, Key) {
        let (slot, open) = self.opened(secret);
        (slot, open.exchange)
    }

    pub(crate) fn master_of(&self, secret: &SlotSecret) -> MasterKeys {
        self.opened(secret).1.master
    }

    /// Returns the keys that a slot alone gives, without any grant.
    pub(crate) fn keys_of(&self, secret: &SlotSecret) -> RepositoryKeys {
        let id = LockedRepository::find(self.store.clone(), None).unwrap().id();
        RepositoryKeys::derive(&self.master_of(secret), &id)
    }

    pub(crate) fn objects(&self) -> Vec<ObjectName> {
        self.store.list_all().unwrap().0.into_iter().map(|row| row.name).collect()
    }

    pub(crate) fn stored_bytes(&self) -> u64 {
        self.store.list_all().unwrap().0.iter().map(|row| row.size).sum()
    }

    /// Returns the grants that can be decoded.
    pub(crate) fn grants(&self) -> Vec<(ObjectName, Grant)> {
        let names = self.objects().into_iter().filter(|it| matches!(it, ObjectName::Grant(_)));
        names
            .filter_map(|name| {
                let bytes = self.store.get(&name).unwrap().unwrap();
                Some((name, Grant::decode(&bytes).ok()?))
            })
            .collect()
    }

    /// Returns the records of the last saves, each with its epoch.
    pub(crate) fn newest_records(&self, count: usize) -> Vec<(ObjectName, u32)> {
        let newest = self.saved.iter().rev().take(count);
        newest.map(|(_, name)| (name.clone(), epoch(&self.store, name))).collect()
    }

    /// Sets the store back.
    pub(crate) fn reset(&mut self, objects: &[(ObjectName, Bytes)]) {
        self.inner = Arc::new(InMemory::new());
        self.store = Store::from_object_store(Arc::clone(&self.inner) as _, "scene");
        for (name, bytes) in objects {
            self.store.put(name.clone(), std::slice::from_ref(bytes)).unwrap();
        }
        let listed = self.objects();
        self.saved.retain(|(_, record)| listed.contains(record));
    }

    /// Restores all that was saved, as machines do that have never seen the repository, and compares.
    pub(crate) fn assert_restores(&self, secrets: &[SlotSecret]) {
        for secret in secrets {
            let repository = open_with(&self.store, secret, &LocalFolders::default()).unwrap();
            let entries = repository.cached_snapshots().unwrap();
            for (id, _) in &self.saved {
                let entry = entries.iter().find(|entry| entry.id == *id).unwrap();
                let into = tempfile::tempdir().unwrap();
                let out = restored(&repository, entry, into.path());
                let copy = self.folder.path().join("copies").join(id.to_string());
                assert_contents(&out, &copy);
            }
        }
    }
}

/// Compares files alone: a copy has other times.
fn assert_contents(out: &Path, copy: &Path) {
    let names = |folder: &Path| {
        let mut names: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(out), names(copy));
    for name in names(out) {
        assert!(
            std::fs::read(out.join(&name)).unwrap() == std::fs::read(copy.join(&name)).unwrap()
        );
    }
}

/// Returns the epoch in an object's header.
pub(crate) fn epoch(store: &Store, name: &ObjectName) -> u32 {
    let bytes = store.get(name).unwrap().unwrap();
    u32::from_le_bytes(bytes[12..16].try_into().unwrap())
}
