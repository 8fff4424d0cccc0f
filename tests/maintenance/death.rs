//! A machine that dies while it cleans up, at each call of the store: nothing is lost, and the next
//! one goes on.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::stream::{BoxStream, StreamExt as _};
use object_store::local::LocalFileSystem;
use object_store::path::Path as StorePath;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult,
};
use stash::engine::maintenance::{Maintained, MaintenanceOptions, maintain};
use stash::event::{Counters, Silent};
use stash::id::SnapshotId;
use stash::repository::log::RecordParts;
use stash::repository::{InitOptions, Repository};
use stash::store::Store;
use stash::time::Timestamp;

use crate::ALL;
use crate::common_engine::timed::{HOUR, Machine, World, assert_restores};
use crate::common_engine::{
    TestClock, folders, latest, noise, open, open_fresh, put, restored, save, secret, snapshots,
};

/// Of the k-th call on nothing is done any more; or the whole process is killed.
struct Mortal {
    inner: Arc<dyn ObjectStore>,
    calls: AtomicU64,
    fatal: u64,
    kills: bool,
}

impl std::fmt::Debug for Mortal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("mortal")
    }
}

impl std::fmt::Display for Mortal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("mortal store")
    }
}

fn dead() -> Error {
    Error::Generic { store: "mortal", source: "the machine is dead".into() }
}

impl Mortal {
    fn new(inner: Arc<dyn ObjectStore>, fatal: u64, kills: bool) -> Arc<Mortal> {
        Arc::new(Mortal { inner, calls: AtomicU64::new(0), fatal, kills })
    }

    fn enter(&self) -> StoreResult<()> {
        if self.calls.fetch_add(1, Ordering::SeqCst) + 1 < self.fatal {
            return Ok(());
        }
        if self.kills {
            let own = rustix::process::getpid();
            let _sent = rustix::process::kill_process(own, rustix::process::Signal::KILL);
        }
        Err(dead())
    }

    fn has_died(&self) -> bool {
        self.calls.load(Ordering::SeqCst) >= self.fatal
    }
}

#[async_trait::async_trait]
impl ObjectStore for Mortal {
    async fn put_opts(
        &self,
        location: &StorePath,
        payload: PutPayload,
        options: PutOptions,
    ) -> StoreResult<PutResult> {
        self.enter()?;
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &StorePath,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &StorePath, options: GetOptions) -> StoreResult<GetResult> {
        self.enter()?;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, StoreResult<StorePath>>,
    ) -> BoxStream<'static, StoreResult<StorePath>> {
        match self.enter() {
            Ok(()) => self.inner.delete_stream(locations),
            Err(error) => futures_util::stream::iter([Err(error)]).boxed(),
        }
    }

    fn list(&self, prefix: Option<&StorePath>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        match self.enter() {
            Ok(()) => self.inner.list(prefix),
            Err(error) => futures_util::stream::iter([Err(error)]).boxed(),
        }
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

fn clean(repository: &Repository, options: &MaintenanceOptions, now: i64) -> Maintained {
    let (counters, stop) = (Counters::default(), AtomicBool::new(false));
    maintain(repository, ALL, options, &TestClock(now), &counters, &stop, &Silent).unwrap()
}

/// Thirty-six records to be covered, and something to be freed; returns what must stay.
fn clutter(world: &World) -> Vec<SnapshotId> {
    let machine = world.machine("one");
    machine.put("only-first", noise(100, 600_000));
    let first = machine.save();
    machine.put("only-first", noise(101, 600_000));
    let mut kept = vec![machine.save()];
    for number in 0..34 {
        machine.put("small", noise(number, 3_000));
        let id = machine.save();
        if number % 2 == 0 { machine.forget(id) } else { kept.push(id) }
    }
    machine.forget(first);
    world.pass(74 * HOUR);
    kept
}

#[test]
fn a_machine_that_dies_at_any_call_loses_nothing_where_others_write_too() {
    let mut deaths = 0;
    let mut fatal = 1;
    loop {
        let world = World::new();
        let kept = clutter(&world);
        let mut has_died = false;
        // Once what is condemned, and later what is swept.
        for _ in 0..2 {
            let mortal = Mortal::new(Arc::clone(&world.inner) as _, fatal, false);
            let store = Store::from_object_store(Arc::clone(&mortal) as _, "mortal");
            let places = folders(&world.folder.path().join("one"));
            if let Ok(repository) = open(&store, &places) {
                clean(&repository, &MaintenanceOptions::default(), world.time());
            }
            has_died |= mortal.has_died();
            assert_restores(&world, &kept);
            world.pass(74 * HOUR);
        }
        deaths += u64::from(has_died);
        let machine: Machine<'_> = world.machine("one");
        for _ in 0..3 {
            let result = clean(&machine.repository, &MaintenanceOptions::default(), world.time());
            assert!(matches!(result, Maintained::Done(_)), "call {fatal}: {result:?}");
            world.pass(74 * HOUR);
        }
        assert_restores(&world, &kept);
        assert!(world.stored_bytes() < 1_100_000, "call {fatal}: {} bytes", world.stored_bytes());
        if !has_died {
            break;
        }
        // A step that shares no factor with the number of calls for one object.
        fatal += 7;
    }
    assert!(deaths > 15, "only {deaths} moments were tried");
}

fn real_store(base: &Path) -> Store {
    Store::folder(&base.join("repository"), true).unwrap()
}

fn now() -> i64 {
    i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos()).unwrap()
}

