//! Deterministic CBOR: the one encoding of everything that has a structure (`format-spec/1-objects.md`).
//!
//! Encoding goes through `serde_cbor`. Decoding scans the bytes first, without allocating: depth,
//! counts against the bytes left, the number of maps and items, shortest integers, definite
//! lengths, no tags, no floats. Then it
//! decodes, encodes again and compares, so that one value has exactly one accepted encoding.
//!
//! Maps are written by the macro `cbor_map!`: short text keys in the order
//! of the page's table; a field that holds its default is left out; keys that this version does
//! not know are kept, after the known ones, in ascending order.

use serde::{Serialize, de::DeserializeOwned};

use super::{DecodeError, LIMITS};

/// A value of an unknown key, kept as it came.
pub type Value = serde_cbor::Value;

/// Keys that this version does not know, in ascending order.
pub type Extra = Vec<(String, Value)>;

/// Encodes `value`.
///
/// # Panics
/// Never: every encoded type of this crate has string keys and writes to memory.
#[expect(clippy::expect_used, reason = "serialising our own types to memory can't fail")]
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    serde_cbor::to_vec(value).expect("own types serialise, because they hold no foreign code")
}

/// Returns the length of `value` when encoded, without keeping the encoding.
///
/// # Panics
/// Never; see [`encode`].
#[expect(clippy::expect_used, reason = "serialising our own types to a counter can't fail")]
pub fn encoded_length<T: Serialize>(value: &T) -> usize {
    struct Counter(usize);
    impl std::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.saturating_add(bytes.len());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    serde_cbor::to_writer(&mut counter, value).expect("own types serialise, whatever takes them");
    counter.0
}

/// Returns the length of an array's head: what is written before its items.
pub fn array_head_length(count: usize) -> usize {
    match count {
        0..=23 => 1,
        24..=0xff => 2,
        0x100..=0xffff => 3,
        _ => 5,
    }
}

/// Decodes one value that fills `bytes` exactly and is in canonical form.
pub fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let value = decode_lenient(bytes)?;
    if encode(&value) != bytes {
        return Err(DecodeError::NotCanonical);
    }
    Ok(value)
}

/// Like [`decode`], but without the comparison: for bytes whose writer was this process.
pub fn decode_lenient<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    scan(bytes)?;
    serde_cbor::from_slice(bytes).map_err(|error| DecodeError::Malformed(error.to_string()))
}

/// Checks that `bytes` is one well-formed item within the limits, without allocating.
fn scan(bytes: &[u8]) -> Result<(), DecodeError> {
    let mut cursor = Scanner { bytes, maps: LIMITS.cbor_maps, items: LIMITS.cbor_items };
    cursor.item(0)?;
    if cursor.bytes.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes) }
}

struct Scanner<'a> {
    bytes: &'a [u8],
    /// How many more maps may come.
    maps: usize,
    /// How many more items may come.
    items: usize,
}

