//! What a walk leaves out, and why.
//!
//! Patterns have their rules in `exclude/patterns.rs`; `exclude` and `iexclude` are two lists, and
//! either suffices. Then come `.gitignore` files, if they are wanted, and the size of files.
//!
//! A directory that carries a tag (a cache, or one named by `exclude_if_present`) is kept with the
//! tag alone, so that a restored cache still says that it is one. Names need not be UTF-8.

use std::collections::HashSet;
use std::ffi::{CString, OsStr};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::metadata::read_head;
use super::names::Names;
use super::stat::Stat;
use crate::error::{Error, Result};
use crate::format::tree::NodeKind;

use patterns::Patterns;

mod patterns;

/// The name of the file that marks a cache, and how its content begins.
const CACHE_TAG: (&[u8], &[u8]) = (b"CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55");

/// How much of a `.gitignore` is read, in bytes.
const GITIGNORE_LIMIT: usize = 1 << 20;

/// What to leave out. The default leaves out caches that carry their tag, and nothing else.
#[derive(Debug, Clone)]
pub struct ExcludeOptions {
    /// Patterns, in the order given.
    pub exclude: Vec<String>,
    /// Patterns that ignore case.
    pub iexclude: Vec<String>,
    /// Lines of pattern files; they follow `exclude`. Empty ones and `#` comments don't count.
    pub exclude_lines: Vec<String>,
    /// `NAME` or `NAME:HEADER`: directories that hold a file of this name (which begins so).
    pub exclude_if_present: Vec<String>,
    /// Whether to leave out directories with a valid `CACHEDIR.TAG`.
    pub exclude_caches: bool,
    /// Files larger than this many bytes.
    pub exclude_larger_than: Option<u64>,
    /// Whether to stay on the root's file system; mount points are kept as empty directories.
    pub one_file_system: bool,
    /// Whether to obey `.gitignore` files in the walked directories.
    pub gitignore: bool,
    /// Absolute paths of directories left out altogether, however they are reached.
    pub skip: Vec<PathBuf>,
}

impl Default for ExcludeOptions {
    fn default() -> Self {
        ExcludeOptions {
            exclude: Vec::new(),
            iexclude: Vec::new(),
            exclude_lines: Vec::new(),
            exclude_if_present: Vec::new(),
            exclude_caches: true,
            exclude_larger_than: None,
            one_file_system: false,
            gitignore: false,
            skip: Vec::new(),
        }
    }
}

/// Why something was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExcludeReason {
    /// A pattern matches.
    Pattern,
    /// A `.gitignore` says so.
    Gitignore,
    /// The directory is tagged as a cache.
    Cache,
    /// The directory holds a file that the user named.
    Marker,
    /// The file is larger than wanted.
    TooLarge,
    /// Another file system is mounted there.
    OtherFileSystem,
    /// The tool's own files, such as the repository.
    Own,
    /// It belongs to a database, whose copy has what it holds.
    DatabaseLog,
    /// An agent can make it again.
    AgentCache,
    /// It holds credentials, and these are not wanted.
    Secrets,
    /// Another root of the snapshot holds it.
    Elsewhere,
    /// It lies in a folder that an agent shares with others, and is not its own.
    Foreign,
}

/// Further reasons for leaving something out, of one who knows what lies below a root.
pub trait LeaveOut: Send + Sync {
    /// Returns why the entry at an absolute path is left out, if it is. A directory that is goes with
    /// all its content, unseen.
    fn reason(&self, path: &Path, is_directory: bool) -> Option<ExcludeReason>;
}

impl ExcludeReason {
    /// Returns the reason in a few words.
    pub fn text(self) -> &'static str {
        match self {
            ExcludeReason::Pattern => "matches a pattern",
            ExcludeReason::Gitignore => "ignored by git",
            ExcludeReason::Cache => "is tagged as a cache",
            ExcludeReason::Marker => "holds a file that excludes it",
            ExcludeReason::TooLarge => "is larger than wanted",
            ExcludeReason::OtherFileSystem => "is on another file system",
            ExcludeReason::Own => "belongs to stash",
            ExcludeReason::DatabaseLog => "is in the copy of its database",
            ExcludeReason::AgentCache => "the agent makes it again",
            ExcludeReason::Secrets => "holds credentials",
            ExcludeReason::Elsewhere => "is saved with its agent",
            ExcludeReason::Foreign => "is not the agent's",
        }
    }
}

