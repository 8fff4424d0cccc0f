//! The write-ahead log as bytes: its header, its frames, their checksums; and the head of the
//! wal-index that lies in the `-shm` file.
//!
//! Source: "Database File Format", section 4 "The Write-Ahead Log", and "WAL-mode File Format", in
//! SQLite's documentation. The log's header is 32 bytes, each frame 24 bytes and a page. A frame
//! counts if its salts are the header's and its checksum, which runs on from frame to frame,
//! holds; a transaction counts if its last frame names the database's size. All numbers are
//! big-endian, but the checksum adds up words in the byte order that the magic names. The
//! wal-index is in the machine's own byte order, so only processes on one machine can share it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::header::{bytes_at, decode_page_size};
use super::overlay::{Overlay, OverlayFull};

/// The log's own header.
pub(super) const WAL_HEADER_BYTES: u64 = 32;
/// What stands before each page.
pub(super) const FRAME_HEADER_BYTES: u64 = 24;
/// The log's format, and the wal-index's: the only number ever given.
const VERSION: u32 = 3_007_000;
/// Frames are read in batches of about this many bytes.
const BATCH_BYTES: u64 = 1 << 20;

/// The running checksum of a log: two words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Checksum {
    sums: (u32, u32),
    big_endian: bool,
}

impl Checksum {
    fn add(&mut self, bytes: &[u8]) {
        let (mut first, mut second) = self.sums;
        let (words, _) = bytes.as_chunks::<8>();
        if self.big_endian {
            for &pair in words {
                let pair = u64::from_be_bytes(pair);
                first = first.wrapping_add(high(pair)).wrapping_add(second);
                second = second.wrapping_add(low(pair)).wrapping_add(first);
            }
        } else {
            for &pair in words {
                let pair = u64::from_le_bytes(pair);
                first = first.wrapping_add(low(pair)).wrapping_add(second);
                second = second.wrapping_add(high(pair)).wrapping_add(first);
            }
        }
        self.sums = (first, second);
    }

    /// Whether these eight bytes, big-endian in every log, say the same.
    fn is(&self, stored: [u8; 8]) -> bool {
        let pair = u64::from_be_bytes(stored);
        self.sums == (high(pair), low(pair))
    }
}

fn high(pair: u64) -> u32 {
    u32::try_from(pair >> 32).unwrap_or(0)
}

fn low(pair: u64) -> u32 {
    u32::try_from(pair & u64::from(u32::MAX)).unwrap_or(0)
}

/// A log's header whose checksum holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WalHeader {
    pub(super) page_size: u32,
    /// Both salts as they lie in the file.
    pub(super) salts: [u8; 8],
    checksum: Checksum,
}

impl WalHeader {
    /// Reads the header; `None` if there is none that holds, and the log counts for nothing.
    pub(super) fn read(wal: &File) -> io::Result<Option<WalHeader>> {
        let mut bytes = [0; 32];
        if read_full(wal, &mut bytes, 0)? < bytes.len() {
            return Ok(None);
        }
        Ok(WalHeader::decode(&bytes))
    }

    fn decode(bytes: &[u8; 32]) -> Option<WalHeader> {
        let magic = u32::from_be_bytes(bytes_at(bytes, 0));
        if magic & !1 != 0x377f_0682 || u32::from_be_bytes(bytes_at(bytes, 4)) != VERSION {
            return None;
        }
        let page_size = u32::from_be_bytes(bytes_at(bytes, 8));
        if !page_size.is_power_of_two() || !(512..=65_536).contains(&page_size) {
            return None;
        }
        let mut checksum = Checksum { sums: (0, 0), big_endian: magic & 1 == 1 };
        checksum.add(bytes.get(..24)?);
        checksum.is(bytes_at(bytes, 24)).then_some(WalHeader {
            page_size,
            salts: bytes_at(bytes, 16),
            checksum,
        })
    }

    /// Returns how many bytes a frame takes.
    pub(super) fn frame_bytes(&self) -> u64 {
        FRAME_HEADER_BYTES.saturating_add(u64::from(self.page_size))
    }
}

/// One frame that holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    /// Which page it is the content of; from 1.
    pub(super) page: u32,
    /// For the last frame of a transaction: the database's size in pages. Else 0.
    pub(super) commit_pages: u32,
    /// The checksum up to here.
    pub(super) sums: (u32, u32),
}

