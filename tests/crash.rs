//! A backup that is killed at any moment loses nothing that was saved, and the next run goes on
//! from what is durable.
//!
//! The victim is a process of its own: this test binary, started again with the name of
//! [`victim`]. It runs a real backup with real threads on a real folder, through a store that sends
//! SIGKILL to its own process at the k-th call, before or after the call was carried out.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops where things are not as they should be"
)]

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::stream::{BoxStream, StreamExt as _};
use object_store::local::LocalFileSystem;
use object_store::path::Path as StorePath;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult,
};
use stash::codec::Compression;
use stash::codec::crypto::{Key, SlotSecret};
use stash::engine::backup::{AgentSources, BackupOptions, BackupReport, backup};
use stash::engine::restore::{Destination, Overwrite, PathFilter, RestoreOptions, restore};
use stash::event::{Counters, Silent};
use stash::files::{ApplyOptions, ExcludeOptions, Excludes};
use stash::repository::snapshots::SnapshotFilter;
use stash::repository::{InitOptions, LocalFolders, LockedRepository, Repository};
use stash::store::Store;
use stash::time::{Clock, Timestamp};

/// Kills its own process at the `fatal` call.
#[derive(Debug)]
struct DeadlyStore {
    inner: LocalFileSystem,
    calls: AtomicU64,
    fatal: u64,
    after: bool,
}

impl std::fmt::Display for DeadlyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("deadly store")
    }
}

fn die() -> ! {
    let own = rustix::process::getpid();
    let _sent = rustix::process::kill_process(own, rustix::process::Signal::KILL);
    unreachable!("a process survived SIGKILL")
}

impl DeadlyStore {
    fn enter(&self) -> bool {
        let is_fatal = self.calls.fetch_add(1, Ordering::SeqCst) + 1 == self.fatal;
        if is_fatal && !self.after {
            die();
        }
        is_fatal
    }

    fn leave(is_fatal: bool) {
        if is_fatal {
            die();
        }
    }
}

#[async_trait::async_trait]
impl ObjectStore for DeadlyStore {
    async fn put_opts(
        &self,
        location: &StorePath,
        payload: PutPayload,
        options: PutOptions,
    ) -> StoreResult<PutResult> {
        let is_fatal = self.enter();
        let result = self.inner.put_opts(location, payload, options).await;
        Self::leave(is_fatal);
        result
    }

    async fn put_multipart_opts(
        &self,
        location: &StorePath,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &StorePath, options: GetOptions) -> StoreResult<GetResult> {
        let is_fatal = self.enter();
        let result = self.inner.get_opts(location, options).await;
        Self::leave(is_fatal);
        result
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, StoreResult<StorePath>>,
    ) -> BoxStream<'static, StoreResult<StorePath>> {
        let is_fatal = self.enter();
        let deleted = self.inner.delete_stream(locations);
        deleted.inspect(move |_| Self::leave(is_fatal)).boxed()
    }

    fn list(&self, prefix: Option<&StorePath>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        let is_fatal = self.enter();
        let result = self.inner.list(prefix);
        Self::leave(is_fatal);
        result
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

struct TestClock(i64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0)
    }
    fn boot_nanoseconds(&self) -> i64 {
        self.0
    }
}

fn secret() -> SlotSecret {
    SlotSecret::Device(Key([9; 32]))
}

fn folders(base: &Path) -> LocalFolders {
    LocalFolders { cache: Some(base.join("cache")), state: Some(base.join("state")) }
}

fn open(base: &Path, store: Store) -> Repository {
    let repository =
        LockedRepository::find(store, None).unwrap().unlock(&secret(), &folders(base)).unwrap();
    repository.sync().unwrap();
    repository
}

fn real_store(base: &Path) -> Store {
    Store::folder(&base.join("repo"), true).unwrap()
}

fn run(repository: &Repository, source: &Path, now: i64) -> stash::error::Result<BackupReport> {
    let options = BackupOptions {
        paths: vec![source.to_owned()],
        agents: AgentSources::default(),
        excludes: Arc::new(Excludes::new(&ExcludeOptions::default()).unwrap()),
        host: "test".into(),
        user: "test".into(),
        job: "test".into(),
        tags: Vec::new(),
        time: None,
        offset_minutes: 0,
        force: false,
        always: false,
        is_safety: false,
        dry_run: false,
        compression: Compression::Fast,
        threads: 3,
        check_databases_after: None,
        observer: None,
        temporary_folder: std::env::temp_dir(),
    };
    backup(repository, &options, &TestClock(now), &Counters::default(), &Silent)
}