/// [`ExcludeOptions`], made ready for matching. Shared between threads.
pub struct Excludes {
    patterns: Patterns,
    folded_patterns: Patterns,
    markers: Vec<Marker>,
    larger_than: Option<u64>,
    one_file_system: bool,
    gitignore: bool,
    skip_paths: HashSet<PathBuf>,
    skip_directories: HashSet<(u64, u64)>,
    elsewhere: HashSet<PathBuf>,
    rules: Option<Arc<dyn LeaveOut>>,
}

impl std::fmt::Debug for Excludes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Excludes").field("patterns", &self.patterns).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Marker {
    name: Vec<u8>,
    header: Vec<u8>,
    reason: ExcludeReason,
}

impl Excludes {
    /// Prepares matching. A pattern that can't be understood is [`Kind::Usage`] and is named.
    ///
    /// Looks up the directories of `skip`, which need not exist.
    ///
    /// [`Kind::Usage`]: crate::error::Kind::Usage
    pub fn new(options: &ExcludeOptions) -> Result<Excludes> {
        let lines = options.exclude_lines.iter().map(|line| line.trim());
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let patterns = options.exclude.iter().map(String::as_str).chain(lines);
        let cache = Marker {
            name: CACHE_TAG.0.to_vec(),
            header: CACHE_TAG.1.to_vec(),
            reason: ExcludeReason::Cache,
        };
        let mut markers: Vec<Marker> =
            options.exclude_caches.then_some(cache).into_iter().collect();
        for text in &options.exclude_if_present {
            markers.push(Marker::parse(text)?);
        }
        let identities = options.skip.iter().filter_map(|path| {
            let stat = Stat::from_system(&rustix::fs::stat(path.as_path()).ok()?).ok()?;
            Some((stat.device, stat.inode))
        });
        Ok(Excludes {
            patterns: Patterns::new(patterns, false)?,
            folded_patterns: Patterns::new(options.iexclude.iter().map(String::as_str), true)?,
            markers,
            larger_than: options.exclude_larger_than,
            one_file_system: options.one_file_system,
            gitignore: options.gitignore,
            skip_directories: identities.collect(),
            skip_paths: options.skip.iter().cloned().collect(),
            elsewhere: HashSet::new(),
            rules: None,
        })
    }

    /// Leaves out what `rules` say as well.
    #[must_use]
    pub fn with_rules(mut self, rules: Arc<dyn LeaveOut>) -> Excludes {
        self.rules = Some(rules);
        self
    }

    /// Leaves out these absolute paths, which other roots hold.
    #[must_use]
    pub fn with_elsewhere(mut self, places: impl Iterator<Item = PathBuf>) -> Excludes {
        self.elsewhere.extend(places);
        self
    }

    /// Returns why the entry at the absolute `path` is left out, if it is.
    pub fn find_reason(&self, path: &Path, stat: &Stat) -> Option<ExcludeReason> {
        if stat.kind == NodeKind::Directory
            && (self.skip_directories.contains(&(stat.device, stat.inode))
                || (!self.skip_paths.is_empty() && self.skip_paths.contains(path)))
        {
            return Some(ExcludeReason::Own);
        }
        if !self.elsewhere.is_empty() && self.elsewhere.contains(path) {
            return Some(ExcludeReason::Elsewhere);
        }
        let is_directory = stat.kind == NodeKind::Directory;
        if let Some(reason) = self.rules.as_ref().and_then(|it| it.reason(path, is_directory)) {
            return Some(reason);
        }
        if self.patterns.exclude(path) || self.folded_patterns.exclude(path) {
            return Some(ExcludeReason::Pattern);
        }
        let limit = self.larger_than.filter(|_| stat.kind == NodeKind::File)?;
        (stat.size > limit).then_some(ExcludeReason::TooLarge)
    }

    /// Returns whether the walk stays on the file system where it begins.
    pub(super) fn stays_on_one_file_system(&self) -> bool {
        self.one_file_system
    }

