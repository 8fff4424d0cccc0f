//! The 100 bytes that a database begins with.
//!
//! Source: "Database File Format", section 1.3 "The Database Header", in SQLite's documentation.
//! Everything is big-endian. Decoding is pure; nothing here is trusted further than it says.

/// What every SQLite database begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// The header's length in bytes.
pub(super) const HEADER_BYTES: usize = 100;

/// Returns whether a file that begins so is an SQLite database.
///
/// The name says nothing: databases are called `.vscdb`, and what is called `.db` may be encrypted
/// or something else. A file without the magic, an empty one among them, is a plain file.
pub fn is_database(first_bytes: &[u8]) -> bool {
    first_bytes.starts_with(MAGIC)
}

/// How a database is written: what the header says, whether or not anyone has it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// With a rollback journal (also: none, or one in memory).
    Rollback,
    /// With a write-ahead log.
    Wal,
}

/// The part of the header that a reader of pages needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DatabaseHeader {
    /// Bytes in a page: a power of two from 512 to 65,536.
    pub(super) page_size: u32,
    /// How it is written.
    pub(super) mode: Mode,
    /// Grows with each transaction in rollback mode.
    pub(super) change_counter: u32,
    /// Pages in the database; `None` where an old version wrote last and did not keep it.
    pub(super) page_count: Option<u32>,
}

/// Why a header can't be worked with: the file is saved as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum HeaderError {
    /// No magic.
    #[error("it is no SQLite database")]
    NoDatabase,
    /// A version of the file format beyond 2: WAL2, or what is yet to come.
    #[error("its file format version {0} is not known")]
    UnknownVersion(u8),
    /// Page size or fixed numbers are not what they may be.
    #[error("its header is damaged")]
    Damaged,
}

impl DatabaseHeader {
    /// Reads a header.
    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<DatabaseHeader, HeaderError> {
        if !is_database(bytes) {
            return Err(HeaderError::NoDatabase);
        }
        let [write_version, read_version, reserved] = bytes_at(bytes, 18);
        if let Some(version) = [read_version, write_version].into_iter().find(|&it| it > 2) {
            return Err(HeaderError::UnknownVersion(version));
        }
        let page_size = decode_page_size(u16::from_be_bytes(bytes_at(bytes, 16)))
            .ok_or(HeaderError::Damaged)?;
        // The three payload fractions are constants; what is left of a page must be 480 bytes.
        let usable = page_size.saturating_sub(u32::from(reserved));
        if bytes_at(bytes, 21) != [64, 32, 32] || usable < 480 || read_version == 0 {
            return Err(HeaderError::Damaged);
        }
        let change_counter = u32::from_be_bytes(bytes_at(bytes, 24));
        let page_count = u32::from_be_bytes(bytes_at(bytes, 28));
        let valid_for = u32::from_be_bytes(bytes_at(bytes, 92));
        Ok(DatabaseHeader {
            page_size,
            mode: if read_version == 2 { Mode::Wal } else { Mode::Rollback },
            change_counter,
            page_count: (page_count > 0 && valid_for == change_counter).then_some(page_count),
        })
    }
}

/// Sixteen bits hold a page size of 65,536 as 1.
pub(super) fn decode_page_size(stored: u16) -> Option<u32> {
    match u32::from(stored) {
        1 => Some(65_536),
        size if size.is_power_of_two() && size >= 512 => Some(size),
        _ => None,
    }
}

/// Returns `N` bytes from `offset`, zeros where the slice ends.
pub(super) fn bytes_at<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    bytes.get(offset..).and_then(|rest| rest.first_chunk::<N>()).copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..16].copy_from_slice(MAGIC);
        bytes[16..24].copy_from_slice(&[0x10, 0, 2, 2, 0, 64, 32, 32]);
        bytes[24..32].copy_from_slice(&[0, 0, 0, 7, 0, 0, 0, 9]);
        bytes[92..96].copy_from_slice(&[0, 0, 0, 7]);
        bytes
    }

    #[test]
    fn a_header_says_page_size_mode_and_page_count() {
        let decoded = DatabaseHeader::decode(&header()).unwrap();
        assert_eq!((decoded.page_size, decoded.mode), (4096, Mode::Wal));
        assert_eq!((decoded.change_counter, decoded.page_count), (7, Some(9)));
        let mut old = header();
        old[95] = 6;
        assert_eq!(DatabaseHeader::decode(&old).unwrap().page_count, None);
        let mut large = header();
        large[16..18].copy_from_slice(&[0, 1]);
        assert_eq!(DatabaseHeader::decode(&large).unwrap().page_size, 65_536);
    }

    #[test]
    fn what_cannot_be_read_is_told_apart() {
        let refused = |place: usize, value: u8| {
            let mut bytes = header();
            bytes[place] = value;
            DatabaseHeader::decode(&bytes).unwrap_err()
        };
        assert_eq!(refused(0, b's'), HeaderError::NoDatabase);
        assert_eq!(refused(19, 3), HeaderError::UnknownVersion(3));
        assert_eq!(refused(18, 4), HeaderError::UnknownVersion(4));
        assert_eq!(refused(17, 1), HeaderError::Damaged);
        assert_eq!(refused(21, 65), HeaderError::Damaged);
        assert!(is_database(MAGIC) && !is_database(b"") && !is_database(&MAGIC[..15]));
    }
}
