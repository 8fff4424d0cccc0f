//! Bytes to bytes: cutting, compressing, sealing, and back.
//!
//! Pure but for random bytes, which only [`crypto`] draws. One [`UnitEncoder`] or [`UnitDecoder`]
//! belongs to one thread; both keep their zstd context, since a fresh one for each unit costs up
//! to 41 % more.

pub mod chunker;
pub mod crypto;
pub mod delta;
pub mod pages;

use crate::format::LIMITS;
use crate::format::pack::UnitForm;

/// Why stored bytes can't be turned back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Authentication failed: the bytes were changed, or belong elsewhere.
    #[error("authentication failed")]
    BadTag,
    /// The key check in the header does not fit the key.
    #[error("sealed under another key, or the header is damaged")]
    WrongKey,
    /// The object's key epoch is none that this holder knows.
    #[error("sealed under key epoch {0}, which was not granted to this key")]
    UnknownEpoch(u32),
    /// Rotations met: no grant holds all epochs.
    #[error("two rotations of the keys met")]
    EpochsApart,
    /// The grants hold less than this machine has seen.
    #[error("a rotation of the keys that this machine has seen is gone from the store")]
    EpochsBehind,
    /// The bytes are no zstd frame of the declared size.
    #[error("decompression failed")]
    BadFrame,
    /// A page patch is malformed.
    #[error("malformed page patch")]
    BadPatch,
    /// The plaintext is not what its id says.
    #[error("content does not match its id")]
    WrongContent,
    /// Larger than a reader accepts.
    #[error("larger than allowed")]
    TooLong,
    /// The operating system gave no random bytes.
    #[error("no random bytes from the operating system")]
    NoRandomness,
}

/// The largest window that a zstd frame may ask for, as a power of two (8 MiB).
pub const ZSTD_WINDOW_LOG: u32 = 23;

/// How hard to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// zstd level 1: nearly twice as fast, 7 to 21 % more bytes.
    Fast,
    /// zstd level 3.
    #[default]
    Auto,
    /// zstd level 19.
    Max,
}

impl Compression {
    fn level(self) -> i32 {
        match self {
            Compression::Fast => 1,
            Compression::Auto => 3,
            Compression::Max => 19,
        }
    }
}

/// Compresses units. Keep one for each thread.
pub struct UnitEncoder {
    context: zstd::bulk::Compressor<'static>,
}

impl UnitEncoder {
    /// Returns an encoder.
    pub fn new(compression: Compression) -> Result<Self, CodecError> {
        let context =
            zstd::bulk::Compressor::new(compression.level()).map_err(|_| CodecError::BadFrame)?;
        Ok(UnitEncoder { context })
    }

    /// Compresses `plain` into `out`, which is overwritten; returns the form to record. What does
    /// not get smaller is kept as it is.
    pub fn encode(&mut self, plain: &[u8], out: &mut Vec<u8>) -> UnitForm {
        out.clear();
        out.reserve(zstd::zstd_safe::compress_bound(plain.len()).saturating_add(16));
        match self.context.compress_to_buffer(plain, out) {
            Ok(length) if length < plain.len() => UnitForm::Zstd,
            _ => {
                out.clear();
                out.extend_from_slice(plain);
                UnitForm::Raw
            }
        }
    }
}

/// Decompresses units. Keep one for each thread.
pub struct UnitDecoder {
    context: zstd::bulk::Decompressor<'static>,
}

impl UnitDecoder {
    /// Returns a decoder.
    pub fn new() -> Result<Self, CodecError> {
        let mut context = zstd::bulk::Decompressor::new().map_err(|_| CodecError::BadFrame)?;
        context
            .set_parameter(zstd::zstd_safe::DParameter::WindowLogMax(ZSTD_WINDOW_LOG))
            .map_err(|_| CodecError::BadFrame)?;
        Ok(UnitDecoder { context })
    }

    /// Turns an opened payload back into plaintext of exactly `raw_length` bytes, which replaces
    /// what is in `out`. `base` is the base's plaintext, for the forms that have one.
    pub fn decode(
        &mut self,
        form: UnitForm,
        payload: &[u8],
        raw_length: usize,
        base: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        if raw_length > LIMITS.unit {
            return Err(CodecError::TooLong);
        }
        out.clear();
        match (form, base) {
            (UnitForm::Raw, _) => {
                if payload.len() != raw_length {
                    return Err(CodecError::BadFrame);
                }
                out.extend_from_slice(payload);
                Ok(())
            }
            (UnitForm::Zstd, _) => self.decode_zstd(payload, raw_length, out),
            (UnitForm::Delta, Some(base)) => delta::decode_delta(payload, raw_length, base, out),
            (UnitForm::PagePatch, Some(base)) => {
                delta::decode_patch(payload, raw_length, base, false, out)
            }
            (UnitForm::PagePatchWithPrefix, Some(base)) => {
                delta::decode_patch(payload, raw_length, base, true, out)
            }
            (_, None) => Err(CodecError::WrongContent),
        }
    }

