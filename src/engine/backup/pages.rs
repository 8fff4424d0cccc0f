//! Where a database's pages were: `VACUUM` moves all of them, and a chunk's old pages then lie in a
//! few other chunks.
//!
//! Looked for only when many chunks of a file have mostly other pages than the parent's in their
//! place. The parent's content is then read once, and each page noted by a fingerprint of some of
//! its words: a wrong guess costs bytes, never content, since what is stored is turned back and
//! compared. Memory: 8 bytes for each page, of which a million is noted at most (of a larger database
//! every second, fourth and so on), and 32 for each chunk: 11 MB for a database of 10 GB.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::codec::chunker::DATABASE;
use crate::codec::delta::PAGE;
use crate::format::LIMITS;
use crate::format::pack::BlobKind;
use crate::format::tree::Node;
use crate::id::BlobId;
use crate::repository::reader::BlobReader;

/// So many chunks must have been found with other pages …
const FEWEST_MOVED: u32 = 4;
/// … and one in so many of the file's.
const MOVED_SHARE: u32 = 64;
/// Pages that occur more often tell nothing.
const MOST_PLACES: usize = 8;
/// So many pages are noted at most.
const MOST_PAGES: u64 = 1 << 20;
/// An odd number without a pattern: 2^64 divided by the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
/// Words of a page that its fingerprint is made of lie so many bytes apart.
const STRIDE: usize = 128;

/// The pages of the parent's database in a file's place.
pub(super) struct OldPages {
    blobs: Vec<BlobId>,
    segments: Vec<BlobId>,
    chunk_count: u32,
    moved: AtomicU32,
    places: OnceLock<PagePlaces>,
}

impl OldPages {
    /// `chunk_bytes` is the length of the parent's chunks.
    pub(super) fn new(node: &Node, chunk_bytes: usize) -> OldPages {
        let chunk_count = node.size.div_ceil(chunk_bytes.max(1) as u64);
        OldPages {
            blobs: node.blobs.0.clone(),
            segments: node.segments.0.clone(),
            chunk_count: u32::try_from(chunk_count).unwrap_or(u32::MAX),
            moved: AtomicU32::new(0),
            places: OnceLock::new(),
        }
    }

    /// Returns the parent's chunks that hold most of a chunk's pages, the best first, if the
    /// parent's content has been read by now.
    pub(super) fn find(&self, plain: &[u8]) -> Vec<BlobId> {
        self.places.get().map_or_else(Vec::new, |places| places.find(plain))
    }

    /// Notes a chunk that has other pages than the parent in its place; returns the parent's
    /// chunks that hold most of them, the best first, if it is worth looking.
    pub(super) fn find_moved(&self, plain: &[u8], reader: &mut BlobReader<'_>) -> Vec<BlobId> {
        let moved = self.moved.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if moved < FEWEST_MOVED.max(self.chunk_count / MOVED_SHARE) {
            return Vec::new();
        }
        self.places.get_or_init(|| PagePlaces::read(self, reader)).find(plain)
    }
}

/// Pages by fingerprint.
#[derive(Default)]
struct PagePlaces {
    chunks: Vec<BlobId>,
    /// Fingerprint and chunk, sorted.
    pages: Vec<(u32, u32)>,
    /// Only fingerprints without these bits are noted.
    passed_over: u32,
}

impl PagePlaces {
    /// What can't be read is left out: nothing will be a difference from it.
    fn read(old: &OldPages, reader: &mut BlobReader<'_>) -> PagePlaces {
        let mut chunks = old.blobs.clone();
        for segment in &old.segments {
            chunks.extend(reader.load_list(segment).unwrap_or_default());
        }
        let page_count = (chunks.len() as u64).saturating_mul((DATABASE / PAGE) as u64);
        let step = page_count.div_ceil(MOST_PAGES).next_power_of_two();
        let passed_over = u32::try_from(step.saturating_sub(1)).unwrap_or(u32::MAX);
        let mut pages = Vec::with_capacity(usize::try_from(page_count / step).unwrap_or(0));
        for (number, id) in (0_u32..).zip(&chunks) {
            let Ok(plain) = reader.load(BlobKind::Data, id) else { continue };
            let prints = plain.chunks_exact(PAGE).filter_map(fingerprint);
            let noted = prints.filter(|print| print & passed_over == 0);
            pages.extend(noted.map(|print| (print, number)));
        }
        pages.sort_unstable();
        pages.dedup();
        PagePlaces { chunks, pages, passed_over }
    }

