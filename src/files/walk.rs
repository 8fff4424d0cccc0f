//! An ordered walk through a directory tree, read ahead by a few threads.
//!
//! The steps come in the order of tree blobs: names ascending by bytes within each directory,
//! directories descended into where they stand. The first step is the root itself; a root that is
//! a symbolic link is that link. Nothing is followed, and each entry costs one `fstatat` relative
//! to its open directory.
//!
//! Reading ahead: while the taker of steps is in one directory, threads look at its next entries,
//! and list the next subdirectories of it and of the directories above (`frame.rs` says how many).
//! What nobody has begun when it is needed, the taker does itself (`ahead.rs`).
//!
//! Memory and handles: the names of each directory from the root to where the walk is, a page of
//! metadata each, and what is read ahead. Only the [`OPEN_LEVELS`] innermost levels keep their
//! handle and what was read ahead; those above are opened again through `..` on the way back (and
//! checked to be the same directory), so depth costs no handles and no stack, and no call is given
//! a path longer than the root's.
//!
//! A directory that can't be listed is entered, reported and left. What vanishes between listing
//! and looking is dropped without a word.

use std::collections::VecDeque;
use std::ffi::{CStr, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use rustix::io::Errno;

use super::ahead::{Panicked, Pool};
use super::entry::{Entry, Place, Root};
use super::exclude::{ExcludeReason, Excludes, Gitignores, to_path};
use super::metadata::path_name;
use super::names::{open_directory, open_parent, stat_at};
use super::stat::Stat;
use crate::error::{Error, io_error};
use crate::format::tree::NodeKind;

use frame::{Frame, ListResult, list};

mod frame;

/// How many levels keep their directory open.
const OPEN_LEVELS: usize = 16;

/// One step of a walk.
#[derive(Debug)]
pub enum Step {
    /// A directory begins.
    Enter(Entry),
    /// Anything but a directory.
    Entry(Entry),
    /// The last directory that was entered and not left ends.
    Leave,
    /// Something was left out. For a tagged directory and for a mount point this comes after its
    /// `Enter`: the directory is kept, its content is not.
    Excluded {
        /// What was left out.
        path: PathBuf,
        /// Why.
        reason: ExcludeReason,
        /// A file's size; 0 for what has none, and for directories.
        size_bytes: u64,
    },
    /// Something could not be read.
    Failed {
        /// What could not be read.
        path: PathBuf,
        /// Why.
        error: Error,
    },
}

/// A walk; the iterator of its steps. Dropping it ends its threads.
pub struct Walk {
    rules: Rules,
    pool: Pool,
    root: Option<Arc<Root>>,
    /// Where the walk is; `/` is empty.
    path: Vec<u8>,
    frames: Vec<Frame>,
    ready: VecDeque<Step>,
}

/// What decides whether an entry is left out.
struct Rules {
    excludes: Arc<Excludes>,
    gitignores: Gitignores,
    /// The root's file system.
    device: u64,
}

impl std::fmt::Debug for Walk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walk").field("path", &to_path(&self.path)).finish_non_exhaustive()
    }
}

impl Rules {
    fn find_reason(&self, path: &Path, stat: &Stat) -> Option<ExcludeReason> {
        self.excludes.find_reason(path, stat).or_else(|| {
            let is_directory = stat.kind == NodeKind::Directory;
            self.gitignores
                .ignores(path.as_os_str().as_bytes(), is_directory)
                .then_some(ExcludeReason::Gitignore)
        })
    }

    /// Returns whether a directory is kept without being looked into.
    fn is_closed(&self, stat: &Stat) -> bool {
        stat.device != self.device && self.excludes.stays_on_one_file_system()
    }

    /// Returns whether the entry is a directory that the walk will list.
    fn wants_listing(&self, directory: &[u8], name: &[u8], stat: &Stat) -> bool {
        stat.kind == NodeKind::Directory && !self.is_closed(stat) && {
            let mut path = directory.to_vec();
            push_name(&mut path, name);
            self.find_reason(Path::new(OsStr::from_bytes(&path)), stat).is_none()
        }
    }
}

