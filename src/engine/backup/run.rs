//! One run's pipeline: starts the threads, walks the roots, and gathers what came of it.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;

use crossbeam_channel::Sender;

use super::assemble::{Assembled, Item, Message, assemble};
use super::content::{Batch, FileNumber, Sums, WorkerContext, work};
use super::contributors::Contributors;
use super::metadata::MetadataWriter;
use super::parent::{ParentCursor, without_content};
use super::seen::Seen;
use super::source::{Content, ContentReader, ReadContent};
use super::{Backup, BackupReport, Packer, StreamSource, is_file, root_kind};
use crate::error::{Error, Result, io_error};
use crate::event::{Action, Counters, Event};
use crate::files::{Entry, ExcludeReason, Owners, Stat, Step, Walk};
use crate::format::record::Root;
use crate::format::tree::{FileTime, Node, NodeKind};
use crate::repository::index::Index;
use crate::repository::log::RecordParts;
use crate::repository::packer::Packed;
use crate::repository::snapshots::is_within;
use crate::time::SECOND;

/// A partial record is written after so many bytes of new data.
const PARTIAL_BYTES: u64 = 1 << 30;
/// … or after so many nanoseconds.
const PARTIAL_TIME: i64 = 600 * SECOND;
/// … or after so many blobs: a record that names more would outgrow what a reader takes.
const PARTIAL_BLOBS: u64 = 100_000;
/// How often a file that changes while it is read is read.
const ATTEMPTS: u32 = 3;
/// Messages on their way to the assembler.
const MESSAGES: usize = 4096;

/// What was remembered, and what is to be.
pub(super) struct SeenPair {
    pub(super) before: Seen,
    pub(super) now: Seen,
    /// How many items were found in `before`, unchanged.
    pub(super) reused: u64,
}

/// What a run came to.
pub(super) struct Outcome {
    pub(super) report: BackupReport,
    pub(super) roots: Vec<Root>,
    pub(super) packed: Packed,
    pub(super) seen: SeenPair,
    /// Bytes of objects stored before the commit.
    pub(super) published: u64,
}

/// Runs the pipeline over all roots, or over one stream.
pub(super) fn run(
    backup: &Backup<'_>,
    index: &Index,
    stream: Option<&mut StreamSource<'_>>,
) -> Result<Outcome> {
    let keys = Arc::clone(backup.repository.keys());
    let packer = Packer::start(
        backup.repository.store().clone(),
        Arc::clone(&keys),
        backup.repository.id().0,
        backup.repository.state().cloned(),
        backup.began.0,
    );
    packer.adopt(backup.adopted.clone());
    let poisoned = AtomicBool::new(false);
    let threads = backup.options.threads.max(1);
    let (batch_sender, batch_receiver) = crossbeam_channel::bounded::<Batch>(threads);
    let (buffer_sender, buffer_receiver) =
        crossbeam_channel::bounded(threads.saturating_mul(2).saturating_add(2));
    let (message_sender, message_receiver) = crossbeam_channel::bounded(MESSAGES);
    let context = WorkerContext {
        keys: &keys,
        index,
        packer: &packer,
        counters: backup.counters,
        poisoned: &poisoned,
        compression: backup.options.compression,
    };
    let (walked, assembled, sums) = std::thread::scope(|scope| {
        let workers: Vec<ScopedJoinHandle<'_, Result<Sums>>> = (0..threads)
            .map(|_| {
                let (batches, buffers) = (batch_receiver.clone(), buffer_sender.clone());
                let (messages, context) = (message_sender.clone(), &context);
                scope.spawn(move || work(context, &batches, &buffers, &messages))
            })
            .collect();
        drop(batch_receiver);
        let writer = MetadataWriter::new(&keys, index, &packer)?;
        let assembler = scope.spawn(move || assemble(writer, &message_receiver));
        let reader = ContentReader::new(
            &keys,
            batch_sender,
            buffer_receiver,
            message_sender.clone(),
            backup.counters,
        );
        let producer = Producer::new(backup, index, &packer, &poisoned, reader, message_sender);
        let walked = producer.and_then(|producer| producer.run(stream));
        gather(walked, workers, assembler)
    })?;
    let Assembled { roots: root_nodes, same_files, .. } = assembled;
    let Walked { mut report, places, seen, published, contributors } = walked;
    report.statistics.files_changed = report.statistics.files_changed.saturating_sub(same_files);
    report.files_unchanged = report.files_unchanged.saturating_add(same_files);
    let (added, stored, blobs) = sums;
    report.statistics.added_bytes = added;
    report.statistics.stored_bytes = stored;
    report.blobs_added = blobs;
    (report.bytes_to_read, report.contributors) = contributors.finish();
    let roots = places
        .into_iter()
        .zip(root_nodes)
        .map(|((kind, place), node)| Root {
            kind,
            place: place.as_os_str().as_bytes().into(),
            node,
            ..Root::default()
        })
        .collect();
    let packed = packer.finish()?;
    let published = published.saturating_add(packed.1);
    Ok(Outcome { report, roots, packed: packed.0, seen, published })
}

