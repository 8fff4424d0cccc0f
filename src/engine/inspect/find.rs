//! Items by their names, in many snapshots.
//!
//! A directory that held nothing of what is looked for is remembered by its tree's id and its path,
//! and not read again in the next snapshot: what does not change is looked at once.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::{REMEMBERED_TREES, Visit, fail};
use crate::engine::browse::{Found, TreeStep, TreeWalk};
use crate::engine::restore::PathFilter;
use crate::error::Result;
use crate::event::{Counters, Reporter};
use crate::format::record::Snapshot;
use crate::format::tree::{FileTime, Node, NodeKind, Subtree};
use crate::id::BlobId;
use crate::repository::reader::BlobReader;

/// What is looked for.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Names or paths; without any, everything.
    pub names: PathFilter,
    /// Only what changed at or after this.
    pub oldest: Option<FileTime>,
    /// Only what changed at or before this.
    pub newest: Option<FileTime>,
}

impl Wanted {
    fn takes(&self, found: &Found) -> bool {
        let mtime = found.node.mtime;
        self.oldest.is_none_or(|oldest| mtime >= oldest)
            && self.newest.is_none_or(|newest| mtime <= newest)
            && self.names.includes(&found.path, &found.node)
    }
}

/// A search, which remembers from one snapshot to the next where there is nothing.
pub struct Finder<'w> {
    wanted: &'w Wanted,
    barren: HashSet<(BlobId, u64)>,
    /// How many directories could not be read.
    pub failed: u64,
}

/// A directory on the way, and how many hits there were when it began.
struct Level {
    key: Option<(BlobId, u64)>,
    hits: u64,
}

impl<'w> Finder<'w> {
    /// Begins a search.
    pub fn new(wanted: &'w Wanted) -> Self {
        Finder { wanted, barren: HashSet::new(), failed: 0 }
    }

    /// Looks into one snapshot; returns how many items were found.
    pub fn find(
        &mut self,
        reader: &mut BlobReader<'_>,
        snapshot: &Snapshot,
        counters: &Counters,
        reporter: &dyn Reporter,
        visit: &mut Visit<'_, Found>,
    ) -> Result<u64> {
        let mut hits = 0_u64;
        for root in &snapshot.roots {
            let item = Found { path: root.place.0.clone(), node: root.node.clone() };
            let mut walk = TreeWalk::new(item, false);
            let mut levels: Vec<Level> = Vec::new();
            while let Some(step) = walk.next(reader) {
                counters.go_on()?;
                match step {
                    TreeStep::Node(found) => {
                        if self.wanted.takes(&found) {
                            hits = hits.saturating_add(1);
                            visit(&found)?;
                        }
                        if found.node.kind == NodeKind::Directory {
                            let key = key(&found.path, &found.node);
                            if key.is_some_and(|key| self.barren.contains(&key)) {
                                walk.skip();
                            }
                            levels.push(Level { key, hits });
                        }
                    }
                    TreeStep::Leave => {
                        let level = levels.pop();
                        self.remember(level.filter(|level| level.hits == hits));
                    }
                    TreeStep::Failed { path, error } => {
                        fail(&mut self.failed, &path, &error, reporter);
                        for level in &mut levels {
                            level.key = None;
                        }
                    }
                }
            }
        }
        Ok(hits)
    }

    fn remember(&mut self, level: Option<Level>) {
        if let Some(key) = level.and_then(|level| level.key)
            && self.barren.len() < REMEMBERED_TREES
        {
            self.barren.insert(key);
        }
    }
}

/// Patterns may name whole paths, so the same tree elsewhere is another place to look.
fn key(path: &[u8], node: &Node) -> Option<(BlobId, u64)> {
    let Subtree::Blob(id) = node.subtree else { return None };
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    Some((id, hasher.finish()))
}

#[cfg(test)]
mod tests {
    use super::super::testing::Fixture;
    use super::*;
    use crate::event::Silent;

    fn search(fixture: &Fixture, wanted: &Wanted) -> Vec<Vec<String>> {
        let mut finder = Finder::new(wanted);
        let mut reader = fixture.reader();
        let mut all = Vec::new();
        for entry in fixture.entries() {
            let mut paths = Vec::new();
            let mut visit = |found: &Found| {
                paths.push(fixture.relative(&found.path));
                Ok(())
            };
            let counters = Counters::default();
            finder.find(&mut reader, &entry.snapshot, &counters, &Silent, &mut visit).unwrap();
            all.push(paths);
        }
        assert_eq!(finder.failed, 0);
        all
    }

    #[test]
    fn names_are_found_in_every_snapshot_that_holds_them() {
        let fixture = Fixture::new();
        // Large enough that the directory has a tree blob of its own.
        for number in 0..200 {
            fixture.write(&format!("big/file{number}"), b"x");
        }
        fixture.write("a/Note.txt", b"1");
        fixture.backup();
        fixture.write("b/note.txt", b"2");
        fixture.remove("a");
        fixture.backup();
        let names = |words: &[&str], fold| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let names = PathFilter::of_names(&words, fold).unwrap();
            Wanted { names, ..Wanted::default() }
        };
        assert_eq!(search(&fixture, &names(&["note.*"], false)), [vec![], vec!["b/note.txt"]]);
        let both = search(&fixture, &names(&["note.*"], true));
        assert_eq!(both, [vec!["a/Note.txt"], vec!["b/note.txt"]]);
        let path = search(&fixture, &names(&["big/file7", "nothing"], false));
        assert_eq!(path, [vec!["big/file7"], vec!["big/file7"]]);
        let future = Wanted { oldest: Some(FileTime(i64::MAX, 0)), ..Wanted::default() };
        assert_eq!(search(&fixture, &future), [Vec::<String>::new(), vec![]]);
    }
}