impl Walk {
    /// Begins a walk at `root`, an absolute path, with `threads` threads that read ahead.
    pub fn start(root: &Path, excludes: Arc<Excludes>, threads: usize) -> Walk {
        // Without the slashes at its end, which would follow a link.
        let root: PathBuf = root.components().collect();
        let bytes = root.as_os_str().as_bytes();
        let mut walk = Walk {
            rules: Rules { excludes, gitignores: Gitignores::default(), device: 0 },
            pool: Pool::new(0),
            root: None,
            path: if bytes == b"/" { Vec::new() } else { bytes.to_vec() },
            frames: Vec::new(),
            ready: VecDeque::new(),
        };
        let name = match path_name(&root) {
            Ok(name) => name,
            Err(error) => {
                walk.ready.push_back(Step::Failed { path: root, error });
                return walk;
            }
        };
        match stat_at(rustix::fs::CWD, &name) {
            Ok(stat) => walk.begin(&name, stat, threads),
            Err(error) => walk.fail("cannot look at", error),
        }
        walk
    }

    fn begin(&mut self, name: &CStr, stat: Stat, threads: usize) {
        self.rules.device = stat.device;
        let path = self.current_path();
        if let Some(reason) = self.rules.find_reason(&path, &stat) {
            self.ready.push_back(excluded(path, reason, &stat));
            return;
        }
        let entry = Entry { path, stat, place: Place { root: None, parent: Weak::new() } };
        if stat.kind != NodeKind::Directory {
            self.ready.push_back(Step::Entry(entry));
            return;
        }
        let listing = self.open_root(name);
        if listing.is_ok() {
            self.pool = Pool::new(threads);
        }
        self.enter(entry, listing);
    }

    fn open_root(&mut self, name: &CStr) -> ListResult {
        let directory = open_directory(rustix::fs::CWD, name)?;
        let for_entries = directory.try_clone().map_err(|_| Errno::MFILE)?;
        let path_length = self.path.len();
        self.root = Some(Arc::new(Root { directory: for_entries, path_length }));
        list(directory, &self.rules.excludes)
    }

    /// Makes the steps that enter a directory; it is where the walk is from then on.
    fn enter(&mut self, entry: Entry, listing: ListResult) {
        let is_closed = self.rules.is_closed(&entry.stat);
        self.ready.push_back(Step::Enter(entry));
        let listing = match listing {
            Ok(listing) if !is_closed => listing,
            Err(error) if !is_closed => {
                self.fail("cannot list", error);
                self.ready.push_back(Step::Leave);
                return;
            }
            _ => {
                self.leave_content_out(ExcludeReason::OtherFileSystem);
                self.ready.push_back(Step::Leave);
                return;
            }
        };
        let path_length = self.path.len();
        let (frame, marker, gitignore) = Frame::new(path_length, listing);
        self.frames.push(frame);
        if let Some(reason) = marker {
            self.leave_content_out(reason);
        }
        if let Some(matcher) = gitignore {
            self.rules.gitignores.enter(path_length, matcher);
        }
        let level = self.frames.len().checked_sub(OPEN_LEVELS.saturating_add(1));
        if let Some(above) = level.and_then(|level| self.frames.get_mut(level)) {
            above.rest();
        }
        self.look_ahead();
    }

    /// Makes the step that leaves the innermost directory, and opens its parent if that rests.
    fn leave(&mut self) {
        let Some(left) = self.frames.pop() else { return };
        self.rules.gitignores.leave(left.path_length);
        self.ready.push_back(Step::Leave);
        let Some(parent) = self.frames.last_mut() else { return };
        self.path.truncate(parent.path_length);
        if parent.directory.is_none() {
            match reopen(parent, &left, self.root.as_deref(), &self.path) {
                Ok(directory) => parent.directory = Some(Arc::new(directory)),
                Err(error) => {
                    parent.give_up();
                    self.fail("cannot return to", error);
                }
            }
        }
        self.look_ahead();
    }

    /// Goes one entry further in the innermost directory; `None` at the walk's end.
    fn advance(&mut self) -> Option<()> {
        let frame = self.frames.last_mut()?;
        let Some(place) = frame.next_place() else {
            self.leave();
            return Some(());
        };
        self.path.truncate(frame.path_length);
        if frame.turn_page(place) {
            self.look_ahead();
        }
        let frame = self.frames.last()?;
        push_name(&mut self.path, frame.names.get(place));
        match frame.stat(place) {
            Ok(stat) => self.visit(place, stat),
            Err(Errno::NOENT) => {}
            Err(error) => self.fail("cannot look at", error),
        }
        Some(())
    }

