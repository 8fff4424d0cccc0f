//! A database as a coding agent keeps it, and what happens to it: sessions, messages, parts; ids in
//! the order of time, JSON in text, an index for each way in; a log, carried over when it is closed.

use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rusqlite::Connection;

use crate::data::Writer;

/// Messages of a session, and parts of a message.
const MESSAGES: u64 = 60;
const PARTS: u64 = 3;

/// Opens a database as the agent does.
pub fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(std::time::Duration::from_secs(20))?;
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")?;
    Ok(connection)
}

fn id(kind: &str, number: u64) -> String {
    let noise = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
    format!("{kind}_{number:012x}{noise:016x}")
}

/// Makes a database of about `bytes`.
pub fn create(writer: &mut Writer, path: &Path, bytes: u64) -> rusqlite::Result<()> {
    let mut connection = open(path)?;
    connection.execute_batch(
        "PRAGMA synchronous = OFF;
         CREATE TABLE session (id TEXT PRIMARY KEY, project_id TEXT NOT NULL, directory TEXT,
             title TEXT, time_created INTEGER, time_updated INTEGER);
         CREATE TABLE message (id TEXT PRIMARY KEY, session_id TEXT NOT NULL,
             time_created INTEGER, time_updated INTEGER, data TEXT NOT NULL);
         CREATE TABLE part (id TEXT PRIMARY KEY, message_id TEXT NOT NULL,
             session_id TEXT NOT NULL, time_created INTEGER, time_updated INTEGER,
             data TEXT NOT NULL);
         CREATE INDEX session_project ON session (project_id);
         CREATE INDEX message_session ON message (session_id);
         CREATE INDEX part_message ON part (message_id);
         CREATE INDEX part_session ON part (session_id);",
    )?;
    let page_bytes = 4096;
    let mut number = 0;
    loop {
        let pages: u64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        if pages * page_bytes >= bytes {
            break;
        }
        let transaction = connection.transaction()?;
        for _ in 0..10 {
            add_session(writer, &transaction, number)?;
            number += 1;
        }
        transaction.commit()?;
    }
    close(connection)
}

fn add_session(writer: &mut Writer, connection: &Connection, number: u64) -> rusqlite::Result<()> {
    let session = id("ses", number);
    let time = 1_750_000_000_000 + number * 600_000;
    connection.prepare_cached("INSERT INTO session VALUES (?1, ?2, ?3, ?4, ?5, ?5)")?.execute((
        &session,
        id("prj", number % 40),
        format!("/home/u/project{}", number % 40),
        format!("Session {number}"),
        time,
    ))?;
    for place in 0..MESSAGES {
        let number = number * MESSAGES + place;
        let (message, time) = (id("msg", number), time + place * 9_000);
        let data = format!(
            "{{\"role\":\"assistant\",\"parentID\":\"{}\",\"modelID\":\"a-model\",\"providerID\":\"a\",\
             \"cost\":0,\"tokens\":{{\"input\":{},\"output\":{}}},\"time\":{{\"created\":{time}}}}}",
            id("msg", number.saturating_sub(1)),
            number * 37 % 90_000,
            number * 13 % 4_000,
        );
        connection
            .prepare_cached("INSERT INTO message VALUES (?1, ?2, ?3, ?3, ?4)")?
            .execute((&message, &session, time, data))?;
        for place in 0..PARTS {
            let part = id("prt", number * PARTS + place);
            connection
                .prepare_cached("INSERT INTO part VALUES (?1, ?2, ?3, ?4, ?4, ?5)")?
                .execute((part, &message, &session, time, writer.record()))?;
        }
    }
    Ok(())
}

/// Carries all of the log into the file.
fn close(connection: Connection) -> rusqlite::Result<()> {
    connection.close().map_err(|(_, error)| error)
}

/// What happens between two backups.
#[derive(Debug, Clone, Copy)]
pub enum Change {
    /// A byte of a text, behind SQLite's back.
    Byte,
    /// A part gets longer.
    Row,
    /// One part in a hundred is updated, all over the table.
    Hundredth,
    /// 21 sessions more: 5,061 rows.
    Append,
    /// One session in fifty is deleted, and the file made anew.
    Vacuum,
}

impl Change {
    /// Makes the change for the `round`-th time.
    pub fn make(self, writer: &mut Writer, path: &Path, round: u64) {
        match self {
            Change::Byte => change_byte(path).expect("the file can be written"),
            _ => self.run(writer, path, round).expect("the database can be written"),
        }
    }

    fn run(self, writer: &mut Writer, path: &Path, round: u64) -> rusqlite::Result<()> {
        let mut connection = open(path)?;
        let sessions: u64 =
            connection.query_row("SELECT max(rowid) FROM session", [], |row| row.get(0))?;
        let now = 1_790_000_000_000 + round * 1000;
        match self {
            Change::Byte => {}
            Change::Row => {
                let part = sessions * MESSAGES * PARTS / 3 + round;
                connection.execute(
                    "UPDATE part SET time_updated = ?2, data = data || ' and then' WHERE rowid = ?1",
                    (part, now),
                )?;
            }
            Change::Hundredth => {
                connection.execute(
                    "UPDATE part SET time_updated = ?2, data = replace(data, 'file', 'path')
                     WHERE rowid % 100 = ?1",
                    (17 + round, now),
                )?;
            }
            Change::Append => {
                let transaction = connection.transaction()?;
                // A session is 241 rows.
                for number in sessions..sessions + 21 {
                    add_session(writer, &transaction, number + 1_000)?;
                }
                transaction.commit()?;
            }
            Change::Vacuum => {
                connection.execute_batch(&format!(
                    "CREATE TEMP TABLE gone AS SELECT id FROM session WHERE rowid % 50 = {};
                     BEGIN; DELETE FROM part WHERE session_id IN gone;
                     DELETE FROM message WHERE session_id IN gone;
                     DELETE FROM session WHERE id IN gone; COMMIT; VACUUM;",
                    7 + round
                ))?;
            }
        }
        close(connection)
    }
}

/// Changes a byte within a text in the middle of the file.
fn change_byte(path: &Path) -> std::io::Result<()> {
    let file = std::fs::File::options().read(true).write(true).open(path)?;
    let start = file.metadata()?.len() / 2;
    let mut bytes = vec![0; 64 << 10];
    file.read_exact_at(&mut bytes, start)?;
    let is_text = |bytes: &[u8]| bytes.iter().all(|byte| matches!(byte, b'a'..=b'z' | b' '));
    let place = bytes.windows(80).position(is_text).expect("there is a text") + 40;
    let byte = if bytes[place] == b'x' { b'y' } else { b'x' };
    file.write_all_at(&[byte], start + place as u64)
}
