//! Objects in the packs of a repository on disk, found by the packs' own indexes.

use std::fs::File;
use std::io::{BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::super::failure::{GitFailure, Outcome};
use super::super::object::{Kind, Oid};
use super::super::pack::{
    ID_DELTA, OFFSET_DELTA, apply_delta, inflate, kind_of, read_byte, read_head,
};
use super::{open_file, read_file};

/// Longer chains of differences than this git does not make.
const DEEPEST: usize = 4096;
/// What the differences of one object may come to, in bytes.
const MOST_DELTAS: usize = 2 * crate::format::LIMITS.object;

/// The packs that are known.
#[derive(Default)]
pub(super) struct Packs {
    known: Option<Vec<Index>>,
}

/// The index of a pack, as it is on disk.
struct Index {
    pack: PathBuf,
    bytes: Vec<u8>,
}

/// Where something is: a pack, and a place in it.
#[derive(Clone, Copy)]
struct Spot {
    pack: usize,
    offset: u64,
}

impl Packs {
    /// Forgets which packs there are.
    pub(super) fn forget(&mut self) {
        self.known = None;
    }

    /// Reads an object; `None` if no pack has it.
    pub(super) fn read(
        &mut self,
        oid: Oid,
        objects: &[PathBuf],
    ) -> Outcome<Option<(Kind, Vec<u8>)>> {
        if self.known.is_none() {
            self.known = Some(objects.iter().flat_map(|folder| indexes(folder)).collect());
        }
        let known = self.known.as_deref().unwrap_or_default();
        let Some(spot) = find(known, oid) else { return Ok(None) };
        read_at(known, spot)
    }
}

fn indexes(objects: &Path) -> Vec<Index> {
    list(&objects.join("pack"))
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "idx"))
        .filter_map(|path| {
            // What went away in the meantime has its objects elsewhere.
            let bytes = read_file(&path).ok()??;
            let is_known = bytes.starts_with(&[0xff, b't', b'O', b'c', 0, 0, 0, 2]);
            is_known.then(|| Index { pack: path.with_extension("pack"), bytes })
        })
        .collect()
}

#[expect(clippy::disallowed_methods, reason = "the store owns the repository's folder")]
fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn find(known: &[Index], oid: Oid) -> Option<Spot> {
    known
        .iter()
        .enumerate()
        .find_map(|(pack, index)| index.find(oid).map(|offset| Spot { pack, offset }))
}

impl Index {
    fn number(&self, at: usize) -> Option<u32> {
        self.bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// Returns where in its pack an object is.
    fn find(&self, oid: Oid) -> Option<u64> {
        const NAMES: usize = 8 + 256 * 4;
        let fan = |byte: usize| self.number(8 + byte * 4).map(|it| it as usize);
        let first = usize::from(*oid.0.first()?);
        let count = fan(255)?;
        let (mut low, mut high) = (if first == 0 { 0 } else { fan(first - 1)? }, fan(first)?);
        while low < high {
            let middle = low.midpoint(high);
            let name = self.bytes.get(NAMES + middle * 20..NAMES + middle * 20 + 20)?;
            match name.cmp(oid.0.as_slice()) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    let offset = self.number(NAMES + count * 24 + middle * 4)?;
                    if offset & 0x8000_0000 == 0 {
                        return Some(offset.into());
                    }
                    // Packs beyond 2 GiB have a second table.
                    let at = NAMES + count * 28 + (offset & 0x7fff_ffff) as usize * 8;
                    return self.bytes.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes);
                }
            }
        }
        None
    }
}

/// Reads an object: its differences down to something whole, and back.
fn read_at(known: &[Index], spot: Spot) -> Outcome<Option<(Kind, Vec<u8>)>> {
    let damaged =
        || GitFailure::lasting("a pack of the git repository is damaged", "run `git fsck` there");
    let (mut deltas, mut together) = (Vec::new(), 0_usize);
    let mut spot = spot;
    let (kind, mut bytes) = loop {
        let index = known.get(spot.pack).ok_or_else(damaged)?;
        let open = |file: File| -> std::io::Result<BufReader<File>> {
            let mut file = BufReader::new(file);
            file.seek(SeekFrom::Start(spot.offset))?;
            Ok(file)
        };
        let file = open_file(&index.pack)
            .map_err(|error| GitFailure::disk("cannot open a pack", &error))?;
        let Some(file) = file else { return Ok(None) };
        let mut file =
            open(file).map_err(|error| GitFailure::disk("cannot read a pack", &error))?;
        let (number, length) = read_head(&mut file)?;
        let next = match number {
            OFFSET_DELTA => {
                let mut byte = read_byte(&mut file)?;
                let mut back = u64::from(byte & 127);
                while byte & 0x80 != 0 {
                    byte = read_byte(&mut file)?;
                    back = (back + 1).checked_mul(128).ok_or_else(damaged)?;
                    back |= u64::from(byte & 127);
                }
                let offset = spot.offset.checked_sub(back).filter(|_| back > 0);
                Some(Spot { offset: offset.ok_or_else(damaged)?, ..spot })
            }
            ID_DELTA => {
                let mut base = [0; 20];
                std::io::Read::read_exact(&mut file, &mut base)
                    .map_err(|error| GitFailure::disk("cannot read a pack", &error))?;
                Some(find(known, Oid(base)).ok_or_else(damaged)?)
            }
            _ => None,
        };
        let bytes = inflate(&mut file, length)?;
        together = together.saturating_add(bytes.len());
        match (next, kind_of(number)) {
            (Some(next), _) if deltas.len() < DEEPEST && together <= MOST_DELTAS => {
                deltas.push(bytes);
                spot = next;
            }
            (None, Some(kind)) => break (kind, bytes),
            _ => return Err(damaged()),
        }
    };
    for delta in deltas.into_iter().rev() {
        bytes = apply_delta(&bytes.into(), &delta).ok_or_else(damaged)?;
    }
    Ok(Some((kind, bytes)))
}
