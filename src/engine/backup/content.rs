//! Content into blobs: batches of chunks, hashed, claimed, compressed by workers.
//!
//! The producer reads and cuts; a [`Batch`] is one buffer of about 1 MiB with its cut points. A
//! worker hashes the chunks, claims them, and collects the new ones in a unit of its own; what it
//! found goes to the assembler. Buffers go round: no memory is taken for a batch once all are made.

use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender};

use super::difference::DifferenceWriter;
use super::message::{Batch, Chunk, HashedChunk, Message};
use super::metadata::{Sums, UnitWriter};
use crate::codec::Compression;
use crate::codec::crypto::RepositoryKeys;
use crate::error::Result;
use crate::event::Counters;
use crate::format::pack::BlobKind;
use crate::id::BlobId;
use crate::repository::Repository;
use crate::repository::container::PlainUnit;
use crate::repository::index::{Claim, Index};
use crate::repository::packer::Packer;
use crate::repository::page_memory::PageMemory;

/// The size of a batch's buffer in bytes: a full window for the chunker, and a batch before it.
pub(super) const BUFFER_BYTES: usize = 2 << 20;
/// A batch is sent when its chunks reach this, in bytes.
pub(super) const BATCH_BYTES: usize = 1 << 20;

/// What the workers share.
pub(super) struct WorkerContext<'a> {
    pub(super) repository: &'a Repository,
    pub(super) keys: &'a RepositoryKeys,
    pub(super) index: &'a Index,
    pub(super) packer: &'a Packer,
    pub(super) counters: &'a Counters,
    pub(super) poisoned: &'a AtomicBool,
    pub(super) compression: Compression,
    /// Whether all that the parent refers to stands.
    pub(super) parent_stands: bool,
}

/// A worker: runs until the channel of batches ends.
pub(super) fn work(
    context: &WorkerContext<'_>,
    batches: &Receiver<Batch>,
    buffers: &Sender<Vec<u8>>,
    messages: &Sender<Message>,
) -> Result<Sums> {
    let result = work_on(context, batches, buffers, messages);
    if result.is_err() {
        context.poisoned.store(true, Ordering::Release);
    }
    result
}

/// Returns a new chunk as a difference of what the parent has, if that pays.
fn difference(
    writer: &mut DifferenceWriter<'_>,
    chunk: &Chunk,
    id: &BlobId,
    plain: &[u8],
) -> Result<Option<PlainUnit>> {
    let kind = BlobKind::Data;
    // Once pages are known to have moved, what lies in the same place tells nothing.
    let known = chunk.pages.as_ref().map_or_else(Vec::new, |pages| pages.find(plain));
    if !known.is_empty() {
        return writer.encode_moved(kind, id, plain, &known);
    }
    let Some(base) = &chunk.before else { return Ok(None) };
    if let Some(unit) = writer.encode(kind, id, plain, base, chunk.pages.is_some())? {
        return Ok(Some(unit));
    }
    let Some(pages) = &chunk.pages else { return Ok(None) };
    let moved = pages.find_moved(plain, writer.reader());
    writer.encode_moved(kind, id, plain, &moved)
}

/// Returns a new chunk as a patch of the parent's, if its pages are remembered and that pays; then
/// remembers the chunk's own.
fn remembered(
    writer: &mut DifferenceWriter<'_>,
    keys: &RepositoryKeys,
    memory: &PageMemory,
    chunk: &Chunk,
    id: &BlobId,
    plain: &[u8],
    is_new: bool,
) -> Result<Option<PlainUnit>> {
    let values = keys.page_values(plain);
    let mut unit = None;
    if is_new {
        // With the old bytes at hand the difference is smaller.
        unit = difference(writer, chunk, id, plain)?;
    }
    if let Some(base) = chunk.before.as_ref().filter(|_| is_new && unit.is_none()) {
        let before = memory.row(chunk.number);
        unit = writer.encode_remembered(id, plain, base, &before, &values)?;
    }
    memory.remember(chunk.number, &values);
    Ok(unit)
}

fn work_on(
    context: &WorkerContext<'_>,
    batches: &Receiver<Batch>,
    buffers: &Sender<Vec<u8>>,
    messages: &Sender<Message>,
) -> Result<Sums> {
    let mut units = UnitWriter::new(BlobKind::Data, context.packer, context.compression)?;
    let mut differences = DifferenceWriter::new(context.repository)?;
    for batch in batches {
        if context.poisoned.load(Ordering::Acquire) {
            break;
        }
        let mut hashed = Vec::with_capacity(batch.chunks.len());
        let mut bytes = 0_u64;
        for chunk in &batch.chunks {
            let plain = batch.buffer.get(chunk.range.clone()).unwrap_or_default();
            let id = context.keys.blob_id(BlobKind::Data, plain);
            let is_as_before = context.parent_stands && chunk.before == Some(id);
            if !is_as_before {
                let is_new = context.index.claim(&id)? == Claim::New;
                let difference = match &chunk.memory {
                    Some(memory) => remembered(
                        &mut differences,
                        context.keys,
                        memory,
                        chunk,
                        &id,
                        plain,
                        is_new,
                    )?,
                    None if is_new => difference(&mut differences, chunk, &id, plain)?,
                    None => None,
                };
                match difference {
                    Some(unit) => units.add_unit(unit)?,
                    None if is_new => units.add(id, plain)?,
                    None => {}
                }
            }
            bytes = bytes.saturating_add(plain.len() as u64);
            hashed.push(HashedChunk { file: chunk.file, number: chunk.number, id });
        }
        Counters::add(&context.counters.done_bytes, bytes);
        // Either end may be gone after a failure, which is reported elsewhere.
        let _returned = buffers.try_send(batch.buffer);
        if messages.send(Message::Hashed(hashed)).is_err() {
            break;
        }
    }
    units.flush()?;
    Ok((units.raw_bytes, units.stored_bytes, units.blob_count))
}
