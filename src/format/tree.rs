//! Directories: nodes, and the blobs that hold them (`format-spec/6-tree.md`).
//!
//! Pure: bytes in, values out. A tree blob is either a list of nodes in ascending order of their
//! names, or a list of references to further tree blobs, each with the first name that it holds.

use serde::{Deserialize, Serialize};

use super::cbor::{self, Bytes, Ids, cbor_map};
use super::{DecodeError, LIMITS};
use crate::id::BlobId;

/// How a database was read. The numbers are the format's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Capture {
    /// It is no database.
    None = 0,
    /// As of one moment between two commits.
    Consistent = 1,
    /// As it lay there, perhaps torn.
    Raw = 2,
}

/// What a node is. The numbers are the format's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum NodeKind {
    /// A regular file.
    #[default]
    File = 0,
    /// A directory.
    Directory = 1,
    /// A symbolic link.
    Symlink = 2,
    /// A named pipe.
    Fifo = 3,
    /// A character device.
    CharDevice = 4,
    /// A block device.
    BlockDevice = 5,
    /// A Unix socket.
    Socket = 6,
    /// A place whose content another root of the snapshot holds; the target is its path there.
    Reference = 7,
}

impl NodeKind {
    /// All kinds, at the place of their number.
    pub const ALL: [NodeKind; 8] = [
        NodeKind::File,
        NodeKind::Directory,
        NodeKind::Symlink,
        NodeKind::Fifo,
        NodeKind::CharDevice,
        NodeKind::BlockDevice,
        NodeKind::Socket,
        NodeKind::Reference,
    ];

    /// The word for it in listings.
    pub fn name(self) -> &'static str {
        match self {
            NodeKind::File => "file",
            NodeKind::Directory => "dir",
            NodeKind::Symlink => "symlink",
            NodeKind::Fifo => "fifo",
            NodeKind::CharDevice => "chardev",
            NodeKind::BlockDevice => "dev",
            NodeKind::Socket => "socket",
            NodeKind::Reference => "reference",
        }
    }
}

impl Serialize for NodeKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(*self as u8)
    }
}

impl<'de> Deserialize<'de> for NodeKind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u8::deserialize(deserializer)?;
        NodeKind::ALL
            .get(usize::from(number))
            .copied()
            .ok_or_else(|| serde::de::Error::custom(format!("unknown node kind {number}")))
    }
}

/// What a file of a coding agent is. The numbers are the format's; 0 stands for a file that
/// belongs to no agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Category {
    /// What the user wrote and the agent reads.
    Config = 1,
    /// Preferences, trust, key bindings.
    Settings = 2,
    /// Conversations.
    Sessions = 3,
    /// What the agent noted for itself.
    Memory = 4,
    /// Skills, commands, hooks and plugins that the user wrote.
    Skills = 5,
    /// Typed prompts.
    History = 6,
    /// Credentials.
    Secrets = 7,
    /// Plans, tasks, checkpoints.
    Workspace = 8,
    /// What the agent can make again.
    Cache = 9,
    /// Anything else.
    Other = 10,
}

impl Category {
    /// All categories, in ascending order of their numbers.
    pub const ALL: [Category; 10] = [
        Category::Config,
        Category::Settings,
        Category::Sessions,
        Category::Memory,
        Category::Skills,
        Category::History,
        Category::Secrets,
        Category::Workspace,
        Category::Cache,
        Category::Other,
    ];

    /// Returns the category of a node's number: `None` for 0, [`Category::Other`] for a number
    /// that this version does not know.
    pub fn from_number(number: u64) -> Option<Category> {
        let known = Self::ALL.into_iter().find(|category| *category as u64 == number);
        if number == 0 { None } else { known.or(Some(Category::Other)) }
    }

