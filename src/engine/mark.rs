//! Words about snapshots: forgetting, pinning, tagging. All of one call ride in one record.

use super::prune::stands;
use crate::error::{Error, Kind, Result};
use crate::event::Counters;
use crate::format::record::{Mark, MarkKind};
use crate::format::tree::{Node, Subtree};
use crate::repository::Repository;
use crate::repository::cache::SnapshotEntry;
use crate::repository::log::RecordParts;
use crate::time::Timestamp;

/// A record holds no more marks than this, which keeps it far below the limits of a body.
const RECORD_MARKS: usize = 20_000;

/// Returns a mark about a snapshot.
pub fn mark(entry: &SnapshotEntry, kind: MarkKind) -> Mark {
    Mark { snapshot: entry.id, kind: kind as u64, ..Mark::default() }
}

/// Returns the mark that replaces a snapshot's tags.
pub fn tags_mark(entry: &SnapshotEntry, tags: Vec<String>) -> Mark {
    Mark { tags, ..mark(entry, MarkKind::Tags) }
}

/// Publishes marks; none publish nothing.
pub fn say(repository: &Repository, marks: Vec<Mark>, now: Timestamp) -> Result<()> {
    let mut left = marks;
    while !left.is_empty() {
        let later = left.split_off(left.len().min(RECORD_MARKS));
        let parts = RecordParts { marks: left, ..RecordParts::default() };
        repository.append(parts, now)?;
        left = later;
    }
    Ok(())
}

/// Fails if the log lacks what this machine wrote last (page 8, rule 19): what is forgotten by
/// half of the truth may be all that is left. Call it after a sync.
pub fn refuse_rollback(repository: &Repository) -> Result<()> {
    let Some(lost) = repository.lost_tip() else { return Ok(()) };
    let what = format!(
        "record {} of this machine, written {}, is no longer in the repository",
        lost.tip.short(),
        Timestamp(lost.written).to_rfc3339()
    );
    Err(Error::new(Kind::Damaged, what).hint(
        "the store was set back or lost something: `stash check` says what; \
         `--accept rollback` goes on without it",
    ))
}

/// Returns the mark that takes a forget back; `None` if the snapshot is not forgotten. Fails
/// once that would come too late (page 8, rule 22).
pub fn unforget_mark(
    repository: &Repository,
    entry: &SnapshotEntry,
    now: Timestamp,
) -> Result<Option<Mark>> {
    let Some(forgotten) = entry.forgotten else { return Ok(None) };
    if !stands(repository, &repository.whole(entry)?.snapshot, &Counters::default())? {
        return Err(Error::failed(format!(
            "it is too late to bring back snapshot {}: a prune has freed its space",
            entry.id.short()
        ))
        .hint("a copy in another repository can be brought back: `stash copy --help`"));
    }
    unforget_until(entry, forgotten.returns_until(&repository.lifetimes()), now)
}

/// Returns whether a forgotten snapshot can still be brought back, by all that can be told without
/// reading its folders: in an exclusive repository its space may be freed already.
pub fn may_return(repository: &Repository, entry: &SnapshotEntry, now: Timestamp) -> Result<bool> {
    let Some(forgotten) = entry.forgotten else { return Ok(false) };
    if now >= forgotten.returns_until(&repository.lifetimes()) {
        return Ok(false);
    }
    for root in &repository.whole(entry)?.snapshot.roots {
        if !begins_to_stand(repository, &root.node)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns whether everything stands that a node names itself.
fn begins_to_stand(repository: &Repository, node: &Node) -> Result<bool> {
    let below = match &node.subtree {
        Subtree::Blob(id) => repository.cache().stands(id)?,
        Subtree::Inline(nodes) => {
            for node in nodes {
                if !begins_to_stand(repository, node)? {
                    return Ok(false);
                }
            }
            true
        }
    };
    for id in node.blobs.iter().chain(node.segments.iter()) {
        if !repository.cache().stands(id)? {
            return Ok(false);
        }
    }
    Ok(below)
}

/// Returns the mark, given the moment until which it works.
fn unforget_until(entry: &SnapshotEntry, until: Timestamp, now: Timestamp) -> Result<Option<Mark>> {
    if now >= until {
        return Err(Error::failed(format!(
            "it is too late to bring back snapshot {}: that worked until {}",
            entry.id.short(),
            until.to_rfc3339()
        ))
        .hint(format!(
            "what no prune has taken yet can still be restored: `stash restore {} --target DIR`",
            entry.id.short()
        )));
    }
    Ok(Some(mark(entry, MarkKind::Unforget)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::record::Snapshot;
    use crate::id::SnapshotId;
    use crate::repository::marks::Forgotten;

    #[test]
    fn a_forget_is_taken_back_until_sixty_hours_have_passed() {
        let entry = SnapshotEntry {
            id: SnapshotId([7; 32]),
            snapshot: Snapshot::default(),
            forgotten: Some(Forgotten { since: 1000 }),
            pinned: false,
        };
        let until = Timestamp(60 * 3600 * 1_000_000_000);
        let last = until.plus(-1);
        assert!(unforget_until(&entry, until, last).unwrap().is_some());
        let error = unforget_until(&entry, until, until).unwrap_err();
        assert!(error.to_string().contains("until 1970-01-03T12:00:00Z"), "{error}");
    }
}
