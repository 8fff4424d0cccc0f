//! What differs between two snapshots, or two places in them.
//!
//! Both sides are walked in step, names ascending; directories with the same tree are not entered,
//! so the cost follows what changed. Memory: one part of each directory on the way, on both sides.

use super::list::{Depth, list};
use super::{fail, is_same_content};
use crate::engine::browse::{Found, join};
use crate::error::Result;
use crate::event::{Counters, Reporter};
use crate::format::tree::{Node, NodeKind};
use crate::repository::reader::{BlobReader, NodeIter};

/// How an item differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Only the new side has it.
    Added,
    /// Only the old side has it.
    Removed,
    /// Its content is another.
    Content,
    /// It is something of another kind.
    Kind,
    /// Only its metadata is other.
    Metadata,
}

impl Change {
    /// Returns restic's mark for it.
    pub fn mark(self) -> char {
        match self {
            Change::Added => '+',
            Change::Removed => '-',
            Change::Content => 'M',
            Change::Kind => 'T',
            Change::Metadata => 'U',
        }
    }
}

/// An item that differs.
#[derive(Debug)]
pub struct Difference<'a> {
    /// Its path; the new side's, if that has it.
    pub path: &'a [u8],
    /// How it differs.
    pub change: Change,
    /// What it is, on the new side if that has it.
    pub kind: NodeKind,
}

/// Items of one side that the other has not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Sums {
    /// Files.
    pub files: u64,
    /// Directories.
    pub dirs: u64,
    /// Links, pipes and devices.
    pub others: u64,
    /// Bytes of the files.
    pub bytes: u64,
}

impl Sums {
    fn add(&mut self, node: &Node) {
        let count = match node.kind {
            NodeKind::File => &mut self.files,
            NodeKind::Directory => &mut self.dirs,
            _ => &mut self.others,
        };
        *count = count.saturating_add(1);
        self.bytes = self.bytes.saturating_add(node.size);
    }
}

/// All differences, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiffReport {
    /// What only the new side has.
    pub added: Sums,
    /// What only the old side has.
    pub removed: Sums,
    /// Files with other content.
    pub changed_files: u64,
    /// Bytes that these had on the old side.
    pub changed_bytes_old: u64,
    /// Bytes that they have on the new side.
    pub changed_bytes_new: u64,
    /// Items of which only the metadata is other.
    pub changed_metadata: u64,
    /// Directories that could not be read.
    pub failed: u64,
}

/// One side of a pair of directories.
struct Side {
    path: Vec<u8>,
    nodes: NodeIter,
    ahead: Option<Node>,
}

impl Side {
    fn new(reader: &mut BlobReader<'_>, path: Vec<u8>, node: &Node) -> Side {
        Side { path, nodes: reader.nodes(&node.subtree), ahead: None }
    }

    /// Looks at the next node that is there.
    fn look(&mut self, reader: &mut BlobReader<'_>) -> Result<()> {
        while self.ahead.is_none() {
            match self.nodes.next(reader)? {
                None => break,
                Some(node) => self.ahead = Some(node).filter(|node| node.absent_since.is_none()),
            }
        }
        Ok(())
    }

    fn take(&mut self) -> Option<Found> {
        let node = self.ahead.take()?;
        Some(Found { path: join(&self.path, &node.name), node })
    }
}

struct Diff<'a, 'r> {
    reader: &'a mut BlobReader<'r>,
    counters: &'a Counters,
    reporter: &'a dyn Reporter,
    visit: &'a mut dyn FnMut(&Difference<'_>) -> Result<()>,
    report: DiffReport,
    levels: Vec<(Side, Side)>,
}

