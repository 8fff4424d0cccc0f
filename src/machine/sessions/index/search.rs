//! Searching the index.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension as _};

use super::hit::{FoundSession, Hit, excerpt};
use super::query::{Matcher, Query};
use super::text::{Chain, role_number, role_of};
use super::{Head, Key, SearchIndex, damaged, key, texts};
use crate::agents::session::Role;
use crate::error::Result;
use crate::machine::sessions::SessionRow;

/// Once there are enough sessions, no more turns than this are looked at.
const CANDIDATES: usize = 100_000;
/// Of a session so many hits are told.
pub(super) const HITS: usize = 3;

/// What is wanted of a search.
pub struct SearchWish<'w> {
    /// The sessions that are searched: which rows count.
    pub takes: &'w (dyn Fn(&SessionRow) -> bool + Sync),
    /// So many sessions with hits, the newest ones.
    pub sessions: usize,
    /// Turns of this role only.
    pub role: Option<Role>,
}

/// Numbers of a session's texts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) first: i64,
    pub(super) next: i64,
    /// Which row it is of.
    pub(super) row: usize,
}

/// What the index has of the rows that are searched.
pub(super) struct Contents {
    /// In order of their numbers.
    pub(super) spans: Vec<Span>,
    /// Of each row that is in the index, what identifies all its text.
    pub(super) content: HashMap<usize, Option<Chain>>,
}

impl SearchIndex {
    /// Returns the newest sessions in which the query finds a turn, newest first, each with its last
    /// three hits. Of one session that two machines have with the same content the newest row is told.
    /// `rows` are in the order of a list, newest first.
    ///
    /// Words that are nearly everywhere are not looked for to the end: turns are met newest first, and
    /// when there are sessions enough, and a hundred thousand turns were met, the search ends.
    ///
    /// # Errors
    ///
    /// Of kind [`Kind::Damaged`](crate::error::Kind::Damaged) if the index must be made anew.
    pub fn search(
        &self,
        query: &Query,
        rows: &[SessionRow],
        wish: &SearchWish<'_>,
    ) -> Result<Vec<FoundSession>> {
        let contents = self.contents(rows, wish)?;
        let found = if query.uses_words() {
            self.candidates(query, rows, wish, &contents)?
        } else {
            self.scan(query, rows, wish, &contents)?
        };
        let matcher = Matcher::new(query)?;
        let mut sessions = Vec::new();
        let mut places: Vec<usize> = found.keys().copied().collect();
        places.sort_unstable();
        let mut seen = HashSet::new();
        for place in places {
            if sessions.len() >= wish.sessions {
                break;
            }
            let Some(row) = rows.get(place) else { continue };
            if let Some(Some(content)) = contents.content.get(&place)
                && !seen.insert((&row.agent, &row.id, *content))
            {
                continue;
            }
            let mut hits: Vec<Hit> = Vec::new();
            for number in found.get(&place).into_iter().flatten().rev() {
                let Some((head, text)) = text_at(&self.connection, self, *number)? else {
                    continue;
                };
                let Some(ranges) = matcher.ranges(&text)? else { continue };
                push(&mut hits, &head, &text, &ranges);
            }
            if !hits.is_empty() {
                sessions.push(FoundSession { row: place, hits });
            }
        }
        Ok(sessions)
    }

    fn contents(&self, rows: &[SessionRow], wish: &SearchWish<'_>) -> Result<Contents> {
        let mut by_key: HashMap<Key, usize> = HashMap::new();
        for (place, row) in rows.iter().enumerate().filter(|(_, row)| (wish.takes)(row)) {
            by_key.entry(key(row)).or_insert(place);
        }
        let read = || -> rusqlite::Result<Contents> {
            let mut sessions =
                self.connection.prepare_cached("SELECT number, key, content FROM sessions")?;
            let mut numbers: HashMap<i64, usize> = HashMap::new();
            let mut content = HashMap::new();
            let mut found = sessions.query([])?;
            while let Some(row) = found.next()? {
                if let Some(place) = by_key.get(&row.get::<_, Key>(1)?) {
                    numbers.insert(row.get(0)?, *place);
                    content.insert(*place, row.get(2)?);
                }
            }
            let mut all = self
                .connection
                .prepare_cached("SELECT first, next, session FROM spans ORDER BY first")?;
            let mut found = all.query([])?;
            let mut spans = Vec::new();
            while let Some(row) = found.next()? {
                if let Some(place) = numbers.get(&row.get(2)?) {
                    spans.push(Span { first: row.get(0)?, next: row.get(1)?, row: *place });
                }
            }
            Ok(Contents { spans, content })
        };
        read().map_err(|error| self.wrap(error))
    }