/// Not a test by itself: the process that gets killed. Does nothing unless started by the one below.
#[test]
fn victim() {
    let Ok(plan) = std::env::var("STASH_TEST_MAINTENANCE_VICTIM") else { return };
    let (base, fatal) = plan.rsplit_once('|').unwrap();
    let base = Path::new(base);
    let inner = LocalFileSystem::new_with_prefix(base.join("repository")).unwrap();
    let mortal = Mortal::new(Arc::new(inner), fatal.parse().unwrap(), true);
    let store = Store::from_object_store(mortal, "victim");
    let repository = open(&store, &folders(base)).unwrap();
    let result = clean(&repository, &crate::alone(), now());
    assert!(matches!(result, Maintained::Done(_)), "{result:?}");
}

/// A repository on this disk whose history is four days old, with something to be freed.
fn begin(base: &Path) {
    let begun = now() - 100 * HOUR;
    let slots = [(secret(), "test".to_owned())];
    let (store, places) = (real_store(base), folders(base));
    let options = InitOptions { flags: 1, ..InitOptions::default() };
    let repository = Repository::init(&store, &options, &slots, Timestamp(begun), &places).unwrap();
    let source = base.join("source");
    for number in 0..36 {
        put(&source.join("small"), noise(number, 3_000));
        put(&source.join("large"), noise(1000 + number / 12, 500_000));
        save(&repository, &source, begun + number as i64).unwrap();
    }
    let marks = snapshots(&repository)
        .iter()
        .take(20)
        .map(|entry| stash::engine::mark::mark(entry, stash::format::record::MarkKind::Forget))
        .collect();
    let parts = RecordParts { marks, ..RecordParts::default() };
    repository.append(parts, Timestamp(begun + HOUR)).unwrap();
}

#[test]
fn a_process_killed_while_it_cleans_up_alone_loses_nothing_and_the_next_run_goes_on() {
    let mut killed = 0;
    let mut fatal = 1;
    loop {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path();
        begin(base);
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "death::victim", "--test-threads=1"])
            .env("STASH_TEST_MAINTENANCE_VICTIM", format!("{}|{fatal}", base.display()))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()
            .unwrap();
        let was_killed = status.signal() == Some(9);
        assert!(was_killed || status.success(), "call {fatal}: {status}");
        killed += u32::from(was_killed);
        check_afterwards(base, fatal);
        if !was_killed {
            break;
        }
        fatal += 9;
    }
    assert!(killed > 10, "only {killed} moments were tried");
}

fn check_afterwards(base: &Path, fatal: u64) {
    let repository = open(&real_store(base), &folders(base)).unwrap();
    let result = clean(&repository, &crate::alone(), now());
    assert!(matches!(result, Maintained::Done(_)), "call {fatal}: {result:?}");
    drop(repository);
    let fresh = open_fresh(&real_store(base));
    assert_eq!(snapshots(&fresh).len(), 16, "call {fatal}");
    for entry in snapshots(&fresh) {
        let into = tempfile::tempdir().unwrap();
        restored(&fresh, &entry, into.path());
    }
    let into = tempfile::tempdir().unwrap();
    let out = restored(&fresh, &latest(&fresh), into.path());
    assert_eq!(std::fs::read(out.join("small")).unwrap(), noise(35, 3_000), "call {fatal}");
    let bytes: u64 = fresh.store().list_all().unwrap().0.iter().map(|row| row.size).sum();
    assert!(bytes < 1_300_000, "call {fatal}: {bytes} bytes stay");
}
