//! Items of snapshots, as JSON.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::cli::name;
use crate::format::tree::{FileTime, Node, NodeKind, Subtree};
use crate::id::BlobId;

/// `node`: one item; its `name` and `path` are put in by [`node`].
#[derive(Debug, Clone, Serialize)]
pub struct NodeRow {
    /// Names, and what only some kinds have.
    #[serde(flatten)]
    pub names: Map<String, Value>,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// A file's size in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Permission bits.
    pub mode: u32,
    /// The same with the kind, as `ls -l` shows it.
    pub permissions: String,
    /// Time of the last modification.
    pub mtime: String,
}

/// Returns an item for JSON.
pub fn node(path: &[u8], node: &Node) -> NodeRow {
    let mut names = Map::new();
    name::insert(&mut names, "name", &node.name);
    name::insert(&mut names, "path", path);
    if !node.target.is_empty() {
        name::insert(&mut names, "linktarget", &node.target);
    }
    for (field, value) in [("user", &node.user), ("group", &node.group)] {
        if let Some(value) = value {
            names.insert(field.to_owned(), value.to_string().into());
        }
    }
    NodeRow {
        names,
        kind: node.kind.name(),
        uid: node.uid,
        gid: node.gid,
        size: (node.kind == NodeKind::File).then_some(node.size),
        mode: node.mode,
        permissions: permissions(node),
        mtime: file_time(node.mtime),
    }
}

/// Returns a file's time as RFC 3339 in UTC, to the nanosecond; what lies outside of its years as
/// seconds and nanoseconds.
pub fn file_time(time: FileTime) -> String {
    let nanoseconds = i32::try_from(time.1).unwrap_or(0);
    jiff::Timestamp::new(time.0, nanoseconds)
        .map_or_else(|_| format!("{} s {} ns", time.0, time.1), |moment| moment.to_string())
}

/// Returns kind and permissions as `ls -l` shows them.
pub fn permissions(node: &Node) -> String {
    let mut text = String::from(match node.kind {
        NodeKind::File => "-",
        NodeKind::Directory => "d",
        NodeKind::Symlink => "l",
        NodeKind::Fifo => "p",
        NodeKind::CharDevice => "c",
        NodeKind::BlockDevice => "b",
        NodeKind::Socket => "s",
        NodeKind::Reference => "@",
    });
    for (shift, special, marks) in [(6, 0o4000, "sS"), (3, 0o2000, "sS"), (0, 0o1000, "tT")] {
        let bits = node.mode >> shift & 7;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        let mut marks = marks.chars();
        let (both, alone) = (marks.next().unwrap_or('s'), marks.next().unwrap_or('S'));
        text.push(match (node.mode & special != 0, bits & 1 != 0) {
            (true, true) => both,
            (true, false) => alone,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// Returns a node's content for `cat tree`: the row, and where the content is.
pub fn node_with_content(node: &Node) -> Value {
    let mut value = serde_json::to_value(self::node(&node.name, node)).unwrap_or_default();
    let Some(map) = value.as_object_mut() else { return value };
    map.remove("path");
    map.remove("path_b64");
    let ids = |ids: &[BlobId]| Value::Array(ids.iter().map(|id| id.to_string().into()).collect());
    if !node.inline.is_empty() {
        map.insert("inline_b64".to_owned(), name::base64(&node.inline).into());
    }
    if !node.blobs.is_empty() {
        map.insert("content".to_owned(), ids(&node.blobs.0));
    }
    if !node.segments.is_empty() {
        map.insert("content_lists".to_owned(), ids(&node.segments.0));
    }
    match &node.subtree {
        Subtree::Blob(id) => {
            map.insert("subtree".to_owned(), id.to_string().into());
        }
        Subtree::Inline(nodes) if node.kind == NodeKind::Directory => {
            map.insert("nodes".to_owned(), nodes.iter().map(node_with_content).collect());
        }
        Subtree::Inline(_) => {}
    }
    if node.hard_link != 0 {
        map.insert("hard_link".to_owned(), node.hard_link.into());
    }
    if let Some((major, minor)) = node.device {
        map.insert("device".to_owned(), json!([major, minor]));
    }
    if !node.xattrs.is_empty() {
        let xattrs = node.xattrs.iter().map(|(key, value)| {
            json!({ "name": String::from_utf8_lossy(key), "value_b64": name::base64(value) })
        });
        map.insert("xattrs".to_owned(), xattrs.collect());
    }
    value
}

/// The fields of a node.
pub(super) const NODE: &[(&str, &str)] = &[
    ("name", "its name"),
    ("path", "its path"),
    ("linktarget", "where a link points; absent for others"),
    ("user", "the owner's name, if it was known"),
    ("group", "the group's name, if it was known"),
    ("type", "`file`, `dir`, `symlink`, `fifo`, `chardev`, `dev`, `socket` or `reference`"),
    ("uid", "the owner's number"),
    ("gid", "the group's number"),
    ("size", "a file's size in bytes; absent for others"),
    ("mode", "permission bits"),
    ("permissions", "the same with the type, as `ls -l` shows it"),
    ("mtime", "time of the last modification"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_a_node_is_documented() {
        let item = Node {
            kind: NodeKind::File,
            target: b"x".as_slice().into(),
            user: Some("u".into()),
            group: Some("g".into()),
            ..Node::default()
        };
        let value = serde_json::to_value(node(b"/a", &item)).unwrap();
        let mut fields: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        let mut documented: Vec<&str> = NODE.iter().map(|(field, _)| *field).collect();
        fields.sort_unstable();
        documented.sort_unstable();
        assert_eq!(fields, documented);
    }

    #[test]
    fn permissions_and_times_are_shown_as_others_show_them() {
        let shown = |kind, mode| permissions(&Node { kind, mode, ..Node::default() });
        assert_eq!(shown(NodeKind::File, 0o644), "-rw-r--r--");
        assert_eq!(shown(NodeKind::Directory, 0o1777), "drwxrwxrwt");
        assert_eq!(shown(NodeKind::File, 0o6751), "-rwsr-s--x");
        assert_eq!(shown(NodeKind::File, 0o7000), "---S--S--T");
        assert_eq!(file_time(FileTime(-1, 500_000_000)), "1969-12-31T23:59:59.5Z");
        assert!(file_time(FileTime(i64::MAX, 1)).ends_with("s 1 ns"));
    }
}
