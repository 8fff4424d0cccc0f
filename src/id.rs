//! Names of things: fixed-size ids, their hex form, and lookup by unique prefix.

use std::fmt;

/// Why a text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdError {
    /// Not an even number of hex digits of the right length.
    #[error("expected {expected} hex digits, got `{text}`")]
    Malformed {
        /// How many digits an id of this kind has.
        expected: usize,
        /// What was given, cut to 80 characters.
        text: String,
    },
}

/// Writes `bytes` as lower-case hex.
pub fn to_hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Reads hex digits of either case; `None` if the text is anything else or has the wrong length.
pub fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != N.checked_mul(2)? || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0_u8; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        if pair.starts_with('+') {
            return None;
        }
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// Returns the bytes.
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// Returns the id held in `bytes`, if the length is right.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                <[u8; $len]>::try_from(bytes).ok().map(Self)
            }

            /// Returns the first eight hex digits: what people are shown.
            pub fn short(&self) -> String {
                to_hex(self.0.get(..4).unwrap_or(&self.0))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&to_hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.short())
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                from_hex(text).map(Self).ok_or_else(|| ParseIdError::Malformed {
                    expected: $len * 2,
                    text: text.chars().take(80).collect(),
                })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_bytes(&self.0)
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Self, D::Error> {
                struct Visitor;
                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        write!(f, "{} bytes", $len)
                    }
                    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<$name, E> {
                        $name::from_slice(bytes)
                            .ok_or_else(|| E::invalid_length(bytes.len(), &self))
                    }
                }
                deserializer.deserialize_bytes(Visitor)
            }
        }
    };
}

id_type! {
    /// The name of a blob: keyed BLAKE3 of its plaintext under the sub-key of its kind.
    BlobId, 32
}
id_type! {
    /// The name of a stored object: BLAKE3 of its stored bytes, without a key.
    ObjectHash, 32
}
id_type! {
    /// The name of a snapshot: keyed BLAKE3 of the snapshot's encoded bytes.
    SnapshotId, 32
}
id_type! {
    /// One writer's chain of records.
    LaneId, 16
}
id_type! {
    /// A repository.
    RepositoryId, 16
}

id_type! {
    /// The tip of a lane in a view: the first bytes of the hash of its newest record.
    Tip, 8
}

/// What a prefix of an id's hex form can mean among many ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match<T> {
    /// No id begins like this.
    None,
    /// Exactly one does.
    One(T),
    /// Several do, in the order given.
    Many(Vec<T>),
}

/// Finds the ids whose hex form begins with `prefix` (either case).
pub fn match_prefix<T: fmt::Display>(prefix: &str, ids: impl IntoIterator<Item = T>) -> Match<T> {
    let prefix = prefix.to_ascii_lowercase();
    let mut found: Vec<T> =
        ids.into_iter().filter(|id| id.to_string().starts_with(&prefix)).collect();
    match found.len() {
        0 => Match::None,
        1 => found.pop().map_or(Match::None, Match::One),
        _ => Match::Many(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_goes_there_and_back() {
        let id = LaneId(*b"0123456789abcdef");
        assert_eq!(id.to_string().parse::<LaneId>(), Ok(id));
        assert_eq!(id.short(), "30313233");
    }

    #[test]
    fn what_is_no_hex_is_refused() {
        for text in ["", "0", "zz", "+f", "é0", &"0".repeat(31), &"0".repeat(33)] {
            assert!(text.parse::<LaneId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_prefix_matches_none_one_or_many() {
        let ids = [LaneId([0x11; 16]), LaneId([0x12; 16])];
        assert_eq!(match_prefix("2", ids), Match::None);
        assert_eq!(match_prefix("12", ids), Match::One(ids[1]));
        assert_eq!(match_prefix("1", ids), Match::Many(ids.to_vec()));
    }
}
