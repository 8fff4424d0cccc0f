//! Lines of any length, in bounded memory, and records made of them.
//!
//! Memory: one buffer of a line's length, at most [`LONG_LINE`] and one piece. A longer line of JSON
//! goes through a filter that cuts long strings, and what stays of it above [`MAX_RECORD`] is passed
//! over.

use std::borrow::Cow;
use std::io::{ErrorKind, Read};
use std::ops::ControlFlow;

use memchr::memchr;

use super::cutter::Cutter;
use super::json::Record;
use super::value::Gaps;
use crate::error::{Error, Result};

/// Lines of so many bytes are held as they are.
pub(super) const LONG_LINE: usize = 4 << 20;
/// What a record may have in bytes after long strings in it were cut.
pub(super) const MAX_RECORD: usize = 16 << 20;
/// Bytes that are asked for at once.
pub(super) const PIECE: usize = 256 << 10;

pub(super) const BOM: &[u8] = b"\xef\xbb\xbf";

/// What a long line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LongLines {
    /// JSON, whose strings can be cut.
    Json,
    /// Text, of which the beginning is kept.
    Text,
}

/// One line.
#[derive(Debug)]
pub(super) struct Line<'a> {
    /// Its bytes without the line's end; none if the line is too long even after cutting.
    pub bytes: Option<&'a [u8]>,
    /// Whether it ends with a line feed, rather than with the file.
    pub is_ended: bool,
    /// Strings that were cut in it.
    pub cut_values: u64,
}

/// Reads a file line by line.
pub(super) struct Lines<'r> {
    input: &'r mut dyn Read,
    kind: LongLines,
    buffer: Vec<u8>,
    start: usize,
    /// Up to here there is no line feed.
    searched: usize,
    end: usize,
    is_at_end: bool,
    is_first: bool,
    long: Vec<u8>,
}

impl<'r> Lines<'r> {
    pub(super) fn new(input: &'r mut dyn Read, kind: LongLines) -> Self {
        Lines {
            input,
            kind,
            buffer: vec![0; PIECE],
            start: 0,
            searched: 0,
            end: 0,
            is_at_end: false,
            is_first: true,
            long: Vec::new(),
        }
    }

    /// Returns the next line; `None` behind the last.
    pub(super) fn next(&mut self) -> Result<Option<Line<'_>>> {
        loop {
            let fresh = self.buffer.get(self.searched..self.end).unwrap_or_default();
            if let Some(place) = memchr(b'\n', fresh) {
                let (start, end) = (self.start, self.searched + place);
                self.start = end + 1;
                self.searched = self.start;
                return Ok(Some(self.line(start, end, true)));
            }
            self.searched = self.end;
            if self.is_at_end {
                let (start, end) = (self.start, self.end);
                self.start = end;
                return Ok((start < end).then(|| self.line(start, end, false)));
            }
            if self.end - self.start > LONG_LINE {
                return self.long_line().map(Some);
            }
            self.fill()?;
        }
    }

    fn line(&mut self, start: usize, end: usize, is_ended: bool) -> Line<'_> {
        let bytes = self.buffer.get(start..end).unwrap_or_default();
        let bytes = without_ends(bytes, std::mem::take(&mut self.is_first));
        Line { bytes: Some(bytes), is_ended, cut_values: 0 }
    }

    /// Makes room behind what is there, and reads one piece.
    fn fill(&mut self) -> Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.searched -= self.start;
            self.start = 0;
        }
        if self.buffer.len() < self.end + PIECE / 2 {
            let length = (self.buffer.len() * 2).min(LONG_LINE + 2 * PIECE);
            self.buffer.resize(length.max(self.end + PIECE), 0);
        }
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        let read = read_some(self.input, room)?;
        self.end += read;
        self.is_at_end = read == 0;
        Ok(())
    }

    /// Goes over a line that is longer than the buffer.
    fn long_line(&mut self) -> Result<Line<'_>> {
        let mut cutter = Cutter::default();
        let mut is_over = false;
        self.long.clear();
        let is_ended = loop {
            let fresh = self.buffer.get(self.start..self.end).unwrap_or_default();
            let end = memchr(b'\n', fresh);
            let piece = fresh.get(..end.unwrap_or(fresh.len())).unwrap_or_default();
            if !is_over {
                match self.kind {
                    LongLines::Json => cutter.copy(piece, &mut self.long),
                    LongLines::Text if self.long.len() < LONG_LINE => {
                        self.long.extend_from_slice(piece);
                    }
                    LongLines::Text => cutter.cut_values = 1,
                }
            }
            if self.long.len() > MAX_RECORD {
                is_over = true;
                self.long = Vec::new();
            }
            if let Some(end) = end {
                self.start += end + 1;
                break true;
            }
            self.start = self.end;
            self.searched = self.end;
            if self.is_at_end {
                break false;
            }
            self.fill()?;
        };
        self.searched = self.start;
        // Nothing above one piece stays behind for the lines that follow.
        if self.end - self.start < PIECE && self.buffer.len() > 4 * PIECE {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.searched, self.end) = (0, 0, self.end - self.start);
            self.buffer.truncate(2 * PIECE);
            self.buffer.shrink_to_fit();
        }
        let bytes = without_ends(&self.long, std::mem::take(&mut self.is_first));
        Ok(Line { bytes: (!is_over).then_some(bytes), is_ended, cut_values: cutter.cut_values })
    }
}

