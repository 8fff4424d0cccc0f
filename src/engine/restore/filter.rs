//! Which paths of a snapshot a restore takes.

use std::path::Path;
use std::sync::Arc;

use crate::error::Result;
use crate::files::{ExcludeOptions, Excludes, Stat};
use crate::format::tree::{Node, NodeKind};

/// Whoever decides about each item but directories.
pub trait NodeRule: Send + Sync {
    /// Returns whether an item is taken, by its path as it is to be written.
    fn takes(&self, path: &[u8], node: &Node) -> bool;
}

/// Patterns of what to take and what to leave, by backup's rules for patterns.
#[derive(Default)]
pub struct PathFilter {
    include: Option<Excludes>,
    exclude: Option<Excludes>,
    rule: Option<Arc<dyn NodeRule>>,
}

impl std::fmt::Debug for PathFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PathFilter")
            .field("include", &self.include)
            .field("exclude", &self.exclude)
            .finish_non_exhaustive()
    }
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
        let (include, exclude) = (compile(include, false)?, compile(exclude, false)?);
        Ok(PathFilter { include, exclude, rule: None })
    }

    /// Compiles names to look for; `fold_case` takes upper and lower case as the same.
    pub fn of_names(names: &[String], fold_case: bool) -> Result<PathFilter> {
        Ok(PathFilter { include: compile(names, fold_case)?, exclude: None, rule: None })
    }

    /// Takes only what a rule takes as well; directories come as far as something in them does.
    #[must_use]
    pub fn with_rule(mut self, rule: Arc<dyn NodeRule>) -> PathFilter {
        self.rule = Some(rule);
        self
    }

    /// Returns whether everything is taken.
    pub fn is_empty(&self) -> bool {
        self.include.is_none() && self.exclude.is_none() && self.rule.is_none()
    }

    /// Returns whether a path is left out, with all that lies below it.
    pub(super) fn excludes(&self, path: &[u8], node: &Node) -> bool {
        matches(self.exclude.as_ref(), path, node)
    }

    /// Returns whether a path is taken, with all that lies below it.
    pub(crate) fn includes(&self, path: &[u8], node: &Node) -> bool {
        if let Some(rule) = &self.rule
            && (node.kind == NodeKind::Directory || !rule.takes(path, node))
        {
            return false;
        }
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