/// Joins all threads. The first failure that is not a mere echo of another is returned.
fn gather(
    walked: Result<Walked>,
    workers: Vec<ScopedJoinHandle<'_, Result<Sums>>>,
    assembler: ScopedJoinHandle<'_, Result<Assembled>>,
) -> Result<(Walked, Assembled, Sums)> {
    let panicked = || Error::failed("a worker of the backup has panicked");
    let mut sums = (0_u64, 0_u64, 0_u64);
    let add = |sums: &mut Sums, more: Sums| {
        sums.0 = sums.0.saturating_add(more.0);
        sums.1 = sums.1.saturating_add(more.1);
        sums.2 = sums.2.saturating_add(more.2);
    };
    let mut worker_failure = None;
    for worker in workers {
        match worker.join().unwrap_or_else(|_| Err(panicked())) {
            Ok(more) => add(&mut sums, more),
            Err(error) => worker_failure = Some(error),
        }
    }
    let assembled = assembler.join().unwrap_or_else(|_| Err(panicked()));
    if let Some(error) = worker_failure {
        return Err(error);
    }
    // A walk that failed because its channels closed is an echo of the assembler's failure, and
    // an assembler cut short one of the walk's.
    let walked = match (walked, &assembled) {
        (Err(walk), Err(_)) if walk.kind() != crate::error::Kind::Failed => return Err(walk),
        (Err(_), Err(_)) => {
            return Err(assembled.err().unwrap_or_else(panicked));
        }
        (walked, _) => walked?,
    };
    let assembled = assembled?;
    add(&mut sums, assembled.sums);
    Ok((walked, assembled, sums))
}

struct Walked {
    report: BackupReport,
    places: Vec<(u64, PathBuf)>,
    seen: SeenPair,
    published: u64,
    contributors: Contributors,
}

/// The calling thread's part: walks, compares, reads.
struct Producer<'a, 'b> {
    backup: &'a Backup<'b>,
    index: &'a Index,
    packer: &'a Packer,
    poisoned: &'a AtomicBool,
    reader: ContentReader<'a>,
    messages: Sender<Message>,
    parent: ParentCursor<'a>,
    owners: Owners,
    links: HashMap<(u64, u64), u64>,
    walked: Walked,
    last_partial: i64,
    last_partial_bytes: u64,
    is_new_directory: Vec<bool>,
}

impl<'a, 'b> Producer<'a, 'b> {
    fn new(
        backup: &'a Backup<'b>,
        index: &'a Index,
        packer: &'a Packer,
        poisoned: &'a AtomicBool,
        reader: ContentReader<'a>,
        messages: Sender<Message>,
    ) -> Result<Self> {
        let seen = SeenPair { before: backup.load_seen(), now: Seen::default(), reused: 0 };
        Ok(Producer {
            backup,
            index,
            packer,
            poisoned,
            reader,
            messages,
            parent: ParentCursor::new(backup.repository)?,
            owners: Owners::of_system(),
            links: HashMap::new(),
            walked: Walked {
                report: BackupReport::default(),
                places: Vec::new(),
                seen,
                published: 0,
                contributors: Contributors::default(),
            },
            last_partial: backup.began_boot,
            last_partial_bytes: 0,
            is_new_directory: Vec::new(),
        })
    }

    fn run(mut self, stream: Option<&mut StreamSource<'_>>) -> Result<Walked> {
        match stream {
            Some(stream) => self.read_stream(stream)?,
            None => {
                for path in outermost(&self.backup.options.paths) {
                    self.walk_root(path)?;
                }
            }
        }
        self.reader.flush()?;
        if let Some(error) = self.parent.failure.take() {
            self.backup.reporter.event(&Event::Warning {
                message: &format!("{error}; what it held was read again"),
            });
        }
        Ok(self.walked)
    }

