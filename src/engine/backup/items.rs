//! What becomes of one entry: taken over from the parent, or read.

use super::message::{FileNumber, Item};
use super::producer::{Producer, bare_node};
use super::seen::Look;
use super::source::{Content, ReadContent};
use super::{StreamSource, is_file};
use crate::error::{Error, Result, io_error};
use crate::event::{Action, Counters, Event};
use crate::files::{Entry, Stat};
use crate::format::record::RootKind;
use crate::format::tree::{FileTime, Node, NodeKind};
use crate::repository::log::RecordParts;
use crate::time::SECOND;

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// A partial record is written after so many bytes of new data.
const PARTIAL_BYTES: u64 = 1 << 30;
/// … or after so many nanoseconds.
const PARTIAL_TIME: i64 = 600 * SECOND;
/// … or after so many blobs: a record that names more would outgrow what a reader takes.
const PARTIAL_BLOBS: u64 = 100_000;
/// How often a file that changes while it is read is read.
const ATTEMPTS: u32 = 3;

impl Producer<'_, '_> {
    /// Deals with anything but a directory; false if it could not be stored.
    pub(super) fn entry(&mut self, entry: &Entry, parent: Option<Node>) -> Result<bool> {
        if self.carry_over(entry, parent.as_ref())? {
            return Ok(parent.is_some());
        }
        if parent.as_ref().is_some_and(|node| node.kind == NodeKind::Directory) {
            self.forget_entries_below(entry.path.as_os_str().as_bytes());
        }
        let parent = self.present(entry, parent)?;
        let hash = self.path_hash(&entry.path);
        let action = match &parent {
            None => Action::New,
            Some(_) => Action::Modified,
        };
        let look = match self.look(entry, parent.as_ref()) {
            Ok(look) => look,
            Err(error) => {
                self.item_failed(&entry.path, &error);
                return Ok(false);
            }
        };
        // A database's node has times and size of what was in its log as well.
        let is_alike = |node: &Node| {
            look.is_database()
                || (node.mtime == entry.stat.mtime
                    && (node.kind != NodeKind::File || node.size == entry.stat.size))
        };
        let is_same = |node: &Node| {
            node.kind == entry.stat.kind
                && is_alike(node)
                && self.walked.seen.before.is_same(hash, &look)
        };
        let parent = match parent {
            Some(node)
                if is_same(&node)
                    && !self.needs_first_look(entry)
                    && (!self.backup.has_gaps || self.parent.stands(&node, self.index)) =>
            {
                return self.take_over(entry, hash, &look, node);
            }
            parent => parent,
        };
        if self.backup.options.dry_run {
            if entry.stat.kind == NodeKind::File && Self::begins_as_database(entry) {
                // Its log is then known as such, as when it is read.
                self.meet_database(entry.name(), false);
            }
            self.would_read(entry, action);
            return Ok(true);
        }
        let is_file = entry.stat.kind == NodeKind::File;
        let stored = if is_file {
            if Self::begins_as_database(entry) {
                self.read_database(entry, hash, parent.as_ref())?
            } else {
                self.read_file(entry, hash, parent)?
            }
        } else {
            self.read_other(entry, hash, parent.as_ref())?
        };
        if !(stored && is_file && self.is_observed(&entry.path)) {
            self.forget_entries(entry.path.as_os_str().as_bytes());
        }
        Counters::add(&self.backup.counters.done_items, 1);
        Ok(stored)
    }

    /// Takes over the parent's node of an item that looks as it did.
    fn take_over(&mut self, entry: &Entry, hash: u64, look: &Look, mut node: Node) -> Result<bool> {
        self.walked.seen.reused = self.walked.seen.reused.saturating_add(1);
        self.walked.seen.now.enter(hash, look);
        self.met_database(&node);
        self.remind_of_damage(entry, hash, &node);
        self.count(&node, Action::Unchanged);
        Counters::add(&self.backup.counters.done_items, 1);
        Counters::add(&self.backup.counters.done_bytes, node.size);
        self.tell(&entry.path, Action::Unchanged, node.size);
        let hard_link = self.hard_link(&entry.stat, hash);
        if node.hard_link == hard_link {
            self.send_same(node)?;
        } else {
            node.hard_link = hard_link;
            self.send(Item::Ready(Box::new(node)))?;
        }
        Ok(true)
    }

