//! A git remote as a store, over each way to one.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use stash::codec::crypto::object_hash;
use stash::error::Kind;
use stash::repository::{InitOptions, Repository};
use stash::store::{GitOptions, ObjectName, Prefix, Store};
use stash::time::{Clock, Timestamp};

use crate::common_engine::timed::{HOUR, World, assert_restores};
use crate::common_engine::{folders, noise, open_fresh, secret, snapshots};
use crate::git_servers::{Sshd, Web, bare, collected, git, open};
use crate::scene::{Machine, git_options};

/// A clock that a test sets.
struct SetClock(Arc<AtomicI64>);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
    fn boot_nanoseconds(&self) -> i64 {
        self.now().0
    }
}

pub(crate) fn store_pack(store: &Store, bytes: &[u8]) -> stash::error::Result<ObjectName> {
    let name = ObjectName::Pack(object_hash(bytes));
    store.put(name.clone(), &[Bytes::copy_from_slice(bytes)]).map(|_| name)
}

/// Holds that the branch is one commit without a history, in a repository that git finds whole.
pub(crate) fn assert_one_commit(bare: &Path) {
    assert_eq!(git(bare, &["rev-list", "--count", "refs/heads/stash"]), "1");
    git(bare, &["fsck", "--strict", "--no-dangling"]);
}

/// Makes, changes, restores and checks a repository, frees space in it, and goes on.
fn whole_life(url: &str, bare: &Path, options: &GitOptions, with_prune: bool) {
    let now = Arc::new(AtomicI64::new(crate::common_engine::LATER));
    let mut options = options.clone();
    if with_prune {
        options.clock = Arc::new(SetClock(Arc::clone(&now)));
    }
    let mut world = World::new();
    world.now = now;
    let store = open(url, &options).unwrap();
    let slots = [(secret(), "test".to_owned())];
    let places = folders(&world.folder.path().join("maker"));
    let at = Timestamp(world.time());
    drop(Repository::init(&store, &InitOptions::default(), &slots, at, &places).unwrap());
    world.store = store.clone();
    let machine = world.machine_over("one", &store);
    for number in 0..6 {
        machine.put(&format!("shared/{number}"), noise(number, 300_000));
    }
    machine.put("only-first", noise(100, 20_000_000));
    let first = machine.save();
    std::fs::remove_file(machine.source.join("only-first")).unwrap();
    machine.put("only-second", noise(101, 2_000_000));
    world.pass(HOUR);
    let second = machine.save();
    // Another computer, which has nothing of this yet.
    let fresh = open(url, &options).unwrap();
    assert_eq!(snapshots(&open_fresh(&fresh)).len(), 2);
    assert_restores(&world, &[first, second]);
    Machine::assert_sound(&fresh, url);
    assert_one_commit(bare);
    let before = collected(bare);
    assert!(before > 23_000_000, "{before}");
    if with_prune {
        machine.forget(first);
        let report = machine.prune_alone();
        assert!(report.deleted_bytes > 19_000_000, "{report:?}");
        let after = collected(bare);
        assert!(after < before - 19_000_000, "{before} to {after}");
        // The clone that had read before sees what is there now.
        let other = World { store: fresh, ..World::new() };
        other.now.store(world.time(), Ordering::SeqCst);
        assert_eq!(snapshots(&open_fresh(&other.store)).len(), 1);
    }
    machine.put("third", noise(102, 1000));
    world.pass(HOUR);
    let third = machine.save();
    assert_restores(&world, &[second, third]);
    Machine::assert_sound(&open(url, &options).unwrap(), url);
    assert_one_commit(bare);
}

#[test]
fn a_repository_in_a_bare_folder_is_whole_and_shrinks() {
    let folder = tempfile::tempdir().unwrap();
    let bare = bare(folder.path());
    whole_life(&format!("file://{}", bare.display()), &bare, &git_options(), true);
}

#[test]
fn a_repository_behind_ssh_is_whole_and_shrinks() {
    let folder = tempfile::tempdir().unwrap();
    let bare = bare(folder.path());
    let Some(sshd) = Sshd::start(folder.path()) else { return };
    whole_life(&sshd.url(&bare), &bare, &sshd.options(), true);
}

#[test]
fn a_repository_behind_http_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let bare = bare(folder.path());
    let web = Web::start(&bare);
    whole_life(&web.url(), &bare, &git_options(), false);
}

