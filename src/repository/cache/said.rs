//! Snapshots, and what was said about them.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use rusqlite::OptionalExtension as _;

use super::tables::open_head;
use super::{Cache, SnapshotEntry, wrap};
use crate::error::Result;
use crate::format::cbor;
use crate::format::record::{Mark, MarkKind, Snapshot};
use crate::id::{LaneId, ObjectHash, SnapshotId, Tip};
use crate::repository::marks::{MarkLog, MarkState, RecordLink, Replaced, SaidMark};
use crate::repository::trust::Trust;

type Foreign = Box<dyn std::error::Error + Send + Sync>;

impl Cache {
    /// Returns all snapshots in ascending order of time, forgotten ones too. `id_of` tells the id
    /// of a snapshot's bytes: what does not have it has changed on the disk.
    pub fn snapshots(&self, id_of: impl Fn(&[u8]) -> SnapshotId) -> Result<Vec<SnapshotEntry>> {
        let mut entries = Vec::new();
        let sql = "SELECT id, body FROM snapshot ORDER BY time, written, id";
        self.for_each_snapshot(sql, [], id_of, |entry| {
            entries.push(entry);
            ControlFlow::Continue(())
        })?;
        Ok(entries)
    }

    /// Returns the heads of all snapshots ([`Snapshot::head`]) in ascending order of time, forgotten
    /// ones too.
    pub fn heads(&self) -> Result<Vec<SnapshotEntry>> {
        let mut entries = Vec::new();
        let sql = "SELECT id, head FROM snapshot ORDER BY time, written, id";
        self.for_each(
            sql,
            [],
            |_, head| open_head(head),
            |entry| {
                entries.push(entry);
                ControlFlow::Continue(())
            },
        )?;
        Ok(entries)
    }

