//! The generated set of vectors, a file for each page: one row for each promise.

#[path = "chunking.rs"]
pub mod chunking;
#[path = "delta.rs"]
pub mod delta;
#[path = "keys.rs"]
pub mod keys;
#[path = "objects.rs"]
pub mod objects;
#[path = "pack.rs"]
pub mod pack;
#[path = "record.rs"]
pub mod record;
#[path = "tree.rs"]
pub mod tree;

use crate::judge::Vector;
use crate::open::vector_keys;
use stash::format::cbor::{self, Ids};
use stash::format::pack::{BlobKind, PackTable, UnitEntry};
use stash::format::tree::{FileTime, Node};
use stash::id::BlobId;

/// A vector and where it goes.
pub struct Made {
    /// The folder.
    pub page: &'static str,
    /// The file, without its ending.
    pub name: &'static str,
    /// What it holds; the result is added when it is written.
    pub vector: Vector,
}

pub struct Set {
    page: &'static str,
    kind: &'static str,
    inputs: Vec<(&'static str, String)>,
    made: Vec<Made>,
}

impl Set {
    pub fn page(&mut self, page: &'static str) {
        self.page = page;
    }

    pub fn kind(&mut self, kind: &'static str, inputs: &[(&'static str, &str)]) {
        self.kind = kind;
        self.inputs = inputs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    }

    pub fn add(&mut self, name: &'static str, expect: &str, why: &str, bytes: impl Into<Vec<u8>>) {
        let mut head = vec![
            ("why".to_owned(), why.to_owned()),
            ("kind".to_owned(), self.kind.to_owned()),
            ("expect".to_owned(), expect.to_owned()),
        ];
        head.extend(self.inputs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let vector = Vector { head, bytes: bytes.into() };
        self.made.push(Made { page: self.page, name, vector });
    }
}

/// Returns the whole set.
pub fn all() -> Vec<Made> {
    let mut set = Set { page: "", kind: "", inputs: Vec::new(), made: Vec::new() };
    objects::objects(&mut set);
    objects::structures(&mut set);
    objects::ids(&mut set);
    keys::keys(&mut set);
    keys::slots(&mut set);
    keys::grants(&mut set);
    chunking::chunking(&mut set);
    pack::tables(&mut set);
    pack::units(&mut set);
    pack::packs(&mut set);
    delta::deltas(&mut set);
    delta::patches(&mut set);
    tree::trees(&mut set);
    record::snapshots(&mut set);
    record::records(&mut set);
    record::attachments(&mut set);
    set.made
}

pub fn with(bytes: &[u8], place: usize, byte: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[place] = byte;
    bytes
}

pub fn flipped(bytes: &[u8], place: usize) -> Vec<u8> {
    with(bytes, place, bytes[place] ^ 1)
}

pub fn cut(bytes: &[u8], by: usize) -> Vec<u8> {
    bytes[..bytes.len() - by].to_vec()
}

pub fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// A zstd frame of one raw block: the same whatever the version of zstd.
pub fn raw_frame(plain: &[u8]) -> Vec<u8> {
    let size = u32::try_from(plain.len()).unwrap();
    let block = (size << 3 | 1).to_le_bytes();
    join(&[&[0x28, 0xb5, 0x2f, 0xfd, 0xa0], &size.to_le_bytes(), &block[..3], plain])
}

/// The same with a window in its header in place of a length.
pub fn windowed_frame(window: u8, plain: &[u8]) -> Vec<u8> {
    let size = u32::try_from(plain.len()).unwrap();
    let block = (size << 3 | 1).to_le_bytes();
    join(&[&[0x28, 0xb5, 0x2f, 0xfd, 0, window], &block[..3], plain])
}

/// A frame of one block of a repeated byte.
pub fn run_frame(byte: u8, size: u32) -> Vec<u8> {
    let block = (size << 3 | 3).to_le_bytes();
    join(&[&[0x28, 0xb5, 0x2f, 0xfd, 0xa0], &size.to_le_bytes(), &block[..3], &[byte]])
}

pub fn blob(kind: BlobKind, plain: &[u8]) -> BlobId {
    vector_keys().blob_id(kind, plain)
}

pub fn unit(form: u64, kind: BlobKind, blobs: &[&[u8]], stored: usize) -> UnitEntry {
    UnitEntry {
        kind: kind as u64,
        form,
        stored_length: stored as u64 + 16,
        raw_lengths: blobs.iter().map(|plain| plain.len() as u64).collect(),
        blobs: Ids(blobs.iter().map(|plain| blob(kind, plain)).collect()),
        ..UnitEntry::default()
    }
}

pub fn table(units: &[UnitEntry]) -> Vec<u8> {
    cbor::encode(&PackTable { units: units.to_vec(), ..PackTable::default() })
}

pub fn file(name: &str) -> Node {
    Node {
        name: name.as_bytes().into(),
        mode: 0o644,
        mtime: FileTime(1_700_000_000, 5),
        size: 3,
        inline: b"abc".as_slice().into(),
        ..Node::default()
    }
}