impl Scanner<'_> {
    fn take(&mut self, count: usize) -> Result<&[u8], DecodeError> {
        let (head, tail) = self.bytes.split_at_checked(count).ok_or(DecodeError::Cut)?;
        self.bytes = tail;
        Ok(head)
    }

    /// Reads the argument of an initial byte; integers must be in their shortest form.
    fn argument(&mut self, info: u8) -> Result<u64, DecodeError> {
        let (value, shortest) = match info {
            0..=23 => (u64::from(info), true),
            24..=27 => {
                let width = 1_usize << (info & 3);
                let value = self
                    .take(width)?
                    .iter()
                    .fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
                let shortest = match info {
                    24 => value > 23,
                    25 => value > 0xff,
                    26 => value > 0xffff,
                    _ => value > 0xffff_ffff,
                };
                (value, shortest)
            }
            _ => return Err(DecodeError::NotCanonical),
        };
        if shortest { Ok(value) } else { Err(DecodeError::NotCanonical) }
    }

    fn item(&mut self, depth: usize) -> Result<(), DecodeError> {
        if depth > LIMITS.cbor_depth {
            return Err(DecodeError::TooDeep { limit: LIMITS.cbor_depth });
        }
        let initial = self.take(1)?.first().copied().unwrap_or_default();
        let (major, info) = (initial >> 5, initial & 0x1f);
        let too_many = DecodeError::TooLong { what: "number of items" };
        self.items = self.items.checked_sub(1).ok_or_else(|| too_many.clone())?;
        if major == 5 {
            self.maps = self.maps.checked_sub(1).ok_or(too_many)?;
        }
        match major {
            0 | 1 => self.argument(info).map(drop),
            2 | 3 => {
                let length = self.argument(info)?;
                self.take(self.count(length, 1)?).map(drop)
            }
            4 | 5 => {
                let length = self.argument(info)?;
                let items_each = if major == 5 { 2 } else { 1 };
                let count = self.count(length, items_each)?;
                (0..count).try_for_each(|_| self.item(depth.saturating_add(1)))
            }
            7 if (20..=22).contains(&info) => Ok(()),
            _ => Err(DecodeError::NotCanonical),
        }
    }

    /// Every announced item takes at least one byte, so a count beyond what is left is a lie.
    fn count(&self, announced: u64, items_each: u64) -> Result<usize, DecodeError> {
        announced
            .checked_mul(items_each)
            .and_then(|count| usize::try_from(count).ok())
            .filter(|&count| count <= self.bytes.len())
            .ok_or(DecodeError::Cut)
    }
}

/// A byte string.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

impl std::ops::Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Bytes(bytes.to_vec())
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes(bytes)
    }
}

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Bytes;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a byte string")
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}

/// Ids of one length, written as one byte string: their bytes one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids<T>(pub Vec<T>);

impl<T> Default for Ids<T> {
    fn default() -> Self {
        Ids(Vec::new())
    }
}

impl<T> std::ops::Deref for Ids<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

macro_rules! ids_of {
    ($type:ty) => {
        impl Serialize for Ids<$type> {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let bytes: Vec<u8> = self.0.iter().flat_map(|id| id.0).collect();
                serializer.serialize_bytes(&bytes)
            }
        }

        impl<'de> serde::Deserialize<'de> for Ids<$type> {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                use serde::de::Error as _;
                let bytes = Bytes::deserialize(deserializer)?;
                let chunks = bytes.chunks_exact(<$type>::LEN);
                if !chunks.remainder().is_empty() {
                    return Err(D::Error::custom("a row of ids does not end at an id's border"));
                }
                Ok(Ids(chunks.filter_map(<$type>::from_slice).collect()))
            }
        }
    };
}
ids_of!(crate::id::BlobId);
ids_of!(crate::id::ObjectHash);
ids_of!(crate::id::SnapshotId);
ids_of!(crate::id::Tip);

