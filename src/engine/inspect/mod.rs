//! Looking into snapshots: lists, searches, differences, versions, dumps, sums.
//!
//! Each is a function over a reader that hands its findings to a closure one by one, so that memory
//! does not grow with what is looked at (`find` and `stats` remember ids of trees, at most
//! [`REMEMBERED_TREES`]). A tree that can't be read is told to the reporter and counted; the rest
//! is looked at all the same.

pub mod diff;
pub mod dump;
pub mod find;
pub mod history;
pub mod list;
pub mod stats;

use crate::error::{Error, Result};
use crate::event::{Event, Reporter};
use crate::format::tree::Node;

/// How many trees are remembered as seen; beyond that they are read again.
pub const REMEMBERED_TREES: usize = 1 << 20;

/// Takes findings one by one.
pub type Visit<'a, T> = dyn FnMut(&T) -> Result<()> + 'a;

/// Returns whether two nodes have the same content, whatever their metadata.
pub fn is_same_content(one: &Node, other: &Node) -> bool {
    one.kind == other.kind
        && one.size == other.size
        && one.inline == other.inline
        && one.blobs == other.blobs
        && one.segments == other.segments
        && one.subtree == other.subtree
        && one.target == other.target
        && one.device == other.device
}

/// Tells and counts something that can't be read.
fn fail(failed: &mut u64, path: &[u8], error: &Error, reporter: &dyn Reporter) {
    *failed = failed.saturating_add(1);
    reporter.event(&Event::ItemFailed { path, error });
}

#[cfg(test)]
mod testing;
