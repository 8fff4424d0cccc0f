//! What has not changed is not read, what has is seen, and what changed little costs little.

use std::fs::{File, FileTimes};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use rusqlite::Connection;
use stash::format::tree::Capture;

use crate::common_sqlite::{Holder, create, verify};
use crate::scene::{COMMIT, Scene, commit, run_sql};

const WAL: &str = "PRAGMA journal_mode = WAL;";

/// Tells whether somebody opens or reads one of some files.
#[cfg(target_os = "linux")]
struct Watch(std::os::fd::OwnedFd);

#[cfg(target_os = "linux")]
impl Watch {
    fn start(paths: &[&Path]) -> Watch {
        use rustix::fs::inotify;
        let watch = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
        for path in paths {
            let flags = inotify::WatchFlags::OPEN | inotify::WatchFlags::ACCESS;
            inotify::add_watch(&watch, *path, flags).unwrap();
        }
        Watch(watch)
    }

    /// Returns how often since the last time.
    fn take(&self) -> usize {
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut events = rustix::fs::inotify::Reader::new(&self.0, &mut buffer);
        std::iter::from_fn(|| events.next().ok().map(drop)).count()
    }
}

/// Returns size and modification time.
fn look(path: &Path) -> (u64, i64, i64) {
    let metadata = std::fs::metadata(path).unwrap();
    (metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

#[cfg(target_os = "linux")]
#[test]
fn what_has_not_changed_costs_no_put_and_is_not_even_opened() {
    for statements in [WAL, "PRAGMA journal_mode = DELETE;"] {
        let scene = Scene::new();
        let (closed, live) = (scene.path("closed.db"), scene.path("live.db"));
        create(&closed, statements, 500, 500);
        create(&live, statements, 500, 500);
        // Open, with commits in its log where it has one.
        let _holder = Holder::start(&live, COMMIT);
        let watch = Watch::start(&[&closed, &live]);
        scene.save().cleanly();
        assert!(watch.take() > 0, "the watch sees nothing");
        let before = scene.latest();
        for _ in 0..3 {
            let saved = scene.save().cleanly();
            assert_eq!(watch.take(), 0, "a database was opened: {statements}");
            assert_eq!((saved.puts.len(), saved.report.snapshot), (0, None));
            assert_eq!(saved.report.files_unchanged, 2);
        }
        assert_eq!(scene.latest().id, before.id);
        // In another folder something changes: they are still not opened.
        std::fs::write(scene.path("other"), "new").unwrap();
        scene.save().cleanly();
        assert_eq!(watch.take(), 0);
        assert_eq!(verify(&scene.restore_latest().path.join("live.db")), Ok(1));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_was_written_just_now_is_read_once_more() {
    let scene = Scene::new();
    let path = scene.path("state.db");
    create(&path, WAL, 50, 500);
    scene.save_now().cleanly();
    let watch = Watch::start(&[&path]);
    scene.save_now().cleanly();
    assert!(watch.take() > 0, "a change within the clock's grain would be missed");
}

/// Run by root, SQLite itself sets the log's change time whenever it opens it.
#[cfg(target_os = "linux")]
#[test]
fn a_live_database_is_known_when_its_last_commit_is_seconds_old() {
    let scene = Scene::new();
    let path = scene.path("state.db");
    create(&path, WAL, 50, 500);
    let _holder = Holder::start(&path, COMMIT);
    std::thread::sleep(std::time::Duration::from_millis(2_300));
    scene.save_now().cleanly();
    let watch = Watch::start(&[&path]);
    scene.save_now().cleanly();
    assert_eq!(watch.take(), 0);
}

#[test]
fn a_commit_that_is_in_the_log_alone_is_seen() {
    let scene = Scene::new();
    let path = scene.path("state.db");
    create(&path, WAL, 500, 500);
    scene.save().cleanly();
    let before = look(&path);
    for number in 1..4 {
        commit(&path, COMMIT);
        assert_eq!(look(&path), before, "the file itself is as it was");
        scene.save().cleanly();
        scene.assert_capture("state.db", Capture::Consistent);
        let restored = scene.restore_latest();
        assert_eq!(verify(&restored.path.join("state.db")), Ok(number));
        assert!(restored.names().iter().eq(["state.db"]));
    }
    // The log begins anew and keeps its length; both files are given their old times.
    let files = [path.clone(), scene.path("state.db-wal")];
    let before = files.each_ref().map(|path| look(path));
    let times = files.each_ref().map(|path| std::fs::metadata(path).unwrap().modified().unwrap());
    commit(&path, &format!("PRAGMA wal_checkpoint(RESTART); {COMMIT}"));
    for (path, time) in files.iter().zip(times) {
        let file = File::options().write(true).open(path).unwrap();
        file.set_times(FileTimes::new().set_modified(time)).unwrap();
    }
    assert_eq!(files.each_ref().map(|path| look(path)), before);
    scene.save().cleanly();
    assert_eq!(verify(&scene.restore_latest().path.join("state.db")), Ok(4));
}

#[test]
fn a_raw_change_with_size_and_time_put_back_is_seen() {
    let scene = Scene::new();
    let path = scene.path("state.db");
    create(&path, WAL, 500, 500);
    scene.save().cleanly();
    let before = look(&path);
    let time = std::fs::metadata(&path).unwrap().modified().unwrap();
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 100_001).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 100_001).unwrap();
    file.set_times(FileTimes::new().set_modified(time)).unwrap();
    drop(file);
    assert_eq!(look(&path), before);
    let saved = scene.save().cleanly();
    assert!(saved.report.snapshot.is_some());
    assert_restores(&scene, &path);
}

#[track_caller]
fn assert_restores(scene: &Scene, path: &Path) {
    let restored = scene.restore_latest();
    assert!(!path.with_extension("db-wal").exists(), "the file is not all there is");
    let copy = restored.path.join(path.file_name().unwrap());
    assert!(std::fs::read(copy).unwrap() == std::fs::read(path).unwrap());
}

#[test]
fn one_row_of_a_large_database_costs_two_kilobytes() {
    let scene = Scene::new();
    let path = scene.path("state.db");
    create(&path, WAL, 80_000, 700);
    let plain = look(&path).0;
    assert!(plain > 58_000_000, "{plain}");
    scene.save().cleanly();
    let rows = [40_000, 7, 79_999, 40_001].map(|row| (row, "balance = balance + 1"));
    for (row, change) in rows.into_iter().chain([(123, "filler = zeroblob(700)")]) {
        run_sql(&path, &format!("UPDATE accounts SET {change} WHERE id = {row};"));
        let saved = scene.save().cleanly();
        let (stored, puts) = (saved.stored_bytes(), saved.puts.len());
        eprintln!("one row of {plain} bytes: {stored} stored in {puts} puts");
        assert_eq!(stored, saved.report.statistics.stored_bytes);
        assert!(stored <= 2_048 && (1..=2).contains(&puts), "{stored} in {puts}");
    }
    assert_restores(&scene, &path);
}

#[test]
fn a_vacuum_costs_a_fraction_of_the_database() {
    let scene = Scene::new();
    let path = scene.path("state.db");
    create(&path, WAL, 40_000, 450);
    let first = scene.save().cleanly().stored_bytes();
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("DELETE FROM accounts WHERE id % 50 = 7; VACUUM;").unwrap();
    connection.close().unwrap();
    let plain = look(&path).0;
    let saved = scene.save().cleanly();
    let stored = saved.stored_bytes();
    eprintln!("vacuum: {stored} of {plain} bytes, {first} at first");
    assert!(stored < plain * 3 / 5, "{stored} of {plain}");
    assert_restores(&scene, &path);
}
