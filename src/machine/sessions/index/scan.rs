//! Looking through the stored text of all sessions, for what the index of words can't tell.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rusqlite::Connection;

use super::query::Query;
use super::search::{Contents, HITS, SearchWish, Span};
use super::text::role_number;
use super::{SearchIndex, damaged, reader, texts, wrap};
use crate::error::{Error, Result};
use crate::machine::sessions::SessionRow;
use crate::machine::worker_count;

impl SearchIndex {
    /// Returns of each row that has hits the numbers of its last ones, descending; rows are looked
    /// through newest first, by several threads, until enough have some.
    pub(super) fn scan(
        &self,
        query: &Query,
        rows: &[SessionRow],
        wish: &SearchWish<'_>,
        contents: &Contents,
    ) -> Result<HashMap<usize, Vec<i64>>> {
        let mut of_rows: Vec<Vec<Span>> = vec![Vec::new(); rows.len()];
        for span in contents.spans.iter().rev() {
            if let Some(spans) = of_rows.get_mut(span.row) {
                spans.push(*span);
            }
        }
        of_rows.retain(|spans| !spans.is_empty());
        let scan = Scan {
            path: &self.path,
            query,
            role: wish.role.map(role_number),
            enough: wish.sessions.saturating_mul(2),
            of_rows,
            next: AtomicUsize::new(0),
            count: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
            found: Mutex::default(),
        };
        let failed = std::thread::scope(|scope| {
            let start = |_| scope.spawn(|| scan.run().inspect_err(|_| scan.end()));
            let threads: Vec<_> = (0..worker_count()).map(start).collect();
            let join = |it: std::thread::ScopedJoinHandle<'_, Result<()>>| {
                it.join().unwrap_or_else(|_| Err(Error::failed("a thread of the search failed")))
            };
            threads.into_iter().find_map(|it| join(it).err())
        });
        match failed {
            Some(error) => Err(error),
            None => Ok(scan.found.into_inner().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

struct Scan<'s> {
    path: &'s Path,
    query: &'s Query,
    role: Option<u8>,
    enough: usize,
    of_rows: Vec<Vec<Span>>,
    next: AtomicUsize,
    count: AtomicUsize,
    is_over: AtomicBool,
    found: Mutex<HashMap<usize, Vec<i64>>>,
}

// The connection of the index is not for several threads: each opens its own.
impl Scan<'_> {
    fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn run(&self) -> Result<()> {
        let connection = reader(self.path)?;
        while !self.is_over.load(Ordering::Relaxed)
            && self.count.load(Ordering::Relaxed) < self.enough
        {
            let place = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(spans) = self.of_rows.get(place) else { break };
            let Some(first) = spans.first() else { continue };
            let hits = self.session(&connection, spans)?;
            if !hits.is_empty() {
                self.count.fetch_add(1, Ordering::Relaxed);
                self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(first.row, hits);
            }
        }
        Ok(())
    }

    fn session(&self, connection: &Connection, spans: &[Span]) -> Result<Vec<i64>> {
        let wrap = |error| wrap(self.path, error);
        let mut blocks = connection
            .prepare_cached(
                "SELECT first, heads, text FROM blocks WHERE first >= ?1 AND first < ?2
                 ORDER BY first DESC",
            )
            .map_err(wrap)?;
        let mut hits = Vec::new();
        for span in spans {
            let mut found = blocks.query((span.first, span.next)).map_err(wrap)?;
            while let Some(row) = found.next().map_err(wrap)? {
                let text = row.get_ref(2).map_err(wrap)?;
                let text = text.as_str().map_err(|_| damaged(self.path))?;
                if !self.query.is_anchored && !self.query.patterns_match(text) {
                    continue;
                }
                let heads = row.get_ref(1).map_err(wrap)?;
                let heads = heads.as_blob().map_err(|_| damaged(self.path))?;
                let first: i64 = row.get(0).map_err(wrap)?;
                let mut own = Vec::new();
                for (number, found) in (first..).zip(texts(heads, text)) {
                    let Some((head, text)) = found else { return Err(damaged(self.path)) };
                    let is_role = self.role.is_none_or(|role| role == head.role);
                    if is_role && self.query.patterns_match(text) {
                        own.push(number);
                    }
                }
                hits.extend(own.into_iter().rev());
                if hits.len() >= HITS {
                    hits.truncate(HITS);
                    return Ok(hits);
                }
            }
        }
        Ok(hits)
    }
}