    fn would_read(&mut self, entry: &Entry, action: Action) {
        let node = bare_node(entry.name(), &entry.stat);
        let size = if is_file(&node) { entry.stat.size } else { 0 };
        if is_file(&node) {
            self.walked.contributors.add(entry.path.as_os_str().as_bytes(), size);
        }
        let counted = Node { size, ..node };
        self.count(&counted, action);
        self.tell(&entry.path, action, size);
    }

    fn tell(&self, path: &Path, action: Action, size_bytes: u64) {
        let path = path.as_os_str().as_bytes();
        self.backup.reporter.event(&Event::Item { path, action, size_bytes });
    }

    fn count(&mut self, node: &Node, action: Action) {
        if !is_file(node) {
            return;
        }
        let report = &mut self.walked.report;
        let statistics = &mut report.statistics;
        statistics.files = statistics.files.saturating_add(1);
        statistics.bytes = statistics.bytes.saturating_add(node.size);
        let counter = match action {
            Action::New => &mut statistics.files_new,
            Action::Unchanged => &mut report.files_unchanged,
            _ => &mut statistics.files_changed,
        };
        *counter = counter.saturating_add(1);
    }

    /// Counts what is in the snapshot without having been looked at.
    pub(super) fn count_carried(&mut self, node: &Node) {
        if node.absent_since.is_none() {
            self.count(node, Action::Unchanged);
        }
    }

    /// Names of one file share a number: the hash of the first of them in the order of the walk.
    fn hard_link(&mut self, stat: &Stat, path_hash: u64) -> u64 {
        if stat.links < 2 || stat.kind == NodeKind::Directory {
            return 0;
        }
        *self.links.entry((stat.device, stat.inode)).or_insert_with(|| path_hash.max(1))
    }

    fn read_other(&mut self, entry: &Entry, hash: u64, parent: Option<&Node>) -> Result<bool> {
        match entry.read_node(&self.owners) {
            Ok(mut node) => {
                node.hard_link = self.hard_link(&entry.stat, hash);
                node.category = self.category_of(&entry.path);
                let look = self.look_of(&entry.stat);
                self.walked.seen.now.enter(hash, &look);
                self.tell(&entry.path, action(parent, &node), 0);
                self.send(Item::Ready(Box::new(node)))?;
                Ok(true)
            }
            Err(error) => {
                self.item_failed(&entry.path, &error);
                Ok(false)
            }
        }
    }

    /// What is gone before it was opened counts as deleted; everything else is a failure.
    pub(super) fn item_failed(&mut self, path: &Path, error: &Error) {
        if !error.is_io(std::io::ErrorKind::NotFound) {
            self.failed(path, error);
        }
    }

    fn read_file(&mut self, entry: &Entry, hash: u64, parent: Option<Node>) -> Result<bool> {
        let mut last = None;
        for attempt in 1..=ATTEMPTS {
            let opened = entry.open().and_then(|(file, stat)| {
                entry.read_node_as(&stat, &self.owners).map(|node| (file, stat, node))
            });
            let (file, stat, node) = match opened {
                Ok(opened) => opened,
                Err(error) => {
                    self.item_failed(&entry.path, &error);
                    return Ok(false);
                }
            };
            // With objects missing, everything is looked up and, if need be, stored again.
            let old = parent
                .as_ref()
                .filter(|node| is_file(node) && !self.backup.has_gaps)
                .map(|node| self.parent.content(node));
            let read = match self.reader.read_file(&file, stat.size, stat.is_sparse(), old) {
                Ok(read) => read?,
                Err(error) => {
                    self.failed(&entry.path, &io_error("cannot read", &entry.path, error));
                    return Ok(false);
                }
            };
            let after = match crate::files::stat_file(&file) {
                Ok(after) => after,
                Err(error) => {
                    self.failed(&entry.path, &error);
                    return Ok(false);
                }
            };
            let grew_only = after.size > stat.size && read.size == stat.size;
            let is_whole = after.is_same_content(&stat) && read.size == stat.size;
            if is_whole || grew_only {
                if is_whole {
                    let look = self.look_of(&stat);
                    self.walked.seen.now.enter(hash, &look);
                }
                let size = read.size;
                self.store_node(entry, node, &stat, read, hash, parent)?;
                self.observe_text(&entry.path, file, &stat, size);
                return Ok(true);
            }
            if attempt < ATTEMPTS {
                if let Content::Chunks(file, _) = read.content {
                    self.reader.abandon(file);
                }
            } else {
                last = Some((file, node, stat, read));
            }
        }
        let Some((file, node, stat, read)) = last else { return Ok(false) };
        let error = Error::failed("changed each of three times while it was read")
            .object(entry.path.display().to_string())
            .hint("it is saved as last read, which may be torn");
        self.failed(&entry.path, &error);
        let size = read.size;
        self.store_node(entry, node, &stat, read, hash, parent)?;
        self.observe_text(&entry.path, file, &stat, size);
        Ok(true)
    }

