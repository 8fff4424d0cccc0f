//! The sessions that a repository holds, of all machines and agents, from the lists beside snapshots.

use std::collections::{BTreeMap, HashMap};

use crate::engine::attachments::{self, KeyParts};
use crate::error::Result;
use crate::format::record::{Root, RootKind, SNAPSHOT_SAFETY, Snapshot};
use crate::format::session::{KIND, SessionEntry};
use crate::id::SnapshotId;
use crate::repository::Repository;
use crate::repository::cache::SnapshotEntry;
use crate::repository::snapshots::is_future;
use crate::time::Timestamp;

/// One session that a snapshot holds.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedSession {
    /// The machine that saved it.
    pub host: String,
    /// The agent's id.
    pub agent: String,
    /// Which of the agent's roots it lies in.
    pub label: String,
    /// Where that root lay, absolute.
    pub place: Vec<u8>,
    /// The path below the root of the file that holds it; empty for a root that is a file.
    pub relative: Vec<u8>,
    /// The session's id.
    pub id: String,
    /// What is known of it.
    pub entry: SessionEntry,
    /// The newest snapshot with its file.
    pub snapshot: SnapshotId,
    /// When that file was last read.
    pub saved: Timestamp,
}

/// Which snapshots a list of sessions is made from.
#[derive(Debug, Clone, Default)]
pub struct SessionsWish {
    /// Agents' ids; none means all.
    pub agents: Vec<String>,
    /// Machines; none means all.
    pub hosts: Vec<String>,
    /// The state at this moment, not the newest one.
    pub at: Option<Timestamp>,
}

/// Returns all sessions that a repository holds, of each machine's roots as last read. A session that
/// two roots of a machine hold is there twice; so is one that two machines hold.
///
/// From a warm cache it costs no request. Entries that a later version wrote are passed over.
pub fn saved_sessions(
    repository: &Repository,
    wish: &SessionsWish,
    now: Timestamp,
) -> Result<Vec<SavedSession>> {
    let heads = repository.cached_heads()?;
    let mut sessions = Vec::new();
    for (head, roots) in newest_roots(&heads, wish, now) {
        let whole = repository.whole(head)?;
        for root in roots {
            read_root(repository, &whole, root, &mut sessions)?;
        }
    }
    Ok(sessions)
}

/// Machine, agent, label and place: several folders of one agent are roots of their own.
type RootKey<'e> = (&'e str, &'e str, &'e str, &'e [u8]);

/// Returns of each agent's root of each machine the newest state, by snapshot.
fn newest_roots<'e>(
    heads: &'e [SnapshotEntry],
    wish: &SessionsWish,
    now: Timestamp,
) -> Vec<(&'e SnapshotEntry, Vec<&'e Root>)> {
    let counts = |entry: &&SnapshotEntry| {
        let snapshot = &entry.snapshot;
        entry.forgotten.is_none()
            && snapshot.flags & SNAPSHOT_SAFETY == 0
            && !is_future(snapshot, now)
            && (wish.hosts.is_empty() || wish.hosts.contains(&snapshot.host))
            && wish.at.is_none_or(|at| snapshot.time <= at.0)
    };
    let mut newest: HashMap<RootKey<'e>, (&'e SnapshotEntry, &'e Root)> = HashMap::new();
    for entry in heads.iter().filter(counts) {
        let snapshot = &entry.snapshot;
        let roots = snapshot.roots.iter().filter(|root| root.kind == RootKind::Agent as u64);
        for root in roots {
            if !wish.agents.is_empty() && !wish.agents.contains(&root.agent) {
                continue;
            }
            let key = (
                snapshot.host.as_str(),
                root.agent.as_str(),
                root.label.as_str(),
                root.place.0.as_slice(),
            );
            let is_newer = newest.get(&key).is_none_or(|(other, old)| {
                read_at(snapshot, root) >= read_at(&other.snapshot, old)
            });
            if is_newer {
                newest.insert(key, (entry, root));
            }
        }
    }
    let mut by_snapshot: BTreeMap<SnapshotId, (&SnapshotEntry, Vec<&Root>)> = BTreeMap::new();
    for (entry, root) in newest.into_values() {
        by_snapshot.entry(entry.id).or_insert_with(|| (entry, Vec::new())).1.push(root);
    }
    by_snapshot.into_values().collect()
}

fn read_at(snapshot: &Snapshot, root: &Root) -> i64 {
    root.last_read.unwrap_or(snapshot.written)
}

fn read_root(
    repository: &Repository,
    whole: &SnapshotEntry,
    root: &Root,
    sessions: &mut Vec<SavedSession>,
) -> Result<()> {
    let snapshot = &whole.snapshot;
    let prefix = attachments::root_prefix(&root.agent, &root.label);
    for entry in attachments::read(repository, snapshot, KIND, &prefix)? {
        let entry = entry?;
        let Some(key) = KeyParts::of(&entry.key) else { continue };
        let (Ok(id), Ok(session)) =
            (String::from_utf8(key.suffix.to_vec()), SessionEntry::decode(&entry.value))
        else {
            continue;
        };
        sessions.push(SavedSession {
            host: snapshot.host.clone(),
            agent: root.agent.clone(),
            label: root.label.clone(),
            place: root.place.0.clone(),
            relative: key.path.to_vec(),
            id,
            entry: session,
            snapshot: whole.id,
            saved: Timestamp(read_at(snapshot, root)),
        });
    }
    Ok(())
}
