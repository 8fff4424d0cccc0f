//! Where a file's bytes come from: the disk, or a stream.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt as _;

use crate::files::DataRanges;

/// A source of bytes that knows its holes.
pub(super) trait Bytes {
    /// Reads at `offset`; 0 only at the end.
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize>;
    /// Returns how many bytes from `offset` on are a hole.
    fn hole_at(&mut self, offset: u64) -> u64;
}

pub(super) struct FileBytes<'f> {
    file: &'f File,
    size: u64,
    /// Holes in ascending order: where they begin and how long they are.
    holes: Vec<(u64, u64)>,
}

impl<'f> FileBytes<'f> {
    /// Takes an open file of `size` bytes; `sparse` says that it may have holes.
    pub(super) fn new(file: &'f File, size: u64, sparse: bool) -> Self {
        let holes = if sparse {
            DataRanges::new(file, size)
                .filter(|range| range.is_hole)
                .map(|range| (range.offset, range.length))
                .collect()
        } else {
            Vec::new()
        };
        FileBytes { file, size, holes }
    }
}

impl Bytes for FileBytes<'_> {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = left.min(buffer.len());
        let buffer = buffer.get_mut(..length).unwrap_or_default();
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match self.file.read_at(buffer, offset) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn hole_at(&mut self, offset: u64) -> u64 {
        let place = self.holes.partition_point(|hole| hole.0 <= offset);
        place
            .checked_sub(1)
            .and_then(|place| self.holes.get(place))
            .map_or(0, |(start, length)| start.saturating_add(*length).saturating_sub(offset))
    }
}

pub(super) struct StreamBytes<'s>(pub(super) &'s mut dyn Read);

impl Bytes for StreamBytes<'_> {
    fn read(&mut self, _offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn hole_at(&mut self, _offset: u64) -> u64 {
        0
    }
}

/// Reads until `buffer` is full or the source ends; returns how much that was.
pub(super) fn fill(
    source: &mut dyn Bytes,
    offset: u64,
    buffer: &mut [u8],
) -> std::io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        let room = buffer.get_mut(length..).unwrap_or_default();
        let count = source.read(offset.saturating_add(length as u64), room)?;
        if count == 0 {
            break;
        }
        length = length.saturating_add(count);
    }
    Ok(length)
}
