//! The edge to object storage: typed names, ranges, lists, and the proof that an object is durable.
//!
//! Everything goes through `object_store`. This is the only room with futures in it; it offers
//! blocking calls that may be made from any thread (`calls`): a folder's run on the caller's thread,
//! a remote store's (`remote`) on a runtime of two threads.
//! Objects are named by the hash of their bytes, so the answer "already exists", which is also what
//! comes when a reply was lost and the request was sent again, is settled by reading the object back.
//! A request that never got an answer is a failure; the next run finds what arrived all the same.

mod ahead;
mod calls;
mod clock;
mod copies;
mod deletion;
mod failure;
mod folder;
#[cfg(feature = "git")]
mod git;
mod listing;
mod name;
mod nowhere;
mod objects;
mod remote;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use object_store::ObjectStore;
use object_store::memory::InMemory;

pub use ahead::InOrder;
pub use deletion::DeletePermit;
#[cfg(feature = "git")]
pub use git::{GIT_BRANCH, GITHUB_API, GitOptions, GithubRepository};
pub use listing::{Listed, Prefix};
pub use name::{LOCK_FILE, ObjectName, RecordName};
pub use remote::{
    Credentials, Learned, Probe, ProbeStep, Provider, RemoteOptions, RemotePlace, Service, host_of,
    is_this_computer,
};

use copies::Copies;
use objects::Creation;

use crate::error::Result;

/// Proof that something is in the store and stays there. Only [`Store::put`] and
/// [`Store::find`] make one.
#[derive(Debug, Clone)]
pub struct Durable<T>(T);

impl<T> Durable<T> {
    /// Returns what is durable.
    pub fn get(&self) -> &T {
        &self.0
    }

    /// Takes what is durable out of the proof.
    pub fn into_inner(self) -> T {
        self.0
    }

    /// Passes the proof on to what follows from it.
    pub fn map<U>(self, follow: impl FnOnce(T) -> U) -> Durable<U> {
        Durable(follow(self.0))
    }
}

/// A store. Cloning it gives another handle to the same store.
#[derive(Clone)]
pub struct Store {
    inner: Arc<dyn ObjectStore>,
    description: Arc<str>,
    grid: u64,
    folder: Option<Arc<Path>>,
    is_remote: bool,
    creation: Arc<Creation>,
    /// Whether calls made side by side share a way to the server: then more of them are.
    gathers: bool,
    copies: Option<Arc<Copies>>,
    remote: Option<Arc<remote::Remote>>,
    /// How long a record is sent again while what refuses it may pass.
    record_patience: Duration,
    /// Whether it has refused to delete something.
    refuses_deletion: Arc<AtomicBool>,
}

impl Store {
    /// Returns a store that lives in memory.
    pub fn memory() -> Store {
        Store::from_object_store(Arc::new(InMemory::new()), "memory")
    }

    /// Wraps a store that answers without a runtime of its own, such as one that a test wraps.
    pub fn from_object_store(inner: Arc<dyn ObjectStore>, description: &str) -> Store {
        Store {
            inner,
            description: description.into(),
            grid: 1,
            folder: None,
            is_remote: false,
            creation: Arc::new(Creation::new(true)),
            gathers: false,
            copies: None,
            remote: None,
            record_patience: Duration::ZERO,
            refuses_deletion: Arc::default(),
        }
    }

    /// Says that every byte read from this store is a byte over a network.
    #[must_use]
    pub fn remote(self) -> Store {
        Store { is_remote: true, ..self }
    }

    /// Returns whether every byte read is a byte over a network.
    pub fn is_remote(&self) -> bool {
        self.is_remote
    }

    /// Returns how many threads should read side by side where `threads` would for a near store: over
    /// a network most of the time goes by waiting.
    pub fn readers(&self, threads: usize) -> usize {
        if self.is_remote { threads.max(6) } else { threads }
    }

    /// Returns how many calls to make side by side where `usual` would be for most stores.
    fn side_by_side(&self, usual: usize) -> usize {
        if self.gathers { 1000 } else { usual }
    }

    /// Keeps copies of what is stored from now on in a folder of this machine, `most_bytes` of them.
    #[must_use]
    pub fn with_copies(self, folder: &Path, most_bytes: u64) -> Store {
        Store { copies: Copies::open(folder, most_bytes).map(Arc::new), ..self }
    }

