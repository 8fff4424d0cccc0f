//! Cut points (`format-spec/3-chunking.md`).
//!
//! Files are cut by `FastCDC` (Xia et al., "The Design of Fast Content-Defined Chunking for Data
//! Deduplication Based Storage Systems", IEEE TPDS 2020) with a gear table that comes from the
//! repository's key, so that sizes alone don't tell which known file is stored. Databases are cut
//! at every 128 KiB. Both allocate nothing for a byte.

use fastcdc::v2020::{Normalization, cut_gear, select_masks};

/// No chunk but a file's last is shorter, in bytes.
pub const MINIMUM: usize = 64 << 10;
/// The length that chunks tend to, in bytes.
pub const AVERAGE: usize = 256 << 10;
/// No chunk is longer, in bytes.
pub const MAXIMUM: usize = 1 << 20;
/// The length of every chunk of a database but the last, in bytes.
pub const DATABASE: usize = 128 << 10;

/// How a file is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cut {
    /// Where the content says.
    Content,
    /// At every [`DATABASE`] bytes.
    Fixed,
}

/// Finds cut points. Holds the keyed tables; may be shared between threads.
pub struct Chunker {
    gear: Box<[u64; 256]>,
    gear_shifted: Box<[u64; 256]>,
    mask_small: u64,
    mask_large: u64,
}

impl Chunker {
    /// Returns a chunker whose gear table is the first 2,048 bytes of the extended output of
    /// keyed BLAKE3 over nothing, as little-endian 64-bit numbers.
    pub fn new(key: &[u8; 32]) -> Self {
        let mut output = blake3::Hasher::new_keyed(key).finalize_xof();
        let mut gear = Box::new([0_u64; 256]);
        let mut gear_shifted = Box::new([0_u64; 256]);
        for (value, shifted) in gear.iter_mut().zip(gear_shifted.iter_mut()) {
            let mut bytes = [0; 8];
            output.fill(&mut bytes);
            *value = u64::from_le_bytes(bytes);
            *shifted = *value << 1;
        }
        let (mask_small, mask_large) = select_masks(AVERAGE, Normalization::Level1);
        Chunker { gear, gear_shifted, mask_small, mask_large }
    }

    /// Returns the length of the first chunk of `window`, or `None` if more bytes must be seen
    /// first. `at_end` says that the file ends with the window. Never 0 for a window that is not
    /// empty.
    pub fn cut(&self, window: &[u8], at_end: bool, cut: Cut) -> Option<usize> {
        let needed = match cut {
            Cut::Content => MAXIMUM,
            Cut::Fixed => DATABASE,
        };
        if window.is_empty() || (window.len() < needed && !at_end) {
            return None;
        }
        Some(match cut {
            Cut::Fixed => window.len().min(DATABASE),
            Cut::Content => {
                let (_, length) = cut_gear(
                    window,
                    MINIMUM,
                    AVERAGE,
                    MAXIMUM,
                    self.mask_small,
                    self.mask_large,
                    self.mask_small << 1,
                    self.mask_large << 1,
                    self.gear.as_slice(),
                    self.gear_shifted.as_slice(),
                );
                length.clamp(1, window.len())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    fn cuts(chunker: &Chunker, mut bytes: &[u8], cut: Cut) -> Vec<usize> {
        let mut lengths = Vec::new();
        while let Some(length) = chunker.cut(bytes, true, cut) {
            lengths.push(length);
            bytes = &bytes[length..];
        }
        lengths
    }

    /// The cut points are part of the format: these may never change.
    #[test]
    fn golden_cut_points() {
        let chunker = Chunker::new(&[0; 32]);
        let lengths = cuts(&chunker, &noise(3 << 20), Cut::Content);
        assert_eq!(lengths.iter().sum::<usize>(), 3 << 20);
        assert_eq!(lengths, GOLDEN);
    }
    const GOLDEN: &[usize] = &[
        319_426, 259_486, 281_301, 228_073, 233_972, 308_932, 368_103, 437_596, 302_124, 371_871,
        34_844,
    ];

    #[test]
    fn the_key_decides_where_files_are_cut() {
        let bytes = noise(3 << 20);
        assert_ne!(
            cuts(&Chunker::new(&[0; 32]), &bytes, Cut::Content),
            cuts(&Chunker::new(&[1; 32]), &bytes, Cut::Content)
        );
    }

    #[test]
    fn an_insertion_moves_only_the_cuts_near_it() {
        let chunker = Chunker::new(&[0; 32]);
        let bytes = noise(8 << 20);
        let mut longer = bytes.clone();
        longer.splice(1_000_000..1_000_000, [1, 2, 3]);
        let before = cuts(&chunker, &bytes, Cut::Content);
        let after = cuts(&chunker, &longer, Cut::Content);
        let same_tail =
            before.iter().rev().zip(after.iter().rev()).take_while(|(a, b)| a == b).count();
        assert!(same_tail + 8 > before.len(), "{same_tail} of {}", before.len());
    }

    #[test]
    fn databases_are_cut_at_fixed_places_and_nothing_waits_at_the_end() {
        let chunker = Chunker::new(&[0; 32]);
        assert_eq!(cuts(&chunker, &vec![0; DATABASE * 2 + 1], Cut::Fixed), [DATABASE, DATABASE, 1]);
        assert_eq!(chunker.cut(&[], true, Cut::Fixed), None);
        assert_eq!(chunker.cut(&[1; 100], false, Cut::Content), None);
        assert_eq!(chunker.cut(&[1; 100], true, Cut::Content), Some(100));
    }
}
