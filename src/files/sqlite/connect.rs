//! Connections of our own: read-only, never checkpointing, never waiting inside SQLite.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::ffi;
use rusqlite::{Connection, OpenFlags};

/// Between two tries at a lock. A busy writer leaves it free for moments only.
const LONGEST_PAUSE: Duration = Duration::from_millis(3);

/// Why SQLite gives no read transaction.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// Somebody holds an exclusive lock, or is recovering the log.
    #[error("another process holds it exclusively")]
    Busy,
    /// A transaction was interrupted; its journal must be rolled back first.
    #[error("an interrupted transaction must be rolled back first")]
    HotJournal,
    /// What is read is no sound database; the reason in SQLite's words.
    #[error("{0}")]
    Unsound(String),
    /// Locks or shared memory can't be had here: a folder we may not write to, a file system
    /// without locks; the reason in SQLite's words.
    #[error("{0}")]
    Unable(String),
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Refusal {
        let Some(code) = error.sqlite_error().map(|it| it.extended_code) else {
            return Refusal::Unable(error.to_string());
        };
        match (code & 0xff, code) {
            (_, ffi::SQLITE_READONLY_ROLLBACK) => Refusal::HotJournal,
            (ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED | ffi::SQLITE_PROTOCOL, _) => Refusal::Busy,
            (ffi::SQLITE_NOTADB | ffi::SQLITE_CORRUPT, _) => Refusal::Unsound(error.to_string()),
            _ => Refusal::Unable(error.to_string()),
        }
    }
}

/// Opens a database for reading only.
///
/// The busy timeout is nothing: whoever calls counts its own tries. The last connection to close
/// would checkpoint the log and remove it; a read-only one can't, and is told not to besides.
fn open_read_only(path: &Path) -> Result<Connection, Refusal> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::ZERO)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

/// Begins a read transaction that reads the header only, so that a damaged schema is no obstacle.
pub(super) fn begin(connection: &Connection) -> Result<(), Refusal> {
    connection.execute_batch("BEGIN")?;
    let version = connection.query_row("PRAGMA schema_version", [], |row| row.get::<_, i64>(0));
    if let Err(error) = version {
        // What failed is what is told; an open transaction ends with the connection.
        let _ended = connection.execute_batch("ROLLBACK");
        return Err(error.into());
    }
    Ok(())
}

/// Ends a read transaction.
pub(super) fn end(connection: &Connection) {
    // It ends in any case; there is nothing to lose.
    let _ended = connection.execute_batch("ROLLBACK");
}

/// Opens a database and begins, waiting for locks for about `patience`.
pub(super) fn open_and_begin(path: &Path, patience: Duration) -> Result<Connection, Refusal> {
    let connection = patiently(patience, || open_read_only(path))?;
    patiently(patience, || begin(&connection))?;
    Ok(connection)
}

/// Tries until it is not busy, for about `patience`.
pub(super) fn patiently<T>(
    patience: Duration,
    mut attempt: impl FnMut() -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let (mut left, mut pause) = (patience, Duration::from_millis(1));
    loop {
        match attempt() {
            Err(Refusal::Busy) if !left.is_zero() => {
                let now = pause.min(left);
                std::thread::sleep(now);
                left = left.saturating_sub(now);
                pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
            }
            other => return other,
        }
    }
}

/// Opens a file that nobody writes to, without locks and without leaving anything beside it.
pub(super) fn open_immutable(path: &Path) -> rusqlite::Result<Connection> {
    let mut uri = String::from("file:");
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push('%');
            uri.push_str(&crate::id::to_hex(&[byte]));
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(uri, flags)
}
