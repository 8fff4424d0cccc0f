//! Writing into the index.

use std::path::PathBuf;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};

use super::text::{Chain, Piece, role_number};
use super::{Head, Key, Stamp, damaged, texts, wrap};
use crate::error::{Error, Result};
use crate::time::SECOND;

/// A transaction is ended when it has so many bytes of text.
const TRANSACTION: usize = 8 << 20;
/// A block has about so many bytes.
const BLOCK: usize = 64 << 10;
/// So many texts fit into one second.
const SECOND_BITS: u32 = 24;
/// Seconds take so many bits of a number.
const TIME_BITS: u32 = 34;

/// What the thread that reads sessions has for the one that writes.
#[derive(Debug)]
pub(super) enum Message {
    /// A session: what it has is kept up to a turn, and what follows is behind that.
    Begin { key: Key, last: i64, keep: u32 },
    /// A turn of it, and the chain of those before.
    Turn { number: u32, before: Chain, pieces: Vec<Piece> },
    /// All of the session was read.
    End { stamp: Stamp, content: Chain },
    /// These are in no list any more.
    Gone(Vec<Key>),
}

/// A session, or a part of it, that is yet to be written.
#[derive(Debug)]
struct Pending {
    key: Key,
    last: i64,
    /// What is kept of what is there; `None` if this goes on with what was just written.
    keep: Option<u32>,
    pieces: Vec<Piece>,
    /// The last turn, and the chain of those before it.
    last_turn: (u32, Chain),
    end: Option<(Stamp, Chain)>,
}

/// Writes into the index, in transactions.
#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    connection: Connection,
    pending: Vec<Pending>,
    bytes: usize,
    /// Where the last session's span begins and ends, if the session goes on.
    open: Option<(i64, i64)>,
}

impl Writer {
    pub(super) fn new(path: PathBuf, connection: Connection) -> Writer {
        Writer { path, connection, pending: Vec::new(), bytes: 0, open: None }
    }

    pub(super) fn take(&mut self, message: Message) -> Result<()> {
        match message {
            Message::Begin { key, last, keep } => {
                let last_turn = (0, Chain::default());
                let keep = Some(keep);
                self.pending.push(Pending {
                    key,
                    last,
                    keep,
                    pieces: Vec::new(),
                    last_turn,
                    end: None,
                });
            }
            Message::Turn { number, before, pieces } => {
                let Some(session) = self.pending.last_mut() else { return Ok(()) };
                session.last_turn = (number, before);
                self.bytes += pieces.iter().map(|piece| piece.text.len() + 64).sum::<usize>();
                session.pieces.extend(pieces);
                if self.bytes >= TRANSACTION {
                    let (key, last, last_turn) = (session.key, session.last, session.last_turn);
                    self.flush()?;
                    let pieces = Vec::new();
                    self.pending.push(Pending {
                        key,
                        last,
                        keep: None,
                        pieces,
                        last_turn,
                        end: None,
                    });
                }
            }
            Message::End { stamp, content } => {
                if let Some(session) = self.pending.last_mut() {
                    session.end = Some((stamp, content));
                }
                self.bytes += 1024;
            }
            Message::Gone(keys) => {
                self.flush()?;
                for keys in keys.chunks(64) {
                    self.remove(keys)?;
                }
            }
        }
        Ok(())
    }

    /// Writes what is pending.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.bytes = 0;
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() {
            return Ok(());
        }
        let begun = self.connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = begun.map_err(|error| wrap(&self.path, error))?;
        let mut batch = Batch { path: &self.path, transaction };
        let mut open = self.open.take();
        let (first, others) = match pending.split_first() {
            Some((first, others)) if first.keep.is_none() => (Some(first), others),
            _ => (None, pending.as_slice()),
        };
        // What goes on takes the numbers behind its own. Those of the others ascend with time: FTS5 begins
        // a new segment where they descend.
        for session in first.into_iter().chain(others.iter().rev()) {
            let span = batch.session(session, open.take())?;
            let is_last = pending.last().is_some_and(|last| std::ptr::eq(last, session));
            if is_last && session.end.is_none() {
                self.open = span;
            }
        }
        let Batch { transaction, .. } = batch;
        transaction.commit().map_err(|error| wrap(&self.path, error))
    }

    /// Ends; the connection is of use again.
    pub(super) fn finish(mut self) -> (Connection, Result<()>) {
        let result = self.flush();
        (self.connection, result)
    }

    fn remove(&mut self, keys: &[Key]) -> Result<()> {
        let begun = self.connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = begun.map_err(|error| wrap(&self.path, error))?;
        let batch = Batch { path: &self.path, transaction };
        for key in keys {
            let Some(number) = batch.number(key)? else { continue };
            batch.cut(number, 0)?;
            batch
                .transaction
                .prepare_cached("DELETE FROM sessions WHERE number = ?1")
                .and_then(|mut it| it.execute([number]))
                .map_err(|error| batch.wrap(error))?;
        }
        let Batch { transaction, .. } = batch;
        transaction.commit().map_err(|error| wrap(&self.path, error))
    }
}