fn restored(repository: &Repository, snapshot: usize, into: &Path) -> PathBuf {
    let entries = repository.snapshots(&SnapshotFilter::default()).unwrap();
    let options = RestoreOptions {
        destination: Destination::Folder(into.to_owned()),
        path: Vec::new(),
        filter: PathFilter::default(),
        overwrite: Overwrite::default(),
        keeps_longer: false,
        delete: false,
        verify: true,
        salvage: false,
        with_absent: false,
        dry_run: false,
        apply: ApplyOptions::default(),
        threads: 2,
    };
    let snapshot = &entries[snapshot].snapshot;
    let report = restore(repository, snapshot, &options, &Counters::default(), &Silent).unwrap();
    assert_eq!((report.failed, report.metadata_failed), (0, 0));
    into.join("source")
}

fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                found.push((path.strip_prefix(folder).unwrap().to_owned(), bytes));
            }
        }
    }
    found.sort();
    found
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Writes the tree's second state, most of which is new: enough for several packs.
fn edit(source: &Path) {
    for number in 0..44_u64 {
        let file = source.join(format!("dir{}/large{number}", number % 5));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, noise(number, 1 << 20)).unwrap();
    }
    std::fs::write(source.join("kept"), b"changed").unwrap();
}

fn begin(base: &Path) {
    let source = base.join("source");
    std::fs::create_dir_all(source.join("dir1")).unwrap();
    std::fs::write(source.join("kept"), b"first").unwrap();
    std::fs::write(source.join("dir1/blob"), noise(999, 300_000)).unwrap();
    let slots = [(secret(), "test".to_owned())];
    let store = real_store(base);
    let options = InitOptions::default();
    let repository =
        Repository::init(&store, &options, &slots, Timestamp(1), &folders(base)).unwrap();
    run(&repository, &source, 1_000).unwrap();
    edit(&source);
}

/// Not a test by itself: the process that gets killed. Does nothing unless started by one below.
#[test]
fn victim() {
    let Ok(plan) = std::env::var("STASH_TEST_VICTIM") else { return };
    let (base, rest) = plan.rsplit_once('|').unwrap();
    let (fatal, after) = rest.split_once(' ').unwrap();
    let base = Path::new(base);
    let store = DeadlyStore {
        inner: LocalFileSystem::new_with_prefix(base.join("repo")).unwrap(),
        calls: AtomicU64::new(0),
        fatal: fatal.parse().unwrap(),
        after: after == "after",
    };
    let repository = open(base, Store::from_object_store(Arc::new(store), "victim"));
    run(&repository, &base.join("source"), 2_000).unwrap();
}

#[test]
fn a_backup_killed_at_any_store_call_loses_nothing_and_the_next_run_goes_on() {
    let mut killed = 0;
    for after in ["before", "after"] {
        for fatal in 1.. {
            let folder = tempfile::tempdir().unwrap();
            let base = folder.path();
            begin(base);
            let status = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "victim", "--test-threads=1"])
                .env("STASH_TEST_VICTIM", format!("{}|{fatal} {after}", base.display()))
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .status()
                .unwrap();
            let was_killed = status.signal() == Some(9);
            assert!(was_killed || status.success(), "call {fatal} {after}: {status}");
            killed += u32::from(was_killed);
            check_afterwards(base);
            if !was_killed {
                break;
            }
        }
    }
    assert!(killed > 20, "only {killed} moments were tried");
}

fn other_secret() -> SlotSecret {
    SlotSecret::Device(Key([8; 32]))
}

fn left_out_secret() -> SlotSecret {
    SlotSecret::Device(Key([7; 32]))
}

/// Not a test by itself, like [`victim`].
#[test]
fn rotator() {
    let Ok(plan) = std::env::var("STASH_TEST_ROTATOR") else { return };
    let (base, rest) = plan.rsplit_once('|').unwrap();
    let (fatal, after) = rest.split_once(' ').unwrap();
    let base = Path::new(base);
    let store = DeadlyStore {
        inner: LocalFileSystem::new_with_prefix(base.join("repo")).unwrap(),
        calls: AtomicU64::new(0),
        fatal: fatal.parse().unwrap(),
        after: after == "after",
    };
    let repository = open(base, Store::from_object_store(Arc::new(store), "rotator"));
    let slots = repository.key_slots().unwrap();
    let leave = slots.iter().find(|slot| slot.label == "left out").unwrap();
    let plan = repository.plan_rotation(&[leave.id]).unwrap();
    repository.rotate(&plan, Timestamp(2_000)).unwrap();
}

