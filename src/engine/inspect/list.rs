//! What a snapshot holds, item by item.

use super::{Visit, fail};
use crate::engine::browse::{Found, TreeStep, TreeWalk};
use crate::error::Result;
use crate::event::{Counters, Reporter};
use crate::format::tree::NodeKind;
use crate::repository::reader::BlobReader;

/// How far a list goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The item, and everything below it.
    Whole,
    /// What a directory holds directly; anything else itself.
    Inside,
    /// Everything below a directory, but not itself; anything else itself.
    Below,
}

/// Lists an item, names ascending, directories before what they hold; returns how many directories
/// could not be read.
pub fn list(
    reader: &mut BlobReader<'_>,
    item: Found,
    depth: Depth,
    counters: &Counters,
    reporter: &dyn Reporter,
    visit: &mut Visit<'_, Found>,
) -> Result<u64> {
    let mut failed = 0;
    let mut level = 0_usize;
    let mut walk = TreeWalk::new(item, false);
    while let Some(step) = walk.next(reader) {
        counters.go_on()?;
        match step {
            TreeStep::Node(found) => {
                let is_directory = found.node.kind == NodeKind::Directory;
                let is_item = level == 0;
                if !(is_item && is_directory && depth != Depth::Whole) {
                    visit(&found)?;
                }
                if is_directory {
                    level = level.saturating_add(1);
                    if depth == Depth::Inside && !is_item {
                        walk.skip();
                    }
                }
            }
            TreeStep::Leave => level = level.saturating_sub(1),
            TreeStep::Failed { path, error } => fail(&mut failed, &path, &error, reporter),
        }
    }
    Ok(failed)
}

#[cfg(test)]
mod tests {
    use super::super::testing::Fixture;
    use super::*;
    use crate::engine::browse::find;
    use crate::event::Silent;

    #[test]
    fn a_list_goes_as_deep_as_it_is_asked_to() {
        let fixture = Fixture::new();
        fixture.write("a/one", b"1");
        fixture.write("a/b/two", b"2");
        let snapshot = fixture.backup();
        let mut reader = fixture.reader();
        let mut listed = |path: &str, depth| {
            let item = find(&mut reader, &snapshot, &fixture.place(path)).unwrap().remove(0);
            let mut names = Vec::new();
            list(&mut reader, item, depth, &Counters::default(), &Silent, &mut |found: &Found| {
                names.push(fixture.relative(&found.path));
                Ok(())
            })
            .unwrap();
            names
        };
        assert_eq!(listed("", Depth::Whole), ["", "a", "a/b", "a/b/two", "a/one"]);
        assert_eq!(listed("a", Depth::Inside), ["a/b", "a/one"]);
        assert_eq!(listed("a", Depth::Below), ["a/b", "a/b/two", "a/one"]);
        assert_eq!(listed("a/one", Depth::Inside), ["a/one"]);
    }
}