struct Batch<'w> {
    path: &'w PathBuf,
    transaction: Transaction<'w>,
}

impl Batch<'_> {
    fn wrap(&self, error: rusqlite::Error) -> Error {
        wrap(self.path, error)
    }

    fn number(&self, key: &Key) -> Result<Option<i64>> {
        self.transaction
            .prepare_cached("SELECT number FROM sessions WHERE key = ?1")
            .and_then(|mut it| it.query_row([key], |row| row.get(0)).optional())
            .map_err(|error| self.wrap(error))
    }

    /// Writes a session or a part of it; returns its last span.
    fn session(
        &mut self,
        session: &Pending,
        open: Option<(i64, i64)>,
    ) -> Result<Option<(i64, i64)>> {
        let number = match self.number(&session.key)? {
            Some(number) => number,
            None => self.add(&session.key)?,
        };
        if let Some(keep) = session.keep {
            self.cut(number, keep)?;
        }
        let mut span = open;
        if !session.pieces.is_empty() {
            let (first, next) = match open {
                Some(span) if self.has_room(span, session.pieces.len())? => span,
                _ => self.free(number, session.last)?,
            };
            let next = self.blocks(next, &session.pieces)?;
            if next.saturating_sub(first) >= 1 << SECOND_BITS {
                return Err(Error::failed("a session has too many turns for the search index"));
            }
            self.transaction
                .prepare_cached(
                    "INSERT OR REPLACE INTO spans(first, next, session) VALUES(?1, ?2, ?3)",
                )
                .and_then(|mut it| it.execute((first, next, number)))
                .map_err(|error| self.wrap(error))?;
            span = Some((first, next));
        }
        let (turns, chain) = session.last_turn;
        let (stamp, content) = session.end.unzip();
        self.transaction
            .prepare_cached(
                "UPDATE sessions SET stamp = ?2, content = ?3, turns = ?4, chain = ?5
                 WHERE number = ?1",
            )
            .and_then(|mut it| it.execute((number, stamp, content, turns, chain)))
            .map_err(|error| self.wrap(error))?;
        Ok(span)
    }

    fn add(&self, key: &Key) -> Result<i64> {
        self.transaction
            .prepare_cached("INSERT INTO sessions(key, turns, chain) VALUES(?1, 0, ?2)")
            .and_then(|mut it| it.insert((key, Chain::default())))
            .map_err(|error| self.wrap(error))
    }

    /// Returns an empty span of free numbers for a session that ended then; they are behind those that it
    /// has, even if its time went back.
    fn free(&self, session: i64, last: i64) -> Result<(i64, i64)> {
        let own: Option<i64> = self
            .transaction
            .prepare_cached("SELECT max(next) FROM spans WHERE session = ?1")
            .and_then(|mut it| it.query_row([session], |row| row.get(0)))
            .map_err(|error| self.wrap(error))?;
        let own = own.unwrap_or(0) >> SECOND_BITS;
        let latest = (1 << TIME_BITS) - 1;
        let second = (last / SECOND).clamp(0, latest).max(own) << SECOND_BITS;
        let behind = second.saturating_add(1 << SECOND_BITS);
        let taken: Option<i64> = self
            .transaction
            .prepare_cached("SELECT next FROM spans WHERE first < ?1 ORDER BY first DESC LIMIT 1")
            .and_then(|mut it| it.query_row([behind], |row| row.get(0)).optional())
            .map_err(|error| self.wrap(error))?;
        let first = taken.map_or(second, |taken| taken.max(second));
        Ok((first, first))
    }

    /// Returns whether so many numbers behind a span are free.
    fn has_room(&self, span: (i64, i64), count: usize) -> Result<bool> {
        let follows: Option<i64> = self
            .transaction
            .prepare_cached("SELECT first FROM spans WHERE first > ?1 ORDER BY first LIMIT 1")
            .and_then(|mut it| it.query_row([span.0], |row| row.get(0)).optional())
            .map_err(|error| self.wrap(error))?;
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        Ok(follows.is_none_or(|follows| span.1.saturating_add(count) <= follows))
    }

    /// Writes texts from a number on; returns the number behind the last.
    fn blocks(&self, mut number: i64, pieces: &[Piece]) -> Result<i64> {
        let (mut heads, mut text, mut first) = (Vec::new(), String::new(), number);
        for (place, piece) in pieces.iter().enumerate() {
            let role = role_number(piece.role);
            let length = u32::try_from(piece.text.len()).unwrap_or(u32::MAX);
            Head { turn: piece.turn, role, at: piece.at, length }.encode(&mut heads);
            text.push_str(&piece.text);
            text.push('\n');
            self.transaction
                .prepare_cached("INSERT INTO words(rowid, text) VALUES(?1, ?2)")
                .and_then(|mut it| it.execute((number << 2 | i64::from(role), &piece.text)))
                .map_err(|error| self.wrap(error))?;
            number = number.saturating_add(1);
            if text.len() >= BLOCK || place.saturating_add(1) == pieces.len() {
                self.block(first, &heads, &text)?;
                heads.clear();
                text.clear();
                first = number;
            }
        }
        Ok(number)
    }

    fn block(&self, first: i64, heads: &[u8], text: &str) -> Result<()> {
        self.transaction
            .prepare_cached("INSERT OR REPLACE INTO blocks(first, heads, text) VALUES(?1, ?2, ?3)")
            .and_then(|mut it| it.execute((first, heads, text)))
            .map(drop)
            .map_err(|error| self.wrap(error))
    }

    /// Removes a session's texts from a turn on.
    fn cut(&self, session: i64, turn: u32) -> Result<()> {
        let spans: Vec<(i64, i64)> = self
            .transaction
            .prepare_cached("SELECT first, next FROM spans WHERE session = ?1 ORDER BY first DESC")
            .and_then(|mut it| {
                it.query_map([session], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
            })
            .map_err(|error| self.wrap(error))?;
        for (first, next) in spans {
            let kept = self.cut_span(first, next, turn)?;
            let sql = match kept {
                _ if kept == next => continue,
                _ if kept == first => "DELETE FROM spans WHERE first = ?1 AND next > ?2",
                _ => "UPDATE spans SET next = ?2 WHERE first = ?1",
            };
            self.transaction
                .prepare_cached(sql)
                .and_then(|mut it| it.execute((first, kept)))
                .map_err(|error| self.wrap(error))?;
        }
        Ok(())
    }

    /// Removes the texts of a span that are of a turn or a later one; returns where it ends then.
    fn cut_span(&self, first: i64, next: i64, turn: u32) -> Result<i64> {
        let mut end = next;
        let mut find = self
            .transaction
            .prepare_cached(
                "SELECT first, heads, text FROM blocks WHERE first >= ?1 AND first < ?2
                 ORDER BY first DESC LIMIT 1",
            )
            .map_err(|error| self.wrap(error))?;
        while end > first {
            let block: Option<(i64, Vec<u8>, String)> = find
                .query_row((first, end), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .optional()
                .map_err(|error| self.wrap(error))?;
            let Some((place, heads, text)) = block else { break };
            let (mut kept, mut kept_bytes, mut number) = (0_usize, 0_usize, place);
            for found in texts(&heads, &text) {
                let Some((head, own)) = found else { return Err(damaged(self.path)) };
                if head.turn < turn {
                    kept = kept.saturating_add(1);
                    kept_bytes = kept_bytes.saturating_add(own.len()).saturating_add(1);
                } else {
                    self.transaction
                        .prepare_cached("DELETE FROM words WHERE rowid = ?1")
                        .and_then(|mut it| it.execute([number << 2 | i64::from(head.role)]))
                        .map_err(|error| self.wrap(error))?;
                }
                number = number.saturating_add(1);
            }
            if kept == 0 {
                self.transaction
                    .prepare_cached("DELETE FROM blocks WHERE first = ?1")
                    .and_then(|mut it| it.execute([place]))
                    .map_err(|error| self.wrap(error))?;
                end = place;
                continue;
            }
            let heads = heads.get(..kept.saturating_mul(Head::BYTES)).unwrap_or_default();
            self.block(place, heads, text.get(..kept_bytes).unwrap_or_default())?;
            return Ok(place.saturating_add(i64::try_from(kept).unwrap_or(0)));
        }
        Ok(first)
    }
}
