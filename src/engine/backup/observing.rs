//! Observing on the way: which files an observer is asked about, and what becomes of its entries.
//!
//! Entries go on from the parent by themselves; only what changes is written down here ([`Changes`]),
//! so a run that finds nothing changed reads none of them. Texts are observed on a thread of their
//! own, since looking into them takes longer than reading; a database at once, while the
//! transaction of what was saved is held.
//!
//! Memory: the entries of changed files, and those that at most [`WAITING`] texts had before.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender};

use super::observer::{
    ObservedBytes, ObservedContent, ObservedEntry, ObservedFile, Observer, checked,
};
use super::options::AgentSource;
use super::producer::Producer;
use super::{Backup, ParentRoot};
use crate::engine::attachments::{
    EntryWalk, KeyRanges, PartReader, file_prefix, find, folder_prefix, root_prefix,
};
use crate::engine::browse::join;
use crate::error::{Error, Result};
use crate::event::{Counters, Event, Reporter};
use crate::files::sqlite::Taken;
use crate::files::{Entry, Stat};
use crate::format::record::Attachment;
use crate::format::tree::{FileTime, Node, NodeKind};

/// Texts that wait to be observed; each keeps its file open.
pub(super) const WAITING: usize = 64;

/// A text that waits to be observed.
pub(super) struct Text {
    agent: Arc<AgentSource>,
    relative: Vec<u8>,
    path: PathBuf,
    file: File,
    size_bytes: u64,
    mtime: FileTime,
    before: Vec<ObservedEntry>,
}

/// What is to be changed in the entries of the snapshot before.
#[derive(Default)]
pub(super) struct Changes {
    /// Whose entries count no longer.
    gone: KeyRanges,
    /// New entries.
    pub(super) fresh: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Changes {
    /// Puts `entries` in the place of those that a file had `before`.
    fn replace(&mut self, prefix: &[u8], before: &[ObservedEntry], entries: Vec<ObservedEntry>) {
        if !before.is_empty() {
            self.gone.insert(prefix.to_vec());
        }
        let fresh = entries.into_iter().map(|it| ([prefix, &it.suffix].concat(), it.value));
        self.fresh.extend(fresh);
    }

    pub(super) fn extend(&mut self, other: Changes) {
        self.gone.extend(other.gone);
        self.fresh.extend(other.fresh);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.fresh.is_empty()
    }

    /// Returns whether an entry of the snapshot before counts no longer.
    pub(super) fn is_gone(&self, key: &[u8]) -> bool {
        self.gone.covers(key)
    }
}

/// Where the entries of a root go on from.
pub(super) struct RootBefore {
    pub(super) prefix: Vec<u8>,
    pub(super) attachment: Option<Attachment>,
    /// Whether nobody has observed it yet, so that unchanged files are observed too.
    needs_first_look: bool,
}

/// What the walk came to.
#[derive(Default)]
pub(super) struct ObservedWalk {
    pub(super) changes: Changes,
    /// The roots that were walked.
    pub(super) roots: Vec<RootBefore>,
    /// Why entries of the snapshot before could not be read.
    pub(super) failure: Option<Error>,
}

/// The walk's side of observing.
pub(super) struct Observing<'a> {
    observer: &'a dyn Observer,
    reporter: &'a dyn Reporter,
    temporary_folder: &'a Path,
    texts: Sender<Text>,
    parts: PartReader<'a>,
    walk: ObservedWalk,
}

/// What became of observing a database.
pub(super) enum DatabaseNotes {
    /// It is not observed.
    None,
    /// The observer was asked, with a connection to what was saved.
    Made(Vec<ObservedEntry>, Result<Vec<ObservedEntry>>),
    /// There is no such connection: it is asked when the database has been given back.
    Later,
}

impl Backup<'_> {
    /// Returns the observer, if this run has files observed: not what was gathered from elsewhere, or
    /// what a restore is about to overwrite; and not a part of what nobody has observed yet, since
    /// later runs would take the rest for observed.
    pub(super) fn observer(&self) -> Option<&dyn Observer> {
        let (options, agents) = (self.options, &self.options.agents);
        let observer = options.observer.as_deref()?;
        let lacks_list = || {
            let parent = self.parent.as_ref();
            parent.is_some_and(|parent| find(&parent.snapshot, observer.kind()).is_none())
        };
        let is_apart = options.dry_run
            || options.is_safety
            || agents.gathered.is_some()
            || (agents.is_partial && lacks_list());
        (!is_apart).then_some(observer)
    }
}

impl<'a> Observing<'a> {
    pub(super) fn start(
        backup: &'a Backup<'_>,
        observer: &'a dyn Observer,
        texts: Sender<Text>,
    ) -> Result<Self> {
        Ok(Observing {
            observer,
            reporter: backup.reporter,
            temporary_folder: &backup.options.temporary_folder,
            texts,
            parts: PartReader::new(backup.repository)?,
            walk: ObservedWalk::default(),
        })
    }