/// Goes through the frames from the first on, as long as they hold.
pub(super) struct Frames<'a> {
    wal: &'a File,
    header: WalHeader,
    checksum: Checksum,
    /// How many frames have been given.
    count: u64,
    limit: u64,
    batch: Vec<u8>,
    /// The batch's part that was not given yet.
    rest: std::ops::Range<usize>,
}

impl<'a> Frames<'a> {
    /// Begins before the first frame; ends after `limit` frames at the latest.
    pub(super) fn new(wal: &'a File, header: WalHeader, limit: u64) -> Frames<'a> {
        let checksum = header.checksum;
        Frames { wal, header, checksum, count: 0, limit, batch: Vec::new(), rest: 0..0 }
    }

    /// Returns the next frame; `None` where the first stands that does not hold.
    pub(super) fn next(&mut self) -> io::Result<Option<Frame>> {
        if self.count >= self.limit {
            return Ok(None);
        }
        let frame_bytes = usize::try_from(self.header.frame_bytes()).unwrap_or(usize::MAX);
        if self.rest.len() < frame_bytes && !self.fill(frame_bytes)? {
            return Ok(None);
        }
        let bytes = self.batch.get(self.rest.clone()).unwrap_or_default();
        let Some((head, rest)) = bytes.split_first_chunk::<24>() else { return Ok(None) };
        let data = rest.get(..self.header.page_size as usize).unwrap_or_default();
        let page = u32::from_be_bytes(bytes_at(head, 0));
        if bytes_at::<8>(head, 8) != self.header.salts || page == 0 {
            return Ok(None);
        }
        let mut checksum = self.checksum;
        checksum.add(head.get(..8).unwrap_or_default());
        checksum.add(data);
        if !checksum.is(bytes_at(head, 16)) {
            return Ok(None);
        }
        self.checksum = checksum;
        self.count = self.count.saturating_add(1);
        self.rest.start = self.rest.start.saturating_add(frame_bytes);
        let commit_pages = u32::from_be_bytes(bytes_at(head, 4));
        Ok(Some(Frame { page, commit_pages, sums: checksum.sums }))
    }

    /// Reads the next batch; `false` if the file holds no further whole frame.
    fn fill(&mut self, frame_bytes: usize) -> io::Result<bool> {
        let size = frame_bytes as u64;
        let frames = (BATCH_BYTES / size).max(1).min(self.limit.saturating_sub(self.count));
        let length = usize::try_from(frames.saturating_mul(size)).unwrap_or(frame_bytes);
        self.batch.resize(length, 0);
        let offset = WAL_HEADER_BYTES.saturating_add(self.count.saturating_mul(size));
        let got = read_full(self.wal, &mut self.batch, offset)?;
        self.rest = 0..got;
        Ok(got >= frame_bytes)
    }
}

/// Where the committed part of a log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Committed {
    /// How many frames it has.
    pub(super) frames: u32,
    /// The database's size in pages after them.
    pub(super) pages: u32,
}

/// Finds the last transaction of a log that is whole, the way SQLite does after a crash.
pub(super) fn find_committed(wal: &File, header: WalHeader) -> io::Result<Option<Committed>> {
    let (mut frames, mut found) = (Frames::new(wal, header, u64::from(u32::MAX)), None);
    while let Some(frame) = frames.next()? {
        if frame.commit_pages > 0 {
            let frames = u32::try_from(frames.count).unwrap_or(u32::MAX);
            found = Some(Committed { frames, pages: frame.commit_pages });
        }
    }
    Ok(found)
}

/// What became of reading the frames of a log into an [`Overlay`].
#[derive(Debug)]
pub(super) enum Scan {
    /// All frames hold; with the last one's checksum and the size in pages that it names.
    Whole { overlay: Overlay, sums: (u32, u32), commit_pages: u32 },
    /// Some frame does not hold.
    Broken,
    /// More pages than an overlay takes.
    Full,
}

/// Reads and verifies the first `count` frames.
pub(super) fn scan(wal: &File, header: WalHeader, count: u32) -> io::Result<Scan> {
    let mut frames = Frames::new(wal, header, u64::from(count));
    let mut overlay = Overlay::new(header.page_size);
    let (mut sums, mut commit_pages) = ((0, 0), 0);
    for number in 1..=count {
        let Some(frame) = frames.next()? else { return Ok(Scan::Broken) };
        if let Err(OverlayFull) = overlay.push(frame.page, number) {
            return Ok(Scan::Full);
        }
        (sums, commit_pages) = (frame.sums, frame.commit_pages);
    }
    overlay.finish(commit_pages);
    Ok(Scan::Whole { overlay, sums, commit_pages })
}

