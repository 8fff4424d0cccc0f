//! Bringing the index up to date with a list of sessions.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::text::{Chain, chain, pieces};
use super::writer::{Message, Writer};
use super::{Key, SearchIndex, Stamp, key, lock, stamp};
use crate::agents::session::{Session, Sink, Turn};
use crate::error::{Error, Kind, Result};
use crate::machine::sessions::{SessionReader, SessionRow};

/// Messages go over when they have so many bytes of text.
const PARCEL: usize = 256 << 10;
/// So many parcels may be on their way.
const ON_THEIR_WAY: usize = 8;

/// What came of an update.
#[derive(Debug, Default)]
pub struct UpdateReport {
    /// Sessions that were read.
    pub read: u64,
    /// Sessions that were in the index and are in no list any more.
    pub removed: u64,
    /// Rows that can't be read, and why; they are tried again the next time.
    pub failed: Vec<(usize, Error)>,
    /// Whether it ended before all was read, or another run was at it.
    pub is_partial: bool,
}

/// How far an update is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdateProgress {
    /// Sessions that were read.
    pub done: u64,
    /// Sessions that are to be read.
    pub total: u64,
}

/// What the index knows of a session.
struct Known {
    stamp: Option<Stamp>,
    turns: u32,
    chain: Chain,
}

/// How a session is read.
pub(super) type Read<'r> = dyn FnMut(&SessionRow, &mut dyn Sink) -> Result<()> + 'r;

impl SearchIndex {
    /// Reads the sessions that are new or have changed, newest first, and forgets those that are not in
    /// `rows`, which are all that there are. It ends early if `go_on` says so, which is asked often; the
    /// next update goes on from there.
    ///
    /// # Errors
    ///
    /// If the index can't be written, or is damaged. That a session can't be read is told in the report.
    pub fn update(
        &mut self,
        reader: &SessionReader<'_>,
        rows: &[SessionRow],
        progress: &mut dyn FnMut(UpdateProgress),
        go_on: &dyn Fn() -> bool,
    ) -> Result<UpdateReport> {
        self.update_by(&mut |row, sink| reader.read(row, sink), rows, progress, go_on)
    }

    pub(super) fn update_by(
        &mut self,
        read: &mut Read<'_>,
        rows: &[SessionRow],
        progress: &mut dyn FnMut(UpdateProgress),
        go_on: &dyn Fn() -> bool,
    ) -> Result<UpdateReport> {
        let keys: Vec<Key> = rows.iter().map(key).collect();
        if !self.is_stale(rows, &keys)? {
            return Ok(UpdateReport::default());
        }
        let _lock = match lock(&self.path, super::PATIENCE) {
            Err(error) if error.kind() == Kind::Busy => {
                return Ok(UpdateReport { is_partial: true, ..UpdateReport::default() });
            }
            lock => lock?,
        };
        // What another run did meanwhile counts.
        let known = self.known()?;
        let listed: HashSet<&Key> = keys.iter().collect();
        let gone: Vec<Key> = known.keys().filter(|key| !listed.contains(key)).copied().collect();
        let mut report = UpdateReport { removed: gone.len() as u64, ..UpdateReport::default() };
        let connection = self.writing_connection()?;
        let (sender, receiver) = bounded(ON_THEIR_WAY);
        let writer = Writer::new(self.path.clone(), connection);
        let written = std::thread::scope(|scope| {
            let thread = scope.spawn(move || write(writer, &receiver));
            let mut feeder = Feeder::new(sender, &known, go_on);
            if !gone.is_empty() {
                feeder.say(Message::Gone(gone), 0);
            }
            let stale: Vec<(usize, &SessionRow, Key)> = rows
                .iter()
                .zip(&keys)
                .enumerate()
                .filter(|(_, (row, key))| {
                    known.get(*key).is_none_or(|known| known.stamp != Some(stamp(row)))
                })
                .map(|(place, (row, key))| (place, row, *key))
                .collect();
            let total = stale.len() as u64;
            for (place, row, key) in stale {
                if !go_on() || feeder.is_broken {
                    report.is_partial = true;
                    break;
                }
                match feeder.session(read, row, key) {
                    Ok(true) => report.read = report.read.saturating_add(1),
                    Ok(false) => report.is_partial = true,
                    Err(error) => report.failed.push((place, error)),
                }
                progress(UpdateProgress { done: report.read, total });
            }
            feeder.finish();
            thread.join().unwrap_or_else(|_| Err(Error::failed("the search index's thread failed")))
        });
        written.map(|()| report)
    }

    /// Returns whether anything must be read or removed.
    fn is_stale(&self, rows: &[SessionRow], keys: &[Key]) -> Result<bool> {
        let known = self.known()?;
        let is_known = |(row, key): (&SessionRow, &Key)| {
            known.get(key).is_some_and(|known| known.stamp == Some(stamp(row)))
        };
        let distinct: HashSet<&Key> = keys.iter().collect();
        Ok(known.len() != distinct.len() || !rows.iter().zip(keys).all(is_known))
    }

