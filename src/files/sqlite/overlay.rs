//! Which pages of a database lie in its log, and in which frame.
//!
//! Memory: 8 bytes for each page that differs, and half as many again while the log is read, so
//! 12 bytes; a page counts once however often it was written. [`MAXIMUM_PAGES`] bounds the whole
//! at 48 MiB: 16 GiB of changed pages at 4 KiB. A log beyond that is not overlaid.

use super::wal::{FRAME_HEADER_BYTES, WAL_HEADER_BYTES};

/// So many pages at most.
pub(super) const MAXIMUM_PAGES: usize = 4 << 20;
/// The table is sorted for the first time when it has this many entries.
const FIRST_ROOM: usize = 8 << 10;

/// More pages than [`MAXIMUM_PAGES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OverlayFull;

/// The pages of a database that must be read from its log.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    page_size: u32,
    /// Page and frame; after [`finish`](Self::finish) in the order of pages, each page once.
    entries: Vec<(u32, u32)>,
    room: usize,
    maximum: usize,
}

impl Overlay {
    /// Returns an empty one.
    pub(super) fn new(page_size: u32) -> Overlay {
        Overlay { page_size, entries: Vec::new(), room: FIRST_ROOM, maximum: MAXIMUM_PAGES }
    }

    /// Adds a frame. Frames come in ascending order, and the last of a page counts.
    pub(super) fn push(&mut self, page: u32, frame: u32) -> Result<(), OverlayFull> {
        if self.entries.len() >= self.room {
            self.compact();
            if self.entries.len() > self.maximum {
                return Err(OverlayFull);
            }
            let distinct = self.entries.len().max(FIRST_ROOM);
            self.room = distinct.saturating_add(distinct / 2);
        }
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(self.room.saturating_sub(self.entries.len()));
        }
        self.entries.push((page, frame));
        Ok(())
    }

    /// Ends the adding; the database has `page_count` pages, and what lies beyond is cut off.
    pub(super) fn finish(&mut self, page_count: u32) {
        self.compact();
        self.entries.truncate(self.entries.partition_point(|entry| entry.0 <= page_count));
        self.entries.shrink_to_fit();
    }

    fn compact(&mut self) {
        // Ascending pages, descending frames: the first of each page is its newest.
        self.entries.sort_unstable_by_key(|&(page, frame)| (page, std::cmp::Reverse(frame)));
        self.entries.dedup_by_key(|entry| entry.0);
    }

    /// Returns whether no page lies in the log.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the parts of a range of the database that lie in the log, in ascending order:
    /// where they begin, how long they are, and where they lie in the log.
    pub(super) fn parts(&self, offset: u64, length: u64) -> impl Iterator<Item = Part> + '_ {
        let size = u64::from(self.page_size.max(1));
        let end = offset.saturating_add(length);
        let first = offset / size;
        let start = self.entries.partition_point(|entry| u64::from(entry.0) <= first);
        self.entries.get(start..).unwrap_or_default().iter().map_while(move |&(page, frame)| {
            let page_start = u64::from(page).saturating_sub(1).saturating_mul(size);
            let frame_start = u64::from(frame)
                .saturating_sub(1)
                .saturating_mul(size.saturating_add(FRAME_HEADER_BYTES))
                .saturating_add(WAL_HEADER_BYTES)
                .saturating_add(FRAME_HEADER_BYTES);
            let from = page_start.max(offset);
            let to = page_start.saturating_add(size).min(end);
            let length = to.checked_sub(from).filter(|&length| length > 0)?;
            let wal_offset = frame_start.saturating_add(from.saturating_sub(page_start));
            Some(Part { offset: from, length, wal_offset })
        })
    }
}

/// A stretch of the database that lies in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// Where it is in the database.
    pub(super) offset: u64,
    /// How long it is, in bytes; at most a page.
    pub(super) length: u64,
    /// Where it lies in the log.
    pub(super) wal_offset: u64,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_newest_frame_of_each_page_counts_up_to_the_databases_end() {
        let (mut overlay, mut model) = (Overlay::new(512), BTreeMap::new());
        for frame in 1..=100_000_u32 {
            let page = frame.wrapping_mul(2_654_435_761) % 20_000 + 1;
            overlay.push(page, frame).unwrap();
            model.insert(page, frame);
        }
        assert!(overlay.entries.capacity() <= 20_000 + 20_000 / 2 + FIRST_ROOM);
        overlay.finish(15_000);
        model.retain(|page, _| *page <= 15_000);
        assert!(overlay.entries.iter().copied().eq(model));
        assert!(!overlay.is_empty());
    }

    #[test]
    fn too_many_pages_are_refused() {
        let mut overlay = Overlay { maximum: 10_000, ..Overlay::new(4096) };
        let refused = (1..100_000).find_map(|page| overlay.push(page, page).err());
        assert_eq!(refused, Some(OverlayFull));
        assert!(overlay.entries.len() < 20_000);
    }

    #[test]
    fn parts_are_cut_at_the_ends_of_what_is_asked_for() {
        let mut overlay = Overlay::new(1024);
        for (page, frame) in [(3, 1), (5, 2), (4, 3)] {
            overlay.push(page, frame).unwrap();
        }
        overlay.finish(9);
        let frame = |number: u64| 32 + (number - 1) * 1048 + 24;
        let parts: Vec<Part> = overlay.parts(2_100, 3_000).collect();
        let part = |offset, length, wal_offset| Part { offset, length, wal_offset };
        let all = [
            part(2_100, 972, frame(1) + 52),
            part(3_072, 1_024, frame(3)),
            part(4_096, 1_004, frame(2)),
        ];
        assert_eq!(parts, all);
        assert_eq!(overlay.parts(2_100, 10).count(), 1);
        assert_eq!(overlay.parts(0, 2_048).count(), 0);
        assert_eq!(overlay.parts(5_120, 4_096).count(), 0);
    }
}
