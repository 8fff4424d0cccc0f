//! What every stored object begins and ends with (`format-spec/1-objects.md`).
//!
//! A sealed object (pack, record, segment) is: header, sealed units one after the other, the
//! sealed footer (a table or a record's body), the sealed trailer, which gives the footer's
//! length. Only the header can be read without a key.

use super::{DecodeError, LIMITS};

/// The first bytes of every object.
pub const MAGIC: [u8; 4] = *b"stsh";
/// The format version that this program writes and reads.
pub const VERSION: u8 = 1;
/// Length of the part of a header that all objects share, in bytes.
pub const PREFIX_LENGTH: usize = 16;
/// Length of the part of a sealed object's header that its key depends on, in bytes.
pub const KEYED_LENGTH: usize = 48;
/// Length of a sealed object's header, in bytes.
pub const HEADER_LENGTH: usize = 80;
/// What sealing adds to a plaintext, in bytes.
pub const TAG_LENGTH: usize = 16;
/// Length of a sealed object's trailer, in bytes.
pub const TRAILER_LENGTH: usize = 8 + TAG_LENGTH;
/// The number of the footer among the units of an object.
pub const FOOTER_NUMBER: u32 = 0xffff_fffe;
/// The number of the trailer.
pub const TRAILER_NUMBER: u32 = 0xffff_ffff;
/// Feature bit of an object that has delta or page patch units.
pub const FEATURE_DELTA: u32 = 1;
/// All feature bits that this program knows.
pub const KNOWN_FEATURES: u32 = FEATURE_DELTA;

/// What an object is. The numbers are the format's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ObjectKind {
    /// The repository's header.
    Repository = 1,
    /// A key slot.
    KeySlot = 2,
    /// A pack.
    Pack = 3,
    /// A record.
    Record = 4,
    /// An index segment.
    Segment = 5,
    /// Secrets of later epochs, for the holders of key slots.
    Grant = 6,
}

/// Writes what all objects begin with.
pub fn encode_prefix(kind: ObjectKind, features: u32, epoch: u32) -> [u8; PREFIX_LENGTH] {
    let [m0, m1, m2, m3] = MAGIC;
    let [f0, f1, f2, f3] = features.to_le_bytes();
    let [e0, e1, e2, e3] = epoch.to_le_bytes();
    [m0, m1, m2, m3, VERSION, kind as u8, 0, 0, f0, f1, f2, f3, e0, e1, e2, e3]
}

/// Checks what all objects begin with, and returns the key epoch and what follows.
pub fn decode_prefix(bytes: &[u8], kind: ObjectKind) -> Result<(u32, &[u8]), DecodeError> {
    if bytes.len() > LIMITS.object {
        return Err(DecodeError::TooLong { what: "object" });
    }
    let (prefix, rest) = bytes.split_first_chunk::<PREFIX_LENGTH>().ok_or(DecodeError::Cut)?;
    let [m0, m1, m2, m3, version, number, z0, z1, f0, f1, f2, f3, e0, e1, e2, e3] = *prefix;
    if [m0, m1, m2, m3] != MAGIC {
        return Err(DecodeError::BadMagic);
    }
    if version != VERSION {
        return Err(DecodeError::Version(version));
    }
    if number != kind as u8 || [z0, z1] != [0, 0] {
        return Err(DecodeError::BadMagic);
    }
    let features = u32::from_le_bytes([f0, f1, f2, f3]);
    if features & !KNOWN_FEATURES != 0 {
        return Err(DecodeError::Features(features & !KNOWN_FEATURES));
    }
    Ok((u32::from_le_bytes([e0, e1, e2, e3]), rest))
}

/// Checks what an object that is not sealed begins with, and returns its body. Nothing vouches
/// for such a prefix, so that it may say nothing: no features, no epoch.
pub fn decode_bare_prefix(bytes: &[u8], kind: ObjectKind) -> Result<&[u8], DecodeError> {
    if bytes.len() > LIMITS.key_object {
        return Err(DecodeError::TooLong { what: "object" });
    }
    let (_, body) = decode_prefix(bytes, kind)?;
    if bytes.get(8..PREFIX_LENGTH).is_some_and(|rest| rest.iter().any(|&byte| byte != 0)) {
        return Err(DecodeError::NotCanonical);
    }
    Ok(body)
}

