//! Every kind of file there is, files that change while they are read, and targets in disorder.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops where things are not as they should be"
)]

mod common_engine;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common_engine::trees::{Tree, assert_same, tree};
use common_engine::{
    LATER, Notes, SECOND, TestClock, backup_options, folders, init, latest, noise, open_fresh, put,
    restore_options, restore_with, restored, save, save_with, snapshots,
};
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, mknodat, utimensat};
use stash::engine::backup::{BackupReport, backup};
use stash::engine::restore::{Overwrite, PathFilter, restore};
use stash::error::Kind;
use stash::event::{Action, Counters, Event, Reporter, Silent};
use stash::files::{ExcludeOptions, Excludes, is_temporary_name};
use stash::repository::{LocalFolders, Repository};
use stash::store::Store;

struct Scene {
    folder: tempfile::TempDir,
    store: Store,
    repository: Repository,
}

impl Scene {
    fn new() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::memory();
        let repository = init(&store, &folders(folder.path()));
        std::fs::create_dir(folder.path().join("source")).unwrap();
        Scene { folder, store, repository }
    }

    fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.source().join(name)
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// Backs up and restores from a fresh client; returns what came of it.
    fn round_trip(&self) -> Tree {
        let report = save(&self.repository, &self.source(), LATER).unwrap();
        assert_eq!(report.statistics.errors, 0);
        let fresh = open_fresh(&self.store);
        let mut options = restore_options(&self.out());
        options.verify = true;
        restore_with(&fresh, &latest(&fresh), &options);
        tree(&self.out().join("source"))
    }

    fn assert_round_trip(&self) {
        let wanted = tree(&self.source());
        assert_same(&self.round_trip(), &wanted, "round trip");
        // And once more through what is remembered of the first.
        let report = save(&self.repository, &self.source(), LATER + SECOND).unwrap();
        assert_eq!((report.snapshot, report.statistics.errors), (None, 0), "unchanged");
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn set_mtime(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn files_of_every_size_around_a_limit_come_back() {
    let scene = Scene::new();
    let limits = [0, 1024, 64 << 10, 256 << 10, 512 << 10, 1 << 20, 2 << 20, 4 << 20];
    for limit in limits {
        for length in [limit.max(1) - 1, limit, limit + 1] {
            put(&scene.path(format!("noise{length}")), noise(length as u64, length));
            put(&scene.path(format!("zeros{length}")), vec![0; length]);
            let text: Vec<u8> =
                b"All work and no play. ".iter().copied().cycle().take(length).collect();
            put(&scene.path(format!("text{length}")), text);
        }
    }
    scene.assert_round_trip();
}

#[test]
fn a_sparse_file_comes_back_with_its_holes() {
    const LENGTH: u64 = 50 << 20;
    let scene = Scene::new();
    let path = scene.path("sparse");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(LENGTH).unwrap();
    for (number, offset) in (0_u64..).zip([5_000_000, 20_000_000, LENGTH - 70_000]) {
        file.write_all_at(&noise(number, 70_000), offset).unwrap();
    }
    std::fs::File::create(scene.path("only a hole")).unwrap().set_len(LENGTH).unwrap();
    scene.assert_round_trip();
    for name in ["sparse", "only a hole"] {
        let before = scene.path(name).metadata().unwrap().blocks();
        let after = scene.out().join("source").join(name).metadata().unwrap().blocks();
        // A system that knows no holes promises nothing.
        if before < 2_000 {
            assert!(after < before + 1_000, "{name}: {before} blocks became {after}");
        }
    }
}

#[test]
fn links_pipes_sockets_and_devices_come_back() {
    let scene = Scene::new();
    put(&scene.path("a/file"), noise(1, 200_000));
    put(&scene.path("a/small"), b"small");
    std::fs::create_dir(scene.path("b")).unwrap();
    for (from, to) in [("a/file", "a/again"), ("a/file", "b/0"), ("a/small", "b/small")] {
        std::fs::hard_link(scene.path(from), scene.path(to)).unwrap();
    }
    let long = "x/".repeat(1_500);
    let targets: [&[u8]; 8] = [
        b"nowhere",
        b"/",
        b"/etc/hostname",
        b"../..",
        b".",
        b"a b\n\xff\x01\\",
        b"//",
        long.as_bytes(),
    ];
    for (number, target) in targets.into_iter().enumerate() {
        let path = scene.path(format!("link{number}"));
        symlink(OsStr::from_bytes(target), &path).unwrap();
        set_mtime(&path, 1_000_000_000 + i64::try_from(number).unwrap(), 123_456_789);
    }
    std::fs::hard_link(scene.path("link0"), scene.path("link0 again")).unwrap();
    let mode = Mode::from_raw_mode(0o640);
    mknodat(CWD, scene.path("fifo"), FileType::Fifo, mode, 0).unwrap();
    set_mtime(&scene.path("fifo"), 5, 6);
    std::fs::hard_link(scene.path("fifo"), scene.path("fifo again")).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(scene.path("socket")).unwrap();
    // Not every root may make devices.
    if is_root() {
        for (name, kind) in [("null", FileType::CharacterDevice), ("disk", FileType::BlockDevice)] {
            let number = rustix::fs::makedev(1, 3);
            let _made = mknodat(CWD, scene.path(name), kind, mode, number);
        }
    }
    let wanted = tree(&scene.source());
    assert_eq!(wanted[Path::new("b/0")].same_as, Some("a/again".into()));
    scene.assert_round_trip();
}

#[test]
fn names_of_any_bytes_come_back() {
    let scene = Scene::new();
    let mut every = Vec::new();
    for byte in 1..=255_u8 {
        if byte != b'/' {
            every.push(byte);
        }
    }
    // 254 bytes; one more makes the longest name there is.
    every.push(b'x');
    let names: Vec<Vec<u8>> = vec![
        every.clone(),
        every.iter().rev().copied().collect(),
        vec![0xff; 255],
        b"...".to_vec(),
        b" ".to_vec(),
        b"-rf".to_vec(),
        b"new\nline".to_vec(),
        b"\x1b[31mred".to_vec(),
        b"\xc3".to_vec(),
        "a\u{308}".into(),
        "\u{e4}".into(),
        b"*?[a]".to_vec(),
        b".x.stash-0123abcd.tmp".to_vec(),
    ];
    for name in &names {
        let name = OsString::from_vec(name.clone());
        // Some file systems take only UTF-8.
        if std::fs::write(scene.path(&name), name.as_bytes()).is_ok() {
            let inside = Path::new("in").join(&name);
            put(&scene.path(inside.join("file")), b"below");
        }
    }
    scene.assert_round_trip();
    // Over what is there, each goes beside itself first, under a name that must fit too.
    let mut options = restore_options(&scene.out());
    options.overwrite = Overwrite::Always;
    restore_with(&scene.repository, &latest(&scene.repository), &options);
    assert_same(&tree(&scene.out().join("source")), &tree(&scene.source()), "once more");
}

#[test]
fn modes_times_and_attributes_come_back() {
    let scene = Scene::new();
    for mode in [0o000, 0o400, 0o4755, 0o2755, 0o1777, 0o6777, 0o7777, 0o111] {
        let path = scene.path(format!("mode{mode:o}"));
        put(&path, format!("{mode:o}"));
        set_mode(&path, mode);
    }
    for mode in [0o555, 0o500, 0o1777, 0o2770, 0o711] {
        let path = scene.path(format!("directory{mode:o}"));
        put(&path.join("file"), b"inside");
        put(&path.join("sub/file"), b"inside");
        set_mtime(&path, 77, i64::from(mode));
        set_mode(&path, mode);
    }
    for (seconds, nanoseconds) in [
        (0, 0),
        (0, 1),
        (-1, 999_999_999),
        (-2_000_000_000, 1),
        (1, 123_456_789),
        (4_000_000_000, 5),
    ] {
        let path = scene.path(format!("time{seconds}.{nanoseconds}"));
        put(&path, b"x");
        set_mtime(&path, seconds, nanoseconds);
    }
    let (file, folder) = (scene.path("attributes"), scene.path("folder"));
    put(&file, b"x");
    std::fs::create_dir(&folder).unwrap();
    for path in [&file, &folder] {
        for (name, length) in [("user.empty", 0), ("user.small", 10), ("user.\u{e4}", 200)] {
            // Not every file system has them.
            let _set = xattr::set(path, name, &noise(length, usize::try_from(length).unwrap()));
        }
        // An ACL: user 1234 may read.
        let mut acl = vec![2, 0, 0, 0];
        let none = u32::MAX;
        for (tag, bits, id) in
            [(1_u16, 6_u16, none), (2, 4, 1234), (4, 4, none), (16, 4, none), (32, 0, none)]
        {
            acl.extend([tag.to_le_bytes(), bits.to_le_bytes()].concat());
            acl.extend(id.to_le_bytes());
        }
        let _set = xattr::set(path, "system.posix_acl_access", &acl);
        if path.is_dir() {
            let _set = xattr::set(path, "system.posix_acl_default", &acl);
        }
    }
    if is_root() {
        for (number, name) in (0..).zip(["owned", "owned too"]) {
            put(&scene.path(name), b"x");
            std::os::unix::fs::lchown(scene.path(name), Some(54_321 + number), Some(7)).unwrap();
            set_mode(&scene.path(name), 0o6750);
        }
    }
    if is_root() {
        scene.assert_round_trip();
    }
    // Without root a file of mode 0 can't be read.
    std::fs::remove_file(scene.path("mode0")).unwrap();
    std::fs::remove_file(scene.path("mode111")).unwrap();
    let again = Scene::new();
    save(&again.repository, &scene.source(), LATER).unwrap();
    let got = restored(&again.repository, &latest(&again.repository), &again.out());
    assert_same(&tree(&got), &tree(&scene.source()), "without the unreadable");
}

#[test]
fn a_directory_300_levels_deep_comes_back() {
    let scene = Scene::new();
    let mut path = scene.source();
    for level in 0..300 {
        path.push("d");
        std::fs::create_dir(&path).unwrap();
        if level % 50 == 0 {
            put(&path.join("file"), format!("{level}"));
        }
    }
    put(&path.join("deepest"), noise(3, 100_000));
    scene.assert_round_trip();
}

/// Ten names for each file: the names are what counts here, and files take a slow disk longer.
#[test]
fn a_directory_with_30_000_names_comes_back() {
    let scene = Scene::new();
    for number in 0..30_000 {
        let (path, first) = (scene.path(format!("file{number}")), number % 3_000);
        if first == number {
            std::fs::write(path, format!("content {number}")).unwrap();
        } else {
            std::fs::hard_link(scene.path(format!("file{first}")), path).unwrap();
        }
    }
    scene.assert_round_trip();
    // One among them changes.
    std::fs::remove_file(scene.path("file17777")).unwrap();
    put(&scene.path("file17777"), b"changed");
    let report = save(&scene.repository, &scene.source(), LATER + 2 * SECOND).unwrap();
    assert!(report.snapshot.is_some());
    assert!(report.statistics.stored_bytes < 1 << 20, "{}", report.statistics.stored_bytes);
}

/// Changes the tree when the walk has told of a certain item: the order of items is the names'.
struct Meddler<F> {
    at: Vec<u8>,
    done: AtomicBool,
    act: F,
}

impl<F: Fn() + Send + Sync> Reporter for Meddler<F> {
    fn event(&self, event: &Event<'_>) {
        if let Event::Item { path, .. } = event
            && path.ends_with(&self.at)
            && !self.done.swap(true, Ordering::SeqCst)
        {
            (self.act)();
        }
    }
}

#[test]
fn what_vanishes_or_is_replaced_before_it_is_read_costs_only_itself() {
    let scene = Scene::new();
    // More than a walk looks ahead.
    for number in 0..3_000 {
        put(&scene.path(format!("b/{number:05}")), b"filler");
    }
    put(&scene.path("a"), b"first");
    for name in ["c/vanishes", "c/replaced", "c/stays", "d/gone/file", "z"] {
        put(&scene.path(name), name);
    }
    let meddler = Meddler {
        at: b"/a".to_vec(),
        done: AtomicBool::new(false),
        act: || {
            std::fs::remove_file(scene.path("c/vanishes")).unwrap();
            std::fs::remove_dir_all(scene.path("d/gone")).unwrap();
            put(&scene.path("new"), b"new content");
            std::fs::rename(scene.path("new"), scene.path("c/replaced")).unwrap();
        },
    };
    let options = backup_options(&[&scene.source()]);
    let report =
        backup(&scene.repository, &options, &TestClock(LATER), &Counters::default(), &meddler)
            .unwrap();
    assert!(report.snapshot.is_some());
    assert!(meddler.done.load(Ordering::SeqCst));
    let got = tree(&restored(&scene.repository, &latest(&scene.repository), &scene.out()));
    let wanted = tree(&scene.source());
    for name in ["a", "b/00000", "b/02999", "c/stays", "c/replaced", "z"] {
        assert_eq!(got[Path::new(name)].content, wanted[Path::new(name)].content, "{name}");
    }
    assert!(!got.contains_key(Path::new("c/vanishes")));
    assert!(!got.contains_key(Path::new("d/gone/file")));
}

/// Lets a thread change a file without a pause while it is backed up.
fn while_changing(
    scene: &Scene,
    change: impl Fn(u64) + Send + Sync,
) -> (BackupReport, Vec<String>) {
    let stop = AtomicBool::new(false);
    let notes = Notes::default();
    let report = std::thread::scope(|scope| {
        let changer = scope.spawn(|| {
            let mut round = 0;
            while !stop.load(Ordering::SeqCst) {
                change(round);
                round += 1;
            }
        });
        let options = backup_options(&[&scene.source()]);
        let report =
            backup(&scene.repository, &options, &TestClock(LATER), &Counters::default(), &notes);
        stop.store(true, Ordering::SeqCst);
        changer.join().unwrap();
        report.unwrap()
    });
    (report, notes.take())
}

#[test]
fn a_file_that_grows_while_it_is_read_is_saved_as_it_once_was() {
    let scene = Scene::new();
    put(&scene.path("before"), b"before");
    put(&scene.path("log"), vec![b'0'; 3 << 20]);
    put(&scene.path("zzz"), b"after");
    let file = std::fs::OpenOptions::new().append(true).open(scene.path("log")).unwrap();
    let (report, _notes) = while_changing(&scene, |round| {
        // An end there must be, else a slow reader never gets there.
        if round < 20_000 {
            use std::io::Write as _;
            (&file).write_all(format!("line {round:010}\n").as_bytes()).unwrap();
        }
    });
    assert!(report.snapshot.is_some());
    let place = restored(&scene.repository, &latest(&scene.repository), &scene.out());
    let (got, now) =
        (std::fs::read(place.join("log")).unwrap(), std::fs::read(scene.path("log")).unwrap());
    assert!(got.len() >= 3 << 20);
    assert!(now.starts_with(&got), "not a beginning of what it became");
    for name in ["before", "zzz"] {
        assert_eq!(
            std::fs::read(place.join(name)).unwrap(),
            std::fs::read(scene.path(name)).unwrap()
        );
    }
}

#[test]
fn a_file_that_is_replaced_again_and_again_is_saved_whole() {
    let scene = Scene::new();
    let version = |round: u64| vec![b'a' + u8::try_from(round % 26).unwrap(); 300_000];
    put(&scene.path("file"), version(0));
    put(&scene.path("zzz"), b"after");
    let beside = scene.folder.path().join("beside");
    let (report, _notes) = while_changing(&scene, |round| {
        std::fs::write(&beside, version(round)).unwrap();
        std::fs::rename(&beside, scene.path("file")).unwrap();
    });
    assert!(report.snapshot.is_some());
    let place = restored(&scene.repository, &latest(&scene.repository), &scene.out());
    assert_eq!(std::fs::read(place.join("zzz")).unwrap(), b"after");
    let got = std::fs::read(place.join("file")).unwrap();
    assert_eq!(got.len(), 300_000);
    assert!(got.iter().all(|byte| *byte == got[0]), "two versions mixed");
}

#[test]
fn a_file_that_never_rests_is_an_error_and_the_rest_is_saved() {
    let scene = Scene::new();
    for number in 0..20_u64 {
        put(&scene.path(format!("calm{number}")), noise(number, 10_000));
    }
    put(&scene.path("restless"), noise(77, 16 << 20));
    let path = scene.path("restless");
    // Whether the writer gets its turn during every reading is the system's choice: it gets some.
    let reports = (0..50).map(|_| {
        while_changing(&scene, |round| {
            set_mtime(&path, i64::try_from(round).unwrap(), 0);
        })
    });
    let (report, notes) =
        reports.into_iter().find(|(report, _)| report.statistics.errors > 0).unwrap();
    assert_eq!(report.statistics.errors, 1, "{notes:?}");
    assert!(report.snapshot.is_some());
    assert!(notes[0].contains("restless"), "{notes:?}");
    let last = latest(&scene.repository);
    let place = restored(&scene.repository, &last, &scene.out());
    for number in 0..20_u64 {
        assert_eq!(
            std::fs::read(place.join(format!("calm{number}"))).unwrap(),
            noise(number, 10_000)
        );
    }
    // When it rests, the next run takes it as it is.
    let report = save(&scene.repository, &scene.source(), LATER + SECOND).unwrap();
    assert_eq!(report.statistics.errors, 0);
    let out = scene.folder.path().join("out2");
    let place = restored(&scene.repository, &latest(&scene.repository), &out);
    assert_same(&tree(&place), &tree(&scene.source()), "at rest");
}

#[test]
fn paths_given_twice_or_inside_others_are_saved_once() {
    let scene = Scene::new();
    put(&scene.path("sub/file"), noise(5, 10_000));
    put(&scene.path("sub2/file"), noise(6, 10_000));
    let (source, sub) = (scene.source(), scene.path("sub"));
    let mut options = backup_options(&[&sub, &source, &source, &sub, &scene.path("sub/file")]);
    let report = save_with(&scene.repository, &options, LATER).unwrap();
    assert_eq!((report.statistics.files, report.statistics.directories), (2, 3));
    let place = restored(&scene.repository, &latest(&scene.repository), &scene.out());
    assert_same(&tree(&place), &tree(&source), "one root");
    // A common beginning of two names is no folder.
    options.paths = vec![scene.path("sub2"), scene.path("sub")];
    save_with(&scene.repository, &options, LATER + SECOND).unwrap();
    let out = scene.folder.path().join("out2");
    restore_with(&scene.repository, &latest(&scene.repository), &restore_options(&out));
    for name in ["sub", "sub2"] {
        assert_same(&tree(&out.join(name)), &tree(&scene.path(name)), name);
    }
}

#[test]
fn the_repository_inside_the_path_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    put(&source.join("file"), noise(1, 500_000));
    let place = source.join("deep/repo");
    let store = Store::folder(&place, true).unwrap();
    let repository = init(&store, &folders(folder.path()));
    let mut options = backup_options(&[&source]);
    // However it is reached.
    let other = folder.path().join("other");
    symlink(&place, &other).unwrap();
    for (round, skip) in (0_i64..).zip([&place, &other]) {
        options.excludes = Arc::new(
            Excludes::new(&ExcludeOptions {
                skip: vec![skip.clone()],
                ..ExcludeOptions::default()
            })
            .unwrap(),
        );
        let report = save_with(&repository, &options, LATER + round * SECOND).unwrap();
        assert_eq!(report.own_left_out, [place.as_path()]);
        assert_eq!(report.statistics.files, 1);
        assert_eq!(report.snapshot.is_some(), round == 0);
    }
}

#[test]
fn what_cannot_be_read_is_an_error_and_the_rest_is_saved() {
    let scene = Scene::new();
    put(&scene.path("file"), b"x");
    put(&scene.path("secret"), b"x");
    put(&scene.path("closed/file"), b"x");
    set_mode(&scene.path("secret"), 0);
    set_mode(&scene.path("closed"), 0);
    let report = save(&scene.repository, &scene.source(), LATER).unwrap();
    assert_eq!(report.statistics.errors, if is_root() { 0 } else { 2 });
    let place = restored(&scene.repository, &latest(&scene.repository), &scene.out());
    assert_eq!(std::fs::read(place.join("file")).unwrap(), b"x");
    for path in [scene.path("closed"), place.join("closed")] {
        set_mode(&path, 0o700);
    }
    let missing = save(&scene.repository, &scene.path("nothing here"), LATER + SECOND);
    assert_eq!(missing.unwrap_err().kind(), Kind::Failed);
}

#[test]
fn a_clock_that_jumps_costs_nothing_that_was_changed() {
    let scene = Scene::new();
    let year = 365 * 86_400 * SECOND;
    let mut expected = Vec::new();
    for (round, now) in (0_u64..).zip([LATER, LATER - year, 5, LATER + year, LATER - 1, LATER]) {
        put(&scene.path("same size"), format!("round {round}"));
        // The old times again: only the change time betrays it.
        set_mtime(&scene.path("same size"), 1_000_000_000, 0);
        set_mtime(&scene.source(), 1_000_000_000, 0);
        let report = save(&scene.repository, &scene.source(), now).unwrap();
        expected.push((report.snapshot.unwrap(), tree(&scene.source())));
    }
    let fresh = open_fresh(&scene.store);
    assert_eq!(snapshots(&fresh).len(), expected.len());
    for entry in snapshots(&fresh) {
        let out = tempfile::tempdir().unwrap();
        let got = tree(&restored(&fresh, &entry, out.path()));
        let wanted = &expected.iter().find(|(id, _)| *id == entry.id).unwrap().1;
        assert_same(&got, wanted, "after a jump");
    }
}

/// A snapshot of a small tree, and a target where all is different.
fn disorder() -> (Scene, Tree) {
    let scene = Scene::new();
    for name in ["changed", "newer", "older", "same", "becomes dir", "becomes link", "d/x", "d/y"] {
        put(&scene.path(name), format!("saved {name}"));
        set_mtime(&scene.path(name), 1_000_000_000, 5);
    }
    put(&scene.path("dir became file/inner"), b"inner");
    put(&scene.path("dir became link/inner"), b"inner");
    symlink("d/x", scene.path("link")).unwrap();
    symlink("d/x", scene.path("link became dir")).unwrap();
    let wanted = tree(&scene.source());
    save(&scene.repository, &scene.source(), LATER).unwrap();
    let target = restored(&scene.repository, &latest(&scene.repository), &scene.out());
    put(&target.join("changed"), b"something else");
    put(&target.join("newer"), b"edited newer");
    put(&target.join("older"), b"edited older");
    set_mtime(&target.join("newer"), 1_500_000_000, 0);
    set_mtime(&target.join("older"), 500_000_000, 0);
    let outside = scene.folder.path().join("outside");
    put(&outside.join("inner"), b"do not touch");
    put(&outside.join("x"), b"do not touch");
    for name in ["becomes dir", "becomes link", "link", "link became dir"] {
        std::fs::remove_file(target.join(name)).unwrap();
    }
    put(&target.join("becomes dir/extra"), b"in the way");
    symlink(outside.join("x"), target.join("becomes link")).unwrap();
    symlink(&outside, target.join("link")).unwrap();
    put(&target.join("link became dir/extra"), b"in the way");
    for name in ["dir became file", "dir became link"] {
        std::fs::remove_dir_all(target.join(name)).unwrap();
    }
    put(&target.join("dir became file"), b"in the way");
    symlink(&outside, target.join("dir became link")).unwrap();
    put(&target.join("d/extra"), b"extra");
    put(&target.join("extra dir/extra"), b"extra");
    symlink(&outside, target.join("extra link")).unwrap();
    (scene, wanted)
}

fn assert_outside_untouched(scene: &Scene) {
    let outside = scene.folder.path().join("outside");
    let names: BTreeSet<_> = tree(&outside).into_keys().collect();
    assert_eq!(names, BTreeSet::from(["".into(), "inner".into(), "x".into()]));
    for name in ["inner", "x"] {
        assert_eq!(std::fs::read(outside.join(name)).unwrap(), b"do not touch");
    }
}

#[test]
fn restoring_with_delete_makes_the_target_what_was_saved() {
    for overwrite in [Overwrite::IfChanged, Overwrite::Always] {
        let (scene, wanted) = disorder();
        let mut options = restore_options(&scene.out());
        options.overwrite = overwrite;
        options.delete = true;
        // A rehearsal changes nothing, and tells the same.
        options.dry_run = true;
        let before = tree(&scene.out());
        let rehearsed = restore_with(&scene.repository, &latest(&scene.repository), &options);
        assert_same(&tree(&scene.out()), &before, "rehearsal");
        options.dry_run = false;
        let report = restore_with(&scene.repository, &latest(&scene.repository), &options);
        assert_same(&tree(&scene.out().join("source")), &wanted, "with delete");
        assert_outside_untouched(&scene);
        assert_eq!(rehearsed.deleted, report.deleted);
        assert_eq!(rehearsed.files_overwritten, report.files_overwritten);
    }
}

#[test]
fn each_way_to_overwrite_does_as_it_says() {
    let kept: [(Overwrite, &[&str]); 4] = [
        (Overwrite::IfChanged, &[]),
        (Overwrite::Always, &[]),
        (Overwrite::IfNewer, &["newer", "changed"]),
        (Overwrite::Never, &["newer", "changed", "older", "dir became file"]),
    ];
    for (overwrite, kept) in kept {
        let (scene, wanted) = disorder();
        let target = scene.out().join("source");
        let before = tree(&target);
        let mut options = restore_options(&scene.out());
        options.overwrite = overwrite;
        let entry = latest(&scene.repository);
        let notes = Notes::default();
        let report =
            restore(&scene.repository, &entry.snapshot, &options, &Counters::default(), &notes)
                .unwrap();
        let notes = notes.take();
        // Directories in the place of a file and of a link are in the way without `delete`, files
        // and links in the place of directories if nothing may be overwritten.
        assert_eq!(report.failed, 2, "{overwrite:?}: {notes:#?}");
        let got = tree(&target);
        for name in kept {
            assert_eq!(got[Path::new(name)], before[Path::new(name)], "{overwrite:?}: {name}");
        }
        for name in [
            "d/x",
            "d/y",
            "same",
            "changed",
            "older",
            "newer",
            "becomes link",
            "link",
            "dir became file/inner",
            "dir became link/inner",
        ] {
            if kept.contains(&name)
                || overwrite == Overwrite::Never && !name.starts_with("d/") && name != "same"
            {
                continue;
            }
            let (got, wanted) = (got.get(Path::new(name)), wanted.get(Path::new(name)));
            assert_eq!(got, wanted, "{overwrite:?}: {name}");
        }
        for name in ["d/extra", "extra dir/extra", "becomes dir/extra", "link became dir/extra"] {
            assert_eq!(got[Path::new(name)], before[Path::new(name)], "{overwrite:?}: {name}");
        }
        assert_outside_untouched(&scene);
    }
}

/// Stops a restore at its n-th item.
struct Stopper<'a> {
    counters: &'a Counters,
    left: std::sync::atomic::AtomicI64,
}

