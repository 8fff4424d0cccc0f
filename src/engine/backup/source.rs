//! Files into batches: reads, cuts, and hands on. Runs on the thread that walks.
//!
//! A file is read up to the size it had when opened, so one that only grows is saved as the prefix
//! seen. One that changes otherwise while it is read is read again, three times at most.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use super::before::OldContent;
use super::bytes::{Bytes, FileBytes, ImageBytes, StreamBytes, fill};
use super::compare::Old;
use super::content::{BATCH_BYTES, BUFFER_BYTES};
use super::message::{Batch, Chunk, FileNumber, HashedChunk, Message};
use super::pages::OldPages;
use crate::codec::chunker::{Chunker, Cut, DATABASE, MAXIMUM};
use crate::codec::crypto::RepositoryKeys;
use crate::error::{Error, Result};
use crate::event::Counters;
use crate::files::sqlite::{Image, is_database};
use crate::format::LIMITS;
use crate::format::pack::BlobKind;
use crate::id::BlobId;
use crate::repository::page_memory::PageMemory;

/// Items that may follow a batch before it is sent.
const ITEMS_PER_BATCH: usize = 1024;
/// Buffers begin at a multiple of this: the kernel copies to others at a quarter of the speed.
const ALIGNMENT: usize = 64;

/// Where a file's content went.
pub(super) enum Content {
    /// It is so small that it lies in the node.
    Inline(Vec<u8>),
    /// So many chunks of this number are on their way.
    Chunks(FileNumber, u32),
}

/// Content and length of what was read.
pub(super) struct ReadContent {
    pub(super) content: Content,
    pub(super) size: u64,
}

/// Reads and cuts.
pub(super) struct ContentReader<'a> {
    keys: &'a RepositoryKeys,
    chunker: Chunker,
    batches: Sender<Batch>,
    buffers: Receiver<Vec<u8>>,
    messages: Sender<Message>,
    counters: &'a Counters,
    batch: Batch,
    /// Where the buffer's aligned part begins.
    base: usize,
    /// Up to where the buffer is filled with chunks.
    filled: usize,
    batch_bytes: usize,
    waiting_items: usize,
    next_file: FileNumber,
    zeros: Vec<(usize, BlobId)>,
    /// Chunks found to be as the parent has them.
    known: Vec<HashedChunk>,
}

impl<'a> ContentReader<'a> {
    pub(super) fn new(
        keys: &'a RepositoryKeys,
        batches: Sender<Batch>,
        buffers: Receiver<Vec<u8>>,
        messages: Sender<Message>,
        counters: &'a Counters,
    ) -> Self {
        let mut reader = ContentReader {
            keys,
            chunker: Chunker::new(keys.gear_key()),
            batches,
            buffers,
            messages,
            counters,
            batch: Batch { buffer: Vec::new(), chunks: Vec::new() },
            base: 0,
            filled: 0,
            batch_bytes: 0,
            waiting_items: 0,
            next_file: 0,
            zeros: Vec::new(),
            known: Vec::new(),
        };
        reader.new_batch();
        reader
    }

    fn new_batch(&mut self) -> Batch {
        let buffer = self
            .buffers
            .try_recv()
            .unwrap_or_else(|_| vec![0; BUFFER_BYTES.saturating_add(ALIGNMENT)]);
        self.base = buffer.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        self.filled = self.base;
        self.batch_bytes = 0;
        self.waiting_items = 0;
        std::mem::replace(&mut self.batch, Batch { buffer, chunks: Vec::new() })
    }

    /// Sends what has been collected.
    pub(super) fn flush(&mut self) -> Result<()> {
        if self.batch.chunks.is_empty() {
            return Ok(());
        }
        let batch = self.new_batch();
        self.batches.send(batch).map_err(|_| ended())
    }

    /// Counts an item that waits behind the batch under way.
    pub(super) fn item_follows(&mut self) -> Result<()> {
        self.waiting_items = self.waiting_items.saturating_add(1);
        if self.waiting_items > ITEMS_PER_BATCH {
            self.waiting_items = 0;
            self.flush()?;
        }
        Ok(())
    }

    /// Reads an open file of `size` bytes; `sparse` says that it may have holes, and `old` what the
    /// parent has in its place.
    pub(super) fn read_file(
        &mut self,
        file: &File,
        size: u64,
        sparse: bool,
        old: Option<OldContent<'_, '_>>,
    ) -> std::io::Result<Result<ReadContent>> {
        let source = &mut FileBytes::new(file, size, sparse);
        self.read(source, size <= LIMITS.inline_content as u64, Old::new(old, size, sparse))
    }

    /// Reads a database as it was taken; `old` is what the parent has in its place, and
    /// `memory` what is remembered of its pages.
    pub(super) fn read_image(
        &mut self,
        image: &Image,
        old: Option<OldContent<'_, '_>>,
        memory: Option<PageMemory>,
    ) -> std::io::Result<Result<ReadContent>> {
        let size = image.length_bytes();
        let old = Old::new(old, size, false).with_memory(memory);
        self.read(&mut ImageBytes(image), size <= LIMITS.inline_content as u64, old)
    }

