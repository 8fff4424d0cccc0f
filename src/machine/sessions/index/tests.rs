//! The index against invented sessions, without files of any agent.
#![allow(
    clippy::cast_possible_wrap,
    clippy::unnecessary_wraps,
    clippy::disallowed_methods,
    reason = "small numbers; a reader may fail, and this one does not"
)]

use std::cell::Cell;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use proptest::prelude::*;

use super::stream::stream_by;
use super::*;
use crate::agents::session::{Part, Role, Session, Sink, Turn};
use crate::format::session::SessionEntry;
use crate::machine::sessions::SessionState;
use crate::time::{SECOND, Timestamp};

/// A session: who it is of, when it ended, and what was said.
#[derive(Debug, Clone)]
struct Talk {
    host: &'static str,
    id: String,
    last: i64,
    turns: Vec<(Role, String)>,
}

fn talk(id: &str, last: i64, words: &[&str]) -> Talk {
    let roles = [Role::User, Role::Assistant, Role::Tool];
    let turns = words.iter().zip(roles.iter().cycle()).map(|(it, role)| (*role, (*it).to_owned()));
    Talk { host: "here", id: id.to_owned(), last, turns: turns.collect() }
}

fn row(talk: &Talk) -> SessionRow {
    SessionRow {
        host: talk.host.to_owned(),
        agent: "codex".to_owned(),
        id: talk.id.clone(),
        entry: SessionEntry {
            last: Some(talk.last * SECOND),
            turns: talk.turns.len() as u64,
            bytes: talk.turns.iter().map(|turn| turn.1.len() as u64).sum(),
            ..SessionEntry::default()
        },
        state: SessionState::Unsaved,
        label: "main".to_owned(),
        place: b"/home".to_vec(),
        relative: talk.id.clone().into_bytes(),
        snapshot: None,
        local: None,
    }
}

fn say(talk: &Talk, sink: &mut dyn Sink) -> Result<()> {
    let _ = sink.begin(&talk.id);
    for (number, (role, words)) in talk.turns.iter().enumerate() {
        let turn = Turn {
            id: None,
            role: *role,
            at: Some(Timestamp(number as i64)),
            model: None,
            is_side: false,
            parts: vec![Part::Text(words.clone())],
        };
        if sink.turn(turn).is_break() {
            return Ok(());
        }
    }
    let _ = sink.end(Session { id: talk.id.clone(), ..Session::default() });
    Ok(())
}

/// A folder with an index, and the sessions that there are, newest first.
struct Scene {
    _folder: tempfile::TempDir,
    path: PathBuf,
    talks: Vec<Talk>,
}

impl Scene {
    fn new(talks: Vec<Talk>) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("search/x.sqlite");
        let mut scene = Scene { _folder: folder, path, talks };
        scene.sort();
        scene
    }

    fn sort(&mut self) {
        self.talks.sort_by_key(|talk| std::cmp::Reverse(talk.last));
    }

    fn rows(&self) -> Vec<SessionRow> {
        self.talks.iter().map(row).collect()
    }

    fn reader(&self) -> impl FnMut(&SessionRow, &mut dyn Sink) -> Result<()> + '_ {
        |row, sink| {
            let talk = self.talks.iter().find(|it| it.id == row.id && it.host == row.host).unwrap();
            say(talk, sink)
        }
    }

    fn open(&self) -> SearchIndex {
        SearchIndex::open(&self.path, false).unwrap()
    }

    fn update(&self) -> UpdateReport {
        let mut index = self.open();
        index.update_by(&mut self.reader(), &self.rows(), &mut |_| {}, &|| true).unwrap()
    }

    /// Searches in the index and by reading all, which must find the same.
    fn found(&self, query: &Query, role: Option<Role>) -> Vec<(String, Vec<u64>)> {
        let rows = self.rows();
        let wish = SearchWish { takes: &|_| true, sessions: 20, role };
        let found = self.open().search(query, &rows, &wish).unwrap();
        let (streamed, failed) =
            stream_by(&mut self.reader(), query, &rows, &wish, &|| Ok(())).unwrap();
        assert!(failed.is_empty());
        assert_eq!(found, streamed);
        let turns = |found: &FoundSession| found.hits.iter().map(|hit| hit.turn).collect();
        found.iter().map(|it| (rows[it.row].id.clone(), turns(it))).collect()
    }

    fn words(&self, words: &[&str]) -> Vec<(String, Vec<u64>)> {
        let words: Vec<String> = words.iter().map(|it| (*it).to_owned()).collect();
        self.found(&Query::words(&words, false).unwrap(), None)
    }

    fn count(&self, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        self.open().connection.query_row(&sql, [], |row| row.get(0)).unwrap()
    }
}

