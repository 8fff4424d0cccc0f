//! Searching without an index: every session is read.

use std::collections::{HashSet, VecDeque};
use std::ops::ControlFlow;

use super::Head;
use super::hit::{FoundSession, Hit};
use super::query::{Matcher, Query};
use super::search::{HITS, SearchWish, push};
use super::text::{Chain, Piece, chain, pieces, role_number};
use super::update::Read;
use crate::agents::session::{Role, Session, Sink, Turn};
use crate::error::{Error, Result};
use crate::machine::sessions::{SessionReader, SessionRow};

/// Texts are looked at when there are so many bytes of them, or so many.
const TOGETHER: usize = 1 << 20;
const MOST_TOGETHER: usize = 1024;

/// What was found, and the rows that can't be read, each with the reason.
pub(super) type Streamed = (Vec<FoundSession>, Vec<(usize, Error)>);

/// Returns what [`SearchIndex::search`](super::SearchIndex::search) does, and the rows that can't be read,
/// each with the reason. Nothing is written.
///
/// # Errors
///
/// If `go_on` says so, with kind [`Kind::Interrupted`](crate::error::Kind::Interrupted).
pub fn stream(
    reader: &SessionReader<'_>,
    query: &Query,
    rows: &[SessionRow],
    wish: &SearchWish<'_>,
    go_on: &dyn Fn() -> Result<()>,
) -> Result<Streamed> {
    stream_by(&mut |row, sink| reader.read(row, sink), query, rows, wish, go_on)
}

pub(super) fn stream_by(
    read: &mut Read<'_>,
    query: &Query,
    rows: &[SessionRow],
    wish: &SearchWish<'_>,
    go_on: &dyn Fn() -> Result<()>,
) -> Result<Streamed> {
    let matcher = Matcher::new(query)?;
    let (mut found, mut failed, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for (place, row) in rows.iter().enumerate().filter(|(_, row)| (wish.takes)(row)) {
        if found.len() >= wish.sessions {
            break;
        }
        go_on()?;
        let mut search = Search {
            matcher: &matcher,
            role: wish.role,
            go_on,
            chain: Chain::default(),
            number: 0,
            waiting: Vec::new(),
            bytes: 0,
            last: VecDeque::new(),
            failure: None,
        };
        let result = read(row, &mut search);
        search.look();
        if let Some(error) = search.failure.take() {
            return Err(error);
        }
        if let Err(error) = result {
            failed.push((place, error));
            continue;
        }
        let hits = search.hits()?;
        if !hits.is_empty() && seen.insert((&row.agent, &row.id, search.chain)) {
            found.push(FoundSession { row: place, hits });
        }
    }
    Ok((found, failed))
}

/// Looks through the turns of one session.
struct Search<'s, 'q> {
    matcher: &'s Matcher<'q>,
    role: Option<Role>,
    go_on: &'s dyn Fn() -> Result<()>,
    chain: Chain,
    number: u32,
    waiting: Vec<Piece>,
    bytes: usize,
    /// The last texts that were found.
    last: VecDeque<Piece>,
    failure: Option<Error>,
}

impl Search<'_, '_> {
    fn look(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        self.bytes = 0;
        let texts: Vec<&str> = waiting.iter().map(|piece| piece.text.as_str()).collect();
        let found = match self.matcher.find(&texts) {
            Ok(found) => found,
            Err(error) => {
                self.failure = Some(error);
                return;
            }
        };
        let mut found = found.into_iter().peekable();
        for (number, piece) in waiting.into_iter().enumerate() {
            if found.next_if_eq(&number).is_some() {
                self.last.push_back(piece);
                if self.last.len() > HITS {
                    self.last.pop_front();
                }
            }
        }
    }

    fn hits(&self) -> Result<Vec<Hit>> {
        let mut hits = Vec::new();
        for piece in &self.last {
            let Some(ranges) = self.matcher.ranges(&piece.text)? else { continue };
            let (turn, role, at) = (piece.turn, role_number(piece.role), piece.at);
            push(&mut hits, &Head { turn, role, at, length: 0 }, &piece.text, &ranges);
        }
        Ok(hits)
    }
}

impl Sink for Search<'_, '_> {
    fn begin(&mut self, _id: &str) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn turn(&mut self, turn: Turn) -> ControlFlow<()> {
        if self.failure.is_none() {
            self.failure = (self.go_on)().err();
        }
        if self.failure.is_some() {
            return ControlFlow::Break(());
        }
        let found = pieces(&turn, self.number);
        self.chain = chain(&self.chain, &turn, &found);
        self.number = self.number.saturating_add(1);
        if self.role.is_none_or(|role| role == turn.role) {
            self.bytes += found.iter().map(|piece| piece.text.len()).sum::<usize>();
            self.waiting.extend(found);
            if self.bytes >= TOGETHER || self.waiting.len() >= MOST_TOGETHER {
                self.look();
            }
        }
        ControlFlow::Continue(())
    }

    fn end(&mut self, _session: Session) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}