    /// Reads a stream to its end.
    pub(super) fn read_stream(
        &mut self,
        stream: &mut dyn Read,
    ) -> std::io::Result<Result<ReadContent>> {
        self.read(&mut StreamBytes(stream), false, Old::default())
    }

    /// The outer error is the source's, the inner one the pipeline's.
    fn read(
        &mut self,
        source: &mut dyn Bytes,
        may_be_inline: bool,
        old: Old<'_, '_>,
    ) -> std::io::Result<Result<ReadContent>> {
        if may_be_inline {
            let mut content = vec![0; LIMITS.inline_content];
            let length = fill(source, 0, &mut content)?;
            content.truncate(length);
            let size = length as u64;
            Counters::add(&self.counters.done_bytes, size);
            return Ok(Ok(ReadContent { content: Content::Inline(content), size }));
        }
        let file = self.next_file;
        self.next_file = self.next_file.saturating_add(1);
        if let Some(segments) = old.content.as_ref().map(OldContent::segments)
            && !segments.is_empty()
            && self.messages.send(Message::Before(file, segments)).is_err()
        {
            return Ok(Err(ended()));
        }
        let mut run = FileRun { file, number: 0, offset: 0, cut: Cut::Content, old, pages: None };
        match self.read_chunks(source, &mut run) {
            Ok(result) => Ok(result.map(|()| ReadContent {
                content: Content::Chunks(file, run.number),
                size: run.offset,
            })),
            Err(error) => {
                self.abandon(file);
                Err(error)
            }
        }
    }

    /// Says that what was sent of a file counts for nothing.
    pub(super) fn abandon(&mut self, file: FileNumber) {
        self.batch.chunks.retain(|chunk| chunk.file != file);
        self.known.retain(|chunk| chunk.file != file);
        // If the assembler is gone, its failure is reported elsewhere.
        let _sent = self.messages.send(Message::Abandon(file));
    }

    fn read_chunks(
        &mut self,
        source: &mut dyn Bytes,
        run: &mut FileRun<'_, '_>,
    ) -> std::io::Result<Result<()>> {
        // Bytes behind `filled` that have been read, but not cut yet.
        let mut uncut = 0_usize;
        let mut at_end = false;
        loop {
            if uncut == 0 && !at_end {
                match self.pass_holes(source, run) {
                    Ok(()) => {}
                    Err(error) => return Ok(Err(error)),
                }
            }
            let space = self.batch.buffer.len().saturating_sub(self.filled).saturating_sub(uncut);
            let window_full = uncut >= MAXIMUM;
            if !at_end && !window_full && space > 0 {
                let start = self.filled.saturating_add(uncut);
                let room = self.batch.buffer.get_mut(start..).unwrap_or_default();
                let offset = run.offset.saturating_add(uncut as u64);
                let count = source.read(offset, room)?;
                at_end = count == 0;
                if run.offset == 0 && uncut == 0 {
                    run.cut = cut_for(room.get(..count).unwrap_or_default());
                    if run.cut == Cut::Fixed {
                        run.old.give_up();
                        run.pages = run.old.content.as_ref().map(|old| Arc::new(old.pages()));
                    }
                }
                uncut = uncut.saturating_add(count);
            }
            let passed = match self.pass_old(run, uncut) {
                Ok(passed) => passed,
                Err(error) => return Ok(Err(error)),
            };
            uncut = uncut.saturating_sub(passed);
            // What the old chunks still cover waits for more bytes, if there are more.
            while (at_end || !run.old.covers(run.offset))
                && let Some(length) = self.cut(uncut, at_end, run.cut)
            {
                run.old.give_up();
                self.push_chunk(run, length);
                uncut = uncut.saturating_sub(length);
            }
            if at_end && uncut == 0 {
                if let Err(error) = self.send_known() {
                    return Ok(Err(error));
                }
                // The next file begins on an aligned address.
                self.align();
                return Ok(if self.batch_bytes >= BATCH_BYTES { self.flush() } else { Ok(()) });
            }
            let no_room = self.batch.buffer.len() <= self.filled.saturating_add(uncut);
            if (self.batch_bytes >= BATCH_BYTES || no_room)
                && let Err(error) = self.flush_and_carry(uncut)
            {
                return Ok(Err(error));
            }
        }
    }

    fn cut(&self, uncut: usize, at_end: bool, cut: Cut) -> Option<usize> {
        let window = self.batch.buffer.get(self.filled..self.filled.saturating_add(uncut))?;
        self.chunker.cut(window, at_end, cut)
    }

    fn push_chunk(&mut self, run: &mut FileRun<'_, '_>, length: usize) {
        let end = self.filled.saturating_add(length);
        self.batch.chunks.push(Chunk {
            file: run.file,
            number: run.number,
            range: self.filled..end,
            before: run.before(length),
            pages: run.pages.clone(),
            memory: run.old.memory.clone(),
        });
        self.filled = end;
        self.batch_bytes = self.batch_bytes.saturating_add(length);
        run.advance(length);
    }