    fn walk_root(&mut self, path: &Path) -> Result<()> {
        let place = path.as_os_str().as_bytes();
        let parent_root = self
            .backup
            .parent
            .as_ref()
            .and_then(|parent| parent.snapshot.roots.iter().find(|root| root.place.0 == place));
        let mut parent_root = parent_root.map(|root| root.node.clone());
        let walk = Walk::start(
            path,
            Arc::clone(&self.backup.options.excludes),
            self.backup.options.threads,
        );
        let mut depth = 0_usize;
        for step in walk {
            self.go_on()?;
            match step {
                Step::Enter(entry) => {
                    let node = if depth == 0 {
                        self.walked.places.push((root_kind(false), path.to_owned()));
                        parent_root.take()
                    } else {
                        self.parent.find(entry.name())
                    };
                    depth = depth.saturating_add(1);
                    self.enter(&entry, node.as_ref())?;
                }
                Step::Entry(entry) => {
                    let node = if depth == 0 {
                        parent_root.take()
                    } else {
                        self.parent.find(entry.name())
                    };
                    let stored = self.entry(&entry, node)?;
                    if depth == 0 && stored {
                        self.walked.places.push((root_kind(false), path.to_owned()));
                    }
                }
                Step::Leave => {
                    depth = depth.saturating_sub(1);
                    self.parent.leave();
                    self.walked.contributors.leave();
                    self.is_new_directory.pop();
                    self.send(Item::Leave)?;
                }
                Step::Excluded { path, reason, size_bytes } => {
                    self.excluded(&path, reason, size_bytes);
                }
                Step::Failed { path, error } => self.failed(&path, &error),
            }
        }
        Ok(())
    }