    /// Sends records to a remote store again for so long (page 8, rule 11): all that was uploaded
    /// before would else be for nothing.
    #[must_use]
    pub fn with_record_patience(self, patience: Duration) -> Store {
        Store { record_patience: patience, ..self }
    }

    /// Removes copies of objects that are deleted, or are about to be.
    pub fn drop_copies<'h>(&self, objects: impl Iterator<Item = &'h crate::id::ObjectHash>) {
        if let Some(copies) = &self.copies {
            objects.for_each(|hash| copies.remove(hash));
        }
    }

    /// Returns the bytes of an object from `start` to `end` without a network: from the store if it
    /// is near, or from a copy. `None` if they are not at hand.
    pub fn get_near(&self, name: &ObjectName, start: u64, end: u64) -> Result<Option<Bytes>> {
        if !self.is_remote {
            return self.get_range(name, start, end);
        }
        let copies = self.copies.as_ref();
        Ok(copies.and_then(|copies| copies.read(name, start, end)).map(Bytes::from))
    }

    /// Returns the place, as people are shown it; never with a secret in it.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Returns the grid, in bytes, to which range reads are widened; 1 where nobody watches.
    pub fn grid(&self) -> u64 {
        self.grid
    }
}

fn path_of(name: &ObjectName) -> object_store::path::Path {
    object_store::path::Path::from(name.to_string())
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes its own leftovers")]
mod tests {
    use super::*;
    use crate::codec::crypto::object_hash;
    use crate::error::Kind;
    use crate::id::LaneId;

    fn rows(listed: &[Listed]) -> Vec<(ObjectName, u64)> {
        listed.iter().map(|row| (row.name.clone(), row.size)).collect()
    }

    fn both() -> Vec<(Store, Option<tempfile::TempDir>)> {
        let folder = tempfile::tempdir().unwrap();
        vec![
            (Store::memory(), None),
            (Store::folder(&folder.path().join("new"), true).unwrap(), Some(folder)),
        ]
    }

    #[test]
    fn what_is_put_is_read_listed_and_cut_into_ranges() {
        for (store, _guard) in both() {
            let parts = [Bytes::from_static(b"hello "), Bytes::from_static(b"world")];
            let name = ObjectName::Pack(object_hash(b"hello world"));
            assert_eq!(store.get(&name).unwrap(), None);
            store.put(name.clone(), &parts).unwrap();
            assert_eq!(store.get(&name).unwrap().unwrap(), "hello world");
            assert_eq!(store.get_range(&name, 6, 11).unwrap().unwrap(), "world");
            assert_eq!(store.get_tail(&name, 3).unwrap().unwrap(), "rld");
            assert_eq!(store.get_range(&name, 11, 20).unwrap().unwrap(), "");
            assert_eq!(store.get_range(&name, 500, 501).unwrap().unwrap(), "");
            assert_eq!(store.size(&name).unwrap(), Some(11));
            assert_eq!(rows(&store.list(Prefix::Packs).unwrap()), [(name.clone(), 11)]);
            // The same again is no error; other bytes under the name are.
            store.put(name.clone(), &parts).unwrap();
            let foreign = ObjectName::Pack(object_hash(b"x"));
            store.put(foreign.clone(), &[Bytes::from_static(b"y")]).unwrap();
            assert_eq!(store.put(foreign.clone(), &parts).unwrap_err().kind(), Kind::Damaged);
            // What is wrong in its place may be replaced by what belongs there, and by nothing else.
            assert!(store.put_back(foreign.clone(), Bytes::from_static(b"z")).is_err());
            store.put_back(foreign.clone(), Bytes::from_static(b"x")).unwrap();
            assert_eq!(store.get(&foreign).unwrap().unwrap(), "x");
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a stranger's file")]
    fn a_full_listing_tells_objects_from_what_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::folder(folder.path(), false).unwrap();
        let name = ObjectName::Pack(object_hash(b"x"));
        store.put(name.clone(), &[Bytes::from_static(b"x")]).unwrap();
        std::fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        std::fs::write(folder.path().join(LOCK_FILE), "").unwrap();
        let (objects, others) = store.list_all().unwrap();
        assert_eq!(rows(&objects), [(name, 1)]);
        assert_eq!(others, ["notes.txt"]);
    }

    #[test]
    fn leftovers_of_a_dead_writer_go_when_they_are_old_and_objects_never() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::folder(folder.path(), true).unwrap();
        let name = ObjectName::Pack(object_hash(b"x"));
        store.put(name.clone(), &[Bytes::from_static(b"x")]).unwrap();
        let leftover = folder.path().join(format!("{name}#1"));
        std::fs::write(&leftover, b"half").unwrap();
        let hour = Duration::from_hours(1);
        assert_eq!(store.remove_staging(&name, hour), 0);
        let old = std::time::SystemTime::now() - 2 * hour;
        std::fs::File::options().write(true).open(&leftover).unwrap().set_modified(old).unwrap();
        assert_eq!(store.remove_staging(&name, hour), 1);
        assert!(!leftover.exists());
        assert_eq!(store.get(&name).unwrap().unwrap(), "x");
    }

    #[test]
    fn a_missing_folder_is_no_repository() {
        let folder = tempfile::tempdir().unwrap();
        let error = Store::folder(&folder.path().join("none"), false).err().unwrap();
        assert_eq!(error.kind(), Kind::NoRepository);
    }

    #[test]
    fn listing_goes_by_kind_by_lane_and_from_a_name_on() {
        for (store, _folder) in both() {
            let record = |global, lane, sequence| {
                let name = RecordName {
                    global,
                    lane: LaneId([lane; 16]),
                    sequence,
                    kind: "snapshot".into(),
                    hash: object_hash(&[u8::from(global), lane, u8::try_from(sequence).unwrap()]),
                };
                ObjectName::Record(name)
            };
            let own: Vec<_> = (1..=20).map(|sequence| record(false, 1, sequence)).collect();
            let (other, global) = (record(false, 2, 1), record(true, 1, 7));
            for name in own.iter().chain([&other, &global]) {
                store.put(name.clone(), &[Bytes::from_static(b"x")]).unwrap();
            }
            let names = |rows: Vec<Listed>| -> Vec<ObjectName> {
                rows.into_iter().map(|row| row.name).collect()
            };
            let lane = Prefix::Lane(LaneId([1; 16]));
            assert_eq!(names(store.list(lane).unwrap()), own);
            assert_eq!(names(store.list(Prefix::GlobalLog).unwrap()), [global]);
            assert_eq!(names(store.list_after(lane, &own[16]).unwrap()), own[17..]);
            assert_eq!(names(store.list_after(lane, &own[19]).unwrap()), []);
            assert_eq!(store.list(Prefix::Log).unwrap().len(), 22);
        }
    }

    #[test]
    fn a_listing_says_when_an_object_was_stored() {
        for (store, _folder) in both() {
            let name = ObjectName::Pack(object_hash(b"x"));
            let before = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
            store.put(name, &[Bytes::from_static(b"x")]).unwrap();
            let modified = store.list(Prefix::Packs).unwrap()[0].modified.0;
            let age = i128::from(modified) - i128::try_from(before).unwrap();
            assert!(age.abs() < 10_000_000_000, "{age}");
        }
    }

    #[test]
    fn what_is_deleted_is_gone_and_what_was_gone_is_no_error() {
        for (store, _folder) in both() {
            let names: Vec<_> =
                (0..40_u8).map(|byte| ObjectName::Pack(object_hash(&[byte]))).collect();
            for (byte, name) in (0..30_u8).zip(&names) {
                store.put(name.clone(), &[Bytes::from(vec![byte])]).unwrap();
            }
            store.delete(DeletePermit::issue(names[0].clone())).unwrap();
            store.delete(DeletePermit::issue(names[0].clone())).unwrap();
            let permits = names[10..].iter().cloned().map(DeletePermit::issue).collect();
            let gone = store.delete_all(permits);
            assert!(gone.iter().map(|(name, _)| name).eq(&names[10..]));
            assert!(gone.iter().all(|(_, result)| result.is_ok()));
            assert_eq!(store.list(Prefix::Packs).unwrap().len(), 9);
        }
    }
}
