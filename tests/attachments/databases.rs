//! Databases are observed as they are saved: the same rows, whoever writes to them meanwhile.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use stash::engine::attachments::{file_prefix, read};

use crate::common_engine::{latest, restore_options, restore_with};
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

/// Returns how many rows the newest snapshot's database has, restored.
fn restored_rows(scene: &Scene, name: &str) -> i64 {
    let into = tempfile::tempdir().unwrap();
    restore_with(&scene.repository, &latest(&scene.repository), &restore_options(into.path()));
    let path = into.path().join("one").join(name);
    let database = Connection::open(path).unwrap();
    database.query_row("SELECT count(*) FROM turn", [], |row| row.get(0)).unwrap()
}

/// Ends the writer, also where the test fails.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn noted(scene: &Scene, name: &str) -> String {
    let prefix = file_prefix("one", "main", name.as_bytes());
    let mut entries = read(&scene.repository, &scene.latest(), KIND, &prefix).unwrap();
    String::from_utf8(entries.next().unwrap().unwrap().value).unwrap()
}

#[test]
fn what_is_noted_of_a_live_database_is_what_was_saved() {
    let scene = Scene::new();
    let path = scene.path("one/live.db");
    add(&create(&path, "WAL"), 100);
    let stop = AtomicBool::new(false);
    let mut exact = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let writer = Connection::open(&path).unwrap();
            writer.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
            while !stop.load(Ordering::Relaxed) {
                add(&writer, 3);
                std::thread::sleep(std::time::Duration::from_micros(300));
            }
        });
        let _stops = Stops(&stop);
        for _ in 0..15 {
            scene.save_with(&scene.options(scene.both()));
            if scene.observer.connected.lock().unwrap().pop() == Some(true) {
                assert_eq!(
                    noted(&scene, "live.db"),
                    format!("{} rows", restored_rows(&scene, "live.db"))
                );
                exact += 1;
            }
        }
    });
    assert!(exact > 0, "no connection saw exactly what was saved");
}

#[test]
fn every_usual_way_of_taking_a_database_gives_a_connection() {
    let scene = Scene::new();
    // Closed, in WAL mode, with nothing beside it.
    add(&create(&scene.path("one/closed.db"), "WAL"), 10);
    // Small, with a rollback journal, and open.
    let small = create(&scene.path("one/small.db"), "DELETE");
    add(&small, 20);
    // Larger than is read at once.
    let large = create(&scene.path("one/large.db"), "DELETE");
    add(&large, 150_000);
    // Open, in WAL mode, with rows in its log.
    let live = create(&scene.path("one/live.db"), "WAL");
    add(&live, 40);
    // Left by a process that died: its log lies there still.
    let other = create(&scene.path("one/other.db"), "WAL");
    add(&other, 50);
    for end in ["", "-wal"] {
        let (from, to) = (format!("one/other.db{end}"), format!("one/left.db{end}"));
        std::fs::copy(scene.path(&from), scene.path(&to)).unwrap();
    }
    assert!(std::fs::metadata(scene.path("one/large.db")).unwrap().len() > 5 << 20);
    let before = names(&scene.path("one"));
    scene.save();
    assert_eq!(*scene.observer.connected.lock().unwrap(), [true; 6]);
    assert_eq!(
        scene.notes(),
        [
            "one/closed.db turn: 10 rows",
            "one/large.db turn: 150000 rows",
            "one/left.db turn: 50 rows",
            "one/live.db turn: 40 rows",
            "one/other.db turn: 50 rows",
            "one/small.db turn: 20 rows",
        ]
    );
    assert_eq!(names(&scene.path("one")), before, "nothing is left beside a database");
    // Unchanged: not looked at again. Changed: observed as it is then.
    scene.observer.take_asked();
    add(&small, 1);
    scene.save();
    assert_eq!(scene.observer.take_asked(), ["one/small.db 1"]);
    assert_eq!(noted(&scene, "small.db"), "21 rows");
    // Whoever had it open can still write to it.
    add(&live, 1);
    add(&large, 1);
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