#[test]
fn a_rotation_killed_at_any_store_call_shuts_nobody_out() {
    let mut killed = 0;
    for after in ["before", "after"] {
        for fatal in 1.. {
            let folder = tempfile::tempdir().unwrap();
            let base = folder.path();
            begin_with_holders(base);
            let status = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "rotator", "--test-threads=1"])
                .env("STASH_TEST_ROTATOR", format!("{}|{fatal} {after}", base.display()))
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .status()
                .unwrap();
            let was_killed = status.signal() == Some(9);
            assert!(was_killed || status.success(), "call {fatal} {after}: {status}");
            killed += u32::from(was_killed);
            check_holders(base);
            if !was_killed {
                break;
            }
        }
    }
    assert!(killed > 20, "only {killed} moments were tried");
}

fn begin_with_holders(base: &Path) {
    let source = base.join("source");
    std::fs::create_dir_all(&source).unwrap();
    std::fs::write(source.join("first"), noise(1, 300_000)).unwrap();
    let slots = [
        (secret(), "test".to_owned()),
        (other_secret(), "other".to_owned()),
        (left_out_secret(), "left out".to_owned()),
    ];
    let (store, options) = (real_store(base), InitOptions::default());
    let repository =
        Repository::init(&store, &options, &slots, Timestamp(1), &folders(base)).unwrap();
    run(&repository, &source, 1_000).unwrap();
}

/// Both who keep their keys save in turn, and each reads what the other saved; so they do once the
/// rotation is done again.
fn check_holders(base: &Path) {
    let source = base.join("source");
    let other = base.join("other");
    let mut now = 3_000;
    for round in 0..2 {
        for (name, secret, place) in
            [("a", secret(), base), ("b", other_secret(), &*other), ("c", secret(), base)]
        {
            let repository = LockedRepository::find(real_store(base), None)
                .unwrap()
                .unlock(&secret, &folders(place))
                .unwrap();
            repository.sync().unwrap();
            std::fs::write(source.join(format!("{name}{round}")), noise(now, 300_000)).unwrap();
            now += 1_000;
            run(&repository, &source, i64::try_from(now).unwrap()).unwrap();
        }
        for secret in [secret(), other_secret()] {
            let folder = tempfile::tempdir().unwrap();
            let repository = LockedRepository::find(real_store(base), None)
                .unwrap()
                .unlock(&secret, &folders(folder.path()))
                .unwrap();
            assert!(repository.sync().unwrap().damaged.is_empty());
            let last = repository.snapshots(&SnapshotFilter::default()).unwrap().len() - 1;
            let out = restored(&repository, last, &folder.path().join("out"));
            assert_eq!(contents(&out), contents(&source));
        }
        let repository = open(base, real_store(base));
        let plan = repository.plan_rotation(&[]).unwrap();
        repository.rotate(&plan, Timestamp(i64::try_from(now).unwrap())).unwrap();
    }
}

fn check_afterwards(base: &Path) {
    let source = base.join("source");
    let durable = folder_bytes(&base.join("repo/packs"));
    let repository = open(base, real_store(base));
    // What had been saved before the crash is as it was.
    let first = restored(&repository, 0, &base.join("out-first"));
    assert_eq!(
        contents(&first),
        [
            (PathBuf::from("dir1/blob"), noise(999, 300_000)),
            (PathBuf::from("kept"), b"first".to_vec())
        ]
    );
    run(&repository, &source, 3_000).unwrap();
    drop(repository);
    // A machine that has only the repository sees the same.
    let elsewhere = tempfile::tempdir().unwrap();
    let store = real_store(base);
    let repository = LockedRepository::find(store, None)
        .unwrap()
        .unlock(&secret(), &folders(elsewhere.path()))
        .unwrap();
    assert!(repository.sync().unwrap().damaged.is_empty());
    let last = repository.snapshots(&SnapshotFilter::default()).unwrap().len() - 1;
    let second = restored(&repository, last, &base.join("out-second"));
    assert_eq!(contents(&second), contents(&source));
    // 44 MiB that can't be compressed: had anything durable been stored again, it would show.
    let stored = folder_bytes(&base.join("repo/packs"));
    assert!(stored < (46 << 20), "{stored} bytes stored, {durable} were durable before");
}

fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .map(|entry| {
            let entry = entry.unwrap();
            let is_staging = entry.file_name().to_string_lossy().contains('#');
            match entry.metadata().unwrap() {
                metadata if metadata.is_dir() => folder_bytes(&entry.path()),
                metadata if !is_staging => metadata.len(),
                _ => 0,
            }
        })
        .sum()
}