    /// Returns the category of a word.
    pub fn from_name(name: &str) -> Option<Category> {
        Self::ALL.into_iter().find(|category| category.name() == name)
    }

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Category::Config => "config",
            Category::Settings => "settings",
            Category::Sessions => "sessions",
            Category::Memory => "memory",
            Category::Skills => "skills",
            Category::History => "history",
            Category::Secrets => "secrets",
            Category::Workspace => "workspace",
            Category::Cache => "cache",
            Category::Other => "other",
        }
    }
}

/// A file's time: seconds since 1970 (may be negative) and nanoseconds (0 to 999,999,999).
///
/// Two numbers, because file systems go beyond what 64 bits of nanoseconds can hold.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct FileTime(pub i64, pub u32);

/// A directory's content.
#[derive(Debug, Clone, PartialEq)]
pub enum Subtree {
    /// A tree blob.
    Blob(BlobId),
    /// The nodes themselves, when they take at most 4 KiB encoded.
    Inline(Vec<Node>),
}

impl Default for Subtree {
    fn default() -> Self {
        Subtree::Inline(Vec::new())
    }
}

impl Serialize for Subtree {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Subtree::Blob(id) => id.serialize(serializer),
            Subtree::Inline(nodes) => nodes.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Subtree {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Subtree;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a blob id or a list of nodes")
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Subtree, E> {
                BlobId::from_slice(bytes)
                    .map(Subtree::Blob)
                    .ok_or_else(|| E::invalid_length(bytes.len(), &self))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut sequence: A,
            ) -> Result<Subtree, A::Error> {
                let mut nodes = Vec::new();
                while let Some(node) = sequence.next_element()? {
                    nodes.push(node);
                }
                Ok(Subtree::Inline(nodes))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

cbor_map! {
    /// One entry of a directory.
    pub struct Node {
        /// The name: bytes, as the system has them.
        "n" => name: Bytes,
        /// What it is.
        "t" => kind: NodeKind,
        /// Permission bits, 0 to 0o7777.
        "m" => mode: u32,
        /// Owner.
        "u" => uid: u32,
        /// Group.
        "g" => gid: u32,
        /// The owner's name, if it was known.
        "U" => user: Option<Box<str>>,
        /// The group's name, if it was known.
        "G" => group: Option<Box<str>>,
        /// Time of the last modification.
        "s" => mtime: FileTime,
        /// Size of a file in bytes.
        "z" => size: u64,
        /// A file's content, up to 1 KiB, in place of blobs.
        "i" => inline: Bytes,
        /// A file's content: the data blobs in order, at most 8.
        "b" => blobs: Ids<BlobId>,
        /// A file's content: the list segments in order, each a blob of up to 4,096 data blob ids.
        "l" => segments: Ids<BlobId>,
        /// A directory's content.
        "d" => subtree: Subtree,
        /// Where a symbolic link points.
        "y" => target: Bytes,
        /// Names of one file share this number, which is never 0; each carries the content.
        "h" => hard_link: u64,
        /// Major and minor number of a device.
        "r" => device: Option<(u32, u32)>,
        /// Extended attributes in ascending order of their names.
        "x" => xattrs: Vec<(Bytes, Bytes)>,
        /// Whether the file had holes; runs of zeros are then restored as holes.
        "o" => sparse: bool,
        /// What an agent's file is: the number of a [`Category`], or 0.
        "k" => category: u64,
        /// Since when (nanoseconds, UTC) the item is no longer there; it is kept all the same.
        "a" => absent_since: Option<i64>,
        /// How a database was read: 1 consistent, 2 raw and perhaps torn; 0 for other files.
        "q" => capture: u64,
    }
}

impl Node {
    /// Checks what the types alone don't: name rules, and that fields fit the kind.
    ///
    /// `named` is false for a snapshot's root `/`, the only node without a name.
    pub fn validate(&self, named: bool) -> Result<(), DecodeError> {
        if named || !self.name.is_empty() {
            validate_name(&self.name)?;
        }
        let forms = usize::from(!self.inline.is_empty())
            .saturating_add(usize::from(!self.blobs.is_empty()))
            .saturating_add(usize::from(!self.segments.is_empty()));
        let is_file = self.kind == NodeKind::File;
        let is_dir = self.kind == NodeKind::Directory;
        let is_device = matches!(self.kind, NodeKind::CharDevice | NodeKind::BlockDevice);
        if forms > 1
            || (!is_file && (forms > 0 || self.size != 0 || self.sparse))
            || (!is_dir && self.subtree != Subtree::default())
            || (is_dir && self.hard_link != 0)
            || matches!(self.kind, NodeKind::Symlink | NodeKind::Reference)
                == self.target.is_empty()
            || is_device != self.device.is_some()
            || (is_file && (forms == 0) != (self.size == 0))
            || (!self.inline.is_empty() && self.inline.len() as u64 != self.size)
        {
            return Err(DecodeError::Inconsistent("node"));
        }
        if self.inline.len() > LIMITS.inline_content
            || self.blobs.len() > LIMITS.node_blobs
            || self.target.len() > LIMITS.name_length
        {
            return Err(DecodeError::TooLong { what: "node content" });
        }
        if self.mode > 0o7777 || self.mtime.1 > 999_999_999 {
            return Err(DecodeError::Inconsistent("node"));
        }
        // No system call takes these, and one that stops at the NUL would take another.
        let has_nul = |bytes: &[u8]| bytes.contains(&0);
        if has_nul(&self.target)
            || self.xattrs.iter().any(|(name, _)| name.is_empty() || has_nul(name))
        {
            return Err(DecodeError::BadName);
        }
        ascending_keys(&self.xattrs)?;
        if let Subtree::Inline(nodes) = &self.subtree {
            validate_nodes(nodes)?;
        }
        Ok(())
    }
}

/// Checks one name: 1 to 4,096 bytes, without `/` and NUL, neither `.` nor `..`.
pub fn validate_name(name: &[u8]) -> Result<(), DecodeError> {
    let forbidden = name.is_empty()
        || name == b"."
        || name == b".."
        || name.iter().any(|&byte| byte == b'/' || byte == 0);
    if forbidden {
        Err(DecodeError::BadName)
    } else if name.len() > LIMITS.name_length {
        Err(DecodeError::TooLong { what: "name" })
    } else {
        Ok(())
    }
}

/// Checks that the keys of `items` ascend, so that none is there twice.
pub(super) fn ascending_keys<T>(items: &[(Bytes, T)]) -> Result<(), DecodeError> {
    if items.is_sorted_by(|a, b| a.0 < b.0) { Ok(()) } else { Err(DecodeError::Order) }
}

fn validate_nodes(nodes: &[Node]) -> Result<(), DecodeError> {
    for node in nodes {
        node.validate(true)?;
    }
    let ascending = nodes.windows(2).all(|pair| match pair {
        [a, b] => a.name < b.name,
        _ => true,
    });
    if ascending { Ok(()) } else { Err(DecodeError::Order) }
}

/// One entry of a tree blob that refers to further tree blobs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part(
    /// The first name that lies in the part.
    pub Bytes,
    /// The part's tree blob.
    pub BlobId,
);

/// A tree blob's content.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree {
    /// Nodes in ascending order of names.
    Nodes(Vec<Node>),
    /// References in ascending order of first names.
    Parts(Vec<Part>),
}

#[derive(Serialize, Deserialize)]
struct Wire<T>(u64, T);

impl Tree {
    /// Returns the blob's bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Tree::Nodes(nodes) => encode_nodes(nodes),
            Tree::Parts(parts) => cbor::encode(&Wire(1, parts)),
        }
    }

    /// Reads and checks a blob's bytes. Any cut between parts is accepted.
    pub fn decode(bytes: &[u8]) -> Result<Tree, DecodeError> {
        // An array of two, whose first item says what the second holds. A list of parts may
        // refer to further lists of parts, which have the same number.
        match bytes.get(..2) {
            Some([0x82, 0]) => {
                let Wire(_, nodes) = cbor::decode::<Wire<Vec<Node>>>(bytes)?;
                validate_nodes(&nodes)?;
                Ok(Tree::Nodes(nodes))
            }
            Some([0x82, 1]) => {
                let Wire(_, parts) = cbor::decode::<Wire<Vec<Part>>>(bytes)?;
                if parts.is_empty() {
                    return Err(DecodeError::Inconsistent("tree"));
                }
                for part in &parts {
                    validate_name(&part.0)?;
                }
                let ascending = parts.windows(2).all(|pair| match pair {
                    [a, b] => a.0 < b.0,
                    _ => true,
                });
                if ascending { Ok(Tree::Parts(parts)) } else { Err(DecodeError::Order) }
            }
            Some(_) => Err(DecodeError::Unknown("tree form")),
            None => Err(DecodeError::Cut),
        }
    }
}