#[test]
fn writers_at_once_lose_nothing_and_nothing_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let bare = bare(folder.path());
    let web = Web::start(&bare);
    let urls = [format!("file://{}", bare.display()), web.url(), web.url()];
    let doomed: Vec<ObjectName> = {
        let store = open(&urls[0], &git_options()).unwrap();
        (0..30_u8).map(|byte| store_pack(&store, &[byte, 99]).unwrap()).collect()
    };
    let slot = |number: usize, byte: u8| object_hash(&[byte, u8::try_from(number).unwrap(), 1]);
    std::thread::scope(|scope| {
        for (number, url) in urls.iter().enumerate() {
            scope.spawn(move || {
                let store = open(url, &git_options()).unwrap();
                for byte in 0..8_u8 {
                    let bytes = [byte, u8::try_from(number).unwrap()];
                    store_pack(&store, &bytes).unwrap();
                    let hash = slot(number, byte);
                    let bytes = [byte, bytes[1], 1];
                    let name = ObjectName::KeySlot(hash);
                    store.put(name, &[Bytes::copy_from_slice(&bytes)]).unwrap();
                    store.delete_key_slot(&hash).unwrap();
                }
            });
        }
    });
    let store = open(&urls[0], &git_options()).unwrap();
    let rows = store.list(Prefix::Packs).unwrap();
    assert_eq!(rows.len(), 30 + 24);
    assert!(doomed.iter().all(|name| rows.iter().any(|row| row.name == *name)));
    assert_eq!(store.list(Prefix::Keys).unwrap(), []);
    assert_one_commit(&bare);
}

#[test]
fn what_is_put_side_by_side_shares_pushes() {
    let folder = tempfile::tempdir().unwrap();
    let bare = bare(folder.path());
    git(&bare, &["config", "core.logAllRefUpdates", "always"]);
    let web = Web::start(&bare);
    let store = open(&web.url(), &git_options()).unwrap();
    std::thread::scope(|scope| {
        for byte in 0..40_u8 {
            let store = &store;
            scope.spawn(move || store_pack(store, &[byte]).unwrap());
        }
    });
    assert_eq!(store.list(Prefix::Packs).unwrap().len(), 40);
    let pushes = git(&bare, &["reflog", "show", "refs/heads/stash"]).lines().count();
    assert!(pushes <= 10, "{pushes} pushes");
}

#[test]
fn only_what_is_new_travels() {
    let folder = tempfile::tempdir().unwrap();
    let bare = bare(folder.path());
    let web = Web::start(&bare);
    let cache = tempfile::tempdir().unwrap();
    let options = GitOptions { cache: Some(cache.path().to_owned()), ..git_options() };
    let store = open(&web.url(), &options).unwrap();
    let mut names = Vec::new();
    for seed in 0..4 {
        names.push(store_pack(&store, &noise(seed, 2_000_000)).unwrap());
    }
    for sequence in 1..4 {
        let name = stash::store::RecordName {
            global: false,
            lane: stash::id::LaneId([1; 16]),
            sequence,
            kind: "snapshot".into(),
            hash: object_hash(&sequence.to_le_bytes()),
        };
        let bytes = Bytes::from(sequence.to_le_bytes().to_vec());
        store.put(ObjectName::Record(name), &[bytes]).unwrap();
    }
    web.take();
    store_pack(&store, b"a tiny one").unwrap();
    let (received, sent) = web.take();
    assert!(received < 5_000 && sent < 5_000, "a tiny push: {received} and {sent}");
    // What this machine knows, it does not fetch again, though the server can leave nothing out.
    drop(store);
    let again = open(&web.url(), &options).unwrap();
    assert_eq!(again.list(Prefix::Packs).unwrap().len(), 5);
    let (_, sent) = web.take();
    assert!(sent < 5_000, "{sent}");
    // A deleted cache costs a fetch, and nothing else.
    std::fs::remove_dir_all(cache.path().join("git")).unwrap();
    assert_eq!(again.get(&names[1]).unwrap().unwrap(), noise(1, 2_000_000));
    let fresh = open(&web.url(), &options).unwrap();
    assert_eq!(fresh.list(Prefix::Packs).unwrap().len(), 5);
    let (_, sent) = web.take();
    assert!(sent > 8_000_000, "a server that can't leave anything out: {sent}");
    // One that can is asked for the trees, and for what is read.
    git(&bare, &["config", "uploadpack.allowFilter", "true"]);
    let fresh = open(&web.url(), &git_options()).unwrap();
    assert_eq!(fresh.list(Prefix::Packs).unwrap().len(), 5);
    let (_, sent) = web.take();
    assert!(sent < 10_000, "{sent}");
    assert_eq!(fresh.get_range(&names[2], 1_000_000, 1_000_100).unwrap().unwrap().len(), 100);
    fresh.get_range(&names[2], 5, 1_900_000).unwrap().unwrap();
    let (_, sent) = web.take();
    assert!(sent < 2_100_000, "{sent}");
    let missing = ObjectName::Pack(object_hash(b"never"));
    assert_eq!(fresh.get(&missing).unwrap(), None);
}

