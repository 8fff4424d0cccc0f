//! A store in memory whose clock a test sets, and machines that share it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt as _};
use object_store::memory::InMemory;
use object_store::path::Path as StorePath;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult,
};
use stash::engine::prune::{PruneOptions, PruneReport, prune};
use stash::error::Result;
use stash::event::{Counters, Silent};
use stash::format::record::{Mark, MarkKind};
use stash::id::SnapshotId;
use stash::repository::log::RecordParts;
use stash::repository::{InitOptions, Repository};
use stash::store::Store;
use stash::time::Timestamp;

use super::{LATER, SECOND, TestClock, backup_options, folders, open, save_with, secret};

/// An hour in nanoseconds.
pub const HOUR: i64 = 3600 * SECOND;

/// A store that says when objects were stored by a clock of its own.
#[derive(Debug)]
pub struct TimedStore {
    inner: InMemory,
    now: Arc<AtomicI64>,
    times: Mutex<HashMap<StorePath, i64>>,
}

impl std::fmt::Display for TimedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("timed store")
    }
}

impl TimedStore {
    fn timed(&self, mut meta: ObjectMeta) -> ObjectMeta {
        let Some(time) = self.times.lock().unwrap().get(&meta.location).copied() else {
            return meta;
        };
        let by = time - meta.last_modified.timestamp_nanos_opt().unwrap();
        let step = Duration::from_nanos(by.unsigned_abs());
        meta.last_modified =
            if by < 0 { meta.last_modified - step } else { meta.last_modified + step };
        meta
    }

    fn all_timed(
        &self,
        rows: BoxStream<'static, StoreResult<ObjectMeta>>,
    ) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        let rows: Vec<_> = super::stores::collect_ready(rows);
        let rows: Vec<_> = rows.into_iter().map(|row| row.map(|meta| self.timed(meta))).collect();
        futures_util::stream::iter(rows).boxed()
    }
}

#[async_trait::async_trait]
impl ObjectStore for TimedStore {
    async fn put_opts(
        &self,
        location: &StorePath,
        payload: PutPayload,
        options: PutOptions,
    ) -> StoreResult<PutResult> {
        let result = self.inner.put_opts(location, payload, options).await?;
        let now = self.now.load(Ordering::SeqCst);
        self.times.lock().unwrap().insert(location.clone(), now);
        Ok(result)
    }

    async fn put_multipart_opts(
        &self,
        location: &StorePath,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &StorePath, options: GetOptions) -> StoreResult<GetResult> {
        let mut result = self.inner.get_opts(location, options).await?;
        result.meta = self.timed(result.meta);
        Ok(result)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, StoreResult<StorePath>>,
    ) -> BoxStream<'static, StoreResult<StorePath>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&StorePath>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.all_timed(self.inner.list(prefix))
    }

    async fn list_with_delimiter(&self, prefix: Option<&StorePath>) -> StoreResult<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(
        &self,
        from: &StorePath,
        to: &StorePath,
        options: CopyOptions,
    ) -> StoreResult<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// A repository in a timed store, and the time.
pub struct World {
    pub folder: tempfile::TempDir,
    pub now: Arc<AtomicI64>,
    pub inner: Arc<TimedStore>,
    pub store: Store,
}

impl World {
    pub fn new() -> World {
        World::with(&InitOptions::default())
    }

    pub fn with(options: &InitOptions) -> World {
        World::at(options, LATER)
    }

    /// Returns one that is made at a moment, in nanoseconds of Unix time.
    pub fn at(options: &InitOptions, moment: i64) -> World {
        let now = Arc::new(AtomicI64::new(moment));
        let inner = Arc::new(TimedStore {
            inner: InMemory::new(),
            now: Arc::clone(&now),
            times: Mutex::default(),
        });
        let store = Store::from_object_store(Arc::clone(&inner) as Arc<dyn ObjectStore>, "timed");
        let folder = tempfile::tempdir().unwrap();
        let slots = [(secret(), "test".to_owned())];
        let places = folders(&folder.path().join("maker"));
        Repository::init(&store, options, &slots, Timestamp(moment), &places).unwrap();
        World { folder, now, inner, store }
    }

