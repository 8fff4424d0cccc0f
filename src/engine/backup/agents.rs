//! Roots of coding agents: categories, what is carried over unread, and what is kept although it is
//! no more.
//!
//! A selection limits what is read, never what the snapshot holds: what is not to be read is taken
//! from the parent as it is there. Sessions, memory and history that have vanished stay, marked with
//! the moment at which that was seen (`format-spec/6-tree.md`): agents delete what people want back.

use std::path::Path;
use std::sync::Arc;

use super::message::Item;
use super::options::{AgentClass, AgentSource};
use super::producer::Producer;
use crate::engine::browse::{join, root_name};
use crate::error::{Error, Result};
use crate::files::Entry;
use crate::format::record::{Root, RootKind};
use crate::format::tree::{Category, Node, NodeKind};

use std::os::unix::ffi::OsStrExt as _;

/// Directories that have vanished are followed no deeper than this.
const DEEPEST: usize = 64;

/// What becomes of something that the parent has and the disk has not.
enum Vanished {
    /// It stays as the parent has it.
    Same,
    /// It stays, marked.
    Marked(Box<Node>),
    /// Of a directory only part stays. It comes as it must be then, without content.
    Part(Box<Node>),
    Dropped,
}

impl AgentSource {
    /// Returns what lies at an absolute path at or below the root.
    pub(super) fn class(&self, path: &[u8]) -> AgentClass {
        self.rules.class(self.relative(path))
    }

    /// Returns an absolute path at or below the root as one below it; empty for the root itself.
    pub(super) fn relative<'p>(&self, path: &'p [u8]) -> &'p [u8] {
        let place = self.place.as_os_str().as_bytes();
        let below = path.strip_prefix(place).unwrap_or_default();
        below.strip_prefix(b"/").unwrap_or(below)
    }
}

/// Returns whether what has vanished is kept.
fn is_lasting(category: Category) -> bool {
    matches!(category, Category::Sessions | Category::Memory | Category::History)
}

impl Producer<'_, '_> {
    /// Returns what an entry is, within an agent's root.
    pub(super) fn class_of(&self, path: &Path) -> Option<AgentClass> {
        self.agent.as_ref().map(|agent| agent.class(path.as_os_str().as_bytes()))
    }

    /// Returns the number of an entry's category; 0 outside of an agent's root, and for directories.
    pub(super) fn category_of(&self, path: &Path) -> u64 {
        self.class_of(path).map_or(0, |class| class.category as u64)
    }

    /// Takes over what is not to be read; false if the entry is to be read.
    pub(super) fn carry_over(&mut self, entry: &Entry, parent: Option<&Node>) -> Result<bool> {
        if self.class_of(&entry.path).is_none_or(|class| class.is_read) {
            return Ok(false);
        }
        if let Some(node) = parent {
            self.met_database(node);
            self.count_carried(node);
            self.send_same(node.clone())?;
        }
        Ok(true)
    }

    /// Returns the parent's node as it must be now: there, and of the category that it has now.
    pub(super) fn present(&mut self, entry: &Entry, parent: Option<Node>) -> Result<Option<Node>> {
        let Some(mut node) = parent else { return Ok(None) };
        let category = self.category_of(&entry.path);
        if node.absent_since.is_some() || node.category != category {
            // It differs from what the parent has, even if its content does not.
            self.open_levels()?;
            node.absent_since = None;
            node.category = category;
        }
        Ok(Some(node))
    }

    /// Deals with nodes of the parent's that were passed over: the disk has nothing of these names.
    pub(super) fn vanished(&mut self, nodes: Vec<Node>) -> Result<()> {
        let Some(agent) = self.agent.clone() else { return Ok(()) };
        for node in nodes {
            let Some(directory) = self.directory() else { continue };
            let path = join(&directory, &node.name);
            match self.fate(&agent, &path, &node, 0)? {
                Vanished::Same => {
                    self.count_carried(&node);
                    self.send_same(node)?;
                }
                Vanished::Marked(marked) => {
                    self.observe_vanished(&path, &node)?;
                    self.send(Item::Ready(marked))?;
                }
                Vanished::Part(bare) => self.send_part(&agent, &path, &node, bare, 0)?,
                Vanished::Dropped => {
                    self.forget_item(&path, &node);
                    self.open_levels()?;
                }
            }
        }
        Ok(())
    }