/// Returns the bytes of a tree blob that holds `nodes`.
pub fn encode_nodes(nodes: &[Node]) -> Vec<u8> {
    cbor::encode(&Wire(0, nodes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> Node {
        Node {
            name: name.as_bytes().into(),
            mode: 0o644,
            mtime: FileTime(-5, 7),
            size: 3,
            inline: b"abc".as_slice().into(),
            ..Node::default()
        }
    }

    fn dir(name: &str, nodes: Vec<Node>) -> Node {
        Node {
            name: name.as_bytes().into(),
            kind: NodeKind::Directory,
            subtree: Subtree::Inline(nodes),
            ..Node::default()
        }
    }

    #[test]
    fn trees_come_back_as_they_were() {
        let trees = [
            Tree::Nodes(vec![]),
            Tree::Nodes(vec![dir("a", vec![file("x"), file("y")]), file("b")]),
            Tree::Parts(vec![Part(b"a".as_slice().into(), BlobId([3; 32]))]),
        ];
        for tree in trees {
            assert_eq!(Tree::decode(&tree.encode()), Ok(tree));
        }
    }

    #[test]
    fn names_that_could_leave_the_target_are_refused_at_any_depth() {
        for name in ["", ".", "..", "a/b", "a\0"] {
            let tree = Tree::Nodes(vec![dir("d", vec![file(name)])]);
            assert_eq!(Tree::decode(&tree.encode()), Err(DecodeError::BadName), "{name:?}");
        }
    }

    #[test]
    fn order_and_doubles_are_refused() {
        for names in [["b", "a"], ["a", "a"]] {
            let tree = Tree::Nodes(names.map(file).to_vec());
            assert_eq!(Tree::decode(&tree.encode()), Err(DecodeError::Order));
        }
    }

    #[test]
    fn attributes_ascend_and_their_names_can_be_given_to_a_system() {
        let tree = |names: &[&[u8]]| {
            let mut node = file("a");
            node.xattrs = names.iter().map(|&name| (name.into(), Bytes::default())).collect();
            Tree::decode(&encode_nodes(&[node]))
        };
        assert!(tree(&[b"user.a", b"user.b"]).is_ok());
        assert_eq!(tree(&[b"user.b", b"user.a"]), Err(DecodeError::Order));
        assert_eq!(tree(&[b"user.a", b"user.a"]), Err(DecodeError::Order));
        assert_eq!(tree(&[b""]), Err(DecodeError::BadName));
        assert_eq!(tree(&[b"user.a\0"]), Err(DecodeError::BadName));
    }

    #[test]
    fn fields_of_another_kind_are_refused() {
        let mut link = file("l");
        link.kind = NodeKind::Symlink;
        let mut short = file("s");
        short.size = 4;
        let mut empty = file("e");
        (empty.size, empty.inline) = (0, Bytes::default());
        empty.blobs = Ids(vec![BlobId([1; 32])]);
        let mut linked = dir("d", vec![]);
        linked.hard_link = 1;
        for node in [link, short, empty, linked] {
            let tree = Tree::Nodes(vec![node]);
            assert_eq!(Tree::decode(&tree.encode()), Err(DecodeError::Inconsistent("node")));
        }
    }
}