/// A map's key, borrowed where the input allows.
pub struct Key<'de>(pub std::borrow::Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text key")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(std::borrow::Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(std::borrow::Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// Defines a struct that is encoded as a map with text keys; see the module's head.
///
/// Every field's type needs `Default`, `PartialEq`, `Serialize` and `Deserialize`. The struct gets
/// one more field, `extra`, for keys that this version does not know.
macro_rules! cbor_map {
    (
        $(#[$doc:meta])*
        $vis:vis struct $name:ident {
            $( $(#[$field_doc:meta])* $key:literal => $field:ident : $type:ty ),* $(,)?
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq)]
        $vis struct $name {
            $( $(#[$field_doc])* pub $field: $type, )*
            /// Keys that this version does not know, kept as they came.
            pub extra: $crate::format::cbor::Extra,
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap as _;
                let mut count = self.extra.len();
                $( if self.$field != <$type>::default() { count = count.saturating_add(1); } )*
                let mut map = serializer.serialize_map(Some(count))?;
                $( if self.$field != <$type>::default() {
                    map.serialize_entry($key, &self.$field)?;
                } )*
                for (key, value) in &self.extra {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Self, D::Error> {
                struct Visitor;
                impl<'de> serde::de::Visitor<'de> for Visitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("a ", stringify!($name), " map"))
                    }
                    fn visit_map<A: serde::de::MapAccess<'de>>(
                        self,
                        mut map: A,
                    ) -> Result<$name, A::Error> {
                        let mut value = $name::default();
                        while let Some(key) =
                            map.next_key::<$crate::format::cbor::Key<'de>>()?
                        {
                            match &*key.0 {
                                $( $key => value.$field = map.next_value()?, )*
                                _ => {
                                    let entry = map.next_value()?;
                                    value.extra.push((key.0.into_owned(), entry));
                                }
                            }
                        }
                        // Encoding again puts these last and sorted: any other order, and any
                        // key that came twice, is then seen as not canonical.
                        value.extra.sort_by(|a, b| a.0.cmp(&b.0));
                        value.extra.dedup_by(|a, b| a.0 == b.0);
                        Ok(value)
                    }
                }
                deserializer.deserialize_map(Visitor)
            }
        }
    };
}
pub(crate) use cbor_map;

#[cfg(test)]
mod tests {
    use super::*;

    cbor_map! {
        struct Sample {
            "a" => number: u64,
            "b" => bytes: Bytes,
        }
    }

    #[test]
    fn defaults_are_left_out_and_unknown_keys_are_kept() {
        let bytes = b"\xa2\x61a\x05\x61z\x06";
        let sample: Sample = decode(bytes).unwrap();
        assert_eq!(sample.number, 5);
        assert_eq!(sample.extra, vec![("z".to_owned(), Value::Integer(6))]);
        assert_eq!(encode(&sample), bytes);
        assert_eq!(encode(&Sample::default()), b"\xa0");
    }

    #[test]
    fn lengths_are_those_of_the_encoding() {
        for count in [0, 1, 23, 24, 255, 256, 65_535, 65_536] {
            let list = vec![7_u64; count];
            let length = encode(&list).len();
            assert_eq!(encoded_length(&list), length);
            assert_eq!(array_head_length(count), length - count);
        }
    }

    #[test]
    fn each_departure_from_the_canonical_form_is_refused() {
        let cases: &[(&[u8], &str)] = &[
            (b"\xa1\x61a\x18\x05", "long integer"),
            (b"\xa1\x61a\x00", "a default that is written"),
            (b"\xbf\x61a\x05\xff", "indefinite map"),
            (b"\xa2\x61a\x05\x61a\x05", "key twice"),
            (b"\xa2\x61z\x05\x61a\x05", "order"),
            (b"\xa1\x61a\xfb\x40\x14\0\0\0\0\0\0", "float"),
            (b"\xc0\xa1\x61a\x05", "tag"),
        ];
        for (bytes, what) in cases {
            assert!(decode::<Sample>(bytes).is_err(), "{what}");
        }
    }

    #[test]
    fn lying_counts_and_deep_nesting_stop_before_anything_is_allocated() {
        assert_eq!(
            decode::<Vec<u64>>(b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff"),
            Err(DecodeError::Cut)
        );
        let deep = vec![0x81; 100_000];
        assert!(matches!(decode::<Vec<u64>>(&deep), Err(DecodeError::TooDeep { .. })));
        assert_eq!(decode::<u64>(b"\x01\x01"), Err(DecodeError::TrailingBytes));
    }

    #[test]
    fn many_small_maps_stop_before_they_become_many_large_structs() {
        let row = |count: usize, item: u8| {
            let mut bytes = vec![0x9a];
            bytes.extend_from_slice(&u32::try_from(count).unwrap().to_be_bytes());
            bytes.resize(bytes.len() + count, item);
            bytes
        };
        let too_many = Err(DecodeError::TooLong { what: "number of items" });
        assert!(scan(&row(LIMITS.cbor_maps, 0xa0)).is_ok());
        assert_eq!(scan(&row(LIMITS.cbor_maps + 1, 0xa0)), too_many);
        assert!(scan(&row(LIMITS.cbor_items - 1, 0x60)).is_ok());
        assert_eq!(scan(&row(LIMITS.cbor_items, 0x60)), too_many);
    }
}