    fn visit(&mut self, place: usize, stat: Stat) {
        let path = self.current_path();
        if let Some(reason) = self.rules.find_reason(&path, &stat) {
            self.ready.push_back(excluded(path, reason, &stat));
            return;
        }
        let Some(frame) = self.frames.last() else { return };
        let parent = frame.directory.as_ref().map(Arc::downgrade).unwrap_or_default();
        let entry = Entry { path, stat, place: Place { root: self.root.clone(), parent } };
        if stat.kind != NodeKind::Directory {
            self.ready.push_back(Step::Entry(entry));
            return;
        }
        let closed = self.rules.is_closed(&stat);
        match if closed { Ok(Err(Errno::XDEV)) } else { self.take_listing(place) } {
            // Gone since it was looked at.
            Ok(Err(Errno::NOENT)) => {}
            Ok(listing) => self.enter(entry, listing),
            Err(Panicked) => {
                let path = entry.path.clone();
                let error = Error::failed("the program failed while it listed");
                let error = error.object(path.display().to_string());
                self.ready.extend([Step::Enter(entry), Step::Failed { path, error }, Step::Leave]);
            }
        }
    }

    /// Returns the listing of the subdirectory at `place`.
    fn take_listing(&mut self, place: usize) -> Result<ListResult, Panicked> {
        let Some(frame) = self.frames.last_mut() else { return Ok(Err(Errno::STALE)) };
        let listing = frame.take_listing(place, &self.rules.excludes)?;
        if !matches!(listing, Err(Errno::MFILE | Errno::NFILE)) {
            return Ok(listing);
        }
        // Too many handles: what was read ahead holds some, so it goes.
        for frame in &mut self.frames {
            frame.drop_ahead();
        }
        let Some(frame) = self.frames.last_mut() else { return Ok(Err(Errno::STALE)) };
        frame.take_listing(place, &self.rules.excludes)
    }

    /// Has threads read ahead for the innermost directory, which is where the walk is.
    fn look_ahead(&mut self) {
        let depth = self.frames.len();
        let Some(frame) = self.frames.last_mut().filter(|_| self.pool.has_threads()) else {
            return;
        };
        let (rules, path) = (&self.rules, &self.path);
        frame.look_ahead(&self.pool, depth, &rules.excludes, |name, stat| {
            rules.wants_listing(path, name, stat)
        });
    }

    fn current_path(&self) -> PathBuf {
        if self.path.is_empty() { PathBuf::from("/") } else { to_path(&self.path) }
    }

    fn fail(&mut self, doing: &str, error: Errno) {
        let path = self.current_path();
        let error = io_error(doing, &path, error.into());
        self.ready.push_back(Step::Failed { path, error });
    }

    fn leave_content_out(&mut self, reason: ExcludeReason) {
        let path = self.current_path();
        self.ready.push_back(Step::Excluded { path, reason, size_bytes: 0 });
    }
}

impl Iterator for Walk {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        loop {
            if let Some(step) = self.ready.pop_front() {
                return Some(step);
            }
            self.advance()?;
        }
    }
}

/// Opens a directory that rested while the walk was below: through its child, if it is still the
/// same one, and else from the root.
fn reopen(
    parent: &Frame,
    child: &Frame,
    root: Option<&Root>,
    path: &[u8],
) -> Result<OwnedFd, Errno> {
    if let (Some(child), Some(identity)) = (&child.directory, parent.identity)
        && let Ok(directory) = open_parent(child, identity)
    {
        return Ok(directory);
    }
    open_directory(root.ok_or(Errno::STALE)?.reach(path)?, c".")
}

fn excluded(path: PathBuf, reason: ExcludeReason, stat: &Stat) -> Step {
    let size_bytes = if stat.kind == NodeKind::File { stat.size } else { 0 };
    Step::Excluded { path, reason, size_bytes }
}

fn push_name(path: &mut Vec<u8>, name: &[u8]) {
    path.push(b'/');
    path.extend_from_slice(name);
}

#[cfg(test)]
mod tests;
