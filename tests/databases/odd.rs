//! Every odd state of a database, through a whole backup and back.

use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use stash::format::tree::Capture;

use crate::common_engine::trees::{assert_same, tree};
use crate::common_engine::{noise, put};
use crate::common_sqlite::{Holder, create, verify};
use crate::home::Home;
use crate::scene::{COMMIT, Scene, commit, names};

const WAL: &str = "PRAGMA journal_mode = WAL;";
const DELETE: &str = "PRAGMA journal_mode = DELETE;";
/// Holds everybody off, with a journal on disk and changed pages in the file.
const HELD: &str =
    "PRAGMA cache_size = 2; BEGIN EXCLUSIVE; UPDATE accounts SET filler = randomblob(900);";

fn assert_names(folder: &Path, expected: &[&str]) {
    assert!(names(folder).iter().eq(expected), "{:?}", names(folder));
}

#[test]
fn what_is_no_database_is_saved_as_any_file() {
    let scene = Scene::new();
    put(&scene.path("vault.db"), noise(1, 100_000));
    put(&scene.path("vault.db-wal"), noise(2, 5_000));
    put(&scene.path("empty.db"), "");
    put(&scene.path("empty.db-journal"), noise(3, 700));
    put(&scene.path("short.sqlite"), "SQLite format 3");
    put(&scene.path("gone.db-wal"), noise(4, 50_000));
    put(&scene.path("gone.db-shm"), noise(5, 32_768));
    scene.save().cleanly();
    for name in names(&scene.path("")) {
        scene.assert_capture(&name, Capture::None);
    }
    let saved = scene.restore_latest();
    assert_same(&tree(&saved.path), &tree(&scene.path("")), "restored");
    assert_eq!(scene.save().cleanly().puts.len(), 0);
}

#[test]
fn a_log_whose_database_goes_away_is_saved_from_then_on() {
    let scene = Scene::new();
    let path = scene.path("state.db");
    create(&path, WAL, 50, 500);
    commit(&path, COMMIT);
    scene.save().cleanly();
    assert_names(&scene.restore_latest().path, &["state.db"]);
    std::fs::remove_file(&path).unwrap();
    scene.save().cleanly();
    let left = ["state.db-shm", "state.db-wal"];
    assert_names(&scene.restore_latest().path, &left);
    for name in left {
        scene.assert_capture(name, Capture::None);
    }
}

#[test]
fn an_interrupted_transaction_is_rolled_back_in_what_is_saved() {
    let scene = Scene::new();
    let other = Scene::new();
    create(&other.path("state.db"), DELETE, 200, 100);
    commit(&other.path("state.db"), COMMIT);
    let holder = Holder::start(&other.path("state.db"), HELD);
    for name in ["state.db", "state.db-journal"] {
        std::fs::copy(other.path(name), scene.path(name)).unwrap();
    }
    drop(holder);
    assert!(verify(&scene.path("state.db")).is_err());
    let before = tree(&scene.path(""));
    scene.save().cleanly();
    scene.assert_capture("state.db", Capture::Consistent);
    assert_same(&tree(&scene.path("")), &before, "the source");
    let restored = scene.restore_latest();
    assert_names(&restored.path, &["state.db"]);
    assert_eq!(verify(&restored.path.join("state.db")), Ok(1));
    // Once somebody opens it, it is rolled back in place; what is saved stays what it was.
    commit(&scene.path("state.db"), "SELECT * FROM accounts;");
    assert_names(&scene.path(""), &["state.db"]);
    scene.save().cleanly();
    assert_eq!(verify(&scene.restore_latest().path.join("state.db")), Ok(1));
}

#[test]
fn a_database_held_for_the_whole_run_is_saved_raw_with_its_journal() {
    let scene = Scene::new();
    let path = scene.path("state.db");
    create(&path, DELETE, 200, 100);
    commit(&path, COMMIT);
    let holder = Holder::start(&path, HELD);
    // Again and again: what is in doubt is never taken for unchanged.
    for _ in 0..2 {
        let saved = scene.save().with_errors(1);
        assert!(saved.notes[0].contains("one moment"), "{:?}", saved.notes);
        scene.assert_capture("state.db", Capture::Raw);
        scene.assert_capture("state.db-journal", Capture::None);
    }
    let restored = scene.restore_latest();
    assert_same(&tree(&restored.path), &tree(&scene.path("")), "restored");
    // The two together are what SQLite recovers from.
    let copy = restored.path.join("state.db");
    commit(&copy, "SELECT * FROM accounts;");
    assert_eq!(verify(&copy), Ok(1));
    drop(holder);
    scene.save().cleanly();
    scene.assert_capture("state.db", Capture::Consistent);
    let restored = scene.restore_latest();
    assert_names(&restored.path, &["state.db"]);
    assert_eq!(verify(&restored.path.join("state.db")), Ok(1));
}

#[test]
fn the_command_ends_with_3_when_a_database_is_in_doubt() {
    let home = Home::new();
    home.run(&["init"]).code(0);
    create(&home.path("work/state.db"), DELETE, 200, 100);
    let holder = Holder::start(&home.path("work/state.db"), HELD);
    let output = home.run(&["backup", "work"]).code(3);
    assert!(output.err.contains("state.db") && output.err.contains("one moment"), "{}", output.err);
    drop(holder);
    home.run(&["backup", "work"]).code(0);
}

