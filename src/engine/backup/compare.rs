//! How far a changed file is compared with the parent's, and which pieces at its end are cut again.

use std::sync::Arc;

use super::before::{OldChunk, OldContent};
use crate::codec::chunker::{MAXIMUM, MINIMUM};
use crate::repository::page_memory::PageMemory;

/// So many appended pieces are kept apart before some are joined …
const TAILS: usize = 8;
/// … and all of them are when they have become this long together, in bytes.
const TAIL_BYTES: u64 = 256 << 10;
/// More of them are not looked at.
const MOST_TAILS: usize = 32;
/// The parent's content of a file, and how far it is compared chunk by chunk.
#[derive(Default)]
pub(super) struct Old<'c, 'r> {
    pub(super) content: Option<OldContent<'c, 'r>>,
    pub(super) memory: Option<Arc<PageMemory>>,
    /// Up to where chunks of the parent may be passed, in bytes; 0 when that has ended.
    until: u64,
}

impl<'c, 'r> Old<'c, 'r> {
    /// `size` is what the file has now. What was appended stays apart from what it was appended to,
    /// until that has become too many pieces.
    pub(super) fn new(content: Option<OldContent<'c, 'r>>, size: u64, sparse: bool) -> Self {
        let Some(mut content) = content else { return Old::default() };
        let old_size = content.size();
        let mut until = if sparse { 0 } else { old_size };
        if let Some(appended) = size.checked_sub(old_size).filter(|appended| *appended > 0) {
            let tails = content.tails(MINIMUM as u64, MOST_TAILS);
            until = until.saturating_sub(joined(&tails, appended));
        }
        Old { content: Some(content), memory: None, until }
    }

    /// Adds what is remembered of a database's pages.
    pub(super) fn with_memory(mut self, memory: Option<PageMemory>) -> Self {
        self.memory = memory.map(Arc::new);
        self
    }

    /// Returns whether a chunk of the parent's is still to be compared at `offset`.
    pub(super) fn covers(&mut self, offset: u64) -> bool {
        self.next_within(offset).is_some()
    }

    pub(super) fn next_within(&mut self, offset: u64) -> Option<OldChunk> {
        if offset >= self.until {
            return None;
        }
        let chunk = self.content.as_mut()?.peek()?;
        let fits = chunk.end <= self.until
            && chunk.length <= MAXIMUM as u64
            && chunk.length > 0
            && chunk.end.checked_sub(chunk.length) == Some(offset);
        fits.then_some(chunk)
    }

    pub(super) fn pass(&mut self) {
        if let Some(content) = &mut self.content {
            content.pass();
        }
    }

    pub(super) fn give_up(&mut self) {
        self.until = 0;
    }
}

/// Returns how many bytes of the pieces at a file's end are cut again when `appended` bytes follow;
/// the lengths of the pieces come with the last one first.
///
/// A piece is joined with what follows it only when that is as long: so a byte is stored again a few
/// times at most while its file grows, however small the steps.
fn joined(tails: &[u64], appended: u64) -> u64 {
    let all = tails.iter().fold(0_u64, |sum, length| sum.saturating_add(*length));
    if all.saturating_add(appended) > TAIL_BYTES {
        return all;
    }
    if tails.len() < TAILS {
        return 0;
    }
    let mut sum = 0_u64;
    for length in tails {
        if *length > sum.saturating_add(appended) {
            break;
        }
        sum = sum.saturating_add(*length);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::joined;

    #[test]
    fn pieces_are_joined_rarely_and_never_too_many() {
        assert_eq!(joined(&[10; 7], 10), 0);
        assert_eq!(joined(&[10; 8], 10), 80);
        // What is longer than all that follows stays.
        assert_eq!(joined(&[10, 10, 10, 10, 10, 10, 10, 100], 10), 70);
        assert_eq!(joined(&[50_000; 6], 10), 300_000);
        // A file that grows in equal steps.
        let (mut tails, mut stored, mut size) = (Vec::<u64>::new(), 0, 0);
        for _ in 0..10_000 {
            let again = joined(&tails, 100);
            let mut left = again;
            while left > 0 {
                left -= tails.remove(0);
            }
            tails.insert(0, again + 100);
            tails.retain(|length| *length < 64 << 10);
            stored += again + 100;
            size += 100;
            assert!(tails.len() < 20, "{tails:?}");
        }
        assert!(stored < 6 * size, "{stored} for {size}");
    }
}