    /// Chooses the chunk with most of the pages, then the one with most of the others, and so on.
    fn find(&self, plain: &[u8]) -> Vec<BlobId> {
        let mut pages: Vec<Vec<u32>> = plain
            .chunks_exact(PAGE)
            .filter_map(fingerprint)
            .filter(|print| print & self.passed_over == 0)
            .map(|print| self.chunks_with(print))
            .collect();
        let mut chosen = Vec::new();
        while chosen.len() < LIMITS.delta_bases {
            let mut counts: Vec<(u32, u32)> = Vec::new();
            for chunk in pages.iter().flatten() {
                match counts.iter_mut().find(|(_, known)| known == chunk) {
                    Some((count, _)) => *count = count.saturating_add(1),
                    None => counts.push((1, *chunk)),
                }
            }
            let Some((_, best)) = counts.into_iter().max() else { break };
            pages.retain(|chunks| !chunks.contains(&best));
            let id = usize::try_from(best).ok().and_then(|best| self.chunks.get(best));
            chosen.extend(id);
        }
        chosen
    }

    /// Returns the chunks with such a page; none if they are many.
    fn chunks_with(&self, print: u32) -> Vec<u32> {
        let first = self.pages.partition_point(|page| page.0 < print);
        let found = self.pages.iter().skip(first).take_while(|page| page.0 == print);
        let found: Vec<u32> = found.take(MOST_PLACES).map(|page| page.1).collect();
        if found.len() == MOST_PLACES { Vec::new() } else { found }
    }
}

/// Mixes some words of a page; `None` for a page in which all of them are zero.
///
/// None of them is a page's first, which in a chain of overflow pages is the number of the next
/// one, and changes with every move.
fn fingerprint(page: &[u8]) -> Option<u32> {
    let words = page.chunks_exact(STRIDE).filter_map(|part| part.last_chunk::<8>());
    let mut hash = 0_u64;
    for word in words {
        hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(FACTOR).rotate_left(29);
    }
    // The last words reach all bits as well.
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(FACTOR);
    (hash != 0).then(|| u32::try_from(mixed >> 32).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_the_pages_own_and_zeros_have_none() {
        let mut page = vec![0; PAGE];
        assert_eq!(fingerprint(&page), None);
        page[3] = 1;
        assert_eq!(fingerprint(&page), None);
        page[125] = 1;
        let first = fingerprint(&page);
        assert!(first.is_some());
        page[3] = 2;
        assert_eq!(fingerprint(&page), first);
        page[PAGE - 1] = 1;
        assert_ne!(fingerprint(&page), first);
    }

    #[test]
    fn chunks_that_hold_most_of_the_pages_come_first() {
        let chunks: Vec<BlobId> = (0..3).map(|number| BlobId([number; 32])).collect();
        let page = |number: u8| vec![number; PAGE];
        let mut pages: Vec<(u32, u32)> = [(1, 0), (2, 1), (3, 1), (4, 2)]
            .map(|(content, chunk)| (fingerprint(&page(content)).unwrap(), chunk))
            .into();
        // A page that is everywhere.
        pages.extend((0..9).map(|chunk| (fingerprint(&page(9)).unwrap(), chunk)));
        pages.sort_unstable();
        let places = PagePlaces { chunks: chunks.clone(), pages, passed_over: 0 };
        let plain = [page(9), page(3), page(1), page(2), page(7)].concat();
        assert_eq!(places.find(&plain), [chunks[1], chunks[0]]);
    }
}