fn hit(id: &str, turns: &[u64]) -> (String, Vec<u64>) {
    (id.to_owned(), turns.to_vec())
}

#[test]
fn newer_sessions_come_first_with_their_last_hits_in_order() {
    let scene = Scene::new(vec![
        talk("old", 10, &["a basket", "no", "another basket"]),
        talk("new", 20, &["basket", "basket", "basket", "x", "basket of it"]),
        talk("none", 30, &["nothing"]),
    ]);
    assert_eq!(scene.update().read, 3);
    assert_eq!(scene.words(&["basket"]), [hit("new", &[2, 3, 5]), hit("old", &[1, 3])]);
    assert_eq!(scene.words(&["a basket"]), [hit("old", &[1])]);
    assert_eq!(scene.words(&["basket", "of"]), [hit("new", &[5])]);
    let query = Query::words(&["basket".to_owned()], false).unwrap();
    assert_eq!(scene.found(&query, Some(Role::Tool)), [hit("new", &[3]), hit("old", &[3])]);
    let query = Query::regex(&["bask.t$".to_owned()]).unwrap();
    assert_eq!(scene.found(&query, None), [hit("new", &[1, 2, 3]), hit("old", &[1, 3])]);
    let query = Query::regex(&[r"\Aa b".to_owned()]).unwrap();
    assert_eq!(scene.found(&query, None), [hit("old", &[1])]);
}

#[test]
fn of_a_session_that_grew_only_what_is_new_is_written() {
    let mut scene =
        Scene::new(vec![talk("a", 10, &["one", "two", "three"]), talk("b", 11, &["x"])]);
    scene.update();
    let before = scene.count("words");
    scene.talks[1] = talk("a", 30, &["one", "two", "three and", "four"]);
    scene.sort();
    assert_eq!(scene.update().read, 1);
    assert_eq!(scene.count("words"), before + 1);
    // The turn that went on, and the new one, lie in a span of their own; the others stayed.
    assert_eq!(scene.count("spans"), 3);
    assert_eq!(scene.words(&["three", "and"]), [hit("a", &[3])]);
    assert_eq!(scene.words(&["one"]), [hit("a", &[1])]);
    assert_eq!(scene.words(&["four"]), [hit("a", &[4])]);
    assert_eq!(scene.update().read, 0);
}

#[test]
fn a_session_that_was_rewritten_is_read_whole() {
    let mut scene = Scene::new(vec![talk("a", 10, &["one", "two", "three"])]);
    scene.update();
    scene.talks[0] = talk("a", 11, &["uno", "two", "three", "four"]);
    scene.update();
    assert_eq!(scene.words(&["one"]), []);
    assert_eq!(scene.words(&["uno"]), [hit("a", &[1])]);
    scene.talks[0] = talk("a", 12, &["uno"]);
    scene.update();
    assert_eq!(scene.words(&["three"]), []);
    assert_eq!((scene.count("words"), scene.count("blocks")), (1, 1));
}

#[test]
fn what_is_in_no_list_any_more_is_forgotten() {
    let mut scene = Scene::new(vec![talk("a", 10, &["one"]), talk("b", 10, &["two"])]);
    scene.update();
    scene.talks.retain(|talk| talk.id == "b");
    assert_eq!(scene.update().removed, 1);
    for (table, count) in [("words", 1), ("blocks", 1), ("sessions", 1), ("spans", 1)] {
        assert_eq!(scene.count(table), count, "{table}");
    }
    assert_eq!(scene.words(&["two"]), [hit("b", &[1])]);
}

#[test]
fn an_update_that_was_stopped_goes_on() {
    let long: Vec<String> =
        (0..400).map(|number| format!("{number} {}", "z".repeat(40_000))).collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    let scene = Scene::new(vec![talk("long", 20, &long), talk("short", 10, &["end"])]);
    let count = Cell::new(0);
    let go_on = || {
        count.set(count.get() + 1);
        count.get() < 300
    };
    let mut index = scene.open();
    let report = index.update_by(&mut scene.reader(), &scene.rows(), &mut |_| {}, &go_on).unwrap();
    assert!(report.is_partial && report.read == 0);
    let written = scene.count("words");
    assert!(written > 100, "{written}");
    assert_eq!(scene.update().read, 2);
    assert_eq!(scene.count("words"), 401);
    assert_eq!(scene.words(&["399"]), [hit("long", &[400])]);
    assert_eq!(scene.words(&["7"]), [hit("long", &[8])]);
    assert_eq!(scene.words(&["end"]), [hit("short", &[1])]);
}