#[test]
fn a_version_that_is_not_known_is_saved_raw_with_its_log() {
    let scene = Scene::new();
    let path = scene.path("state.db");
    create(&path, WAL, 50, 500);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[3, 3], 18).unwrap();
    put(&scene.path("state.db-wal"), noise(1, 20_000));
    put(&scene.path("state.db-shm"), noise(1, 32_768));
    scene.save().with_errors(1);
    scene.assert_capture("state.db", Capture::Raw);
    std::fs::remove_file(scene.path("state.db-shm")).unwrap();
    let (restored, source) = (tree(&scene.restore_latest().path), tree(&scene.path("")));
    for name in ["state.db", "state.db-wal"].map(Path::new) {
        assert_eq!(restored[name], source[name]);
    }
    assert_eq!(restored.len(), 3);
}

#[test]
fn two_names_of_one_database_stay_one_file() {
    for is_live in [false, true] {
        let scene = Scene::new();
        let (first, second) = (scene.path("a.db"), scene.path("b.db"));
        create(&first, WAL, 200, 500);
        std::fs::hard_link(&first, &second).unwrap();
        let _holder = is_live.then(|| Holder::start(&first, COMMIT));
        // Under the name whose log is elsewhere, a database in use can't be read as of a moment.
        scene.save().with_errors(u64::from(is_live));
        scene.assert_capture("a.db", Capture::Consistent);
        let restored = scene.restore_latest();
        assert_names(&restored.path, &["a.db", "b.db"]);
        let inode = |name| std::fs::metadata(restored.path.join(name)).unwrap().ino();
        assert_eq!(inode("a.db"), inode("b.db"));
        assert_eq!(verify(&restored.path.join("a.db")), Ok(u64::from(is_live)));
    }
}

/// Ends a thread, whatever becomes of the test.
struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_database_that_is_replaced_while_it_is_saved_is_one_or_the_other() {
    let scene = Scene::new();
    let path = scene.path("state.db");
    let (one, other, next) = (scene.beside("one"), scene.beside("other"), scene.beside("next"));
    create(&one, WAL, 2_000, 500);
    create(&other, WAL, 500, 500);
    let connection = Connection::open(&other).unwrap();
    connection.execute_batch(COMMIT).unwrap();
    connection.close().unwrap();
    std::fs::copy(&one, &path).unwrap();
    let contents = [&one, &other].map(|path| std::fs::read(path).unwrap());
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for from in [&other, &one].into_iter().cycle() {
                if is_done.load(Ordering::Relaxed) {
                    break;
                }
                std::fs::copy(from, &next).unwrap();
                std::fs::rename(&next, &path).unwrap();
                std::thread::sleep(Duration::from_micros(fastrand::u64(..80_000)));
            }
        });
        let _end = SetAtEnd(&is_done);
        let mut raw = 0;
        for _ in 0..12 {
            // Twelve tries may all have met another file: that is told.
            let errors = scene.save_now().report.statistics.errors;
            let capture = if errors == 0 { Capture::Consistent } else { Capture::Raw };
            scene.assert_capture("state.db", capture);
            raw += errors;
            let restored = scene.restore_latest();
            assert!(contents.contains(&std::fs::read(restored.path.join("state.db")).unwrap()));
        }
        assert!(raw < 6, "{raw} of 12 in doubt");
    });
}

const SAVE: &str = "STASH_TEST_DATABASES_FOLDER";

/// Saves a folder as a user who may write nothing there; does nothing unless started for that.
#[test]
fn stranger_process() {
    let Ok(folder) = std::env::var(SAVE) else { return };
    let scene = Scene::of(Path::new(&folder));
    scene.save().cleanly();
    scene.assert_capture("state.db", Capture::Consistent);
    let restored = scene.restore_latest();
    assert_names(&restored.path, &["state.db"]);
    let expected = std::fs::read_to_string(Path::new(&folder).with_extension("number")).unwrap();
    assert_eq!(verify(&restored.path.join("state.db")), Ok(expected.parse().unwrap()));
    std::fs::set_permissions(&restored.path, PermissionsExt::from_mode(0o755)).unwrap();
}

/// Saves `source` as another user, from a folder that can't be written to.
#[track_caller]
fn save_as_stranger(scene: &Scene, number: u64) {
    let tools = tempfile::tempdir().unwrap();
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    let program = tools.path().join("stranger");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    mode(tools.path(), 0o755);
    mode(&scene.beside(""), 0o755);
    mode(&scene.path(""), 0o555);
    std::fs::write(scene.beside("source.number"), number.to_string()).unwrap();
    let mut command = std::process::Command::new(&program);
    command.args(["odd::stranger_process", "--exact"]).env(SAVE, scene.beside("source"));
    if rustix::process::getuid().is_root() {
        std::os::unix::process::CommandExt::uid(&mut command, 65_534);
    }
    let before = names(&scene.path(""));
    let output = loop {
        match command.output() {
            // A process that another test has just begun still has the copy open for writing.
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {}
            output => break output.unwrap(),
        }
    };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!(names(&scene.path("")), before);
    mode(&scene.path(""), 0o755);
}

#[test]
fn a_folder_that_cannot_be_written_to_is_saved_like_any() {
    let scene = Scene::new();
    let path = scene.path("state.db");
    create(&path, WAL, 200, 500);
    save_as_stranger(&scene, 0);
    commit(&path, COMMIT);
    save_as_stranger(&scene, 1);
    let holder = Holder::start(&path, COMMIT);
    save_as_stranger(&scene, 2);
    drop(holder);
    let rollback = Scene::new();
    create(&rollback.path("state.db"), DELETE, 200, 500);
    save_as_stranger(&rollback, 0);
}