#[test]
fn ages_survive_clones_and_never_shrink_into_the_past() {
    let folder = tempfile::tempdir().unwrap();
    let bare = bare(folder.path());
    let url = format!("file://{}", bare.display());
    let now = Arc::new(AtomicI64::new(5_000_000_000_000_000_000));
    let options = GitOptions { clock: Arc::new(SetClock(Arc::clone(&now))), ..git_options() };
    let store = open(&url, &options).unwrap();
    let first = store_pack(&store, b"first").unwrap();
    let time_of = |store: &Store, name: &ObjectName| {
        let rows = store.list(Prefix::Packs).unwrap();
        rows.into_iter().find(|row| row.name == *name).unwrap().modified.0
    };
    let stored = time_of(&store, &first);
    assert!(stored >= now.load(Ordering::SeqCst));
    now.fetch_add(100 * HOUR, Ordering::SeqCst);
    let later = store_pack(&store, b"later").unwrap();
    git(&bare, &["gc", "-q", "--prune=now"]);
    let other = open(&url, &options).unwrap();
    assert_eq!(time_of(&other, &first), stored);
    assert_eq!(time_of(&other, &later), now.load(Ordering::SeqCst));
    // A clock that is behind can't make its object look older than what was there before.
    now.fetch_sub(90 * HOUR, Ordering::SeqCst);
    let behind = store_pack(&other, b"behind").unwrap();
    assert_eq!(time_of(&store, &behind), time_of(&store, &later));
    assert_eq!(other.now().unwrap().0, time_of(&store, &later));
    assert_eq!(store.list_all().unwrap().1, [""; 0]);
}

#[test]
fn behind_http_the_servers_clock_counts() {
    let folder = tempfile::tempdir().unwrap();
    let bare = bare(folder.path());
    let web = Web::start(&bare);
    web.shared.ahead.store(7200, Ordering::SeqCst);
    let store = open(&web.url(), &git_options()).unwrap();
    store_pack(&store, b"x").unwrap();
    let own = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos()).unwrap();
    for time in [store.now().unwrap().0, store.list(Prefix::Packs).unwrap()[0].modified.0] {
        let ahead = (time - own) / 1_000_000_000;
        assert!((7190..7210).contains(&ahead), "{ahead}");
    }
}

/// The tree is laid out as a folder is: a clone is a repository that any build can read.
#[test]
fn a_checked_out_clone_is_a_repository_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let bare = bare(folder.path());
    let store = open(&format!("file://{}", bare.display()), &git_options()).unwrap();
    let mut machine = Machine::new();
    machine.fill(1, 2);
    drop(machine.init(&store));
    machine.save(&store).unwrap();
    let clone = folder.path().join("clone");
    let tool = std::process::Command::new("git")
        .args(["clone", "-q", "--branch", "stash"])
        .args([&bare, &clone])
        .status();
    assert!(tool.unwrap().success());
    machine.assert_restores(&Store::folder(&clone, false).unwrap(), "a clone");
}

