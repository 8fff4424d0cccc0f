//! The calling thread's part of a backup: walks the roots in step with the parent.
//!
//! A directory in which everything is as the parent has it is taken over as a whole: nothing of it
//! is encoded, hashed or sent. As soon as something differs, the assembler is told of the
//! directories around it, and of what was met in them so far.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::Sender;

use super::contributors::Contributors;
use super::health::Health;
use super::message::{Item, Message};
use super::observing::{ObservedWalk, Observing};
use super::options::AgentSource;
use super::parent::{ParentCursor, without_content};
use super::seen::Seen;
use super::source::ContentReader;
use super::walked::{PlacedRoot, SeenPair, Walked};
use super::{Backup, BackupReport, Packer, StreamSource, agents};
use crate::error::{Error, Result};
use crate::event::{Action, Counters, Event};
use crate::files::{Entry, ExcludeReason, Owners, Stat, Step, Walk};
use crate::format::record::RootKind;
use crate::format::tree::{Node, NodeKind, Subtree};
use crate::id::BlobId;
use crate::repository::index::Index;
use crate::repository::snapshots::is_within;

/// The calling thread's part: walks, compares, reads.
pub(super) struct Producer<'a, 'b> {
    pub(super) backup: &'a Backup<'b>,
    pub(super) index: &'a Index,
    pub(super) packer: &'a Packer,
    poisoned: &'a AtomicBool,
    pub(super) reader: ContentReader<'a>,
    messages: Sender<Message>,
    pub(super) parent: ParentCursor<'a>,
    pub(super) owners: Owners,
    pub(super) links: HashMap<(u64, u64), u64>,
    pub(super) walked: Walked,
    pub(super) last_partial: i64,
    pub(super) last_partial_bytes: u64,
    levels: Vec<Level>,
    pub(super) observing: Option<Observing<'a>>,
    /// The agent whose root is walked.
    pub(super) agent: Option<Arc<AgentSource>>,
    /// The path of the directory that the walk is in.
    directories: Vec<Vec<u8>>,
}

/// A database met in the current directory.
pub(super) struct Met {
    pub(super) name: Box<[u8]>,
    /// Whether it was saved as it lay there, so that its companions count.
    pub(super) is_raw: bool,
}

/// A directory that the walk is in.
struct Level {
    /// Its node, without content.
    node: Box<Node>,
    /// The parent's node, while everything met so far is as it was there.
    same_as: Option<Box<Node>>,
    /// The tree that the parent has in its place.
    before: Option<BlobId>,
    /// How many of the parent's nodes have been met; they are the first so many.
    met: u64,
    /// Whether the assembler has been told of it.
    sent: bool,
    /// Databases met in it.
    databases: Vec<Met>,
}

