//! Packs, the form in which objects travel.
//!
//! What is sent has no differences in it: it is encrypted, and resembles nothing. What comes may
//! have some, since the server sends what it has (page "pack-format" of git's own manual).

use std::collections::HashMap;
use std::io::{BufRead, ErrorKind, Read, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::bufread::ZlibDecoder;
use flate2::write::ZlibEncoder;
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

use super::failure::{GitFailure, Outcome};
use super::object::{Kind, NewObject, Oid, finish, oid_of};
use super::received::Received;
use crate::format::LIMITS;

/// The numbers of differences in a pack: from a base at an offset, and from one by its id.
pub(super) const OFFSET_DELTA: u8 = 6;
pub(super) const ID_DELTA: u8 = 7;
/// What may wait for its base while a pack is read, in bytes.
const MOST_PENDING: usize = 64 << 20;
/// What each costs beside its bytes.
const OVERHEAD: usize = 64;

/// Appends a pack of the objects.
pub(super) fn write_pack(target: &mut Vec<u8>, objects: &[NewObject]) {
    let start = target.len();
    // By exactly what is needed: there is to be one copy of what is sent, and not much more.
    target
        .reserve_exact(objects.iter().map(|object| object.len() + object.len() / 1000 + 128).sum());
    let mut pack = std::mem::take(target);
    pack.extend_from_slice(b"PACK\0\0\0\x02");
    let count = u32::try_from(objects.len()).unwrap_or(u32::MAX);
    pack.extend_from_slice(&count.to_be_bytes());
    for object in objects {
        let mut length = object.len();
        let mut byte = (object.kind as u8) << 4 | low(length & 15);
        length >>= 4;
        while length > 0 {
            pack.push(byte | 0x80);
            byte = low(length & 127);
            length >>= 7;
        }
        pack.push(byte);
        pack = deflate(pack, object);
    }
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    context.update(pack.get(start..).unwrap_or_default());
    pack.extend_from_slice(&finish(context).0);
    *target = pack;
}

/// Returns a number below 128 as a byte.
fn low(number: usize) -> u8 {
    u8::try_from(number).unwrap_or_default()
}

/// Appends an object's bytes in zlib's form: those of a blob as they are, since they are encrypted.
pub(super) fn deflate(target: Vec<u8>, object: &NewObject) -> Vec<u8> {
    let is_sealed = object.kind == Kind::Blob && object.len() > 4096;
    let level = if is_sealed { Compression::none() } else { Compression::default() };
    let mut encoder = ZlibEncoder::new(target, level);
    for part in &object.parts {
        encoder.write_all(part).expect("memory takes everything");
    }
    encoder.finish().expect("memory takes everything")
}

/// Hashes what is read through it.
struct Hashed<R> {
    from: R,
    context: Context,
}

impl<R: BufRead> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.context.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Hashed<R> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        self.from.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        if let Ok(bytes) = self.from.fill_buf() {
            self.context.update(bytes.get(..count).unwrap_or_default());
        }
        self.from.consume(count);
    }
}

/// Differences whose bases have not come yet.
#[derive(Default)]
struct Pending {
    by_base: HashMap<Oid, Vec<Vec<u8>>>,
    bytes: usize,
}

impl Pending {
    fn add(&mut self, base: Oid, delta: Vec<u8>) -> Outcome<()> {
        // Our own objects are encrypted, or lists that are short: there are no such differences.
        self.bytes = self.bytes.saturating_add(delta.len()).saturating_add(OVERHEAD);
        if self.bytes > MOST_PENDING {
            return Err(GitFailure::odd("more differences than there can be, and no bases"));
        }
        self.by_base.entry(base).or_default().push(delta);
        Ok(())
    }

    /// Makes what waits for an object that has come, and what waits for that.
    fn resolve(&mut self, come: Oid, received: &mut Received) -> Outcome<()> {
        let mut come = vec![come];
        while let Some(base) = come.pop() {
            // A base that came and was not kept is one of what nobody asked for.
            for delta in self.by_base.remove(&base).unwrap_or_default() {
                self.bytes = self.bytes.saturating_sub(delta.len().saturating_add(OVERHEAD));
                come.extend(join(base, &delta, received)?);
            }
        }
        Ok(())
    }
}

/// Makes an object from its base, if that is here, and the difference.
fn join(base: Oid, delta: &[u8], received: &mut Received) -> Outcome<Option<Oid>> {
    let Some((kind, base)) = received.get(&base) else { return Ok(None) };
    let (kind, base) = (*kind, base.whole()?);
    let bytes = apply_delta(&base, delta)
        .ok_or_else(|| GitFailure::odd("a difference that fits nothing"))?;
    let oid = oid_of(kind, &[&bytes]);
    received.add(oid, kind, bytes).map(|()| Some(oid))
}

