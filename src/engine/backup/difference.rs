//! New blobs as differences of what the parent had in their place (`format-spec/5-delta.md`).
//!
//! A difference is taken only if it pays: at most half of what the blob would take by itself, in a
//! chain of which the same holds. It is turned back and compared before it is handed on. A base
//! that can't be read is no failure of the backup: the blob is then stored in full.
//!
//! Memory: 4 MiB of decompressed units, a base and a difference.

use crate::codec::delta::{
    PAGE, changed_pages, decode_delta, decode_patch, encode_delta, encode_patch,
};
use crate::codec::pages::PageValue;
use crate::codec::{Compression, UnitEncoder};
use crate::error::{Error, Result};
use crate::format::LIMITS;
use crate::format::pack::{BlobKind, UnitForm};
use crate::id::BlobId;
use crate::repository::Repository;
use crate::repository::cache::Chain;
use crate::repository::container::PlainUnit;
use crate::repository::reader::BlobReader;

/// Decompressed units that are kept: bases come in the order in which they were stored.
const KEPT_BYTES: usize = 4 << 20;
/// No chain that is written is deeper.
const DEEPEST: u64 = 16;
/// No blob that is written needs more units to be opened.
const MOST_UNITS: u32 = 32;
/// What a unit of its own takes beyond its payload: tag, base, lengths and form, in bytes.
const UNIT_COST: usize = 64;
/// zstd's level for differences.
const LEVEL: i32 = 3;

/// Writes differences. One for each thread.
pub(crate) struct DifferenceWriter<'a> {
    repository: &'a Repository,
    reader: BlobReader<'a>,
    alone: UnitEncoder,
    scratch: Vec<u8>,
}

impl<'a> DifferenceWriter<'a> {
    pub(crate) fn new(repository: &'a Repository) -> Result<Self> {
        Ok(DifferenceWriter {
            repository,
            reader: BlobReader::with_room(repository, KEPT_BYTES)?.near(),
            alone: UnitEncoder::new(Compression::Fast)
                .map_err(|error| Error::failed("cannot start compression").source(error))?,
            scratch: Vec::new(),
        })
    }