    fn align(&mut self) {
        let past = self.filled.saturating_sub(self.base);
        self.filled = self.base.saturating_add(past.next_multiple_of(ALIGNMENT));
        if self.filled.saturating_add(4096) > self.batch.buffer.len() {
            self.batch_bytes = BATCH_BYTES;
        }
    }

    /// Passes the chunks at the window's beginning that are as the parent has them; returns how
    /// many bytes they have. One that is not ends this for the file.
    fn pass_old(&mut self, run: &mut FileRun<'_, '_>, uncut: usize) -> Result<usize> {
        let mut passed = 0_usize;
        while run.cut == Cut::Content
            && let Some(chunk) = run.old.next_within(run.offset)
        {
            let length = usize::try_from(chunk.length).unwrap_or(usize::MAX);
            let end = self.filled.saturating_add(length);
            if length > uncut.saturating_sub(passed) {
                break;
            }
            let window = self.batch.buffer.get(self.filled..end).unwrap_or_default();
            if self.keys.blob_id(BlobKind::Data, window) != chunk.id {
                run.old.give_up();
                break;
            }
            let known = HashedChunk { file: run.file, number: run.number, id: chunk.id };
            run.old.pass();
            run.advance(length);
            self.filled = end;
            passed = passed.saturating_add(length);
            Counters::add(&self.counters.done_bytes, length as u64);
            self.known.push(known);
            if self.known.len() >= ITEMS_PER_BATCH {
                self.send_known()?;
            }
        }
        Ok(passed)
    }

    fn send_known(&mut self) -> Result<()> {
        if self.known.is_empty() {
            return Ok(());
        }
        let known = std::mem::take(&mut self.known);
        self.messages.send(Message::Hashed(known)).map_err(|_| ended())
    }

    /// Sends the batch and takes the bytes not yet cut along into the next.
    fn flush_and_carry(&mut self, uncut: usize) -> Result<()> {
        let start = self.filled;
        if self.batch.chunks.is_empty() {
            // All before them was known: the buffer serves again.
            self.batch.buffer.copy_within(start..start.saturating_add(uncut), self.base);
            self.filled = self.base;
            self.batch_bytes = 0;
            return Ok(());
        }
        let batch = self.new_batch();
        let carried = batch.buffer.get(start..start.saturating_add(uncut)).unwrap_or_default();
        let place = self.filled..self.filled.saturating_add(uncut);
        if let Some(room) = self.batch.buffer.get_mut(place) {
            room.copy_from_slice(carried);
        }
        self.batches.send(batch).map_err(|_| ended())
    }

    /// Turns whole chunks of a hole into references to zeros, without reading them.
    fn pass_holes(&mut self, source: &mut dyn Bytes, run: &mut FileRun<'_, '_>) -> Result<()> {
        let length = match run.cut {
            Cut::Content => MAXIMUM,
            Cut::Fixed => DATABASE,
        };
        while source.hole_at(run.offset) >= length as u64 {
            let known = self.zeros.iter().find(|zeros| zeros.0 == length).map(|zeros| zeros.1);
            if let Some(id) = known {
                let chunk = HashedChunk { file: run.file, number: run.number, id };
                self.messages.send(Message::Hashed(vec![chunk])).map_err(|_| ended())?;
                Counters::add(&self.counters.done_bytes, length as u64);
                run.before(length);
                run.advance(length);
                continue;
            }
            // The first is stored like any other chunk.
            self.flush()?;
            let end = self.filled.saturating_add(length);
            let room = self.batch.buffer.get_mut(self.filled..end).unwrap_or_default();
            room.fill(0);
            self.zeros.push((length, self.keys.blob_id(BlobKind::Data, room)));
            self.push_chunk(run, length);
            self.flush()?;
        }
        Ok(())
    }
}

struct FileRun<'c, 'r> {
    file: FileNumber,
    number: u32,
    offset: u64,
    cut: Cut,
    old: Old<'c, 'r>,
    pages: Option<Arc<OldPages>>,
}

impl FileRun<'_, '_> {
    fn advance(&mut self, length: usize) {
        self.number = self.number.saturating_add(1);
        self.offset = self.offset.saturating_add(length as u64);
    }

    /// Returns what the parent has in the place of the chunk of `length` bytes that comes next.
    fn before(&mut self, length: usize) -> Option<BlobId> {
        let content = self.old.content.as_mut()?;
        match self.cut {
            Cut::Fixed => content.next_id(),
            Cut::Content => content.covering(self.offset.saturating_add(length as u64 / 2)),
        }
    }
}

fn cut_for(head: &[u8]) -> Cut {
    if is_database(head) { Cut::Fixed } else { Cut::Content }
}

/// The other end of a channel is gone; its own failure is the one that gets reported.
fn ended() -> Error {
    Error::failed("the run was cut short")
}