    /// Finds the tag by which the open directory is left out, and why it is.
    pub(super) fn find_marker(
        &self,
        directory: impl AsFd,
        names: &Names,
    ) -> Option<(usize, ExcludeReason)> {
        self.markers.iter().find_map(|marker| {
            let place = names.find(&marker.name)?;
            let valid = marker.header.is_empty()
                || read_head(&directory, names.c_str(place), marker.header.len())
                    .is_ok_and(|head| head == marker.header);
            valid.then_some((place, marker.reason))
        })
    }

    /// Reads the open directory's `.gitignore`, if it has one and it is wanted.
    ///
    /// Lines that can't be understood are passed over, as git does.
    pub(super) fn read_gitignore(&self, directory: impl AsFd, names: &Names) -> Option<Gitignore> {
        if !self.gitignore {
            return None;
        }
        let place = names.find(b".gitignore")?;
        let text = read_head(directory, names.c_str(place), GITIGNORE_LIMIT).ok()?;
        // Paths are matched relative to the directory, hence no root.
        let mut builder = GitignoreBuilder::new("");
        for line in String::from_utf8_lossy(&text).lines() {
            drop(builder.add_line(None, line));
        }
        builder.build().ok().filter(|matcher| !matcher.is_empty())
    }
}

impl Marker {
    fn parse(text: &str) -> Result<Marker> {
        let (name, header) = text.split_once(':').unwrap_or((text, ""));
        if name.is_empty() || name.contains('/') || CString::new(name).is_err() {
            return Err(Error::usage("not the name of a file").object(text));
        }
        let (name, header) = (name.into(), header.into());
        Ok(Marker { name, header, reason: ExcludeReason::Marker })
    }
}

/// The `.gitignore` files that hold for the directory that a walk is in.
#[derive(Debug, Default)]
pub(super) struct Gitignores {
    /// Length of the directory's path in bytes, and its file; outer ones first.
    stack: Vec<(usize, Gitignore)>,
}

impl Gitignores {
    /// Adds the file of a directory whose path has `path_length` bytes.
    pub(super) fn enter(&mut self, path_length: usize, matcher: Gitignore) {
        self.stack.push((path_length, matcher));
    }

    /// Forgets the file of a directory whose path has `path_length` bytes, if it had one.
    pub(super) fn leave(&mut self, path_length: usize) {
        while self.stack.last().is_some_and(|(length, _)| *length >= path_length) {
            self.stack.pop();
        }
    }

    /// Returns whether the entry is ignored: the innermost file that has something to say decides.
    pub(super) fn ignores(&self, path: &[u8], is_directory: bool) -> bool {
        for (length, matcher) in self.stack.iter().rev() {
            let Some(relative) = path.get(length.saturating_add(1)..) else { continue };
            let found = matcher.matched(Path::new(OsStr::from_bytes(relative)), is_directory);
            if !found.is_none() {
                return found.is_ignore();
            }
        }
        false
    }
}

/// Makes a path of bytes.
pub(super) fn to_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(std::ffi::OsString::from_vec(bytes.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn lists_of_lines_know_comments_and_folded_patterns_ignore_case() {
        let options = ExcludeOptions {
            exclude_lines: vec!["# *.rs".into(), String::new(), "  *.tmp ".into()],
            iexclude: vec!["*.BAK".into()],
            ..ExcludeOptions::default()
        };
        let excludes = Excludes::new(&options).unwrap();
        let root = tempfile::tempdir().unwrap();
        let stat = Stat::from_system(&rustix::fs::stat(root.path()).unwrap()).unwrap();
        for (name, wanted) in [("a.rs", false), ("a.tmp", true), ("A.bak", true), ("A.TMP", false)]
        {
            let reason = excludes.find_reason(&Path::new("/").join(name), &stat);
            assert_eq!(reason.is_some(), wanted, "{name}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_wrong_usage_and_named() {
        for pattern in ["", "!", "/", "a[", "x/[z-a]"] {
            let options =
                ExcludeOptions { exclude: vec![pattern.into()], ..ExcludeOptions::default() };
            let error = Excludes::new(&options).unwrap_err();
            assert_eq!((error.kind(), error.object_name()), (Kind::Usage, Some(pattern)));
        }
        for name in ["", "a/b", ":x"] {
            let options =
                ExcludeOptions { exclude_if_present: vec![name.into()], ..Default::default() };
            assert_eq!(Excludes::new(&options).unwrap_err().kind(), Kind::Usage, "{name}");
        }
    }
}