    fn known(&self) -> Result<HashMap<Key, Known>> {
        let read = || -> rusqlite::Result<HashMap<Key, Known>> {
            let mut rows =
                self.connection.prepare_cached("SELECT key, stamp, turns, chain FROM sessions")?;
            let rows = rows.query_map([], |row| {
                let known = Known { stamp: row.get(1)?, turns: row.get(2)?, chain: row.get(3)? };
                Ok((row.get(0)?, known))
            })?;
            rows.collect()
        };
        read().map_err(|error| self.wrap(error))
    }

    fn writing_connection(&self) -> Result<rusqlite::Connection> {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
        let connection = rusqlite::Connection::open_with_flags(&self.path, flags)
            .map_err(|error| self.wrap(error))?;
        super::prepare(&connection).map_err(|error| self.wrap(error))?;
        Ok(connection)
    }
}

fn write(mut writer: Writer, receiver: &Receiver<Vec<Message>>) -> Result<()> {
    for parcel in receiver {
        for message in parcel {
            writer.take(message)?;
        }
    }
    let (_connection, result) = writer.finish();
    result
}

/// Reads sessions and hands them over.
struct Feeder<'a> {
    sender: Sender<Vec<Message>>,
    known: &'a HashMap<Key, Known>,
    go_on: &'a dyn Fn() -> bool,
    parcel: Vec<Message>,
    bytes: usize,
    /// Whether the writer has gone.
    is_broken: bool,
}

impl<'a> Feeder<'a> {
    fn new(
        sender: Sender<Vec<Message>>,
        known: &'a HashMap<Key, Known>,
        go_on: &'a dyn Fn() -> bool,
    ) -> Self {
        Feeder { sender, known, go_on, parcel: Vec::new(), bytes: 0, is_broken: false }
    }

    fn say(&mut self, message: Message, bytes: usize) {
        self.parcel.push(message);
        self.bytes = self.bytes.saturating_add(bytes).saturating_add(64);
        if self.bytes >= PARCEL {
            self.send();
        }
    }

    fn send(&mut self) {
        self.bytes = 0;
        let parcel = std::mem::take(&mut self.parcel);
        self.is_broken |= !parcel.is_empty() && self.sender.send(parcel).is_err();
    }

    /// Reads a session; returns whether all of it.
    fn session(&mut self, read: &mut Read<'_>, row: &SessionRow, key: Key) -> Result<bool> {
        let known = self.known.get(&key);
        let keep = known.map_or(0, |known| known.turns);
        if keep > 0 {
            let before = known.map_or_else(Chain::default, |known| known.chain);
            match self.read(read, row, key, keep, before)? {
                Outcome::Other => {}
                Outcome::Whole => return Ok(true),
                Outcome::Stopped => return Ok(false),
            }
        }
        Ok(matches!(self.read(read, row, key, 0, Chain::default())?, Outcome::Whole))
    }

    fn read(
        &mut self,
        read: &mut Read<'_>,
        row: &SessionRow,
        key: Key,
        keep: u32,
        before: Chain,
    ) -> Result<Outcome> {
        let mut turns = Turns {
            feeder: self,
            begin: Some((key, row.last().0)),
            keep,
            expected: before,
            chain: Chain::default(),
            number: 0,
            outcome: None,
        };
        read(row, &mut turns)?;
        let Turns { begin, chain, number, outcome, .. } = turns;
        match outcome {
            Some(outcome) => return Ok(outcome),
            // It has less than what is known of it.
            None if number <= keep && keep > 0 => return Ok(Outcome::Other),
            None => {}
        }
        if let Some((key, last)) = begin {
            self.say(Message::Begin { key, last, keep: 0 }, 0);
        }
        self.say(Message::End { stamp: stamp(row), content: chain }, 0);
        Ok(Outcome::Whole)
    }

    fn finish(mut self) {
        self.send();
    }
}

enum Outcome {
    Whole,
    /// What came before is another than when it was read.
    Other,
    Stopped,
}

/// Takes the turns of one session.
struct Turns<'f, 'a> {
    feeder: &'f mut Feeder<'a>,
    /// What is said before the first turn that is new.
    begin: Option<(Key, i64)>,
    keep: u32,
    expected: Chain,
    chain: Chain,
    number: u32,
    outcome: Option<Outcome>,
}

impl Sink for Turns<'_, '_> {
    fn begin(&mut self, _id: &str) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn turn(&mut self, turn: Turn) -> ControlFlow<()> {
        if self.feeder.is_broken || !(self.feeder.go_on)() {
            self.outcome = Some(Outcome::Stopped);
            return ControlFlow::Break(());
        }
        let (number, before) = (self.number, self.chain);
        let pieces = pieces(&turn, number);
        self.chain = chain(&before, &turn, &pieces);
        self.number = number.saturating_add(1);
        if number < self.keep {
            return ControlFlow::Continue(());
        }
        if let Some((key, last)) = self.begin.take() {
            if self.keep > 0 && before != self.expected {
                self.outcome = Some(Outcome::Other);
                return ControlFlow::Break(());
            }
            self.feeder.say(Message::Begin { key, last, keep: self.keep }, 0);
        }
        let bytes = pieces.iter().map(|piece| piece.text.len()).sum();
        self.feeder.say(Message::Turn { number, before, pieces }, bytes);
        ControlFlow::Continue(())
    }

    fn end(&mut self, _session: Session) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}