/// The header of a sealed object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectHeader {
    /// Its bytes, as stored.
    pub bytes: [u8; HEADER_LENGTH],
    /// Which sealing key the object's key comes from.
    pub epoch: u32,
}

impl ObjectHeader {
    /// Returns the part that the object's key depends on: prefix and salt.
    pub fn keyed(
        kind: ObjectKind,
        features: u32,
        epoch: u32,
        salt: [u8; 32],
    ) -> [u8; KEYED_LENGTH] {
        let mut bytes = [0; KEYED_LENGTH];
        let (prefix, rest) = bytes.split_at_mut(PREFIX_LENGTH);
        prefix.copy_from_slice(&encode_prefix(kind, features, epoch));
        rest.copy_from_slice(&salt);
        bytes
    }

    /// Puts a header together.
    pub fn new(keyed: [u8; KEYED_LENGTH], epoch: u32, check: [u8; 32]) -> Self {
        let mut bytes = [0; HEADER_LENGTH];
        let (head, tail) = bytes.split_at_mut(KEYED_LENGTH);
        head.copy_from_slice(&keyed);
        tail.copy_from_slice(&check);
        ObjectHeader { bytes, epoch }
    }

    /// Reads the header of an object of `kind` from the object's first bytes.
    pub fn decode(bytes: &[u8], kind: ObjectKind) -> Result<Self, DecodeError> {
        let (header, _) = bytes.split_first_chunk::<HEADER_LENGTH>().ok_or(DecodeError::Cut)?;
        let (epoch, _) = decode_prefix(header, kind)?;
        Ok(ObjectHeader { bytes: *header, epoch })
    }

    /// Returns prefix and salt.
    pub fn keyed_part(&self) -> [u8; KEYED_LENGTH] {
        self.bytes.first_chunk::<KEYED_LENGTH>().copied().unwrap_or([0; KEYED_LENGTH])
    }

    /// Returns the key check.
    pub fn check(&self) -> [u8; 32] {
        self.bytes.last_chunk::<32>().copied().unwrap_or_default()
    }
}

/// Writes a footer's plaintext: form, lengths, payload, zeros up to `padded_length`.
///
/// `form` is 0 for a payload as it is, 1 for a zstd frame.
pub fn encode_footer(form: u8, raw_length: u32, payload: &[u8], padded_length: usize) -> Vec<u8> {
    let payload_length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut plain = Vec::with_capacity(padded_length.max(FOOTER_OVERHEAD));
    plain.push(form);
    plain.extend_from_slice(&raw_length.to_le_bytes());
    plain.extend_from_slice(&payload_length.to_le_bytes());
    plain.extend_from_slice(payload);
    if plain.len() < padded_length {
        plain.resize(padded_length, 0);
    }
    plain
}

/// What a footer's plaintext has before its payload, in bytes.
pub const FOOTER_OVERHEAD: usize = 9;

/// A footer's plaintext, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footer<'a> {
    /// 0: the payload is the body; 1: a zstd frame of it.
    pub form: u8,
    /// The body's length in bytes.
    pub raw_length: usize,
    /// The bytes.
    pub payload: &'a [u8],
}

/// Takes a footer's plaintext apart.
pub fn decode_footer(plain: &[u8]) -> Result<Footer<'_>, DecodeError> {
    let (head, rest) = plain.split_first_chunk::<FOOTER_OVERHEAD>().ok_or(DecodeError::Cut)?;
    let [form, r0, r1, r2, r3, p0, p1, p2, p3] = *head;
    let raw_length = u32::from_le_bytes([r0, r1, r2, r3]) as usize;
    let payload_length = u32::from_le_bytes([p0, p1, p2, p3]) as usize;
    if raw_length > LIMITS.record {
        return Err(DecodeError::TooLong { what: "footer" });
    }
    let (payload, padding) = rest.split_at_checked(payload_length).ok_or(DecodeError::Cut)?;
    if padding.iter().any(|&byte| byte != 0) {
        return Err(DecodeError::TrailingBytes);
    }
    match form {
        0 if raw_length != payload_length => Err(DecodeError::Inconsistent("footer")),
        0 | 1 => Ok(Footer { form, raw_length, payload }),
        _ => Err(DecodeError::Unknown("footer form")),
    }
}