/// Compares items of one place each, or all roots of two snapshots; calls `visit` for each
/// difference, names ascending.
pub fn diff(
    reader: &mut BlobReader<'_>,
    old: Vec<Found>,
    new: Vec<Found>,
    counters: &Counters,
    reporter: &dyn Reporter,
    visit: &mut dyn FnMut(&Difference<'_>) -> Result<()>,
) -> Result<DiffReport> {
    let mut diff = Diff {
        reader,
        counters,
        reporter,
        visit,
        report: DiffReport::default(),
        levels: Vec::new(),
    };
    for (old, new) in pairs(old, new) {
        diff.compare(old, new)?;
        diff.walk()?;
    }
    Ok(diff.report)
}

/// Puts items together that lie at one path; two single ones belong together wherever they lie.
fn pairs(mut old: Vec<Found>, mut new: Vec<Found>) -> Vec<(Option<Found>, Option<Found>)> {
    if old.len() == 1 && new.len() == 1 {
        return vec![(old.pop(), new.pop())];
    }
    let mut pairs: Vec<(Option<Found>, Option<Found>)> = Vec::new();
    for item in old {
        let twin = new.iter().position(|other| other.path == item.path);
        pairs.push((Some(item), twin.map(|place| new.swap_remove(place))));
    }
    pairs.extend(new.into_iter().map(|item| (None, Some(item))));
    let path = |pair: &(Option<Found>, Option<Found>)| {
        pair.0.as_ref().or(pair.1.as_ref()).map(|item| item.path.clone())
    };
    pairs.sort_by_key(path);
    pairs
}

impl Diff<'_, '_> {
    fn walk(&mut self) -> Result<()> {
        while let Some((old, new)) = self.levels.last_mut() {
            self.counters.go_on()?;
            if let Err(error) = old.look(self.reader).and_then(|()| new.look(self.reader)) {
                fail(&mut self.report.failed, &new.path, &error, self.reporter);
                self.levels.pop();
                continue;
            }
            let order = match (&old.ahead, &new.ahead) {
                (None, None) => {
                    self.levels.pop();
                    continue;
                }
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(one), Some(other)) => one.name.cmp(&other.name),
            };
            let one = if order.is_le() { old.take() } else { None };
            let other = if order.is_ge() { new.take() } else { None };
            self.compare(one, other)?;
        }
        Ok(())
    }

    fn compare(&mut self, old: Option<Found>, new: Option<Found>) -> Result<()> {
        match (old, new) {
            (None, None) => Ok(()),
            (None, Some(new)) => self.only(new, Change::Added, Depth::Whole),
            (Some(old), None) => self.only(old, Change::Removed, Depth::Whole),
            (Some(old), Some(new)) => self.both(old, new),
        }
    }

    fn both(&mut self, old: Found, new: Found) -> Result<()> {
        if old.node.kind != new.node.kind {
            self.tell(&new, Change::Kind)?;
            self.report.removed.add(&old.node);
            self.report.added.add(&new.node);
            for (item, change) in [(old, Change::Removed), (new, Change::Added)] {
                if item.node.kind == NodeKind::Directory {
                    self.only(item, change, Depth::Below)?;
                }
            }
            return Ok(());
        }
        let is_directory = old.node.kind == NodeKind::Directory;
        let is_same = is_same_content(&old.node, &new.node);
        if !is_same && !is_directory {
            if old.node.kind == NodeKind::File {
                let report = &mut self.report;
                report.changed_files = report.changed_files.saturating_add(1);
                report.changed_bytes_old = report.changed_bytes_old.saturating_add(old.node.size);
                report.changed_bytes_new = report.changed_bytes_new.saturating_add(new.node.size);
            }
            return self.tell(&new, Change::Content);
        }
        if has_other_metadata(&old.node, &new.node) {
            self.report.changed_metadata = self.report.changed_metadata.saturating_add(1);
            self.tell(&new, Change::Metadata)?;
        }
        if !is_same {
            let old = Side::new(self.reader, old.path, &old.node);
            let new = Side::new(self.reader, new.path, &new.node);
            self.levels.push((old, new));
        }
        Ok(())
    }

    fn tell(&mut self, found: &Found, change: Change) -> Result<()> {
        (self.visit)(&Difference { path: &found.path, change, kind: found.node.kind })
    }

    /// Tells an item that only one side has, with everything below it.
    fn only(&mut self, item: Found, change: Change, depth: Depth) -> Result<()> {
        let report = &mut self.report;
        let sums = if change == Change::Added { &mut report.added } else { &mut report.removed };
        let visit = &mut self.visit;
        let failed =
            list(self.reader, item, depth, self.counters, self.reporter, &mut |found: &Found| {
                sums.add(&found.node);
                visit(&Difference { path: &found.path, change, kind: found.node.kind })
            })?;
        self.report.failed = self.report.failed.saturating_add(failed);
        Ok(())
    }
}

