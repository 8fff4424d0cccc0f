//! Which paths of a snapshot a restore takes.

use std::path::Path;

use crate::error::Result;
use crate::files::{ExcludeOptions, Excludes, Stat};
use crate::format::tree::{Node, NodeKind};

/// Patterns of what to take and what to leave, by backup's rules for patterns.
#[derive(Debug, Default)]
pub struct PathFilter {
    include: Option<Excludes>,
    exclude: Option<Excludes>,
}

fn compile(patterns: &[String], fold_case: bool) -> Result<Option<Excludes>> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let (exclude, iexclude) =
        if fold_case { (Vec::new(), patterns.to_vec()) } else { (patterns.to_vec(), Vec::new()) };
    let options =
        ExcludeOptions { exclude, iexclude, exclude_caches: false, ..ExcludeOptions::default() };
    Excludes::new(&options).map(Some)
}

impl PathFilter {
    /// Compiles the patterns; none means everything.
    pub fn new(include: &[String], exclude: &[String]) -> Result<PathFilter> {
        Ok(PathFilter { include: compile(include, false)?, exclude: compile(exclude, false)? })
    }

    /// Compiles names to look for; `fold_case` takes upper and lower case as the same.
    pub fn of_names(names: &[String], fold_case: bool) -> Result<PathFilter> {
        Ok(PathFilter { include: compile(names, fold_case)?, exclude: None })
    }

    /// Returns whether everything is taken.
    pub fn is_empty(&self) -> bool {
        self.include.is_none() && self.exclude.is_none()
    }

    /// Returns whether a path is left out, with all that lies below it.
    pub(super) fn excludes(&self, path: &[u8], node: &Node) -> bool {
        matches(self.exclude.as_ref(), path, node)
    }

    /// Returns whether a path is taken, with all that lies below it.
    pub(crate) fn includes(&self, path: &[u8], node: &Node) -> bool {
        self.include.is_none() || matches(self.include.as_ref(), path, node)
    }
}

fn matches(patterns: Option<&Excludes>, path: &[u8], node: &Node) -> bool {
    use std::os::unix::ffi::OsStrExt as _;
    let Some(patterns) = patterns else { return false };
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    patterns.find_reason(path, &stat_of(node)).is_some()
}

/// What a pattern may ask of an item.
fn stat_of(node: &Node) -> Stat {
    Stat {
        kind: if node.kind == NodeKind::Reference { NodeKind::Symlink } else { node.kind },
        mode: node.mode,
        uid: node.uid,
        gid: node.gid,
        size: node.size,
        mtime: node.mtime,
        ctime: node.mtime,
        inode: 0,
        device: 0,
        links: 1,
        rdev: (0, 0),
        blocks: 0,
    }
}