/// Writes a trailer's plaintext.
pub fn encode_trailer(footer_stored_length: u32) -> [u8; 8] {
    let [b0, b1, b2, b3] = footer_stored_length.to_le_bytes();
    [b0, b1, b2, b3, 0, 0, 0, 0]
}

/// Reads a trailer's plaintext: the stored length of the footer, in bytes.
pub fn decode_trailer(plain: &[u8]) -> Result<usize, DecodeError> {
    let [b0, b1, b2, b3, rest @ ..] = *<&[u8; 8]>::try_from(plain).map_err(|_| DecodeError::Cut)?;
    if rest != [0; 4] {
        return Err(DecodeError::NotCanonical);
    }
    Ok(u32::from_le_bytes([b0, b1, b2, b3]) as usize)
}

/// Returns the smallest length not below `length` that Padmé allows: at most 12 % more, less for
/// larger ones, so that a length tells little (Nikitin et al., "Reducing Metadata Leakage from
/// Encrypted Files and Communication with PURBs", 2019, section 4).
pub fn padme(length: u64) -> u64 {
    let Some(exponent) = length.checked_ilog2().filter(|&exponent| exponent > 0) else {
        return length;
    };
    let kept_bits = exponent.ilog2().saturating_add(1);
    let mask = 1_u64
        .checked_shl(exponent.saturating_sub(kept_bits))
        .map_or(0, |step| step.saturating_sub(1));
    length.saturating_add(mask) & !mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_another_kind_version_or_feature_is_refused() {
        let keyed = ObjectHeader::keyed(ObjectKind::Pack, FEATURE_DELTA, 7, [9; 32]);
        let header = ObjectHeader::new(keyed, 7, [1; 32]);
        assert_eq!(ObjectHeader::decode(&header.bytes, ObjectKind::Pack), Ok(header));
        assert_eq!(header.check(), [1; 32]);
        let broken = |place: usize, byte: u8| {
            let mut bytes = header.bytes;
            bytes[place] = byte;
            ObjectHeader::decode(&bytes, ObjectKind::Pack)
        };
        assert_eq!(broken(0, b'x'), Err(DecodeError::BadMagic));
        assert_eq!(broken(4, 2), Err(DecodeError::Version(2)));
        assert_eq!(broken(5, 4), Err(DecodeError::BadMagic));
        assert_eq!(broken(6, 1), Err(DecodeError::BadMagic));
        assert_eq!(broken(8, 3), Err(DecodeError::Features(2)));
        assert_eq!(
            ObjectHeader::decode(&header.bytes[..79], ObjectKind::Pack),
            Err(DecodeError::Cut)
        );
    }

    #[test]
    fn padme_adds_at_most_an_eighth_and_never_takes() {
        for length in (0..5000_u64).chain([16 << 20, (16 << 20) + 1, u64::from(u32::MAX)]) {
            let padded = padme(length);
            assert!(padded >= length && padded <= length + length / 8, "{length}: {padded}");
            assert_eq!(padme(padded), padded);
        }
        assert_eq!(padme((16 << 20) + 1), (16 << 20) + (512 << 10));
    }

    #[test]
    fn a_footer_with_more_than_zeros_behind_it_is_refused() {
        let mut plain = encode_footer(0, 3, b"abc", 40);
        assert_eq!(decode_footer(&plain).unwrap().payload, b"abc");
        plain[39] = 1;
        assert_eq!(decode_footer(&plain), Err(DecodeError::TrailingBytes));
    }
}
