//! What git keeps, as plain values: ids, trees and commits, to bytes and back.

use std::fmt;

use bytes::Bytes;
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

use crate::id::{from_hex, to_hex};

/// The mode of a plain file.
pub(super) const FILE: u32 = 0o100_644;
/// The mode of a directory.
pub(super) const DIRECTORY: u32 = 0o40_000;
/// The mode of another repository's commit, which is no object of this one.
pub(super) const FOREIGN_COMMIT: u32 = 0o160_000;

/// What git calls an object: the SHA-1 of its kind, length and bytes. It only finds things; what is
/// found is authenticated above this room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Oid(pub(super) [u8; 20]);

impl Oid {
    pub(super) fn parse(text: &str) -> Option<Oid> {
        from_hex(text).map(Oid)
    }

    pub(super) fn from_slice(bytes: &[u8]) -> Option<Oid> {
        bytes.try_into().ok().map(Oid)
    }

    /// Returns how the protocol writes an id, or that there is none.
    pub(super) fn text_of(oid: Option<Oid>) -> String {
        oid.unwrap_or(Oid([0; 20])).to_string()
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

/// What an object is; the numbers are those of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Commit = 1,
    Tree = 2,
    Blob = 3,
    Tag = 4,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Kind::Commit => "commit",
            Kind::Tree => "tree",
            Kind::Blob => "blob",
            Kind::Tag => "tag",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Kind> {
        [Kind::Commit, Kind::Tree, Kind::Blob, Kind::Tag].into_iter().find(|it| it.word() == word)
    }
}

/// An object that is about to be sent.
#[derive(Debug, Clone)]
pub(super) struct NewObject {
    pub(super) oid: Oid,
    pub(super) kind: Kind,
    pub(super) parts: Vec<Bytes>,
}

impl NewObject {
    pub(super) fn new(kind: Kind, parts: Vec<Bytes>) -> NewObject {
        NewObject { oid: oid_of(kind, &parts), kind, parts }
    }

    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }
}

/// Returns the id of an object.
pub(super) fn oid_of(kind: Kind, parts: &[impl AsRef<[u8]>]) -> Oid {
    let length: usize = parts.iter().map(|part| part.as_ref().len()).sum();
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    context.update(format!("{} {length}\0", kind.word()).as_bytes());
    for part in parts {
        context.update(part.as_ref());
    }
    finish(context)
}

/// Ends a SHA-1.
pub(super) fn finish(context: Context) -> Oid {
    Oid::from_slice(context.finish().as_ref()).unwrap_or(Oid([0; 20]))
}

/// One row of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TreeRow {
    pub(super) mode: u32,
    pub(super) name: String,
    pub(super) oid: Oid,
}

/// Reads a tree. `None` if it is cut, or a name is no text: no object of ours has such a one.
pub(super) fn read_tree(mut bytes: &[u8]) -> Option<Vec<TreeRow>> {
    let mut rows = Vec::new();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|byte| *byte == b' ')?;
        let (mode, rest) = (bytes.get(..space)?, bytes.get(space + 1..)?);
        let end = rest.iter().position(|byte| *byte == 0)?;
        let name = std::str::from_utf8(rest.get(..end)?).ok()?;
        let oid = Oid::from_slice(rest.get(end + 1..end + 21)?)?;
        let mode = u32::from_str_radix(std::str::from_utf8(mode).ok()?, 8).ok()?;
        if name.is_empty() || name.contains('/') {
            return None;
        }
        rows.push(TreeRow { mode, name: name.to_owned(), oid });
        bytes = rest.get(end + 21..)?;
    }
    Some(rows)
}

/// Returns the bytes of a tree.
pub(super) fn write_tree(mut rows: Vec<TreeRow>) -> Bytes {
    // A directory is sorted as if its name ended in a slash.
    let key = |row: &TreeRow| match row.mode {
        DIRECTORY => format!("{}/", row.name),
        _ => row.name.clone(),
    };
    rows.sort_by_cached_key(key);
    let mut bytes = Vec::with_capacity(rows.len() * 64);
    for row in rows {
        bytes.extend_from_slice(format!("{:o} {}\0", row.mode, row.name).as_bytes());
        bytes.extend_from_slice(&row.oid.0);
    }
    bytes.into()
}

/// Who makes our commits.
const WHO: &str = "stash <stash@localhost>";

/// Returns a commit without parents: no history is kept, so what is deleted is really gone.
pub(super) fn write_commit(tree: Oid, seconds: i64) -> Bytes {
    let who = format!("{WHO} {seconds} +0000");
    format!("tree {tree}\nauthor {who}\ncommitter {who}\n\nstash\n").into()
}

/// Tells whether a commit is one of ours.
pub(super) fn is_own_commit(bytes: &[u8]) -> bool {
    String::from_utf8_lossy(bytes).contains(&format!("\ncommitter {WHO} "))
}

/// Tells whether a commit has a history.
pub(super) fn has_parent(bytes: &[u8]) -> bool {
    bytes.get(45..).is_some_and(|rest| rest.starts_with(b"\nparent "))
}

/// Returns the tree of a commit.
pub(super) fn tree_of_commit(bytes: &[u8]) -> Option<Oid> {
    let text = bytes.strip_prefix(b"tree ")?.get(..40)?;
    Oid::parse(std::str::from_utf8(text).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_that_git_gives() {
        let of = |kind, bytes: &[u8]| oid_of(kind, &[bytes]).to_string();
        assert_eq!(of(Kind::Blob, b""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
        assert_eq!(of(Kind::Blob, b"hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a");
        assert_eq!(of(Kind::Tree, b""), "4b825dc642cb6eb9a060e54bf8d69288fbee4904");
    }

    #[test]
    fn a_tree_comes_back_in_the_order_of_git() {
        let row = |mode, name: &str| TreeRow { mode, name: name.into(), oid: Oid([7; 20]) };
        let rows = vec![row(FILE, "a0"), row(DIRECTORY, "a"), row(FILE, "a.b"), row(FILE, "B")];
        let bytes = write_tree(rows);
        let names: Vec<String> =
            read_tree(&bytes).unwrap().into_iter().map(|row| row.name).collect();
        assert_eq!(names, ["B", "a.b", "a", "a0"]);
        assert!(read_tree(&bytes[..bytes.len() - 1]).is_none());
        let commit = write_commit(Oid([9; 20]), 5);
        assert_eq!(tree_of_commit(&commit), Some(Oid([9; 20])));
        assert!(is_own_commit(&commit) && !has_parent(&commit));
        let theirs =
            format!("tree {0}\nparent {0}\ncommitter me <me@host> 1 +0000\n", Oid([9; 20]));
        assert!(!is_own_commit(theirs.as_bytes()) && has_parent(theirs.as_bytes()));
    }
}
