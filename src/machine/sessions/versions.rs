//! How a session grew from snapshot to snapshot.

use std::collections::BTreeMap;

use super::list::SessionRow;
use super::saved::{SavedSession, SessionsWish, saved_sessions};
use crate::engine::attachments;
use crate::engine::retention::Carriers;
use crate::error::Result;
use crate::format::record::SNAPSHOT_SAFETY;
use crate::format::session::{KIND, SESSION_OF_MANY, SessionEntry};
use crate::id::SnapshotId;
use crate::repository::Repository;
use crate::repository::cache::SnapshotEntry;
use crate::time::Timestamp;

/// One version of a session.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionVersion {
    /// The snapshot that has it first.
    pub snapshot: SnapshotId,
    /// That snapshot's time (nanoseconds, UTC).
    pub time: i64,
    /// What was known of it then.
    pub entry: SessionEntry,
}

/// Returns the newest snapshot in whose file a session still was, of one that a file of many holds no
/// more; `None` if all such snapshots are forgotten.
pub(super) fn last_holding(
    repository: &Repository,
    row: &SessionRow,
) -> Result<Option<SnapshotId>> {
    let heads = repository.cached_heads()?;
    last_among(repository, &heads, &Wanted::of_row(row))
}

fn last_among(
    repository: &Repository,
    heads: &[SnapshotEntry],
    wanted: &Wanted<'_>,
) -> Result<Option<SnapshotId>> {
    let heads: Vec<&SnapshotEntry> = heads.iter().filter(|head| wanted.may_be_in(head)).collect();
    // It was there up to one of them, and gone from then on: half of them are passed over at each look.
    let (mut from, mut to) = (0_usize, heads.len());
    let mut found = None;
    while from < to {
        let middle = from.midpoint(to);
        let Some(head) = heads.get(middle) else { break };
        match wanted.entry_in(repository, head)? {
            Some(entry) if entry.gone.is_none() => {
                found = Some(head.id);
                from = middle.saturating_add(1);
            }
            Some(_) => to = middle,
            // Before its beginning.
            None => from = middle.saturating_add(1),
        }
    }
    Ok(found)
}

/// Which session is looked for.
struct Wanted<'s> {
    host: &'s str,
    agent: &'s str,
    label: &'s str,
    key: Vec<u8>,
}

impl<'s> Wanted<'s> {
    fn of_row(row: &'s SessionRow) -> Wanted<'s> {
        Wanted::new(&row.host, &row.agent, &row.label, &row.relative, &row.id)
    }

    fn new(host: &'s str, agent: &'s str, label: &'s str, relative: &[u8], id: &str) -> Wanted<'s> {
        let mut key = attachments::file_prefix(agent, label, relative);
        key.extend_from_slice(id.as_bytes());
        Wanted { host, agent, label, key }
    }

    /// Returns whether a snapshot can hold it.
    fn may_be_in(&self, head: &SnapshotEntry) -> bool {
        let snapshot = &head.snapshot;
        head.forgotten.is_none()
            && snapshot.flags & SNAPSHOT_SAFETY == 0
            && snapshot.host == self.host
            && snapshot.roots.iter().any(|it| it.agent == self.agent && it.label == self.label)
    }

    fn entry_in(
        &self,
        repository: &Repository,
        head: &SnapshotEntry,
    ) -> Result<Option<SessionEntry>> {
        let whole = repository.whole(head)?;
        for entry in attachments::read(repository, &whole.snapshot, KIND, &self.key)? {
            let entry = entry?;
            if entry.key == self.key {
                return Ok(SessionEntry::decode(&entry.value).ok());
            }
        }
        Ok(None)
    }
}

/// Adds to the snapshots that no policy drops those that alone hold sessions which a file of many, such as
/// a database, holds no more: sessions outlive what is kept of their snapshots.
pub fn keep_vanished(
    repository: &Repository,
    carriers: &mut Carriers,
    now: Timestamp,
) -> Result<()> {
    let heads = repository.cached_heads()?;
    // What went at one moment from one file was last held by one snapshot.
    let mut events = BTreeMap::new();
    for session in saved_sessions(repository, &SessionsWish::default(), now)? {
        let Some(gone) = session.entry.gone.filter(|_| session.entry.flags & SESSION_OF_MANY != 0)
        else {
            continue;
        };
        let SavedSession { host, agent, label, relative, id, .. } = session;
        events.insert((host, agent, label, relative, gone), id);
    }
    for ((host, agent, label, relative, gone), id) in events {
        let wanted = Wanted::new(&host, &agent, &label, &relative, &id);
        let mut before = heads.iter().rev().filter(|head| wanted.may_be_in(head));
        let guess = before.find(|head| head.snapshot.time < gone);
        let holds = match guess {
            Some(head) => {
                wanted.entry_in(repository, head)?.is_some_and(|entry| entry.gone.is_none())
            }
            None => false,
        };
        let found = match guess.filter(|_| holds) {
            Some(head) => Some(head.id),
            None => last_among(repository, &heads, &wanted)?,
        };
        if let Some(id) = found {
            carriers.keep(id, format!("sessions that {agent} has deleted"));
        }
    }
    Ok(())
}

/// Returns the versions of a session that its machine's snapshots hold, oldest first. A snapshot with the
/// version of the one before is passed over.
pub fn session_versions(repository: &Repository, row: &SessionRow) -> Result<Vec<SessionVersion>> {
    let mut versions: Vec<SessionVersion> = Vec::new();
    let (heads, wanted) = (repository.cached_heads()?, Wanted::of_row(row));
    for head in heads.iter().filter(|head| wanted.may_be_in(head)) {
        let Some(entry) = wanted.entry_in(repository, head)? else { continue };
        if versions.last().is_none_or(|it| it.entry != entry) {
            let (snapshot, time) = (head.id, head.snapshot.time);
            versions.push(SessionVersion { snapshot, time, entry });
        }
    }
    Ok(versions)
}
