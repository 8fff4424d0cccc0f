//! How a session grew from snapshot to snapshot.

use super::list::SessionRow;
use crate::engine::attachments;
use crate::error::Result;
use crate::format::record::SNAPSHOT_SAFETY;
use crate::format::session::{KIND, SessionEntry};
use crate::id::SnapshotId;
use crate::repository::Repository;

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

/// Returns the versions of a session that its machine's snapshots hold, oldest first. A snapshot with the
/// version of the one before is passed over.
pub fn session_versions(repository: &Repository, row: &SessionRow) -> Result<Vec<SessionVersion>> {
    let mut versions: Vec<SessionVersion> = Vec::new();
    let mut key = attachments::file_prefix(&row.agent, &row.label, &row.relative);
    key.extend_from_slice(row.id.as_bytes());
    for head in repository.cached_heads()? {
        let snapshot = &head.snapshot;
        let is_safety = snapshot.flags & SNAPSHOT_SAFETY != 0;
        if head.forgotten.is_some()
            || is_safety
            || snapshot.host != row.host
            || !snapshot.agents.contains(&row.agent)
        {
            continue;
        }
        let whole = repository.whole(&head)?;
        for entry in attachments::read(repository, &whole.snapshot, KIND, &key)? {
            let entry = entry?;
            let Ok(session) = SessionEntry::decode(&entry.value) else { continue };
            let is_news = entry.key == key && versions.last().is_none_or(|it| it.entry != session);
            if is_news {
                let (snapshot, time) = (head.id, snapshot.time);
                versions.push(SessionVersion { snapshot, time, entry: session });
            }
        }
    }
    Ok(versions)
}