    fn fate(
        &mut self,
        agent: &AgentSource,
        path: &[u8],
        node: &Node,
        depth: usize,
    ) -> Result<Vanished> {
        let now = self.backup.began.0;
        let marked = |node: &Node| {
            if node.absent_since.is_some() {
                return Vanished::Same;
            }
            Vanished::Marked(Box::new(Node { absent_since: Some(now), ..node.clone() }))
        };
        // With objects missing, each file is looked up by itself.
        let has_gaps = self.backup.has_gaps;
        if has_gaps && node.kind != NodeKind::Directory && !self.parent.stands(node, self.index) {
            let error = Error::failed("is no more, and was lost in the repository as well:");
            self.failed(Path::new(std::ffi::OsStr::from_bytes(path)), &error);
            return Ok(Vanished::Dropped);
        }
        if node.kind != NodeKind::Directory {
            let class = agent.class(path);
            return Ok(match (class.is_saved, class.is_read, is_lasting(class.category)) {
                (true, false, _) => Vanished::Same,
                (true, true, true) => marked(node),
                (false, ..) | (true, true, false) => Vanished::Dropped,
            });
        }
        if node.absent_since.is_some() && !has_gaps {
            return Ok(Vanished::Same);
        }
        if depth >= DEEPEST {
            return Ok(Vanished::Dropped);
        }
        // What all of a directory's content has in common holds for it.
        let (mut same, mut lasting, mut dropped) = (0_u64, 0_u64, 0_u64);
        let mut children = self.parent.reread(node);
        while let Some(child) = self.parent.next_of(&mut children)? {
            match self.fate(agent, &join(path, &child.name), &child, depth.saturating_add(1))? {
                Vanished::Same if child.absent_since.is_none() => same = same.saturating_add(1),
                Vanished::Same | Vanished::Marked(_) => lasting = lasting.saturating_add(1),
                Vanished::Part(child) => {
                    let kept = if child.absent_since.is_some() { &mut lasting } else { &mut same };
                    *kept = kept.saturating_add(1);
                    dropped = dropped.saturating_add(1);
                }
                Vanished::Dropped => dropped = dropped.saturating_add(1),
            }
        }
        let mut bare = super::parent::without_content(node);
        if same == 0 {
            bare.absent_since = bare.absent_since.or(Some(now));
        }
        Ok(match (same, lasting, dropped) {
            (0, 0, _) => Vanished::Dropped,
            _ if has_gaps => Vanished::Part(Box::new(bare)),
            (0, _, 0) => marked(node),
            (_, 0, 0) => Vanished::Same,
            _ => Vanished::Part(Box::new(bare)),
        })
    }

    /// Sends a directory that has vanished with what stays of it.
    fn send_part(
        &mut self,
        agent: &AgentSource,
        path: &[u8],
        node: &Node,
        bare: Box<Node>,
        depth: usize,
    ) -> Result<()> {
        let mut children = self.parent.reread(node);
        self.send(Item::Enter(bare, None))?;
        while let Some(child) = self.parent.next_of(&mut children)? {
            let below = join(path, &child.name);
            match self.fate(agent, &below, &child, depth.saturating_add(1))? {
                Vanished::Same => {
                    self.count_carried(&child);
                    self.send(Item::Ready(Box::new(child)))?;
                }
                Vanished::Marked(marked) => {
                    self.observe_vanished(&below, &child)?;
                    self.send(Item::Ready(marked))?;
                }
                Vanished::Part(bare) => {
                    self.send_part(agent, &below, &child, bare, depth.saturating_add(1))?;
                }
                Vanished::Dropped => self.forget_item(&below, &child),
            }
        }
        self.send(Item::Leave)
    }

    /// Drops what was noted of an item that is not kept.
    fn forget_item(&mut self, path: &[u8], node: &Node) {
        if node.kind == NodeKind::Directory {
            self.forget_entries_below(path);
        } else {
            self.forget_entries(path);
        }
    }

    /// Puts a reference where another root of the snapshot holds the content.
    pub(super) fn refer(&mut self, path: &Path) -> Result<()> {
        let place = path.as_os_str().as_bytes();
        let holders = &self.backup.options.agents.roots;
        let Some(holder) = holders.iter().find(|it| it.place == path) else { return Ok(()) };
        if self.directory().is_none() {
            return Ok(());
        }
        let name = path.file_name().map_or(&[][..], std::ffi::OsStr::as_bytes);
        let node = Node {
            name: name.into(),
            kind: NodeKind::Reference,
            target: root_name(&holder.agent, &holder.label).into(),
            ..Node::default()
        };
        debug_assert!(place.ends_with(name));
        match self.find_in_parent(name)? {
            Some(parent) if parent == node => self.send_same(parent),
            _ => self.send(Item::Ready(Box::new(node))),
        }
    }
}

/// Returns the root that another snapshot has in the place of one of this run's.
pub(super) fn find_root<'r>(
    roots: &'r [Root],
    agent: Option<&AgentSource>,
    place: &[u8],
) -> Option<&'r Root> {
    roots.iter().find(|root| match agent {
        Some(agent) => {
            root.kind == RootKind::Agent as u64
                && root.agent == agent.agent
                && root.label == agent.label
        }
        None => root.kind != RootKind::Agent as u64 && root.place.0 == place,
    })
}

/// Returns the sources in a fixed order, each place once: the first that is named has it.
pub(super) fn distinct(sources: &[AgentSource]) -> Vec<Arc<AgentSource>> {
    let mut kept: Vec<&AgentSource> = Vec::new();
    for source in sources {
        let is_known = |it: &&AgentSource| {
            it.place == source.place || (it.agent == source.agent && it.label == source.label)
        };
        if !kept.iter().any(is_known) {
            kept.push(source);
        }
    }
    kept.sort_by(|one, other| (&one.agent, &one.label).cmp(&(&other.agent, &other.label)));
    kept.into_iter().map(|source| Arc::new(source.clone())).collect()
}
