//! The repository's objects as values: pure, bounded decoding and encoding (`format-spec/`).
//!
//! No input or output, no time, no keys. Everything here is fuzzed.

pub mod cbor;
pub mod key;
pub mod object;
pub mod pack;
pub mod record;
pub mod session;
pub mod tree;

/// What a reader accepts before it allocates. The numbers are the format's (`format-spec/1-objects.md`).
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A stored object, in bytes.
    pub object: usize,
    /// A blob's plaintext, in bytes.
    pub blob: usize,
    /// A unit's plaintext, in bytes.
    pub unit: usize,
    /// Blobs in one pack.
    pub pack_blobs: usize,
    /// A record's or segment's body after decompression, in bytes.
    pub record: usize,
    /// Deltas one upon another.
    pub delta_depth: u64,
    /// Bases of one delta.
    pub delta_bases: usize,
    /// Units that are opened to read one blob: deltas of several bases branch.
    pub delta_units: u32,
    /// The plaintexts of one delta's bases together, in bytes.
    pub delta_prefix: usize,
    /// Nesting of CBOR arrays and maps.
    pub cbor_depth: usize,
    /// Maps in one encoding, at any depth. A map of one byte becomes a struct of hundreds, so that
    /// the length of the encoding alone bounds no memory.
    pub cbor_maps: usize,
    /// Items of any type in one encoding, at any depth.
    pub cbor_items: usize,
    /// A name or a link's target, in bytes.
    pub name_length: usize,
    /// Directories within directories.
    pub tree_depth: usize,
    /// Content held in a node, in bytes.
    pub inline_content: usize,
    /// Data blobs named by a node itself.
    pub node_blobs: usize,
    /// Data blob ids in one list segment.
    pub segment_blobs: usize,
    /// Nodes or references in one part of a directory.
    pub part_items: usize,
    /// Where a writer ends a part of a directory at the latest, in bytes of its encoding.
    pub part_bytes: usize,
    /// A directory that is held in its own node, encoded, in bytes.
    pub inline_subtree: usize,
    /// Directories held in nodes, one in another.
    pub inline_nesting: usize,
    /// Units held in a record, stored, in bytes.
    pub inline_units: usize,
    /// The repository's header, a key slot or a grant as stored, in bytes. They are read before
    /// anything vouches for them.
    pub key_object: usize,
    /// Key slots of a repository.
    pub key_slots: usize,
    /// Grants of a repository.
    pub grants: usize,
    /// Epochs beside epoch 0.
    pub epochs: usize,
    /// Argon2's memory in KiB.
    pub kdf_memory: u32,
    /// Argon2's passes.
    pub kdf_passes: u32,
    /// Argon2's lanes.
    pub kdf_lanes: u32,
}

/// The limits of format version 1.
pub const LIMITS: Limits = Limits {
    object: 64 << 20,
    blob: 8 << 20,
    unit: 16 << 20,
    pack_blobs: 65_536,
    record: 16 << 20,
    delta_depth: 64,
    delta_bases: 8,
    delta_units: 1_024,
    delta_prefix: 8 << 20,
    cbor_depth: 32,
    cbor_maps: 1 << 18,
    cbor_items: 1 << 22,
    name_length: 4_096,
    tree_depth: 4_096,
    inline_content: 1_024,
    node_blobs: 8,
    segment_blobs: 4_096,
    part_items: 2_048,
    part_bytes: 1 << 20,
    inline_subtree: 4_096,
    inline_nesting: 8,
    inline_units: 256 << 10,
    key_object: 64 << 10,
    key_slots: 64,
    grants: 256,
    epochs: 1_024,
    kdf_memory: 4 << 20,
    kdf_passes: 32,
    kdf_lanes: 16,
};

/// Why bytes are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end too early, or a count promises more than there is.
    #[error("cut short")]
    Cut,
    /// Bytes follow where none should.
    #[error("trailing bytes")]
    TrailingBytes,
    /// The same value has a shorter or other required form.
    #[error("not in canonical form")]
    NotCanonical,
    /// Nested deeper than allowed.
    #[error("nested deeper than {limit}")]
    TooDeep {
        /// The bound.
        limit: usize,
    },
    /// Larger than allowed.
    #[error("{what} is larger than allowed")]
    TooLong {
        /// What is too large.
        what: &'static str,
    },
    /// A name that no directory entry may have.
    #[error("forbidden name")]
    BadName,
    /// Items are not in ascending order, or one is there twice.
    #[error("items out of order")]
    Order,
    /// Fields contradict each other.
    #[error("{0} contradicts itself")]
    Inconsistent(&'static str),
    /// A number that this version gives no meaning.
    #[error("unknown {0}")]
    Unknown(&'static str),
    /// The object starts with other bytes than it should.
    #[error("not an object of this kind")]
    BadMagic,
    /// A newer format.
    #[error("format version {0} is newer than this program reads")]
    Version(u8),
    /// A feature that a reader must know.
    #[error("needs features that this program does not know ({0:#x})")]
    Features(u32),
    /// No value of the expected shape.
    #[error("malformed: {0}")]
    Malformed(String),
}