    /// Decompresses one frame that fills `frame` and must give exactly `raw_length` bytes.
    pub fn decode_zstd(
        &mut self,
        frame: &[u8],
        raw_length: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        out.clear();
        if raw_length > LIMITS.unit {
            return Err(CodecError::TooLong);
        }
        check_frame(frame)?;
        out.reserve(raw_length);
        // zstd fills what room there is, which an earlier unit bounded; the length decides.
        let result = self.context.decompress_to_buffer(frame, out);
        match result {
            Ok(length) if length == raw_length => Ok(()),
            _ => {
                out.clear();
                Err(CodecError::BadFrame)
            }
        }
    }
}

/// Checks that `frame` is one zstd frame, without a dictionary, and that its window is allowed.
///
/// Decoding in one piece would take several frames in a row, frames that are skipped, and any
/// window: a reader that decodes as a stream would refuse those.
fn check_frame(frame: &[u8]) -> Result<(), CodecError> {
    let (magic, rest) = frame.split_first_chunk::<4>().ok_or(CodecError::BadFrame)?;
    let (&descriptor, rest) = rest.split_first().ok_or(CodecError::BadFrame)?;
    let (has_window, has_dictionary) = (descriptor & 0x20 == 0, descriptor & 3 != 0);
    if *magic != [0x28, 0xb5, 0x2f, 0xfd] || has_dictionary {
        return Err(CodecError::BadFrame);
    }
    // Exponent and eighths (RFC 8878, section 3.1.1.1.2). Without a window there is a content
    // size, which decoding compares with the room it has.
    let window = rest.first().map_or(0, |byte| {
        let base = 1_u64 << (byte >> 3).saturating_add(10);
        base.saturating_add((base / 8).saturating_mul(u64::from(byte & 7)))
    });
    if has_window && window > 1 << ZSTD_WINDOW_LOG {
        return Err(CodecError::BadFrame);
    }
    match zstd::zstd_safe::find_frame_compressed_size(frame) {
        Ok(length) if length == frame.len() => Ok(()),
        _ => Err(CodecError::BadFrame),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_whole_frame_with_an_allowed_window_is_read() {
        let mut encoder = UnitEncoder::new(Compression::Auto).unwrap();
        let mut decoder = UnitDecoder::new().unwrap();
        let (mut frame, mut back) = (Vec::new(), Vec::new());
        encoder.encode(&[7; 500], &mut frame);
        assert!(decoder.decode_zstd(&frame, 500, &mut back).is_ok());
        let twice = [frame.as_slice(), &frame].concat();
        assert_eq!(decoder.decode_zstd(&twice, 1000, &mut back), Err(CodecError::BadFrame));
        let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9], frame.as_slice()].concat();
        assert_eq!(decoder.decode_zstd(&skipped, 500, &mut back), Err(CodecError::BadFrame));
        // One raw block of one byte, window 8 MiB and one step more.
        for (window, read) in [(13 << 3, true), (13 << 3 | 1, false)] {
            let frame = [0x28, 0xb5, 0x2f, 0xfd, 0, window, 9, 0, 0, b'x'];
            assert_eq!(decoder.decode_zstd(&frame, 1, &mut back).is_ok(), read);
        }
    }

    #[test]
    fn what_does_not_shrink_is_kept_raw() {
        let mut encoder = UnitEncoder::new(Compression::Auto).unwrap();
        let mut decoder = UnitDecoder::new().unwrap();
        let random: Vec<u8> = blake3::Hasher::new().finalize_xof().take_bytes(5000);
        for (plain, form) in
            [(vec![7; 5000], UnitForm::Zstd), (random, UnitForm::Raw), (vec![], UnitForm::Raw)]
        {
            let (mut stored, mut back) = (Vec::new(), Vec::new());
            assert_eq!(encoder.encode(&plain, &mut stored), form);
            decoder.decode(form, &stored, plain.len(), None, &mut back).unwrap();
            assert_eq!(back, plain);
        }
    }

    #[test]
    fn a_frame_of_another_size_than_declared_is_refused() {
        let mut encoder = UnitEncoder::new(Compression::Auto).unwrap();
        let mut decoder = UnitDecoder::new().unwrap();
        let (mut stored, mut back) = (Vec::new(), Vec::new());
        encoder.encode(&[7; 5000], &mut stored);
        for declared in [0, 4999, 5001, 1 << 20] {
            assert!(decoder.decode(UnitForm::Zstd, &stored, declared, None, &mut back).is_err());
        }
        assert_eq!(
            decoder.decode(UnitForm::Zstd, &stored, LIMITS.unit + 1, None, &mut back),
            Err(CodecError::TooLong)
        );
    }

    trait TakeBytes {
        fn take_bytes(self, count: usize) -> Vec<u8>;
    }
    impl TakeBytes for blake3::OutputReader {
        fn take_bytes(mut self, count: usize) -> Vec<u8> {
            let mut bytes = vec![0; count];
            self.fill(&mut bytes);
            bytes
        }
    }
}
