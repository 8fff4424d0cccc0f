//! Searching the text of sessions.
//!
//! The index is one `SQLite` file for each repository in the cache's folder `search` (0600 in a 0700
//! folder). It holds the text of sessions **as it is, not encrypted**, so that it can be searched at once:
//! `search.index = false` keeps none. It can be deleted at any moment; one that is damaged, of another
//! version or of another tokenizer is made anew.
//!
//! | table | holds |
//! |---|---|
//! | `sessions` | of each session what it was when it was read, and how much of it is in |
//! | `spans` | which numbers the texts of a session have |
//! | `blocks` | texts, about 64 KiB of one session in a row, and whose they are |
//! | `words` | FTS5 over each text, without a second copy of it |
//!
//! Every turn is a text (a very long one several) and has a number that begins with the session's time:
//! the full-text search gives newer ones first, and can stop when there are enough. The row of `words` is
//! four times that number, plus the role.
//!
//! [`SearchIndex::update`] reads what is new, newest first, on the caller's thread, and writes on
//! another, in transactions of about 8 MiB: what was written stands, whenever it ends. Of a session that
//! grew only what is new is written, if a hash says that what came before is as it was.
//!
//! Memory: the transaction that is gathered and the one that is on its way (24 MiB), the page cache and
//! FTS5's own (24 MiB).
#![expect(clippy::disallowed_methods, reason = "owns its file in the cache")]

mod after;
mod hit;
mod query;
mod scan;
mod search;
mod stream;
#[cfg(test)]
mod tests;
mod text;
mod update;
mod writer;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::list::SessionRow;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::id::RepositoryId;
use crate::machine::places::{Places, make_private_folder};

pub use after::after_backup;
pub use hit::{FoundSession, Hit};
pub use query::Query;
pub use search::SearchWish;
pub use stream::stream;
pub use update::{UpdateProgress, UpdateReport};

/// Says whose file it is: "stas".
const APPLICATION: i32 = 0x7374_6173;
/// Changes with the tables, and with what is taken for a turn's text.
const VERSION: i32 = 2;
/// How long a search waits for another run that brings the index up to date.
const PATIENCE: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(50);

/// The full-text index of one repository's sessions.
#[derive(Debug)]
pub struct SearchIndex {
    path: PathBuf,
    connection: Connection,
    finds_parts: bool,
}

/// Returns where the index of a repository lies, or would; without one that of this disk's sessions.
pub fn index_path(places: &Places, repository: Option<RepositoryId>) -> PathBuf {
    let name = repository.map_or_else(|| "none".to_owned(), |id| id.to_string());
    places.cache.join("search").join(format!("{name}.sqlite"))
}

/// Removes the indexes of all repositories, so that no text of a session is left in them.
pub fn remove_indexes(places: &Places) -> Result<()> {
    let folder = places.cache.join("search");
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).at("cannot remove the search index", &folder)
        }
        _ => Ok(()),
    }
}

impl SearchIndex {
    /// Opens the index at a path, or makes it. `finds_parts` is what `search.trigram` says.
    ///
    /// # Errors
    ///
    /// If the folder can't be written to; a file that can't be used is replaced.
    pub fn open(path: &Path, finds_parts: bool) -> Result<SearchIndex> {
        let folder = path.parent().unwrap_or(path);
        make_private_folder(folder)?;
        let index = |connection| SearchIndex { path: path.to_owned(), connection, finds_parts };
        if path.exists()
            && let Ok(Some(connection)) = open_existing(path, finds_parts)
        {
            return Ok(index(connection));
        }
        // Two that find nothing must not both make it.
        let _lock = lock(path, PATIENCE)?;
        if path.exists()
            && let Ok(Some(connection)) = open_existing(path, finds_parts)
        {
            return Ok(index(connection));
        }
        make(path, finds_parts).map(index)
    }

    /// Makes the index anew: for one in which something was found to be damaged.
    pub fn renew(self) -> Result<SearchIndex> {
        let SearchIndex { path, connection, finds_parts } = self;
        drop(connection);
        let _lock = lock(&path, PATIENCE)?;
        let connection = make(&path, finds_parts)?;
        Ok(SearchIndex { path, connection, finds_parts })
    }

    /// Returns whether parts of words are found.
    pub fn finds_parts(&self) -> bool {
        self.finds_parts
    }

    fn wrap(&self, error: rusqlite::Error) -> Error {
        wrap(&self.path, error)
    }
}

/// Opens a connection that only reads.
fn reader(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(PATIENCE)?;
        Ok(connection)
    };
    opened().map_err(|error| wrap(path, error))
}

/// Takes the lock of whoever writes into the index; `Busy` if it is held for longer than `patience`.
fn lock(path: &Path, patience: Duration) -> Result<File> {
    const DOING: &str = "cannot lock the search index with";
    let path = path.with_extension("lock");
    let mut options = OpenOptions::new();
    let file = options
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .at(DOING, &path)?;
    let mut waited = Duration::ZERO;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(error).at(DOING, &path),
            Err(TryLockError::WouldBlock) if waited >= patience => {
                return Err(Error::new(Kind::Busy, "another run writes the search index"));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(STEP),
        }
        waited = waited.saturating_add(STEP);
    }
}

