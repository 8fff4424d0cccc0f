//! A blob as a difference from another (`format-spec/5-delta.md`).
//!
//! A *delta* is a zstd frame with the base's plaintext as prefix. A *page patch* is the base with
//! some 4 KiB pages replaced: `count`, then `count` page numbers in ascending order (both u32,
//! little-endian), then a zstd frame of the new pages one after the other; the last page of the
//! blob may be short. In the second form of a patch the frame has the base's pages of the same
//! numbers as prefix.

use zstd::zstd_safe::{CCtx, CParameter, DCtx, DParameter};

use super::{CodecError, ZSTD_WINDOW_LOG, check_frame};
use crate::format::LIMITS;

/// The size of a page in a page patch, in bytes.
pub const PAGE: usize = 4096;

/// Compresses `plain` with `base` as prefix. `None` if zstd refuses.
///
/// Measured on edited text and database pages: level 3 finds the matches however far they lie
/// (base and plain of 1 MiB each: 171 bytes in 0.5 ms); level 1 loses the far end of the prefix
/// from 256 KiB on.
pub fn encode_delta(plain: &[u8], base: &[u8], level: i32) -> Option<Vec<u8>> {
    compress_with_prefix(plain, base, level)
}

/// Returns the numbers of the pages in which `plain` differs from `base`, those beyond the base's
/// end among them; `None` if they are more than `most`.
pub fn changed_pages(plain: &[u8], base: &[u8], most: usize) -> Option<Vec<u32>> {
    let mut changed = Vec::new();
    for (number, page) in (0_u32..).zip(plain.chunks(PAGE)) {
        if page_of(base, number) != Some(page) {
            if changed.len() >= most {
                return None;
            }
            changed.push(number);
        }
    }
    Some(changed)
}

/// Turns a delta back into plaintext of exactly `raw_length` bytes.
pub fn decode_delta(
    payload: &[u8],
    raw_length: usize,
    base: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    decompress_with_prefix(payload, raw_length, base, out)
}

/// Writes the pages of `plain` whose numbers are in `pages` (ascending) as a patch; with `base`,
/// its pages of the same numbers are the prefix.
pub fn encode_patch(
    plain: &[u8],
    pages: &[u32],
    base: Option<&[u8]>,
    level: i32,
) -> Option<Vec<u8>> {
    let mut payload = Vec::new();
    payload.extend_from_slice(&u32::try_from(pages.len()).ok()?.to_le_bytes());
    let mut content = Vec::new();
    for &page in pages {
        payload.extend_from_slice(&page.to_le_bytes());
        content.extend_from_slice(page_of(plain, page)?);
    }
    let prefix = base.map_or_else(Vec::new, |base| old_pages(base, pages));
    payload.extend_from_slice(&compress_with_prefix(&content, &prefix, level)?);
    Some(payload)
}

/// Applies a patch to `base`; the result has exactly `raw_length` bytes.
pub fn decode_patch(
    payload: &[u8],
    raw_length: usize,
    base: &[u8],
    with_prefix: bool,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let (count, rest) = payload.split_first_chunk::<4>().ok_or(CodecError::BadPatch)?;
    let count = u32::from_le_bytes(*count) as usize;
    if raw_length > LIMITS.blob || count > raw_length.div_ceil(PAGE) {
        return Err(CodecError::BadPatch);
    }
    let (numbers, frame) =
        rest.split_at_checked(count.saturating_mul(4)).ok_or(CodecError::BadPatch)?;
    let pages: Vec<u32> = numbers
        .chunks_exact(4)
        .filter_map(|bytes| <[u8; 4]>::try_from(bytes).ok().map(u32::from_le_bytes))
        .collect();
    let ascending = pages.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
    if !ascending {
        return Err(CodecError::BadPatch);
    }
    out.clear();
    out.extend_from_slice(base.get(..raw_length.min(base.len())).unwrap_or(base));
    out.resize(raw_length, 0);
    let mut lengths = Vec::with_capacity(count);
    for &page in &pages {
        lengths.push(page_of(out, page).ok_or(CodecError::BadPatch)?.len());
    }
    // Every byte past the base's end must come from the patch.
    let first_new_page = u32::try_from(base.len() / PAGE).map_err(|_| CodecError::BadPatch)?;
    let page_count = u32::try_from(raw_length.div_ceil(PAGE)).map_err(|_| CodecError::BadPatch)?;
    if raw_length > base.len()
        && (first_new_page..page_count).any(|page| pages.binary_search(&page).is_err())
    {
        return Err(CodecError::BadPatch);
    }
    let prefix = if with_prefix { old_pages(base, &pages) } else { Vec::new() };
    let mut content = Vec::new();
    decompress_with_prefix(frame, lengths.iter().sum(), &prefix, &mut content)?;
    let mut rest = content.as_slice();
    for (&page, &length) in pages.iter().zip(&lengths) {
        let (new, tail) = rest.split_at_checked(length).ok_or(CodecError::BadPatch)?;
        let start = (page as usize).saturating_mul(PAGE);
        out.get_mut(start..start.saturating_add(length))
            .ok_or(CodecError::BadPatch)?
            .copy_from_slice(new);
        rest = tail;
    }
    Ok(())
}

fn page_of(bytes: &[u8], page: u32) -> Option<&[u8]> {
    let start = (page as usize).checked_mul(PAGE)?;
    let end = start.checked_add(PAGE)?.min(bytes.len());
    bytes.get(start..end).filter(|page| !page.is_empty())
}