    /// Returns of each row that has hits the numbers of its last ones, descending.
    fn candidates(
        &self,
        query: &Query,
        rows: &[SessionRow],
        wish: &SearchWish<'_>,
        contents: &Contents,
    ) -> Result<HashMap<usize, Vec<i64>>> {
        let mut found: HashMap<usize, Vec<i64>> = HashMap::new();
        let Some(words) = &query.words else { return Ok(found) };
        // Rows that are the same session are told once, and may take all places.
        let enough = wish.sessions.saturating_mul(2);
        let role = wish.role.map(|role| i64::from(role_number(role)));
        let mut met = 0_usize;
        let mut find = self
            .connection
            .prepare_cached("SELECT rowid FROM words WHERE words MATCH ?1 ORDER BY rowid DESC")
            .map_err(|error| self.wrap(error))?;
        let mut numbers = find.query([words]).map_err(|error| self.wrap(error))?;
        while let Some(row) = numbers.next().map_err(|error| self.wrap(error))? {
            let both: i64 = row.get(0).map_err(|error| self.wrap(error))?;
            met = met.saturating_add(1);
            if met > CANDIDATES && found.len() >= enough {
                break;
            }
            let number = both >> 2;
            if role.is_some_and(|role| role != both & 3) {
                continue;
            }
            let behind = contents.spans.partition_point(|span| span.first <= number);
            let span = behind.checked_sub(1).and_then(|place| contents.spans.get(place));
            let Some(span) = span.filter(|span| number < span.next && span.row < rows.len()) else {
                continue;
            };
            let hits = found.get(&span.row).map_or(0, Vec::len);
            if hits >= HITS {
                continue;
            }
            if !query.patterns.is_empty() {
                let text = text_at(&self.connection, self, number)?;
                if !text.is_some_and(|(_, text)| query.patterns_match(&text)) {
                    continue;
                }
            }
            found.entry(span.row).or_default().push(number);
        }
        Ok(found)
    }
}

/// Adds a hit, unless the last one is of the same turn.
pub(super) fn push(
    hits: &mut Vec<Hit>,
    head: &Head,
    text: &str,
    ranges: &[std::ops::Range<usize>],
) {
    let turn = u64::from(head.turn).saturating_add(1);
    if hits.last().is_some_and(|last| last.turn == turn) {
        return;
    }
    let shown = excerpt(text, ranges);
    hits.push(Hit {
        turn,
        role: role_of(head.role),
        at: head.at,
        text: shown.text,
        ranges: shown.ranges,
        is_cut_before: shown.is_cut_before,
        is_cut_behind: shown.is_cut_behind,
    });
}

/// Returns the text of a number; `None` if it is no more there.
fn text_at(
    connection: &Connection,
    index: &SearchIndex,
    number: i64,
) -> Result<Option<(Head, String)>> {
    let block: Option<(i64, Vec<u8>, String)> = connection
        .prepare_cached(
            "SELECT first, heads, text FROM blocks WHERE first <= ?1 ORDER BY first DESC LIMIT 1",
        )
        .and_then(|mut it| {
            it.query_row([number], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()
        })
        .map_err(|error| index.wrap(error))?;
    let Some((first, heads, text)) = block else { return Err(damaged(&index.path)) };
    let place = usize::try_from(number.saturating_sub(first)).unwrap_or(usize::MAX);
    match texts(&heads, &text).nth(place) {
        None => Ok(None),
        Some(None) => Err(damaged(&index.path)),
        Some(Some((head, text))) => Ok(Some((head, text.to_owned()))),
    }
}