impl<'a, 'b> Producer<'a, 'b> {
    pub(super) fn new(
        backup: &'a Backup<'b>,
        index: &'a Index,
        packer: &'a Packer,
        poisoned: &'a AtomicBool,
        reader: ContentReader<'a>,
        messages: Sender<Message>,
        observing: Option<Observing<'a>>,
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
                health: Health::load(backup.repository.state()),
                published: 0,
                contributors: Contributors::default(),
                observed: ObservedWalk::default(),
            },
            last_partial: backup.began_boot,
            last_partial_bytes: 0,
            levels: Vec::new(),
            observing,
            agent: None,
            directories: Vec::new(),
        })
    }

    pub(super) fn run(mut self, stream: Option<&mut StreamSource<'_>>) -> Result<Walked> {
        if let Some(stream) = stream {
            self.read_stream(stream)?;
        } else {
            let agents = agents::distinct(&self.backup.options.agents.roots);
            for agent in &agents {
                self.walk_root(&agent.place, Some(agent))?;
            }
            for path in outermost(&self.backup.options.paths) {
                // All of it belongs to the agent.
                if !agents.iter().any(|agent| path.starts_with(&agent.place)) {
                    self.walk_root(path, None)?;
                }
            }
        }
        self.reader.flush()?;
        if let Some(error) = self.parent.failure.take() {
            self.backup.reporter.event(&Event::Warning {
                message: &format!("{error}; what it held was read again"),
            });
        }
        self.walked.observed = self.observing.map(Observing::finish).unwrap_or_default();
        Ok(self.walked)
    }

    fn walk_root(&mut self, path: &Path, agent: Option<&Arc<AgentSource>>) -> Result<()> {
        self.agent = agent.cloned();
        self.parent.keeps_passed = agent.is_some();
        let parent_root = self.backup.find_parent_root(agent.map(AsRef::as_ref), path);
        self.observe_root(parent_root.as_ref());
        let mut parent_root = parent_root.map(|root| root.node);
        let kind = if agent.is_some() { RootKind::Agent } else { RootKind::Path };
        let excludes = agent.map_or(&self.backup.options.excludes, |agent| &agent.excludes);
        let walk = Walk::start(
            path,
            Arc::clone(excludes),
            // The walk's consumer helps while it waits: one thread ahead of it keeps up.
            (self.backup.options.threads / 2).clamp(1, 4),
        );
        for step in walk {
            self.go_on()?;
            match step {
                Step::Enter(entry) => {
                    let node = if self.levels.is_empty() {
                        self.place(kind, path);
                        parent_root.take()
                    } else {
                        self.find_in_parent(entry.name())?
                    };
                    self.enter(&entry, node)?;
                }
                Step::Entry(entry) if self.is_companion(&entry) => {
                    self.leave_companion_out(&entry);
                }
                Step::Entry(entry) => {
                    let is_root = self.levels.is_empty();
                    let node = if is_root {
                        parent_root.take()
                    } else {
                        self.find_in_parent(entry.name())?
                    };
                    let stored = self.entry(&entry, node)?;
                    if is_root && stored {
                        self.place(kind, path);
                    }
                }
                Step::Leave => self.leave()?,
                Step::Excluded { path, reason: ExcludeReason::Elsewhere, .. } => {
                    self.refer(&path)?;
                }
                Step::Excluded { path, reason, size_bytes } => {
                    self.excluded(&path, reason, size_bytes);
                }
                Step::Failed { path, error } => self.failed(&path, &error),
            }
        }
        Ok(())
    }

    /// Notes a root whose node comes next.
    pub(super) fn place(&mut self, kind: RootKind, place: &Path) {
        let agent = self.agent.as_deref().filter(|_| kind == RootKind::Agent);
        let gathered = self.backup.options.agents.gathered.iter().flatten();
        let named = gathered.filter(|(walked, _)| walked == place).map(|(_, named)| named).next();
        self.walked.places.push(PlacedRoot {
            kind,
            agent: agent.map(|agent| agent.agent.clone()).unwrap_or_default(),
            label: agent.map(|agent| agent.label.clone()).unwrap_or_default(),
            place: named.map_or(place, PathBuf::as_path).to_owned(),
        });
    }

    /// Returns the path of the directory that the walk is in; `None` outside of any.
    pub(super) fn directory(&self) -> Option<Vec<u8>> {
        self.directories.last().cloned()
    }

    fn go_on(&self) -> Result<()> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(Error::failed("the run was cut short"));
        }
        self.backup.counters.go_on()
    }

    /// The databases met in the current directory; `None` for a root that is a file.
    pub(super) fn databases(&mut self) -> Option<&mut Vec<Met>> {
        self.levels.last_mut().map(|level| &mut level.databases)
    }

    pub(super) fn excluded(&mut self, path: &Path, reason: ExcludeReason, size_bytes: u64) {
        let report = &mut self.walked.report;
        report.excluded_items = report.excluded_items.saturating_add(1);
        report.excluded_bytes = report.excluded_bytes.saturating_add(size_bytes);
        if reason == ExcludeReason::Own {
            report.own_left_out.push(path.to_owned());
        }
        let path = path.as_os_str().as_bytes();
        self.backup.reporter.event(&Event::Item { path, action: Action::Skipped, size_bytes });
    }

    pub(super) fn failed(&mut self, path: &Path, error: &Error) {
        let statistics = &mut self.walked.report.statistics;
        statistics.errors = statistics.errors.saturating_add(1);
        Counters::add(&self.backup.counters.failed_items, 1);
        let path = path.as_os_str().as_bytes();
        self.backup.reporter.event(&Event::ItemFailed { path, error });
    }

    /// Sends something that the parent has not: all directories around it are then made anew.
    pub(super) fn send(&mut self, item: Item) -> Result<()> {
        self.open_levels()?;
        self.pass(item)
    }

    /// Notes a node that is as the parent has it, in its place there.
    pub(super) fn send_same(&mut self, node: Node) -> Result<()> {
        match self.levels.last_mut() {
            Some(level) if !level.sent => {
                level.met = level.met.saturating_add(1);
                Ok(())
            }
            _ => self.pass(Item::Ready(Box::new(node))),
        }
    }

    fn pass(&mut self, item: Item) -> Result<()> {
        if self.backup.options.dry_run {
            return Ok(());
        }
        self.reader.item_follows()?;
        self.messages.send(Message::Item(item)).map_err(|_| Error::failed("the run was cut short"))
    }

    /// Tells the assembler of the directories that the walk is in, and of what was met in them:
    /// those nodes are read from the parent once more, which is rarer than keeping them all.
    pub(super) fn open_levels(&mut self) -> Result<()> {
        for place in 0..self.levels.len() {
            let Some(level) = self.levels.get_mut(place).filter(|level| !level.sent) else {
                continue;
            };
            level.sent = true;
            let (node, met, same_as) = (level.node.clone(), level.met, level.same_as.take());
            let before = level.before;
            self.pass(Item::Enter(node, before))?;
            let Some(same_as) = same_as.filter(|_| met > 0) else { continue };
            let mut nodes = self.parent.reread(&same_as);
            for _ in 0..met {
                if let Some(node) = self.parent.next_of(&mut nodes)? {
                    self.pass(Item::Ready(Box::new(node)))?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn find_in_parent(&mut self, name: &[u8]) -> Result<Option<Node>> {
        let found = self.parent.find(name);
        let passed = self.parent.take_passed();
        self.vanished(passed)?;
        if self.parent.has_passed_over() {
            // Something of the parent's is gone, so the directory is another.
            self.open_levels()?;
        }
        Ok(found)
    }

    fn leave(&mut self) -> Result<()> {
        if self.agent.is_some() {
            let rest = self.parent.take_rest();
            self.vanished(rest)?;
        }
        self.directories.pop();
        let is_same =
            self.levels.last().is_some_and(|level| !level.sent) && self.parent.is_at_end();
        if !is_same {
            self.open_levels()?;
        }
        self.parent.leave();
        self.walked.contributors.leave();
        let level = self.levels.pop();
        match level.and_then(|level| level.same_as) {
            Some(node) => self.send_same(*node),
            None => self.pass(Item::Leave),
        }
    }

    pub(super) fn path_hash(&self, path: &Path) -> u64 {
        self.backup.repository.keys().name_hash(path.as_os_str().as_bytes())
    }

    fn enter(&mut self, entry: &Entry, parent: Option<Node>) -> Result<()> {
        let hash = self.path_hash(&entry.path);
        if parent.as_ref().is_some_and(|node| node.kind != NodeKind::Directory) {
            self.forget_entries(entry.path.as_os_str().as_bytes());
        }
        let parent = parent.filter(|node| node.kind == NodeKind::Directory);
        let look = self.look_of(&entry.stat);
        let known = parent.as_ref().filter(|_| self.walked.seen.before.is_same(hash, &look));
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
        self.walked.seen.now.enter(hash, &look);
        let report = &mut self.walked.report;
        report.statistics.directories = report.statistics.directories.saturating_add(1);
        if parent.is_none() {
            report.directories_new = report.directories_new.saturating_add(1);
        }
        self.parent.enter(parent.as_ref());
        self.walked.contributors.enter(entry.path.as_os_str().as_bytes());
        self.directories.push(entry.path.as_os_str().as_bytes().to_vec());
        let before = parent.as_ref().and_then(|parent| match parent.subtree {
            Subtree::Blob(id) => Some(id),
            Subtree::Inline(_) => None,
        });
        // With objects missing, trees too are stored again rather than taken over.
        let same_as = parent
            .filter(|parent| !self.backup.has_gaps && without_content(parent) == node)
            .map(Box::new);
        let is_other = same_as.is_none();
        self.levels.push(Level {
            node: Box::new(node),
            same_as,
            before,
            met: 0,
            sent: false,
            databases: Vec::new(),
        });
        if is_other { self.open_levels() } else { Ok(()) }
    }
}

/// A node with what the walk knows, for an item whose metadata can't be read.
pub(super) fn bare_node(name: &[u8], stat: &Stat) -> Node {
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
    let mut sorted: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    // By components: what lies inside a path follows it at once.
    sorted.sort_unstable();
    let mut kept: Vec<&Path> = Vec::new();
    for path in sorted {
        let bytes = path.as_os_str().as_bytes();
        if !kept.last().is_some_and(|last| is_within(bytes, last.as_os_str().as_bytes())) {
            kept.push(path);
        }
    }
    kept
}
