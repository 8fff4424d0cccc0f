//! An ordered walk through a directory tree, read ahead by a few threads.
//!
//! The steps come in the order of tree blobs: names ascending by bytes within each directory,
//! directories descended into where they stand. The first step is the root itself; a root that is
//! a symbolic link is that link. Nothing is followed, and each entry costs one `fstatat` relative
//! to its open directory.
//!
//! Reading ahead: the taker of steps walks; while it is in one directory, threads list the next
//! subdirectories of it and of the directories above ([`COMING`] each), and look at the next
//! [`PAGE`] entries. What nobody has begun when it is needed, the taker does itself (`ahead.rs`).
//!
//! Memory and handles: the names of each directory from the root to where the walk is, [`PAGE`]
//! times a `Stat`, and what is read ahead. At most [`OPEN_LEVELS`] levels keep their handle and
//! what was read ahead; those above are opened again through `..` on the way back (and checked to
//! be the same directory), so depth costs no handles, no stack, and no path as long as itself.
//!
//! A directory that can't be listed is entered, reported and left. What vanishes between listing
//! and looking is dropped without a word.

use std::collections::VecDeque;
use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use ignore::gitignore::Gitignore;
use rustix::io::Errno;

use super::ahead::{Ahead, Panicked, Pool, Urgency};
use super::entry::{Entry, Place, Root};
use super::exclude::{ExcludeReason, Excludes, Gitignores, to_path};
use super::metadata::path_name;
use super::names::{Identity, Names, open_directory, open_parent, stat_at};
use super::stat::Stat;
use crate::error::{Error, io_error};
use crate::format::tree::NodeKind;

/// How many entries are looked at together.
const PAGE: usize = 256;
/// How many subdirectories of one directory are listed ahead.
const COMING: usize = 6;
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

type Page = Vec<Result<Stat, Errno>>;

/// A directory as it was read in one go.
struct Listing {
    directory: Arc<OwnedFd>,
    names: Arc<Names>,
    /// The metadata of the first entries.
    page: Page,
    marker: Option<ExcludeReason>,
    gitignore: Option<Gitignore>,
}

type ListResult = Result<Listing, Errno>;

/// A directory that the walk is in.
struct Frame {
    path_length: usize,
    names: Arc<Names>,
    /// `None` while the walk is far below.
    directory: Option<Arc<OwnedFd>>,
    /// Known once `directory` was closed.
    identity: Option<Identity>,
    /// Metadata of the entries from `page_start` on.
    page: Page,
    page_start: usize,
    next_page: Option<Ahead<Page>>,
    /// The next entry's place among the names.
    next: usize,
    /// Subdirectories listed ahead, by place.
    coming: VecDeque<(usize, Ahead<ListResult>)>,
    /// Up to which place subdirectories were looked for.
    searched: usize,
}

/// A walk; the iterator of its steps. Dropping it ends its threads.
pub struct Walk {
    excludes: Arc<Excludes>,
    pool: Pool,
    root: Option<Arc<Root>>,
    device: u64,
    /// Where the walk is; `/` is empty.
    path: Vec<u8>,
    frames: Vec<Frame>,
    gitignores: Gitignores,
    ready: VecDeque<Step>,
}

impl std::fmt::Debug for Walk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walk").field("path", &to_path(&self.path)).finish_non_exhaustive()
    }
}

