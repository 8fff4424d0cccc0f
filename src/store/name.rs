//! What stored objects are called (`format-spec/1-objects.md`).

use crate::id::{LaneId, ObjectHash};

/// The file beside the objects that readers and writers of an exclusive repository lock.
pub const LOCK_FILE: &str = "lock";

/// What a grant's name has before its hash: a listing tells it from a key slot.
const GRANT: &str = "grant-";

/// The name of an object: where it lies in a store. Never used twice.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectName {
    /// The repository's header.
    Repository(ObjectHash),
    /// A key slot.
    KeySlot(ObjectHash),
    /// A grant to holders of key slots.
    Grant(ObjectHash),
    /// A pack.
    Pack(ObjectHash),
    /// An index segment.
    Segment(ObjectHash),
    /// A record.
    Record(RecordName),
}

/// The name of a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordName {
    /// Whether it lies in `log/g`, among those that the collector needs.
    pub global: bool,
    /// Its lane.
    pub lane: LaneId,
    /// Its place in the lane, from 1.
    pub sequence: u64,
    /// A word for what it holds.
    pub kind: String,
    /// The hash of its bytes.
    pub hash: ObjectHash,
}

impl ObjectName {
    /// Returns the hash of the object's bytes.
    pub fn hash(&self) -> ObjectHash {
        match self {
            ObjectName::Repository(hash)
            | ObjectName::KeySlot(hash)
            | ObjectName::Grant(hash)
            | ObjectName::Pack(hash)
            | ObjectName::Segment(hash) => *hash,
            ObjectName::Record(name) => name.hash,
        }
    }

    /// Reads a name; `None` for what is no name of an object.
    pub fn parse(text: &str) -> Option<ObjectName> {
        let mut words = text.split('/');
        let name = match (words.next()?, words.next()?, words.next(), words.next()) {
            ("repo", hash, None, None) => ObjectName::Repository(parse_hash(hash)?),
            ("keys", name, None, None) => match name.strip_prefix(GRANT) {
                Some(hash) => ObjectName::Grant(parse_hash(hash)?),
                None => ObjectName::KeySlot(parse_hash(name)?),
            },
            ("index", hash, None, None) => ObjectName::Segment(parse_hash(hash)?),
            ("packs", folder, Some(hash), None) if hash.get(..2) == Some(folder) => {
                ObjectName::Pack(parse_hash(hash)?)
            }
            ("log", scope @ ("g" | "s"), Some(lane), Some(rest)) => {
                let mut parts = rest.splitn(3, '-');
                let (sequence, kind, hash) = (parts.next()?, parts.next()?, parts.next()?);
                let word = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_lowercase());
                if sequence.len() != 16 || !word || words.next().is_some() {
                    return None;
                }
                ObjectName::Record(RecordName {
                    global: scope == "g",
                    lane: lane.parse().ok()?,
                    sequence: u64::from_str_radix(sequence, 16).ok()?,
                    kind: kind.to_owned(),
                    hash: parse_hash(hash)?,
                })
            }
            _ => return None,
        };
        // One object, one spelling.
        (name.to_string() == text).then_some(name)
    }
}

fn parse_hash(text: &str) -> Option<ObjectHash> {
    text.parse().ok()
}

impl std::fmt::Display for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ObjectName::Repository(hash) => write!(f, "repo/{hash}"),
            ObjectName::KeySlot(hash) => write!(f, "keys/{hash}"),
            ObjectName::Grant(hash) => write!(f, "keys/{GRANT}{hash}"),
            ObjectName::Segment(hash) => write!(f, "index/{hash}"),
            ObjectName::Pack(hash) => {
                let text = hash.to_string();
                write!(f, "packs/{}/{text}", text.get(..2).unwrap_or_default())
            }
            ObjectName::Record(name) => write!(
                f,
                "log/{}/{}/{:016x}-{}-{}",
                if name.global { "g" } else { "s" },
                name.lane,
                name.sequence,
                name.kind,
                name.hash
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_nothing_else_is_one() {
        let hash = ObjectHash([0xab; 32]);
        let record = RecordName {
            global: true,
            lane: LaneId([1; 16]),
            sequence: 0x1f,
            kind: "snapshot".into(),
            hash,
        };
        for name in [
            ObjectName::Repository(hash),
            ObjectName::KeySlot(hash),
            ObjectName::Grant(hash),
            ObjectName::Pack(hash),
            ObjectName::Segment(hash),
            ObjectName::Record(record),
        ] {
            let text = name.to_string();
            assert_eq!(ObjectName::parse(&text), Some(name));
            assert_eq!(ObjectName::parse(&text.to_uppercase()), None);
            assert_eq!(ObjectName::parse(&format!("{text}/x")), None);
            assert_eq!(ObjectName::parse(&text[..text.len() - 1]), None);
        }
        for text in ["", "packs", "packs/ab/", "log/s/x/y", "packs/00/ab", ".lock"] {
            assert_eq!(ObjectName::parse(text), None, "{text}");
        }
    }
}