    /// Returns the head of the newest snapshot whose head is wanted. `wanted` must not use this cache.
    pub fn newest_head(
        &self,
        mut wanted: impl FnMut(&SnapshotEntry) -> bool,
    ) -> Result<Option<SnapshotEntry>> {
        let mut found = None;
        let sql = "SELECT id, head FROM snapshot ORDER BY time DESC, written DESC, id DESC";
        self.for_each(
            sql,
            [],
            |_, head| open_head(head),
            |entry| {
                if wanted(&entry) {
                    found = Some(entry);
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            },
        )?;
        Ok(found)
    }

    /// Returns one snapshot.
    pub fn snapshot(
        &self,
        id: &SnapshotId,
        id_of: impl Fn(&[u8]) -> SnapshotId,
    ) -> Result<Option<SnapshotEntry>> {
        let mut found = None;
        let sql = "SELECT id, body FROM snapshot WHERE id = ?1";
        self.for_each_snapshot(sql, [id.as_bytes()], id_of, |entry| {
            found = Some(entry);
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    fn for_each_snapshot(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
        id_of: impl Fn(&[u8]) -> SnapshotId,
        visit: impl FnMut(SnapshotEntry) -> ControlFlow<()>,
    ) -> Result<()> {
        let open = |id: &SnapshotId, body: &[u8]| {
            (id_of(body) == *id).then(|| Snapshot::decode(body).ok()).flatten()
        };
        self.for_each(sql, parameters, open, visit)
    }

    /// Visits rows of an id and of what `open` makes a snapshot of; what it refuses has changed on the
    /// disk.
    fn for_each(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
        open: impl Fn(&SnapshotId, &[u8]) -> Option<Snapshot>,
        mut visit: impl FnMut(SnapshotEntry) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut states = self.mark_states()?;
        let connection = self.lock();
        let mut statement = connection.prepare_cached(sql).map_err(wrap)?;
        let rows = statement
            .query_map(parameters, |row| {
                let id = SnapshotId(row.get::<_, [u8; 32]>(0)?);
                Ok((id, open(&id, row.get_ref(1)?.as_blob()?)))
            })
            .map_err(wrap)?;
        for row in rows {
            let (id, snapshot) = row.map_err(wrap)?;
            let changed = || Foreign::from("a snapshot is not the one that was entered");
            let mut snapshot = snapshot.ok_or_else(|| wrap(unreadable(1, changed())))?;
            let state = states.remove(&id).unwrap_or_default();
            if let Some((tags, _)) = state.tags {
                snapshot.tags = tags;
            }
            let (forgotten, pinned) = (state.forgotten, state.pinned.is_some());
            if visit(SnapshotEntry { id, snapshot, forgotten, pinned }).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Returns what holds about each snapshot that something was said about.
    pub fn mark_states(&self) -> Result<HashMap<SnapshotId, MarkState>> {
        let mut log =
            MarkLog { marks: self.marks()?, checkpoints: self.replaced()?, ..MarkLog::default() };
        // Who knew what takes reading all records, and it seldom matters.
        if log.is_contested() {
            log.records = self.links()?;
        }
        Ok(log.states())
    }

    /// Returns the same as if those had said nothing whose words don't count (page 8, rule 38).
    pub fn heeded_mark_states(&self, trust: &Trust) -> Result<HashMap<SnapshotId, MarkState>> {
        let records = self.links()?;
        let heeded: HashSet<ObjectHash> = records
            .iter()
            .filter(|link| trust.heeds(&link.lane, &link.hash))
            .map(|link| link.hash)
            .collect();
        let mut log = MarkLog { marks: self.marks()?, checkpoints: self.replaced()?, records };
        log.marks.retain(|said| heeded.contains(&said.record));
        log.checkpoints.retain(|replaced| heeded.contains(&replaced.checkpoint));
        Ok(log.states())
    }

    /// Returns which lane a record is of.
    pub fn lane_of(&self, record: &ObjectHash) -> Result<Option<LaneId>> {
        self.lock()
            .prepare_cached("SELECT lane FROM record WHERE hash = ?1")
            .and_then(|mut statement| {
                statement.query_row([record.as_bytes()], |row| row.get(0).map(LaneId)).optional()
            })
            .map_err(wrap)
    }

    /// Returns of each snapshot that someone said to forget the records that say so.
    pub fn forgets(&self) -> Result<HashMap<SnapshotId, Vec<ObjectHash>>> {
        let mut forgets: HashMap<SnapshotId, Vec<ObjectHash>> = HashMap::new();
        for said in self.marks()? {
            if said.mark.kind == MarkKind::Forget as u64 {
                forgets.entry(said.mark.snapshot).or_default().push(said.record);
            }
        }
        Ok(forgets)
    }

    fn marks(&self) -> Result<Vec<SaidMark>> {
        let connection = self.lock();
        let mut statement =
            connection.prepare_cached("SELECT record, body, written FROM mark").map_err(wrap)?;
        let rows = statement
            .query_map([], |row| {
                let body: Vec<u8> = row.get(1)?;
                let mark: Mark =
                    cbor::decode(&body).map_err(|error| unreadable(1, error.into()))?;
                Ok(SaidMark { record: ObjectHash(row.get(0)?), written: row.get(2)?, mark })
            })
            .map_err(wrap)?;
        rows.map(|row| row.map_err(wrap)).collect()
    }

    /// Returns what each checkpoint replaces.
    pub fn replaced(&self) -> Result<Vec<Replaced>> {
        let connection = self.lock();
        let mut statement = connection
            .prepare_cached("SELECT record, records, snapshots FROM checkpoint")
            .map_err(wrap)?;
        let rows = statement
            .query_map([], |row| {
                Ok(Replaced {
                    checkpoint: ObjectHash(row.get(0)?),
                    records: split(row, 1)?.into_iter().map(ObjectHash).collect(),
                    snapshots: split(row, 2)?.into_iter().map(SnapshotId).collect(),
                })
            })
            .map_err(wrap)?;
        rows.map(|row| row.map_err(wrap)).collect()
    }

    /// Returns what the writer of each record knew.
    pub fn links(&self) -> Result<Vec<RecordLink>> {
        let connection = self.lock();
        let mut statement = connection
            .prepare_cached("SELECT hash, previous, view, global, lane FROM record")
            .map_err(wrap)?;
        let rows = statement
            .query_map([], |row| {
                Ok(RecordLink {
                    hash: ObjectHash(row.get(0)?),
                    previous: row.get::<_, Option<[u8; 32]>>(1)?.map(ObjectHash),
                    view: split(row, 2)?.into_iter().map(Tip).collect(),
                    is_global: row.get(3)?,
                    lane: LaneId(row.get(4)?),
                })
            })
            .map_err(wrap)?;
        rows.map(|row| row.map_err(wrap)).collect()
    }
}

/// Returns the ids that stand one after the other in a column.
fn split<const N: usize>(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Vec<[u8; N]>> {
    let bytes: Vec<u8> = row.get(column)?;
    let (ids, rest) = bytes.as_chunks::<N>();
    if rest.is_empty() {
        Ok(ids.to_vec())
    } else {
        Err(unreadable(column, "a list of ids is cut".into()))
    }
}

fn unreadable(column: usize, error: Foreign) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Blob, error)
}
