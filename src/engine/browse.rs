//! Paths within snapshots: finding what a path names, and walking what lies below.
//!
//! Iterative, so that a tree's depth costs heap and never stack; one part of each directory on the
//! way is held.

use crate::error::{Error, Kind, Result};
use crate::format::LIMITS;
use crate::format::record::{Root, RootKind, Snapshot};
use crate::format::tree::{Node, NodeKind};
use crate::repository::reader::{BlobReader, NodeIter};
use crate::repository::snapshots::is_within;

/// Something in a snapshot, with its absolute path as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The path, as bytes.
    pub path: Vec<u8>,
    /// The node.
    pub node: Node,
}

/// Returns `path` with `name` below it.
pub fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    let mut joined = path.strip_suffix(b"/").unwrap_or(path).to_vec();
    joined.push(b'/');
    joined.extend_from_slice(name);
    joined
}

/// Returns the name under which an agent's root is found in every snapshot.
pub fn root_name(agent: &str, label: &str) -> Vec<u8> {
    format!("/agents/{agent}/{label}").into_bytes()
}

/// Finds what `path` names: one item at or below a root, or all roots below it. An empty path
/// names all roots. An agent's root is also called `/agents/AGENT/LABEL`, wherever it was read.
/// Nothing found is an error that names the roots.
pub fn find(reader: &mut BlobReader<'_>, snapshot: &Snapshot, path: &[u8]) -> Result<Vec<Found>> {
    let path = if path.len() > 1 { path.strip_suffix(b"/").unwrap_or(path) } else { path };
    let mut found = Vec::new();
    let named = named_by_agent(snapshot, path);
    let path = named.as_deref().unwrap_or(path);
    for root in &snapshot.roots {
        let place = root.place.0.as_slice();
        if path.is_empty() || is_within(place, path) {
            found.push(Found { path: place.to_vec(), node: root.node.clone() });
        } else if is_within(path, place)
            && let Some(node) = descend_to(reader, root, path)?
        {
            found.push(Found { path: path.to_vec(), node });
        }
    }
    if found.is_empty() {
        let roots: Vec<String> = snapshot
            .roots
            .iter()
            .take(5)
            .map(|root| String::from_utf8_lossy(&root.place).into_owned())
            .collect();
        return Err(Error::failed("the snapshot does not hold")
            .object(String::from_utf8_lossy(path))
            .hint(format!("it holds {}", roots.join(", "))));
    }
    Ok(found)
}

/// Returns the path as it was read, of one that names an agent's root by agent and label.
fn named_by_agent(snapshot: &Snapshot, path: &[u8]) -> Option<Vec<u8>> {
    if !path.starts_with(b"/agents/") {
        return None;
    }
    let agents = snapshot.roots.iter().filter(|root| root.kind == RootKind::Agent as u64);
    let named = agents.map(|root| (root, root_name(&root.agent, &root.label)));
    let (root, name) = named.into_iter().find(|(_, name)| is_within(path, name))?;
    Some([root.place.0.as_slice(), path.get(name.len()..)?].concat())
}

/// Returns what lies at `path`, which a root holds; `None` if nothing does.
pub fn descend_to(reader: &mut BlobReader<'_>, root: &Root, path: &[u8]) -> Result<Option<Node>> {
    let place = root.place.0.as_slice();
    let below = path.get(place.strip_suffix(b"/").unwrap_or(place).len()..);
    descend(reader, &root.node, below.unwrap_or_default())
}

fn descend(reader: &mut BlobReader<'_>, root: &Node, below: &[u8]) -> Result<Option<Node>> {
    let mut node = root.clone();
    for name in below.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
        if node.kind != NodeKind::Directory {
            return Ok(None);
        }
        let mut nodes = reader.nodes(&node.subtree);
        node = loop {
            match nodes.next(reader)? {
                Some(child) if child.name.0 == name => break child,
                Some(_) => {}
                None => return Ok(None),
            }
        };
    }
    Ok(Some(node))
}

/// A step of a walk.
#[derive(Debug)]
pub enum TreeStep {
    /// A node; a directory's content follows, up to its `Leave`.
    Node(Box<Found>),
    /// The directory entered last ends.
    Leave,
    /// A directory, or a part of one, can't be read. What can be read of it follows.
    Failed {
        /// The directory's path.
        path: Vec<u8>,
        /// Why.
        error: Error,
    },
}

struct Level {
    path: Vec<u8>,
    nodes: NodeIter,
}

/// Walks everything at and below an item, directories before what they hold, names ascending.
pub struct TreeWalk {
    first: Option<Found>,
    levels: Vec<Level>,
    with_absent: bool,
}

impl TreeWalk {
    /// Begins a walk. Nodes that are no longer there are passed over unless `with_absent`.
    pub fn new(item: Found, with_absent: bool) -> TreeWalk {
        TreeWalk { first: Some(item), levels: Vec::new(), with_absent }
    }

    /// Does not enter the directory that the last step gave: its `Leave` comes next.
    pub fn skip(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            level.nodes = NodeIter::empty();
        }
    }

    /// Returns the next step.
    pub fn next(&mut self, reader: &mut BlobReader<'_>) -> Option<TreeStep> {
        if let Some(item) = self.first.take() {
            return Some(self.step(item, reader));
        }
        loop {
            let level = self.levels.last_mut()?;
            match level.nodes.next(reader) {
                Ok(Some(node)) if node.absent_since.is_some() && !self.with_absent => {}
                Ok(Some(node)) => {
                    let path = join(&level.path, &node.name);
                    return Some(self.step(Found { path, node }, reader));
                }
                Ok(None) => {
                    self.levels.pop();
                    return Some(TreeStep::Leave);
                }
                Err(error) => {
                    return Some(TreeStep::Failed { path: level.path.clone(), error });
                }
            }
        }
    }

    fn step(&mut self, item: Found, reader: &mut BlobReader<'_>) -> TreeStep {
        if item.node.kind == NodeKind::Directory {
            if self.levels.len() >= LIMITS.tree_depth {
                let error = Error::new(Kind::Damaged, "directories are nested too deeply");
                return TreeStep::Failed { path: item.path, error };
            }
            let nodes = reader.nodes(&item.node.subtree);
            self.levels.push(Level { path: item.path.clone(), nodes });
        }
        TreeStep::Node(Box::new(item))
    }
}