/// Returns whether a frame of this log stands behind the first `count`: a transaction that is
/// being written, or was rolled back. Its checksum is not looked at.
pub(super) fn is_followed(wal: &File, header: WalHeader, count: u32) -> io::Result<bool> {
    let mut head = [0; 24];
    let before = u64::from(count).saturating_mul(header.frame_bytes());
    let got = read_full(wal, &mut head, WAL_HEADER_BYTES.saturating_add(before))?;
    Ok(got == head.len() && bytes_at::<8>(&head, 8) == header.salts)
}

/// The head of the wal-index: what the writers of a live database say is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) page_size: u32,
    /// The last frame that is committed; 0 if the log is empty.
    pub(super) max_frame: u32,
    /// The database's size in pages; 0 if nobody knows better than the file.
    pub(super) page_count: u32,
    /// The checksum of the last frame.
    pub(super) frame_sums: (u32, u32),
    /// The log's salts, as bytes.
    pub(super) salts: [u8; 8],
    /// Frames that checkpoints have carried into the database; all of them, if `is_backfilled`.
    pub(super) is_backfilled: bool,
    /// The last frame that any checkpoint may have begun to carry there.
    pub(super) backfill_attempted: u32,
}

/// One copy of the head in bytes; two of them stand one after the other.
const INDEX_BYTES: usize = 48;

impl Index {
    /// Reads the head; `None` if it is just being written, or not initialised, or another's.
    ///
    /// Both copies must be equal, twice: "all is backfilled" counts only if no transaction was
    /// committed around the reading of that number. A checkpoint that knows of later frames leaves
    /// out pages that these hold anew, and yet counts them.
    pub(super) fn read(shm: &File) -> io::Result<Option<Index>> {
        let Some(before) = read_copies(shm)? else { return Ok(None) };
        let mut checkpoint = [0; 40];
        let offset = 2 * INDEX_BYTES as u64;
        if read_full(shm, &mut checkpoint, offset)? < checkpoint.len() {
            return Ok(None);
        }
        let after = read_copies(shm)?;
        let Some(mut index) = decode_index(&before) else { return Ok(None) };
        let backfill = native(bytes_at(&checkpoint, 0));
        index.is_backfilled = backfill == index.max_frame && after == Some(before);
        index.backfill_attempted = native(bytes_at(&checkpoint, 32));
        Ok(Some(index))
    }
}

/// Reads the first copy, then the second: the writer does it the other way round.
fn read_copies(shm: &File) -> io::Result<Option<[u8; INDEX_BYTES]>> {
    let (mut first, mut second) = ([0; INDEX_BYTES], [0; INDEX_BYTES]);
    let whole = read_full(shm, &mut first, 0)? == INDEX_BYTES
        && read_full(shm, &mut second, INDEX_BYTES as u64)? == INDEX_BYTES;
    Ok((whole && first == second).then_some(first))
}

fn decode_index(bytes: &[u8; INDEX_BYTES]) -> Option<Index> {
    let word = |offset| native(bytes_at(bytes, offset));
    let mut checksum = Checksum { sums: (0, 0), big_endian: cfg!(target_endian = "big") };
    checksum.add(bytes.get(..40)?);
    let [is_initialised] = bytes_at(bytes, 12);
    // The version also tells the byte order.
    if word(0) != VERSION || is_initialised == 0 || checksum.sums != (word(40), word(44)) {
        return None;
    }
    let stored_size = bytes_at::<2>(bytes, 14);
    let stored_size = if cfg!(target_endian = "big") {
        u16::from_be_bytes(stored_size)
    } else {
        u16::from_le_bytes(stored_size)
    };
    let max_frame = word(16);
    // A log that never had a frame has no page size yet.
    let page_size = decode_page_size(stored_size).or((max_frame == 0).then_some(0))?;
    Some(Index {
        page_size,
        max_frame,
        page_count: word(20),
        frame_sums: (word(24), word(28)),
        salts: bytes_at(bytes, 32),
        is_backfilled: false,
        backfill_attempted: 0,
    })
}

fn native(bytes: [u8; 4]) -> u32 {
    if cfg!(target_endian = "big") { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
}

/// Reads until the buffer is full or the file ends; returns how much there was.
pub(super) fn read_full(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(count) => filled = filled.saturating_add(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make files")]
mod tests;
