//! Which objects a check reads: all, or a part that their hashes decide.
//!
//! An object's place on a circle is its hash. A part is an arc of it, so the parts `1/7` to `7/7`
//! cover everything, whatever is added in between. A share begins where that of the
//! seed before ended.

use crate::id::ObjectHash;

/// How much of the data is read.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum ReadData {
    /// Nothing but what the structure needs.
    #[default]
    None,
    /// Everything.
    All,
    /// A share in percent, above 0 and up to 100.
    Percent(f64),
    /// One of several parts; all parts together are everything.
    Part {
        /// Which part, from 1.
        part: u32,
        /// Of how many.
        of: u32,
    },
    /// At most so many bytes, but one object at least.
    Bytes(u64),
}

/// Returns the objects (with their lengths in bytes) to be read. `seed` says where a share begins.
pub(super) fn choose<T>(
    read_data: ReadData,
    seed: u64,
    mut objects: Vec<(ObjectHash, u64, T)>,
) -> Vec<(ObjectHash, u64, T)> {
    match read_data {
        ReadData::None => objects.clear(),
        ReadData::All => {}
        ReadData::Part { part, of } => objects.retain(|(hash, ..)| part_of(hash, of) == part),
        ReadData::Percent(percent) => {
            let total = objects.iter().fold(0_u64, |sum, row| sum.saturating_add(row.1));
            return arc(objects, seed, share(total, percent));
        }
        ReadData::Bytes(bytes) => return arc(objects, seed, bytes),
    }
    objects
}

fn position(hash: &ObjectHash) -> u64 {
    hash.0.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Returns the number, from 1, of the part that an object lies in.
fn part_of(hash: &ObjectHash, of: u32) -> u32 {
    let scaled = (u128::from(position(hash)) * u128::from(of.max(1))) >> 64;
    u32::try_from(scaled).unwrap_or(u32::MAX).saturating_add(1)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share need not be exact, and the cast saturates"
)]
fn share(total: u64, percent: f64) -> u64 {
    (total as f64 * (percent / 100.0)).ceil() as u64
}

/// Returns objects from one after the other on the circle until `bytes` are reached; with the
/// next seed the beginning moves on by as much.
fn arc<T>(
    mut objects: Vec<(ObjectHash, u64, T)>,
    seed: u64,
    bytes: u64,
) -> Vec<(ObjectHash, u64, T)> {
    let total = objects.iter().fold(0_u64, |sum, row| sum.saturating_add(row.1));
    if total == 0 || bytes >= total {
        return objects;
    }
    objects.sort_by_key(|row| row.0);
    let skip = u64::try_from(u128::from(seed) * u128::from(bytes) % u128::from(total)).unwrap_or(0);
    let mut before = 0_u64;
    let first = objects.iter().position(|row| {
        before = before.saturating_add(row.1);
        before > skip
    });
    objects.rotate_left(first.unwrap_or(0));
    let mut left = bytes;
    let mut count = 0_usize;
    for row in &objects {
        count = count.saturating_add(1);
        left = left.saturating_sub(row.1);
        if left == 0 {
            break;
        }
    }
    objects.truncate(count);
    objects
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects() -> Vec<(ObjectHash, u64, ())> {
        (0..100_u32)
            .map(|number| (ObjectHash(*blake3::hash(&number.to_le_bytes()).as_bytes()), 10, ()))
            .collect()
    }

    #[test]
    fn parts_cover_everything_once() {
        for of in [1, 2, 7, 1000] {
            let chosen: usize =
                (1..=of).map(|part| choose(ReadData::Part { part, of }, 0, objects()).len()).sum();
            assert_eq!(chosen, 100, "{of}");
        }
    }

    #[test]
    fn shares_of_consecutive_seeds_cover_everything() {
        for read_data in [ReadData::Percent(10.0), ReadData::Bytes(100)] {
            let mut all: Vec<ObjectHash> = (3..13)
                .flat_map(|seed| choose(read_data, seed, objects()))
                .map(|row| row.0)
                .collect();
            assert_eq!(all.len(), 100);
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), 100);
        }
    }

    #[test]
    fn a_share_is_at_least_one_object_and_at_most_all() {
        assert_eq!(choose(ReadData::Bytes(1), 5, objects()).len(), 1);
        assert_eq!(choose(ReadData::Percent(0.001), 5, objects()).len(), 1);
        assert_eq!(choose(ReadData::Bytes(u64::MAX), 5, objects()).len(), 100);
        assert_eq!(choose(ReadData::None, 5, objects()).len(), 0);
    }
}