    /// Returns what reads the parent's blobs.
    pub(crate) fn reader(&mut self) -> &mut BlobReader<'a> {
        &mut self.reader
    }

    /// Returns a unit with `plain` as a difference of `base`, or of what that stands on, if one
    /// pays. `in_place` says that content keeps its place when it changes, as a database's pages
    /// do: then nothing else is tried.
    pub(crate) fn encode(
        &mut self,
        kind: BlobKind,
        id: &BlobId,
        plain: &[u8],
        base: &BlobId,
        in_place: bool,
    ) -> Result<Option<PlainUnit>> {
        let Some(chain) = self.repository.cache().find_chain(base)? else { return Ok(None) };
        if base == id || chain.foot == *id {
            return Ok(None);
        }
        let mut tries = vec![(*base, chain)];
        if chain.depth > 0 {
            tries.push((chain.foot, Chain { depth: 0, units: 1, difference_bytes: 0, ..chain }));
        }
        tries.retain(|(_, chain)| chain.depth < DEEPEST && chain.units < MOST_UNITS);
        for (base, chain) in tries {
            let Ok(old) = self.reader.load(kind, &base) else { return Ok(None) };
            let Some((form, payload)) = self.difference(plain, &old, in_place) else {
                return Ok(None);
            };
            if !self.pays(plain, payload.len()) {
                return Ok(None);
            }
            if is_light(&chain, &payload) {
                return Ok(Some(unit(kind, id, plain, form, payload, vec![base], &chain)));
            }
        }
        Ok(None)
    }

    /// Returns a unit with the changed pages of `plain`, if that pays; `values` are those of its
    /// pages, `remembered` those of the pages of `base`.
    ///
    /// What is remembered must merge into the base's id, and pages of one value are one page: so the
    /// patch gives `plain`, and no wrong memory makes a blob that can't be read.
    pub(crate) fn encode_remembered(
        &mut self,
        id: &BlobId,
        plain: &[u8],
        base: &BlobId,
        remembered: &[PageValue],
        values: &[PageValue],
    ) -> Result<Option<PlainUnit>> {
        let cache = self.repository.cache();
        let (Some(chain), Some(base_length)) = (cache.find_chain(base)?, cache.find_length(base)?)
        else {
            return Ok(None);
        };
        let keys = self.repository.keys();
        let pages = usize::try_from(base_length.div_ceil(PAGE as u64)).unwrap_or(usize::MAX);
        let remembered = remembered.get(..pages).unwrap_or_default();
        if base == id
            || chain.depth >= DEEPEST
            || chain.units >= MOST_UNITS
            || keys.merge_pages(remembered, base_length) != Some(*base)
            || keys.merge_pages(values, plain.len() as u64) != Some(*id)
        {
            return Ok(None);
        }
        let pages: Vec<u32> = (0_u32..)
            .zip(values)
            .enumerate()
            .filter(|(place, (_, value))| remembered.get(*place) != Some(value))
            .map(|(_, (number, _))| number)
            .collect();
        if pages.len() > values.len() / 2 {
            return Ok(None);
        }
        let Some(payload) = encode_patch(plain, &pages, None, LEVEL) else { return Ok(None) };
        // The unchanged pages are the base's: applied to itself, the patch must change nothing.
        let is_right = decode_patch(&payload, plain.len(), plain, false, &mut self.scratch).is_ok()
            && self.scratch == plain;
        if !is_right || !self.pays(plain, payload.len()) || !is_light(&chain, &payload) {
            return Ok(None);
        }
        let kind = BlobKind::Data;
        Ok(Some(unit(kind, id, plain, UnitForm::PagePatch, payload, vec![*base], &chain)))
    }

    /// Returns a unit with `plain` as a difference of some of `bases`, the best of which come first,
    /// if that pays.
    pub(crate) fn encode_moved(
        &mut self,
        kind: BlobKind,
        id: &BlobId,
        plain: &[u8],
        bases: &[BlobId],
    ) -> Result<Option<PlainUnit>> {
        let mut chosen: Vec<BlobId> = Vec::new();
        let mut together: Option<Chain> = None;
        let mut prefix = Vec::new();
        for base in bases.iter().filter(|base| *base != id) {
            let Some(chain) = self.repository.cache().find_chain(base)? else { continue };
            let sum = together.map_or(chain, |together| together.beside(&chain));
            if sum.depth >= DEEPEST || sum.units >= MOST_UNITS {
                continue;
            }
            let Ok(old) = self.reader.load(kind, base) else { continue };
            if prefix.len().saturating_add(old.len()) > LIMITS.delta_prefix {
                continue;
            }
            prefix.extend_from_slice(&old);
            chosen.push(*base);
            together = Some(sum);
            if chosen.len() >= LIMITS.delta_bases {
                break;
            }
        }
        let Some(chain) = together else { return Ok(None) };
        let cost = chosen.len().saturating_mul(BlobId::LEN);
        let Some(payload) = self.delta(plain, &prefix) else { return Ok(None) };
        if !self.pays(plain, payload.len().saturating_add(cost)) || !is_light(&chain, &payload) {
            return Ok(None);
        }
        Ok(Some(unit(kind, id, plain, UnitForm::Delta, payload, chosen, &chain)))
    }

    fn delta(&mut self, plain: &[u8], prefix: &[u8]) -> Option<Vec<u8>> {
        let payload = encode_delta(plain, prefix, LEVEL)?;
        decode_delta(&payload, plain.len(), prefix, &mut self.scratch).ok()?;
        (self.scratch.as_slice() == plain).then_some(payload)
    }

    /// Makes a difference and turns it back.
    fn difference(
        &mut self,
        plain: &[u8],
        old: &[u8],
        in_place: bool,
    ) -> Option<(UnitForm, Vec<u8>)> {
        let page_count = plain.len().div_ceil(PAGE);
        let is_paged = in_place || plain.len() == old.len();
        let pages = if is_paged { changed_pages(plain, old, page_count / 2) } else { None };
        match pages {
            Some(pages) => {
                let payload = encode_patch(plain, &pages, Some(old), LEVEL)?;
                decode_patch(&payload, plain.len(), old, true, &mut self.scratch).ok()?;
                let is_right = self.scratch.as_slice() == plain;
                is_right.then_some((UnitForm::PagePatchWithPrefix, payload))
            }
            None if in_place => None,
            None => self.delta(plain, old).map(|payload| (UnitForm::Delta, payload)),
        }
    }

    /// Returns whether a difference takes at most half of what the blob would take by itself.
    fn pays(&mut self, plain: &[u8], length: usize) -> bool {
        let length = length.saturating_add(UNIT_COST);
        // Nothing that is worth compressing shrinks more than this.
        if length <= plain.len() / 32 {
            return true;
        }
        if length > plain.len() / 2 {
            return false;
        }
        self.alone.encode(plain, &mut self.scratch);
        length <= self.scratch.len() / 2
    }
}

/// Returns whether the differences of a chain, with one more on top, stay below half of the full
/// form.
fn is_light(chain: &Chain, payload: &[u8]) -> bool {
    chain.difference_bytes.saturating_add(payload.len() as u64) <= chain.foot_bytes / 2
}

fn unit(
    kind: BlobKind,
    id: &BlobId,
    plain: &[u8],
    form: UnitForm,
    payload: Vec<u8>,
    bases: Vec<BlobId>,
    chain: &Chain,
) -> PlainUnit {
    let depth = chain.depth.saturating_add(1);
    PlainUnit { kind, form, payload, blobs: vec![(*id, plain.len() as u64)], bases, depth }
}