#[test]
fn sessions_of_one_moment_keep_apart() {
    let talks = (0..30).map(|number| talk(&format!("s{number}"), 5, &["same", "words"])).collect();
    let mut scene = Scene::new(talks);
    scene.update();
    assert_eq!(scene.words(&["same"]).len(), 20);
    scene.talks[3].turns.push((Role::User, "third".to_owned()));
    scene.update();
    assert_eq!(scene.words(&["third"]).len(), 1);
    assert_eq!(scene.count("words"), 61);
}

#[test]
fn one_session_of_two_machines_is_told_once() {
    let other = Talk { host: "there", ..talk("a", 10, &["basket"]) };
    let grown = Talk { host: "there", ..talk("b", 12, &["basket", "more"]) };
    let scene =
        Scene::new(vec![talk("a", 10, &["basket"]), other, talk("b", 9, &["basket"]), grown]);
    scene.update();
    assert_eq!(scene.words(&["basket"]), [hit("b", &[1]), hit("a", &[1]), hit("b", &[1])]);
}

#[test]
fn a_file_of_ours_is_for_us_alone_and_anything_else_is_replaced() {
    let scene = Scene::new(vec![talk("a", 10, &["basket"])]);
    scene.update();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(scene.path.parent().unwrap()), 0o700);
    let index = scene.open();
    for end in ["", "-wal", "-shm"] {
        let path = PathBuf::from(format!("{}{end}", scene.path.display()));
        assert_eq!(mode(&path), 0o600, "{end}");
    }
    drop(index);
    std::fs::write(&scene.path, b"something else").unwrap();
    scene.update();
    assert_eq!(scene.words(&["basket"]), [hit("a", &[1])]);
    scene.open().connection.execute_batch("PRAGMA user_version = 99").unwrap();
    assert_eq!(scene.count("sessions"), 0);
    // The other tokenizer.
    scene.update();
    let parts = SearchIndex::open(&scene.path, true).unwrap();
    assert!(parts.finds_parts());
    drop(parts);
    assert_eq!(scene.count("sessions"), 0);
}

#[test]
fn damage_is_noticed_or_does_no_harm() {
    let words = "many different words of a session ".repeat(400);
    let talks = (0..40).map(|it| talk(&format!("s{it}"), it, &[&words, "basket"])).collect();
    let scene = Scene::new(talks);
    scene.update();
    drop(scene.open());
    let whole = std::fs::read(&scene.path).unwrap();
    let query = Query::words(&["basket".to_owned()], false).unwrap();
    let wish = SearchWish { takes: &|_| true, sessions: 20, role: None };
    for place in (100..whole.len()).step_by(whole.len() / 23) {
        let mut bytes = whole.clone();
        bytes[place..(place + 300).min(whole.len())].fill(0xa5);
        std::fs::write(&scene.path, bytes).unwrap();
        let mut index = scene.open();
        let result = index
            .update_by(&mut scene.reader(), &scene.rows(), &mut |_| {}, &|| true)
            .and_then(|_| index.search(&query, &scene.rows(), &wish).map(drop));
        if let Err(error) = result {
            assert_eq!(error.kind(), Kind::Damaged, "{place}: {error}");
            let mut index = index.renew().unwrap();
            index.update_by(&mut scene.reader(), &scene.rows(), &mut |_| {}, &|| true).unwrap();
            assert_eq!(index.search(&query, &scene.rows(), &wish).unwrap().len(), 20);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn after_any_changes_the_index_finds_what_reading_finds(
        steps in proptest::collection::vec(
            (0..4_usize, 0..50_i64, proptest::collection::vec("[ab]{1,2}( [ab]{1,2}){0,2}", 0..4), any::<bool>()),
            1..8,
        ),
        word in "[ab]{1,2}",
    ) {
        let mut scene = Scene::new(Vec::new());
        for (which, last, words, grows) in steps {
            let id = format!("s{which}");
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let mut next = talk(&id, last, &words);
            if let Some(place) = scene.talks.iter().position(|it| it.id == id) {
                let old = scene.talks.remove(place);
                if grows {
                    next.turns.splice(0..0, old.turns);
                }
            }
            scene.talks.push(next);
            scene.sort();
            scene.update();
            // `words` compares the two.
            scene.words(&[&word]);
        }
    }
}