    pub(super) fn store_node(
        &mut self,
        entry: &Entry,
        mut node: Node,
        stat: &Stat,
        read: ReadContent,
        hash: u64,
        parent: Option<Node>,
    ) -> Result<()> {
        node.size = read.size;
        node.hard_link = self.hard_link(stat, hash);
        node.category = self.category_of(&entry.path);
        let chunks = take_inline(&mut node, read.content);
        let action = action(parent.as_ref(), &node);
        self.count(&node, action);
        self.tell(&entry.path, action, node.size);
        self.send_content(node, chunks, parent)?;
        self.publish_partial()
    }

    fn send_content(
        &mut self,
        node: Node,
        chunks: Option<(FileNumber, u32)>,
        parent: Option<Node>,
    ) -> Result<()> {
        let node = Box::new(node);
        self.send(match chunks {
            None => Item::Ready(node),
            Some((file, count)) => Item::Pending(node, file, count, parent.map(Box::new)),
        })
    }

    /// Publishes what is durable, now and then, so that a run that dies leaves little behind.
    fn publish_partial(&mut self) -> Result<()> {
        let stored = self.packer.stored_bytes();
        let elapsed = self.backup.clock.boot_nanoseconds().saturating_sub(self.last_partial);
        let grown = stored.saturating_sub(self.last_partial_bytes);
        let is_due = grown > 0 && (grown >= PARTIAL_BYTES || elapsed >= PARTIAL_TIME);
        if !is_due && self.packer.finished_blobs() < PARTIAL_BLOBS {
            return Ok(());
        }
        let packs = self.packer.take_finished()?;
        self.last_partial = self.backup.clock.boot_nanoseconds();
        self.last_partial_bytes = stored;
        if packs.is_empty() {
            return Ok(());
        }
        let published: Vec<_> = packs.iter().map(|pack| pack.get().object_and_blobs()).collect();
        let parts =
            RecordParts { partial: Some(self.backup.partial()), packs, ..RecordParts::default() };
        let committed = self.backup.repository.append(parts, self.backup.clock.now())?;
        self.walked.published = self.walked.published.saturating_add(committed.stored_bytes);
        self.index.published(&published);
        Ok(())
    }

    pub(super) fn read_stream(&mut self, stream: &mut StreamSource<'_>) -> Result<()> {
        let read = match self.reader.read_stream(stream.reader) {
            Ok(read) => read?,
            Err(error) => return Err(io_error("cannot read the stream for", &stream.path, error)),
        };
        (stream.finish)()?;
        let now = self.backup.began.0;
        let mut node = Node {
            name: stream.path.file_name().map_or(&[][..], std::ffi::OsStr::as_bytes).into(),
            mode: 0o600,
            mtime: FileTime(
                now.div_euclid(SECOND),
                u32::try_from(now.rem_euclid(SECOND)).unwrap_or(0),
            ),
            size: read.size,
            ..Node::default()
        };
        let chunks = take_inline(&mut node, read.content);
        self.count(&node, Action::New);
        self.place(RootKind::Stdin, &stream.path);
        self.send_content(node, chunks, None)
    }
}

/// Puts content that is small into its node; of other content it returns the chunks.
fn take_inline(node: &mut Node, content: Content) -> Option<(FileNumber, u32)> {
    match content {
        Content::Inline(bytes) => {
            node.inline = bytes.into();
            None
        }
        Content::Chunks(file, count) => Some((file, count)),
    }
}

/// Returns what became of an item whose node is complete but for the ids of its blobs; a file that
/// was read for nothing is told from a changed one when those are known.
fn action(parent: Option<&Node>, node: &Node) -> Action {
    match parent {
        None => Action::New,
        Some(parent) if parent == node => Action::Unchanged,
        Some(_) => Action::Modified,
    }
}
