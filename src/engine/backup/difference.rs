//! New blobs as differences of what the parent had in their place (`format-spec/5-delta.md`).
//!
//! A difference is taken only if it pays: at most half of what the blob would take by itself, in a
//! chain of which the same holds. It is turned back and compared before it is handed on. A base
//! that can't be read is no failure of the backup: the blob is then stored in full.
//!
//! Memory: 2 MiB of decompressed units, a base and a difference.

use crate::codec::delta::{
    PAGE, changed_pages, decode_delta, decode_patch, encode_delta, encode_patch,
};
use crate::codec::{Compression, UnitEncoder};
use crate::error::{Error, Result};
use crate::format::pack::{BlobKind, UnitForm};
use crate::id::BlobId;
use crate::repository::Repository;
use crate::repository::cache::Chain;
use crate::repository::container::PlainUnit;
use crate::repository::reader::BlobReader;

/// Decompressed units that are kept: bases come in the order in which they were stored.
const KEPT_BYTES: usize = 2 << 20;
/// No chain that is written is deeper.
const DEEPEST: u64 = 16;
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
            reader: BlobReader::with_room(repository, KEPT_BYTES)?,
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
        let bottom = Chain { depth: 0, difference_bytes: 0, ..chain };
        let tries = [(*base, chain), (chain.foot, bottom)];
        // What is deep enough already branches off at the foot.
        let first = usize::from(chain.depth >= DEEPEST);
        for (base, chain) in tries.into_iter().skip(first) {
            let Ok(old) = self.reader.load(kind, &base) else { return Ok(None) };
            let Some((form, payload)) = self.difference(plain, &old, in_place) else {
                return Ok(None);
            };
            if !self.pays(plain, payload.len()) {
                return Ok(None);
            }
            let together = chain.difference_bytes.saturating_add(payload.len() as u64);
            if together <= chain.foot_bytes / 2 {
                let depth = chain.depth.saturating_add(1);
                return Ok(Some(PlainUnit {
                    kind,
                    form,
                    payload,
                    blobs: vec![(*id, plain.len() as u64)],
                    base: Some((base, depth)),
                }));
            }
            if base == chain.foot {
                break;
            }
        }
        Ok(None)
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
        let back = &mut self.scratch;
        let (form, payload) = match pages {
            Some(pages) => {
                let payload = encode_patch(plain, &pages, Some(old), LEVEL)?;
                decode_patch(&payload, plain.len(), old, true, back).ok()?;
                (UnitForm::PagePatchWithPrefix, payload)
            }
            None if in_place => return None,
            None => {
                let payload = encode_delta(plain, old, LEVEL)?;
                decode_delta(&payload, plain.len(), old, back).ok()?;
                (UnitForm::Delta, payload)
            }
        };
        (back.as_slice() == plain).then_some((form, payload))
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
