//! The versions of one path.

use super::is_same_content;
use crate::engine::browse::descend_to;
use crate::error::Result;
use crate::event::{Counters, Event, Reporter};
use crate::format::tree::Node;
use crate::id::SnapshotId;
use crate::repository::cache::SnapshotEntry;
use crate::repository::reader::BlobReader;
use crate::repository::snapshots::is_within;

/// One state of a path over one or more snapshots in a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// The first snapshot that holds it.
    pub snapshot: SnapshotId,
    /// When that was, and when the last such snapshot was (nanoseconds, UTC).
    pub first_seen: i64,
    /// See `first_seen`.
    pub last_seen: i64,
    /// How many snapshots in a row.
    pub snapshots: u64,
    /// The node; `None` where the path was gone.
    pub node: Option<Node>,
}

/// Returns the versions of `path` in the order of the snapshots, which ascend in time; only those
/// of which a root holds the path count. A snapshot that can't be read is told and passed over.
pub fn versions(
    reader: &mut BlobReader<'_>,
    entries: &[SnapshotEntry],
    path: &[u8],
    counters: &Counters,
    reporter: &dyn Reporter,
) -> Result<Vec<Version>> {
    let mut versions: Vec<Version> = Vec::new();
    for entry in entries {
        counters.go_on()?;
        let root = entry.snapshot.roots.iter().find(|root| is_within(path, &root.place));
        let Some(root) = root else { continue };
        let node = match descend_to(reader, root, path) {
            Ok(node) => node.filter(|node| node.absent_since.is_none()),
            Err(error) => {
                reporter.event(&Event::ItemFailed { path, error: &error });
                Counters::add(&counters.failed_items, 1);
                continue;
            }
        };
        let time = entry.snapshot.time;
        match versions.last_mut() {
            Some(last) if is_same(last.node.as_ref(), node.as_ref()) => {
                last.last_seen = time;
                last.snapshots = last.snapshots.saturating_add(1);
            }
            // Before the first version there was nothing to be gone.
            None if node.is_none() => {}
            _ => versions.push(Version {
                snapshot: entry.id,
                first_seen: time,
                last_seen: time,
                snapshots: 1,
                node,
            }),
        }
    }
    Ok(versions)
}

fn is_same(one: Option<&Node>, other: Option<&Node>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => is_same_content(one, other),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Fixture;
    use super::*;
    use crate::event::Silent;

    #[test]
    fn equal_states_in_a_row_are_one_version_and_a_gap_is_told() {
        let fixture = Fixture::new();
        fixture.write("other", b"");
        fixture.backup();
        for state in [Some("1"), Some("1"), None, Some("1"), Some("2")] {
            match state {
                Some(text) => fixture.write("d/file", text.as_bytes()),
                None => fixture.remove("d/file"),
            }
            fixture.backup();
        }
        let entries = fixture.entries();
        let path = fixture.place("d/file");
        let mut reader = fixture.reader();
        let found = versions(&mut reader, &entries, &path, &Counters::default(), &Silent).unwrap();
        let said: Vec<_> = found
            .iter()
            .map(|version| {
                let inline = version.node.as_ref().map(|node| node.inline.0.clone());
                (version.snapshots, inline)
            })
            .collect();
        let text = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(said, [(2, text("1")), (1, None), (1, text("1")), (1, text("2"))]);
        assert_eq!(found[0].snapshot, entries[1].id);
        assert_eq!(found[0].last_seen, entries[2].snapshot.time);
    }
}