fn has_other_metadata(old: &Node, new: &Node) -> bool {
    old.mode != new.mode
        || old.uid != new.uid
        || old.gid != new.gid
        || old.mtime != new.mtime
        || old.xattrs != new.xattrs
}

#[cfg(test)]
mod tests {
    use super::super::testing::Fixture;
    use super::*;
    use crate::engine::browse::find;
    use crate::event::Silent;
    use crate::format::record::Snapshot;

    fn compared(fixture: &Fixture, old: &Snapshot, new: &Snapshot) -> (String, DiffReport) {
        let mut reader = fixture.reader();
        let [old, new] = [old, new].map(|side| find(&mut reader, side, b"").unwrap());
        let mut lines = Vec::new();
        let counters = Counters::default();
        let report = diff(&mut reader, old, new, &counters, &Silent, &mut |it| {
            if it.change != Change::Metadata {
                lines.push(format!("{} {}", it.change.mark(), fixture.relative(it.path)));
            }
            Ok(())
        })
        .unwrap();
        (lines.join("\n"), report)
    }

    #[test]
    fn every_kind_of_difference_is_told_in_the_order_of_names() {
        let fixture = Fixture::new();
        fixture.write("changed", b"old");
        fixture.write("folder/becomes/file", b"x");
        fixture.write("gone/deep/file", b"12345");
        fixture.write("same/file", b"same");
        let old = fixture.backup();
        fixture.write("changed", b"newer");
        fixture.remove("folder/becomes");
        fixture.write("folder/becomes", b"y");
        fixture.remove("gone");
        fixture.write("new/file", b"1234");
        let new = fixture.backup();

        let (lines, report) = compared(&fixture, &old, &new);
        let expected = "M changed\nT folder/becomes\n- folder/becomes/file\n- gone\n- gone/deep\n\
                        - gone/deep/file\n+ new\n+ new/file";
        assert_eq!(lines, expected);
        assert_eq!(report.added, Sums { files: 2, dirs: 1, others: 0, bytes: 5 });
        assert_eq!(report.removed, Sums { files: 2, dirs: 3, others: 0, bytes: 6 });
        let bytes = (report.changed_bytes_old, report.changed_bytes_new);
        assert_eq!((report.changed_files, bytes), (1, (3, 5)));
        assert_eq!(report.failed, 0);
        let (lines, report) = compared(&fixture, &new, &new);
        assert_eq!((lines.as_str(), report), ("", DiffReport::default()));
    }

    #[test]
    fn two_single_items_are_compared_wherever_they_lie() {
        let fixture = Fixture::new();
        fixture.write("one/file", b"1");
        fixture.write("two/file", b"2");
        let snapshot = fixture.backup();
        let mut reader = fixture.reader();
        let [old, new] =
            ["one", "two"].map(|name| find(&mut reader, &snapshot, &fixture.place(name)).unwrap());
        let mut told = Vec::new();
        let counters = Counters::default();
        let report = diff(&mut reader, old, new, &counters, &Silent, &mut |it| {
            told.push((it.change, fixture.relative(it.path)));
            Ok(())
        })
        .unwrap();
        assert!(told.contains(&(Change::Content, "two/file".to_owned())));
        assert_eq!(report.changed_files, 1);
    }
}