/// Returns an error of the index; damage is of kind [`Kind::Damaged`].
fn wrap(path: &Path, error: rusqlite::Error) -> Error {
    let kind = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Kind::Busy,
        Some(
            ErrorCode::DiskFull
            | ErrorCode::ReadOnly
            | ErrorCode::CannotOpen
            | ErrorCode::PermissionDenied
            | ErrorCode::SystemIoFailure
            | ErrorCode::OutOfMemory,
        ) => Kind::Failed,
        // What is left, a table that is not there or a text that is none, comes of no computer in order.
        _ => Kind::Damaged,
    };
    Error::new(kind, "cannot use the search index")
        .object(path.display().to_string())
        .source(error)
        .hint("it can be deleted at any time; `--no-index` searches without it")
}

/// Returns the error for an index whose tables don't fit together.
fn damaged(path: &Path) -> Error {
    Error::damaged("the search index is damaged", path.display().to_string())
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(PATIENCE)?;
    // A crash of the computer costs the last transactions at most, which are made again.
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA trusted_schema = OFF;
         PRAGMA cache_size = -8192; PRAGMA temp_store = MEMORY;",
    )
}

/// Opens an index; `None` if it is not one that can be used here.
fn open_existing(path: &Path, finds_parts: bool) -> rusqlite::Result<Option<Connection>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    if number("application_id")? != APPLICATION || number("user_version")? != version(finds_parts) {
        return Ok(None);
    }
    prepare(&connection)?;
    Ok(Some(connection))
}

fn version(finds_parts: bool) -> i32 {
    VERSION * 2 + i32::from(finds_parts)
}

/// Makes an empty index in the place of whatever is there.
fn make(path: &Path, finds_parts: bool) -> Result<Connection> {
    const DOING: &str = "cannot make the search index";
    for end in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        match std::fs::remove_file(&name) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).at(DOING, path);
            }
            _ => {}
        }
    }
    // SQLite gives its logs the mode of the file.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).at(DOING, path)?;
    let made = || -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.execute_batch("PRAGMA page_size = 8192")?;
        prepare(&connection)?;
        let tokenizer = query::tokenizer(finds_parts);
        connection.execute_batch(&format!(
            "BEGIN;
             CREATE TABLE sessions(number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, stamp BLOB,
                 content BLOB, turns INTEGER NOT NULL, chain BLOB NOT NULL);
             CREATE TABLE spans(first INTEGER PRIMARY KEY, next INTEGER NOT NULL,
                 session INTEGER NOT NULL);
             CREATE INDEX spans_of ON spans(session);
             CREATE TABLE blocks(first INTEGER PRIMARY KEY, heads BLOB NOT NULL, text TEXT NOT NULL);
             CREATE VIRTUAL TABLE words USING fts5(text, content = '', contentless_delete = 1,
                 tokenize = '{tokenizer}');
             INSERT INTO words(words, rank) VALUES('hashsize', {HASH});
             PRAGMA application_id = {APPLICATION};
             PRAGMA user_version = {version};
             COMMIT;",
            version = version(finds_parts),
        ))?;
        Ok(connection)
    };
    made().map_err(|error| wrap(path, error))
}

/// What FTS5 gathers before it writes, in bytes: a transaction is one segment, or two.
const HASH: u32 = 16 << 20;

/// What tells a session from others.
type Key = [u8; 16];
/// What is another whenever a session must be read again.
type Stamp = [u8; 16];

fn key(row: &SessionRow) -> Key {
    let mut hasher = blake3::Hasher::new();
    let parts: [&[u8]; 6] = [
        row.host.as_bytes(),
        row.agent.as_bytes(),
        row.label.as_bytes(),
        &row.place,
        &row.relative,
        row.id.as_bytes(),
    ];
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    text::short(&hasher)
}

/// Whether a session is gone does not count: what was read of it stays as it is.
fn stamp(row: &SessionRow) -> Stamp {
    let entry = &row.entry;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[u8::from(entry.last.is_some())]);
    hasher.update(&entry.last.unwrap_or(0).to_le_bytes());
    for number in [entry.turns, entry.bytes, entry.revision] {
        hasher.update(&number.to_le_bytes());
    }
    text::short(&hasher)
}

/// One text in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    turn: u32,
    role: u8,
    at: Option<i64>,
    length: u32,
}

impl Head {
    const BYTES: usize = 18;

    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.turn.to_le_bytes());
        bytes.extend([self.role, u8::from(self.at.is_some())]);
        bytes.extend(self.at.unwrap_or(0).to_le_bytes());
        bytes.extend(self.length.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Head> {
        let (turn, rest) = bytes.split_first_chunk()?;
        let ([role, has_time], rest) = rest.split_first_chunk()?;
        let (at, rest) = rest.split_first_chunk()?;
        let (length, _) = rest.split_first_chunk()?;
        Some(Head {
            turn: u32::from_le_bytes(*turn),
            role: *role,
            at: (*has_time != 0).then_some(i64::from_le_bytes(*at)),
            length: u32::from_le_bytes(*length),
        })
    }
}

/// Returns the texts of a block in order, each with its head; `None` if it is damaged.
fn texts<'b>(heads: &'b [u8], text: &'b str) -> impl Iterator<Item = Option<(Head, &'b str)>> {
    let mut rest = text;
    heads.chunks(Head::BYTES).map(move |bytes| {
        let head = Head::decode(bytes)?;
        let (own, behind) = rest.split_at_checked(usize::try_from(head.length).ok()?)?;
        // Texts stand apart, so that a search of the whole block sees their ends.
        rest = behind.strip_prefix('\n')?;
        Some((head, own))
    })
}