fn without_ends(bytes: &[u8], is_first: bool) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    if is_first { bytes.strip_prefix(BOM).unwrap_or(bytes) } else { bytes }
}

/// Reads what is there; 0 at the end.
pub(super) fn read_some(input: &mut dyn Read, room: &mut [u8]) -> Result<usize> {
    loop {
        match input.read(room) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => {
                return done.map_err(|error| {
                    Error::failed("cannot read a session's file")
                        .source(error)
                        .hint("the other sessions are not concerned; run the same command again")
                });
            }
        }
    }
}

/// Reads all of an input that its caller has bounded.
pub(super) fn read_all(input: &mut dyn Read, output: &mut Vec<u8>) -> Result<()> {
    let mut room = [0; 4096];
    loop {
        let length = read_some(input, &mut room)?;
        if length == 0 {
            return Ok(());
        }
        output.extend_from_slice(room.get(..length).unwrap_or_default());
    }
}

/// Takes the records of a file of JSON lines.
pub(super) trait Records {
    /// Where to count what can't be used.
    fn gaps(&mut self) -> &mut Gaps;
    /// Takes one record, which is a JSON object.
    fn record(&mut self, record: &Record<'_>) -> ControlFlow<()>;
}

/// Hands over every line that is a JSON object, and counts the others. `Break` if `records` broke.
pub(super) fn read_records(
    input: &mut dyn Read,
    records: &mut dyn Records,
) -> Result<ControlFlow<()>> {
    let mut lines = Lines::new(input, LongLines::Json);
    while let Some(line) = lines.next()? {
        records.gaps().cut_values += line.cut_values;
        let Some(bytes) = line.bytes else {
            records.gaps().bad_records += 1;
            continue;
        };
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let text = utf8(bytes, records.gaps());
        let Some(record) = Record::parse(&text) else {
            // Text that is no UTF-8 was counted already.
            if !line.is_ended {
                records.gaps().is_torn = true;
            } else if matches!(text, Cow::Borrowed(_)) {
                records.gaps().bad_records += 1;
            }
            continue;
        };
        if records.record(&record).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Returns bytes as text; what is no UTF-8 is replaced and counted.
pub(super) fn utf8<'a>(bytes: &'a [u8], gaps: &mut Gaps) -> Cow<'a, str> {
    // Three times as fast as the lossy way, which is taken only where it must be.
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    gaps.bad_records += 1;
    String::from_utf8_lossy(bytes).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a text in pieces of `step` bytes: each line, whether it is ended, and what was cut.
    fn read(text: &[u8], step: usize) -> Vec<(Option<usize>, bool, u64)> {
        struct Steps<'a>(&'a [u8], usize);
        impl Read for Steps<'_> {
            fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
                let length = room.len().min(self.1);
                Read::read(&mut self.0, &mut room[..length])
            }
        }
        let mut steps = Steps(text, step);
        let mut lines = Lines::new(&mut steps, LongLines::Json);
        let mut found = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            found.push((line.bytes.map(<[u8]>::len), line.is_ended, line.cut_values));
            assert!(lines.buffer.len() <= LONG_LINE + 3 * PIECE);
        }
        found
    }

    #[test]
    fn lines_end_with_a_line_feed_or_the_file_and_lose_bom_and_carriage_return() {
        for step in [1, 2, 7, 100] {
            let text = b"\xef\xbb\xbfab\r\n\n\xef\xbb\xbf\nlast";
            let lines = [(2, true), (0, true), (3, true), (4, false)];
            assert_eq!(read(text, step), lines.map(|(length, ended)| (Some(length), ended, 0)));
        }
        assert_eq!(read(b"", 5), []);
        assert_eq!(read(b"\n", 5), [(Some(0), true, 0)]);
    }

    #[test]
    fn a_line_of_many_mebibytes_is_cut_and_those_around_it_are_whole() {
        let image = "A".repeat(20 << 20);
        let text = format!("{{\"a\":1}}\n{{\"b\":\"{image}\",\"c\":2}}\n{{\"d\":3}}\n");
        for step in [65_536, usize::MAX] {
            let found = read(text.as_bytes(), step);
            assert_eq!(found[0], (Some(7), true, 0));
            assert_eq!(found[1], (Some((256 << 10) + 14), true, 1));
            assert_eq!(found[2], (Some(7), true, 0));
        }
    }

    #[test]
    fn a_line_that_stays_too_large_is_passed_over() {
        let text = format!("[{}]\n{{\"d\":3}}\n", "1,".repeat(9 << 20));
        assert_eq!(read(text.as_bytes(), usize::MAX), [(None, true, 0), (Some(7), true, 0)]);
    }
}