    pub(super) fn finish(self) -> ObservedWalk {
        self.walk
    }

    fn enter_root(&mut self, agent: &AgentSource, before: Option<&ParentRoot>) {
        let kind = self.observer.kind();
        let find = |root: &ParentRoot| root.attachments.iter().find(|it| it.kind == kind).cloned();
        let attachment = before.and_then(find);
        let prefix = root_prefix(&agent.agent, &agent.label);
        let needs_first_look = before.is_some() && attachment.is_none();
        self.walk.roots.push(RootBefore { prefix: prefix.clone(), attachment, needs_first_look });
        // What was carried over unread before anybody observed it has no entries either.
        if before.is_some_and(|root| root.last_read.is_some())
            && !self.has_entries(&prefix)
            && let Some(root) = self.walk.roots.last_mut()
        {
            root.needs_first_look = true;
        }
    }

    /// Returns the entries of the snapshot before whose keys begin with `prefix`, at most `most`.
    fn before(&mut self, prefix: &[u8], most: usize) -> Vec<ObservedEntry> {
        let mut found = Vec::new();
        let root = self.walk.roots.last().and_then(|root| root.attachment.as_ref());
        let Some(attachment) = root else { return found };
        let mut entries = EntryWalk::new(attachment, prefix);
        while found.len() < most {
            match entries.next(&mut self.parts) {
                Ok(Some((key, value))) => {
                    let suffix = key.get(prefix.len()..).unwrap_or_default().to_vec();
                    found.push(ObservedEntry { suffix, value: value.0 });
                }
                Ok(None) => break,
                Err(error) => {
                    self.walk.failure.get_or_insert(error);
                    break;
                }
            }
        }
        found
    }

    fn has_entries(&mut self, prefix: &[u8]) -> bool {
        !self.before(prefix, 1).is_empty()
    }

    fn forget(&mut self, prefix: Vec<u8>) {
        if self.has_entries(&prefix) {
            self.walk.changes.gone.insert(prefix);
        }
    }

    fn note(
        &mut self,
        path: &Path,
        prefix: &[u8],
        before: &[ObservedEntry],
        noted: Result<Vec<ObservedEntry>>,
    ) {
        match noted.and_then(checked) {
            Ok(entries) => self.walk.changes.replace(prefix, before, entries),
            Err(error) => warn(self.reporter, path, &error),
        }
    }
}

fn warn(reporter: &dyn Reporter, path: &Path, error: &Error) {
    let message = format!(
        "`{}` is saved, but what is noted of it beside was not renewed: {error}",
        path.display()
    );
    reporter.event(&Event::Warning { message: &message });
}

/// Observes texts until no more come. Ends early where the run does.
pub(super) fn observe_texts(
    observer: &dyn Observer,
    texts: &Receiver<Text>,
    poisoned: &AtomicBool,
    counters: &Counters,
    reporter: &dyn Reporter,
) -> Changes {
    let mut changes = Changes::default();
    for text in texts {
        if poisoned.load(Ordering::Acquire) || counters.go_on().is_err() {
            continue;
        }
        let Text { agent, relative, path, file, size_bytes, mtime, before } = text;
        let mut observed = ObservedFile {
            agent: &agent.agent,
            label: &agent.label,
            relative: &relative,
            path: &path,
            size_bytes,
            mtime,
            content: ObservedContent::Bytes(ObservedBytes::new(&file, size_bytes)),
        };
        match observer.observe(&mut observed, &before).and_then(checked) {
            Ok(entries) => {
                let prefix = file_prefix(&agent.agent, &agent.label, &relative);
                changes.replace(&prefix, &before, entries);
            }
            Err(error) => warn(reporter, &path, &error),
        }
    }
    changes
}

impl Producer<'_, '_> {
    /// Notes where the entries of the agent's root that is walked next go on from.
    pub(super) fn observe_root(&mut self, before: Option<&ParentRoot>) {
        if let (Some(observing), Some(agent)) = (&mut self.observing, &self.agent) {
            observing.enter_root(agent, before);
        }
    }

    /// Returns the agent's root that a file lies in and its path there, if it is observed.
    fn observed(&self, path: &Path) -> Option<(Arc<AgentSource>, Vec<u8>)> {
        let (observing, agent) = (self.observing.as_ref()?, self.agent.as_ref()?);
        let relative = agent.relative(path.as_os_str().as_bytes());
        let is_wanted = observing.observer.wants(&agent.agent, &agent.label, relative);
        is_wanted.then(|| (Arc::clone(agent), relative.to_vec()))
    }

    /// Returns whether a file is observed.
    pub(super) fn is_observed(&self, path: &Path) -> bool {
        self.observed(path).is_some()
    }

    /// Returns whether a file is read although it has not changed, since nobody has observed it.
    pub(super) fn needs_first_look(&self, entry: &Entry) -> bool {
        let root = self.observing.as_ref().and_then(|observing| observing.walk.roots.last());
        entry.stat.kind == NodeKind::File
            && root.is_some_and(|root| root.needs_first_look)
            && self.is_observed(&entry.path)
    }

