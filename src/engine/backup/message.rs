//! What the threads of a backup hand to one another.

use std::ops::Range;
use std::sync::Arc;

use super::pages::OldPages;
use crate::format::tree::Node;
use crate::id::BlobId;
use crate::repository::page_memory::PageMemory;

/// Which file a chunk belongs to; every attempt at reading a file has a number of its own.
pub(super) type FileNumber = u64;

/// A piece of a batch.
pub(super) struct Chunk {
    pub(super) file: FileNumber,
    pub(super) number: u32,
    pub(super) range: Range<usize>,
    /// What the parent has in its place.
    pub(super) before: Option<BlobId>,
    /// For databases: the pages that the parent has. Content keeps its place when it changes, but
    /// for a `VACUUM`.
    pub(super) pages: Option<Arc<OldPages>>,
    /// For databases in a repository that is far away: what is remembered of their pages.
    pub(super) memory: Option<Arc<PageMemory>>,
}

/// A buffer with its cut points.
pub(super) struct Batch {
    pub(super) buffer: Vec<u8>,
    pub(super) chunks: Vec<Chunk>,
}

/// One chunk's id, on its way to the assembler.
pub(super) struct HashedChunk {
    pub(super) file: FileNumber,
    pub(super) number: u32,
    pub(super) id: BlobId,
}

/// One step of the walk, with what is to be stored for it.
pub(super) enum Item {
    /// A directory begins; its node comes without a subtree. What the parent has in its place
    /// comes too, if that is a blob of its own.
    Enter(Box<Node>, Option<BlobId>),
    /// The directory entered last ends.
    Leave,
    /// A node that is complete; a directory comes with its content.
    Ready(Box<Node>),
    /// A file whose chunks are on their way, and what the parent had in its place.
    Pending(Box<Node>, FileNumber, u32, Option<Box<Node>>),
}

/// What the assembler is sent.
pub(super) enum Message {
    /// The walk's next step.
    Item(Item),
    /// The segments of the list that the parent has in this file's place; comes before its chunks.
    Before(FileNumber, Vec<BlobId>),
    /// Ids of chunks, in any order.
    Hashed(Vec<HashedChunk>),
    /// What was sent of this file counts for nothing.
    Abandon(FileNumber),
}