    fn go_on(&self) -> Result<()> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(Error::failed("the run was cut short"));
        }
        self.backup.counters.go_on()
    }

    fn excluded(&mut self, path: &Path, reason: ExcludeReason, size_bytes: u64) {
        let report = &mut self.walked.report;
        report.excluded_items = report.excluded_items.saturating_add(1);
        report.excluded_bytes = report.excluded_bytes.saturating_add(size_bytes);
        if reason == ExcludeReason::Own {
            report.own_left_out.push(path.to_owned());
        }
        let path = path.as_os_str().as_bytes();
        self.backup.reporter.event(&Event::Item { path, action: Action::Skipped, size_bytes });
    }

    fn failed(&mut self, path: &Path, error: &Error) {
        let statistics = &mut self.walked.report.statistics;
        statistics.errors = statistics.errors.saturating_add(1);
        Counters::add(&self.backup.counters.failed_items, 1);
        let path = path.as_os_str().as_bytes();
        self.backup.reporter.event(&Event::ItemFailed { path, error });
    }

    fn send(&mut self, item: Item) -> Result<()> {
        self.reader.item_follows()?;
        self.messages.send(Message::Item(item)).map_err(|_| Error::failed("the run was cut short"))
    }

    fn path_hash(&self, path: &Path) -> u64 {
        self.backup.repository.keys().name_hash(path.as_os_str().as_bytes())
    }

    fn enter(&mut self, entry: &Entry, parent: Option<&Node>) -> Result<()> {
        let hash = self.path_hash(&entry.path);
        let known = parent.filter(|node| {
            node.kind == NodeKind::Directory && self.walked.seen.before.is_same(hash, &entry.stat)
        });
        let node = match known {
            Some(node) => {
                self.walked.seen.reused = self.walked.seen.reused.saturating_add(1);
                without_content(node)
            }
            None => match entry.read_node(&self.owners) {
                Ok(node) => node,
                Err(error) => {
                    self.failed(&entry.path, &error);
                    bare_node(entry.name(), &entry.stat)
                }
            },
        };
        self.walked.seen.now.enter(hash, &entry.stat, self.backup.began);
        let report = &mut self.walked.report;
        report.statistics.directories = report.statistics.directories.saturating_add(1);
        if parent.is_none() {
            report.directories_new = report.directories_new.saturating_add(1);
        }
        self.is_new_directory.push(parent.is_none());
        self.parent.enter(parent);
        self.walked.contributors.enter(entry.path.as_os_str().as_bytes());
        self.send(Item::Enter(Box::new(node)))
    }

    /// Deals with anything but a directory; false if it could not be stored.
    fn entry(&mut self, entry: &Entry, parent: Option<Node>) -> Result<bool> {
        let hash = self.path_hash(&entry.path);
        let action = match &parent {
            None => Action::New,
            Some(_) => Action::Modified,
        };
        let reusable = parent.as_ref().filter(|node| {
            node.kind == entry.stat.kind
                && node.mtime == entry.stat.mtime
                && (node.kind != NodeKind::File || node.size == entry.stat.size)
                && self.walked.seen.before.is_same(hash, &entry.stat)
        });
        if let Some(node) = reusable
            && (!self.backup.has_gaps || self.parent.stands(node, self.index))
        {
            let mut node = node.clone();
            self.walked.seen.reused = self.walked.seen.reused.saturating_add(1);
            self.walked.seen.now.enter(hash, &entry.stat, self.backup.began);
            node.hard_link = self.hard_link(&entry.stat, hash);
            self.count(&node, Action::Unchanged);
            Counters::add(&self.backup.counters.done_items, 1);
            Counters::add(&self.backup.counters.done_bytes, node.size);
            self.tell(&entry.path, Action::Unchanged, node.size);
            self.send(Item::Ready(Box::new(node)))?;
            return Ok(true);
        }
        if self.backup.options.dry_run {
            self.would_read(entry, action);
            return Ok(true);
        }
        let stored = if entry.stat.kind == NodeKind::File {
            self.read_file(entry, hash, parent)?
        } else {
            self.read_other(entry, hash, parent.as_ref())?
        };
        Counters::add(&self.backup.counters.done_items, 1);
        Ok(stored)
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
                self.walked.seen.now.enter(hash, &entry.stat, self.backup.began);
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
    fn item_failed(&mut self, path: &Path, error: &Error) {
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
            let read = match self.reader.read_file(&file, stat.size, stat.is_sparse()) {
                Ok(read) => read?,
                Err(error) => {
                    self.failed(&entry.path, &io_error("cannot read", &entry.path, error));
                    return Ok(false);
                }
            };
            let after = crate::files::stat_file(&file)?;
            let grew_only = after.size > stat.size && read.size == stat.size;
            let is_whole = after.is_same_content(&stat) && read.size == stat.size;
            if is_whole || grew_only {
                if is_whole {
                    self.walked.seen.now.enter(hash, &stat, self.backup.began);
                }
                self.store_node(entry, node, &stat, read, hash, parent)?;
                return Ok(true);
            }
            if attempt < ATTEMPTS {
                if let Content::Chunks(file, _) = read.content {
                    self.reader.abandon(file);
                }
            } else {
                last = Some((node, stat, read));
            }
        }
        let Some((node, stat, read)) = last else { return Ok(false) };
        let error = Error::failed("changed each of three times while it was read")
            .object(entry.path.display().to_string())
            .hint("it is saved as last read, which may be torn");
        self.failed(&entry.path, &error);
        self.store_node(entry, node, &stat, read, hash, parent)?;
        Ok(true)
    }

    fn store_node(
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
        let ids: Vec<_> = packs
            .iter()
            .flat_map(|pack| pack.get().units.iter().flat_map(|unit| unit.blobs.0.clone()))
            .collect();
        let parts =
            RecordParts { partial: Some(self.backup.partial()), packs, ..RecordParts::default() };
        let committed = self.backup.repository.append(parts, self.backup.clock.now())?;
        self.walked.published = self.walked.published.saturating_add(committed.stored_bytes);
        self.index.published(&ids);
        Ok(())
    }

    fn read_stream(&mut self, stream: &mut StreamSource<'_>) -> Result<()> {
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
        self.walked.places.push((root_kind(true), stream.path.clone()));
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

/// A node with what the walk knows, for an item whose metadata can't be read.
fn bare_node(name: &[u8], stat: &Stat) -> Node {
    Node {
        name: name.into(),
        kind: stat.kind,
        mode: stat.mode,
        uid: stat.uid,
        gid: stat.gid,
        mtime: stat.mtime,
        ..Node::default()
    }
}

/// Returns the paths without those that are given twice or lie inside another.
fn outermost(paths: &[PathBuf]) -> Vec<&Path> {
    let bytes = |path: &Path| path.as_os_str().as_bytes().to_vec();
    let mut sorted: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    sorted.sort_by_key(|path| bytes(path));
    sorted.dedup();
    let all = sorted.clone();
    sorted.retain(|path| {
        !all.iter().any(|other| other != path && is_within(&bytes(path), &bytes(other)))
    });
    sorted
}