    /// Has a text observed that was saved from `file`.
    pub(super) fn observe_text(&mut self, path: &Path, file: File, stat: &Stat, size_bytes: u64) {
        let Some((agent, relative)) = self.observed(path) else { return };
        let Some(observing) = &mut self.observing else { return };
        let prefix = file_prefix(&agent.agent, &agent.label, &relative);
        let before = observing.before(&prefix, usize::MAX);
        let (path, mtime) = (path.to_owned(), stat.mtime);
        let text = Text { agent, relative, path, file, size_bytes, mtime, before };
        // If the other side is gone, it has panicked, which is told when it is joined.
        let _sent = observing.texts.send(text);
    }

    /// Has a database observed while it is held. What this gives counts once it is known that the
    /// image is consistent: then it goes to [`Producer::note_database`].
    pub(super) fn observe_taken(
        &mut self,
        path: &Path,
        taken: &Taken,
        mtime: FileTime,
    ) -> DatabaseNotes {
        if !self.is_observed(path) {
            return DatabaseNotes::None;
        }
        let temporary_folder = self.observing.as_ref().map(|it| it.temporary_folder);
        let connection = temporary_folder.map(|folder| taken.connection(folder));
        // Where there is no room for a copy, it is as where there is no connection.
        let Some(Ok(Some(connection))) = connection else { return DatabaseNotes::Later };
        let content = ObservedContent::Database(Some(&connection));
        self.ask_of_database(path, taken.image().length_bytes(), mtime, content)
    }

    fn ask_of_database(
        &mut self,
        path: &Path,
        size_bytes: u64,
        mtime: FileTime,
        content: ObservedContent<'_>,
    ) -> DatabaseNotes {
        let Some((agent, relative)) = self.observed(path) else { return DatabaseNotes::None };
        let Some(observing) = &mut self.observing else { return DatabaseNotes::None };
        let prefix = file_prefix(&agent.agent, &agent.label, &relative);
        let before = observing.before(&prefix, usize::MAX);
        let (agent, label) = (agent.agent.as_str(), agent.label.as_str());
        let relative = relative.as_slice();
        let mut file = ObservedFile { agent, label, relative, path, size_bytes, mtime, content };
        let noted = observing.observer.observe(&mut file, &before);
        DatabaseNotes::Made(before, noted)
    }

    /// Puts what was noted of a database in its place.
    pub(super) fn note_database(
        &mut self,
        path: &Path,
        size_bytes: u64,
        mtime: FileTime,
        notes: DatabaseNotes,
    ) {
        let notes = match notes {
            DatabaseNotes::Later => {
                let content = ObservedContent::Database(None);
                self.ask_of_database(path, size_bytes, mtime, content)
            }
            other => other,
        };
        let DatabaseNotes::Made(before, noted) = notes else { return };
        let Some((agent, relative)) = self.observed(path) else { return };
        let prefix = file_prefix(&agent.agent, &agent.label, &relative);
        if let Some(observing) = &mut self.observing {
            observing.note(path, &prefix, &before, noted);
        }
    }

    /// Drops the entries of a file that is not in the snapshot any more, or is not observed.
    pub(super) fn forget_entries(&mut self, path: &[u8]) {
        if let (Some(observing), Some(agent)) = (&mut self.observing, &self.agent) {
            observing.forget(file_prefix(&agent.agent, &agent.label, agent.relative(path)));
        }
    }

    /// Drops the entries of all files in a folder that is not in the snapshot any more.
    pub(super) fn forget_entries_below(&mut self, path: &[u8]) {
        if let (Some(observing), Some(agent)) = (&mut self.observing, &self.agent) {
            observing.forget(folder_prefix(&agent.agent, &agent.label, agent.relative(path)));
        }
    }

    /// Tells the observer of what is kept although it is gone: of each file that the parent had there.
    pub(super) fn observe_vanished(&mut self, path: &[u8], node: &Node) -> Result<()> {
        let Some(agent) = self.agent.clone() else { return Ok(()) };
        let Some(observing) = &mut self.observing else { return Ok(()) };
        if node.absent_since.is_some() {
            return Ok(());
        }
        let relative = agent.relative(path);
        if node.kind == NodeKind::Directory {
            if !observing.has_entries(&folder_prefix(&agent.agent, &agent.label, relative)) {
                return Ok(());
            }
            let mut children = self.parent.reread(node);
            while let Some(child) = self.parent.next_of(&mut children)? {
                self.observe_vanished(&join(path, &child.name), &child)?;
            }
            return Ok(());
        }
        let prefix = file_prefix(&agent.agent, &agent.label, relative);
        let before = observing.before(&prefix, usize::MAX);
        if !before.is_empty() {
            let noted = observing.observer.vanished(before.clone(), self.backup.began.0);
            observing.note(Path::new(OsStr::from_bytes(path)), &prefix, &before, noted);
        }
        Ok(())
    }
}
