//! Fingerprints of states, by which they are known again.

use std::hash::Hasher;

/// Two mixes of 64 bits, each with its own multiplier.
pub(crate) struct Fingerprint(u64, u64);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344)
    }
}

impl Fingerprint {
    fn mix(&mut self, word: u64) {
        let fold = |state: u64, word: u64, factor: u64| {
            let product = u128::from(state ^ word) * u128::from(factor);
            ((product as u64) ^ ((product >> 64) as u64)).wrapping_add(factor)
        };
        self.0 = fold(self.0, word, 0x9e37_79b9_7f4a_7c15);
        self.1 = fold(self.1, word.rotate_left(29), 0xc2b2_ae3d_27d4_eb4f);
    }

    /// Returns both.
    pub(crate) fn value(&self) -> u128 {
        (u128::from(self.0) << 64) | u128::from(self.1)
    }
}

impl Hasher for Fingerprint {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word) ^ ((chunk.len() as u64) << 56));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.mix(u64::from(value) + 1);
    }

    fn write_i16(&mut self, value: i16) {
        self.mix(value as u64);
    }

    fn write_u128(&mut self, value: u128) {
        self.mix(value as u64);
        self.mix((value >> 64) as u64);
    }

    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }
}
