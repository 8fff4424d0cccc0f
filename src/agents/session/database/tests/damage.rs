//! Databases that are cut, overwritten, written to meanwhile, or no databases.
#![expect(clippy::disallowed_methods, reason = "a test damages files of its own")]

use std::path::Path;

use rusqlite::OpenFlags;

use super::*;
use crate::agents::SessionShape::{
    ClaudeJsonl, CrushDb, CursorKv, CursorStore, GooseDb, KiroDb, OpenclawDb, OpencodeDb, ZedDb,
};

const ALL: [SessionShape; 8] =
    [OpencodeDb, GooseDb, CrushDb, CursorKv, CursorStore, KiroDb, ZedDb, OpenclawDb];

/// A database with many sessions of one message, each on pages of its own.
fn many(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch(
            r#"PRAGMA page_size = 512; PRAGMA synchronous = off; BEGIN;
            CREATE TABLE sessions(id TEXT PRIMARY KEY, name TEXT, working_dir TEXT, created_at TEXT, updated_at TEXT);
            CREATE TABLE messages(id INTEGER PRIMARY KEY, session_id TEXT, role TEXT, content_json TEXT, created_timestamp INTEGER);
            CREATE INDEX i ON messages(session_id);
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
            INSERT INTO sessions SELECT 's' || i, 'n', '/x', '2026-11-08 10:00:00', '2026-11-08 10:00:00' FROM n;
            INSERT INTO messages(session_id, role, content_json, created_timestamp)
              SELECT id, 'user', '[{"type":"text","text":"MARK' || id || hex(zeroblob(700)) || '"}]', 1794132000 FROM sessions;
            COMMIT;"#,
        )
        .unwrap();
    connection
}

fn open(path: &Path) -> Connection {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

#[test]
fn sessions_on_bad_pages_end_there_and_all_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    drop(many(&path));
    let mut bytes = std::fs::read(&path).unwrap();
    // The page of one message's row: its head is overwritten.
    let mark = bytes.windows(8).position(|it| it == b"MARKs199").unwrap();
    let page = mark / 512 * 512;
    bytes[page..page + 8].fill(0xee);
    std::fs::write(&path, &bytes).unwrap();
    let (found, result) = read_which(GooseDb, &open(&path), Which::All, Wanted::Turns);
    let error = result.unwrap_err();
    assert!(error.to_string().starts_with("cannot read all sessions of `folder/chat-1/store.db`"));
    assert!(error.hint_text().unwrap().starts_with("200 sessions were read"), "{error:?}");
    assert_eq!(found.sessions.len(), 200);
    let torn: Vec<_> = found.sessions.iter().filter(|(it, _)| it.gaps.is_torn).collect();
    assert!((1..10).contains(&torn.len()));
    assert!(
        torn.iter().any(|(session, turns)| session.id == "s199" && turns.is_empty()),
        "{torn:?}"
    );
    let whole = found.sessions.iter().filter(|(_, turns)| turns.len() == 1).count();
    assert_eq!(whole + torn.len(), 200);
}

#[test]
fn what_is_no_database_is_an_error_for_each_shape() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in
        [("text", &b"hello, this is no database at all"[..]), ("zeros", &[0; 4096])]
    {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        for shape in ALL {
            let (found, result) = read_which(shape, &open(&path), Which::All, Wanted::Turns);
            assert!(result.is_err(), "{name} {shape:?}");
            assert!(found.sessions.is_empty());
        }
    }
    let (_, result) = read_which(ClaudeJsonl, &memory(""), Which::All, Wanted::Turns);
    assert!(result.is_err());
    for shape in ALL {
        let (found, result) = read_which(shape, &memory(""), Which::All, Wanted::Turns);
        result.unwrap();
        assert!(found.sessions.iter().all(|(session, _)| session.gaps.is_other_schema));
    }
}

#[test]
fn damage_of_any_kind_is_an_error_at_most_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    drop(many(&path));
    let whole = std::fs::read(&path).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..90 {
        let mut bytes = whole.clone();
        if round % 3 == 0 {
            bytes.truncate(random.usize(100..bytes.len()));
        }
        for _ in 0..random.usize(1..40) {
            // Mostly the heads of pages, where damage hurts most.
            let page = random.usize(0..=bytes.len() / 512) * 512;
            let place = (page + random.usize(0..40)).min(bytes.len() - 1);
            bytes[place] = random.u8(..);
        }
        std::fs::write(&path, &bytes).unwrap();
        for wanted in [Wanted::Turns, Wanted::Outline] {
            let (found, _) = read_which(GooseDb, &open(&path), Which::All, wanted);
            assert!(found.open.is_none(), "a session was left open");
        }
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}

/// Writes to the database when it is told of its first sessions.
struct Writing<'w>(&'w Connection, Collected);

impl Sink for Writing<'_> {
    fn begin(&mut self, id: &str) -> ControlFlow<()> {
        if self.1.sessions.len() < 10 {
            self.0
            .execute_batch(
                "INSERT INTO messages(session_id, role, content_json) SELECT id, 'user', '[]' FROM sessions;
                 INSERT INTO sessions(id) VALUES('later' || random());",
            )
            .unwrap();
        }
        self.1.begin(id)
    }

    fn turn(&mut self, turn: Turn) -> ControlFlow<()> {
        self.1.turn(turn)
    }

    fn end(&mut self, session: Session) -> ControlFlow<()> {
        self.1.end(session)
    }
}

#[test]
fn a_live_writer_goes_on_and_the_reader_sees_one_moment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let writer = many(&path);
    writer.pragma_update(None, "journal_mode", "wal").unwrap();
    writer.execute_batch("DELETE FROM messages WHERE session_id > 's2'").unwrap();

    let mut sink = Writing(&writer, Collected::default());
    let source = Source { shape: GooseDb, root: b"/root", relative: b"", size: 0, files: &NoFiles };
    let reader = open(&path);
    read_database(&source, &reader, Which::All, Wanted::Turns, &mut sink).unwrap();
    let found = sink.1;
    assert_eq!(found.sessions.len(), 200);
    let turns: usize = found.sessions.iter().map(|(_, turns)| turns.len()).sum();
    let before = i64::try_from(turns).unwrap();
    let after: i64 =
        reader.query_row("SELECT count(*) FROM messages", [], |row| row.get(0)).unwrap();
    assert!(before < 200 && after > 1_500, "{before} {after}");

    // One by one too, where no query holds the moment by itself.
    let mut sink = Writing(&writer, Collected::default());
    let ids = Which::Ids(&["s1", "s10", "s100"]);
    read_database(&source, &reader, ids, Wanted::Turns, &mut sink).unwrap();
    let counts: Vec<_> = sink.1.sessions.iter().map(|(session, _)| session.turns).collect();
    assert_eq!(counts, [11; 3]);
}

#[test]
fn a_sink_that_has_enough_ends_the_reading_without_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let connection = many(&folder.path().join("a.db"));
    let mut found = Collected { stop_after: Some(1), ..Collected::default() };
    let source = Source { shape: GooseDb, root: b"/root", relative: b"", size: 0, files: &NoFiles };
    read_database(&source, &connection, Which::All, Wanted::Turns, &mut found).unwrap();
    assert_eq!(found.turns.len(), 1);
    // The connection is as it was.
    connection.execute_batch("DELETE FROM messages").unwrap();
}
