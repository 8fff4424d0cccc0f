//! Nodes into trees: takes items in the order of the walk, waits for the ids of their chunks, and
//! closes directories from the deepest up.
//!
//! One thread. Items wait in a queue behind the first whose chunks are not all hashed; the producer
//! sends a batch at the latest when so many items have followed it, which bounds the queue.

use std::collections::{HashMap, VecDeque};

use crossbeam_channel::Receiver;

use super::list::ListBuilder;
use super::message::{FileNumber, HashedChunk, Item, Message};
use super::metadata::{DirectoryBuilder, MetadataWriter, Sums};
use crate::error::{Error, Result};
use crate::format::tree::{Node, Subtree};

struct Frame {
    node: Box<Node>,
    builder: DirectoryBuilder,
}

struct Assembler<'a, 'w> {
    writer: &'w mut MetadataWriter<'a>,
    queue: VecDeque<Item>,
    lists: HashMap<FileNumber, ListBuilder>,
    stack: Vec<Frame>,
    roots: Vec<Node>,
    same_files: u64,
}

/// What came of a run.
#[derive(Default)]
pub(super) struct Assembled {
    /// The roots' nodes, in order.
    pub(super) roots: Vec<Node>,
    /// What was stored.
    pub(super) sums: Sums,
    /// Files that were read, and turned out to be as the parent had them.
    pub(super) same_files: u64,
}

/// Builds the trees of all roots.
pub(super) fn assemble(
    mut writer: MetadataWriter<'_>,
    messages: &Receiver<Message>,
) -> Result<Assembled> {
    let mut assembler = Assembler {
        writer: &mut writer,
        queue: VecDeque::new(),
        lists: HashMap::new(),
        stack: Vec::new(),
        roots: Vec::new(),
        same_files: 0,
    };
    for message in messages {
        match message {
            Message::Item(item) => assembler.queue.push_back(item),
            Message::Before(file, segments) => {
                assembler.lists.insert(file, ListBuilder::with_before(segments));
            }
            Message::Hashed(chunks) => assembler.enter(chunks)?,
            Message::Abandon(file) => {
                assembler.lists.remove(&file);
            }
        }
        assembler.advance()?;
    }
    if !assembler.queue.is_empty() || !assembler.stack.is_empty() {
        // The walk or a worker has ended early; that failure is the one to report.
        return Err(Error::failed("the run was cut short"));
    }
    let (roots, same_files) = (assembler.roots, assembler.same_files);
    writer.finish()?;
    Ok(Assembled { roots, sums: writer.sums(), same_files })
}

impl Assembler<'_, '_> {
    fn enter(&mut self, chunks: Vec<HashedChunk>) -> Result<()> {
        for chunk in chunks {
            self.lists.entry(chunk.file).or_default().enter(chunk.number, chunk.id, self.writer)?;
        }
        Ok(())
    }

    fn advance(&mut self) -> Result<()> {
        loop {
            if let Some(Item::Pending(_, file, count, _)) = self.queue.front() {
                let entered = self.lists.get(file).map_or(0, ListBuilder::len);
                if entered < *count {
                    return Ok(());
                }
            }
            let Some(item) = self.queue.pop_front() else { return Ok(()) };
            match item {
                Item::Enter(node, before) => {
                    self.stack.push(Frame { node, builder: DirectoryBuilder::with_before(before) });
                }
                Item::Leave => self.leave()?,
                Item::Ready(node) => {
                    let depth = inline_depth(&node);
                    self.place(*node, depth)?;
                }
                Item::Pending(mut node, file, _, before) => {
                    let list = self.lists.remove(&file).unwrap_or_default();
                    list.finish(&mut node, self.writer)?;
                    if before.is_some_and(|before| *before == *node) {
                        self.same_files = self.same_files.saturating_add(1);
                    }
                    self.place(*node, 0)?;
                }
            }
        }
    }

    fn leave(&mut self) -> Result<()> {
        let Some(Frame { mut node, builder }) = self.stack.pop() else {
            return Err(Error::failed("a directory ended that never began"));
        };
        let (subtree, depth) = builder.finish(self.writer)?;
        node.subtree = subtree;
        self.place(*node, depth)
    }

    fn place(&mut self, node: Node, inline_depth: usize) -> Result<()> {
        if let Some(frame) = self.stack.last_mut() {
            return frame.builder.push(node, inline_depth, self.writer);
        }
        self.roots.push(node);
        Ok(())
    }
}

/// Returns how deep directories lie within a node, as [`DirectoryBuilder::finish`] counts.
pub(crate) fn inline_depth(node: &Node) -> usize {
    match &node.subtree {
        Subtree::Inline(nodes) if !nodes.is_empty() => {
            nodes.iter().map(inline_depth).max().unwrap_or(0).saturating_add(1)
        }
        _ => 0,
    }
}
