//! How much snapshots hold, and how much room that takes.
//!
//! Three figures that build on each other: what the snapshots would take if each were kept whole;
//! the distinct data in them, each blob counted once; and what that takes as stored. A blob's
//! share of a compressed unit is taken by its length.

use std::collections::HashSet;

use super::fail;
use crate::error::Result;
use crate::event::{Counters, Reporter};
use crate::format::pack::BlobKind;
use crate::format::tree::{Node, NodeKind, Subtree, Tree};
use crate::id::BlobId;
use crate::repository::Repository;
use crate::repository::cache::SnapshotEntry;
use crate::repository::reader::BlobReader;
use crate::store::Prefix;

/// The figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StatsReport {
    /// Snapshots.
    pub snapshots: u64,
    /// Files in them, summed over all.
    pub files: u64,
    /// Bytes of these files.
    pub whole_bytes: u64,
    /// Distinct blobs, trees included.
    pub blobs: u64,
    /// Their bytes before compression.
    pub distinct_bytes: u64,
    /// Their bytes as stored.
    pub stored_bytes: u64,
    /// Trees and lists that could not be read.
    pub failed: u64,
}

/// Sums over everything that the repository holds: all its objects count as stored, keys and
/// records too, and blobs that no snapshot needs any longer.
pub fn of_repository(repository: &Repository, entries: &[SnapshotEntry]) -> Result<StatsReport> {
    let totals = repository.cache().totals()?;
    let mut report = of_snapshots(entries);
    report.blobs = totals.blobs;
    report.distinct_bytes = totals.raw_bytes;
    for prefix in [Prefix::Packs, Prefix::Log, Prefix::Keys, Prefix::Repository] {
        for row in repository.store().list(prefix)? {
            report.stored_bytes = report.stored_bytes.saturating_add(row.size);
        }
    }
    Ok(report)
}

/// Sums over what some snapshots need. Memory: 40 bytes for each distinct blob.
pub fn of_selection(
    repository: &Repository,
    entries: &[SnapshotEntry],
    counters: &Counters,
    reporter: &dyn Reporter,
) -> Result<StatsReport> {
    let mut walk = Walk {
        repository,
        reader: BlobReader::new(repository)?,
        counters,
        reporter,
        seen: HashSet::new(),
        pending: Vec::new(),
        report: of_snapshots(entries),
    };
    for entry in entries {
        for root in &repository.whole(entry)?.snapshot.roots {
            walk.node(&root.node, &root.place)?;
        }
        walk.run()?;
    }
    Ok(walk.report)
}

fn of_snapshots(entries: &[SnapshotEntry]) -> StatsReport {
    let mut report = StatsReport { snapshots: entries.len() as u64, ..StatsReport::default() };
    for statistics in entries.iter().map(|entry| &entry.snapshot.statistics) {
        report.files = report.files.saturating_add(statistics.files);
        report.whole_bytes = report.whole_bytes.saturating_add(statistics.bytes);
    }
    report
}

struct Walk<'a> {
    repository: &'a Repository,
    reader: BlobReader<'a>,
    counters: &'a Counters,
    reporter: &'a dyn Reporter,
    seen: HashSet<BlobId>,
    /// Trees and lists to be read.
    pending: Vec<(BlobKind, BlobId)>,
    report: StatsReport,
}

impl Walk<'_> {
    fn node(&mut self, node: &Node, place: &[u8]) -> Result<()> {
        for id in node.blobs.iter() {
            self.count(BlobKind::Data, id, place)?;
        }
        for id in node.segments.iter() {
            self.count(BlobKind::List, id, place)?;
        }
        match &node.subtree {
            Subtree::Blob(id) => self.count(BlobKind::Tree, id, place)?,
            Subtree::Inline(nodes) if node.kind == NodeKind::Directory => {
                for node in nodes {
                    self.node(node, place)?;
                }
            }
            Subtree::Inline(_) => {}
        }
        Ok(())
    }

    /// Counts a blob that was not met before.
    fn count(&mut self, kind: BlobKind, id: &BlobId, place: &[u8]) -> Result<()> {
        if !self.seen.insert(*id) {
            return Ok(());
        }
        if kind != BlobKind::Data {
            self.pending.push((kind, *id));
        }
        let places = self.repository.cache().places(id)?;
        let Some(at) = places.first() else {
            let error = crate::error::Error::damaged("blob is not in the index:", id.to_string());
            fail(&mut self.report.failed, place, &error, self.reporter);
            return Ok(());
        };
        let share = u128::from(at.stored_length).saturating_mul(at.length.into());
        let share = share.checked_div(at.unit_length.into()).unwrap_or(0);
        let report = &mut self.report;
        report.blobs = report.blobs.saturating_add(1);
        report.distinct_bytes = report.distinct_bytes.saturating_add(at.length);
        report.stored_bytes =
            report.stored_bytes.saturating_add(u64::try_from(share).unwrap_or(u64::MAX));
        Ok(())
    }

    fn run(&mut self) -> Result<()> {
        while let Some((kind, id)) = self.pending.pop() {
            self.counters.go_on()?;
            let entered = match kind {
                BlobKind::List => self.list(&id),
                _ => self.tree(&id),
            };
            if let Err(error) = entered {
                if error.kind() != crate::error::Kind::Damaged {
                    return Err(error);
                }
                let name = id.to_string();
                fail(&mut self.report.failed, name.as_bytes(), &error, self.reporter);
            }
        }
        Ok(())
    }

    fn list(&mut self, id: &BlobId) -> Result<()> {
        for blob in self.reader.load_list(id)? {
            self.count(BlobKind::Data, &blob, &[])?;
        }
        Ok(())
    }

    fn tree(&mut self, id: &BlobId) -> Result<()> {
        match self.reader.load_tree(id)? {
            Tree::Nodes(nodes) => nodes.iter().try_for_each(|node| self.node(node, &node.name)),
            Tree::Parts(parts) => {
                parts.iter().try_for_each(|part| self.count(BlobKind::Tree, &part.1, &part.0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Fixture;
    use super::*;
    use crate::event::Silent;

    #[test]
    fn what_two_snapshots_share_counts_once() {
        let fixture = Fixture::new();
        let noise: Vec<u8> =
            (0..200_000_u32).flat_map(|n| n.wrapping_mul(n ^ 0x9e37).to_le_bytes()).collect();
        fixture.write("large", &noise);
        fixture.backup();
        let one = fixture.entries();
        fixture.write("copy", &noise);
        fixture.backup();
        let both = fixture.entries();
        let stats = |entries: &[SnapshotEntry]| {
            let counters = Counters::default();
            of_selection(&fixture.repository, entries, &counters, &Silent).unwrap()
        };
        let (one, both_stats) = (stats(&one), stats(&both));
        assert_eq!((one.snapshots, one.files, one.whole_bytes), (1, 1, 800_000));
        assert!((800_000..810_000).contains(&one.distinct_bytes), "{one:?}");
        assert_eq!((both_stats.files, both_stats.whole_bytes), (3, 2_400_000));
        assert!(both_stats.distinct_bytes < 812_000, "{both_stats:?}");
        assert_eq!(both_stats.failed, 0);
        let all = of_repository(&fixture.repository, &both).unwrap();
        assert!(all.distinct_bytes >= both_stats.distinct_bytes);
        assert!(all.stored_bytes >= both_stats.stored_bytes);
    }
}