#[test]
fn a_branch_that_holds_a_project_is_refused_and_keeps_its_history() {
    let folder = tempfile::tempdir().unwrap();
    let bare = bare(folder.path());
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new("git");
        command.args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(arguments);
        assert!(command.current_dir(folder.path()).status().unwrap().success(), "{arguments:?}");
    };
    run(&["init", "-q", "-b", "main", "work"]);
    for number in 0..2 {
        std::fs::write(folder.path().join("work/main.rs"), format!("{number}")).unwrap();
        run(&["-C", "work", "add", "-A"]);
        run(&["-C", "work", "commit", "-q", "-m", "mine"]);
    }
    run(&["-C", "work", "push", "-q", bare.to_str().unwrap(), "main"]);
    let before = git(&bare, &["rev-parse", "refs/heads/main"]);
    let web = Web::start(&bare);
    for url in [format!("file://{}", bare.display()), web.url()] {
        let options = GitOptions { branch: "main".into(), ..git_options() };
        let store = open(&url, &options).unwrap();
        let slots = [(secret(), "test".to_owned())];
        let places = folders(&folder.path().join("places"));
        let options = InitOptions::default();
        let made = Repository::init(&store, &options, &slots, Timestamp(1), &places);
        for error in [store.probe().into_failure().unwrap(), made.err().unwrap()] {
            assert!(error.to_string().contains("would end its history"), "{error}");
            assert!(error.hint_text().unwrap().contains("#stash"), "{error}");
        }
        assert!(store.delete_key_slot(&object_hash(b"x")).is_err());
    }
    assert_eq!(git(&bare, &["rev-parse", "refs/heads/main"]), before);
    // Beside it there is room.
    store_pack(&open(&web.url(), &git_options()).unwrap(), b"x").unwrap();
}

/// A list of times beyond what is kept of what nobody asked for.
#[test]
fn a_directory_may_hold_many_files() {
    let folder = tempfile::tempdir().unwrap();
    let bare = bare(folder.path());
    let url = format!("file://{}", bare.display());
    let store = open(&url, &git_options()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..100_u64 {
            let store = &store;
            scope.spawn(move || {
                for number in 0..15_u64 {
                    let bytes = (thread * 100 + number).to_le_bytes();
                    let name = ObjectName::KeySlot(object_hash(&bytes));
                    store.put(name, &[Bytes::copy_from_slice(&bytes)]).unwrap();
                }
            });
        }
    });
    let web = Web::start(&bare);
    for url in [url, web.url()] {
        let fresh = open(&url, &git_options()).unwrap();
        let rows = fresh.list(Prefix::Keys).unwrap();
        assert_eq!(rows.len(), 1500);
        assert!(rows.iter().all(|row| row.size == 8));
    }
}

#[test]
fn two_branches_are_two_stores_and_strangers_files_stay() {
    let folder = tempfile::tempdir().unwrap();
    let bare = bare(folder.path());
    let url = format!("file://{}", bare.display());
    let other = GitOptions { branch: "a/laptop".into(), ..git_options() };
    store_pack(&open(&url, &other).unwrap(), b"x").unwrap();
    let store = open(&url, &git_options()).unwrap();
    assert_eq!(store.list(Prefix::Packs).unwrap(), []);
    // Somebody commits into the branch, by hand and without times.
    store_pack(&store, b"y").unwrap();
    let work = folder.path().join("work");
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new("git");
        command.args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(arguments);
        assert!(
            command
                .current_dir(if work.exists() { &work } else { folder.path() })
                .status()
                .unwrap()
                .success()
        );
    };
    run(&["clone", "-q", "--branch", "stash", bare.to_str().unwrap(), "work"]);
    std::fs::write(work.join("README.md"), "mine").unwrap();
    std::fs::create_dir(work.join("odd")).unwrap();
    std::fs::write(work.join("odd/line\nfeed * \\"), "mine").unwrap();
    let pack = std::fs::read_dir(work.join("packs")).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(pack.join(".stash-times")).unwrap();
    run(&["add", "-A"]);
    run(&["commit", "-q", "-m", "by hand"]);
    run(&["push", "-q"]);
    let (objects, others) = store.list_all().unwrap();
    assert_eq!((objects.len(), objects[0].size), (1, 1));
    assert_eq!(others, ["README.md"]);
    store_pack(&store, b"z").unwrap();
    assert_eq!(git(&bare, &["show", "refs/heads/stash:README.md"]), "mine");
    assert_eq!(open(&url, &git_options()).unwrap().list(Prefix::Packs).unwrap().len(), 2);
    for branch in ["", "..", "a..b", "-x", "a b", "x.lock"] {
        let odd = GitOptions { branch: branch.into(), ..git_options() };
        assert_eq!(open(&url, &odd).err().unwrap().kind(), Kind::Usage, "{branch}");
    }
}