fn old_pages(base: &[u8], pages: &[u32]) -> Vec<u8> {
    pages.iter().filter_map(|&page| page_of(base, page)).flatten().copied().collect()
}

fn compress_with_prefix(plain: &[u8], prefix: &[u8], level: i32) -> Option<Vec<u8>> {
    let mut context = CCtx::try_create()?;
    context.set_parameter(CParameter::CompressionLevel(level)).ok()?;
    // The window must reach over the prefix.
    let reach = prefix.len().saturating_add(plain.len()).max(1 << 10);
    let window = reach.next_power_of_two().ilog2().clamp(10, ZSTD_WINDOW_LOG);
    context.set_parameter(CParameter::WindowLog(window)).ok()?;
    context.ref_prefix(prefix).ok()?;
    let mut out = Vec::with_capacity(zstd::zstd_safe::compress_bound(plain.len()));
    context.compress2(&mut out, plain).ok()?;
    // Most are tiny, and wait in a pack for many others: cut short in its place, each would leave a
    // hole behind it that the next one does not fit into.
    Some(out.as_slice().to_vec())
}

fn decompress_with_prefix(
    frame: &[u8],
    raw_length: usize,
    prefix: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    if raw_length > LIMITS.blob {
        return Err(CodecError::TooLong);
    }
    check_frame(frame)?;
    let mut context = DCtx::try_create().ok_or(CodecError::BadFrame)?;
    context
        .set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG))
        .map_err(|_| CodecError::BadFrame)?;
    context.ref_prefix(prefix).map_err(|_| CodecError::BadFrame)?;
    out.clear();
    out.reserve(raw_length);
    match context.decompress(out, frame) {
        Ok(length) if length == raw_length => Ok(()),
        _ => Err(CodecError::BadFrame),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new_keyed(&[seed; 32]).finalize_xof().fill(&mut bytes);
        bytes
    }

    #[test]
    fn a_delta_of_a_small_change_is_small_and_comes_back() {
        let base = noise(1, 128 << 10);
        let mut plain = base.clone();
        plain[70_000..70_010].copy_from_slice(b"0123456789");
        let delta = encode_delta(&plain, &base, 3).unwrap();
        assert!(delta.len() < 100, "{}", delta.len());
        let mut back = Vec::new();
        decode_delta(&delta, plain.len(), &base, &mut back).unwrap();
        assert_eq!(back, plain);
        assert!(
            decode_delta(&delta, plain.len(), &noise(2, 128 << 10), &mut back).is_err()
                || back != plain
        );
    }

    #[test]
    fn patches_replace_pages_and_may_lengthen_or_shorten() {
        let base = noise(1, 5 * PAGE + 100);
        for length in [5 * PAGE + 100, 3 * PAGE, 8 * PAGE + 7] {
            let mut plain = base.clone();
            plain.resize(length, 9);
            plain[PAGE] ^= 1;
            let mut pages: Vec<u32> = vec![1];
            let count = u32::try_from(length.div_ceil(PAGE)).unwrap();
            if length > base.len() {
                pages.extend(5..count);
            }
            for prefix in [false, true] {
                let patch =
                    encode_patch(&plain, &pages, prefix.then_some(base.as_slice()), 3).unwrap();
                let mut back = Vec::new();
                decode_patch(&patch, length, &base, prefix, &mut back).unwrap();
                assert_eq!(back, plain);
            }
        }
    }

    #[test]
    fn changed_pages_are_those_that_a_patch_must_carry() {
        let base = noise(1, 3 * PAGE + 100);
        let mut plain = base.clone();
        assert_eq!(changed_pages(&plain, &base, 0), Some(vec![]));
        plain[PAGE + 7] ^= 1;
        plain.extend_from_slice(&noise(2, PAGE));
        // The short page at the end got longer, and another came after it.
        assert_eq!(changed_pages(&plain, &base, 3), Some(vec![1, 3, 4]));
        assert_eq!(changed_pages(&plain, &base, 2), None);
        plain.truncate(2 * PAGE);
        assert_eq!(changed_pages(&plain, &base, 3), Some(vec![1]));
        let patch = encode_patch(&plain, &[1], Some(&base), 3).unwrap();
        let mut back = Vec::new();
        decode_patch(&patch, plain.len(), &base, true, &mut back).unwrap();
        assert_eq!(back, plain);
    }

    #[test]
    fn malformed_patches_are_refused() {
        let base = noise(1, 2 * PAGE);
        let mut out = Vec::new();
        let mut check =
            |payload: &[u8], length| decode_patch(payload, length, &base, false, &mut out);
        assert_eq!(check(&[], PAGE), Err(CodecError::BadPatch));
        assert_eq!(check(&[9, 0, 0, 0], PAGE), Err(CodecError::BadPatch));
        assert_eq!(check(&[0xff; 40], PAGE), Err(CodecError::BadPatch));
        let twice = [2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0];
        assert_eq!(check(&twice, 2 * PAGE), Err(CodecError::BadPatch));
        let beyond = [1, 0, 0, 0, 2, 0, 0, 0];
        assert_eq!(check(&beyond, 2 * PAGE), Err(CodecError::BadPatch));
        let hole = [0, 0, 0, 0];
        assert_eq!(check(&hole, 3 * PAGE), Err(CodecError::BadPatch));
    }
}