impl Reporter for Stopper<'_> {
    fn event(&self, event: &Event<'_>) {
        if let Event::Item { action: Action::New | Action::Modified, .. } = event
            && self.left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            self.counters.stop.store(true, Ordering::SeqCst);
        }
    }
}

#[test]
fn an_interrupted_restore_leaves_no_half_file() {
    let scene = Scene::new();
    for number in 0..60_u64 {
        put(&scene.path(format!("d{}/file{number:02}", number % 4)), noise(number, 700_000));
    }
    let wanted = tree(&scene.source());
    save(&scene.repository, &scene.source(), LATER).unwrap();
    let entry = latest(&scene.repository);
    for over_others in [false, true] {
        for stop_at in [0, 1, 10, 40] {
            let out = tempfile::tempdir().unwrap();
            let target = out.path().join("source");
            if over_others {
                for number in 0..60_u64 {
                    put(&target.join(format!("d{}/file{number:02}", number % 4)), b"old");
                }
            }
            let counters = Counters::default();
            counters.stop.store(stop_at == 0, Ordering::SeqCst);
            let stopper = Stopper { counters: &counters, left: stop_at.into() };
            let options = restore_options(out.path());
            let outcome =
                restore(&scene.repository, &entry.snapshot, &options, &counters, &stopper);
            let what = format!("stopped at {stop_at}, over others: {over_others}");
            match outcome {
                Err(error) => assert_eq!(error.kind(), Kind::Interrupted, "{what}"),
                // All may have been on its way when the word came.
                Ok(_) => assert!(stop_at > 1, "{what}: not interrupted"),
            }
            if target.exists() {
                let old = *blake3::hash(b"old").as_bytes();
                for (path, item) in tree(&target) {
                    let name = path.file_name().unwrap_or_default().as_bytes();
                    assert!(!is_temporary_name(name), "{what}: {} was left", path.display());
                    let right = item.content == wanted[&path].content
                        || (over_others && item.content == Some(old));
                    assert!(right, "{what}: {} is half a file", path.display());
                }
            }
            // The same again completes it.
            restore_with(&scene.repository, &entry, &options);
            assert_same(&tree(&target), &wanted, &what);
        }
    }
}