impl Walk {
    /// Begins a walk at `root`, an absolute path, with `threads` threads that read ahead.
    pub fn start(root: &Path, excludes: Arc<Excludes>, threads: usize) -> Walk {
        // Without the slashes at its end, which would follow a link.
        let root: PathBuf = root.components().collect();
        let bytes = root.as_os_str().as_bytes();
        let mut walk = Walk {
            excludes,
            pool: Pool::new(0),
            root: None,
            device: 0,
            path: if bytes == b"/" { Vec::new() } else { bytes.to_vec() },
            frames: Vec::new(),
            gitignores: Gitignores::default(),
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

    fn begin(&mut self, name: &CString, stat: Stat, threads: usize) {
        self.device = stat.device;
        let path = self.current_path();
        if let Some(reason) = self.excludes.find_reason(&path, &stat) {
            self.ready.push_back(excluded(path, reason, &stat));
            return;
        }
        let entry = Entry { path, stat, place: Place { root: None, parent: Weak::new() } };
        if stat.kind != NodeKind::Directory {
            self.ready.push_back(Step::Entry(entry));
            return;
        }
        let listing = open_directory(rustix::fs::CWD, name).and_then(|directory| {
            let path_length = self.path.len();
            self.root = Some(Arc::new(Root {
                directory: directory.try_clone().map_err(|_| Errno::MFILE)?,
                path_length,
            }));
            list(Arc::new(directory), &self.excludes)
        });
        if listing.is_ok() {
            self.pool = Pool::new(threads);
        }
        self.enter(entry, listing);
    }

    /// Makes the steps that enter a directory; it is where the walk is from then on.
    fn enter(&mut self, entry: Entry, listing: ListResult) {
        let is_other_device = entry.stat.device != self.device;
        self.ready.push_back(Step::Enter(entry));
        if is_other_device && self.excludes.stays_on_one_file_system() {
            self.push_excluded_content(ExcludeReason::OtherFileSystem);
            self.ready.push_back(Step::Leave);
            return;
        }
        let listing = match listing {
            Ok(listing) => listing,
            Err(error) => {
                self.fail("cannot list", error);
                self.ready.push_back(Step::Leave);
                return;
            }
        };
        if let Some(reason) = listing.marker {
            self.push_excluded_content(reason);
        }
        if let Some(matcher) = listing.gitignore {
            self.gitignores.enter(self.path.len(), matcher);
        }
        self.frames.push(Frame {
            path_length: self.path.len(),
            names: listing.names,
            directory: Some(listing.directory),
            identity: None,
            page: listing.page,
            page_start: 0,
            next_page: None,
            next: 0,
            coming: VecDeque::new(),
            searched: 0,
        });
        self.rest_a_level();
        self.look_ahead();
    }

    /// Closes the directory that is [`OPEN_LEVELS`] above, and drops what was read ahead for it.
    fn rest_a_level(&mut self) {
        let level = self.frames.len().checked_sub(OPEN_LEVELS.saturating_add(1));
        let Some(frame) = level.and_then(|level| self.frames.get_mut(level)) else { return };
        if let Some(directory) = frame.directory.take() {
            frame.identity = Identity::of(&directory).ok();
        }
        frame.coming.clear();
        frame.next_page = None;
        frame.searched = frame.next;
    }

    /// Makes the step that leaves the innermost directory, and opens its parent if that rests.
    fn leave(&mut self) {
        let Some(left) = self.frames.pop() else { return };
        self.gitignores.leave(left.path_length);
        self.ready.push_back(Step::Leave);
        let Some(parent) = self.frames.last_mut() else { return };
        self.path.truncate(parent.path_length);
        if parent.directory.is_some() {
            self.look_ahead();
            return;
        }
        let through_child = match (&left.directory, parent.identity) {
            (Some(child), Some(identity)) => open_parent(child, identity),
            _ => Err(Errno::STALE),
        };
        let opened = through_child.or_else(|_| {
            let root = self.root.as_ref().ok_or(Errno::STALE)?;
            open_directory(root.reach(&self.path)?, c".")
        });
        match opened {
            Ok(directory) => {
                parent.directory = Some(Arc::new(directory));
                self.look_ahead();
            }
            Err(error) => {
                parent.next = parent.names.len();
                self.fail("cannot return to", error);
            }
        }
    }

    /// Goes one entry further in the innermost directory; `None` at the walk's end.
    fn advance(&mut self) -> Option<()> {
        let frame = self.frames.last_mut()?;
        let place = frame.next;
        if place >= frame.names.len() {
            self.leave();
            return Some(());
        }
        frame.next = place.saturating_add(1);
        if place >= frame.page_start.saturating_add(frame.page.len()) {
            self.turn_page(place);
        }
        let frame = self.frames.last()?;
        let found = frame.page.get(place.saturating_sub(frame.page_start)).copied();
        self.path.truncate(frame.path_length);
        push_name(&mut self.path, frame.names.get(place));
        match found.unwrap_or(Err(Errno::IO)) {
            Ok(stat) => self.visit(place, stat),
            Err(Errno::NOENT) => {}
            Err(error) => self.fail("cannot look at", error),
        }
        Some(())
    }

    fn visit(&mut self, place: usize, stat: Stat) {
        let path = self.current_path();
        if let Some(reason) = self.find_reason(&path, &stat) {
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
        match self.take_listing(place, &stat) {
            // Gone since it was looked at.
            Some(Err(Errno::NOENT)) => {}
            Some(listing) => self.enter(entry, listing),
            None => {
                let path = entry.path.clone();
                let error = Error::failed("a thread that lists directories stopped at");
                let error = error.object(path.display().to_string());
                self.ready.extend([Step::Enter(entry), Step::Failed { path, error }, Step::Leave]);
            }
        }
    }

    /// Returns the listing of the subdirectory at `place`; `None` if a thread panicked at it.
    fn take_listing(&mut self, place: usize, stat: &Stat) -> Option<ListResult> {
        if stat.device != self.device && self.excludes.stays_on_one_file_system() {
            return Some(Err(Errno::XDEV));
        }
        let frame = self.frames.last_mut()?;
        while frame.coming.front().is_some_and(|(other, _)| *other < place) {
            frame.coming.pop_front();
        }
        frame.searched = frame.searched.max(frame.next);
        let ahead = match frame.coming.front() {
            Some((other, _)) if *other == place => frame.coming.pop_front(),
            _ => None,
        };
        if let Some((_, ahead)) = ahead {
            match ahead.take() {
                // Too many handles: what is read ahead holds some, so it goes.
                Ok(Err(Errno::MFILE | Errno::NFILE)) => self.drop_all_ahead(),
                Ok(listing) => return Some(listing),
                Err(Panicked) => return None,
            }
        }
        let frame = self.frames.last()?;
        let directory = frame.directory.as_ref()?;
        let name = frame.names.c_str(place);
        let mut listing = open_and_list(directory, name, &self.excludes);
        if matches!(listing, Err(Errno::MFILE | Errno::NFILE)) {
            self.drop_all_ahead();
            let frame = self.frames.last()?;
            listing =
                open_and_list(frame.directory.as_ref()?, frame.names.c_str(place), &self.excludes);
        }
        Some(listing)
    }

    fn drop_all_ahead(&mut self) {
        for frame in &mut self.frames {
            frame.coming.clear();
            frame.searched = frame.next;
        }
    }

    /// Makes the page that begins at `place` the current one.
    fn turn_page(&mut self, place: usize) {
        let depth = self.frames.len();
        let Some(frame) = self.frames.last_mut() else { return };
        let ahead = frame.next_page.take().and_then(|ahead| ahead.take().ok());
        frame.page_start = place;
        frame.page = match (ahead, &frame.directory) {
            (Some(page), _) => page,
            (None, Some(directory)) => look_at(directory, &frame.names, place),
            (None, None) => Page::new(),
        };
        frame.searched = frame.searched.max(place);
        let next = place.saturating_add(PAGE);
        if self.pool.has_threads()
            && next < frame.names.len()
            && let Some(directory) = &frame.directory
        {
            let (directory, names) = (Arc::clone(directory), Arc::clone(&frame.names));
            let urgency = Urgency { depth, place: std::cmp::Reverse(next) };
            frame.next_page = Some(self.pool.submit(urgency, move || {
                let page = look_at(&directory, &names, next);
                let weight = page.len();
                (page, weight)
            }));
        }
        self.path.truncate(frame.path_length);
        self.look_ahead();
    }

    /// Has threads list the next subdirectories of the innermost directory.
    fn look_ahead(&mut self) {
        let depth = self.frames.len();
        while self.pool.has_threads()
            && let Some(place) = self.next_subdirectory()
            && let Some(frame) = self.frames.last_mut()
            && let Some(directory) = &frame.directory
        {
            let (directory, names) = (Arc::clone(directory), Arc::clone(&frame.names));
            let excludes = Arc::clone(&self.excludes);
            let urgency = Urgency { depth, place: std::cmp::Reverse(place) };
            let ahead = self.pool.submit(urgency, move || {
                let listing = open_and_list(&directory, names.c_str(place), &excludes);
                let weight = listing.as_ref().map_or(0, |listing| listing.names.len());
                (listing, weight)
            });
            frame.coming.push_back((place, ahead));
        }
    }

    /// Finds the next subdirectory of the current page that is wanted and not yet coming.
    fn next_subdirectory(&mut self) -> Option<usize> {
        loop {
            let frame = self.frames.last_mut()?;
            if frame.coming.len() >= COMING {
                return None;
            }
            let place = frame.searched;
            let stat = *frame.page.get(place.checked_sub(frame.page_start)?)?;
            frame.searched = place.saturating_add(1);
            let Ok(stat) = stat else { continue };
            if stat.kind != NodeKind::Directory
                || (stat.device != self.device && self.excludes.stays_on_one_file_system())
            {
                continue;
            }
            let mut path = self.path.clone();
            push_name(&mut path, frame.names.get(place));
            if self.find_reason(&to_path(&path), &stat).is_none() {
                return Some(place);
            }
        }
    }

    fn find_reason(&self, path: &Path, stat: &Stat) -> Option<ExcludeReason> {
        self.excludes.find_reason(path, stat).or_else(|| {
            let is_directory = stat.kind == NodeKind::Directory;
            self.gitignores
                .ignores(path.as_os_str().as_bytes(), is_directory)
                .then_some(ExcludeReason::Gitignore)
        })
    }

    fn current_path(&self) -> PathBuf {
        if self.path.is_empty() { PathBuf::from("/") } else { to_path(&self.path) }
    }

    fn fail(&mut self, doing: &str, error: Errno) {
        let path = self.current_path();
        let error = io_error(doing, &path, error.into());
        self.ready.push_back(Step::Failed { path, error });
    }

    fn push_excluded_content(&mut self, reason: ExcludeReason) {
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

fn excluded(path: PathBuf, reason: ExcludeReason, stat: &Stat) -> Step {
    let size_bytes = if stat.kind == NodeKind::File { stat.size } else { 0 };
    Step::Excluded { path, reason, size_bytes }
}

fn push_name(path: &mut Vec<u8>, name: &[u8]) {
    path.push(b'/');
    path.extend_from_slice(name);
}

fn open_and_list(parent: &OwnedFd, name: &std::ffi::CStr, excludes: &Excludes) -> ListResult {
    list(Arc::new(open_directory(parent, name)?), excludes)
}

fn list(directory: Arc<OwnedFd>, excludes: &Excludes) -> ListResult {
    let mut names = Names::read(directory.as_fd())?;
    let marker = excludes.find_marker(&directory, &names);
    if let Some((place, _)) = marker {
        names.keep_only(place);
    }
    let gitignore = excludes.read_gitignore(&directory, &names);
    let page = look_at(&directory, &names, 0);
    let marker = marker.map(|(_, reason)| reason);
    Ok(Listing { directory, names: Arc::new(names), page, marker, gitignore })
}

/// Returns the metadata of up to [`PAGE`] entries.
fn look_at(directory: &OwnedFd, names: &Names, start: usize) -> Page {
    let end = start.saturating_add(PAGE).min(names.len());
    (start..end).map(|place| stat_at(directory, names.c_str(place))).collect()
}

#[cfg(test)]
mod tests;