    /// Lets time go by, in nanoseconds.
    pub fn pass(&self, nanoseconds: i64) {
        self.now.fetch_add(nanoseconds, Ordering::SeqCst);
    }

    pub fn time(&self) -> i64 {
        self.now.load(Ordering::SeqCst)
    }

    /// Returns a machine; one of the same name goes on where it was.
    pub fn machine(&self, name: &str) -> Machine<'_> {
        self.machine_over(name, &self.store)
    }

    /// Returns a machine that reaches the repository through another store.
    pub fn machine_over(&self, name: &str, store: &Store) -> Machine<'_> {
        let folder = self.folder.path().join(name);
        let repository = open(store, &folders(&folder)).unwrap();
        std::fs::create_dir_all(folder.join("source")).unwrap();
        Machine { world: self, name: name.to_owned(), source: folder.join("source"), repository }
    }

    /// Returns how many bytes are stored.
    pub fn stored_bytes(&self) -> u64 {
        self.store.list_all().unwrap().0.iter().map(|row| row.size).sum()
    }
}

/// One machine with files of its own.
pub struct Machine<'w> {
    pub world: &'w World,
    pub name: String,
    pub source: PathBuf,
    pub repository: Repository,
}

impl Machine<'_> {
    pub fn put(&self, path: &str, bytes: impl AsRef<[u8]>) {
        super::put(&self.source.join(path), bytes);
    }

    /// Backs up, and keeps a copy of what was backed up.
    pub fn save(&self) -> SnapshotId {
        self.try_save().unwrap()
    }

    pub fn try_save(&self) -> Result<SnapshotId> {
        let mut options = backup_options(&[&self.source]);
        options.host.clone_from(&self.name);
        options.always = true;
        let report = save_with(&self.repository, &options, self.world.time())?;
        let id = report.snapshot.unwrap();
        let copy = self.world.folder.path().join("copies").join(id.to_string());
        if !copy.exists() {
            super::copy_folder(&self.source, &copy);
        }
        Ok(id)
    }

    pub fn mark(&self, snapshot: SnapshotId, kind: MarkKind) {
        self.repository.sync().unwrap();
        let marks = vec![Mark { snapshot, kind: kind as u64, ..Mark::default() }];
        let parts = RecordParts { marks, ..RecordParts::default() };
        self.repository.append(parts, Timestamp(self.world.time())).unwrap();
    }

    pub fn forget(&self, snapshot: SnapshotId) {
        self.mark(snapshot, MarkKind::Forget);
    }

    pub fn prune(&self) -> PruneReport {
        self.prune_with(&PruneOptions::default()).unwrap()
    }

    pub fn prune_alone(&self) -> PruneReport {
        self.prune_with(&PruneOptions { alone: true, ..PruneOptions::default() }).unwrap()
    }

    pub fn prune_with(&self, options: &PruneOptions) -> Result<PruneReport> {
        let clock = TestClock(self.world.time());
        prune(&self.repository, options, &clock, &Counters::default(), &Silent)
    }
}

/// Restores snapshots as a machine does that has never seen the repository, and compares them with
/// what was backed up.
pub fn assert_restores(world: &World, snapshots: &[SnapshotId]) {
    let repository = super::open_fresh(&world.store);
    let entries = repository.cached_snapshots().unwrap();
    for id in snapshots {
        let entry = entries
            .iter()
            .find(|entry| entry.id == *id)
            .unwrap_or_else(|| panic!("snapshot {} is not listed", id.short()));
        let into = tempfile::tempdir().unwrap();
        let out = super::restored(&repository, entry, into.path());
        let copy = world.folder.path().join("copies").join(id.to_string());
        assert_same(&copy, &out);
    }
}

fn assert_same(expected: &Path, found: &Path) {
    let mut names: Vec<_> =
        std::fs::read_dir(expected).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let mut others: Vec<_> =
        std::fs::read_dir(found).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    others.sort();
    assert_eq!(names, others, "{}", found.display());
    for name in names {
        let (expected, found) = (expected.join(&name), found.join(&name));
        if expected.is_dir() {
            assert_same(&expected, &found);
        } else {
            assert!(
                std::fs::read(&expected).unwrap() == std::fs::read(&found).unwrap(),
                "{} differs",
                found.display()
            );
        }
    }
}