/// Reads a pack into `received`.
pub(super) fn read_pack(from: impl BufRead, received: &mut Received) -> Outcome<()> {
    let mut from = Hashed { from, context: Context::new(&SHA1_FOR_LEGACY_USE_ONLY) };
    let mut head = [0; 12];
    from.read_exact(&mut head).map_err(|error| broken(&error))?;
    let count = match head {
        [b'P', b'A', b'C', b'K', 0, 0, 0, 2 | 3, a, b, c, d] => u32::from_be_bytes([a, b, c, d]),
        _ => return Err(GitFailure::odd("it sends no pack")),
    };
    let mut pending = Pending::default();
    for _ in 0..count {
        let (number, length) = read_head(&mut from)?;
        let base = match number {
            ID_DELTA => {
                let mut base = [0; 20];
                from.read_exact(&mut base).map_err(|error| broken(&error))?;
                Some(Oid(base))
            }
            _ => None,
        };
        let bytes = inflate(&mut from, length)?;
        let come = match (kind_of(number), base) {
            (Some(kind), _) => {
                let oid = oid_of(kind, &[&bytes]);
                received.add(oid, kind, bytes)?;
                oid
            }
            (None, Some(base)) => {
                let Some(oid) = join(base, &bytes, received)? else {
                    pending.add(base, bytes)?;
                    continue;
                };
                oid
            }
            (None, None) => return Err(GitFailure::odd("an object of a kind nobody asked for")),
        };
        pending.resolve(come, received)?;
    }
    let sum = finish(from.context);
    let mut own = [0; 20];
    from.from.read_exact(&mut own).map_err(|error| broken(&error))?;
    if sum.0 != own {
        return Err(GitFailure::passing("a pack was changed on its way"));
    }
    // What waits still is a difference from something that nobody asked for.
    Ok(())
}

pub(super) fn kind_of(number: u8) -> Option<Kind> {
    [Kind::Commit, Kind::Tree, Kind::Blob, Kind::Tag].into_iter().find(|it| *it as u8 == number)
}

/// Reads what stands before an object: its kind's number and its length.
pub(super) fn read_head(from: &mut impl Read) -> Outcome<(u8, u64)> {
    let mut byte = read_byte(from)?;
    let number = byte >> 4 & 7;
    let (mut length, mut shift) = (u64::from(byte & 15), 4);
    while byte & 0x80 != 0 {
        byte = read_byte(from)?;
        if shift > 57 {
            return Err(GitFailure::odd("a length that can't be"));
        }
        length |= u64::from(byte & 127) << shift;
        shift += 7;
    }
    Ok((number, length))
}

pub(super) fn read_byte(from: &mut impl Read) -> Outcome<u8> {
    let mut byte = [0];
    from.read_exact(&mut byte).map_err(|error| broken(&error))?;
    let [byte] = byte;
    Ok(byte)
}

/// Reads bytes in zlib's form that must come to exactly `length`.
pub(super) fn inflate(from: &mut impl BufRead, length: u64) -> Outcome<Vec<u8>> {
    // A difference may be a little longer than what comes of it.
    let most = LIMITS.object as u64 + 4096;
    if length > most {
        return Err(GitFailure::lasting(
            format!("the branch holds a file of {length} bytes, which is no object of stash"),
            "give stash a branch, or a repository, of its own",
        ));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default().min(1 << 20));
    let mut decoder = ZlibDecoder::new(from);
    decoder.by_ref().take(length).read_to_end(&mut bytes).map_err(|error| broken(&error))?;
    // Reads the end of the stream as well, so that what follows begins behind it.
    let more = decoder.read(&mut [0]).map_err(|error| broken(&error))?;
    if more != 0 || bytes.len() as u64 != length {
        return Err(GitFailure::odd("an object has another length than was said"));
    }
    Ok(bytes)
}

fn broken(error: &std::io::Error) -> GitFailure {
    match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::InvalidData => {
            GitFailure::odd(&format!("a pack is damaged ({error})"))
        }
        ErrorKind::UnexpectedEof => GitFailure::passing("the connection ended in the middle"),
        _ => GitFailure::passing(error.to_string()),
    }
}

/// Makes an object from its base and the difference.
pub(super) fn apply_delta(base: &Bytes, delta: &[u8]) -> Option<Vec<u8>> {
    let mut delta = delta;
    let base_length = read_length(&mut delta)?;
    let length = read_length(&mut delta)?;
    if base_length != base.len() || length > LIMITS.object {
        return None;
    }
    let mut bytes = Vec::with_capacity(length);
    while let Some((&command, rest)) = delta.split_first() {
        delta = rest;
        if command & 0x80 == 0 {
            let (insert, rest) = delta.split_at_checked(usize::from(command))?;
            if insert.is_empty() {
                return None;
            }
            bytes.extend_from_slice(insert);
            delta = rest;
        } else {
            let mut number = |bits: std::ops::Range<u8>| -> Option<usize> {
                let mut value = 0;
                for (place, bit) in bits.enumerate() {
                    if command & 1 << bit != 0 {
                        let (&byte, rest) = delta.split_first()?;
                        value |= usize::from(byte) << (8 * place);
                        delta = rest;
                    }
                }
                Some(value)
            };
            let (start, count) = (number(0..4)?, number(4..7)?);
            let count = if count == 0 { 0x10000 } else { count };
            bytes.extend_from_slice(base.get(start..start.checked_add(count)?)?);
        }
        if bytes.len() > length {
            return None;
        }
    }
    (bytes.len() == length).then_some(bytes)
}

fn read_length(from: &mut &[u8]) -> Option<usize> {
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        length |= usize::from(byte & 127).checked_shl(shift).filter(|_| shift < 57)?;
        shift += 7;
        if byte & 0x80 == 0 {
            return Some(length);
        }
    }
}

#[cfg(test)]
mod tests;
