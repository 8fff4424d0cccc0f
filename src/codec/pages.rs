//! A blob's id from the hashes of its pages (`format-spec/5-delta.md`, rule 7).
//!
//! BLAKE3 is a tree, and a page of 4 KiB a whole subtree of it: the *page values* of a blob, which
//! are the chaining values of its pages, merge into its id. So who remembers them knows what a blob
//! becomes when some of its pages are replaced, without having the others. Source: the BLAKE3
//! paper, section 2.1, and its implementation's module on subtrees.

use blake3::hazmat::{
    HasherExt as _, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};

use super::crypto::RepositoryKeys;
use super::delta::PAGE;
use crate::format::pack::BlobKind;
use crate::id::BlobId;

/// A page's value.
pub type PageValue = [u8; 32];

impl RepositoryKeys {
    /// Returns the values of a data blob's pages; none for a blob of one page, whose id is no merge.
    pub fn page_values(&self, plain: &[u8]) -> Vec<PageValue> {
        if plain.len() <= PAGE {
            return Vec::new();
        }
        let key = self.id_key(BlobKind::Data);
        let mut offset = 0_u64;
        plain
            .chunks(PAGE)
            .map(|page| {
                let mut hasher = blake3::Hasher::new_keyed(key);
                hasher.set_input_offset(offset);
                offset = offset.saturating_add(PAGE as u64);
                hasher.update(page).finalize_non_root()
            })
            .collect()
    }

    /// Merges page values into the id of the data blob of `length` bytes that has these pages;
    /// `None` if there are not as many as such a blob has, or only one.
    pub fn merge_pages(&self, values: &[PageValue], length: u64) -> Option<BlobId> {
        let is_whole = values.len() as u64 == length.div_ceil(PAGE as u64);
        if !is_whole || values.len() < 2 {
            return None;
        }
        let mode = Mode::KeyedHash(self.id_key(BlobKind::Data));
        let (left, right) = halves(values, length)?;
        let root = merge_subtrees_root(
            &merge(left.0, left.1, mode)?,
            &merge(right.0, right.1, mode)?,
            mode,
        );
        Some(BlobId(*root.as_bytes()))
    }
}

type Part<'v> = (&'v [PageValue], u64);

fn halves(values: &[PageValue], length: u64) -> Option<(Part<'_>, Part<'_>)> {
    let left_length = left_subtree_len(length);
    let count = usize::try_from(left_length / PAGE as u64).ok()?;
    let (left, right) = values.split_at_checked(count)?;
    Some(((left, left_length), (right, length.checked_sub(left_length)?)))
}

fn merge(values: &[PageValue], length: u64, mode: Mode<'_>) -> Option<PageValue> {
    if let [only] = values {
        return Some(*only);
    }
    let (left, right) = halves(values, length)?;
    Some(merge_subtrees_non_root(
        &merge(left.0, left.1, mode)?,
        &merge(right.0, right.1, mode)?,
        mode,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::crypto::MasterKeys;
    use crate::id::RepositoryId;

    #[test]
    fn page_values_merge_into_the_id_whatever_the_length() {
        let keys = RepositoryKeys::derive(
            &MasterKeys::from_parts([1; 32], [2; 32]),
            &RepositoryId([3; 16]),
        );
        let mut bytes = vec![0; 128 << 10];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        for length in
            [1, 4095, 4096, 4097, 5000, 8192, 8193, 12_288, 60_000, 65_536, 70_001, 131_072]
        {
            let plain = &bytes[..length];
            let values = keys.page_values(plain);
            let merged = keys.merge_pages(&values, length as u64);
            if length <= PAGE {
                assert_eq!(merged, None);
                continue;
            }
            assert_eq!(merged, Some(keys.blob_id(BlobKind::Data, plain)), "{length}");
            let mut other = values.clone();
            other[values.len() / 2][7] ^= 1;
            assert_ne!(keys.merge_pages(&other, length as u64), merged);
            assert_eq!(keys.merge_pages(&values[1..], length as u64), None);
        }
    }
}