#[test]
fn filters_take_what_they_name() {
    let scene = Scene::new();
    for name in ["a/keep.txt", "a/drop.tmp", "a/deep/keep.txt", "b/other.txt", "b/x.tmp", "c/y"] {
        put(&scene.path(name), name);
    }
    save(&scene.repository, &scene.source(), LATER).unwrap();
    let entry = latest(&scene.repository);
    let cases: [(&[&str], &[&str], &[&str]); 5] = [
        (&[], &["*.tmp"], &["a/deep/keep.txt", "a/keep.txt", "b/other.txt", "c/y"]),
        (&["*.tmp"], &[], &["a/drop.tmp", "b/x.tmp"]),
        (&["a"], &["deep"], &["a/drop.tmp", "a/keep.txt"]),
        (&["*.txt"], &["b"], &["a/deep/keep.txt", "a/keep.txt"]),
        (&["no such"], &[], &[]),
    ];
    for (include, exclude, wanted) in cases {
        let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        for delete in [false, true] {
            let out = tempfile::tempdir().unwrap();
            if delete {
                // What the filters do not take is not deleted either.
                put(&out.path().join("source/a/other.bin"), b"other");
            }
            let mut options = restore_options(out.path());
            options.delete = delete;
            options.filter = PathFilter::new(&owned(include), &owned(exclude)).unwrap();
            restore_with(&scene.repository, &entry, &options);
            let place = out.path().join("source");
            let got: BTreeSet<PathBuf> = if place.exists() {
                let files = tree(&place).into_iter().filter(|(_, item)| item.kind == "file");
                files.map(|(path, _)| path).collect()
            } else {
                BTreeSet::new()
            };
            let mut wanted: BTreeSet<PathBuf> = wanted.iter().map(PathBuf::from).collect();
            let takes_all_of_a = include.is_empty() || include.contains(&"a");
            if delete && !takes_all_of_a {
                wanted.insert("a/other.bin".into());
            }
            assert_eq!(got, wanted, "{include:?} {exclude:?} {delete}");
        }
    }
    // Excludes of the backup follow the same rules.
    let mut options = backup_options(&[&scene.source()]);
    options.excludes = Arc::new(
        Excludes::new(&ExcludeOptions {
            exclude: vec!["*.tmp".into(), "/deep".into(), "c".into(), "!c/y".into()],
            ..ExcludeOptions::default()
        })
        .unwrap(),
    );
    let report = save_with(&scene.repository, &options, LATER + SECOND).unwrap();
    assert_eq!((report.statistics.files, report.excluded_items), (3, 3));
}

#[test]
fn a_restore_needs_no_memory_of_its_own_machine() {
    let scene = Scene::new();
    put(&scene.path("file"), noise(1, 100_000));
    save(&scene.repository, &scene.source(), LATER).unwrap();
    let only_cache =
        LocalFolders { cache: Some(scene.folder.path().join("elsewhere")), state: None };
    let repository = common_engine::open(&scene.store, &only_cache).unwrap();
    let place = restored(&repository, &latest(&repository), &scene.out());
    assert_same(&tree(&place), &tree(&scene.source()), "no state");
    // Nor does a backup.
    put(&scene.path("file"), b"changed");
    let options = backup_options(&[&scene.source()]);
    let clock = TestClock(LATER + SECOND);
    backup(&repository, &options, &clock, &Counters::default(), &Silent).unwrap();
}
