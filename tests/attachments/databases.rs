//! Databases are observed as they are saved: the same rows, whoever writes to them meanwhile.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use stash::engine::attachments::{file_prefix, read};

use crate::common_engine::{latest, restore_options, restore_with};
use crate::common_sqlite::{self, Holder, Orders, Writer, verify};
use crate::scene::{KIND, Scene};

fn create(path: &Path, mode: &str) -> Connection {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let database = Connection::open(path).unwrap();
    database.pragma_update(None, "journal_mode", mode).unwrap();
    database.execute_batch("CREATE TABLE turn (text TEXT)").unwrap();
    database
}

fn add(database: &Connection, count: u32) {
    database
        .execute_batch(&format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
             INSERT INTO turn SELECT hex(randomblob(20)) FROM n"
        ))
        .unwrap();
}

#[test]
fn what_is_noted_of_a_live_database_is_what_was_saved() {
    let scene = Scene::new();
    let path = scene.path("one/live.db");
    let pragmas = "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF";
    common_sqlite::create(&path, pragmas, 400, 100);
    let mut orders = Orders::new(&path, pragmas);
    orders.pause = Duration::from_micros(500);
    let mut writer = Writer::start(&orders);
    let mut exact = 0;
    for _ in 0..10 {
        writer.wait_for(20);
        scene.save();
        if scene.observer.connected.lock().unwrap().pop() == Some(true) {
            let into = tempfile::tempdir().unwrap();
            let entry = latest(&scene.repository);
            restore_with(&scene.repository, &entry, &restore_options(into.path()));
            let number = verify(&into.path().join("one/live.db")).unwrap();
            assert_eq!(noted(&scene, "live.db"), format!("commit {number}"));
            exact += 1;
        }
    }
    assert!(exact >= 3, "{exact} of 10 connections saw exactly what was saved");
}

fn noted(scene: &Scene, name: &str) -> String {
    let prefix = file_prefix("one", "main", name.as_bytes());
    let mut entries = read(&scene.repository, &scene.latest(), KIND, &prefix).unwrap();
    String::from_utf8(entries.next().unwrap().unwrap().value).unwrap()
}

#[test]
fn every_usual_way_of_taking_a_database_gives_a_connection() {
    let scene = Scene::new();
    // Closed, in WAL mode, with nothing beside it.
    add(&create(&scene.path("one/closed.db"), "WAL"), 10);
    // Small, with a rollback journal, and open.
    let small = scene.path("one/small.db");
    add(&create(&small, "DELETE"), 20);
    let _small = Holder::start(&small, "SELECT count(*) FROM turn");
    // Larger than is read at once.
    add(&create(&scene.path("one/large.db"), "DELETE"), 150_000);
    // Open, in WAL mode, with rows in its log.
    let live = scene.path("one/live.db");
    create(&live, "WAL");
    let insert = "INSERT INTO turn SELECT 'row' FROM (VALUES (1), (2), (3), (4))";
    let _live = Holder::start(&live, insert);
    // Left by a process that died: its log lies there still.
    let other = create(&scene.path("other.db"), "WAL");
    add(&other, 50);
    for end in ["", "-wal"] {
        let (from, to) = (format!("other.db{end}"), format!("one/left.db{end}"));
        std::fs::copy(scene.path(&from), scene.path(&to)).unwrap();
    }
    assert!(std::fs::metadata(scene.path("one/large.db")).unwrap().len() > 5 << 20);
    let before = names(&scene.path("one"));
    scene.save();
    assert_eq!(*scene.observer.connected.lock().unwrap(), [true; 5]);
    assert_eq!(
        scene.notes(),
        [
            "one/closed.db turn: 10 rows",
            "one/large.db turn: 150000 rows",
            "one/left.db turn: 50 rows",
            "one/live.db turn: 4 rows",
            "one/small.db turn: 20 rows",
        ]
    );
    assert_eq!(names(&scene.path("one")), before, "nothing is left beside a database");
    // Unchanged: not looked at again. Changed: observed as it is then.
    scene.observer.take_asked();
    add(&Connection::open(&small).unwrap(), 1);
    scene.save();
    assert_eq!(scene.observer.take_asked(), ["one/small.db 1"]);
    assert_eq!(noted(&scene, "small.db"), "21 rows");
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_database_that_the_observer_cannot_read_is_saved_all_the_same() {
    let scene = Scene::new();
    let database = create(&scene.path("one/odd.db"), "WAL");
    database.execute_batch("DROP TABLE turn; CREATE TABLE other (x)").unwrap();
    let (report, notes) = scene.save_with(&scene.options(scene.both()));
    assert_eq!((report.statistics.errors, report.statistics.files), (0, 1));
    assert!(notes.len() == 1 && notes[0].contains("no such table"), "{notes:?}");
}
