//! Packet lines, in which both sides of git's protocol speak: four hex digits of length, then bytes.

use std::io::{ErrorKind, Read, Result};

/// The longest packet there may be, in bytes, its length included.
const LONGEST: usize = 65_520;

/// Ends a message.
pub(super) const FLUSH: &[u8] = b"0000";
/// Parts what is asked from how.
pub(super) const DELIMITER: &[u8] = b"0001";

/// One packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet {
    Line(Vec<u8>),
    Flush,
    Delimiter,
    /// The end of an answer, where no connection ends it.
    ResponseEnd,
}

/// Appends a line.
pub(super) fn line(message: &mut Vec<u8>, text: &str) {
    message.extend_from_slice(format!("{:04x}{text}\n", text.len() + 5).as_bytes());
}

/// Appends bytes as they are.
pub(super) fn raw(message: &mut Vec<u8>, bytes: &[u8]) {
    message.extend_from_slice(format!("{:04x}", bytes.len() + 4).as_bytes());
    message.extend_from_slice(bytes);
}

/// Reads a packet; `None` at the end of what comes.
pub(super) fn read(from: &mut impl Read) -> Result<Option<Packet>> {
    let mut digits = [0; 4];
    let mut have = 0;
    while let Some(rest) = digits.get_mut(have..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) if have == 0 => return Ok(None),
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => have += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let digits = std::str::from_utf8(&digits).ok();
    let length = digits.and_then(|digits| usize::from_str_radix(digits, 16).ok());
    match length {
        Some(0) => Ok(Some(Packet::Flush)),
        Some(1) => Ok(Some(Packet::Delimiter)),
        Some(2) => Ok(Some(Packet::ResponseEnd)),
        Some(length @ 4..=LONGEST) => {
            let mut bytes = vec![0; length - 4];
            from.read_exact(&mut bytes)?;
            Ok(Some(Packet::Line(bytes)))
        }
        _ => Err(std::io::Error::new(ErrorKind::InvalidData, "this is no git server")),
    }
}

/// Returns a line as text, without its end.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\n').to_owned()
}

/// The bytes of band 1; what the server tells in band 2 is kept for an error, band 3 is one.
pub(super) struct Bands<R> {
    from: R,
    chunk: Vec<u8>,
    at: usize,
    is_over: bool,
    /// The last that the server said.
    pub(super) told: String,
}

impl<R: Read> Bands<R> {
    pub(super) fn new(from: R) -> Bands<R> {
        Bands { from, chunk: Vec::new(), at: 0, is_over: false, told: String::new() }
    }

    fn next(&mut self) -> Result<()> {
        loop {
            let Some(Packet::Line(mut bytes)) = read(&mut self.from)? else {
                self.is_over = true;
                return Ok(());
            };
            match bytes.first() {
                Some(1) => {
                    bytes.remove(0);
                    (self.chunk, self.at) = (bytes, 0);
                    return Ok(());
                }
                Some(2) => {
                    self.told
                        .push_str(&String::from_utf8_lossy(bytes.get(1..).unwrap_or_default()));
                    let too_long = self.told.len().saturating_sub(4096);
                    let cut =
                        (too_long..=self.told.len()).find(|at| self.told.is_char_boundary(*at));
                    self.told.drain(..cut.unwrap_or_default());
                }
                Some(3) => {
                    return Err(std::io::Error::other(text(bytes.get(1..).unwrap_or_default())));
                }
                _ => {}
            }
        }
    }
}

impl<R: Read> Read for Bands<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        while self.at >= self.chunk.len() && !self.is_over {
            self.next()?;
        }
        let rest = self.chunk.get(self.at..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_back_and_nonsense_is_refused() {
        let mut message = Vec::new();
        line(&mut message, "hello");
        message.extend_from_slice(DELIMITER);
        message.extend_from_slice(FLUSH);
        let mut from = message.as_slice();
        assert_eq!(read(&mut from).unwrap(), Some(Packet::Line(b"hello\n".to_vec())));
        assert_eq!(read(&mut from).unwrap(), Some(Packet::Delimiter));
        assert_eq!(read(&mut from).unwrap(), Some(Packet::Flush));
        assert_eq!(read(&mut from).unwrap(), None);
        for text in ["<htm", "0003", "fff1", "00", "0009ab"] {
            assert!(read(&mut text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn bands_are_parted() {
        let message = b"0006\x01a0009\x02busy0007\x01bc0000";
        let mut bands = Bands::new(&message[..]);
        let mut bytes = Vec::new();
        bands.read_to_end(&mut bytes).unwrap();
        assert_eq!((bytes.as_slice(), bands.told.as_str()), (&b"abc"[..], "busy"));
        let mut bands = Bands::new(&b"0007\x03no0000"[..]);
        assert_eq!(bands.read(&mut [0; 9]).unwrap_err().to_string(), "no");
    }
}
